//! The exhibit's folder, new or found again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use casebook::{Case, Item};
use hashing::{Algorithms, escape_name};
use serde_json::Value;

use crate::failure::Failure;

/// The folder of one exhibit.
#[derive(Debug)]
pub(super) struct Place {
    name: String,
    folder: PathBuf,
}

impl Place {
    /// The exhibit of this name.
    pub(super) fn of(case: &Case, name: &str) -> Self {
        let folder = case.dir().join("exhibits").join(name);
        Self { name: name.to_owned(), folder: fs::canonicalize(&folder).unwrap_or(folder) }
    }

    /// The exhibit of this name or number.
    ///
    /// # Errors
    /// If the case has none such.
    pub(super) fn find(case: &Case, word: &str) -> Result<Self, Failure> {
        let exhibits = case.dir().join("exhibits");
        for entry in fs::read_dir(&exhibits)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            let number = name.split_once('-').map(|(number, _)| number).unwrap_or_default();
            let is_number = |one: &str| one.parse::<u64>().is_ok();
            if name == word
                || (is_number(word) && word.parse::<u64>().ok() == number.parse::<u64>().ok())
            {
                return Ok(Self::of(case, &name));
            }
        }
        Err(Failure::new(format!("the case has no exhibit {}", escape_name(word.as_bytes())))
            .hint("glovebox case status names the exhibits"))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// How acts name a file: relative to the case where it lies in it, else by its path.
    pub(super) fn item_name(&self, path: &Path) -> String {
        match path.strip_prefix(&self.folder) {
            Ok(file) => format!("exhibits/{}/{}", self.name, file.display()),
            Err(_) => escape_name(path.as_os_str().as_encoded_bytes()),
        }
    }

    /// Writes a new file of the exhibit; gives it as an output of the act.
    ///
    /// # Errors
    /// If the name is taken or the medium does not take it.
    pub(super) fn add(&self, file: &str, content: &[u8]) -> io::Result<Item> {
        let path = self.path(file);
        let mut out = File::create_new(&path)?;
        out.write_all(content)?;
        out.sync_all()?;
        Ok(Item {
            name: self.item_name(&path),
            size_bytes: u64::try_from(content.len()).ok(),
            digests: hashing::digest_bytes(content, &Algorithms::sha256()),
            facts: Value::Null,
        })
    }
}
