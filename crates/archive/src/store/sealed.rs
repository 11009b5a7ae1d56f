//! Signing an archive, and opening one whose signature holds.

use std::path::Path;

use super::signers::is_signature;
use super::{
    Archive, Catalogue, FileRecord, INDEX, SIGNATURE, STATEMENT, Signer, Statement, TrustedKeys,
    files, show,
};
use crate::seal::TrustedKey;
use crate::{Error, Result};

/// An archive whose list is signed by a trusted key and is no older than what was seen before. Each file is compared with the
/// list when it is read.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub(super) archive: Archive,
    pub(super) statement: Statement,
    signers: Vec<Signer>,
}

impl Archive {
    /// Lists everything in the archive and signs the list; the version grows by one.
    ///
    /// `sign` gets the bytes and the comment to sign, and returns the text of a `.minisig` file; it is checked with `key`
    /// before anything is written.
    ///
    /// # Errors
    /// When a file cannot be read, signing fails, or the signature is not by `key`.
    pub fn sign(
        &self,
        key: &TrustedKey,
        signed_seconds: u64,
        sign: impl FnOnce(&[u8], &str) -> std::result::Result<String, String>,
    ) -> Result<Statement> {
        let mut statement = self.statement()?;
        statement.version = statement.version.saturating_add(1);
        statement.signed_seconds = signed_seconds;
        statement.files.clear();
        for name in files::all(&self.dir)? {
            if is_listed(&name) {
                let file = files::open(&self.path(&name), &name, STATEMENT)?;
                let (size_bytes, sha256) = files::measure(file, &name)?;
                statement.files.insert(name, FileRecord::new(size_bytes, &sha256));
            }
        }
        let bytes = statement.to_bytes()?;
        let comment = format!("archive {} version {}", statement.name, statement.version);
        let signature = sign(&bytes, &comment).map_err(Error::Refused)?;
        key.check(STATEMENT, &bytes, &signature)?;
        // A power cut between the two leaves a signature that does not hold: refused, and signed again.
        files::write(&self.path(STATEMENT), &bytes)?;
        files::write(&self.path(SIGNATURE), signature.as_bytes())?;
        self.forget_cosignatures()?;
        Ok(statement)
    }
}

/// Whether a file is named by the list itself: package files and listings are named by the index of the catalogue.
pub(super) fn is_listed(name: &str) -> bool {
    let is_pool = name.starts_with("debian/")
        && name.splitn(3, '/').nth(2).is_some_and(|rest| rest.starts_with("pool/"));
    let is_listing = name.starts_with("catalogue/packages/");
    let is_pool = is_pool || super::rpms::is_package(name);
    !is_pool && !is_listing && name != STATEMENT && !is_signature(name)
}

impl Sealed {
    /// Opens an archive whose list `key` signed, at version `least` or later.
    ///
    /// # Errors
    /// As [`Self::open_by`].
    pub fn open(dir: &Path, key: &TrustedKey, least: u64) -> Result<Self> {
        Self::open_by(dir, &TrustedKeys::one(key.clone()), least)
    }

    /// Opens an archive whose list as many of these keys signed as are needed, at version `least` or later.
    ///
    /// # Errors
    /// When it is not signed, by other or too few keys, a signature does not hold, or the version is older.
    pub fn open_by(dir: &Path, keys: &TrustedKeys, least: u64) -> Result<Self> {
        let archive = Archive { dir: dir.to_owned() };
        let bytes = files::read(&archive.path(STATEMENT), STATEMENT)?;
        let signers = keys.signers(&archive, &bytes)?;
        let statement = Statement::parse(&bytes)?;
        if statement.version < least {
            return Err(Error::Rollback {
                what: format!("archive {}", hashing::escape_name(statement.name.as_bytes())),
                found: format!("version {}", statement.version),
                seen: format!("version {least}"),
            });
        }
        Ok(Self { archive, statement, signers })
    }

    /// Whose signatures count.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Its list.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.archive.dir()
    }

    /// Reads a file that the list names, whole.
    ///
    /// # Errors
    /// When the list does not name it, or it is not the file listed.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let Some(record) = self.statement.files.get(name) else {
            return Err(Error::NotListed { name: name.to_owned(), index: STATEMENT.to_owned() });
        };
        let bytes = files::read(&self.archive.path(name), name)?;
        let (size_bytes, sha256) = files::measure(bytes.as_slice(), name)?;
        record.compare(name, STATEMENT, size_bytes, &sha256)?;
        Ok(bytes)
    }

    /// The catalogue of packages.
    ///
    /// # Errors
    /// When there is none, or it is not the one listed.
    pub fn catalogue(&self) -> Result<Catalogue> {
        Catalogue::parse(&self.archive.dir, &self.read(INDEX)?)
    }

    /// The mirrors, sorted by name.
    ///
    /// # Errors
    /// When a description of one is not the one listed.
    pub fn mirrors(&self) -> Result<Vec<super::Mirror>> {
        let names = self.statement.files.keys().filter(|name| super::mirror::is_description(name));
        names.map(|name| super::Mirror::parse(name, &self.read(name)?)).collect()
    }
}

impl std::fmt::Display for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} version {}", show(&self.archive.dir), self.statement.version)
    }
}
