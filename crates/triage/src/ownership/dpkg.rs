//! Debian and its kin: the status file says which packages are there, lists and digests lie beside it.

use super::{Ownership, Package, text};
use crate::parse::dpkg::{parse_diversions, parse_md5sums, parse_status};
use crate::parse::lines;
use crate::root::Root;
use hashing::Algorithm;
use std::collections::HashMap;

pub(super) fn read(root: &Root<'_>) -> Option<Ownership> {
    let status = parse_status(&text(root, b"/var/lib/dpkg/status")?);
    let mut out = Ownership::new("dpkg", Algorithm::Md5);
    let diversions = parse_diversions(&text(root, b"/var/lib/dpkg/diversions").unwrap_or_default());
    let place = |path: &[u8], package: &[u8]| {
        let moved = diversions
            .get(path)
            .filter(|(_, by)| by.as_slice() != package)
            .map(|(to, _)| to.as_slice());
        root.canonical(moved.unwrap_or(path))
    };
    let mut numbers: HashMap<Vec<u8>, u32> = HashMap::new();
    for (number, package) in (0_u32..).zip(&status) {
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
        let Some(raw) = text(root, item.path) else { continue };
        if kind == b".list" {
            for (_, _, path) in lines(&raw).filter(|(_, _, path)| !path.is_empty()) {
                out.owners.insert(place(path, package), *number);
            }
        } else {
            for (path, digest) in parse_md5sums(&raw) {
                let digest = digest.to_ascii_lowercase();
                out.known.insert(digest.clone());
                out.digests.insert(place(&path, package), digest);
            }
        }
    }
    let packages = status.into_iter().map(|one| Package {
        name: one.name,
        version: one.version,
        is_unpacked: one.is_unpacked,
    });
    out.packages = packages.collect();
    Some(out)
}
