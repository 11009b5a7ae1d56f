//! Files of advisories, kept as they were published. Nobody signs them: that they are what was fetched is the word of whoever
//! added them, and our signature says that nothing was changed since.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::media::is_file_name;
use super::mirror::is_word;
use super::{Archive, Sealed, files, show};
use crate::advisories::{self, Form, Installed, Known, Release};
use crate::{Error, Result};

/// Largest file of advisories; Debian's whole tracker has some 80 MB.
const MAX_BYTES: u64 = 512 << 20;

/// Advisories in an archive (`advisories.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advisories {
    format: u32,
    /// Their name in the archive.
    pub name: String,
    /// How the files are written.
    pub form: Form,
    /// The files, sorted.
    pub files: Vec<String>,
    /// When they were fetched: seconds since 1970 UTC.
    pub captured_seconds: u64,
}

/// Advisories to add.
#[derive(Debug, Clone)]
pub struct NewAdvisories<'a> {
    /// Their name in the archive.
    pub name: &'a str,
    /// How the files are written.
    pub form: Form,
    /// The files.
    pub files: &'a [PathBuf],
    /// When they were fetched: seconds since 1970 UTC.
    pub captured_seconds: u64,
}

fn is_description(name: &str) -> bool {
    name.starts_with("advisories/")
        && name.ends_with("/advisories.json")
        && name.split('/').count() == 3
}

impl Advisories {
    fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let odd = |reason: String| Error::malformed(name, "its content", reason);
        let one: Self = serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
        let is_sound = one.format == 1
            && is_word(&one.name)
            && name == one.place("advisories.json")
            && one.files.iter().all(|file| is_file_name(file));
        if is_sound { Ok(one) } else { Err(odd("its fields do not fit".to_owned())) }
    }

    fn place(&self, file: &str) -> String {
        format!("advisories/{}/{file}", self.name)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let what = show(path);
    let file = std::fs::File::open(path).map_err(Error::io(&what))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(&what))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(Error::TooLarge { what, limit_bytes: MAX_BYTES });
    }
    Ok(bytes)
}

impl Archive {
    /// Keeps files of advisories; the next signing lists them.
    ///
    /// # Errors
    /// When a file is not of the form named, names do not fit, there are some of this name already, or the medium does not
    /// take it. Nothing is kept then.
    pub fn add_advisories(&self, new: &NewAdvisories<'_>) -> Result<Advisories> {
        let mut kept = Advisories {
            format: 1,
            name: new.name.to_owned(),
            form: new.form,
            files: Vec::new(),
            captured_seconds: new.captured_seconds,
        };
        let description = kept.place("advisories.json");
        if !is_word(new.name) || new.files.is_empty() {
            return Err(Error::Refused(format!("{:?} cannot be advisories", new.name)));
        }
        if self.path(&description).exists() {
            return Err(Error::Refused(format!("there are advisories {} already", new.name)));
        }
        let nowhere = Release { id: String::new(), codename: String::new(), number: String::new() };
        for path in new.files {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_file_name(name)
                || name == "advisories.json"
                || kept.files.iter().any(|one| one == name)
            {
                let text = format!("{name:?} cannot be the name of a file of advisories");
                return Err(Error::Refused(text));
            }
            advisories::open(new.form, &show(path), &read(path)?, &nowhere, &Installed::new())?;
            kept.files.push(name.to_owned());
        }
        for path in new.files {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            files::write(&self.path(&kept.place(name)), &read(path)?)?;
        }
        kept.files.sort();
        let mut text = serde_json::to_vec_pretty(&kept)
            .map_err(|error| Error::malformed(&description, "writing", error.to_string()))?;
        text.push(b'\n');
        files::write(&self.path(&description), &text)?;
        Ok(kept)
    }
}

impl Sealed {
    /// The advisories, sorted by name.
    ///
    /// # Errors
    /// When a description is not the one listed.
    pub fn advisories(&self) -> Result<Vec<Advisories>> {
        let names = self.statement.files.keys().filter(|name| is_description(name));
        names.map(|name| Advisories::parse(name, &self.read(name)?)).collect()
    }

    /// What all advisories of the archive say of a system.
    ///
    /// # Errors
    /// When a file is not the one listed, or not of its form.
    pub fn open_advisories(&self, release: &Release, installed: &Installed) -> Result<Known> {
        let mut all = Known::default();
        for one in self.advisories()? {
            for file in &one.files {
                let place = one.place(file);
                let text = self.read(&place)?;
                let known = advisories::open(one.form, &place, &text, release, installed)?;
                all.open.extend(known.open);
                all.of_release = all.of_release.saturating_add(known.of_release);
            }
        }
        all.open.sort();
        all.open.dedup();
        Ok(all)
    }
}
