//! What can go wrong between two ends.

use std::io;

/// What sort of "no" it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The network or a medium failed.
    Io,
    /// What arrived is not what this protocol says.
    Corrupt,
    /// The other end, or this one, does not allow it.
    Refused,
}

/// Anything that can go wrong with a transfer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network or a medium failed.
    #[error("{doing}")]
    Io {
        /// What was being done, in participle form.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// The other end closed the connection in the middle.
    #[error("the connection was closed in the middle")]
    Closed,
    /// The other end said nothing for too long.
    #[error("the other end said nothing for {seconds} seconds")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// The two ends do not have the same pairing code, or somebody is in between.
    #[error("the other end does not have this pairing code")]
    OtherCode,
    /// What arrived is not what this protocol says; `what` was wrong.
    #[error("what arrived is not of this protocol: {what}")]
    Protocol {
        /// What was wrong.
        what: &'static str,
    },
    /// The other end said no.
    #[error("the other end refused: {reason}")]
    Refused {
        /// Its words, escaped.
        reason: String,
    },
    /// The receiver no longer has what it had said was safe on its medium.
    #[error("the receiver has {found} bytes, {expected} were safe there before")]
    Lost {
        /// What it has, in bytes.
        found: u64,
        /// What it had said it kept, in bytes.
        expected: u64,
    },
    /// A pairing code that cannot be one.
    #[error("this is no pairing code: {reason}")]
    Code {
        /// Why not.
        reason: &'static str,
    },
    /// What the receiver read back is not what was sent.
    #[error("the receiver read back {found}, sent was {expected}")]
    Mismatch {
        /// SHA-256 it read back, in hexadecimal.
        found: String,
        /// SHA-256 of what was sent, in hexadecimal.
        expected: String,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// The code of this machine that encrypts failed.
    #[error("encrypting for the connection")]
    Crypto,
}

impl Error {
    /// What sort of "no" it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Closed | Self::Silent { .. } => ErrorKind::Io,
            Self::Protocol { .. } | Self::Lost { .. } | Self::Mismatch { .. } => ErrorKind::Corrupt,
            _ => ErrorKind::Refused,
        }
    }

    /// Whether another connection may do what this one could not. A frame that was changed on its way ends a connection
    /// and proves nothing about the other end, so it is among these.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Closed | Self::Silent { .. } | Self::Protocol { .. })
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source, doing } => Self::new(source.kind(), format!("{doing}: {source}")),
            other => Self::other(other),
        }
    }
}
