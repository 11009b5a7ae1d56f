//! The steps by which a log changes a subvolume: names come and go, extents are cut and put in place.
//!
//! All work on items, not on files: every change is an item put in the overlay of the subvolume's tree, and what the
//! format keeps twice (a name in the directory by hash, by number, and in the inode) is changed in all places.

use super::content::{Extent, Form};
use super::inode;
use super::key::{Key, kind};
use super::log::Items;
use super::names::{self, BackReference, Record};
use super::tree::{Overlay, Store, Tree};
use crate::bytes::Fields;
use crate::crc::crc32c;
use crate::error::EvidenceError;
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Most changed items of one subvolume.
const MAX_CHANGES: usize = 1 << 19;
/// Most bytes of items looked through at once.
const MAX_COLLECTED_BYTES: usize = 64 << 20;
/// Most names whose number must be searched for, because their inode does not record it.
const MAX_SEARCHES: usize = 1000;

/// A subvolume while its log is laid over it.
pub(super) struct Replay<'a> {
    store: &'a Store,
    tree: Tree,
    log: &'a Items,
    /// Inodes whose number of names must be counted again.
    inodes: BTreeSet<u64>,
    /// Directories whose size must be summed again.
    directories: BTreeSet<u64>,
    extents: Vec<Range<u64>>,
    searches: usize,
}

impl<'a> Replay<'a> {
    pub(super) fn new(store: &'a Store, tree: Tree, log: &'a Items) -> Self {
        let (inodes, directories) = (BTreeSet::new(), BTreeSet::new());
        Self { store, tree, log, inodes, directories, extents: Vec::new(), searches: 0 }
    }

    /// The changed tree, and the logical ranges of the extents put in.
    pub(super) fn finish(self) -> (Tree, Vec<Range<u64>>) {
        (self.tree, self.extents)
    }

    pub(super) fn put(&mut self, key: Key, item: Option<Vec<u8>>) -> Result<(), EvidenceError> {
        let overlay: &mut Overlay = Arc::make_mut(self.tree.overlay.get_or_insert_default());
        overlay.insert(key, item);
        if overlay.len() > MAX_CHANGES {
            return Err(EvidenceError::refused(format!("more than {MAX_CHANGES} changed items")));
        }
        Ok(())
    }

    fn get(&self, key: Key) -> Result<Option<Vec<u8>>, EvidenceError> {
        self.store.get(&self.tree, key)
    }

    fn has_inode(&self, inode: u64) -> Result<bool, EvidenceError> {
        Ok(self.get(Key::new(inode, kind::INODE, 0))?.is_some())
    }

    /// The items in a range as they are now; changes while going through them do no harm.
    pub(super) fn collect(&self, from: Key, to: Key) -> Result<Vec<(Key, Vec<u8>)>, EvidenceError> {
        let mut out = Vec::new();
        let mut left = MAX_COLLECTED_BYTES;
        let mut is_full = false;
        let trouble = self.store.range(&self.tree, from, to, &mut |key, item| {
            match left.checked_sub(item.len().saturating_add(64)) {
                Some(rest) => left = rest,
                None => {
                    is_full = true;
                    return ControlFlow::Break(());
                }
            }
            out.push((key, item.to_vec()));
            ControlFlow::Continue(())
        });
        if is_full {
            let most = MAX_COLLECTED_BYTES;
            return Err(EvidenceError::refused(format!(
                "more than {most} bytes of items at {from}"
            )));
        }
        trouble.into_iter().next().map_or(Ok(out), Err)
    }

    /// Puts the item with those of its records that are to be kept; without any, the item goes away.
    pub(super) fn keep_records(
        &mut self,
        key: Key,
        item: &[u8],
        is_kept: &dyn Fn(&Record<'_>) -> bool,
    ) -> Result<(), EvidenceError> {
        let mut out = Vec::new();
        let mut at = 0_usize;
        let mut is_changed = false;
        for record in names::records(item).0 {
            let length = record.name.len().saturating_add(record.value.len()).saturating_add(30);
            if is_kept(&record) {
                out.extend_from_slice(Fields(item).slice(at, length));
            } else {
                is_changed = true;
            }
            at = at.saturating_add(length);
        }
        if is_changed { self.put(key, (!out.is_empty()).then_some(out)) } else { Ok(()) }
    }

    /// An inode: all of it, or only its size where the log just says that it exists (its generation is 0 then).
    pub(super) fn inode(&mut self, key: Key, item: &[u8]) -> Result<(), EvidenceError> {
        let mut new = item.to_vec();
        let kind_of = |item: &[u8]| Fields(item).le32(52) & 0o170_000;
        let size_of = |item: &[u8]| Fields(item).le64(16);
        let old = self.get(key)?;
        let generation = Fields(item).le64(0);
        if let Some(old) = old {
            let are_files = kind_of(&old) == 0o100_000 && kind_of(item) == 0o100_000;
            if generation == 0 {
                new = old;
                if are_files && size_of(item) != 0 {
                    set(&mut new, 16, &size_of(item).to_le_bytes());
                }
            }
        } else if generation == 0 {
            // The transaction that a mount would make.
            let next = self.store.superblock.generation.saturating_add(1);
            set(&mut new, 0, &next.to_le_bytes());
        }
        let is_file = kind_of(&new) == 0o100_000;
        let size = size_of(&new);
        if kind_of(&new) == 0o040_000 {
            self.directories.insert(key.object);
        }
        self.inodes.insert(key.object);
        self.put(key, Some(new))?;
        if is_file {
            let sector_bytes = u64::from(self.store.superblock.sector_bytes);
            let end = size.checked_next_multiple_of(sector_bytes).unwrap_or(u64::MAX);
            self.cut(key.object, end, u64::MAX)?;
        }
        Ok(())
    }

    /// The entry of a directory with this name, as the hash finds it.
    fn find(&self, directory: u64, name: &[u8]) -> Result<Option<Key>, EvidenceError> {
        let item = self.get(by_hash(directory, name))?.unwrap_or_default();
        let (records, _) = names::records(&item);
        Ok(records.iter().find(|record| record.name == name).map(|record| record.target))
    }

    /// The number under which a name stands in a directory.
    fn index_of(
        &mut self,
        directory: u64,
        name: &[u8],
        target: Key,
    ) -> Result<Option<u64>, EvidenceError> {
        for key in references(target.object, directory, name) {
            // A subvolume keeps its name elsewhere, and its number may be that of an inode.
            if target.kind != kind::INODE {
                break;
            }
            let item = self.get(key)?.unwrap_or_default();
            let found =
                names::back_references(key, &item).into_iter().find(is_name(directory, name));
            if let Some(found) = found {
                return Ok(Some(found.index));
            }
        }
        self.searches = self.searches.saturating_add(1);
        if self.searches > MAX_SEARCHES {
            let what = format!("more than {MAX_SEARCHES} names that their inodes do not know");
            return Err(EvidenceError::refused(what));
        }
        let from = Key::new(directory, kind::DIR_INDEX, 0);
        let to = Key::new(directory, kind::DIR_INDEX, u64::MAX);
        let mut index = None;
        let _ = self.store.range(&self.tree, from, to, &mut |key, item| {
            if names::records(item).0.iter().any(|record| record.name == name) {
                index = Some(key.offset);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        Ok(index)
    }

    /// Takes a name away in all places that keep it.
    pub(super) fn unlink(
        &mut self,
        directory: u64,
        name: &[u8],
        target: Key,
    ) -> Result<(), EvidenceError> {
        let index = self.index_of(directory, name, target)?;
        let is_inode = target.kind == kind::INODE;
        let references = references(target.object, directory, name);
        for key in references.into_iter().filter(|_| is_inode) {
            let Some(item) = self.get(key)? else { continue };
            let mut left = names::back_references(key, &item);
            left.retain(|reference| !is_name(directory, name)(reference));
            self.put(key, write_references(key, &left))?;
        }
        let hashed = by_hash(directory, name);
        if let Some(item) = self.get(hashed)? {
            self.keep_records(hashed, &item, &|record| record.name != name)?;
        }
        if let Some(index) = index {
            let numbered = Key::new(directory, kind::DIR_INDEX, index);
            if let Some(item) = self.get(numbered)? {
                self.keep_records(numbered, &item, &|record| record.name != name)?;
            }
        }
        if is_inode {
            self.inodes.insert(target.object);
        }
        self.directories.insert(directory);
        Ok(())
    }

    /// Gives an inode a name, in all places that keep it.
    fn link(
        &mut self,
        reference: &BackReference,
        target: Key,
        file_type: u8,
    ) -> Result<(), EvidenceError> {
        let BackReference { parent, index, name } = reference;
        let mut record = Vec::with_capacity(name.len().saturating_add(30));
        record.extend(target.object.to_le_bytes());
        record.push(target.kind);
        record.extend(target.offset.to_le_bytes());
        record.extend(self.store.superblock.generation.saturating_add(1).to_le_bytes());
        record.extend(0_u16.to_le_bytes());
        record.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        record.push(file_type);
        record.extend(name);
        self.put(Key::new(*parent, kind::DIR_INDEX, *index), Some(record.clone()))?;
        let hashed = by_hash(*parent, name);
        let mut item = self.get(hashed)?.unwrap_or_default();
        item.extend(record);
        self.put(hashed, Some(item))?;
        let key = Key::new(target.object, kind::INODE_REF, *parent);
        let mut all = names::back_references(key, &self.get(key)?.unwrap_or_default());
        all.push(reference.clone());
        self.put(key, write_references(key, &all))?;
        self.inodes.insert(target.object);
        self.directories.insert(*parent);
        Ok(())
    }

    /// A name the log has for a directory.
    pub(super) fn directory_entry(&mut self, key: Key, item: &[u8]) -> Result<(), EvidenceError> {
        if !self.has_inode(key.object)? {
            return Ok(());
        }
        for record in names::records(item).0 {
            let is_inode = record.target.kind == kind::INODE;
            let exists = is_inode && self.has_inode(record.target.object)?;
            let known = self.find(key.object, record.name)?;
            let numbered = self.get(key)?.unwrap_or_default();
            let here = names::records(&numbered)
                .0
                .first()
                .map(|other| (other.target, other.name.to_vec()));
            let is_here = here
                .as_ref()
                .is_some_and(|(target, name)| *target == record.target && name == record.name);
            if known == Some(record.target) && is_here {
                continue;
            }
            if exists {
                if let Some(target) = known.filter(|target| *target != record.target) {
                    self.unlink(key.object, record.name, target)?;
                }
                if let Some((target, name)) = here.filter(|_| !is_here) {
                    self.unlink(key.object, &name, target)?;
                }
            }
            // A name that the log of its own inode has comes with that inode.
            let in_log = references(record.target.object, key.object, record.name).into_iter().any(
                |reference| {
                    let item = self.log.get(&reference).map(Vec::as_slice).unwrap_or_default();
                    names::back_references(reference, item)
                        .iter()
                        .any(is_name(key.object, record.name))
                },
            );
            if in_log || !exists || self.find(key.object, record.name)?.is_some() {
                continue;
            }
            let reference =
                BackReference { parent: key.object, index: key.offset, name: record.name.to_vec() };
            self.link(&reference, record.target, record.kind)?;
        }
        Ok(())
    }

    /// The names the log has for an inode: these stay or come, all others of the same item go.
    pub(super) fn back_reference(&mut self, key: Key, item: &[u8]) -> Result<(), EvidenceError> {
        let logged = names::back_references(key, item);
        let target = Key::new(key.object, kind::INODE, 0);
        let Some(inode) = self.get(target)? else { return Ok(()) };
        let file_type = file_type(Fields(&inode).le32(52));
        if key.kind == kind::INODE_REF && key.object == key.offset {
            // The root directory is its own parent and has no name.
            return Ok(());
        }
        let old = names::back_references(key, &self.get(key)?.unwrap_or_default());
        for gone in
            old.iter().filter(|old| !logged.iter().any(|new| is_name(new.parent, &new.name)(old)))
        {
            self.unlink(gone.parent, &gone.name, target)?;
        }
        for reference in &logged {
            let BackReference { parent, index, name } = reference;
            if !self.has_inode(*parent)? {
                // Without its directory a name cannot stand anywhere; the rest of the item goes the same way.
                return Ok(());
            }
            let numbered = Key::new(*parent, kind::DIR_INDEX, *index);
            let there = self.get(numbered)?.unwrap_or_default();
            let first = names::records(&there)
                .0
                .first()
                .map(|record| (record.target, record.name.to_vec()));
            let is_there =
                first.as_ref().is_some_and(|(other, named)| *other == target && named == name);
            let known = self.find(*parent, name)?;
            if is_there && known == Some(target) {
                continue;
            }
            if let Some((other, named)) = first.filter(|(_, named)| named == name) {
                self.unlink(*parent, &named, other)?;
            }
            if let Some(other) = self.find(*parent, name)? {
                self.unlink(*parent, name, other)?;
            }
            self.link(reference, target, file_type)?;
        }
        // Linking wrote the short form; the item of the log is what a mount would leave.
        if key.kind == kind::INODE_EXTREF {
            for reference in &logged {
                let short = Key::new(key.object, kind::INODE_REF, reference.parent);
                let mut left = names::back_references(short, &self.get(short)?.unwrap_or_default());
                left.retain(|other| other != reference);
                self.put(short, write_references(short, &left))?;
            }
        }
        self.inodes.insert(key.object);
        self.put(key, Some(item.to_vec()))
    }

    /// An extent: what it covers is cut out of the file, then it is put in.
    pub(super) fn extent(&mut self, key: Key, item: &[u8]) -> Result<(), EvidenceError> {
        if self.get(key)?.as_deref() == Some(item) || !self.has_inode(key.object)? {
            return Ok(());
        }
        let extent = Extent::parse(key.offset, item)?;
        let sector_bytes = u64::from(self.store.superblock.sector_bytes);
        let end = match extent.form {
            Form::Inline(_) => extent.end().checked_next_multiple_of(sector_bytes),
            _ => Some(extent.end()),
        };
        self.cut(key.object, key.offset, end.unwrap_or(u64::MAX))?;
        let fields = Fields(item);
        if fields.u8(20) != 0 && fields.le64(21) != 0 {
            let at = fields.le64(21);
            self.extents.push(at..at.saturating_add(fields.le64(29)));
        }
        self.put(key, Some(item.to_vec()))
    }

    /// Takes the bytes from `start` to `end` out of a file; extents that reach over an edge keep the rest.
    fn cut(&mut self, inode: u64, start: u64, end: u64) -> Result<(), EvidenceError> {
        let key = |at| Key::new(inode, kind::EXTENT_DATA, at);
        let floor = self.store.floor(&self.tree, key(start))?;
        let first = floor
            .filter(|(found, _)| (found.object, found.kind) == (inode, kind::EXTENT_DATA))
            .map_or(start, |(found, _)| found.offset);
        if end <= start {
            return Ok(());
        }
        for (found, item) in self.collect(key(first), key(end.saturating_sub(1)))? {
            let old = Extent::parse(found.offset, &item)?;
            if old.end() <= start {
                continue;
            }
            self.put(found, None)?;
            if matches!(old.form, Form::Inline(_)) {
                continue;
            }
            if old.start < start {
                let mut left = item.clone();
                set(&mut left, 45, &start.saturating_sub(old.start).to_le_bytes());
                self.put(found, Some(left))?;
            }
            if old.end() > end {
                let cut = end.saturating_sub(old.start);
                let mut right = item;
                let skip = Fields(&right).le64(37).saturating_add(cut);
                set(&mut right, 37, &skip.to_le_bytes());
                set(&mut right, 45, &old.length.saturating_sub(cut).to_le_bytes());
                self.put(key(end), Some(right))?;
            }
        }
        Ok(())
    }

    /// Numbers of names and sizes of directories, which the log does not carry, from the names there are now.
    pub(super) fn count_again(&mut self) -> Result<(), EvidenceError> {
        for inode in std::mem::take(&mut self.inodes) {
            let key = Key::new(inode, kind::INODE, 0);
            let Some(mut item) = self.get(key)? else { continue };
            if item.len() < inode::BYTES {
                continue;
            }
            let from = Key::new(inode, kind::INODE_REF, 0);
            let to = Key::new(inode, kind::INODE_EXTREF, u64::MAX);
            let mut links = 0_usize;
            for (key, references) in self.collect(from, to)? {
                links = links.saturating_add(names::back_references(key, &references).len());
            }
            set(&mut item, 40, &u32::try_from(links).unwrap_or(u32::MAX).to_le_bytes());
            self.put(key, Some(item))?;
        }
        for directory in std::mem::take(&mut self.directories) {
            let key = Key::new(directory, kind::INODE, 0);
            let Some(mut item) = self.get(key)? else { continue };
            let from = Key::new(directory, kind::DIR_INDEX, 0);
            let to = Key::new(directory, kind::DIR_INDEX, u64::MAX);
            let mut size = 0_usize;
            let trouble = self.store.range(&self.tree, from, to, &mut |_, item| {
                // A directory counts each name twice: once by hash, once by number.
                let lengths = names::records(item).0.iter().map(|r| r.name.len()).sum::<usize>();
                size = size.saturating_add(lengths.saturating_mul(2));
                ControlFlow::Continue(())
            });
            if let Some(error) = trouble.into_iter().next() {
                return Err(error);
            }
            set(&mut item, 16, &crate::bytes::to_u64(size).to_le_bytes());
            self.put(key, Some(item))?;
        }
        Ok(())
    }
}

/// Overwrites bytes of an item; what would lie outside is left.
fn set(item: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = item.get_mut(at..at.saturating_add(bytes.len())) {
        to.copy_from_slice(bytes);
    }
}

/// The key under which a directory keeps a name by its hash (`btrfs_name_hash`).
fn by_hash(directory: u64, name: &[u8]) -> Key {
    Key::new(directory, kind::DIR_ITEM, u64::from(crc32c(!1, name)))
}

/// The two keys under which an inode may keep a name (`btrfs_extref_hash` for the second).
fn references(inode: u64, directory: u64, name: &[u8]) -> [Key; 2] {
    let [a, b, c, d, ..] = directory.to_le_bytes();
    let hash = crc32c(u32::from_le_bytes([a, b, c, d]), name);
    [
        Key::new(inode, kind::INODE_REF, directory),
        Key::new(inode, kind::INODE_EXTREF, u64::from(hash)),
    ]
}

fn is_name(directory: u64, name: &[u8]) -> impl Fn(&BackReference) -> bool {
    move |reference| reference.parent == directory && reference.name == name
}

/// The item that holds these references; none where there are none.
fn write_references(key: Key, all: &[BackReference]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for reference in all {
        if key.kind == kind::INODE_EXTREF {
            out.extend(reference.parent.to_le_bytes());
        }
        out.extend(reference.index.to_le_bytes());
        out.extend(u16::try_from(reference.name.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(&reference.name);
    }
    (!out.is_empty()).then_some(out)
}

/// The type a directory entry gives an inode of this mode (`BTRFS_FT_*`).
fn file_type(mode: u32) -> u8 {
    match mode & 0o170_000 {
        0o100_000 => 1,
        0o040_000 => 2,
        0o020_000 => 3,
        0o060_000 => 4,
        0o010_000 => 5,
        0o140_000 => 6,
        0o120_000 => 7,
        _ => 0,
    }
}
