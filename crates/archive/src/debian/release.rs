//! The release file: which indices belong to a suite, with the digests they must have.

use std::collections::BTreeMap;

use hashing::{Algorithm, Digest};

use crate::openpgp::{Signed, Signer};
use crate::{Error, Result, date, deb822};

/// A file whose length and digest somebody trusted stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub(super) name: String,
    pub(super) index: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: Digest,
}

impl Listed {
    /// The file, relative to what lists it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its SHA-256.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }
}

/// A suite as its maintainers signed it.
#[derive(Debug, Clone)]
pub struct Release {
    /// Who publishes it, such as `Debian`.
    pub origin: String,
    /// Its role, such as `stable`.
    pub suite: String,
    /// Its name, such as `trixie`.
    pub codename: String,
    /// Version of the distribution, where it has one.
    pub version: String,
    /// When it was made: seconds since 1970 UTC.
    pub date_seconds: u64,
    /// After when it should not be used any more, where it says so: seconds since 1970 UTC.
    pub valid_until_seconds: Option<u64>,
    /// Architectures it serves.
    pub architectures: Vec<String>,
    /// Components it is divided into.
    pub components: Vec<String>,
    signers: Vec<Signer>,
    name: String,
    files: BTreeMap<String, (u64, Digest)>,
}

impl Release {
    /// Reads the signed text of an `InRelease`; `name` is for messages.
    ///
    /// # Errors
    /// When it is no release file, has no date, or lists its indices by MD5 or SHA-1 only.
    pub fn parse(name: &str, signed: &Signed) -> Result<Self> {
        let mut reader = deb822::Reader::new(signed.text().as_bytes(), name);
        let paragraph = reader
            .next_paragraph()?
            .ok_or_else(|| Error::malformed(name, "line 1", "it is empty"))?;
        let text = |field: &str| paragraph.get(field).unwrap_or_default().to_owned();
        let words = |field: &str| -> Vec<String> {
            text(field).split_ascii_whitespace().map(str::to_owned).collect()
        };
        let seconds = |field: &str| -> Result<Option<u64>> {
            let Some(value) = paragraph.get(field) else { return Ok(None) };
            let reason = || format!("{value:?} is no date");
            date::parse(value).map(Some).ok_or_else(|| Error::malformed(name, field, reason()))
        };
        let Some(list) = paragraph.get("SHA256") else {
            let weak =
                ["SHA1", "MD5Sum"].into_iter().filter(|field| paragraph.get(field).is_some());
            let found = weak.collect::<Vec<_>>().join(" and ");
            let found = if found.is_empty() { "no digest".to_owned() } else { found };
            return Err(Error::WeakDigest { what: name.to_owned(), found });
        };
        let mut files = BTreeMap::new();
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (path, entry) = listed(line)
                .ok_or_else(|| Error::malformed(name, "SHA256", format!("{line:?} is no entry")))?;
            if files.insert(path.clone(), entry).is_some() {
                return Err(Error::malformed(name, "SHA256", format!("{path} stands twice")));
            }
        }
        let date_seconds = seconds("Date")?
            .ok_or_else(|| Error::malformed(name, "Date", "a release must have one"))?;
        let release = Self {
            origin: text("Origin"),
            suite: text("Suite"),
            codename: text("Codename"),
            version: text("Version"),
            date_seconds,
            valid_until_seconds: seconds("Valid-Until")?,
            architectures: words("Architectures"),
            components: words("Components"),
            signers: signed.signers().to_vec(),
            name: name.to_owned(),
            files,
        };
        Ok(release)
    }

    /// The name it was read under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who signed it.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// What it says of a file, by its name below the suite such as `main/binary-amd64/Packages.xz`.
    ///
    /// # Errors
    /// When it lists no such file.
    pub fn listed(&self, name: &str) -> Result<Listed> {
        let (size_bytes, sha256) = self
            .files
            .get(name)
            .ok_or_else(|| Error::NotListed { name: name.to_owned(), index: self.name.clone() })?;
        Ok(Listed {
            name: name.to_owned(),
            index: self.name.clone(),
            size_bytes: *size_bytes,
            sha256: sha256.clone(),
        })
    }

    /// Names of all files it lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// `DIGEST SIZE PATH`, the path staying below the suite.
fn listed(line: &str) -> Option<(String, (u64, Digest))> {
    let mut words = line.split_ascii_whitespace();
    let sha256 = Digest::from_hex(Algorithm::Sha256, words.next()?).ok()?;
    let size_bytes = words.next()?.parse().ok()?;
    let path = words.next()?;
    let is_inside = super::index::is_inside(path) && words.next().is_none();
    is_inside.then(|| (path.to_owned(), (size_bytes, sha256)))
}
