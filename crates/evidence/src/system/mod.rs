//! One tree for each installed system: its volumes put together where its own files say they stood.
//!
//! The files that say so (`fstab`, `crypttab`, mount units) are claims of the disk: a volume is taken for what they name only when
//! exactly one volume at hand fits, and everything they name that could not be reached is listed, never passed over.

pub mod fstab;
mod locate;
mod mounting;
mod roots;
mod units;

use crate::collection::Collection;
use crate::fs::tree::{self, LastLink};
use crate::fs::{FileSystem, MountTree, Node, RawPath, View};
use crate::os::{self, InstalledSystem};
use crate::problem::Problem;
use crate::stack::Stack;
use serde::Serialize;
use std::sync::Arc;

/// An installed system with its tree.
#[derive(Clone, Serialize)]
pub struct System {
    /// `os1`, `os2` … in the order of the volumes their roots are on.
    pub name: String,
    /// Address of the volume its root is on.
    pub root: String,
    /// The subvolume or directory of that volume which is the root, if it is not the top.
    pub root_path: Option<RawPath>,
    /// What it says of itself.
    pub identity: InstalledSystem,
    /// Volumes that stand in the tree beside the root.
    pub mounts: Vec<Mount>,
    /// What its files name but is not in the tree.
    pub unreached: Vec<Unreached>,
    /// What was wrong with its files.
    pub problems: Vec<Problem>,
    /// The tree.
    #[serde(skip)]
    pub tree: Arc<MountTree>,
}

impl System {
    /// Directories of the tree that its mounts hide, each with the path of the mount point.
    #[must_use]
    pub fn hidden(&self) -> Vec<Hidden> {
        let tree = &*self.tree;
        let below = self.mounts.iter().filter_map(|mount| {
            let parent = tree::resolve(tree, &mount.path.parent().0, LastLink::Follow).ok()?;
            let (fs, node) = tree.below(parent, mount.path.name())?;
            Some(Hidden { path: mount.path.clone(), fs, node })
        });
        below.collect()
    }
}

/// A directory that a mount hides.
#[derive(Clone)]
pub struct Hidden {
    /// The mount point.
    pub path: RawPath,
    /// The file system below the mount.
    pub fs: Arc<dyn FileSystem>,
    /// The hidden directory there.
    pub node: Node,
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hidden({})", self.path)
    }
}

/// A volume in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where it stands.
    pub path: RawPath,
    /// What the system's files call it.
    pub what: RawPath,
    /// Address of the volume, or the path a bind mount shows again.
    pub from: String,
    /// How the volume was told from others, where that is less than an identity: by a kernel's device name.
    pub assumption: Option<String>,
}

/// Something the system's files name that could not be put into the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreached {
    /// Where it would stand.
    pub path: RawPath,
    /// What the files call it.
    pub what: RawPath,
    /// Why it is missing.
    pub why: String,
}

/// Every system installed on the volumes of `stack`.
#[must_use]
pub fn find(stack: &Stack, view: View) -> Vec<System> {
    let mut systems = Vec::new();
    for root in roots::find(stack, view) {
        let number = systems.len().saturating_add(1);
        systems.push(mounting::assemble(stack, view, &root, format!("os{number}")));
    }
    systems
}

/// The systems inside a collection: each stands alone, with what its collector took.
#[must_use]
pub fn of_collection(collection: &Collection) -> Vec<System> {
    let systems = collection.systems().into_iter();
    let with_number = (1_usize..).zip(systems);
    with_number
        .map(|(number, found)| System {
            name: format!("os{number}"),
            root: found.path.to_string(),
            root_path: Some(found.path),
            identity: os::find(&*found.files).unwrap_or_default(),
            mounts: Vec::new(),
            unreached: Vec::new(),
            problems: Vec::new(),
            tree: Arc::new(MountTree::new(Arc::clone(&found.files), found.files.root())),
        })
        .collect()
}
