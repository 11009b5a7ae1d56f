//! Metadata blocks and the tables made of them.
//!
//! All metadata is a row of blocks of 8 KiB, each packed on its own behind a length of two bytes. A reference names the
//! start of such a block and a place in what it holds; what is longer goes on in the next block. Tables are never loaded
//! whole: an entry is found through the list of block offsets when it is asked for, so a hostile count costs nothing.

use super::Squash;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use std::sync::Arc;

/// What a metadata block holds when unpacked, at most.
pub(super) const BLOCK_BYTES: usize = 8192;

/// An unpacked metadata block.
#[derive(Clone)]
pub(super) struct Block {
    bytes: Arc<[u8]>,
    /// Where the next one begins.
    next: u64,
}

impl Squash {
    /// The metadata block that begins at this byte of the source.
    pub(super) fn metadata_block(&self, at: u64) -> Result<Block, EvidenceError> {
        if let Some(block) = self.metadata.find(at) {
            return Ok(block);
        }
        let reading = || EvidenceError::read(format!("the metadata block at byte {at}"));
        let mut head = [0; 2];
        self.near.fill(at, &mut head).map_err(reading())?;
        let head = u16::from_le_bytes(head);
        // The high bit says "as it is"; the length 0 stands for 32 KiB, which no metadata block has.
        let stored = usize::from(head & 0x7fff);
        if stored == 0 || stored > BLOCK_BYTES {
            return Err(EvidenceError::corrupt(format!(
                "the metadata block at byte {at} is {stored} bytes long, expected 1 to {BLOCK_BYTES}"
            )));
        }
        let mut raw = vec![0; stored];
        self.near.fill(at.saturating_add(2), &mut raw).map_err(reading())?;
        let bytes: Arc<[u8]> = if head & 0x8000 != 0 {
            raw.into()
        } else {
            let unpacked = self.superblock.packing.unpack(&raw, BLOCK_BYTES);
            let damaged = |error| format!("the metadata block at byte {at}: {error}");
            unpacked.map_err(|error| EvidenceError::corrupt(damaged(error)))?.into()
        };
        let next = at.saturating_add(2).saturating_add(to_u64(stored));
        let block = Block { bytes, next };
        self.metadata.keep(at, block.clone(), block.bytes.len().saturating_add(128));
        Ok(block)
    }

    /// A place in a table of metadata blocks.
    pub(super) fn cursor(&self, block: u64, within: usize) -> Cursor<'_> {
        Cursor { fs: self, at: block, within }
    }

    /// An entry of a table whose list of block offsets stands at `list`; `per_block` entries fill a block.
    pub(super) fn table_entry<const N: usize>(
        &self,
        list: u64,
        index: u64,
    ) -> Result<[u8; N], EvidenceError> {
        let per_block = to_u64(BLOCK_BYTES.checked_div(N).unwrap_or(1)).max(1);
        let place = index.checked_div(per_block).unwrap_or(0).saturating_mul(8);
        let within = index.checked_rem(per_block).unwrap_or(0).saturating_mul(to_u64(N));
        let mut block = [0; 8];
        self.near
            .fill(list.saturating_add(place), &mut block)
            .map_err(EvidenceError::read(format!("the list of a table at byte {list}")))?;
        let mut out = [0; N];
        self.cursor(u64::from_le_bytes(block), to_usize(within)).fill(&mut out)?;
        Ok(out)
    }

    /// An owner, by its index in the table of owners.
    pub(super) fn owner(&self, index: u16) -> Result<u32, EvidenceError> {
        if index >= self.superblock.ids {
            let ids = self.superblock.ids;
            return Err(EvidenceError::corrupt(format!("owner {index} of a table of {ids}")));
        }
        let raw: [u8; 4] = self.table_entry(self.superblock.id_table, u64::from(index))?;
        Ok(u32::from_le_bytes(raw))
    }

    /// Where a block of tail ends lies: its first byte and its length word.
    pub(super) fn fragment(&self, index: u32) -> Result<(u64, u32), EvidenceError> {
        if index >= self.superblock.fragments {
            let total = self.superblock.fragments;
            return Err(EvidenceError::corrupt(format!("fragment {index} of a table of {total}")));
        }
        let raw: [u8; 16] = self.table_entry(self.superblock.fragment_table, u64::from(index))?;
        Ok((Fields(&raw).le64(0), Fields(&raw).le32(8)))
    }
}

/// Reads on from a place in the metadata.
pub(super) struct Cursor<'a> {
    fs: &'a Squash,
    at: u64,
    within: usize,
}

impl Cursor<'_> {
    /// Fills `out`, going on in as many blocks as it takes.
    pub(super) fn fill(&mut self, mut out: &mut [u8]) -> Result<(), EvidenceError> {
        while !out.is_empty() {
            let block = self.fs.metadata_block(self.at)?;
            let rest = block.bytes.get(self.within..).unwrap_or(&[]);
            if rest.is_empty() {
                // The end of a full block is the start of the next; a shorter one must be the last.
                let length = block.bytes.len();
                if self.within != length || length == 0 {
                    return Err(EvidenceError::corrupt(format!(
                        "place {} of the metadata block at byte {}, which holds {length} bytes",
                        self.within, self.at
                    )));
                }
                self.at = block.next;
                self.within = 0;
                continue;
            }
            let count = rest.len().min(out.len());
            let (now, later) = out.split_at_mut_checked(count).unwrap_or_default();
            if let Some(from) = rest.get(..count) {
                now.copy_from_slice(from);
            }
            out = later;
            self.within = self.within.saturating_add(count);
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], EvidenceError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// The next `length` bytes, which the caller has bounded.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Vec<u8>, EvidenceError> {
        let mut out = vec![0; length];
        self.fill(&mut out)?;
        Ok(out)
    }
}
