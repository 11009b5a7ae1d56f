//! Manifests of installs: what a system looks like when these packages were installed by nobody but us.
//!
//! Packages alone do not say what an installed system holds: scripts make links, caches, users and boot images. An install made
//! apart from the system examined shows all of it.

use super::{Archive, Listing, Sealed, files};
use crate::{Error, Result};

fn place(name: &str) -> Result<String> {
    let is_word = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_word {
        Ok(format!("golden/{name}.jsonl.gz"))
    } else {
        Err(Error::Refused(format!("{name:?} cannot be the name of a manifest")))
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
}

impl Sealed {
    /// Names of the manifests of installs.
    pub fn goldens(&self) -> impl Iterator<Item = &str> {
        let names = self.statement.files.keys();
        names.filter_map(|name| name.strip_prefix("golden/")?.strip_suffix(".jsonl.gz"))
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
