//! What can go wrong between a tool and the broker.

use std::io;

/// The three kinds of "no", for exit codes and hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reading, opening or talking went wrong.
    Io,
    /// The broker (or the rules it keeps) said no.
    Refused,
    /// What was asked names no disk or no valid name.
    NotFound,
}

/// An error of the guard, with its context.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the kernel did not go through.
    #[error("{doing}")]
    Io {
        /// What was being done, as a participle clause.
        doing: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The text is not the name of a disk.
    #[error("{name:?} is not a disk name (expected something like sda or nvme0n1)")]
    Name {
        /// What was given.
        name: String,
    },
    /// No such disk is attached.
    #[error("no disk {name} is attached")]
    NoDisk {
        /// What was asked for.
        name: String,
    },
    /// The broker refused; the text is its reason.
    #[error("the disk broker refused: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
    /// The other side said something that is not of this protocol.
    #[error("the disk broker's answer does not fit: {detail}")]
    Protocol {
        /// What did not fit.
        detail: String,
    },
    /// The request needs the broker, and there is none.
    #[error("{what} needs the booted stick: no disk broker listens here")]
    NoBroker {
        /// The request.
        what: &'static str,
    },
}

impl Error {
    /// Which kind of "no" this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } | Self::Protocol { .. } => Kind::Io,
            Self::Refused { .. } | Self::NoBroker { .. } => Kind::Refused,
            Self::Name { .. } | Self::NoDisk { .. } => Kind::NotFound,
        }
    }

    pub(crate) fn name(name: &str) -> Self {
        Self::Name { name: name.chars().take(80).collect() }
    }

    pub(crate) fn io(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing: doing.into(), source: source.into() }
    }
}
