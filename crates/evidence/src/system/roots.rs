//! Which volumes, and which subvolumes on them, are the root of an installed system.

use crate::fs::tree::{self, LastLink};
use crate::fs::{FileKind, FileSystem, MountTree, Node, RawPath, View};
use crate::os::{self, InstalledSystem};
use crate::stack::{Stack, VolumeId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Directories at the top of a volume looked into, where the top itself is no root.
const MAX_CANDIDATES: usize = 64;
/// Where openSUSE keeps the root it runs from.
const SNAPSHOT_ROOT: &[u8] = b"@/.snapshots/1/snapshot";

/// A root that was found.
pub(super) struct Root {
    pub(super) id: VolumeId,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) node: Node,
    /// Path of the root on its volume, if it is not the top.
    pub(super) path: Option<RawPath>,
    pub(super) identity: InstalledSystem,
}

/// Roots of all readable volumes, in order.
pub(super) fn find(stack: &Stack, view: View) -> Vec<Root> {
    let mut roots = Vec::new();
    let mut opened_devices = BTreeSet::new();
    for id in stack.volumes().filter(|id| stack.is_readable(*id)) {
        let Ok(fs) = stack.open(id, view) else { continue };
        let fs: Arc<dyn FileSystem> = Arc::from(fs);
        // Each device of a file system on several opens the same one.
        if fs.kind() == "btrfs" && !opened_devices.insert(fs.uuid()) {
            continue;
        }
        if let Some(identity) = os::find(&*fs) {
            let node = fs.root();
            roots.push(Root { id, fs, node, path: None, identity });
            continue;
        }
        for path in candidates(&*fs) {
            let Ok(node) = tree::resolve(&*fs, &path.0, LastLink::Keep) else { continue };
            let below = MountTree::new(Arc::clone(&fs), node);
            if let Some(identity) = os::find(&below) {
                roots.push(Root { id, fs: Arc::clone(&fs), node, path: Some(path), identity });
            }
        }
    }
    roots
}

/// Directories that may be a root: those at the top of a Btrfs, where installers put subvolumes.
fn candidates(fs: &dyn FileSystem) -> Vec<RawPath> {
    if fs.kind() != "btrfs" {
        return Vec::new();
    }
    let mut out = Vec::new();
    for entry in tree::list(fs, b"/").unwrap_or_default().into_iter().take(MAX_CANDIDATES) {
        if fs.metadata(entry.node).is_ok_and(|found| found.kind == FileKind::Directory) {
            out.push(RawPath::from("/").join(&entry.name.0));
        }
    }
    out.push(RawPath::from("/").join(SNAPSHOT_ROOT));
    out
}
