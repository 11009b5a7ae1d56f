//! What can go wrong while reading evidence: three kinds of "no" and "it is not there".

use crate::fs::RawPath;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::SourceError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The source could not be read.
    #[error("reading {what}")]
    Read {
        /// The structure wanted.
        what: String,
        /// The cause, with its offset.
        #[source]
        source: SourceError,
    },
    /// The system refused an object of a directory handed over.
    #[error("reading {what}")]
    System {
        /// The object wanted, its name escaped.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The evidence uses something this version cannot read.
    #[error("{what} is not supported")]
    Unsupported {
        /// The feature, by its usual name.
        what: String,
    },
    /// The evidence contradicts its own format.
    #[error("{what}")]
    Corrupt {
        /// The contradiction, with numbers.
        what: String,
    },
    /// A bound of ours was reached.
    #[error("{what}")]
    Refused {
        /// The bound.
        what: String,
    },
    /// There is no such name.
    #[error("no {path} in the examined file system")]
    NotFound {
        /// What was looked for.
        path: RawPath,
    },
}

impl EvidenceError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }

    pub(crate) fn read(what: impl Into<String>) -> impl FnOnce(SourceError) -> Self {
        let what = what.into();
        move |source| Self::Read { what, source }
    }

    /// Which kind of "no" this is; a missing name counts as refused.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::Read { .. } | Self::System { .. } => ProblemKind::Io,
            Self::Unsupported { .. } => ProblemKind::Unsupported,
            Self::Corrupt { .. } => ProblemKind::Corrupt,
            Self::Refused { .. } | Self::NotFound { .. } => ProblemKind::Refused,
        }
    }

    /// Whether the only trouble is that the name does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The same as a recorded problem at `place`.
    #[must_use]
    pub fn to_problem(&self, place: Place) -> Problem {
        let text = match self {
            Self::Read { what, source } => format!("reading {what}: {source}"),
            Self::System { what, source } => format!("reading {what}: {source}"),
            other => other.to_string(),
        };
        Problem { kind: self.kind(), place, text }
    }
}
