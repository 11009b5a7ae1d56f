//! Blocks: a table says where each is; before its data stands a bitmap of its sectors.
//!
//! In a differencing image a bit says whether the sector is here or in the parent. A dynamic image is shown with all that
//! its blocks hold, as Hyper-V and QEMU do.

use super::footer::DynamicHeader;
use crate::container::below::Below;
use crate::container::mapped::{Layout, Piece, Stored, wrap};
use crate::container::tables::Tables;
use crate::source::Source;
use std::io;
use std::sync::Arc;

const SECTOR: u64 = 512;
const UNUSED: u32 = u32::MAX;

/// The disk.
pub(super) struct Blocks {
    pub(super) size_bytes: u64,
    pub(super) header: DynamicHeader,
    pub(super) has_bitmap: bool,
    pub(super) file: Arc<dyn Source>,
    pub(super) meta: Tables,
    pub(super) below: Below,
}

impl Blocks {
    /// Where a block's data begins; `None` when it is not here.
    fn block_at(&self, block: u64) -> io::Result<Option<u64>> {
        if block >= self.header.block_count {
            let text = format!("the block table has no entry {block}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut raw = [0; 4];
        let meta: &dyn Source = &self.meta;
        let at = self.header.table_at.saturating_add(block.saturating_mul(4));
        meta.fill(at, &mut raw).map_err(wrap)?;
        let sector = u32::from_be_bytes(raw);
        Ok((sector != UNUSED).then(|| u64::from(sector).saturating_mul(SECTOR)))
    }

    /// The bitmap fills whole sectors.
    fn bitmap_bytes(&self) -> u64 {
        (self.header.block_bytes / SECTOR / 8).div_ceil(SECTOR).max(1).saturating_mul(SECTOR)
    }

    /// Whether the sector at `within` of a block is here, and for how many bytes the next have the same answer.
    fn sectors(&self, block_at: u64, within: u64, most: u64) -> io::Result<(bool, u64)> {
        let meta: &dyn Source = &self.meta;
        let first = within / SECTOR;
        let end = within.saturating_add(most).min(self.header.block_bytes).div_ceil(SECTOR);
        let mut answer = None;
        let mut sector = first;
        while sector < end {
            let mut bits = [0; 1];
            meta.fill(block_at.saturating_add(sector / 8), &mut bits).map_err(wrap)?;
            let [bits] = bits;
            let stop = (sector / 8).saturating_add(1).saturating_mul(8).min(end);
            while sector < stop {
                let is_here = bits & (0x80 >> (sector % 8)) != 0;
                if *answer.get_or_insert(is_here) != is_here {
                    return Ok((!is_here, sector.saturating_mul(SECTOR).saturating_sub(within)));
                }
                sector = sector.saturating_add(1);
            }
        }
        Ok((answer.unwrap_or(false), end.saturating_mul(SECTOR).saturating_sub(within)))
    }
}

impl Layout for Blocks {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn piece(&self, offset_bytes: u64, most_bytes: u64) -> Piece<'_> {
        let block_bytes = self.header.block_bytes;
        let block = offset_bytes.checked_div(block_bytes).unwrap_or(0);
        let within = offset_bytes & block_bytes.wrapping_sub(1);
        let left = block_bytes.saturating_sub(within);
        let (stored, length, most) = match self.block_at(block) {
            Err(error) => (Stored::Missing(error), left, u64::MAX),
            Ok(None) => {
                let (stored, most) = self.below.stored(offset_bytes);
                (stored, left, most)
            }
            Ok(Some(at)) => {
                let data = at.saturating_add(self.bitmap_bytes()).saturating_add(within);
                let here = if self.has_bitmap {
                    self.sectors(at, within, most_bytes)
                } else {
                    Ok((true, left))
                };
                match here {
                    Ok((true, length)) => (Stored::Plain(&self.file, data), length, u64::MAX),
                    Ok((false, length)) => {
                        let (stored, most) = self.below.stored(offset_bytes);
                        (stored, length, most)
                    }
                    Err(error) => (Stored::Missing(error), left, u64::MAX),
                }
            }
        };
        Piece { stored, length_bytes: length.min(most).min(left) }
    }
}
