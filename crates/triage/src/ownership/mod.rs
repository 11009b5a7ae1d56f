//! Which package owns which path, and what the file was when it was unpacked: one answer for every package manager.
//!
//! The database lies on the suspect disk and vouches for itself, so it can show a change but never prove that there was
//! none. Each reader fills the same [`Ownership`]; the rules never know which it was.

mod apk;
mod dpkg;
mod pacman;
mod rpm;

use crate::root::Root;
use evidence::fs::FileKind;
use hashing::Algorithm;
use std::collections::{BTreeSet, HashMap};

/// Largest text database read, in bytes; the status file of a large desktop has about 10 MiB.
const MAX_DATABASE_BYTES: usize = 64 << 20;

/// A package as the rules see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) is_unpacked: bool,
}

/// What a database records of a file's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) mode: u32,
    pub(crate) has_capabilities: bool,
}

/// Who owns what, with paths in the form of the inventory.
pub(crate) struct Ownership {
    /// The package manager.
    pub(crate) kind: &'static str,
    /// What its digests are.
    pub(crate) algorithm: Algorithm,
    pub(crate) packages: Vec<Package>,
    owners: HashMap<Vec<u8>, u32>,
    /// Digests in lower-case hexadecimal of files that nobody is to change.
    pub(crate) digests: HashMap<Vec<u8>, Vec<u8>>,
    /// The same of configuration files.
    pub(crate) conffiles: HashMap<Vec<u8>, Vec<u8>>,
    known: BTreeSet<Vec<u8>>,
    rights: HashMap<Vec<u8>, Rights>,
}

/// One file as a reader of a database hands it over.
struct Claim {
    path: Vec<u8>,
    digest: Option<Vec<u8>>,
    is_config: bool,
    rights: Option<Rights>,
}

impl Ownership {
    /// Reads the database of the examined root; `None` when there is none with packages in it.
    pub(crate) fn read(root: &Root<'_>) -> Option<Self> {
        let readers: [fn(&Root<'_>) -> Option<Self>; 4] =
            [dpkg::read, rpm::read, apk::read, pacman::read];
        readers.iter().filter_map(|read| read(root)).find(|found| !found.packages.is_empty())
    }

    fn new(kind: &'static str, algorithm: Algorithm) -> Self {
        Self {
            kind,
            algorithm,
            packages: Vec::new(),
            owners: HashMap::new(),
            digests: HashMap::new(),
            conffiles: HashMap::new(),
            known: BTreeSet::new(),
            rights: HashMap::new(),
        }
    }

    /// Adds a package that is on the disk, with what it claims.
    fn add(
        &mut self,
        root: &Root<'_>,
        name: Vec<u8>,
        version: Vec<u8>,
        claims: impl Iterator<Item = Claim>,
    ) {
        let Ok(number) = u32::try_from(self.packages.len()) else { return };
        self.packages.push(Package { name, version, is_unpacked: true });
        for claim in claims {
            let path = root.canonical(&claim.path);
            if let Some(digest) = claim.digest {
                self.known.insert(digest.clone());
                let kept = if claim.is_config { &mut self.conffiles } else { &mut self.digests };
                kept.insert(path.clone(), digest);
            }
            if let Some(rights) = claim.rights {
                self.rights.insert(path.clone(), rights);
            }
            self.owners.insert(path, number);
        }
    }

    /// The package that owns a path of the inventory.
    pub(crate) fn owner(&self, path: &[u8]) -> Option<&Package> {
        let number = *self.owners.get(path)?;
        self.packages.get(usize::try_from(number).ok()?)
    }

    /// Whether some package delivered a file with this digest (in hexadecimal, of [`Ownership::algorithm`]).
    pub(crate) fn knows_digest(&self, digest: &[u8]) -> bool {
        self.known.contains(digest)
    }

    /// What the database records of a file's rights; dpkg records none.
    pub(crate) fn rights(&self, path: &[u8]) -> Option<Rights> {
        self.rights.get(path).copied()
    }

    /// Unpacked packages by name, and whether any of them owns more than directories.
    pub(crate) fn with_files(&self, root: &Root<'_>) -> HashMap<Vec<u8>, bool> {
        let unpacked = self.packages.iter().filter(|package| package.is_unpacked);
        let mut out: HashMap<Vec<u8>, bool> =
            unpacked.map(|package| (package.name.clone(), false)).collect();
        for (path, number) in &self.owners {
            let is_directory =
                root.item(path).is_some_and(|item| item.metadata.kind == FileKind::Directory);
            let is_own_record = path.starts_with(b"/var/lib/dpkg/info/") || path == b"/.";
            let package = usize::try_from(*number).ok().and_then(|at| self.packages.get(at));
            if let Some(package) = package.filter(|_| !is_directory && !is_own_record)
                && let Some(has) = out.get_mut(&package.name)
            {
                *has = true;
            }
        }
        out
    }
}

/// A text file of a database.
fn text(root: &Root<'_>, path: &[u8]) -> Option<Vec<u8>> {
    let item = root.item(path)?;
    root.fs.read_head(item.metadata.node, MAX_DATABASE_BYTES).ok().map(|(raw, _)| raw)
}
