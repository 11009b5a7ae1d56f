//! Digests in one pass, trees, and manifests.
//!
//! SHA-256 is always computed, because every record of a case names its bytes by it; other digests
//! are computed beside it from the same read, never from a second one. The crate has no clock, no
//! terminal and no randomness: the same bytes give the same manifest.
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
pub use large::{PieceDigests, PieceHasher};
pub use list::{Form, Listed, Written};
pub use manifest::{Content, Entry, Manifest, SpecialKind};
pub use name::escape_name;
pub use selftest::{ensure_tested, self_test};
pub use tree::{Boundary, Problem, TreeOptions, TreeReport, digest_tree, digest_tree_in_pieces};
