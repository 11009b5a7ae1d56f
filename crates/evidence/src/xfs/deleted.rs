//! Deleted objects: names left in the free room of directories, inodes deleted while open, and inodes that were freed.
//!
//! A removed name loses the upper half of its inode number to the mark of free room; the lower half, the name and its
//! place stay until something else is written there. A freed inode loses its type, owner's links and size, but keeps its
//! times and often its list of extents. So what is told here is what is there, and nothing is guessed from the rest.

use super::dir::{self, Item};
use super::inode::{self, Fork, Format, Inode};
use super::{Xfs, ag, map};
use crate::bytes::Fields;
use crate::fs::tree::{self, Limits};
use crate::fs::{Deleted, DeletedListing, FileKind, FileSystem, Node, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Problems recorded before the rest of the groups is given up.
const MAX_PROBLEMS: usize = 256;
const ORPHANS: &str = "/$OrphanFiles/";

pub(super) fn list(xfs: &Xfs, limit: usize) -> DeletedListing {
    let mut out = DeletedListing::default();
    // Where it cannot be read, blocks count as used again: nothing is promised that may not be there.
    let free = xfs.free_ranges().unwrap_or_default();
    let mut named = BTreeMap::new();
    names(xfs, limit, &mut out, &mut named);
    for group in ag::groups(xfs) {
        unlinked(xfs, group, &mut out, &mut named);
        freed(xfs, group, limit, &mut out, &named);
        if out.entries.len() > limit || out.problems.len() > MAX_PROBLEMS {
            break;
        }
    }
    for entry in &mut out.entries {
        entry.is_reused = entry.is_reused || has_lost_blocks(xfs, entry, &free);
    }
    out.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
    if out.entries.len() > limit {
        out.entries.truncate(limit);
        let text = format!("more than {limit} deleted objects; the rest is not listed");
        out.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    out
}

/// Whether blocks that a freed inode still names are in use again.
fn has_lost_blocks(xfs: &Xfs, entry: &Deleted, free: &[Range<u64>]) -> bool {
    let inode = entry.node.and_then(|node| inode::read_any(xfs, node).ok());
    let Some(inode) = inode.filter(|inode| inode.mode() == 0) else { return false };
    let block_bytes = xfs.superblock.block_bytes;
    map::left_over(xfs, &inode).runs.iter().any(|run| {
        let start = xfs.superblock.block_offset(run.block, u64::from(run.blocks)).unwrap_or(0);
        let end = start.saturating_add(u64::from(run.blocks).saturating_mul(block_bytes));
        let at = free.partition_point(|range| range.end <= start);
        !free.get(at).is_some_and(|range| range.start <= start && end <= range.end)
    })
}

/// Names in the free room of every directory still in use.
fn names(xfs: &Xfs, limit: usize, out: &mut DeletedListing, named: &mut BTreeMap<Node, usize>) {
    let mut directories = vec![(xfs.root(), RawPath::from("/"))];
    let problems =
        tree::walk(xfs, xfs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
            if visit.metadata.kind == FileKind::Directory {
                directories.push((visit.metadata.node, visit.path));
            }
        });
    out.problems.extend(problems);
    for (node, path) in directories {
        let mut found = BTreeMap::new();
        let Ok(inode) = inode::read(xfs, node) else { continue };
        if inode.format(Fork::Data) == Format::Local {
            continue;
        }
        let mut live = BTreeSet::new();
        // Problems of the blocks were met by the walk already.
        let _ = dir::blocks(xfs, &inode, &mut Vec::new(), &mut |raw| {
            let _ = dir::items(xfs, raw, &mut |item| match item {
                Item::Name(name, node) => {
                    live.insert((name.to_vec(), node));
                }
                Item::Free(from, to) => slack(xfs, raw, from, to, &mut found),
            });
            Vec::new()
        });
        for ((name, low), ()) in found {
            let node = whole_node(xfs, low);
            // A name that was only moved to another place of the directory is not deleted.
            if node.is_some_and(|node| live.contains(&(name.clone(), node))) {
                continue;
            }
            if out.entries.len() > limit {
                return;
            }
            named.extend(node.map(|node| (node, out.entries.len())));
            out.entries.push(entry(xfs, path.join(&name), node));
        }
    }
}

/// Removed entries in free room; each proves itself by the place it repeats at its end, or by the place where the free
/// room begins when it was the last in it.
fn slack(xfs: &Xfs, raw: &[u8], from: usize, to: usize, found: &mut BTreeMap<(Vec<u8>, u32), ()>) {
    let f = Fields(raw);
    let type_bytes = usize::from(xfs.superblock.has_file_types);
    let mut at = from;
    while at.saturating_add(16) <= to {
        let name_bytes = usize::from(f.u8(at.saturating_add(8)));
        let end = at.saturating_add(dir::entry_bytes(name_bytes, type_bytes));
        let tag = usize::from(f.be16(end.saturating_sub(2)));
        let name = f.slice(at.saturating_add(9), name_bytes);
        let is_entry = name_bytes != 0
            && end <= to
            && (tag == at || (end == to && tag == from))
            && !name.contains(&0)
            && !name.contains(&b'/')
            && !matches!(name, b"." | b"..");
        if is_entry {
            found.insert((name.to_vec(), f.be32(at.saturating_add(4))), ());
            at = end;
        } else {
            at = at.saturating_add(8);
        }
    }
}

/// The inode number, where the file system is too small for the lost half to have been anything but zero.
fn whole_node(xfs: &Xfs, low: u32) -> Option<Node> {
    let node = Node::from(low);
    (u32::try_from(xfs.superblock.last_node()).is_ok() && xfs.superblock.inode_offset(node).is_ok())
        .then_some(node)
}

fn entry(xfs: &Xfs, path: RawPath, node: Option<Node>) -> Deleted {
    let inode = node.and_then(|node| inode::read_any(xfs, node).ok());
    let is_used = inode.as_ref().is_some_and(|inode| inode.mode() != 0);
    let freed = inode.as_ref().filter(|_| !is_used).map(Inode::changed);
    Deleted {
        path,
        node,
        metadata: inode.map(|inode| inode.metadata()),
        deleted: freed.filter(|time| *time != Time::default()),
        is_reused: is_used,
    }
}

/// Inodes without a name that were still open when the machine stopped: whole, with type, size and content.
fn unlinked(xfs: &Xfs, group: u64, out: &mut DeletedListing, named: &mut BTreeMap<Node, usize>) {
    let nodes = match ag::unlinked(xfs, group) {
        Ok(nodes) => nodes,
        Err(error) => {
            out.problems.push(error.to_problem(Place::Source));
            return;
        }
    };
    for node in nodes {
        let next = out.entries.len();
        let at = *named.entry(node).or_insert(next);
        if at == next {
            let path = RawPath::from(format!("{ORPHANS}{node}").as_str());
            out.entries.push(entry(xfs, path, Some(node)));
        }
        if let Some(entry) = out.entries.get_mut(at) {
            // In use, but by nobody else; losing its last name was the last change of it.
            entry.is_reused = false;
            entry.deleted = entry.metadata.as_ref().and_then(|metadata| metadata.changed);
        }
    }
}

/// Freed inodes that once were in use, which their time of change shows, and that no name left in a directory names.
fn freed(
    xfs: &Xfs,
    group: u64,
    limit: usize,
    out: &mut DeletedListing,
    named: &BTreeMap<Node, usize>,
) {
    let chunks = match ag::chunks(xfs, group) {
        Ok(chunks) => chunks,
        Err(error) => {
            out.problems.push(error.to_problem(Place::Source));
            return;
        }
    };
    for node in chunks.into_iter().flat_map(|chunk| ag::free_inodes(xfs, group, chunk)) {
        if out.entries.len() > limit {
            return;
        }
        let Ok(inode) = inode::read_any(xfs, node) else { continue };
        if named.contains_key(&node) || inode.mode() != 0 || inode.changed() == Time::default() {
            continue;
        }
        out.entries.push(entry(
            xfs,
            RawPath::from(format!("{ORPHANS}{node}").as_str()),
            Some(node),
        ));
    }
}
