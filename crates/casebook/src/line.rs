//! One line of `acts.jsonl`, taken apart without ever being re-serialised.
//!
//! Every byte of a line is held: the act by its hash and signature, all else because the line must
//! be exactly what writing the parts again gives.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::files::{LineEnd, is_sha256, next_line, sha256};
use crate::key::signature_file;
use crate::{Act, Error, PublicKey, Signer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    #[serde(borrow)]
    act: &'a RawValue,
    hash: String,
    signature: String,
    comment_signature: String,
}

/// Why a line is not a signed act.
#[derive(Debug)]
pub(crate) enum LineFault {
    /// It is not such a line at all, as half a line is not.
    NotALine(String),
    /// It is a line, and what it says does not hold.
    DoesNotHold(String),
}

impl LineFault {
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::NotALine(reason) | Self::DoesNotHold(reason) => {
                hashing::escape_name(reason.as_bytes())
            }
        }
    }
}

/// An act with its hash and signature, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAct {
    act: String,
    hash: String,
    signature: String,
    comment_signature: String,
}

impl SignedAct {
    /// Signs an act, or the claim of an exhibit, which can never be taken for one.
    pub(crate) fn sign(act: &impl Serialize, signer: &Signer) -> Result<Self, Error> {
        let text = serde_json::to_string(act)
            .map_err(|error| Error::Refused { reason: format!("writing an act: {error}") })?;
        let hash = sha256(text.as_bytes());
        let (signature, comment_signature) = signer.sign(text.as_bytes(), &hash)?;
        Ok(Self { act: text, hash, signature, comment_signature })
    }

    /// Takes a line apart and checks its form and hash, not its signature.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, LineFault> {
        let raw: RawLine<'_> = serde_json::from_slice(line)
            .map_err(|error| LineFault::NotALine(format!("line is not a signed act: {error}")))?;
        let parsed = Self {
            act: raw.act.get().to_owned(),
            hash: raw.hash,
            signature: raw.signature,
            comment_signature: raw.comment_signature,
        };
        let found = sha256(parsed.act.as_bytes());
        if !is_sha256(&parsed.hash) || found != parsed.hash {
            let recorded = &parsed.hash;
            let reason = format!("hash of the act is {found}, its line says {recorded}");
            return Err(LineFault::DoesNotHold(reason));
        }
        if parsed.to_line().as_bytes() != line {
            let reason = "line differs from its canonical form".to_owned();
            return Err(LineFault::DoesNotHold(reason));
        }
        Ok(parsed)
    }

    /// The line without its line feed.
    pub(crate) fn to_line(&self) -> String {
        let Self { act, hash, signature, comment_signature } = self;
        format!(
            "{{\"act\":{act},\"hash\":\"{hash}\",\"signature\":\"{signature}\",\
             \"comment_signature\":\"{comment_signature}\"}}"
        )
    }

    /// The bytes that were hashed and signed.
    #[must_use]
    pub fn act_bytes(&self) -> &[u8] {
        self.act.as_bytes()
    }

    /// SHA-256 of those bytes in hexadecimal; the head of the case when this is its last act.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The text of a `.minisig` file: with it and [`Self::act_bytes`] in a file, `minisign -V`
    /// checks this act without any program of ours.
    #[must_use]
    pub fn act_signature_file(&self) -> String {
        signature_file(&self.hash, &self.signature, &self.comment_signature)
    }

    /// The facts of the act.
    ///
    /// # Errors
    /// When the act lacks facts that this version expects.
    pub fn act(&self) -> Result<Act, Error> {
        self.facts().map_err(|reason| Error::Refused { reason })
    }

    pub(crate) fn facts(&self) -> Result<Act, String> {
        serde_json::from_str(&self.act)
            .map_err(|e| hashing::escape_name(format!("act is not readable: {e}").as_bytes()))
    }

    pub(crate) fn check(&self, key: &PublicKey) -> Result<(), String> {
        key.check(self.act.as_bytes(), &self.hash, &self.signature, &self.comment_signature)
    }
}

/// Reads all acts of the case in `dir`, in order; nothing but form and hash of each is checked.
///
/// Reading stops at the first line that is not whole; use [`crate::verify()`] to learn why.
///
/// # Errors
/// When the list cannot be opened or read.
pub fn read_acts(dir: &Path) -> Result<Vec<SignedAct>, Error> {
    let path = dir.join("acts.jsonl");
    let file = File::open(&path).map_err(Error::io("opening", &path))?;
    let (mut reader, mut line, mut acts) = (BufReader::new(file), Vec::new(), Vec::new());
    loop {
        let (end, _) = next_line(&mut reader, &mut line).map_err(Error::io("reading", &path))?;
        match (end, SignedAct::parse(&line)) {
            (LineEnd::Whole, Ok(act)) => acts.push(act),
            _ => return Ok(acts),
        }
    }
}
