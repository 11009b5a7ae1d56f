//! File content: blocks of one size, each packed on its own or a hole, and a tail that shares a block with other tails.

use super::Squash;
use super::inode::{Body, Inode, NONE};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{Extent, Stored};
use std::sync::Arc;

/// The bit of a length word that says "as it is".
const PLAIN: u32 = 1 << 24;
/// Most blocks of one file: 1 TiB at the usual 128 KiB, and 32 MiB for the list of their lengths.
const MAX_BLOCKS: u64 = 1 << 23;
/// The start of every so many blocks is remembered, and the rest summed up from there.
const STRIDE: usize = 512;
/// Most extents given out for one file.
const MAX_EXTENTS: usize = 1 << 20;

/// Where the blocks of a file lie.
pub(super) struct Map {
    lengths: Vec<u32>,
    starts: Vec<u64>,
    tail: Option<Tail>,
    size_bytes: u64,
}

/// The tail end of a file inside a block of tail ends.
struct Tail {
    at: u64,
    length: u32,
    within: u64,
    bytes: u64,
}

/// Bytes a length word stands for.
fn stored(word: u32) -> u64 {
    u64::from(word & (PLAIN - 1))
}

pub(super) fn map(fs: &Squash, inode: &Inode) -> Result<Map, EvidenceError> {
    let Body::File { start, fragment, fragment_offset, .. } = inode.body else {
        return Err(EvidenceError::refused(format!(
            "inode {} is not a regular file",
            inode.number
        )));
    };
    let block_bytes = fs.superblock.block_bytes;
    let size_bytes = inode.size_bytes;
    let whole = size_bytes.checked_div(block_bytes).unwrap_or(0);
    let rest = size_bytes.checked_rem(block_bytes).unwrap_or(0);
    let tail = if fragment == NONE {
        None
    } else {
        let (at, length) = fs.fragment(fragment)?;
        Some(Tail { at, length, within: u64::from(fragment_offset), bytes: rest })
    };
    let blocks = if fragment == NONE && rest > 0 { whole.saturating_add(1) } else { whole };
    if blocks > MAX_BLOCKS {
        return Err(EvidenceError::refused(format!(
            "inode {} has {blocks} blocks, more than {MAX_BLOCKS}",
            inode.number
        )));
    }
    let mut map = Map { lengths: Vec::new(), starts: Vec::new(), tail, size_bytes };
    let mut cursor = inode.cursor(fs)?;
    let mut at = start;
    let mut piece = [0; 4 * STRIDE];
    // Grown as it is read: a count that the inode table does not back ends at the table's end.
    let mut left = to_usize(blocks);
    while left > 0 {
        let count = left.min(STRIDE);
        let raw = piece.get_mut(..count.saturating_mul(4)).unwrap_or_default();
        cursor.fill(raw)?;
        map.starts.push(at);
        for word in raw.as_chunks::<4>().0 {
            let word = u32::from_le_bytes(*word);
            if stored(word) > block_bytes {
                let (number, length) = (inode.number, stored(word));
                return Err(EvidenceError::corrupt(format!(
                    "a block of inode {number} is {length} bytes long, expected at most {block_bytes}"
                )));
            }
            at = at.saturating_add(stored(word));
            map.lengths.push(word);
        }
        left = left.saturating_sub(count);
    }
    Ok(map)
}

impl Map {
    /// Where a block begins, and its length word; `None` behind the last.
    fn block(&self, index: usize) -> Option<(u64, u32)> {
        let word = *self.lengths.get(index)?;
        let turn = index / STRIDE;
        let start = *self.starts.get(turn)?;
        let before = self.lengths.get(turn.saturating_mul(STRIDE)..index)?;
        Some((before.iter().fold(start, |at, word| at.saturating_add(stored(*word))), word))
    }
}

/// Reads by the map: plain blocks straight from the source, packed ones straight into `buf` where all of one is wanted.
pub(super) fn read(
    fs: &Squash,
    map: &Map,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize, EvidenceError> {
    let block_bytes = fs.superblock.block_bytes;
    let total = to_usize(map.size_bytes.saturating_sub(offset)).min(buf.len());
    let mut done = 0_usize;
    let mut packed = Vec::new();
    while done < total {
        let here = offset.saturating_add(to_u64(done));
        let index = to_usize(here.checked_div(block_bytes).unwrap_or(0));
        let within = here.checked_rem(block_bytes).unwrap_or(0);
        let Some(part) = buf.get_mut(done..total) else { break };
        let Some((at, word)) = map.block(index) else {
            done = done.saturating_add(read_tail(fs, map, within, part)?);
            break;
        };
        let holds = map.size_bytes.saturating_sub(here.saturating_sub(within)).min(block_bytes);
        let count = to_usize(holds.saturating_sub(within)).min(part.len());
        let Some(part) = part.get_mut(..count) else { break };
        if stored(word) == 0 {
            part.fill(0);
        } else if word & PLAIN != 0 {
            plain(fs, at.saturating_add(within), at.saturating_add(stored(word)), part)?;
        } else if within == 0 && to_u64(count) == holds {
            packed.resize(to_usize(stored(word)), 0);
            unpack(fs, at, &mut packed, part)?;
        } else {
            let block = fs.packed_block(at, word)?;
            copy(&block, to_usize(within), at, part)?;
        }
        done = done.saturating_add(count);
    }
    Ok(done)
}

fn plain(fs: &Squash, from: u64, end: u64, part: &mut [u8]) -> Result<(), EvidenceError> {
    if from.saturating_add(to_u64(part.len())) > end {
        return Err(EvidenceError::corrupt(format!(
            "the block that ends at byte {end} is shorter than the file's part in it"
        )));
    }
    fs.source.fill(from, part).map_err(EvidenceError::read(format!("file content at byte {from}")))
}

/// Unpacks a block of which exactly `part` is expected.
fn unpack(fs: &Squash, at: u64, packed: &mut [u8], part: &mut [u8]) -> Result<(), EvidenceError> {
    let reading = EvidenceError::read(format!("the data block at byte {at}"));
    fs.source.fill(at, packed).map_err(reading)?;
    let wanted = part.len();
    let got =
        fs.superblock.packing.unpack_into(packed, part).map_err(|error| {
            EvidenceError::corrupt(format!("the data block at byte {at}: {error}"))
        })?;
    if got < wanted {
        return Err(EvidenceError::corrupt(format!(
            "the data block at byte {at} holds {got} bytes, expected {wanted}"
        )));
    }
    Ok(())
}

/// A piece of an unpacked block.
fn copy(block: &[u8], within: usize, at: u64, part: &mut [u8]) -> Result<(), EvidenceError> {
    let from = within.checked_add(part.len()).and_then(|end| block.get(within..end));
    let from = from.ok_or_else(|| {
        EvidenceError::corrupt(format!(
            "the block at byte {at} holds {} bytes, but {} from {within} are in use",
            block.len(),
            part.len()
        ))
    })?;
    part.copy_from_slice(from);
    Ok(())
}

fn read_tail(fs: &Squash, map: &Map, within: u64, part: &mut [u8]) -> Result<usize, EvidenceError> {
    let Some(tail) = map.tail.as_ref() else { return Ok(0) };
    let count = to_usize(tail.bytes.saturating_sub(within)).min(part.len());
    let Some(part) = part.get_mut(..count) else { return Ok(0) };
    let from = tail.within.saturating_add(within);
    if tail.length & PLAIN != 0 {
        let end = tail.at.saturating_add(stored(tail.length));
        plain(fs, tail.at.saturating_add(from), end, part)?;
    } else {
        copy(&fs.packed_block(tail.at, tail.length)?, to_usize(from), tail.at, part)?;
    }
    Ok(count)
}

impl Squash {
    /// An unpacked block, kept for whoever reads the rest of it.
    fn packed_block(&self, at: u64, word: u32) -> Result<Arc<[u8]>, EvidenceError> {
        if let Some(block) = self.blocks.find(at) {
            return Ok(block);
        }
        if stored(word) > self.superblock.block_bytes {
            let length = stored(word);
            return Err(EvidenceError::corrupt(format!(
                "the block at byte {at} is {length} bytes long, more than a block"
            )));
        }
        let mut packed = vec![0; to_usize(stored(word))];
        self.source
            .fill(at, &mut packed)
            .map_err(EvidenceError::read(format!("the data block at byte {at}")))?;
        let limit = to_usize(self.superblock.block_bytes);
        let unpacked = self.superblock.packing.unpack(&packed, limit).map_err(|error| {
            EvidenceError::corrupt(format!("the data block at byte {at}: {error}"))
        })?;
        let block: Arc<[u8]> = unpacked.into();
        self.blocks.keep(at, Arc::clone(&block), block.len());
        Ok(block)
    }
}

/// The map as extents; plain blocks and holes that follow each other are one.
pub(super) fn extents(fs: &Squash, map: &Map) -> Result<Vec<Extent>, EvidenceError> {
    let block_bytes = fs.superblock.block_bytes;
    let mut out: Vec<Extent> = Vec::new();
    let mut logical_bytes = 0_u64;
    let mut at = map.starts.first().copied().unwrap_or(0);
    for word in &map.lengths {
        let length_bytes = map.size_bytes.saturating_sub(logical_bytes).min(block_bytes);
        let stored_bytes = stored(*word);
        let stored = if stored_bytes == 0 {
            Stored::Hole
        } else if word & PLAIN != 0 {
            Stored::At(at)
        } else {
            Stored::Packed { at, length_bytes: stored_bytes }
        };
        push(&mut out, Extent { logical_bytes, length_bytes, stored })?;
        at = at.saturating_add(stored_bytes);
        logical_bytes = logical_bytes.saturating_add(length_bytes);
    }
    if let Some(tail) = map.tail.as_ref().filter(|tail| tail.bytes > 0) {
        let stored = if tail.length & PLAIN != 0 {
            Stored::At(tail.at.saturating_add(tail.within))
        } else {
            Stored::Packed { at: tail.at, length_bytes: stored(tail.length) }
        };
        push(&mut out, Extent { logical_bytes, length_bytes: tail.bytes, stored })?;
    }
    Ok(out)
}

fn push(out: &mut Vec<Extent>, next: Extent) -> Result<(), EvidenceError> {
    if let Some(last) = out.last_mut() {
        let goes_on = match (last.stored, next.stored) {
            (Stored::Hole, Stored::Hole) => true,
            (Stored::At(a), Stored::At(b)) => a.saturating_add(last.length_bytes) == b,
            _ => false,
        };
        if goes_on {
            last.length_bytes = last.length_bytes.saturating_add(next.length_bytes);
            return Ok(());
        }
    }
    if out.len() >= MAX_EXTENTS {
        return Err(EvidenceError::refused(format!("a file in more than {MAX_EXTENTS} extents")));
    }
    out.push(next);
    Ok(())
}
