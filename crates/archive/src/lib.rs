//! What vendors signed, kept byte for byte, and what may be believed of it.
//!
//! A file of a distribution is believed through one chain: a pinned OpenPGP certificate signs `InRelease`, which lists the
//! digests of the package indices, which list the digests of the packages, which hold the files. Each link has a type that
//! only the link above can make: a [`debian::Release`] comes from [`openpgp::Signed`] text, a [`debian::Listed`] file from a
//! release, a [`debian::Package`] from an index that had the listed digest, a [`debian::Contents`] from a package file that
//! had the digest of its [`debian::Package`]. There is no way to make one from unchecked bytes.
//!
//! What is gathered lies in a [`store::Archive`]: the vendors' files unchanged, beside them our catalogue of every file in every
//! package. One list signed by our own key names all of it; only a [`store::Sealed`] archive, whose list held, is read from.
//!
//! The crate has no clock and no network: the time against which keys are judged is an argument, because the clock of a
//! machine under examination is not to be relied on.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod advisories;
mod date;
pub mod deb822;
pub mod debian;
mod error;
pub mod openpgp;
pub mod rpm;
pub mod seal;
pub mod store;
mod unpack;

pub use error::{Error, Result};
