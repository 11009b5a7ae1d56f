//! The errors of this crate.
//!
//! Names shown here are already escaped: an error text may be printed as it is.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Algorithm, escape_name};

/// What sort of "no" an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Reading failed.
    Io,
    /// The request names something this crate does not do.
    Unsupported,
    /// The bytes read are not what their format demands.
    Corrupt,
    /// The program may not be trusted to compute digests here.
    Refused,
}

/// Anything that can go wrong when digests are computed or lists of them are read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read.
    #[error("{action} {}", show(path))]
    Io {
        /// What was being done, in participle form.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A stream without a name could not be read.
    #[error("reading at byte {offset_bytes}")]
    Read {
        /// How many bytes had been read.
        offset_bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// No algorithm has this name.
    #[error("digest algorithm is \"{name}\", expected one of md5, sha1, sha256, sha512, blake3")]
    UnknownAlgorithm {
        /// The name asked for, escaped.
        name: String,
    },
    /// A digest has the wrong length for its algorithm.
    #[error("{algorithm} digest has {found} bytes, expected {expected}")]
    DigestLength {
        /// The algorithm claimed.
        algorithm: Algorithm,
        /// Bytes found.
        found: usize,
        /// Bytes the algorithm makes.
        expected: usize,
    },
    /// A digest is not hexadecimal.
    #[error("digest \"{text}\" is not hexadecimal")]
    NotHex {
        /// The text, escaped.
        text: String,
    },
    /// A line of a manifest does not follow its format.
    #[error("manifest line {line}: {reason}")]
    ManifestLine {
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes are no saved state of digests.
    #[error("{length_bytes} bytes are no saved state of digests")]
    SavedState {
        /// How many bytes were given.
        length_bytes: usize,
    },
    /// A set of known digests is an SQLite database, as NSRL publishes since version 3.
    #[error(
        "the set {} is an SQLite database; export its digests: sqlite3 RDS.db \"SELECT sha256 FROM FILE;\" > list.txt",
        show(path)
    )]
    SetIsDatabase {
        /// Where it is.
        path: PathBuf,
    },
    /// A built set of known digests is not as it was written.
    #[error("the set {} is damaged: {what}", show(path))]
    SetDamaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A known-answer test gave another answer.
    #[error("{algorithm} of {input} is {found}, expected {expected}")]
    SelfTest {
        /// The algorithm that failed.
        algorithm: Algorithm,
        /// Which test input.
        input: &'static str,
        /// The digest computed, in hexadecimal.
        found: String,
        /// The published digest, in hexadecimal.
        expected: &'static str,
    },
}

impl Error {
    /// What sort of "no" this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Read { .. } => ErrorKind::Io,
            Self::UnknownAlgorithm { .. } | Self::SetIsDatabase { .. } => ErrorKind::Unsupported,
            Self::DigestLength { .. }
            | Self::NotHex { .. }
            | Self::ManifestLine { .. }
            | Self::SetDamaged { .. }
            | Self::SavedState { .. } => ErrorKind::Corrupt,
            Self::SelfTest { .. } => ErrorKind::Refused,
        }
    }
}

fn show(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    escape_name(path.as_os_str().as_bytes())
}
