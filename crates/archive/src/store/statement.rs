//! The list over an archive: the one thing our own key signs.

use std::collections::BTreeMap;

use hashing::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::debian::is_inside;
use crate::{Error, Result};

/// The form this program writes and reads.
const FORMAT: u32 = 1;

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    format: u32,
    /// What the archive is called; together with the key it tells one archive from another.
    pub name: String,
    /// Grows by one with each signing; 0 before the first.
    pub version: u64,
    /// When it was signed, by the signer's clock: seconds since 1970 UTC.
    pub signed_seconds: u64,
    /// Every file but package files and listings, which the index of the catalogue names.
    pub files: BTreeMap<String, FileRecord>,
}

/// Length and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Statement {
    pub(super) fn empty(name: &str) -> Self {
        let (name, files) = (name.to_owned(), BTreeMap::new());
        Self { format: FORMAT, name, version: 0, signed_seconds: 0, files }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let odd = |reason: String| Error::malformed(super::STATEMENT, "its content", reason);
        let statement: Self =
            serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
        if statement.format != FORMAT {
            return Err(odd(format!("form {} is not known", statement.format)));
        }
        if let Some(name) = statement.files.keys().find(|name| !is_inside(name)) {
            return Err(odd(format!("{name:?} leads out of the archive")));
        }
        Ok(statement)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::malformed(super::STATEMENT, "writing", error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl FileRecord {
    pub(super) fn new(size_bytes: u64, sha256: &Digest) -> Self {
        Self { size_bytes, sha256: sha256.to_hex() }
    }

    pub(super) fn compare(
        &self,
        name: &str,
        index: &str,
        found_bytes: u64,
        found: &Digest,
    ) -> Result<()> {
        let (name, index) = (name.to_owned(), index.to_owned());
        if found_bytes != self.size_bytes {
            let (found, expected) = (found_bytes, self.size_bytes);
            return Err(Error::Size { name, index, found, expected });
        }
        let expected = Digest::from_hex(Algorithm::Sha256, &self.sha256)
            .map_err(|_| Error::malformed(&index, &*name, "its SHA-256 is none"))?;
        if expected != *found {
            return Err(Error::Digest { name, index, found: found.clone(), expected });
        }
        Ok(())
    }
}
