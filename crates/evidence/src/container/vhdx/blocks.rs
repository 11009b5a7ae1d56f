//! Payload blocks and sector bitmaps, through the block table ([MS-VHDX] 2.5).

use super::header::Region;
use super::metadata::Metadata;
use crate::container::below::Below;
use crate::container::inflate::corrupt;
use crate::container::mapped::{Layout, Piece, Stored, wrap};
use crate::container::tables::Tables;
use crate::error::EvidenceError;
use crate::source::Source;
use std::io;
use std::sync::Arc;

/// Sectors one sector bitmap block covers.
const BITMAP_SECTORS: u64 = 1 << 23;

const MIB: u64 = 1 << 20;

/// The disk.
pub(super) struct Blocks {
    metadata: Metadata,
    table: Region,
    file: Arc<dyn Source>,
    meta: Tables,
    below: Below,
    /// Payload blocks between two bitmap blocks.
    ratio: u64,
}

/// What holds a run of a block.
enum Held {
    Below,
    Zeros,
    At(u64),
}

impl Blocks {
    pub(super) fn new(
        metadata: Metadata,
        table: Region,
        file: Arc<dyn Source>,
        meta: Tables,
        below: Below,
    ) -> Result<Self, EvidenceError> {
        let covered = BITMAP_SECTORS.saturating_mul(u64::from(metadata.sector_bytes));
        let ratio = covered.checked_div(metadata.block_bytes).filter(|ratio| *ratio != 0);
        let ratio = ratio.ok_or_else(|| EvidenceError::corrupt("VHDX block size is zero"))?;
        Ok(Self { metadata, table, file, meta, below, ratio })
    }

    /// How far the table reaches.
    pub(super) fn reach_bytes(&self) -> u64 {
        let entries = self.table.length_bytes / 8;
        let group = self.ratio.saturating_add(1);
        let groups = entries.checked_div(group).unwrap_or(0);
        let rest = entries.checked_rem(group).unwrap_or(0).min(self.ratio);
        let blocks = groups.saturating_mul(self.ratio).saturating_add(rest);
        blocks.saturating_mul(self.metadata.block_bytes)
    }

    pub(super) fn wanted_bytes(&self) -> u64 {
        self.metadata.size_bytes
    }

    fn entry(&self, index: u64) -> io::Result<u64> {
        let at = index.saturating_mul(8);
        if at >= self.table.length_bytes {
            return Err(corrupt(format!("the block table has no entry {index}")));
        }
        let mut raw = [0; 8];
        let meta: &dyn Source = &self.meta;
        meta.fill(self.table.at_bytes.saturating_add(at), &mut raw).map_err(wrap)?;
        Ok(u64::from_le_bytes(raw))
    }

    fn held(&self, offset: u64, most: u64) -> io::Result<(Held, u64)> {
        let block_bytes = self.metadata.block_bytes;
        let block = offset.checked_div(block_bytes).unwrap_or(0);
        let within = offset & block_bytes.wrapping_sub(1);
        let left = block_bytes.saturating_sub(within);
        let group = block.checked_div(self.ratio).unwrap_or(0);
        let index = block.saturating_add(group);
        let entry = self.entry(index)?;
        let data_at = (entry >> 20).saturating_mul(MIB).saturating_add(within);
        match entry & 7 {
            // Not present: in a differencing image the parent has it. Undefined, zeros, unmapped: zeros in any image.
            0 => Ok((Held::Below, left)),
            1..=3 => Ok((Held::Zeros, left)),
            6 => Ok((Held::At(data_at), left)),
            7 if self.metadata.has_parent => {
                let bitmap = group.saturating_add(1).saturating_mul(self.ratio.saturating_add(1));
                let bitmap = self.entry(bitmap.saturating_sub(1))?;
                if bitmap & 7 != 6 {
                    return Err(corrupt(format!(
                        "block {block} is in part here, but has no bitmap"
                    )));
                }
                let bitmap_at = (bitmap >> 20).saturating_mul(MIB);
                let (is_here, length) = self.sectors(bitmap_at, offset, most.min(left))?;
                let held = if is_here { Held::At(data_at) } else { Held::Below };
                Ok((held, length.min(left)))
            }
            other => Err(corrupt(format!("block {block} has the state {other}"))),
        }
    }

    /// Whether the sector at an offset is here, and for how many bytes the next have the same answer.
    fn sectors(&self, bitmap_at: u64, offset: u64, most: u64) -> io::Result<(bool, u64)> {
        let meta: &dyn Source = &self.meta;
        let bytes = u64::from(self.metadata.sector_bytes).max(1);
        let first = offset.checked_div(bytes).unwrap_or(0);
        let end = offset.saturating_add(most).div_ceil(bytes);
        let mut answer = None;
        let mut sector = first;
        while sector < end {
            let mut bits = [0; 1];
            let place = sector & (BITMAP_SECTORS.wrapping_sub(1));
            meta.fill(bitmap_at.saturating_add(place / 8), &mut bits).map_err(wrap)?;
            let [bits] = bits;
            let stop = (sector / 8).saturating_add(1).saturating_mul(8).min(end);
            while sector < stop {
                // The lowest bit stands for the first sector, unlike in VHD.
                let is_here = bits & (1 << (sector % 8)) != 0;
                if *answer.get_or_insert(is_here) != is_here {
                    let length = sector.saturating_mul(bytes).saturating_sub(offset);
                    return Ok((!is_here, length));
                }
                sector = sector.saturating_add(1);
            }
        }
        Ok((answer.unwrap_or(false), end.saturating_mul(bytes).saturating_sub(offset)))
    }
}

impl Layout for Blocks {
    fn size_bytes(&self) -> u64 {
        self.metadata.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.metadata.sector_bytes
    }

    fn piece(&self, offset_bytes: u64, most_bytes: u64) -> Piece<'_> {
        let block_bytes = self.metadata.block_bytes;
        let left = block_bytes.saturating_sub(offset_bytes & block_bytes.wrapping_sub(1));
        let (stored, length_bytes) = match self.held(offset_bytes, most_bytes) {
            Ok((Held::At(at), length)) => (Stored::Plain(&self.file, at), length),
            Ok((Held::Zeros, length)) => (Stored::Zeros, length),
            Ok((Held::Below, length)) => {
                let (stored, most) = self.below.stored(offset_bytes);
                (stored, length.min(most))
            }
            Err(error) => (Stored::Missing(error), left),
        };
        Piece { stored, length_bytes }
    }
}
