//! One digest, and the digests of one run of bytes.
//!
//! A digest can only be made with the length its algorithm has, so a short or mixed-up value is
//! refused where it is read and not where it is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Algorithm, Error};

/// A digest with the algorithm that made it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Digest {
    /// A digest from its raw bytes.
    ///
    /// # Errors
    /// When the length is not the algorithm's.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() == algorithm.length_bytes() {
            Ok(Self { algorithm, bytes: bytes.to_vec() })
        } else {
            Err(Error::DigestLength {
                algorithm,
                found: bytes.len(),
                expected: algorithm.length_bytes(),
            })
        }
    }

    /// A digest from hexadecimal text, in either case.
    ///
    /// # Errors
    /// When the text is not hexadecimal or has the wrong length.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Self, Error> {
        let bytes = decode_hex(text)
            .ok_or_else(|| Error::NotHex { text: crate::escape_name(text.as_bytes()) })?;
        Self::new(algorithm, &bytes)
    }

    /// The algorithm that made it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Lower-case hexadecimal.
    #[must_use]
    pub fn to_hex(&self) -> String {
        encode_hex(&self.bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Reads `algorithm:hex`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, hex) = text
            .split_once(':')
            .ok_or_else(|| Error::UnknownAlgorithm { name: crate::escape_name(text.as_bytes()) })?;
        Self::from_hex(name.parse()?, hex)
    }
}

/// The digests of one run of bytes, at most one for each algorithm.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Digests(BTreeMap<Algorithm, Digest>);

impl Digests {
    /// Adds a digest, replacing one of the same algorithm.
    pub fn insert(&mut self, digest: Digest) {
        self.0.insert(digest.algorithm, digest);
    }

    /// The digest made by `algorithm`, if there is one.
    #[must_use]
    pub fn of(&self, algorithm: Algorithm) -> Option<&Digest> {
        self.0.get(&algorithm)
    }

    /// The SHA-256 in hexadecimal, or the empty text where a foreign list did not carry one.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        self.of(Algorithm::Sha256).map(Digest::to_hex).unwrap_or_default()
    }

    /// The one to look a file up by: SHA-256 before SHA-512, BLAKE3, SHA-1 and MD5.
    #[must_use]
    pub fn strongest(&self) -> Option<&Digest> {
        Algorithm::BY_STRENGTH.into_iter().find_map(|algorithm| self.of(algorithm))
    }

    /// All digests in listing order.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.values()
    }

    /// Whether every algorithm that both sides have agrees, and there is at least one such.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let mut common = self.iter().filter_map(|d| Some((d, other.of(d.algorithm)?))).peekable();
        common.peek().is_some() && common.all(|(ours, theirs)| ours == theirs)
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Digest> for Digests {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        let mut all = Self::default();
        digests.into_iter().for_each(|digest| all.insert(digest));
        all
    }
}

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, digest)| (name, digest.to_hex())))
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<Algorithm, String>::deserialize(deserializer)?
            .into_iter()
            .map(|(algorithm, hex)| Digest::from_hex(algorithm, &hex))
            .collect::<Result<Self, Error>>()
            .map_err(serde::de::Error::custom)
    }
}

pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let nibble =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some((nibble(*high)? << 4) | nibble(*low)?)).collect()
}
