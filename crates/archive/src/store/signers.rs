//! Who signed the list of an archive: as many of the trusted keys as are asked for, or keys that took their places.
//!
//! `archive.json.minisig` is the signature of whoever made the version; `archive.json.KEY.minisig` are those of others over the
//! same bytes. A key gives its place to another by signing that one's `.pub` file: both lie in `keys/`. Whoever holds a key
//! can sign in its name anyhow, so that a succession gives nobody a right he did not have; and one signature never counts
//! for two keys, so that two places given to one key are one voice.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;

use super::{Archive, SIGNATURE, STATEMENT, Statement, files, show};
use crate::seal::TrustedKey;
use crate::{Error, Result};

/// Signatures and successions that are looked at; more are no honest archive.
const MAX_FILES: usize = 64;
/// How the signed comment of a succession begins; the key that gives its place follows.
const SUCCESSOR: &str = "successor of ";

/// Keys of which a number must have signed.
#[derive(Debug, Clone)]
pub struct TrustedKeys {
    keys: Vec<TrustedKey>,
    needed: usize,
}

/// A signature that counts.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The trusted key in whose place it stands.
    pub trusted: TrustedKey,
    /// The key that signed: the same one, or one that took its place.
    pub by: TrustedKey,
}

/// A key that gives its place to another.
#[derive(Debug, Clone)]
struct Succession {
    old: TrustedKey,
    new: TrustedKey,
}

impl TrustedKeys {
    /// Asks for signatures of `needed` different ones of these keys.
    ///
    /// # Errors
    /// When there are fewer keys than are needed: such an archive could never be opened.
    pub fn new(keys: impl IntoIterator<Item = TrustedKey>, needed: NonZeroUsize) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let keys: Vec<TrustedKey> =
            keys.into_iter().filter(|key| seen.insert(key.to_string())).collect();
        let needed = needed.get();
        if keys.len() < needed {
            let count = keys.len();
            let text = format!("{needed} signatures are asked for, but {count} keys are trusted");
            return Err(Error::Refused(text));
        }
        Ok(Self { keys, needed })
    }

    /// One key that must have signed.
    #[must_use]
    pub fn one(key: TrustedKey) -> Self {
        Self { keys: vec![key], needed: 1 }
    }

    /// Finds the signatures over `bytes` that count.
    pub(super) fn signers(&self, archive: &Archive, bytes: &[u8]) -> Result<Vec<Signer>> {
        let signatures = signatures(archive)?;
        let not = |reason: String| {
            let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
            Error::NotSealed { what: STATEMENT.to_owned(), key: keys.join(" or "), reason }
        };
        if signatures.is_empty() {
            return Err(not(format!("there is no {SIGNATURE}")));
        }
        let successions = successions(archive)?;
        let mut found: Vec<Signer> = Vec::new();
        let mut reasons = Vec::new();
        for trusted in &self.keys {
            let mut reason = "it is signed by another key".to_owned();
            for by in places(trusted, &successions) {
                if found.iter().any(|one| one.by.to_string() == by.to_string()) {
                    reason = "the key in its place has signed in the place of another".to_owned();
                    continue;
                }
                let mut checks =
                    signatures.iter().filter(|one| by.is_of(one)).map(|one| by.verify(bytes, one));
                let holds = checks.find_map(|check| check.map_err(|why| reason = why).ok());
                if holds.is_some() {
                    found.push(Signer { trusted: trusted.clone(), by });
                    reason.clear();
                    break;
                }
            }
            if !reason.is_empty() {
                reasons.push((trusted, reason));
            }
        }
        if found.len() >= self.needed {
            return Ok(found);
        }
        Err(not(match reasons.as_slice() {
            [(_, reason)] if self.keys.len() == 1 => reason.clone(),
            several => {
                let all: Vec<String> =
                    several.iter().map(|(key, reason)| format!("{key}: {reason}")).collect();
                let (have, needed) = (found.len(), self.needed);
                format!("{have} of {needed} signatures hold; {}", all.join("; "))
            }
        }))
    }
}

/// The key and all that took its place, one after the other; each once.
fn places(key: &TrustedKey, successions: &[Succession]) -> Vec<TrustedKey> {
    let mut places = vec![key.clone()];
    let mut seen = BTreeSet::from([key.to_string()]);
    let mut at = 0_usize;
    while let Some(old) = places.get(at).map(ToString::to_string) {
        for one in successions.iter().filter(|one| one.old.to_string() == old) {
            if seen.insert(one.new.to_string()) {
                places.push(one.new.clone());
            }
        }
        at = at.saturating_add(1);
    }
    places
}

/// Whether a file of the archive's folder is a signature over its list.
pub(super) fn is_signature(name: &str) -> bool {
    name == SIGNATURE
        || name
            .strip_prefix("archive.json.")
            .and_then(|rest| rest.strip_suffix(".minisig"))
            .is_some_and(|key| key.len() == 16 && key.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Names in a folder that `is_it` picks, sorted; none where there is no such folder.
fn names(archive: &Archive, folder: &str, is_it: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let dir = if folder.is_empty() { archive.dir.clone() } else { archive.path(folder) };
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(&show(&dir))(error)),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(Error::io(&show(&dir)))?.file_name();
        names.extend(name.to_str().filter(|name| is_it(name)).map(str::to_owned));
        if names.len() > MAX_FILES {
            let what = format!("number of signatures in {}", show(&dir));
            let limit_bytes = u64::try_from(MAX_FILES).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { what, limit_bytes });
        }
    }
    Ok(names.into_iter().collect())
}

fn text(archive: &Archive, name: &str) -> Result<String> {
    String::from_utf8(files::read(&archive.path(name), name)?)
        .map_err(|_| Error::malformed(name, "its content", "it is no text"))
}

/// Names of the files with signatures over its list.
pub(super) fn signature_names(archive: &Archive) -> Result<Vec<String>> {
    names(archive, "", is_signature)
}

fn signatures(archive: &Archive) -> Result<Vec<String>> {
    signature_names(archive)?.iter().map(|name| text(archive, name)).collect()
}

fn successions(archive: &Archive) -> Result<Vec<Succession>> {
    let keys = names(archive, "keys", |name| name.ends_with(".pub"))?;
    keys.iter()
        .map(|name| {
            let name = format!("keys/{name}");
            let public = text(archive, &name)?;
            Succession::parse(&name, &public, &text(archive, &format!("{name}.minisig"))?)
        })
        .collect()
}

impl Succession {
    /// Reads the new key and the signature over it; the signed comment names the old key.
    fn parse(name: &str, public: &str, signature: &str) -> Result<Self> {
        let new = TrustedKey::parse(name, public)?;
        let comment = crate::seal::comment(signature).unwrap_or_default();
        let Some(old) = comment.strip_prefix(SUCCESSOR) else {
            let reason = "its signature does not say whose place the key takes";
            return Err(Error::malformed(name, ".minisig", reason));
        };
        let old = TrustedKey::parse(name, old)?;
        // The comment just read is covered by this check.
        old.check(name, public.as_bytes(), signature)?;
        Ok(Self { old, new })
    }
}

/// What a key says in the comment it signs when it gives its place to another.
#[must_use]
pub fn succession_comment(old: &TrustedKey) -> String {
    format!("{SUCCESSOR}{old}")
}

impl Archive {
    /// Adds the signature of a further key over the list as it stands. The version stays; the next [`Self::sign`] begins anew.
    ///
    /// # Errors
    /// When the list was never signed, this key has signed it already, signing fails or the signature is not by `key`.
    pub fn cosign(
        &self,
        key: &TrustedKey,
        sign: impl FnOnce(&[u8], &str) -> std::result::Result<String, String>,
    ) -> Result<Statement> {
        let bytes = files::read(&self.path(STATEMENT), STATEMENT)?;
        let statement = Statement::parse(&bytes)?;
        let signatures = signatures(self)?;
        if signatures.is_empty() {
            return Err(Error::Refused("the archive was never signed: sign it first".to_owned()));
        }
        if signatures.iter().any(|one| key.verify(&bytes, one).is_ok()) {
            let version = statement.version;
            return Err(Error::Refused(format!("this key has signed version {version} already")));
        }
        let comment = format!("archive {} version {}", statement.name, statement.version);
        let signature = sign(&bytes, &comment).map_err(Error::Refused)?;
        key.check(STATEMENT, &bytes, &signature)?;
        let name = format!("archive.json.{}.minisig", key.number());
        files::write(&self.path(&name), signature.as_bytes())?;
        Ok(statement)
    }

    /// Keeps a key that takes the place of another: its `.pub` file and the old key's signature over it. The next signing
    /// lists it. Gives the old key and the new one.
    ///
    /// # Errors
    /// When the signature is no succession, does not hold, or the medium does not take it.
    pub fn add_key(&self, public: &str, signature: &str) -> Result<(TrustedKey, TrustedKey)> {
        let Succession { old, new } = Succession::parse("the new key", public, signature)?;
        let name = format!("keys/{}.pub", new.number());
        files::write(&self.path(&format!("{name}.minisig")), signature.as_bytes())?;
        files::write(&self.path(&name), public.as_bytes())?;
        Ok((old, new))
    }

    /// Removes signatures of others over an earlier list: they count for nothing any more.
    pub(super) fn forget_cosignatures(&self) -> Result<()> {
        for name in names(self, "", |name| is_signature(name) && name != SIGNATURE)? {
            fs::remove_file(self.path(&name)).map_err(Error::io(&name))?;
        }
        Ok(())
    }
}
