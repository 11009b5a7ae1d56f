//! Whole objects in an S3-compatible object store: uploaded in parts, gone on with, read back.
//!
//! What is spoken is the part of Amazon's S3 interface (API version 2006-03-01) that every such store has: multipart
//! uploads, ranges, and requests signed by Signature Version 4. Every part carries its SHA-256 in the signed request, so a
//! store that keeps to the interface refuses a part that was changed on its way. Nobody sees anything of an object before
//! its last part has come and the upload was completed.
//!
//! Answers are bounded before they are believed, certificates are checked, redirections are not followed, and a name
//! without TLS is taken only for this very machine. Time is an argument.
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

mod access;
mod answer;
mod client;
mod error;
mod object;
mod sign;
mod transport;
mod upload;

pub use access::Access;
pub use client::{Client, Content, Patience, StoredPart};
pub use error::{Error, ErrorKind};
pub use object::Object;
pub use sign::Clock;
pub use upload::{PARTS_AT_MOST, Upload, part_bytes};
