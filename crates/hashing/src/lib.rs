//! Digests in one pass, trees, lists of digests and sets of known ones.
//!
//! SHA-256 is computed unless [`Algorithms::exactly`] was asked for others, because every record of a case
//! names its bytes by it; further digests come from the same read, never from a second one. MD5 and SHA-256
//! together cost what MD5 costs where the processor has SHA instructions, and SHA-1 with them a tenth more. The crate has no clock, no terminal
//! and no randomness: the same bytes give the same list.
//!
//! ```
//! use hashing::{Algorithm, Algorithms, Form, Manifest, MultiHasher};
//!
//! # fn main() -> Result<(), hashing::Error> {
//! // Once, before anything depends on it: the published answers.
//! hashing::ensure_tested()?;
//!
//! // Several digests of one stream, with a stop in between.
//! let wanted = Algorithms::sha256().with(Algorithm::Md5);
//! let mut hasher = MultiHasher::new(&wanted);
//! hasher.update(b"a");
//! let saved = hasher.state();
//! let mut hasher = MultiHasher::from_state(&saved)?;
//! hasher.update(b"bc");
//! let digests = hasher.finish();
//! assert_eq!(digests.of(Algorithm::Md5).unwrap().to_hex(), "900150983cd24fb0d6963f7d28e17f72");
//!
//! // A list somebody else made, in whatever form, and what differs from it.
//! let listed = Manifest::from_any_form(b"MD5 (a) = 900150983cd24fb0d6963f7d28e17f72\n", Algorithm::Sha256);
//! assert_eq!(listed.form, Form::Tag);
//! let changes = hashing::compare(&listed.manifest, &Manifest::new());
//! assert_eq!(changes.changes.len(), 1);
//! # Ok(())
//! # }
//! ```
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

mod algorithm;
pub mod base64;
mod block;
mod block128;
mod block64;
mod compare;
mod digest;
mod error;
mod groups;
mod hasher;
mod known;
mod large;
mod list;
mod manifest;
mod name;
mod pieces;
mod record;
mod saved;
mod selftest;
mod tree;

pub use algorithm::{Algorithm, Algorithms};
pub use compare::{Change, Comparison, compare};
pub use digest::{Digest, Digests};
pub use error::{Error, ErrorKind};
pub use hasher::{MultiHasher, digest_bytes, digest_file, digest_reader};
pub use known::{KnownSet, ReadSet};
pub use list::{Form, Listed, Written};
pub use manifest::{Content, Entry, Manifest, SpecialKind};
pub use name::escape_name;
pub use pieces::{PieceDigests, PieceHasher};
pub use selftest::{ensure_tested, self_test};
pub use tree::{
    Boundary, Problem, Told, TreeOptions, TreeReport, digest_paths, digest_tree,
    digest_tree_in_pieces, digest_tree_told,
};
