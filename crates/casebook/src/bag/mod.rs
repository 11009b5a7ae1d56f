//! A case as a BagIt bag (RFC 8493): what is given away.
//!
//! The payload directory `data/` is the case itself, so whoever has no tool but ours verifies it
//! there, and whoever has only a BagIt tool checks that it arrived whole. The same case gives the
//! same bag: no clock is read, and everything is in order.

mod check;
mod tar;

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;

use hashing::{Algorithm, Algorithms, Digests, MultiHasher};

pub use check::{BagCheck, check};
pub use tar::unpack;

use crate::files::{create_with, flush_dir};
use crate::members::{Members, copy_file, read_back};
use crate::{CaseInfo, Error, Item, Progress, status};

/// The tag files, in the order of the bag.
const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
const MANIFEST: &str = "manifest-sha256.txt";
const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";

/// A bag ready to be written.
#[derive(Debug)]
pub struct Bag<'a> {
    case: &'a Path,
    members: Members,
    /// Name, size and digests of each file of the payload.
    files: Vec<(String, u64, Digests)>,
    /// Name and content of each tag file.
    tags: Vec<(&'static str, String)>,
}

impl<'a> Bag<'a> {
    /// Reads the case through and prepares its bag.
    ///
    /// # Errors
    /// When the case is not sealed, or a file cannot be read or has no portable name.
    pub fn of(case: &'a Path, progress: &mut dyn FnMut(u64)) -> Result<Self, Error> {
        let found = status(case)?;
        if found.sealed_by.is_none() || found.broken.is_some() {
            return Err(Error::Refused {
                reason: "only a sealed, sound case is bagged".to_owned(),
            });
        }
        let members = Members::of(case)?;
        let mut files = Vec::new();
        let mut done_bytes = 0u64;
        for name in &members.files {
            let path = case.join(name);
            let (digests, size_bytes) = hashing::digest_file(&path, &Algorithms::sha256())
                .map_err(|error| Error::Io {
                    action: "reading",
                    path: path.clone(),
                    source: std::io::Error::other(error),
                })?;
            done_bytes = done_bytes.saturating_add(size_bytes);
            progress(done_bytes);
            files.push((name.clone(), size_bytes, digests));
        }
        let date = found.last_ended.as_deref().and_then(|time| time.get(..10)).unwrap_or_default();
        let tags = tags(&found.info, date, &found.head, &files)?;
        Ok(Self { case, members, files, tags })
    }

    /// SHA-256 of the manifest of tag files: it stands for the whole bag.
    #[must_use]
    pub fn identity(&self) -> String {
        let text = self.tags.iter().find(|(name, _)| *name == TAG_MANIFEST);
        crate::files::sha256(text.map_or("", |(_, text)| text.as_str()).as_bytes())
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, (_, size, _)| sum.saturating_add(*size))
    }

    /// Writes the bag as the new directory `to` and reads every byte back from the medium.
    ///
    /// # Errors
    /// When `to` exists, the medium does not take it, or what is read back differs.
    pub fn write_to(&self, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        fs::create_dir(to).map_err(Error::io("creating", to))?;
        let data = to.join("data");
        for folder in std::iter::once(data.clone())
            .chain(self.members.folders.iter().map(|folder| data.join(folder)))
        {
            fs::create_dir(&folder).map_err(Error::io("creating", &folder))?;
        }
        let (total_bytes, mut done_bytes) = (self.payload_bytes().saturating_mul(2), 0u64);
        let mut count = |bytes: u64| {
            done_bytes = done_bytes.saturating_add(bytes);
            progress(Progress { done_bytes, total_bytes });
        };
        for (name, _, digests) in &self.files {
            let (_, found) = copy_file(&self.case.join(name), &data.join(name), &mut count)?;
            self.unchanged(name, digests, &found)?;
        }
        for (name, text) in &self.tags {
            create_with(&to.join(name), text.as_bytes())?;
        }
        for folder in self.members.folders.iter().rev() {
            flush_dir(&data.join(folder))?;
        }
        flush_dir(&data)?;
        flush_dir(to)?;
        for (name, _, digests) in &self.files {
            read_back(&data.join(name), digests, &mut count)?;
        }
        Ok(())
    }

    /// Writes the bag as one tar archive (POSIX.1-2001) below the folder `name`.
    ///
    /// # Errors
    /// When `out` fails, or a file of the case changed meanwhile.
    pub fn write_tar(
        &self,
        out: &mut dyn Write,
        name: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let mut archive = tar::Writer::new(out);
        archive.folder(name)?;
        for (file, text) in &self.tags {
            archive.bytes(&format!("{name}/{file}"), text.as_bytes())?;
        }
        archive.folder(&format!("{name}/data"))?;
        for folder in &self.members.folders {
            archive.folder(&format!("{name}/data/{folder}"))?;
        }
        let (total_bytes, mut done_bytes) = (self.payload_bytes(), 0u64);
        for (file, size_bytes, digests) in &self.files {
            let mut hasher = MultiHasher::new(&Algorithms::sha256());
            let path = self.case.join(file);
            archive.file(&format!("{name}/data/{file}"), &path, *size_bytes, &mut |bytes| {
                hasher.update(bytes);
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                done_bytes = done_bytes.saturating_add(length);
                progress(Progress { done_bytes, total_bytes });
            })?;
            self.unchanged(file, digests, &hasher.finish())?;
        }
        archive.finish()
    }

    /// The payload as items of an act.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let item = |(name, size_bytes, digests): &(String, u64, Digests)| Item {
            name: name.clone(),
            size_bytes: Some(*size_bytes),
            digests: digests.clone(),
            facts: serde_json::Value::Null,
        };
        self.files.iter().map(item).collect()
    }

    fn unchanged(&self, name: &str, expected: &Digests, found: &Digests) -> Result<(), Error> {
        if expected == found {
            return Ok(());
        }
        let name = hashing::escape_name(name.as_bytes());
        Err(Error::Refused { reason: format!("{name} changed while the bag was being written") })
    }
}

fn tags(
    info: &CaseInfo,
    date: &str,
    head: &str,
    files: &[(String, u64, Digests)],
) -> Result<Vec<(&'static str, String)>, Error> {
    let octets = files.iter().fold(0u64, |sum, (_, size, _)| sum.saturating_add(*size));
    let mut facts = String::new();
    for (label, value) in [
        ("External-Identifier", info.id.as_str()),
        ("Internal-Sender-Description", info.name.as_str()),
        ("Contact-Name", info.examiner.as_str()),
        ("Bagging-Date", date),
        ("Payload-Oxum", &format!("{octets}.{}", files.len())),
        ("Bag-Software-Agent", &format!("{} {}", info.tool.name, info.tool.version)),
        ("Glovebox-Case-Head", head),
        ("Glovebox-Case-Key", &info.public_key),
    ] {
        // One line each: a line that begins with a blank would continue the one before it.
        let value: String =
            value.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        let _infallible = writeln!(facts, "{label}: {}", value.trim());
    }
    let mut manifest = String::new();
    for (name, _, digests) in files {
        let _infallible = writeln!(manifest, "{}  data/{}", digests.sha256_hex(), encoded(name)?);
    }
    let mut tags =
        vec![("bag-info.txt", facts), ("bagit.txt", DECLARATION.to_owned()), (MANIFEST, manifest)];
    let mut tag_manifest = String::new();
    for (name, text) in &tags {
        let sum = crate::files::sha256(text.as_bytes());
        let _infallible = writeln!(tag_manifest, "{sum}  {name}");
    }
    tags.push((TAG_MANIFEST, tag_manifest));
    Ok(tags)
}

/// A name as manifests hold it (RFC 8493, 2.1.3). The two line ends would be encoded, and a percent
/// sign, on which readers differ; none of our names has them.
fn encoded(name: &str) -> Result<&str, Error> {
    if name.contains(['\n', '\r', '%']) {
        let name = hashing::escape_name(name.as_bytes());
        return Err(Error::Refused { reason: format!("{name} cannot be named in a bag") });
    }
    Ok(name)
}

/// The name of the algorithm of the manifests, for checkers.
fn algorithm() -> Algorithm {
    Algorithm::Sha256
}
