//! Advisories: which weaknesses are known in which versions of source packages, from files that vendors publish.
//!
//! Two forms are read: the JSON of Debian's security tracker, and OSV (ossf.github.io/osv-schema). Neither is signed: what stands
//! in an archive is the word of whoever added it. Versions are compared as `dpkg` does (Debian Policy 5.6.12), so that only
//! releases of Debian and its kin are judged.

mod osv;
mod tracker;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::debian::Version;
use crate::{Error, Result};

/// Advisories told of one system at most.
const MAX_OPEN: usize = 1_000_000;
/// Longest description kept, in characters.
const MAX_ABOUT: usize = 300;

/// How a file of advisories is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One object: source packages, their weaknesses, the state in each release.
    DebianTracker,
    /// One advisory, or a list of them.
    Osv,
}

/// The release of a system, as its `os-release` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_CODENAME`, such as `bookworm`.
    pub codename: String,
    /// `VERSION_ID`, such as `12`.
    pub number: String,
}

/// Installed source packages by name, each with the versions of it that are there.
pub type Installed = BTreeMap<String, BTreeSet<String>>;

/// How far the vendor is with a weakness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is a version without it.
    Fixed,
    /// There is none yet.
    Unfixed,
    /// Nobody has looked whether this release has it.
    Undetermined,
}

/// A weakness that an installed version has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Open {
    /// The source package.
    pub source: String,
    /// Its installed version.
    pub installed: String,
    /// The weakness, such as `CVE-2024-1234`.
    pub id: String,
    /// How far the vendor is.
    pub state: State,
    /// The first version without it.
    pub fixed: Option<String>,
    /// How urgent, in the vendor's words; empty where none are given.
    pub urgency: String,
    /// What it is about, cut.
    pub about: String,
}

/// What a file says of a system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Weaknesses of installed versions, sorted.
    pub open: Vec<Open>,
    /// Entries that are about this release at all; without any, nothing can be concluded.
    pub of_release: usize,
}

impl Known {
    fn add(&mut self, open: Open) -> Result<()> {
        if self.open.len() >= MAX_OPEN {
            let limit_bytes = u64::try_from(MAX_OPEN).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { what: "number of advisories".to_owned(), limit_bytes });
        }
        self.open.push(open);
        Ok(())
    }
}

/// Which weaknesses a file knows in what a system has installed. `name` is for messages.
///
/// # Errors
/// When the file is not of this form.
pub fn open(
    form: Form,
    name: &str,
    text: &[u8],
    release: &Release,
    installed: &Installed,
) -> Result<Known> {
    let mut known = match form {
        Form::DebianTracker => tracker::read(name, text, release, installed),
        Form::Osv => osv::read(name, text, release, installed),
    }?;
    known.open.sort();
    known.open.dedup();
    Ok(known)
}

/// The first part of a description.
fn about(text: &str) -> String {
    text.chars().take(MAX_ABOUT).collect()
}

fn is_below(installed: &str, fixed: &str) -> bool {
    Version::new(installed) < Version::new(fixed)
}
