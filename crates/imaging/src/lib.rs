//! Acquisition: read once, hash, write, map bad sectors, verify.
//!
//! One read of the source feeds digests and writer at the same time, through a fixed number of
//! buffers: memory does not grow with the disk. The image always has the size and the addresses of
//! the source; sectors that cannot be read are zeros exactly where they lie, and are listed.
//!
//! A copy carries the name `….partial` until it was read back and compared, so nothing that looks
//! finished is not. Times are the caller's: this crate looks at no clock.
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

mod acquire;
mod buffer;
mod carrier;
mod clone;
mod deflate;
mod destination;
mod error;
mod extent;
mod files;
mod format;
pub mod health;
mod job;
mod journal;
mod late;
mod map;
#[cfg(feature = "bucket")]
mod object;
mod partial;
mod parts;
mod pieces;
mod pipeline;
mod progress;
mod reader;
mod remote;
mod rescue;
mod session;
mod sink;
mod source;
mod spread;
mod timed;
mod verify;
mod writer;

pub use acquire::{Acquisition, Plan, Tick, acquire};
pub use clone::{CloneDisk, Rest, Target as CloneTarget};
pub use destination::Destination;
pub use error::{Error, ErrorKind};
pub use extent::{Extent, Extents, Run, Unread};
pub use files::{CopiedFile, copy_out, safe_name};
pub use format::{
    About, Compression, Format, Medium, Request, aff4, create, e01, raw, reopen, zst,
};
pub use hashing::PieceDigests as PieceDigest;
pub use journal::{Journal, Reached};
pub use map::map_text;
#[cfg(feature = "bucket")]
pub use object::{ObjectCopy, ObjectPlace, StoredObjects};
pub use partial::{PartialFile, Verified, verify};
pub use parts::Parts;
pub use pieces::Pieces;
pub use pipeline::{Copied, Imaged, Standing, Start, image};
pub use progress::Progress;
pub use reader::Ending;
pub use remote::{Remote, RemoteCopy};
pub use rescue::LateChunk;
pub use session::{CopyEnd, CopyResult, Open, Outcome, ReadBack, Session, Step, Work};
pub use sink::{Layout, NullSink, Sink};
pub use source::{FileSource, PartOf, ReadAt};
pub use spread::Spread;
pub use timed::TimedSource;
pub use verify::{publish, verify_copy};
pub use writer::{
    Checkpoint, Encode, Encoded, Encoding, Flush, ImageFile, ImageWriter, Part, Patch, Piece,
    Stored,
};
