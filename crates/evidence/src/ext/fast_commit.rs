//! Fast commits: single changes to inodes and names that the journal keeps after its last full transaction.
//!
//! They are replayed in memory as the kernel replays them (`fs/ext4/fast_commit.c`): only what stands before a tail with
//! a fitting checksum counts, inodes keep the block map they have, and ranges and names are changed one by one. Where
//! the kernel would stamp a directory with the time of the replay, the recorded time stays: it is the evidence.

use super::blocks::{self, Run, RunState};
use super::inode::{self, BLOCK_AREA_AT, BLOCK_AREA_BYTES, FLAG_EXTENTS, FLAG_INLINE, LINKS_AT};
use super::{Ext, recovery};
use crate::bytes::Fields;
use crate::crc::crc32c;
use crate::error::EvidenceError;
use crate::fs::{FileKind, Node};
use crate::problem::Place;

const ADD_RANGE: u16 = 1;
const DELETE_RANGE: u16 = 2;
const CREATE: u16 = 3;
const LINK: u16 = 4;
const UNLINK: u16 = 5;
const INODE: u16 = 6;
const PAD: u16 = 7;
const TAIL: u16 = 8;
const HEAD: u16 = 9;

/// Where the part of an inode begins that follows its block map.
const GENERATION_AT: usize = 0x64;
/// Tags kept at most; the kernel reserves 256 blocks for them.
const MAX_TAGS: usize = 1 << 18;
/// Runs gone through while changing maps; a fast commit changes few, of files with few.
const MAX_RUNS: usize = 1 << 22;

/// One change, as recorded.
pub(super) struct Tag {
    kind: u16,
    value: Vec<u8>,
}

/// A change to the names of a directory.
pub(super) enum NameChange {
    Added { name: Vec<u8>, node: Node },
    Removed { name: Vec<u8>, node: Node },
}

impl NameChange {
    pub(super) fn name(&self) -> &[u8] {
        let (Self::Added { name, .. } | Self::Removed { name, .. }) = self;
        name
    }
}

/// Whether the next block can hold more.
pub(super) enum More {
    Yes,
    No,
}

/// Collects tags block by block.
pub(super) struct Scan {
    transaction: u32,
    tags: Vec<Tag>,
    /// Tags before the last good tail.
    committed: usize,
    sum: u32,
    is_begun: bool,
}

impl Scan {
    /// For fast commits on top of the transaction before `transaction`.
    pub(super) fn new(transaction: u32) -> Self {
        Self { transaction, tags: Vec::new(), committed: 0, sum: 0, is_begun: false }
    }

    /// The tags that count.
    pub(super) fn committed(mut self) -> Vec<Tag> {
        self.tags.truncate(self.committed);
        self.tags
    }

    /// Takes one block; an error is a sentence about what contradicts the format.
    pub(super) fn block(&mut self, raw: &[u8]) -> Result<More, String> {
        let fields = Fields(raw);
        if !self.is_begun && fields.le16(0) != HEAD {
            return Ok(More::No);
        }
        let mut at = 0_usize;
        while at.saturating_add(4) <= raw.len() {
            let (kind, length) = (fields.le16(at), usize::from(fields.le16(at.saturating_add(2))));
            let whole = fields.slice(at, length.saturating_add(4));
            let value = whole.get(4..).unwrap_or(&[]);
            match kind {
                HEAD => {
                    if fields.le32(at.saturating_add(8)) != self.transaction {
                        // Left over from an earlier transaction.
                        return Ok(More::No);
                    }
                    if fields.le32(at.saturating_add(4)) != 0 {
                        return Err("fast commits with an unknown feature".to_owned());
                    }
                    self.is_begun = true;
                    self.sum = crc32c(self.sum, whole);
                }
                TAIL => {
                    let summed = fields.slice(at, 8);
                    let sum = crc32c(self.sum, summed);
                    let (transaction, stored) = (Fields(value).le32(0), Fields(value).le32(4));
                    self.sum = 0;
                    if transaction != self.transaction || value.len() < 8 {
                        return Ok(More::No);
                    }
                    if sum != stored {
                        return Err(format!(
                            "the checksum of a fast commit is {sum:08x}, {stored:08x} is recorded"
                        ));
                    }
                    self.committed = self.tags.len();
                }
                PAD => self.sum = crc32c(self.sum, whole),
                ADD_RANGE | DELETE_RANGE | CREATE | LINK | UNLINK | INODE
                    if !value.is_empty() && self.tags.len() < MAX_TAGS =>
                {
                    self.sum = crc32c(self.sum, whole);
                    self.tags.push(Tag { kind, value: value.to_vec() });
                }
                // Zeros after the last tail: the area was never used further.
                _ if self.committed == self.tags.len() => return Ok(More::No),
                _ => return Err(format!("fast commit tag {kind} of {length} bytes")),
            }
            at = at.saturating_add(length).saturating_add(4);
        }
        Ok(More::Yes)
    }
}

/// Replays the tags into `ext`; what cannot be replayed becomes a problem and the rest goes on.
pub(super) fn replay(ext: &mut Ext, tags: &[Tag]) {
    for tag in tags {
        let value = Fields(&tag.value);
        let done = match tag.kind {
            INODE => replace_inode(ext, u64::from(value.le32(0)), tag.value.get(4..)),
            ADD_RANGE => add_range(ext, u64::from(value.le32(0)), Fields(value.slice(4, 12))),
            DELETE_RANGE => {
                let first = u64::from(value.le32(4));
                let end = first.saturating_add(u64::from(value.le32(8)));
                delete_range(ext, u64::from(value.le32(0)), first, end)
            }
            kind => {
                let (parent, node) = (u64::from(value.le32(0)), u64::from(value.le32(4)));
                name(ext, kind, parent, node, tag.value.get(8..).unwrap_or(&[]))
            }
        };
        if let Err(error) = done {
            let mut problem = error.to_problem(Place::Node(u64::from(value.le32(0))));
            problem.text.push_str("; a fast commit was not replayed");
            ext.problems.push(problem);
        }
    }
    let changed = ext.recovered.inodes.iter();
    let freed: Vec<Node> =
        changed.filter(|(_, raw)| Fields(raw).le16(LINKS_AT) == 0).map(|(node, _)| *node).collect();
    ext.recovered.freed.extend(freed);
}

/// The whole inode is recorded, but its block map is kept; ranges change that.
fn replace_inode(ext: &mut Ext, node: Node, newer: Option<&[u8]>) -> Result<(), EvidenceError> {
    let newer = newer.unwrap_or(&[]);
    if newer.len() < 128 {
        let length = newer.len();
        return Err(EvidenceError::corrupt(format!("an inode of {length} bytes")));
    }
    // An inode that lost its last name before is empty when it is used again.
    let links = ext.recovered.inodes.get(&node).map(|raw| Fields(raw).le16(LINKS_AT));
    if links == Some(0) {
        delete_range(ext, node, 0, blocks::END)?;
    }
    let mut raw = inode::raw(ext, node)?;
    copy(&mut raw, newer, 0, BLOCK_AREA_AT);
    copy(&mut raw, newer, GENERATION_AT, newer.len());
    let flags = Fields(&raw).le32(0x20);
    if flags & FLAG_EXTENTS != 0 {
        if Fields(&raw).le16(BLOCK_AREA_AT) != 0xf30a {
            // An empty tree: magic, no entries, room for four, depth and generation 0.
            let empty = [0x0a, 0xf3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
            let end = BLOCK_AREA_AT.saturating_add(empty.len());
            if let Some(to) = raw.get_mut(BLOCK_AREA_AT..end) {
                to.copy_from_slice(&empty);
            }
        }
    } else if flags & FLAG_INLINE != 0 {
        copy(&mut raw, newer, BLOCK_AREA_AT, BLOCK_AREA_AT.saturating_add(BLOCK_AREA_BYTES));
    }
    ext.recovered.inodes.insert(node, raw.into());
    Ok(())
}

fn copy(to: &mut [u8], from: &[u8], start: usize, end: usize) {
    let end = end.min(to.len()).min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(start..end), from.get(start..end)) {
        to.copy_from_slice(from);
    }
}

fn add_range(ext: &mut Ext, node: Node, extent: Fields<'_>) -> Result<(), EvidenceError> {
    let length = u64::from(extent.le16(4));
    let (length, state) = match length.checked_sub(32_768) {
        Some(length) if length > 0 => (length, RunState::Unwritten),
        _ => (length, RunState::Written),
    };
    let logical = u64::from(extent.le32(0));
    let physical = u64::from(extent.le16(6)) << 32 | u64::from(extent.le32(8));
    delete_range(ext, node, logical, logical.saturating_add(length))?;
    let map = ext.recovered.maps.entry(node).or_default();
    let place = map.partition_point(|run| run.logical < logical);
    map.insert(place, Run { logical, length, physical, state });
    Ok(())
}

fn delete_range(ext: &mut Ext, node: Node, first: u64, end: u64) -> Result<(), EvidenceError> {
    // Every change goes through the whole map, so their sum bounds time as well as memory.
    if ext.recovered.handled_runs > MAX_RUNS {
        return Err(EvidenceError::refused(format!("more than {MAX_RUNS} runs of blocks")));
    }
    let old = match ext.recovered.maps.remove(&node) {
        Some(map) => map,
        None => {
            let inode = ext.inode(node)?;
            if inode.has_blocks() { blocks::runs(ext, &inode, 0..blocks::END)? } else { Vec::new() }
        }
    };
    let mut new = Vec::new();
    for run in old {
        new.extend(run.within(&(0..first)));
        new.extend(run.within(&(end..u64::MAX)));
        ext.recovered.released.extend(run.within(&(first..end)));
    }
    ext.recovered.handled_runs = ext.recovered.handled_runs.saturating_add(new.len());
    ext.recovered.maps.insert(node, new);
    Ok(())
}

fn name(
    ext: &mut Ext,
    kind: u16,
    parent: Node,
    node: Node,
    name: &[u8],
) -> Result<(), EvidenceError> {
    if name.is_empty() || name.len() > 255 || name.contains(&b'/') || name.contains(&0) {
        let shown = crate::escape_bytes(name);
        return Err(EvidenceError::corrupt(format!("the impossible name {shown:?}")));
    }
    if ext.inode(parent)?.kind() != FileKind::Directory {
        return Err(EvidenceError::corrupt(format!("inode {parent} is not a directory")));
    }
    let inode = ext.inode(node)?;
    let links = match kind {
        CREATE => 1,
        LINK => inode.links.saturating_add(1),
        _ => inode.links.saturating_sub(1),
    };
    if kind == CREATE && inode.kind() == FileKind::Directory {
        // Blocks of a new directory are not recorded: it begins empty, and its names follow.
        recovery::set(ext, node, LINKS_AT, &2_u16.to_le_bytes())?;
        if !inode.has_inline_data() {
            let [a, b, c, d, ..] = ext.superblock.block_bytes.to_le_bytes();
            recovery::set(ext, node, 4, &[a, b, c, d])?;
            ext.recovered.maps.insert(node, Vec::new());
        }
    } else {
        recovery::set(ext, node, LINKS_AT, &links.to_le_bytes())?;
    }
    let name = name.to_vec();
    let change = match kind {
        UNLINK => NameChange::Removed { name, node },
        _ => NameChange::Added { name, node },
    };
    ext.recovered.names.entry(parent).or_default().push(change);
    Ok(())
}
