//! The record of a part of the evidence that could not be read as its format promises.
//!
//! A problem is data, not a failure: the examination goes on, the report carries it and the exit code shows it.

use crate::fs::RawPath;
use serde::Serialize;

/// Which kind of "no" it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProblemKind {
    /// The device did not give the bytes.
    Io,
    /// The format or feature is known but not read by this version.
    Unsupported,
    /// The bytes contradict their format.
    Corrupt,
    /// A bound of ours stopped the reading.
    Refused,
}

/// Where it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The whole source.
    Source,
    /// A byte offset of the source examined.
    OffsetBytes(u64),
    /// A partition, by its number.
    Partition(u32),
    /// An inode or the like of a file system.
    Node(u64),
    /// A path inside a file system.
    Path(RawPath),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source => f.write_str("the source"),
            Self::OffsetBytes(offset) => write!(f, "offset {offset}"),
            Self::Partition(number) => write!(f, "partition {number}"),
            Self::Node(node) => write!(f, "inode {node}"),
            Self::Path(path) => write!(f, "{path}"),
        }
    }
}

/// One recorded problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Which kind of "no".
    pub kind: ProblemKind,
    /// Where.
    pub place: Place,
    /// What, as a fact with numbers; bytes from the evidence are escaped.
    pub text: String,
}

impl Problem {
    /// A record of its three parts.
    #[must_use]
    pub fn new(kind: ProblemKind, place: Place, text: impl Into<String>) -> Self {
        Self { kind, place, text: text.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
