//! The package database of Debian and its kin: which package owns which path, and the MD5 it had when it was unpacked.
//!
//! It lies on the suspect disk and vouches for itself, so it can show a change but never prove that there was none.

use super::{lines, words};
use crate::root::Root;
use std::collections::{BTreeSet, HashMap};

/// Largest database file read, in bytes; the status file of a large desktop has about 10 MiB.
const MAX_DATABASE_BYTES: usize = 64 << 20;

/// One paragraph of the status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name, raw.
    pub name: Vec<u8>,
    /// Version, raw.
    pub version: Vec<u8>,
    /// Whether its files are on the disk.
    pub is_unpacked: bool,
    /// Configuration files with the MD5 they were delivered with, in hexadecimal.
    pub conffiles: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The packages of a status file.
#[must_use]
pub fn parse_status(raw: &[u8]) -> Vec<Package> {
    let mut out = Vec::new();
    let mut package = Package::default();
    let mut in_conffiles = false;
    for (_, _, line) in lines(raw).chain(std::iter::once((0, 0, &b""[..]))) {
        if line.is_empty() {
            let done = std::mem::take(&mut package);
            if !done.name.is_empty() {
                out.push(done);
            }
            in_conffiles = false;
        } else if line.first() == Some(&b' ') {
            if let (true, [path, md5, ..]) = (in_conffiles, words(line).as_slice()) {
                package.conffiles.push((path.to_vec(), md5.to_vec()));
            }
        } else if let Some(at) = line.iter().position(|byte| *byte == b':') {
            let (key, value) = (
                line.get(..at).unwrap_or(&[]),
                line.get(at.saturating_add(1)..).unwrap_or(&[]).trim_ascii(),
            );
            in_conffiles = key == b"Conffiles";
            match key {
                b"Package" => package.name = value.to_vec(),
                b"Version" => package.version = value.to_vec(),
                b"Status" => {
                    package.is_unpacked = !matches!(
                        value.rsplit(|b| *b == b' ').next(),
                        Some(b"not-installed" | b"config-files")
                    );
                }
                _ => {}
            }
        }
    }
    out
}

/// The lines of a `.md5sums` file: path (made absolute) and digest in hexadecimal.
#[must_use]
pub fn parse_md5sums(raw: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = lines(raw).filter_map(|(_, _, line)| {
        let digest = line.get(..32).filter(|digest| digest.iter().all(u8::is_ascii_hexdigit))?;
        let path = line.get(34..).filter(|path| !path.is_empty())?;
        Some(([b"/", path].concat(), digest.to_vec()))
    });
    pairs.collect()
}

/// Who owns what, with paths in the form of the inventory.
#[derive(Default)]
pub(crate) struct Ownership {
    pub(crate) packages: Vec<Package>,
    owners: HashMap<Vec<u8>, u32>,
    pub(crate) digests: HashMap<Vec<u8>, Vec<u8>>,
    pub(crate) conffiles: HashMap<Vec<u8>, Vec<u8>>,
    known: BTreeSet<Vec<u8>>,
}

impl Ownership {
    /// Reads the database of the examined root; `None` when there is none.
    pub(crate) fn read(root: &Root<'_>) -> Option<Self> {
        let read = |path: &[u8]| {
            let item = root.item(path)?;
            root.fs.read_head(item.metadata.node, MAX_DATABASE_BYTES).ok().map(|(raw, _)| raw)
        };
        let mut out =
            Self { packages: parse_status(&read(b"/var/lib/dpkg/status")?), ..Self::default() };
        let diversions = parse_diversions(&read(b"/var/lib/dpkg/diversions").unwrap_or_default());
        let place = |path: &[u8], package: &[u8]| {
            let moved = diversions
                .get(path)
                .filter(|(_, by)| by.as_slice() != package)
                .map(|(to, _)| to.as_slice());
            root.canonical(moved.unwrap_or(path))
        };
        let mut numbers: HashMap<Vec<u8>, u32> = HashMap::new();
        for (number, package) in (0_u32..).zip(&out.packages) {
            if package.is_unpacked {
                numbers.insert(package.name.clone(), number);
            }
            for (path, digest) in &package.conffiles {
                let path = place(path, &package.name);
                out.known.insert(digest.clone());
                if package.is_unpacked && digest.len() == 32 {
                    out.conffiles.insert(path, digest.clone());
                }
            }
        }
        for item in root.matching("/var/lib/dpkg/info/*") {
            let name = item.name();
            let Some(at) = name.iter().rposition(|byte| *byte == b'.') else { continue };
            let (stem, kind) = (name.get(..at).unwrap_or(&[]), name.get(at..).unwrap_or(&[]));
            let package = stem.split(|byte| *byte == b':').next().unwrap_or(stem);
            let Some(number) = numbers.get(package) else { continue };
            // The list's own existence makes the database's files owned, so that nothing hides beside them unseen.
            out.owners.insert(item.path.to_vec(), *number);
            if !matches!(kind, b".list" | b".md5sums") {
                continue;
            }
            let Some(raw) = read(item.path) else { continue };
            if kind == b".list" {
                for (_, _, path) in lines(&raw).filter(|(_, _, path)| !path.is_empty()) {
                    out.owners.insert(place(path, package), *number);
                }
            } else {
                for (path, digest) in parse_md5sums(&raw) {
                    out.known.insert(digest.clone());
                    out.digests.insert(place(&path, package), digest);
                }
            }
        }
        Some(out)
    }

    /// `name version` of the package that owns a path of the inventory.
    pub(crate) fn owner(&self, path: &[u8]) -> Option<&Package> {
        let number = *self.owners.get(path)?;
        self.packages.get(usize::try_from(number).ok()?)
    }

    /// Whether some package delivered a file with this MD5 (in hexadecimal).
    pub(crate) fn knows_digest(&self, md5: &[u8]) -> bool {
        self.known.contains(md5)
    }
}

/// Diverted path to the path it went to and the package that diverted it: three lines for each.
fn parse_diversions(raw: &[u8]) -> HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)> {
    let all: Vec<&[u8]> =
        lines(raw).map(|(_, _, line)| line).filter(|line| !line.is_empty()).collect();
    all.as_chunks::<3>()
        .0
        .iter()
        .map(|[from, to, by]| (from.to_vec(), (to.to_vec(), by.to_vec())))
        .collect()
}
