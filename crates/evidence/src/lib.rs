//! The read-only view of evidence: disks and images, partitions, file systems, files.
//!
//! Everything here turns bytes of an untrusted disk into records plus [`Problem`]s. Invariants: nothing in this crate
//! can write; a [`Source`] is made from a descriptor somebody else opened, and nothing is opened but by
//! [`collection::Directory`], read-only and beneath a directory handed over; no input makes it panic, hang or allocate
//! without bound; a part that cannot be read is recorded and the rest goes on.
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

pub mod address;
pub mod bodyfile;
pub mod btrfs;
mod bytes;
mod codec;
pub mod collection;
pub mod container;
mod crc;
pub mod disk;
pub mod erofs;
mod error;
mod escape;
pub mod exfat;
pub mod ext;
pub mod fat;
pub mod fs;
pub mod initramfs;
pub mod iso9660;
mod kept;
pub mod map;
pub mod ntfs;
pub mod os;
pub mod partition;
pub mod probe;
mod problem;
pub mod registry;
pub mod rpmdb;
pub mod source;
pub mod squashfs;
pub mod stack;
pub mod system;
mod time;
pub mod volume;
mod wide;
pub mod xfs;
mod xxhash;

pub use disk::{DiskView, examine};
pub use error::EvidenceError;
pub use escape::{escape_bytes, unescape};
pub use fs::{FileSystem, RawPath, View};
pub use problem::{Place, Problem, ProblemKind};
pub use source::{Cached, FileSource, MemSource, Source, SourceError, Window};
pub use time::Time;
