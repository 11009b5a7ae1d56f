//! The read-only view of evidence: disks and images, partitions, file systems, files.
//!
//! Everything here turns bytes of an untrusted disk into records plus [`Problem`]s. Invariants: nothing in this crate
//! can open anything (a [`Source`] is made from a descriptor somebody else opened) and nothing can write; no input makes
//! it panic, hang or allocate without bound; a part that cannot be read is recorded and the rest goes on.
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

mod bytes;
mod crc;
pub mod disk;
mod error;
mod escape;
pub mod ext;
pub mod fs;
pub mod os;
pub mod partition;
pub mod probe;
mod problem;
pub mod source;
mod time;

pub use disk::{DiskView, examine};
pub use error::EvidenceError;
pub use escape::escape_bytes;
pub use fs::{FileSystem, RawPath};
pub use problem::{Place, Problem, ProblemKind};
pub use source::{FileSource, MemSource, Source, SourceError, Window};
pub use time::Time;
