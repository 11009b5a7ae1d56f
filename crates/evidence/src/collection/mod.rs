//! Collections of files instead of a disk: a plain directory, and a tar archive (UAC, acquire), shown as file systems.
//!
//! A collection holds the roots of one or more systems somewhere inside; [`Collection::systems`] finds them by the layout
//! its collector is known for, so that whatever runs on a disk's file system runs on each.

mod directory;
mod gzip;
mod tar;

pub use directory::{Directory, Mounts};
pub use gzip::Gzip;
pub use tar::Tar;

use crate::error::EvidenceError;
use crate::fs::tree::{self, LastLink};
use crate::fs::{FileKind, FileSystem, MountTree, RawPath};
use crate::source::Source;
use serde::Serialize;
use std::sync::Arc;

/// Who laid the collection out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Nothing known: the root of the collection is taken as the root of a system.
    Plain,
    /// UAC: `[root]/…` beside `uac.log`, `bodyfile/` and `live_response/`.
    Uac,
    /// acquire: `fs/<volume>/…`, or `fs/$fs$/fs0/…`.
    Acquire,
}

/// A collection opened for reading.
#[derive(Clone)]
pub struct Collection {
    /// Everything in it.
    pub files: Arc<dyn FileSystem>,
    /// Who laid it out.
    pub layout: Layout,
    /// Roots of systems inside.
    roots: Vec<RawPath>,
}

/// The root of a system inside a collection.
#[derive(Clone)]
pub struct System {
    /// Where it stands in the collection.
    pub path: RawPath,
    /// Its files, from there on.
    pub files: Arc<dyn FileSystem>,
}

/// Roots looked at in one collection.
const MAX_ROOTS: usize = 64;

/// Opens a collection in a file: a tar archive, which may be packed with gzip.
///
/// # Errors
/// `Unsupported`, with the way out, for zip archives and other packings; else as [`Tar::open`].
pub fn open(source: Arc<dyn Source>) -> Result<Collection, EvidenceError> {
    let head = source.bytes_at(0, 512).map_err(EvidenceError::read("the head of a collection"))?;
    let packed: [(&[u8], &str); 5] = [
        (b"PK\x03\x04", "a zip archive (unpack it and hand over the folder), which as such"),
        (b"PK\x05\x06", "an empty zip archive, which as such"),
        (b"\xfd7zXZ\0", "an archive packed with xz (unpack it with xz -d), which as such"),
        (
            b"\x28\xb5\x2f\xfd",
            "an archive packed with zstd (unpack it with zstd -d), which as such",
        ),
        (b"BZh", "an archive packed with bzip2 (unpack it with bzip2 -d), which as such"),
    ];
    if let Some((_, what)) = packed.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(EvidenceError::unsupported(*what));
    }
    Ok(Collection::new(Arc::new(Tar::open(source)?)))
}

impl Collection {
    /// A collection of these files, such as an unpacked one in a [`Directory`].
    #[must_use]
    pub fn new(files: Arc<dyn FileSystem>) -> Self {
        let (layout, roots) = laid_out(&*files);
        Self { files, layout, roots }
    }

    /// The systems inside, in the order of their paths.
    #[must_use]
    pub fn systems(&self) -> Vec<System> {
        let system = |path: &RawPath| {
            let node = tree::resolve(&*self.files, &path.0, LastLink::Keep).ok()?;
            let files: Arc<dyn FileSystem> = if node == self.files.root() {
                Arc::clone(&self.files)
            } else {
                Arc::new(MountTree::new(Arc::clone(&self.files), node))
            };
            Some(System { path: path.clone(), files })
        };
        self.roots.iter().filter_map(system).collect()
    }
}

fn is_directory(files: &dyn FileSystem, path: &RawPath) -> bool {
    let node = tree::resolve(files, &path.0, LastLink::Keep);
    node.and_then(|node| files.metadata(node)).is_ok_and(|found| found.kind == FileKind::Directory)
}

fn folders(files: &dyn FileSystem, path: &RawPath) -> Vec<RawPath> {
    let entries = tree::list(files, &path.0).unwrap_or_default();
    let paths = entries.into_iter().map(|entry| path.join(&entry.name.0));
    paths.filter(|path| is_directory(files, path)).take(MAX_ROOTS).collect()
}

/// Tells the layout; some tools wrap all of it in one folder.
fn laid_out(files: &dyn FileSystem) -> (Layout, Vec<RawPath>) {
    let top = RawPath::from("/");
    let mut bases = vec![top.clone()];
    if let [only] = &*folders(files, &top) {
        bases.push(only.clone());
    }
    for base in bases {
        let root = base.join(b"[root]");
        if is_directory(files, &root) {
            return (Layout::Uac, vec![root]);
        }
        let volumes = base.join(b"fs");
        if !is_directory(files, &volumes) {
            continue;
        }
        let mut roots = Vec::new();
        for volume in folders(files, &volumes) {
            // File systems that belong to no volume stand one level further down.
            if volume.name() == b"$fs$" {
                roots.extend(folders(files, &volume));
            } else {
                roots.push(volume);
            }
        }
        if !roots.is_empty() {
            roots.sort();
            return (Layout::Acquire, roots);
        }
    }
    (Layout::Plain, vec![top])
}
