//! The log tree: changes that fsync made durable and no transaction has taken over yet.
//!
//! A mount would write them into the subvolumes; this view lays them over the items read, so that the evidence stays as it
//! is. The order of the steps is the kernel's (`fs/btrfs/tree-log.c`): inodes with what they lost, names in directories,
//! then the names and extents of each inode. A log that cannot be applied whole is not applied, and that is said.

use super::Btrfs;
use super::key::{Key, kind, object};
use super::names;
use super::replay::Replay;
use super::subvolume::root_of;
use super::superblock::Root;
use super::tree::{Store, Tree};
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fs::View;
use crate::problem::{Place, Problem};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

/// Most bytes of items in the log of one subvolume.
const MAX_LOG_BYTES: usize = 48 << 20;
/// Most bytes of items in all logs.
const MAX_ALL_BYTES: usize = 96 << 20;

/// The items of one log.
pub(super) type Items = BTreeMap<Key, Vec<u8>>;

/// Lays the log over the trees, where there is one and the view wants it.
pub(super) fn apply(fs: &mut Btrfs, view: View, problems: &mut Vec<Problem>) {
    let Some(root) = fs.store.superblock.log_root.filter(|_| view == View::Recovered) else {
        return;
    };
    let mut logs: Vec<(u64, Root)> = Vec::new();
    let from = Key::new(object::LOG_TREE, kind::ROOT, 0);
    let to = Key::new(object::LOG_TREE, kind::ROOT, u64::MAX);
    let trouble = fs.store.range(&Tree::new(root), from, to, &mut |key, item| {
        logs.push((key.offset, root_of(item)));
        if logs.len() < fs.volumes.all.len() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    problems.extend(trouble.iter().map(|error| {
        let text = format!("the log tree is not applied: {error}");
        Problem::new(error.kind(), Place::Source, text)
    }));
    let mut left = MAX_ALL_BYTES;
    for (id, root) in logs {
        let result = one(fs, id, root, &mut left);
        if let Err(error) = result {
            let text = format!("the log of subvolume {id} is not applied: {error}");
            problems.push(Problem::new(error.kind(), Place::Source, text));
        }
    }
}

fn one(fs: &mut Btrfs, id: u64, root: Root, left: &mut usize) -> Result<(), EvidenceError> {
    let number = fs.volumes.numbers.get(&id).copied().unwrap_or(u64::MAX);
    let index = crate::bytes::to_usize(number);
    let volume = fs
        .volumes
        .all
        .get(index)
        .ok_or_else(|| EvidenceError::corrupt(format!("there is no subvolume {id}")))?;
    let items = load(&fs.store, root, left)?;
    let mut replay = Replay::new(&fs.store, volume.tree.clone(), &items);
    let ignored = inodes(&mut replay, &items)?;
    let logged = |key: &Key| !ignored.contains(&key.object);
    for (key, item) in items.iter().filter(|(key, _)| logged(key) && key.kind == kind::DIR_INDEX) {
        replay.directory_entry(*key, item)?;
    }
    for (key, item) in items.iter().filter(|(key, _)| logged(key)) {
        match key.kind {
            kind::XATTR => replay.put(*key, Some(item.clone()))?,
            kind::INODE_REF | kind::INODE_EXTREF => replay.back_reference(*key, item)?,
            kind::EXTENT_DATA => replay.extent(*key, item)?,
            _ => {}
        }
    }
    replay.count_again()?;
    let (tree, extents) = replay.finish();
    let sums = items
        .into_iter()
        .filter(|(key, _)| (key.object, key.kind) == (object::CHECKSUMS, kind::CHECKSUM));
    fs.logged_sums.extend(sums.map(|(key, item)| (key.offset, item)));
    fs.logged_extents.extend::<Vec<Range<u64>>>(extents);
    if let Some(volume) = fs.volumes.all.get_mut(index) {
        volume.tree = tree;
    }
    Ok(())
}

/// All items of one log; a log is small, but says so itself only here.
fn load(store: &Store, root: Root, left: &mut usize) -> Result<Items, EvidenceError> {
    let mut items = Items::new();
    let mut budget = MAX_LOG_BYTES.min(*left);
    let mut is_full = false;
    let trouble = store.range(&Tree::new(root), Key::MIN, Key::MAX, &mut |key, item| {
        match budget.checked_sub(item.len().saturating_add(64)) {
            Some(rest) => budget = rest,
            None => {
                is_full = true;
                return ControlFlow::Break(());
            }
        }
        *left = left.saturating_sub(item.len().saturating_add(64));
        items.insert(key, item.to_vec());
        ControlFlow::Continue(())
    });
    if let Some(error) = trouble.into_iter().next() {
        return Err(error);
    }
    if is_full {
        return Err(EvidenceError::refused(format!("a log of more than {MAX_LOG_BYTES} bytes")));
    }
    Ok(items)
}

/// The first step: every inode of the log, and what it no longer has. Yields those to leave out: files never linked.
fn inodes(replay: &mut Replay<'_>, items: &Items) -> Result<BTreeSet<u64>, EvidenceError> {
    let mut ignored = BTreeSet::new();
    for (key, item) in items.iter().filter(|(key, _)| key.kind == kind::INODE) {
        let fields = Fields(item);
        if fields.le32(40) == 0 {
            ignored.insert(key.object);
            continue;
        }
        lost_attributes(replay, items, key.object)?;
        if fields.le32(52) & 0o170_000 == 0o040_000 {
            lost_names(replay, items, key.object)?;
        }
        replay.inode(*key, item)?;
    }
    Ok(ignored)
}

/// Attributes the log does not have are gone: the log holds all attributes of an inode it holds.
fn lost_attributes(
    replay: &mut Replay<'_>,
    items: &Items,
    inode: u64,
) -> Result<(), EvidenceError> {
    let from = Key::new(inode, kind::XATTR, 0);
    let to = Key::new(inode, kind::XATTR, u64::MAX);
    let mut kept: BTreeSet<Vec<u8>> = BTreeSet::new();
    for item in items.range(from..=to).map(|(_, item)| item) {
        kept.extend(names::records(item).0.iter().map(|record| record.name.to_vec()));
    }
    for (key, item) in replay.collect(from, to)? {
        replay.keep_records(key, &item, &|record| kept.contains(record.name))?;
    }
    Ok(())
}

/// Names that lie in a range the log answers for, and are not in the log, are gone.
fn lost_names(replay: &mut Replay<'_>, items: &Items, directory: u64) -> Result<(), EvidenceError> {
    for (range_kind, entry_kind) in
        [(kind::DIR_LOG_INDEX, kind::DIR_INDEX), (kind::DIR_LOG_ITEM, kind::DIR_ITEM)]
    {
        let from = Key::new(directory, range_kind, 0);
        let to = Key::new(directory, range_kind, u64::MAX);
        for (range, item) in items.range(from..=to) {
            let last = Fields(item).le64(0);
            let from = Key::new(directory, entry_kind, range.offset);
            let to = Key::new(directory, entry_kind, last);
            for (key, entries) in replay.collect(from, to)? {
                let logged = items.get(&key).map(|item| names::records(item).0).unwrap_or_default();
                for record in names::records(&entries).0 {
                    if !logged.iter().any(|other| other.name == record.name) {
                        replay.unlink(directory, record.name, record.target)?;
                    }
                }
            }
        }
    }
    Ok(())
}
