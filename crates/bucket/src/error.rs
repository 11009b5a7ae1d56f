//! The errors of this crate.

use std::io;

/// What sort of "no" an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The store could not be reached, or the connection broke.
    Io,
    /// What is asked for is beyond what an object can be.
    Unsupported,
    /// The store's answer is not what it should be.
    Corrupt,
    /// The store, or a rule of ours, says no.
    Refused,
}

/// Anything that can go wrong with an object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that names no object.
    #[error("\"{word}\" names no place in an object store: {reason}")]
    BadPlace {
        /// The word, escaped.
        word: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Credentials or endpoint are missing or impossible.
    #[error("access to the object store: {reason}")]
    BadAccess {
        /// What is missing, and where it is looked for.
        reason: String,
    },
    /// The store said no.
    #[error("{action}: the store answers {status} {code}: {message}")]
    Answer {
        /// What was being done, in participle form.
        action: &'static str,
        /// Status of the HTTP answer.
        status: u16,
        /// The store's word for it, escaped.
        code: String,
        /// Its sentence, escaped.
        message: String,
    },
    /// No answer came.
    #[error("{action}, tried {attempts} times")]
    Unreachable {
        /// What was being done, in participle form.
        action: &'static str,
        /// How often.
        attempts: u32,
        /// Why the last of them failed.
        source: io::Error,
    },
    /// An answer that makes no sense.
    #[error("{action}: the store's answer is not understood: {reason}")]
    BadAnswer {
        /// What was being done, in participle form.
        action: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An upload cannot be gone on with.
    #[error("the unfinished upload at the store is not what was sent: {reason}")]
    OtherUpload {
        /// What is different.
        reason: String,
    },
    /// More than an object can hold.
    #[error("{size_bytes} bytes are more than an object can hold ({most_bytes})")]
    TooLarge {
        /// Bytes wanted.
        size_bytes: u64,
        /// Most there can be.
        most_bytes: u64,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// What sort of "no" this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } => ErrorKind::Io,
            Self::TooLarge { .. } => ErrorKind::Unsupported,
            Self::BadAnswer { .. } | Self::OtherUpload { .. } => ErrorKind::Corrupt,
            Self::BadPlace { .. }
            | Self::BadAccess { .. }
            | Self::Answer { .. }
            | Self::Stopped => ErrorKind::Refused,
        }
    }

    /// Whether the store says that there is no such thing.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unreachable { source, .. } => source.kind(),
            Error::Answer { status: 403, .. } => io::ErrorKind::PermissionDenied,
            Error::Stopped => io::ErrorKind::Interrupted,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
