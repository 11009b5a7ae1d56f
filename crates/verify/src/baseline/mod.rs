//! A system as it was at a time when it was believed: every file, and what it had of packages, accounts, services,
//! configuration and open ports; taken again later, everything that is not the same is told.
//!
//! Packages say what a vendor made; a baseline says what the owner made of it. It is believed only through a signature: the
//! archive's, or one over its `facts.json`, which names the listing of the files by its digest.

mod changes;
mod facts;

pub use facts::{Facts, Section};

use archive::store::{FileRecord, ItemKind, Listing};
use evidence::fs::tree::Limits;
use evidence::{FileSystem, Problem};
use hashing::{Algorithms, Content, Manifest};

use crate::inventory::Inventory;
use crate::report::Report;
use crate::{Error, Options, manifest};

/// Name of the facts in a folder or archive.
pub const FACTS_FILE: &str = "facts.json";
/// Name of the listing of files beside them.
pub const FILES_FILE: &str = "files.jsonl.gz";

/// A system at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// All but the files.
    pub facts: Facts,
    /// Every object of its tree.
    pub files: Listing,
}

/// How and of what a baseline is taken.
#[derive(Clone, Debug)]
pub struct Taking<'a> {
    /// What it is called.
    pub name: &'a str,
    /// When: seconds since 1970 UTC.
    pub taken_seconds: u64,
    /// Ports the machine listens on, as [`Section::Ports`] keeps them; `None` for one that does not run here.
    pub ports: Option<&'a [String]>,
    /// Bounds of the walk.
    pub limits: Limits,
    /// Threads that read and hash.
    pub threads: usize,
}

impl Baseline {
    /// Takes a baseline of the tree on `fs`; what could not be read is in the problems and not in the baseline.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn take(fs: &dyn FileSystem, taking: &Taking<'_>) -> Result<(Self, Vec<Problem>), Error> {
        let inventory = Inventory::read(fs, taking.limits);
        let files = manifest::of(&inventory, taking.name, taking.threads);
        let record = record(&files.to_packed()?);
        let facts = Facts::read(&inventory, taking, record);
        Ok((Self { facts, files }, inventory.problems.take()))
    }

    /// The bytes of [`FACTS_FILE`] and [`FILES_FILE`]: the same for the same baseline.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn to_files(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Ok((self.facts.to_bytes()?, self.files.to_packed()?))
    }

    /// Reads both files; the facts must be believed already, the other is believed through them.
    ///
    /// # Errors
    /// When they are none, or the listing is not the one the facts name.
    pub fn parse(facts: &[u8], files: &[u8]) -> Result<Self, Error> {
        let facts = Facts::parse(facts)?;
        if record(files) != facts.files {
            let reason = format!("{FILES_FILE} is not the file that {FACTS_FILE} names");
            return Err(Error::Baseline { reason });
        }
        let files = Listing::parse(FILES_FILE, files)?;
        Ok(Self { facts, files })
    }

    /// Its files as a list of digests, with paths as they are below the root.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let mut manifest = Manifest::new();
        for item in &self.files.items {
            let ItemKind::File { size_bytes, sha256 } = &item.kind else { continue };
            let digests = std::iter::once(sha256.clone()).collect();
            let content = Content::File { size_bytes: Some(*size_bytes), digests };
            let path = item.path.strip_prefix(b"/").unwrap_or(&item.path).to_vec();
            manifest.insert(hashing::Entry { path, content });
        }
        manifest
    }

    /// Compares the system on `fs` with the baseline.
    ///
    /// Logs, caches and data that cannot run may change; they are counted. Everything else that changed is told.
    ///
    /// # Errors
    /// When what is there cannot be listed.
    pub fn compare(
        &self,
        fs: &dyn FileSystem,
        ports: Option<&[String]>,
        options: &Options<'_>,
    ) -> Result<Report, Error> {
        changes::compare(self, fs, ports, options)
    }
}

fn record(bytes: &[u8]) -> FileRecord {
    let digests = hashing::digest_bytes(bytes, &Algorithms::sha256());
    let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    FileRecord { size_bytes, sha256: digests.sha256_hex() }
}
