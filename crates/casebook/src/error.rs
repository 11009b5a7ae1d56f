//! The errors of this crate.

use std::io;
use std::path::{Path, PathBuf};

/// What sort of "no" an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Reading or writing failed.
    Io,
    /// The bytes are of a kind or version this program does not know.
    Unsupported,
    /// What is recorded does not hold.
    Corrupt,
    /// The request would break a rule of the case.
    Refused,
}

/// Anything that can go wrong with a case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of the case could not be read or written.
    #[error("{action} {}", show(path))]
    Io {
        /// What was being done, in participle form.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory is not a case.
    #[error("{} has no readable case.toml: {reason}", show(dir))]
    NotACase {
        /// The directory.
        dir: PathBuf,
        /// What is wrong, escaped.
        reason: String,
    },
    /// Another program holds the case for longer than an append takes.
    #[error("{} is locked by another program", show(path))]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// The list of acts is broken in a way that no power cut explains; nothing is added to it.
    #[error("act {number} in {} does not hold: {reason}", show(path))]
    BrokenAct {
        /// The list.
        path: PathBuf,
        /// Number of the line, which is the number the act should have.
        number: u64,
        /// What is wrong, escaped.
        reason: String,
    },
    /// The signing key is not the one the case was created with.
    #[error("signing key is {found}, the case was created with {expected}")]
    WrongKey {
        /// The key offered.
        found: String,
        /// The key of the case.
        expected: String,
    },
    /// A key could not be read, made or used.
    #[error("{action}: {reason}")]
    Key {
        /// What was being done, in participle form.
        action: &'static str,
        /// Why not.
        reason: String,
    },
    /// The key would need more memory to unlock than the caller allows.
    #[error("unlocking this key needs {needed_bytes} bytes of memory, {limit_bytes} are allowed")]
    KeyTooLarge {
        /// What the key's parameters ask for.
        needed_bytes: u64,
        /// What the caller allows.
        limit_bytes: u64,
    },
    /// A time is not RFC 3339 in UTC.
    #[error("time \"{text}\" is not RFC 3339 in UTC (2026-01-31T23:59:59Z)")]
    BadTime {
        /// The text, escaped.
        text: String,
    },
    /// Something could not be encrypted or decrypted.
    #[error("{action}: {reason}")]
    Encryption {
        /// What was being done, in participle form.
        action: &'static str,
        /// Why not.
        reason: String,
    },
    /// A bag or an archive of one is not as it must be.
    #[error("{} is no whole bag: {reason}", show(path))]
    BadBag {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong, escaped.
        reason: String,
    },
    /// The request would break a rule of the case.
    #[error("{reason}")]
    Refused {
        /// Which rule.
        reason: String,
    },
}

impl Error {
    /// What sort of "no" this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Io,
            Self::NotACase { .. } => ErrorKind::Unsupported,
            Self::BrokenAct { .. }
            | Self::BadTime { .. }
            | Self::BadBag { .. }
            | Self::Encryption { .. } => ErrorKind::Corrupt,
            Self::Busy { .. }
            | Self::WrongKey { .. }
            | Self::Key { .. }
            | Self::KeyTooLarge { .. }
            | Self::Refused { .. } => ErrorKind::Refused,
        }
    }

    /// Whether the medium of the case is full.
    #[must_use]
    pub fn is_medium_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

fn show(path: &Path) -> String {
    hashing::escape_name(path.as_os_str().as_encoded_bytes())
}
