//! Master images: systems of the owner's own making, kept with where they come from.
//!
//! No vendor vouches for one. What stands beside it is the word of whoever added it, and our signature says no more than
//! that nothing was changed since.

use std::io;
use std::path::Path;

use hashing::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::media::{copy_measured, is_file_name};
use super::mirror::is_word;
use super::{Archive, FileRecord, STATEMENT, Sealed, files, show};
use crate::{Error, Result};

/// A master image in an archive (`master.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Master {
    format: u32,
    /// Its name in the archive.
    pub name: String,
    /// The file.
    pub file: String,
    /// What kind of image it is, as it was understood when it was added.
    pub kind: String,
    /// Its length and digest.
    pub record: FileRecord,
    /// Who made it.
    pub maker: String,
    /// From what and how it was made.
    pub origin: String,
    /// When it was made, by its maker's word: seconds since 1970 UTC.
    pub made_seconds: u64,
}

/// A master image to add.
#[derive(Debug, Clone)]
pub struct NewMaster<'a> {
    /// Its name in the archive.
    pub name: &'a str,
    /// The file.
    pub file: &'a Path,
    /// What kind of image it is.
    pub kind: &'a str,
    /// Who made it.
    pub maker: &'a str,
    /// From what and how it was made.
    pub origin: &'a str,
    /// When it was made: seconds since 1970 UTC.
    pub made_seconds: u64,
    /// The SHA-256 its maker gave out, if any.
    pub expected: Option<&'a Digest>,
}

impl Master {
    fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let odd = |reason: String| Error::malformed(name, "its content", reason);
        let master: Self = serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
        let is_sound = master.format == 1
            && is_word(&master.name)
            && is_file_name(&master.file)
            && name == master.place("master.json");
        if is_sound { Ok(master) } else { Err(odd("its fields do not fit".to_owned())) }
    }

    /// Where one of its files lies in the archive.
    #[must_use]
    pub fn place(&self, file: &str) -> String {
        format!("masters/{}/{file}", self.name)
    }
}

impl Archive {
    /// Adds a master image.
    ///
    /// # Errors
    /// When its name or that of its file is none, there is one of this name, nobody is named as its maker, it is not the one
    /// expected, or the medium does not take it. Nothing is kept of it then.
    pub fn add_master(&self, new: &NewMaster<'_>) -> Result<Master> {
        let file = new.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !is_word(new.name) || !is_file_name(file) || file == "master.json" {
            let text = format!("{:?} with {file:?} cannot be the name of a master", new.name);
            return Err(Error::Refused(text));
        }
        if new.maker.trim().is_empty() || new.origin.trim().is_empty() {
            let text = "a master without maker and origin is worth nothing later";
            return Err(Error::Refused(text.to_owned()));
        }
        let mut master = Master {
            format: 1,
            name: new.name.to_owned(),
            file: file.to_owned(),
            kind: new.kind.to_owned(),
            record: FileRecord { size_bytes: 0, sha256: String::new() },
            maker: new.maker.to_owned(),
            origin: new.origin.to_owned(),
            made_seconds: new.made_seconds,
        };
        let description = master.place("master.json");
        if self.path(&description).exists() {
            return Err(Error::Refused(format!("there is a master {} already", new.name)));
        }
        let what = show(new.file);
        let mut input = std::fs::File::open(new.file).map_err(Error::io(&what))?;
        let mut copied = Err(Error::Refused(String::new()));
        let written = files::write_with(&self.path(&master.place(file)), |out| {
            copied =
                copy_measured(&mut input, out, Algorithm::Sha256, file).and_then(|found| match new
                    .expected
                {
                    Some(expected) if *expected != found.1 => Err(Error::Digest {
                        name: file.to_owned(),
                        index: "its maker's word".to_owned(),
                        found: found.1,
                        expected: expected.clone(),
                    }),
                    _ => Ok(found),
                });
            match &copied {
                Ok(_) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            }
        });
        master.record = match (copied, written) {
            (Ok((size_bytes, sha256)), Ok(())) => FileRecord::new(size_bytes, &sha256),
            (Ok(_), Err(error)) | (Err(error), _) => return Err(error),
        };
        let mut text = serde_json::to_vec_pretty(&master)
            .map_err(|error| Error::malformed(&description, "writing", error.to_string()))?;
        text.push(b'\n');
        files::write(&self.path(&description), &text)?;
        Ok(master)
    }
}

impl Sealed {
    /// The master images, sorted by name.
    ///
    /// # Errors
    /// When a description of one is not the one listed.
    pub fn masters(&self) -> Result<Vec<Master>> {
        let is_description = |name: &&String| {
            name.starts_with("masters/")
                && name.ends_with("/master.json")
                && name.split('/').count() == 3
        };
        let names = self.statement.files.keys().filter(is_description);
        names.map(|name| Master::parse(name, &self.read(name)?)).collect()
    }

    /// That the list names the very file that was added.
    pub(super) fn check_master(&self, master: &Master) -> Result<()> {
        let place = master.place(&master.file);
        match self.statement.files.get(&place) {
            Some(record) if *record == master.record => Ok(()),
            Some(_) => {
                let reason = "it is not the file that its master.json was written for";
                Err(Error::malformed(STATEMENT, place, reason))
            }
            None => Err(Error::NotListed { name: place, index: STATEMENT.to_owned() }),
        }
    }
}
