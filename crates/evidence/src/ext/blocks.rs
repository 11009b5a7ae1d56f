//! From a place in a file to blocks: extent trees and the older block maps.
//!
//! Only the part of the tree that a read needs is looked at, so that nothing has to be kept for a file. A hostile tree may
//! point to itself or claim more than exists: depth is fixed by the format, every node is cut to the range its parent
//! gave it, and the number of tree blocks looked at and of runs found is bounded.

use super::Ext;
use super::inode::Inode;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use std::ops::Range;

/// Tree blocks looked at for one request: enough for a whole 1 TiB file by block map.
const MAX_TREE_BLOCKS: u64 = 1 << 18;
/// Runs found for one request; 48 MiB of them.
const MAX_RUNS: usize = 2 << 20;
/// One more than the largest block of a file that extents can name.
pub(super) const END: u64 = 1 << 32;

/// A run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First block within the file.
    pub(super) logical: u64,
    /// Number of blocks.
    pub(super) length: u64,
    /// First block on the file system.
    pub(super) physical: u64,
    pub(super) state: RunState,
}

/// Whether the blocks of a run hold content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunState {
    Written,
    /// Allocated, but reads as zeros.
    Unwritten,
}

impl Run {
    pub(super) fn end(&self) -> u64 {
        self.logical.saturating_add(self.length)
    }

    /// The part of this run that lies in `range`.
    pub(super) fn within(&self, range: &Range<u64>) -> Option<Self> {
        let start = self.logical.max(range.start);
        let length = self.end().min(range.end).checked_sub(start).filter(|length| *length > 0)?;
        let skipped = start.saturating_sub(self.logical);
        let physical = self.physical.saturating_add(skipped);
        Some(Self { logical: start, length, physical, state: self.state })
    }
}

/// What an inode occupies.
#[derive(Default)]
pub(super) struct Allocation {
    pub(super) runs: Vec<Run>,
    /// Blocks of the tree or map itself.
    pub(super) tree_blocks: Vec<u64>,
}

/// The runs of a file that touch `range` of its blocks, in order and without overlap; the rest reads as zeros.
pub(super) fn runs(ext: &Ext, inode: &Inode, range: Range<u64>) -> Result<Vec<Run>, EvidenceError> {
    Ok(allocation(ext, inode, range)?.runs)
}

/// As [`runs`], with the blocks that were looked at on the way.
pub(super) fn allocation(
    ext: &Ext,
    inode: &Inode,
    range: Range<u64>,
) -> Result<Allocation, EvidenceError> {
    if let Some(newer) = ext.recovered.maps.get(&inode.node) {
        let runs = newer.iter().filter_map(|run| run.within(&range)).collect();
        return Ok(Allocation { runs, tree_blocks: Vec::new() });
    }
    // A tree cannot have more blocks than the source.
    let budget = ext.source.size_bytes().div_ceil(ext.superblock.block_bytes.max(1));
    let budget = budget.saturating_add(1).min(MAX_TREE_BLOCKS);
    let mut builder = Builder { ext, inode, found: Allocation::default(), budget };
    if inode.uses_extents() {
        builder.extent_node(&inode.block_area, None, range)?;
    } else {
        builder.block_map(&range)?;
    }
    Ok(builder.found)
}

struct Builder<'a> {
    ext: &'a Ext,
    inode: &'a Inode,
    found: Allocation,
    budget: u64,
}

impl Builder<'_> {
    /// A block of the tree.
    fn tree_block(&mut self, number: u64) -> Result<Vec<u8>, EvidenceError> {
        let node = self.inode.node;
        self.budget = self.budget.checked_sub(1).ok_or_else(|| {
            EvidenceError::refused(format!("the block tree of inode {node} has too many blocks"))
        })?;
        self.found.tree_blocks.push(number);
        self.ext.block(number)
    }

    /// One node of an extent tree; `above` is the depth of its parent, which must be one more.
    fn extent_node(
        &mut self,
        raw: &[u8],
        above: Option<u16>,
        range: Range<u64>,
    ) -> Result<(), EvidenceError> {
        let node = Fields(raw);
        let (magic, count, depth) = (node.le16(0), usize::from(node.le16(2)), node.le16(6));
        if magic != 0xf30a
            || depth > 5
            || above.is_some_and(|above| above != depth.saturating_add(1))
        {
            let number = self.inode.node;
            return Err(EvidenceError::corrupt(format!(
                "extent tree of inode {number}: magic {magic:04x}, depth {depth}"
            )));
        }
        let mut entries =
            raw.get(12..).unwrap_or(&[]).chunks_exact(12).take(count).map(Fields).peekable();
        while let Some(entry) = entries.next() {
            let first = u64::from(entry.le32(0));
            if first >= range.end {
                break;
            }
            if depth == 0 {
                self.extent(entry, &range)?;
                continue;
            }
            // What a child may speak of ends where the next one begins.
            let end = entries.peek().map_or(range.end, |next| u64::from(next.le32(0)));
            let part = first.max(range.start)..end.min(range.end);
            if part.is_empty() {
                continue;
            }
            let block =
                self.tree_block(u64::from(entry.le16(8)) << 32 | u64::from(entry.le32(4)))?;
            self.extent_node(&block, Some(depth), part)?;
        }
        Ok(())
    }

    fn extent(&mut self, entry: Fields<'_>, range: &Range<u64>) -> Result<(), EvidenceError> {
        let length = u64::from(entry.le16(4));
        // Above 32768 the extent is allocated but was never written.
        let (length, state) = match length.checked_sub(32_768) {
            Some(length) if length > 0 => (length, RunState::Unwritten),
            _ => (length, RunState::Written),
        };
        let physical = u64::from(entry.le16(6)) << 32 | u64::from(entry.le32(8));
        let run = Run { logical: u64::from(entry.le32(0)), length, physical, state };
        run.within(range).map_or(Ok(()), |run| self.push(run))
    }

    /// Twelve direct blocks, then one, two and three levels of indirection.
    fn block_map(&mut self, range: &Range<u64>) -> Result<(), EvidenceError> {
        let fields = Fields(&self.inode.block_area);
        let mut logical = 0_u64;
        for index in 0..12_usize {
            self.pointer(fields.le32(index.saturating_mul(4)), 0, &mut logical, range)?;
        }
        for (at, level) in [(48, 1), (52, 2), (56, 3)] {
            self.pointer(fields.le32(at), level, &mut logical, range)?;
        }
        Ok(())
    }

    fn pointer(
        &mut self,
        pointer: u32,
        level: u32,
        logical: &mut u64,
        range: &Range<u64>,
    ) -> Result<(), EvidenceError> {
        let per_block = self.ext.superblock.block_bytes / 4;
        let (start, end) = (*logical, logical.saturating_add(per_block.saturating_pow(level)));
        if pointer == 0 || start >= range.end || end <= range.start {
            *logical = end;
            return Ok(());
        }
        if level == 0 {
            *logical = end;
            let physical = u64::from(pointer);
            return self.push(Run {
                logical: start,
                length: 1,
                physical,
                state: RunState::Written,
            });
        }
        let block = self.tree_block(u64::from(pointer))?;
        for entry in block.as_chunks::<4>().0 {
            self.pointer(u32::from_le_bytes(*entry), level.saturating_sub(1), logical, range)?;
            if *logical >= range.end {
                break;
            }
        }
        *logical = end;
        Ok(())
    }

    /// Adds a run, joined to the last where both continue.
    fn push(&mut self, run: Run) -> Result<(), EvidenceError> {
        let node = self.inode.node;
        if let Some(last) = self.found.runs.last_mut() {
            if last.end() > run.logical {
                let (end, first) = (last.end(), run.logical);
                return Err(EvidenceError::corrupt(format!(
                    "blocks of inode {node} are out of order: {first} comes after {end}"
                )));
            }
            if last.end() == run.logical
                && last.state == run.state
                && last.physical.saturating_add(last.length) == run.physical
            {
                last.length = last.length.saturating_add(run.length);
                return Ok(());
            }
        }
        if self.found.runs.len() >= MAX_RUNS {
            return Err(EvidenceError::refused(format!(
                "inode {node} has more than {MAX_RUNS} runs of blocks"
            )));
        }
        self.found.runs.push(run);
        Ok(())
    }
}

/// Reads content straight from the source into `buf`, run by run.
pub(super) fn read(
    ext: &Ext,
    inode: &Inode,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize, EvidenceError> {
    let block_bytes = ext.superblock.block_bytes.max(1);
    let total = to_usize(inode.size_bytes.saturating_sub(offset)).min(buf.len());
    let buf = buf.get_mut(..total).unwrap_or(&mut []);
    if buf.is_empty() {
        return Ok(0);
    }
    let end = offset.saturating_add(to_u64(total));
    let first = offset.checked_div(block_bytes).unwrap_or(0);
    let mut done = 0_usize;
    for run in runs(ext, inode, first..end.div_ceil(block_bytes))? {
        let from = run.logical.saturating_mul(block_bytes).max(offset);
        let until = run.end().saturating_mul(block_bytes).min(end);
        let at = to_usize(from.saturating_sub(offset));
        zero(buf, done..at);
        done = to_usize(until.saturating_sub(offset));
        let Some(part) = buf.get_mut(at..done) else { break };
        match run.state {
            RunState::Unwritten => part.fill(0),
            RunState::Written => {
                let within = from.saturating_sub(run.logical.saturating_mul(block_bytes));
                read_run(ext, run.physical, within, part)?;
            }
        }
    }
    zero(buf, done..total);
    Ok(total)
}

fn zero(buf: &mut [u8], range: Range<usize>) {
    if let Some(part) = buf.get_mut(range) {
        part.fill(0);
    }
}

/// Fills `part` from `within` bytes after the start of `block`.
fn read_run(ext: &Ext, block: u64, within: u64, part: &mut [u8]) -> Result<(), EvidenceError> {
    let block_bytes = ext.superblock.block_bytes;
    let last = block
        .saturating_add(within.saturating_add(to_u64(part.len())).div_ceil(block_bytes.max(1)));
    if last > ext.superblock.blocks {
        let total = ext.superblock.blocks;
        return Err(EvidenceError::corrupt(format!(
            "blocks {block} to {last} lie beyond the file system's {total}"
        )));
    }
    ext.fill(&*ext.source, block.saturating_mul(block_bytes).saturating_add(within), part)
}
