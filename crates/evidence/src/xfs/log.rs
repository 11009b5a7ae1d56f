//! The log as a ring of records: where its head is, whether it ends with an unmount, and each record's content.
//!
//! Every block of the ring begins with the number of the lap it was written in; what stood there is kept in the record's
//! header. So the head is where that number falls, and a record torn by a power cut shows by its checksum (XFS Algorithms
//! & Data Structures, "Journaling Log").

use super::Xfs;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::crc::crc32c;
use crate::error::EvidenceError;

const MAGIC: u32 = 0xfeed_babe;
pub(super) const BLOCK_BYTES: usize = 512;
/// Data a header's own list of first words covers; each further part has a header block of its own.
const PART_BYTES: u32 = 32_768;
/// Longest record Linux writes has 256 KiB; twice that leaves room.
const MAX_RECORD_BYTES: u32 = 512 << 10;
/// Blocks that may still be under way when the machine stops: eight buffers of 256 KiB.
const WINDOW_BLOCKS: u64 = 8 * 512 + 64;
const FLAG_UNMOUNT: u8 = 0x20;

/// The ring.
pub(super) struct Log<'a> {
    xfs: &'a Xfs,
    start_bytes: u64,
    blocks: u64,
}

/// The header of one record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// First block of the ring.
    pub(super) block: u64,
    /// Lap and block as one number that only grows.
    pub(super) lsn: u64,
    tail_lsn: u64,
    header_blocks: u64,
    data_bytes: u32,
    /// Number of operations; what stands behind them only fills the block.
    pub(super) operations: u32,
    is_little_endian: bool,
    checksum: u32,
}

impl Record {
    fn blocks(&self) -> u64 {
        self.header_blocks.saturating_add(u64::from(self.data_bytes).div_ceil(512))
    }
}

/// What is in the log between its tail and its head.
pub(super) enum State {
    /// Nothing that is not in place.
    Clean,
    /// Records to be replayed, in order.
    Dirty(Vec<Record>),
}

impl<'a> Log<'a> {
    pub(super) fn new(xfs: &'a Xfs) -> Result<Self, EvidenceError> {
        let sb = &xfs.superblock;
        let start_bytes = sb.block_offset(sb.log_start, sb.log_blocks)?;
        let blocks = sb.log_blocks.saturating_mul(sb.block_bytes) / 512;
        if blocks == 0 {
            return Err(EvidenceError::corrupt("the log has no blocks"));
        }
        Ok(Self { xfs, start_bytes, blocks })
    }

    /// `count` blocks from `block` on, around the end.
    fn read(&self, block: u64, count: u64) -> Result<Vec<u8>, EvidenceError> {
        let block = block.checked_rem(self.blocks).unwrap_or(0);
        let straight = count.min(self.blocks.saturating_sub(block));
        let mut out = vec![0; to_usize(count.saturating_mul(512))];
        let (first, second) = out.split_at_mut(to_usize(straight.saturating_mul(512)));
        let source = &*self.xfs.store.source;
        let what = || EvidenceError::read(format!("{count} blocks of the log from {block}"));
        source
            .fill(self.start_bytes.saturating_add(block.saturating_mul(512)), first)
            .map_err(what())?;
        if !second.is_empty() {
            source.fill(self.start_bytes, second).map_err(what())?;
        }
        Ok(out)
    }

    /// The lap a block was written in.
    fn lap(&self, block: u64) -> Result<u32, EvidenceError> {
        Ok(lap_of(&self.read(block, 1)?))
    }

    /// Where the next record would be written.
    ///
    /// Laps fall exactly once around the ring, so halving finds the place.
    fn head(&self) -> Result<u64, EvidenceError> {
        let (first, last) = (self.lap(0)?, self.lap(self.blocks.saturating_sub(1))?);
        if first == last {
            return Ok(0);
        }
        let (mut low, mut high) = (0_u64, self.blocks.saturating_sub(1));
        while low.saturating_add(1) < high {
            let middle = low.saturating_add(high.saturating_sub(low) / 2);
            if self.lap(middle)? == first {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    /// Finds out whether the log is clean.
    pub(super) fn state(&self) -> Result<State, EvidenceError> {
        let first = self.lap(0)?;
        if first == 0 {
            return Ok(State::Clean);
        }
        let head = self.head()?;
        let Some((last, head)) = self.last_record(head)? else {
            return Err(EvidenceError::corrupt(format!(
                "no record of the log before its head at {head}"
            )));
        };
        if last.operations == 1 && last.header_blocks.saturating_add(last.block) < self.blocks {
            let data = self.read(last.block.saturating_add(last.header_blocks), 1)?;
            if Fields(&data).u8(9) & FLAG_UNMOUNT != 0 {
                return Ok(State::Clean);
            }
        }
        let tail = last.tail_lsn & 0xffff_ffff;
        self.records(tail, head).map(State::Dirty)
    }

    /// The last whole record before `head`, and where it ends. Writes may arrive out of order, so records behind a
    /// torn one do not count.
    fn last_record(&self, head: u64) -> Result<Option<(Record, u64)>, EvidenceError> {
        let window = WINDOW_BLOCKS.min(self.blocks);
        let start = head.saturating_add(self.blocks).saturating_sub(window);
        let raw = self.read(start, window)?;
        let mut found = None;
        let mut lap = None;
        for (index, block) in raw.chunks_exact(BLOCK_BYTES).enumerate() {
            let number = start.saturating_add(to_u64(index)).checked_rem(self.blocks).unwrap_or(0);
            // A hole of an older lap ends what was written; at the end of the ring the lap grows by one.
            let here = lap_of(block);
            let is_hole = lap.is_some_and(|before: u32| here < before);
            if is_hole && found.is_some() {
                break;
            }
            lap = Some(here);
            let Ok(record) = self.header(number, block) else { continue };
            let left = window.saturating_sub(to_u64(index));
            if record.blocks() > left || self.content(&record).is_err() {
                // The first in the window may be of an older lap, half overwritten.
                if found.is_some() {
                    break;
                }
                continue;
            }
            let end = number.saturating_add(record.blocks()).checked_rem(self.blocks).unwrap_or(0);
            found = Some((record, end));
        }
        Ok(found)
    }

    /// All records from `tail` up to `head`.
    fn records(&self, tail: u64, head: u64) -> Result<Vec<Record>, EvidenceError> {
        let mut out: Vec<Record> = Vec::new();
        let mut block = tail;
        let mut left = if head > tail {
            head.saturating_sub(tail)
        } else {
            head.saturating_add(self.blocks).saturating_sub(tail)
        };
        if tail == head {
            return Ok(out);
        }
        while left > 0 {
            let record = self.header(block, &self.read(block, 1)?)?;
            if record.blocks() > left {
                return Err(EvidenceError::corrupt(format!(
                    "record of the log at {block} has {} blocks, {left} before the head",
                    record.blocks()
                )));
            }
            left = left.saturating_sub(record.blocks());
            block = block.saturating_add(record.blocks()).checked_rem(self.blocks).unwrap_or(0);
            out.push(record);
        }
        Ok(out)
    }

    fn header(&self, block: u64, raw: &[u8]) -> Result<Record, EvidenceError> {
        let f = Fields(raw);
        let (version, data_bytes, lsn) = (f.be32(8), f.be32(12), f.be64(16));
        let block = block.checked_rem(self.blocks).unwrap_or(0);
        let size = f.be32(320);
        let header_blocks =
            if version & 2 != 0 { u64::from(size.div_ceil(PART_BYTES).max(1)) } else { 1 };
        let sane = f.be32(0) == MAGIC
            && matches!(version, 1..=3)
            && data_bytes <= MAX_RECORD_BYTES
            && size <= MAX_RECORD_BYTES
            && lsn & 0xffff_ffff == block
            && lsn >> 32 == u64::from(f.be32(4))
            && f.array(304) == self.xfs.superblock.uuid;
        if !sane {
            return Err(EvidenceError::corrupt(format!(
                "block {block} of the log is no header of a record: magic number {:08x}, version {version}, {data_bytes} bytes, lsn {lsn:x}",
                f.be32(0)
            )));
        }
        Ok(Record {
            block,
            lsn,
            tail_lsn: f.be64(24),
            header_blocks,
            data_bytes,
            operations: f.be32(40),
            is_little_endian: f.be32(300) == 1,
            checksum: f.le32(32),
        })
    }

    /// A block of an older lap inside a record means that it was never written whole; behind the end of the ring the lap
    /// is one more.
    fn check_laps(&self, record: &Record, raw: &[u8]) -> Result<(), EvidenceError> {
        for (index, block) in raw.chunks_exact(BLOCK_BYTES).enumerate() {
            let wrapped = record.block.saturating_add(to_u64(index)) >= self.blocks;
            let expected = (record.lsn >> 32).saturating_add(u64::from(wrapped));
            if u64::from(lap_of(block)) != expected {
                return Err(EvidenceError::corrupt(format!(
                    "block {index} of the record of the log at {} has lap {}, expected {expected}",
                    record.block,
                    lap_of(block)
                )));
            }
        }
        Ok(())
    }

    /// The data of a record, verified, with the first words of its blocks put back.
    pub(super) fn content(&self, record: &Record) -> Result<Vec<u8>, EvidenceError> {
        if !record.is_little_endian {
            return Err(EvidenceError::unsupported("a log written by a big-endian machine"));
        }
        let raw = self.read(record.block, record.blocks())?;
        self.check_laps(record, &raw)?;
        let (headers, data) = raw
            .split_at_checked(to_usize(record.header_blocks.saturating_mul(512)))
            .unwrap_or((&[], &[]));
        let length = to_usize(u64::from(record.data_bytes));
        if (self.xfs.superblock.is_v5 || record.checksum != 0)
            && !checksums(headers, data.get(..length).unwrap_or(&[])).contains(&record.checksum)
        {
            return Err(EvidenceError::corrupt(format!(
                "record of the log at {} has a checksum that does not match",
                record.block
            )));
        }
        let mut out = data.to_vec();
        for (index, block) in out.chunks_exact_mut(BLOCK_BYTES).enumerate() {
            // The main header keeps 64 first words at 44, each further one 64 at 4.
            let part = index / 64;
            let at = part.saturating_mul(512).saturating_add(if part == 0 { 44 } else { 4 });
            let word =
                Fields(headers).array::<4>(at.saturating_add((index % 64).saturating_mul(4)));
            if let Some(place) = block.get_mut(..4) {
                place.copy_from_slice(&word);
            }
        }
        out.truncate(length);
        Ok(out)
    }
}

fn lap_of(block: &[u8]) -> u32 {
    let f = Fields(block);
    if f.be32(0) == MAGIC { f.be32(4) } else { f.be32(0) }
}

/// The checksums a record may have: over the header as 64-bit and as 32-bit kernels measure it, further headers, data.
fn checksums(headers: &[u8], data: &[u8]) -> [u32; 2] {
    [328, 324].map(|length| {
        let header = headers.get(..length).unwrap_or(&[]);
        let mut crc = crc32c(u32::MAX, header.get(..32).unwrap_or(&[]));
        crc = crc32c(crc, &[0; 4]);
        crc = crc32c(crc, header.get(36..).unwrap_or(&[]));
        let parts = data.len().div_ceil(32_768);
        for part in headers.chunks_exact(BLOCK_BYTES).take(parts).skip(1) {
            crc = crc32c(crc, part.get(..260).unwrap_or(&[]));
        }
        !crc32c(crc, data)
    })
}
