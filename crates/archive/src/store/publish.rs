//! An archive as a plain directory that any HTTP server or object store serves, and an archive made of one.
//!
//! ```text
//! objects/AB/SHA256               every file, by its digest: written once, never changed
//! archives/NAME/VERSION/          the signed list of one version, with its signatures and keys
//! archives/NAME/latest            the number of the newest version, written last
//! ```
//!
//! The place is trusted with nothing. Objects that several versions share lie there once; a copy that was cut short is gone on
//! with, and nobody who reads meanwhile sees a mixture, because a version appears when all its objects are there. Whoever
//! collects compares everything with the signed list, and gets an archive that opens only when it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Digest};

use super::mirror::is_word;
use super::signers::signature_names;
use super::{
    Archive, Catalogue, FileRecord, INDEX, STATEMENT, Sealed, Statement, TrustedKeys, files, show,
};
use crate::{Error, Result};

/// Longest `latest`.
const MAX_LATEST_BYTES: u64 = 32;
const LATEST: &str = "latest";

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Files copied.
    pub copied: usize,
    /// Files that were there already, compared by their digest.
    pub kept: usize,
    /// Length of the copied files in bytes.
    pub bytes: u64,
}

/// Where an object lies below a place.
fn object(place: &Path, record: &FileRecord) -> Result<PathBuf> {
    let is_sound = Digest::from_hex(Algorithm::Sha256, &record.sha256).is_ok();
    let front = record.sha256.get(..2).filter(|_| is_sound);
    let front =
        front.ok_or_else(|| Error::Refused(format!("{:?} is no SHA-256", record.sha256)))?;
    Ok(place.join("objects").join(front).join(record.sha256.to_ascii_lowercase()))
}

/// Copies a file unless it is there already; `name` and `index` are for messages.
fn transfer(
    from: &Path,
    to: &Path,
    (name, index, record): (&str, &str, &FileRecord),
    total: &mut Transferred,
) -> Result<()> {
    if to.exists() && files::compare(to, name, index, record).is_ok() {
        total.kept = total.kept.saturating_add(1);
        return Ok(());
    }
    // A link in the place would lead out of it.
    drop(files::open(from, name, index)?);
    files::copy(from, to, name, index, record)?;
    total.copied = total.copied.saturating_add(1);
    total.bytes = total.bytes.saturating_add(record.size_bytes);
    Ok(())
}

/// Files of the catalogue: packages and their listings.
fn of_catalogue(catalogue: &Catalogue) -> BTreeMap<String, FileRecord> {
    let rows = catalogue.rows().iter();
    rows.flat_map(|row| {
        [(row.file.clone(), row.record.clone()), (row.listing_name(), row.listing.clone())]
    })
    .collect()
}

fn latest(folder: &Path) -> Result<Option<u64>> {
    let path = folder.join(LATEST);
    let mut text = String::new();
    match fs::File::open(&path) {
        Ok(file) => file.take(MAX_LATEST_BYTES).read_to_string(&mut text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(Error::io(&show(&path)))?;
    let odd = || Error::malformed(&show(&path), "its content", "it is no version");
    text.trim_end().parse().map(Some).map_err(|_| odd())
}

fn folder_of(place: &Path, name: &str) -> Result<PathBuf> {
    if is_word(name) {
        return Ok(place.join("archives").join(name));
    }
    let name = hashing::escape_name(name.as_bytes());
    Err(Error::Refused(format!("an archive called {name} has no place in a plain directory")))
}

impl Sealed {
    /// Writes the archive into a plain directory; what is there already is compared and kept.
    ///
    /// # Errors
    /// When a file is not the one listed, a newer version was published there, or the medium does not take it.
    pub fn publish(&self, to: &Path, done: &mut dyn FnMut(u64)) -> Result<Transferred> {
        let version = self.statement.version;
        let folder = folder_of(to, &self.statement.name)?;
        if let Some(newest) = latest(&folder)?.filter(|newest| *newest > version) {
            return Err(Error::Rollback {
                what: format!("archive {}", self.statement.name),
                found: format!("version {version}"),
                seen: format!("version {newest}"),
            });
        }
        let mut total = Transferred::default();
        let mut put = |name: &str, index: &str, record: &FileRecord| {
            let from = self.archive.path(name);
            transfer(&from, &object(to, record)?, (name, index, record), &mut total)?;
            done(total.bytes);
            Ok::<(), Error>(())
        };
        for (name, record) in &self.statement.files {
            put(name, STATEMENT, record)?;
        }
        if self.statement.files.contains_key(INDEX) {
            for (name, record) in of_catalogue(&self.catalogue()?) {
                put(&name, INDEX, &record)?;
            }
        }
        // The version appears with its list, and that is written behind everything it stands for.
        let own = folder.join(version.to_string());
        let keys = self.statement.files.keys().filter(|name| name.starts_with("keys/")).cloned();
        let around: Vec<String> = signature_names(&self.archive)?.into_iter().chain(keys).collect();
        for name in around.iter().map(String::as_str).chain([STATEMENT]) {
            files::write(&own.join(name), &files::read(&self.archive.path(name), name)?)?;
        }
        files::write(&folder.join(LATEST), format!("{version}\n").as_bytes())?;
        Ok(total)
    }

    /// Makes an archive in `into` of what was published at `from`: the newest version, or the one named. Files that are there
    /// already are compared and kept, so that what was cut short is gone on with.
    ///
    /// # Errors
    /// When there is no such archive or version, it is not signed by the keys or older than `least`, an object is missing or
    /// not the one listed, or `into` holds an archive already.
    pub fn collect(
        from: &Path,
        (name, version): (&str, Option<u64>),
        into: &Path,
        (keys, least): (&TrustedKeys, u64),
        done: &mut dyn FnMut(u64),
    ) -> Result<(Self, Transferred)> {
        let folder = folder_of(from, name)?;
        let missing = |what: &str| Error::Missing {
            name: what.to_owned(),
            index: "whoever publishes".to_owned(),
        };
        let version = match version {
            Some(version) => version,
            None => {
                latest(&folder)?.ok_or_else(|| missing(&format!("archives/{name}/{LATEST}")))?
            }
        };
        // The list is believed before anything it names is asked for.
        let own = Archive { dir: folder.join(version.to_string()) };
        let bytes = files::read(&own.path(STATEMENT), STATEMENT)?;
        keys.signers(&own, &bytes)?;
        let statement = Statement::parse(&bytes)?;
        if statement.name != name || statement.version < least.max(version) {
            return Err(Error::Rollback {
                what: format!("archive {}", hashing::escape_name(statement.name.as_bytes())),
                found: format!("version {}", statement.version),
                seen: format!("version {} of {name}", least.max(version)),
            });
        }
        let archive = Archive { dir: into.to_owned() };
        if archive.path(STATEMENT).exists() {
            return Err(Error::Refused(format!("{} holds an archive already", show(into))));
        }
        let mut total = Transferred::default();
        let mut get = |name: &str, index: &str, record: &FileRecord| {
            let place = archive.path(name);
            transfer(&object(from, record)?, &place, (name, index, record), &mut total)?;
            done(total.bytes);
            Ok::<(), Error>(())
        };
        for (name, record) in &statement.files {
            get(name, STATEMENT, record)?;
        }
        if statement.files.contains_key(INDEX) {
            let index = files::read(&archive.path(INDEX), INDEX)?;
            for (name, record) in of_catalogue(&Catalogue::parse(into, &index)?) {
                get(&name, INDEX, &record)?;
            }
        }
        for name in signature_names(&own)? {
            files::write(&archive.path(&name), &files::read(&own.path(&name), &name)?)?;
        }
        // Last: without it there is no archive.
        files::write(&archive.path(STATEMENT), &bytes)?;
        Ok((Self::open_by(into, keys, least)?, total))
    }
}
