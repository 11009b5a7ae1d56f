//! The index of packages: name, version and digest of each package file.

use std::io::{BufReader, Read};

use hashing::{Algorithm, Digest};

use super::{Listed, Version};
use crate::{Error, Result, deb822, unpack};

/// A package as a signed index lists it.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Name of the source package it was built from.
    pub source: String,
    /// Version of that source package.
    pub source_version: Version,
    /// `Multi-Arch: same`: its database files carry the architecture in their names.
    pub is_multi_arch_same: bool,
    /// `Essential: yes`.
    pub is_essential: bool,
    /// `required`, `important` and so on.
    pub priority: String,
    /// `Pre-Depends`, as written.
    pub pre_depends: String,
    /// `Depends`, as written.
    pub depends: String,
    /// `Provides`, as written.
    pub provides: String,
    pub(super) file: Listed,
}

impl Package {
    /// The package file, relative to the root of the mirror.
    #[must_use]
    pub fn file(&self) -> &Listed {
        &self.file
    }

    /// How the names of its files in the package database begin: with the architecture where several may be installed.
    #[must_use]
    pub(crate) fn stem(&self) -> String {
        match self.is_multi_arch_same {
            true => format!("{}:{}", self.name, self.architecture),
            false => self.name.clone(),
        }
    }
}

/// Reads a package index that has the length and digest it is listed with, plain or compressed by the end of its name.
///
/// The file is read twice: nothing in it is looked at before its digest was found right, and what is then looked at is
/// measured again, because the medium is not trusted to answer twice alike. Memory: the records, and the index compressed.
///
/// # Errors
/// When the file is not the one listed, or is no index.
pub fn read_index(listed: &Listed, input: impl Read) -> Result<Vec<Package>> {
    read_index_of(listed, input, |_| true)
}

/// As [`read_index`], but keeps only packages whose name is wanted: an index of Debian has 60,000, a host a few hundred.
///
/// # Errors
/// As [`read_index`].
pub fn read_index_of(
    listed: &Listed,
    input: impl Read,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Package>> {
    let bytes = listed.read_checked(input)?;
    let plain = unpack::by_name(&listed.name, bytes.as_slice())?;
    let mut reader = deb822::Reader::new(BufReader::with_capacity(1 << 16, plain), &listed.name);
    let mut found = Vec::new();
    while let Some(paragraph) = reader.next_paragraph()? {
        if wanted(paragraph.get("Package").unwrap_or_default()) {
            found.push(package(paragraph, &listed.name)?);
        }
    }
    Ok(found)
}

impl Listed {
    /// Reads the whole file and makes sure that it is the one listed.
    ///
    /// # Errors
    /// When it cannot be read, or length or digest differ.
    pub fn read_checked(&self, input: impl Read) -> Result<Vec<u8>> {
        /// The largest index of Debian has 60 MB.
        const MAX_BYTES: u64 = 1 << 30;
        if self.size_bytes > MAX_BYTES {
            return Err(Error::TooLarge { what: self.name.clone(), limit_bytes: MAX_BYTES });
        }
        let mut bytes = Vec::new();
        let mut input = input.take(self.size_bytes.saturating_add(1));
        input.read_to_end(&mut bytes).map_err(Error::io(&self.name))?;
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let digests = hashing::digest_bytes(&bytes, &hashing::Algorithms::sha256());
        self.compare(found, digests.of(Algorithm::Sha256))?;
        Ok(bytes)
    }

    pub(super) fn compare(&self, found_bytes: u64, sha256: Option<&Digest>) -> Result<()> {
        let (name, index) = (self.name.clone(), self.index.clone());
        if found_bytes != self.size_bytes {
            let (found, expected) = (found_bytes, self.size_bytes);
            return Err(Error::Size { name, index, found, expected });
        }
        match sha256 {
            Some(found) if *found == self.sha256 => Ok(()),
            Some(found) => {
                let (found, expected) = (found.clone(), self.sha256.clone());
                Err(Error::Digest { name, index, found, expected })
            }
            None => Err(Error::WeakDigest { what: name, found: "no digest".to_owned() }),
        }
    }
}

fn package(paragraph: &deb822::Paragraph, index: &str) -> Result<Package> {
    let text = |field: &str| paragraph.get(field).unwrap_or_default().to_owned();
    let name = text("Package");
    let must = |field: &str| {
        let missing =
            || Error::malformed(index, format!("package {name:?}"), format!("has no {field}"));
        paragraph.get(field).filter(|value| !value.is_empty()).ok_or_else(missing)
    };
    let odd = |field: &str| {
        Error::malformed(index, format!("package {name:?}"), format!("its {field} makes no sense"))
    };
    must("Package")?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return Err(odd("Package"));
    }
    let version = Version::new(must("Version")?);
    let path = must("Filename")?;
    let path = path.strip_prefix("./").unwrap_or(path);
    if !is_inside(path) {
        return Err(odd("Filename"));
    }
    let Some(digest) = paragraph.get("SHA256") else {
        let what = format!("package {name} in {index}");
        return Err(Error::WeakDigest { what, found: "MD5sum or SHA1".to_owned() });
    };
    // `Source: name (version)`; without it the package has its source's name, without the version also that.
    let source = text("Source");
    let (source, source_version) = match source.split_once(" (") {
        Some((source, version)) => (source.to_owned(), Version::new(version.trim_end_matches(')'))),
        None if source.is_empty() => (name.clone(), version.clone()),
        None => (source, version.clone()),
    };
    Ok(Package {
        architecture: must("Architecture")?.to_owned(),
        source,
        source_version,
        is_multi_arch_same: paragraph.get("Multi-Arch") == Some("same"),
        is_essential: paragraph.get("Essential") == Some("yes"),
        priority: text("Priority"),
        pre_depends: text("Pre-Depends"),
        depends: text("Depends"),
        provides: text("Provides"),
        file: Listed {
            name: path.to_owned(),
            index: index.to_owned(),
            size_bytes: must("Size")?.parse().map_err(|_| odd("Size"))?,
            sha256: Digest::from_hex(Algorithm::Sha256, digest).map_err(|_| odd("SHA256"))?,
        },
        name,
        version,
    })
}

/// Whether a name stays below the folder it is relative to.
pub(crate) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
