//! The manifest of a tree: every object as it is, in the form of the catalogue's listings.

use std::cell::RefCell;

use archive::debian::Origin;
use archive::store::{Item, ItemKind, Listing};
use evidence::fs::tree::Limits;
use evidence::fs::{FileKind, Metadata};
use evidence::{FileSystem, Place, Problem};

use crate::content;
use crate::inventory::Inventory;

/// Takes the manifest of the tree on `fs`; what could not be read is in the problems and not in the manifest.
#[must_use]
pub fn manifest(
    fs: &dyn FileSystem,
    name: &str,
    limits: Limits,
    threads: usize,
) -> (Listing, Vec<Problem>) {
    let inventory = Inventory::read(fs, limits);
    let listing = of(&inventory, name, threads);
    (listing, RefCell::take(&inventory.problems))
}

/// The manifest of a tree that was walked already.
pub(crate) fn of(inventory: &Inventory<'_>, name: &str, threads: usize) -> Listing {
    let fs = inventory.fs;
    let files: Vec<(&Vec<u8>, &Metadata)> =
        inventory.entries.iter().filter(|(_, one)| one.kind == FileKind::File).collect();
    let nodes: Vec<u64> = files.iter().map(|(_, one)| one.node).collect();
    let read = content::digests(fs, &nodes, threads);
    let mut digests = std::collections::HashMap::new();
    for ((path, _), result) in files.iter().zip(read) {
        match result {
            Ok(found) => drop(digests.insert(path.as_slice(), found)),
            Err(error) => inventory.problem(error.to_problem(Place::Path(path.as_slice().into()))),
        }
    }
    let mut items = Vec::new();
    for (path, metadata) in &inventory.entries {
        let kind = match metadata.kind {
            FileKind::File => digests
                .remove(path.as_slice())
                .map(|(sha256, size_bytes)| ItemKind::File { size_bytes, sha256 }),
            FileKind::Directory => Some(ItemKind::Directory),
            FileKind::Symlink => inventory.link(path).map(ItemKind::Symlink),
            _ => Some(ItemKind::Special),
        };
        let Some(kind) = kind else { continue };
        items.push(Item {
            path: path.clone(),
            origin: Origin::Data,
            kind,
            mode: metadata.mode,
            uid: metadata.uid.into(),
            gid: metadata.gid.into(),
            xattrs: xattrs(inventory, path, metadata),
            is_conffile: false,
            owner: None,
        });
    }
    let text = |text: &str| text.to_owned();
    Listing {
        package: text(name),
        version: text("0"),
        architecture: text("all"),
        file_sha256: String::new(),
        items,
    }
}

/// Extended attributes that give rights; others are the user's own.
pub(crate) fn xattrs(
    inventory: &Inventory<'_>,
    path: &[u8],
    metadata: &Metadata,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    match inventory.fs.xattrs(metadata.node) {
        Ok(all) => {
            let mut kept: Vec<(Vec<u8>, Vec<u8>)> = all
                .into_iter()
                .filter(|one| {
                    // Labels of a mandatory policy are written by the system that runs, on every file.
                    one.name.0 != b"security.selinux" && !one.name.0.starts_with(b"user.")
                })
                .map(|one| (one.name.0, one.value))
                .collect();
            kept.sort();
            kept
        }
        Err(evidence::EvidenceError::Unsupported { .. }) => Vec::new(),
        Err(error) => {
            inventory.problem(error.to_problem(Place::Path(path.into())));
            Vec::new()
        }
    }
}
