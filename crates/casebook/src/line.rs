//! One line of `acts.jsonl`, taken apart without ever being re-serialised.
//!
//! Every byte of a line is held: the act by its hash and signature, all else because the line must
//! be exactly what writing the parts again gives.
//!
//! A case of many acts is read in two ways. [`Parts`] takes a line that is exactly as we write it, by
//! its fixed lengths, without copying or parsing it; it only ever says yes. Everything else goes the
//! long way of [`SignedAct::parse`], which names what is wrong.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::files::{LineEnd, is_sha256, next_line, sha256};
use crate::key::{Checker, signature_file};
use crate::{Act, Error, PublicKey, Signer, journal};

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

/// A line in our own form, taken apart where it lies. That the act is one JSON value is for the
/// reader of the act to find: only with it the line is as it must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) act: &'a str,
    pub(crate) hash: &'a str,
    signature: &'a str,
    comment_signature: &'a str,
}

/// Letters of a SHA-256, of minisign's 74 bytes in base64, and of the 64 bytes over its comment.
const HASH_LETTERS: usize = 64;
const SIGNATURE_LETTERS: usize = 100;
const COMMENT_LETTERS: usize = 88;

impl<'a> Parts<'a> {
    /// The parts of a line whose hash is right; `None` sends the reader the long way.
    pub(crate) fn of(line: &'a [u8]) -> Option<Self> {
        let rest =
            std::str::from_utf8(line).ok()?.strip_prefix("{\"act\":")?.strip_suffix("\"}")?;
        let (rest, comment_signature) = split_end(rest, COMMENT_LETTERS)?;
        let rest = rest.strip_suffix("\",\"comment_signature\":\"")?;
        let (rest, signature) = split_end(rest, SIGNATURE_LETTERS)?;
        let rest = rest.strip_suffix("\",\"signature\":\"")?;
        let (rest, hash) = split_end(rest, HASH_LETTERS)?;
        let act = rest.strip_suffix(",\"hash\":\"")?;
        let letters = |text: &str| {
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        };
        let fits = act.starts_with('{')
            && act.ends_with('}')
            && letters(signature)
            && letters(comment_signature)
            && sha256(act.as_bytes()) == hash;
        fits.then_some(Self { act, hash, signature, comment_signature })
    }

    pub(crate) fn to_signed(self) -> SignedAct {
        SignedAct {
            act: self.act.to_owned(),
            hash: self.hash.to_owned(),
            signature: self.signature.to_owned(),
            comment_signature: self.comment_signature.to_owned(),
        }
    }

    /// Whether both signatures hold.
    pub(crate) fn accepted_by(&self, checker: &Checker) -> bool {
        let Self { act, hash, signature, comment_signature } = *self;
        checker.accept(act.as_bytes(), hash, signature, comment_signature)
    }
}

/// The text before its last `length` bytes, and these.
fn split_end(text: &str, length: usize) -> Option<(&str, &str)> {
    text.split_at_checked(text.len().checked_sub(length)?)
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

    /// The act of a line that is whole.
    fn whole(line: &[u8]) -> Option<Self> {
        let Some(parts) = Parts::of(line) else { return Self::parse(line).ok() };
        serde_json::from_str::<IgnoredAny>(parts.act).ok()?;
        Some(parts.to_signed())
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
    acts(dir)?.collect()
}

/// As [`read_acts`], one act at a time: a case may be longer than memory.
///
/// # Errors
/// When the list cannot be opened.
pub fn acts(dir: &Path) -> Result<SignedActs, Error> {
    let path = dir.join(journal::to_read(dir)?);
    let file = File::open(&path).map_err(Error::io("opening", &path))?;
    let reader = BufReader::with_capacity(1 << 18, file);
    Ok(SignedActs { path, reader, line: Vec::new(), is_over: false })
}

/// Acts as they are read; see [`acts`].
#[derive(Debug)]
pub struct SignedActs {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    is_over: bool,
}

impl Iterator for SignedActs {
    type Item = Result<SignedAct, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let act = match next_line(&mut self.reader, &mut self.line) {
            Ok((LineEnd::Whole, _)) => SignedAct::whole(&self.line).map(Ok),
            Ok(_) => None,
            Err(error) => Some(Err(Error::io("reading", &self.path)(error))),
        };
        self.is_over = !matches!(act, Some(Ok(_)));
        act
    }
}
