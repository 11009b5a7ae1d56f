//! Directories. A hashed directory keeps its entries in ordinary blocks and hides its index in entries without an inode,
//! so reading every block in order finds every name without trusting the index.

use super::fast_commit::NameChange;
use super::inode::Inode;
use super::{Ext, blocks, checksum};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::fs::{Entry, Listing, Node, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::{HashMap, HashSet};

/// Largest directory read: about four million names.
const MAX_DIRECTORY_BYTES: u64 = 256 << 20;
/// Read at once where a directory's blocks lie together.
const CHUNK_BYTES: u64 = 64 << 10;
/// Problems of one directory; with more, the rest of it is not worth reading.
const MAX_PROBLEMS: usize = 64;

/// One record of a directory block.
pub(super) struct Record<'a> {
    /// Where it begins in its block.
    pub(super) at: usize,
    /// Its whole length, with what it swallowed.
    pub(super) length: usize,
    /// The inode it names; 0 for an unused record.
    pub(super) node: u32,
    /// Length of its name by its own field.
    pub(super) name_bytes: usize,
    pub(super) name: &'a [u8],
    /// The type recorded with the name, 0 where there is none.
    pub(super) kind: u8,
}

/// Takes the number of a block within its directory, its bytes, and a place for problems.
pub(super) type BlockVisitor<'a> = dyn FnMut(u64, &[u8], &mut Vec<Problem>) + 'a;

/// The names of a directory, as the view in use has them.
pub(super) fn read(ext: &Ext, inode: &Inode) -> Result<Listing, EvidenceError> {
    let mut listing = Listing::default();
    let (mut problems, mut room) = (Vec::new(), Room::new());
    each_block(ext, inode, &mut problems, &mut |_, raw, problems| {
        names(ext, inode.node, raw, (&mut listing.entries, &mut room), problems);
    })?;
    listing.problems = problems;
    listing.problems.extend(room.problem(inode.node));
    if let Some(changes) = ext.recovered.names.get(&inode.node) {
        apply(&mut listing.entries, changes);
    }
    Ok(listing)
}

/// Calls `visit` with every block of a directory and its number, or with the parts of one that stands in its inode.
pub(super) fn each_block(
    ext: &Ext,
    inode: &Inode,
    problems: &mut Vec<Problem>,
    visit: &mut BlockVisitor<'_>,
) -> Result<(), EvidenceError> {
    if inode.has_inline_data() {
        let data = ext.inline_data(inode)?;
        // Four bytes name the parent; then entries as in a block, first those in the inode, then those in the attribute.
        visit(0, data.get(4..60.min(data.len())).unwrap_or(&[]), problems);
        visit(1, data.get(60..).unwrap_or(&[]), problems);
        return Ok(());
    }
    let block_bytes = ext.superblock.block_bytes.max(1);
    let size = inode.size_bytes.min(MAX_DIRECTORY_BYTES);
    if size < inode.size_bytes {
        let text = format!("directory of {} bytes; the first {size} were read", inode.size_bytes);
        problems.push(Problem::new(ProblemKind::Refused, Place::Node(inode.node), text));
    }
    let seed = checksum::inode_seed(&ext.superblock, inode.node, inode.generation);
    let at_once = CHUNK_BYTES.checked_div(block_bytes).unwrap_or(1).max(1);
    let mut raw = Vec::new();
    for run in blocks::runs(ext, inode, 0..size.div_ceil(block_bytes))? {
        let mut done = 0_u64;
        while done < run.length {
            let count = run.length.saturating_sub(done).min(at_once);
            let (logical, physical) =
                (run.logical.saturating_add(done), run.physical.saturating_add(done));
            done = done.saturating_add(count);
            raw.resize(to_usize(count.saturating_mul(block_bytes)), 0);
            let offset = physical.saturating_mul(block_bytes);
            let is_inside = physical.saturating_add(count) <= ext.superblock.blocks;
            let whole = is_inside && ext.fill(&ext.others, offset, &mut raw).is_ok();
            for (index, block) in raw.chunks_exact_mut(to_usize(block_bytes)).enumerate() {
                let number = physical.saturating_add(to_u64(index));
                // One bad block must not take its neighbours with it.
                if !whole && let Err(error) = ext.fill_block(number, block) {
                    problems.push(error.to_problem(Place::Node(inode.node)));
                } else {
                    let logical = logical.saturating_add(to_u64(index));
                    if ext.superblock.has_metadata_checksums
                        && !is_index(inode, logical, block)
                        && checksum::directory_block_is_wrong(seed, block)
                    {
                        let text = format!("the checksum of directory block {number} does not fit");
                        let place = Place::Node(inode.node);
                        problems.push(Problem::new(ProblemKind::Corrupt, place, text));
                    }
                    visit(logical, block, problems);
                }
                if problems.len() > MAX_PROBLEMS {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Index blocks of a hashed directory: the first one, and those whose first record fills them without a name.
pub(super) fn is_index(inode: &Inode, logical: u64, raw: &[u8]) -> bool {
    let fields = Fields(raw);
    let is_filled = fields.le32(0) == 0 && usize::from(fields.le16(4)) == raw.len();
    inode.is_indexed() && (logical == 0 || is_filled)
}

/// Calls `visit` with every record of a block until one contradicts the format, which is returned as a sentence.
pub(super) fn records<'a>(
    ext: &Ext,
    raw: &'a [u8],
    visit: &mut dyn FnMut(Record<'a>),
) -> Result<(), String> {
    let fields = Fields(raw);
    let mut at = 0_usize;
    while at.saturating_add(8) <= raw.len() {
        let length = match fields.le16(at.saturating_add(4)) {
            // With 64 KiB blocks a record that fills the block does not fit its own field.
            0 | 65_535 if ext.superblock.block_bytes == 65_536 => 65_536,
            length => usize::from(length),
        };
        if length < 8 || at.saturating_add(length) > raw.len() {
            return Err(format!(
                "directory record of {length} bytes at {at} of a block of {}",
                raw.len()
            ));
        }
        visit(record(ext, fields, at, length));
        at = at.saturating_add(length);
    }
    Ok(())
}

/// The record at a place, whatever its length field says.
pub(super) fn record<'a>(ext: &Ext, fields: Fields<'a>, at: usize, length: usize) -> Record<'a> {
    let low = at.saturating_add(6);
    let (name_bytes, kind) = if ext.superblock.has_file_types {
        (usize::from(fields.u8(low)), fields.u8(low.saturating_add(1)))
    } else {
        (usize::from(fields.le16(low)), 0)
    };
    let name = fields.slice(at.saturating_add(8), name_bytes.min(255));
    Record { at, length, node: fields.le32(at), name_bytes, name, kind }
}

fn names(
    ext: &Ext,
    directory: Node,
    raw: &[u8],
    (entries, room): (&mut Vec<Entry>, &mut Room),
    problems: &mut Vec<Problem>,
) {
    let mut odd = |text: String| {
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(directory), text));
    };
    let done = records(ext, raw, &mut |record| {
        if record.node == 0 || matches!(record.name, b"." | b"..") {
        } else if !record.is_possible() {
            let name = crate::escape_bytes(record.name);
            odd(format!("directory entry with the impossible name {name:?}"));
        } else if room.takes(record.name.len()) {
            let name = RawPath(record.name.to_vec());
            entries.push(Entry { name, node: u64::from(record.node) });
        }
    });
    if let Err(text) = done {
        odd(text);
    }
}

impl Record<'_> {
    /// Whether the kernel could have written this name.
    pub(super) fn is_possible(&self) -> bool {
        !self.name.is_empty()
            && self.name_bytes.saturating_add(8) <= self.length
            && self.name_bytes <= 255
            && !self.name.contains(&b'/')
            && !self.name.contains(&0)
    }

    /// Bytes the record itself needs; what its length has beyond them is slack.
    pub(super) fn needed(&self) -> usize {
        self.name_bytes.saturating_add(8).next_multiple_of(4)
    }
}

/// What fast commits did to a directory, in their order. A name that is there already stays as it is.
fn apply(entries: &mut Vec<Entry>, changes: &[NameChange]) {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    // Only the names that change need to be found again.
    let changed: HashSet<&[u8]> = changes.iter().map(NameChange::name).collect();
    for (index, entry) in entries.iter().enumerate() {
        if changed.contains(&*entry.name.0) {
            places.entry(entry.name.0.clone()).or_insert(index);
        }
    }
    let mut gone = vec![false; entries.len()];
    for change in changes {
        match change {
            NameChange::Added { name, node } => {
                if !places.contains_key(name) {
                    places.insert(name.clone(), entries.len());
                    entries.push(Entry { name: RawPath(name.clone()), node: *node });
                    gone.push(false);
                }
            }
            NameChange::Removed { name, node } => {
                let place = places.get(name).copied();
                let is_it = |index: &usize| entries.get(*index).is_some_and(|e| e.node == *node);
                if let Some(index) = place.filter(is_it) {
                    places.remove(name);
                    if let Some(mark) = gone.get_mut(index) {
                        *mark = true;
                    }
                }
            }
        }
    }
    let mut marks = gone.into_iter();
    entries.retain(|_| !marks.next().unwrap_or(false));
}
