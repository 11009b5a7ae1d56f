//! The digest algorithms offered, and sets of them.
//!
//! A set holds SHA-256 unless it was asked for by [`Algorithms::exactly`], so a record of a case cannot lack it by oversight.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// MD5 (RFC 1321): only to match older lists, never as proof.
    Md5,
    /// SHA-1 (FIPS 180-4): only to match older lists, never as proof.
    Sha1,
    /// SHA-256 (FIPS 180-4): the digest of record.
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// BLAKE3, 32-byte output.
    Blake3,
}

impl Algorithm {
    /// Every algorithm, in the order in which digests are listed.
    pub const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512, Self::Blake3];

    /// Every algorithm, the one to prefer first: the digest of record, then what is as good, then
    /// what only matches older lists.
    pub(crate) const BY_STRENGTH: [Self; 5] =
        [Self::Sha256, Self::Sha512, Self::Blake3, Self::Sha1, Self::Md5];

    /// The name used in manifests and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// Length of the digest in bytes.
    #[must_use]
    pub fn length_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wanted = text.to_ascii_lowercase().replace('-', "");
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == wanted)
            .ok_or_else(|| Error::UnknownAlgorithm { name: crate::escape_name(text.as_bytes()) })
    }
}

/// A set of algorithms; SHA-256 is in it unless the set was made by [`Self::exactly`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Algorithms(BTreeSet<Algorithm>);

impl Algorithms {
    /// SHA-256 and nothing else.
    #[must_use]
    pub fn sha256() -> Self {
        Self(BTreeSet::from([Algorithm::Sha256]))
    }

    /// These and no others, for lists that are no record of a case: to check somebody else's list, or
    /// where time matters more than the digest of record. `None` for no algorithm at all.
    #[must_use]
    pub fn exactly(algorithms: impl IntoIterator<Item = Algorithm>) -> Option<Self> {
        let set: BTreeSet<Algorithm> = algorithms.into_iter().collect();
        (!set.is_empty()).then_some(Self(set))
    }

    /// Whether `algorithm` is a member.
    #[must_use]
    pub fn has(&self, algorithm: Algorithm) -> bool {
        self.0.contains(&algorithm)
    }

    /// This set with `algorithm` added.
    #[must_use]
    pub fn with(mut self, algorithm: Algorithm) -> Self {
        self.0.insert(algorithm);
        self
    }

    /// The members in listing order.
    pub fn iter(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.0.iter().copied()
    }
}

impl Default for Algorithms {
    fn default() -> Self {
        Self::sha256()
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        algorithms.into_iter().fold(Self::sha256(), Self::with)
    }
}
