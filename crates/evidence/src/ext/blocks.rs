//! From a place in a file to blocks: extent trees and the older block maps.
//!
//! A hostile tree may point to itself or claim more than exists: depth is fixed by the format, the number of tree blocks
//! read for one file is bounded, and a file is never longer than its map.

use super::inode::Inode;
use super::{Ext, span};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;

/// Tree blocks read for one file: enough for a fully fragmented file of about 330 GiB, or a 1 TiB file by block map.
const MAX_TREE_BLOCKS: u32 = 1 << 18;

/// A run of blocks.
pub(super) struct Extent {
    /// First block within the file.
    pub(super) logical: u64,
    /// Number of blocks.
    pub(super) length: u64,
    /// First block on the file system; `None` for allocated but unwritten blocks, which read as zeros.
    pub(super) physical: Option<u64>,
}

/// The runs of a file in order; what no run covers reads as zeros.
pub(super) struct Map {
    pub(super) extents: Vec<Extent>,
}

pub(super) fn map(ext: &Ext, inode: &Inode) -> Result<Map, EvidenceError> {
    let mut builder =
        Builder { ext, extents: Vec::new(), budget: MAX_TREE_BLOCKS, node: inode.node };
    if inode.uses_extents() {
        builder.extent_node(&inode.block_area, None)?;
    } else {
        builder.block_map(inode)?;
    }
    let mut extents = builder.extents;
    extents.sort_by_key(|extent| extent.logical);
    Ok(Map { extents })
}

struct Builder<'a> {
    ext: &'a Ext,
    extents: Vec<Extent>,
    budget: u32,
    node: u64,
}

impl Builder<'_> {
    fn spend(&mut self) -> Result<(), EvidenceError> {
        let left = self.budget.checked_sub(1);
        self.budget = left.ok_or_else(|| {
            EvidenceError::refused(format!(
                "the block tree of inode {} has more than {MAX_TREE_BLOCKS} blocks",
                self.node
            ))
        })?;
        Ok(())
    }

    /// One node of an extent tree; `above` is the depth of its parent, which must be one more.
    fn extent_node(&mut self, raw: &[u8], above: Option<u16>) -> Result<(), EvidenceError> {
        let node = Fields(raw);
        let (magic, count, depth) = (node.le16(0), node.le16(2), node.le16(6));
        if magic != 0xf30a
            || depth > 5
            || above.is_some_and(|above| above != depth.saturating_add(1))
        {
            let number = self.node;
            return Err(EvidenceError::corrupt(format!(
                "extent tree of inode {number}: magic {magic:04x}, depth {depth}"
            )));
        }
        for entry in raw.get(12..).unwrap_or(&[]).chunks_exact(12).take(usize::from(count)) {
            let entry = Fields(entry);
            if depth == 0 {
                let physical = u64::from(entry.le16(6)) << 32 | u64::from(entry.le32(8));
                let length = entry.le16(4);
                // Above 32768 the extent is allocated but was never written.
                let (length, written) = if length > 32_768 {
                    (length.saturating_sub(32_768), false)
                } else {
                    (length, true)
                };
                self.push(u64::from(entry.le32(0)), u64::from(length), written.then_some(physical));
            } else {
                self.spend()?;
                let child = u64::from(entry.le16(8)) << 32 | u64::from(entry.le32(4));
                let block = self.ext.block(child)?;
                self.extent_node(&block, Some(depth))?;
            }
        }
        Ok(())
    }

    /// Twelve direct blocks, then one, two and three levels of indirection.
    fn block_map(&mut self, inode: &Inode) -> Result<(), EvidenceError> {
        let block_bytes = self.ext.superblock.block_bytes;
        let blocks = inode.size_bytes.div_ceil(block_bytes.max(1));
        let fields = Fields(&inode.block_area);
        let mut logical = 0_u64;
        for index in 0..12_usize {
            self.pointer(fields.le32(index.saturating_mul(4)), 0, &mut logical, blocks)?;
        }
        for (at, level) in [(48, 1), (52, 2), (56, 3)] {
            self.pointer(fields.le32(at), level, &mut logical, blocks)?;
        }
        Ok(())
    }

    fn pointer(
        &mut self,
        pointer: u32,
        level: u32,
        logical: &mut u64,
        blocks: u64,
    ) -> Result<(), EvidenceError> {
        let per_block = self.ext.superblock.block_bytes / 4;
        if *logical >= blocks {
            return Ok(());
        }
        if pointer == 0 {
            *logical = logical.saturating_add(per_block.saturating_pow(level));
        } else if level == 0 {
            self.push(*logical, 1, Some(u64::from(pointer)));
            *logical = logical.saturating_add(1);
        } else {
            self.spend()?;
            let block = self.ext.block(u64::from(pointer))?;
            for entry in block.as_chunks::<4>().0 {
                self.pointer(u32::from_le_bytes(*entry), level.saturating_sub(1), logical, blocks)?;
            }
        }
        Ok(())
    }

    /// Adds a run, joined to the last where both continue.
    fn push(&mut self, logical: u64, length: u64, physical: Option<u64>) {
        if let Some(last) = self.extents.last_mut()
            && last.logical.saturating_add(last.length) == logical
            && last.physical.is_some() == physical.is_some()
            && last.physical.map(|first| first.saturating_add(last.length)) == physical
        {
            last.length = last.length.saturating_add(length);
        } else {
            self.extents.push(Extent { logical, length, physical });
        }
    }
}

/// Reads by the map; runs are read from the source directly unless the journal holds newer blocks.
pub(super) fn read(
    ext: &Ext,
    map: &Map,
    size: u64,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize, EvidenceError> {
    let block_bytes = ext.superblock.block_bytes;
    let total = to_usize(size.saturating_sub(offset)).min(buf.len());
    let mut done = 0_usize;
    while done < total {
        let here = offset.saturating_add(to_u64(done));
        let logical = here.checked_div(block_bytes).unwrap_or(0);
        let Some(part) = buf.get_mut(done..total) else { break };
        let index = map
            .extents
            .partition_point(|extent| extent.logical.saturating_add(extent.length) <= logical);
        let count = match map.extents.get(index) {
            Some(extent) if extent.logical <= logical => match extent.physical {
                Some(first) => {
                    let count = span(extent, block_bytes, here, part.len());
                    let block = first.saturating_add(logical.saturating_sub(extent.logical));
                    read_run(
                        ext,
                        block,
                        here.checked_rem(block_bytes).unwrap_or(0),
                        part.get_mut(..count).unwrap_or(&mut []),
                    )?
                }
                None => zero(part, span(extent, block_bytes, here, usize::MAX)),
            },
            Some(next) => {
                zero(part, to_usize(next.logical.saturating_mul(block_bytes).saturating_sub(here)))
            }
            None => zero(part, usize::MAX),
        };
        if count == 0 {
            break;
        }
        done = done.saturating_add(count);
    }
    Ok(done)
}

fn zero(part: &mut [u8], count: usize) -> usize {
    let count = count.min(part.len());
    if let Some(part) = part.get_mut(..count) {
        part.fill(0);
    }
    count
}

/// Reads from one run: a whole piece when nothing of it is overlaid, else one block at a time.
fn read_run(ext: &Ext, block: u64, within: u64, part: &mut [u8]) -> Result<usize, EvidenceError> {
    let block_bytes = ext.superblock.block_bytes;
    let last = block
        .saturating_add(within.saturating_add(to_u64(part.len())).div_ceil(block_bytes.max(1)));
    if last > ext.superblock.blocks {
        let total = ext.superblock.blocks;
        return Err(EvidenceError::corrupt(format!(
            "blocks {block} to {last} lie beyond the file system's {total}"
        )));
    }
    if ext.overlay.is_empty() || !(block..last).any(|number| ext.overlay.contains_key(&number)) {
        let offset = block.saturating_mul(block_bytes).saturating_add(within);
        let count = ext
            .source
            .read_at(offset, part)
            .map_err(EvidenceError::read(format!("blocks {block} to {last}")))?;
        if count < part.len() {
            return Err(EvidenceError::corrupt(format!(
                "blocks {block} to {last} lie beyond the end of the source"
            )));
        }
        return Ok(count);
    }
    let content = ext.block(block)?;
    let rest = content.get(to_usize(within)..).unwrap_or(&[]);
    let count = rest.len().min(part.len());
    if let (Some(to), Some(from)) = (part.get_mut(..count), rest.get(..count)) {
        to.copy_from_slice(from);
    }
    Ok(count)
}
