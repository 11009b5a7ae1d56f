//! Baselines of systems, and manifests of installs: what a system looks like when these packages were installed by nobody but us.
//!
//! Packages alone do not say what an installed system holds: scripts make links, caches, users and boot images. An install made
//! apart from the system examined shows all of it.

use super::{Archive, Listing, Sealed, files};
use crate::{Error, Result};

fn place(name: &str) -> Result<String> {
    Ok(format!("golden/{}.jsonl.gz", word(name)?))
}

/// Where facts and files of a baseline lie.
fn baseline(name: &str) -> Result<[String; 2]> {
    let name = word(name)?;
    Ok(["facts.json", "files.jsonl.gz"].map(|file| format!("baselines/{name}/{file}")))
}

fn word(name: &str) -> Result<&str> {
    let is_word = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_word {
        Ok(name)
    } else {
        Err(Error::Refused(format!("{name:?} cannot be the name of a manifest or baseline")))
    }
}

impl Archive {
    /// Keeps the manifest of an install; the next signing lists it.
    ///
    /// # Errors
    /// When the name is no plain word, there is one of this name, or the medium does not take it.
    pub fn add_golden(&self, name: &str, listing: &Listing) -> Result<()> {
        let place = place(name)?;
        if self.path(&place).exists() {
            return Err(Error::Refused(format!("there is a manifest {name} already")));
        }
        files::write(&self.path(&place), &listing.to_packed()?)
    }

    /// Keeps the two files of a baseline; the next signing lists them.
    ///
    /// # Errors
    /// When the name is no plain word, there is one of this name, or the medium does not take it.
    pub fn add_baseline(&self, name: &str, facts: &[u8], listing: &[u8]) -> Result<()> {
        let [facts_place, files_place] = baseline(name)?;
        if self.path(&facts_place).exists() {
            return Err(Error::Refused(format!("there is a baseline {name} already")));
        }
        files::write(&self.path(&files_place), listing)?;
        files::write(&self.path(&facts_place), facts)
    }
}

impl Sealed {
    /// Names of the manifests of installs.
    pub fn goldens(&self) -> impl Iterator<Item = &str> {
        let names = self.statement.files.keys();
        names.filter_map(|name| name.strip_prefix("golden/")?.strip_suffix(".jsonl.gz"))
    }

    /// Names of the baselines.
    pub fn baselines(&self) -> impl Iterator<Item = &str> {
        let names = self.statement.files.keys();
        names.filter_map(|name| name.strip_prefix("baselines/")?.strip_suffix("/facts.json"))
    }

    /// The facts and the files of a baseline.
    ///
    /// # Errors
    /// When there is none of this name, or it is not the one listed.
    pub fn baseline(&self, name: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        let [facts, files] = baseline(name)?;
        Ok((self.read(&facts)?, self.read(&files)?))
    }

    /// The manifest of an install.
    ///
    /// # Errors
    /// When there is none of this name, or it is not the one listed.
    pub fn golden(&self, name: &str) -> Result<Listing> {
        let place = place(name)?;
        Listing::parse(&place, self.read(&place)?.as_slice())
    }
}
