//! `case.toml`: what the case is.
//!
//! Written once. Its SHA-256 stands in the first act, so it cannot be changed unseen afterwards.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::sha256;
use crate::{Error, PublicKey, Timestamp, Tool};

const FORMAT: &str = "glovebox-case";
const VERSION: u32 = 1;
/// Far more than any `case.toml` of ours; keeps a hostile one from filling memory.
const MAX_BYTES: u64 = 1 << 20;

/// What the caller knows about a new case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// Short identifier, unique for the team, for example `2026-014`.
    pub id: String,
    /// What the case is about, in one line.
    pub name: String,
    /// Who is responsible.
    pub examiner: String,
    /// When it was created.
    pub created: Timestamp,
    /// The program creating it.
    pub tool: Tool,
}

/// What `case.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseInfo {
    format: String,
    version: u32,
    /// Short identifier.
    pub id: String,
    /// What the case is about.
    pub name: String,
    /// Who is responsible.
    pub examiner: String,
    /// When it was created.
    pub created: Timestamp,
    /// The minisign public key of its acts, in base64.
    pub public_key: String,
    /// The program that created it.
    pub tool: Tool,
}

impl CaseInfo {
    pub(crate) fn new(case: NewCase, key: &PublicKey) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            id: case.id,
            name: case.name,
            examiner: case.examiner,
            created: case.created,
            public_key: key.to_string(),
            tool: case.tool,
        }
    }

    pub(crate) fn to_text(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| Error::Refused { reason: error.to_string() })
    }

    /// Reads and checks `case.toml` of the case in `dir`.
    ///
    /// # Errors
    /// When it is none that this version reads.
    pub fn of(dir: &Path) -> Result<Self, Error> {
        Ok(Self::read(dir)?.0)
    }

    /// Reads and checks `case.toml`; gives its key and the SHA-256 of the file too.
    pub(crate) fn read(dir: &Path) -> Result<(Self, PublicKey, String), Error> {
        let not_a_case = |reason: String| Error::NotACase {
            dir: dir.to_path_buf(),
            reason: hashing::escape_name(reason.as_bytes()),
        };
        let path = dir.join("case.toml");
        let size = fs::metadata(&path).map_err(|error| not_a_case(error.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(not_a_case(format!("it has {size} bytes")));
        }
        let text = fs::read_to_string(&path).map_err(|error| not_a_case(error.to_string()))?;
        let info: Self = toml::from_str(&text).map_err(|e| not_a_case(e.message().to_owned()))?;
        if info.format != FORMAT || info.version != VERSION {
            let (format, version) = (&info.format, info.version);
            return Err(not_a_case(format!(
                "format is \"{format}\" version {version}, expected \"{FORMAT}\" version {VERSION}"
            )));
        }
        let key = PublicKey::parse(&info.public_key).map_err(|e| not_a_case(e.to_string()))?;
        Ok((info, key, sha256(text.as_bytes())))
    }
}
