//! The errors of this crate.
//!
//! A source that cannot be read in places is no error: that is part of an [`Acquisition`]. Errors
//! are about the copy, or about this machine.

use std::io;
use std::path::{Path, PathBuf};

use hashing::{Digests, escape_name};

use crate::Acquisition;

/// What sort of "no" an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Reading or writing failed.
    Io,
    /// The source has a shape this program does not handle.
    Unsupported,
    /// The copy is not what was written.
    Corrupt,
    /// The request would break a rule, or the program may not be trusted here.
    Refused,
}

/// Anything that can go wrong with a copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, made or renamed.
    #[error("{action} {}", show(path))]
    Io {
        /// What was being done, in participle form.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy could not be written any further: full, pulled or failing.
    #[error("writing {sink} at byte {offset_bytes}")]
    Sink {
        /// Name of the copy, escaped.
        sink: String,
        /// Everything before this offset was written.
        offset_bytes: u64,
        /// Why.
        source: io::Error,
        /// What had been acquired up to then.
        reached: Box<Acquisition>,
    },
    /// The copy, read back, is not what was written.
    #[error("{} reads back as {found:?}, expected {expected:?}", show(path))]
    Mismatch {
        /// The copy.
        path: PathBuf,
        /// Digests of what was written.
        expected: Digests,
        /// Digests of what was read back.
        found: Digests,
    },
    /// The copy could not be read back as a whole.
    #[error("{} could be read back only to byte {offset_bytes}", show(path))]
    Unreadable {
        /// The copy.
        path: PathBuf,
        /// Where reading first failed or stopped.
        offset_bytes: u64,
    },
    /// An unfinished acquisition was to be published.
    #[error("{} holds {copied_bytes} of {size_bytes} bytes", show(path))]
    Incomplete {
        /// The copy.
        path: PathBuf,
        /// Bytes acquired.
        copied_bytes: u64,
        /// Bytes of the source.
        size_bytes: u64,
    },
    /// There is something of this name already.
    #[error("{} exists already", show(path))]
    Exists {
        /// The name wanted.
        path: PathBuf,
    },
    /// A plan or source with impossible sizes.
    #[error("{what} is {found}, expected {expected}")]
    BadSize {
        /// Which size.
        what: &'static str,
        /// Its value in bytes.
        found: u64,
        /// What it has to be.
        expected: &'static str,
    },
    /// The journal of interrupted work cannot be relied on.
    #[error("the journal {} cannot be used: {reason}", show(path))]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The source is not the one that was being imaged.
    #[error("the source has {found} bytes, the one that was being imaged {expected}")]
    OtherSource {
        /// Its size in bytes.
        found: u64,
        /// The size in the journal.
        expected: u64,
    },
    /// A copy had failed before the interruption.
    #[error("copy {number} had failed before the work was interrupted")]
    CopyLost {
        /// Number of its request.
        number: usize,
    },
    /// The format cannot hold this source.
    #[error("{format} cannot hold this: {reason}")]
    Format {
        /// The format.
        format: &'static str,
        /// Why, and the way out.
        reason: String,
    },
    /// Digests computed on this machine are wrong.
    #[error("testing the digest code")]
    SelfTest(#[from] hashing::Error),
}

impl Error {
    /// What sort of "no" this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. }
            | Self::Sink { .. }
            | Self::Unreadable { .. }
            | Self::CopyLost { .. } => ErrorKind::Io,
            Self::BadSize { .. } | Self::Format { .. } => ErrorKind::Unsupported,
            Self::Mismatch { .. } | Self::Journal { .. } => ErrorKind::Corrupt,
            Self::OtherSource { .. }
            | Self::Incomplete { .. }
            | Self::Exists { .. }
            | Self::SelfTest(_) => ErrorKind::Refused,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

fn show(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}
