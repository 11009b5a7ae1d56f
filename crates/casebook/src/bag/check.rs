//! Checking a bag that came from somebody: complete, nothing added, every digest right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use hashing::{Boundary, Content, Digest, TreeOptions, digest_tree, escape_name};

use super::{DECLARATION, MANIFEST, TAG_MANIFEST, algorithm};
use crate::Error;
use crate::members::inside;

/// Longest tag file read.
const MAX_TAG_BYTES: u64 = 2 << 30;
const MAX_PROBLEMS: usize = 10_000;

/// What checking a bag found.
#[derive(Debug, Clone, Default)]
pub struct BagCheck {
    /// Files of the payload whose digests are right.
    pub files: u64,
    /// What is wrong, safe to print; empty when the bag is whole.
    pub problems: Vec<String>,
}

impl BagCheck {
    fn problem(&mut self, text: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(text);
        }
    }
}

/// Checks the bag in `bag` (RFC 8493, section 3), reading only.
///
/// # Errors
/// When there is no bag there, or it is of a kind this version does not write.
pub fn check(bag: &Path, threads: NonZeroUsize) -> Result<BagCheck, Error> {
    let bad = |reason: &str| Error::BadBag { path: bag.to_path_buf(), reason: reason.to_owned() };
    if read(bag, "bagit.txt")? != DECLARATION {
        return Err(bad("bagit.txt does not declare version 1.0 in UTF-8"));
    }
    let mut result = BagCheck::default();
    let mut listed = lines(&read(bag, MANIFEST)?).ok_or_else(|| bad("its manifest has no form"))?;
    let tags = lines(&read(bag, TAG_MANIFEST)?)
        .ok_or_else(|| bad("its manifest of tag files has no form"))?;
    for required in ["bag-info.txt", "bagit.txt", MANIFEST] {
        if !tags.contains_key(required) {
            result.problem(format!("{required} is not in {TAG_MANIFEST}"));
        }
    }
    if listed.keys().any(|name| !name.starts_with("data/")) {
        return Err(bad("its manifest names what is not payload"));
    }
    listed.extend(tags);
    let options = TreeOptions {
        algorithms: [algorithm()].into_iter().collect(),
        threads,
        boundary: Boundary::SameFileSystem,
    };
    let tree = digest_tree(bag, &options).map_err(|error| bad(&error.to_string()))?;
    for problem in tree.problems {
        result.problem(format!("{}: {}", escape_name(&problem.path), problem.reason));
    }
    let mut seen = BTreeSet::new();
    for (path, content) in tree.manifest.iter() {
        let (name, shown) = (String::from_utf8_lossy(path).into_owned(), escape_name(path));
        match (content, listed.get(&name)) {
            (Content::Directory, _) => continue,
            (Content::File { digests, .. }, Some(expected)) => {
                if digests.of(algorithm()) == Some(expected) {
                    result.files =
                        result.files.saturating_add(u64::from(name.starts_with("data/")));
                } else {
                    let (found, said) = (digests.sha256_hex(), expected.to_hex());
                    result.problem(format!("{shown}: sha256 is {found}, the bag says {said}"));
                }
            }
            (Content::File { .. }, None) if name == TAG_MANIFEST => {}
            (Content::File { .. }, None) => {
                result.problem(format!("{shown}: no manifest lists it"));
            }
            _ => result.problem(format!("{shown}: it is not a regular file")),
        }
        seen.insert(name);
    }
    for name in listed.keys().filter(|name| !seen.contains(*name)) {
        result.problem(format!("{}: it is missing", escape_name(name.as_bytes())));
    }
    Ok(result)
}

fn read(bag: &Path, name: &str) -> Result<String, Error> {
    let path = bag.join(name);
    let bad = |reason: String| Error::BadBag {
        path: bag.to_path_buf(),
        reason: escape_name(format!("{name}: {reason}").as_bytes()),
    };
    let found = fs::symlink_metadata(&path).map_err(|error| bad(error.to_string()))?;
    if !found.is_file() || found.len() > MAX_TAG_BYTES {
        return Err(bad("it is no file of ordinary size".to_owned()));
    }
    fs::read_to_string(&path).map_err(|error| bad(error.to_string()))
}

/// The lines of a manifest; `None` where one has no form, is double or leads out of the bag.
fn lines(text: &str) -> Option<BTreeMap<String, Digest>> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let (sum, name) = line.split_once("  ")?;
        inside(Path::new(""), name)?;
        let sum = Digest::from_hex(algorithm(), sum).ok()?;
        if all.insert(name.to_owned(), sum).is_some() {
            return None;
        }
    }
    Some(all)
}
