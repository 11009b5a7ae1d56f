//! Putting the volumes of a system into its tree, in the order of its fstab.

use super::locate::{Located, locate};
use super::roots::Root;
use super::{Mount, System, Unreached, fstab, units};
use crate::error::EvidenceError;
use crate::fs::tree::{self, LastLink};
use crate::fs::{FileKind, FileSystem, MountTree, Node, RawPath, View};
use crate::problem::{Place, Problem};
use crate::stack::{Stack, VolumeId};
use std::sync::Arc;

/// No file read here needs more.
const MAX_FILE_BYTES: usize = 1 << 20;
/// Types that hold nothing a disk would keep.
const WITHOUT_DISK: [&str; 17] = [
    "proc",
    "sysfs",
    "tmpfs",
    "devtmpfs",
    "devpts",
    "debugfs",
    "tracefs",
    "securityfs",
    "cgroup",
    "cgroup2",
    "swap",
    "efivarfs",
    "binfmt_misc",
    "hugetlbfs",
    "mqueue",
    "configfs",
    "fusectl",
];
/// Types that live on another machine.
const REMOTE: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "sshfs", "fuse.sshfs", "ceph"];

pub(super) fn assemble(stack: &Stack, view: View, root: &Root, name: String) -> System {
    let address = stack.address(root.id);
    let mut system = System {
        name,
        root: address,
        root_path: root.path.clone(),
        identity: root.identity.clone(),
        mounts: Vec::new(),
        unreached: Vec::new(),
        problems: Vec::new(),
        tree: Arc::new(MountTree::new(Arc::clone(&root.fs), root.node)),
    };
    let mut tree = MountTree::new(Arc::clone(&root.fs), root.node);
    let table = read(&tree, b"/etc/fstab", &mut system.problems);
    let (mut entries, problems) = fstab::parse(&table);
    system.problems.extend(problems);
    units::add(&tree, &mut entries, &mut system.problems);
    let crypttab = fstab::parse_crypttab(&read(&tree, b"/etc/crypttab", &mut system.problems));
    // A parent is mounted before what stands below it, whatever the order of the lines.
    entries.sort_by_key(|entry| depth(&entry.mount_point));
    for entry in &entries {
        if entry.mount_point.0 == b"/" || WITHOUT_DISK.contains(&entry.kind.as_str()) {
            continue;
        }
        if entry.mount_point.0.first() != Some(&b'/') {
            continue;
        }
        let done = if REMOTE.contains(&entry.kind.as_str()) {
            Err("it is on another machine".to_owned())
        } else if entry.has("bind") || entry.has("rbind") {
            bind(&mut tree, entry)
        } else {
            put(stack, view, root, entry, &crypttab, &mut tree)
        };
        match done {
            Ok(mount) => system.mounts.push(mount),
            Err(why) => system.unreached.push(Unreached {
                path: entry.mount_point.clone(),
                what: entry.what.clone(),
                why,
            }),
        }
    }
    system.tree = Arc::new(tree);
    system
}

fn depth(path: &RawPath) -> usize {
    path.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count()
}

fn read(tree: &MountTree, path: &[u8], problems: &mut Vec<Problem>) -> Vec<u8> {
    match tree::read_file(tree, path, MAX_FILE_BYTES) {
        Ok((raw, _)) => raw,
        Err(error) => {
            if !error.is_not_found() {
                problems.push(error.to_problem(Place::Path(RawPath::from(path))));
            }
            Vec::new()
        }
    }
}

/// The directory and the name a mount point stands for, links followed inside the system.
fn point(tree: &MountTree, path: &RawPath) -> Result<(Node, Vec<u8>), String> {
    let said = |error: EvidenceError| error.to_string();
    // A mount point reached through a link is the directory the link leads to.
    let mut path = path.clone();
    while path.0.len() > 1 && path.0.last() == Some(&b'/') {
        path.0.pop();
    }
    for _ in 0..tree::MAX_HOPS {
        let parent = tree::resolve(tree, &path.parent().0, LastLink::Follow).map_err(said)?;
        let node = tree::resolve(tree, &path.0, LastLink::Keep).map_err(said)?;
        match tree.metadata(node).map_err(said)?.kind {
            FileKind::Directory => return Ok((parent, path.name().to_vec())),
            FileKind::Symlink => {
                let target = tree.read_link(node).map_err(said)?;
                path = if target.0.first() == Some(&b'/') {
                    target
                } else {
                    path.parent().join(&target.0)
                };
            }
            _ => return Err(format!("{path} is no directory")),
        }
    }
    Err(format!("{path} is behind too many links"))
}

fn bind(tree: &mut MountTree, entry: &fstab::Entry) -> Result<Mount, String> {
    let said = |error: EvidenceError| error.to_string();
    let node = tree::resolve(&*tree, &entry.what.0, LastLink::Follow).map_err(said)?;
    let (parent, name) = point(tree, &entry.mount_point)?;
    tree.bind(parent, &name, node).map_err(said)?;
    Ok(Mount {
        path: entry.mount_point.clone(),
        what: entry.what.clone(),
        from: entry.what.to_string(),
        assumption: None,
    })
}

fn put(
    stack: &Stack,
    view: View,
    root: &Root,
    entry: &fstab::Entry,
    crypttab: &[fstab::Encrypted],
    tree: &mut MountTree,
) -> Result<Mount, String> {
    let said = |error: EvidenceError| error.to_string();
    let (id, assumption) = match locate(stack, root.id, &entry.what, crypttab) {
        Located::Volume(id, assumption) => (id, assumption),
        Located::Not(why) => return Err(why),
    };
    let address = stack.address(id);
    let fs = open(stack, view, root, id).map_err(|error| format!("{address}: {error}"))?;
    let node = subvolume(&*fs, entry).map_err(said)?;
    let (parent, name) = point(tree, &entry.mount_point)?;
    tree.mount(parent, &name, fs, node).map_err(said)?;
    let from = match (entry.option("subvol"), entry.option("subvolid")) {
        (Some(path), _) => format!("{address}:{path}"),
        (None, Some(id)) => format!("{address}:subvolume {id}"),
        (None, None) => address,
    };
    Ok(Mount { path: entry.mount_point.clone(), what: entry.what.clone(), from, assumption })
}

/// The volume's file system; the root's own is not opened twice.
fn open(
    stack: &Stack,
    view: View,
    root: &Root,
    id: VolumeId,
) -> Result<Arc<dyn FileSystem>, EvidenceError> {
    if id == root.id {
        return Ok(Arc::clone(&root.fs));
    }
    Ok(Arc::from(stack.open(id, view)?))
}

/// The directory of the file system that is mounted: its top, or a subvolume.
fn subvolume(fs: &dyn FileSystem, entry: &fstab::Entry) -> Result<Node, EvidenceError> {
    match entry.option("subvol") {
        Some(path) => tree::resolve(fs, path.as_bytes(), LastLink::Keep),
        None => match entry.option("subvolid") {
            Some(text) => {
                let id = text.parse().map_err(|_| {
                    EvidenceError::corrupt(format!("subvolid={text} is no number of a subvolume"))
                })?;
                fs.subvolume(Some(id))
            }
            None => fs.subvolume(None),
        },
    }
}
