//! One exhibit: a numbered, labelled directory that only ever gains files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Manifest};

use crate::files::{create_with, flush_dir, sha256};
use crate::label::is_safe_file_name;
use crate::members::{copy_file, read_back};
use crate::{Error, Item, safe_label};

/// The directory of one exhibit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhibitDir {
    number: u64,
    name: String,
    path: PathBuf,
}

impl ExhibitDir {
    /// The exhibit with the number after the highest in use or claimed. The caller holds the case
    /// lock.
    pub(crate) fn next(case: &Path, claimed: &[String], label: &str) -> Result<Self, Error> {
        let exhibits = case.join("exhibits");
        let there = exhibit_names(&exhibits)?;
        let highest = there
            .iter()
            .map(|(number, _)| *number)
            .chain(claimed.iter().filter_map(|name| number_of(name)))
            .max();
        let number = highest.unwrap_or(0).saturating_add(1);
        let name = format!("{number:03}-{}", safe_label(label));
        Ok(Self { number, path: exhibits.join(&name), name })
    }

    /// Makes its directory.
    pub(crate) fn make(&self) -> Result<(), Error> {
        fs::create_dir(&self.path).map_err(Error::io("creating", &self.path))?;
        self.path.parent().map_or(Ok(()), flush_dir)
    }

    /// Its number in the case.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Number and label, which is the name of the directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of this exhibit belongs; for writers that create it themselves.
    ///
    /// # Errors
    /// When a common file system cannot hold the name.
    pub fn path_of(&self, file_name: &str) -> Result<PathBuf, Error> {
        if is_safe_file_name(file_name) {
            Ok(self.path.join(file_name))
        } else {
            let name = hashing::escape_name(file_name.as_bytes());
            Err(Error::Refused { reason: format!("file name \"{name}\" is not safe everywhere") })
        }
    }

    /// How acts name a file of this exhibit: relative to the case.
    #[must_use]
    pub fn item_name(&self, file_name: &str) -> String {
        format!("exhibits/{}/{file_name}", self.name)
    }

    /// Makes a new file in the exhibit; an existing one is never opened.
    ///
    /// # Errors
    /// When the name is taken or not safe, or the medium does not take it.
    pub fn create_file(&self, file_name: &str) -> Result<File, Error> {
        let path = self.path_of(file_name)?;
        File::create_new(&path).map_err(Error::io("creating", &path))
    }

    /// Writes a new file with this content; gives the item to list in the act.
    ///
    /// # Errors
    /// As [`Self::create_file`].
    pub fn add_file(&self, file_name: &str, content: &[u8]) -> Result<Item, Error> {
        create_with(&self.path_of(file_name)?, content)?;
        flush_dir(&self.path)?;
        let digest = hashing::Digest::from_hex(Algorithm::Sha256, &sha256(content));
        Ok(Item {
            name: self.item_name(file_name),
            size_bytes: u64::try_from(content.len()).ok(),
            digests: digest.into_iter().collect(),
            facts: serde_json::Value::Null,
        })
    }

    /// Copies a file from elsewhere into the exhibit under a new name and reads it back from the
    /// medium; gives the item to list in the act.
    ///
    /// # Errors
    /// As [`Self::create_file`], and when the file cannot be read or what is read back differs.
    pub fn copy_in(&self, file_name: &str, from: &Path) -> Result<Item, Error> {
        let path = self.path_of(file_name)?;
        let (size_bytes, digests) = copy_file(from, &path, &mut |_| {})?;
        flush_dir(&self.path)?;
        read_back(&path, &digests, &mut |_| {})?;
        Ok(Item {
            name: self.item_name(file_name),
            size_bytes: Some(size_bytes),
            digests,
            facts: serde_json::Value::Null,
        })
    }

    /// Writes `manifest.sha256`, which `sha256sum -c` checks from inside the exhibit.
    ///
    /// # Errors
    /// As [`Self::create_file`].
    pub fn add_manifest(&self, manifest: &Manifest) -> Result<Item, Error> {
        self.add_file("manifest.sha256", &manifest.to_sum_text(Algorithm::Sha256))
    }
}

/// Numbers and names of the exhibits in `exhibits`, in order.
pub(crate) fn exhibit_names(exhibits: &Path) -> Result<Vec<(u64, String)>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(exhibits).map_err(Error::io("listing", exhibits))? {
        let entry = entry.map_err(Error::io("listing", exhibits))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let number = number_of(&name);
        names.extend(number.map(|number| (number, name)));
    }
    names.sort();
    Ok(names)
}

/// The number an exhibit's name begins with.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.split_once('-').and_then(|(number, _)| number.parse().ok())
}
