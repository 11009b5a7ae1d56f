//! The changes a log holds, each put over the metadata it belongs to: buffers, inodes, new chunks of inodes.
//!
//! Metadata of version 5 carries the number of the log record it was last written from; what is newer on the disk than
//! in the log stays. Descriptions are little endian (the log is written as the machine had them), contents as on disk.

use super::Xfs;
use super::logged::{InodeChange, swapped};
use super::recover::Item;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use std::collections::HashMap;

const KIND_INODE: u16 = 0x123b;
const KIND_BUFFER: u16 = 0x123c;
const KIND_NEW_INODES: u16 = 0x123f;

const BUFFER_OF_INODES: u16 = 0x1;
const BUFFER_CANCELLED: u16 = 0x2;
/// Bytes each bit of a buffer's map stands for.
const CHUNK_BYTES: usize = 128;
/// Longest buffer, in sectors: a directory block has 64 KiB, a group's list of inodes less.
const MAX_BUFFER_SECTORS: u64 = 2048;
const NO_LSN: u64 = u64::MAX;

const NEXT_UNLINKED: usize = 96;

/// The second pass.
pub(super) struct Replay {
    /// Buffers given up later, by first sector and number of sectors, and how often.
    pub(super) cancelled: HashMap<(u64, u64), u32>,
}

/// The description of a changed buffer.
struct Buffer<'a> {
    flags: u16,
    sector: u64,
    sectors: u64,
    map: &'a [u8],
}

fn buffer(item: &Item) -> Option<Buffer<'_>> {
    let raw = item.regions.first().filter(|_| item.kind() == KIND_BUFFER)?;
    let f = Fields(raw);
    let words = to_usize(u64::from(f.le32(16)));
    let map = raw.get(20..20_usize.saturating_add(words.saturating_mul(4))).or(raw.get(20..))?;
    Some(Buffer { flags: f.le16(4), sector: f.le64(8), sectors: u64::from(f.le16(6)), map })
}

/// The buffer an item gives up, if that is what it does.
pub(super) fn cancelled(item: &Item) -> Option<(u64, u64)> {
    let buffer = buffer(item).filter(|buffer| buffer.flags & BUFFER_CANCELLED != 0)?;
    Some((buffer.sector, buffer.sectors))
}

impl Replay {
    /// Makes the changes of a transaction: buffers, then all else, then links between unlinked inodes, then buffers
    /// given up, which is the order that lets a buffer change its use within one transaction.
    pub(super) fn transaction(
        &mut self,
        xfs: &mut Xfs,
        lsn: u64,
        items: Vec<Item>,
    ) -> Result<(), EvidenceError> {
        let rank = |item: &Item| match buffer(item) {
            Some(buffer) if buffer.flags & BUFFER_CANCELLED != 0 => 3,
            Some(buffer) if buffer.flags & BUFFER_OF_INODES != 0 => 2,
            Some(_) => 0,
            None if item.kind() == KIND_NEW_INODES => 0,
            None => 1,
        };
        let mut items: Vec<(u8, Item)> =
            items.into_iter().map(|item| (rank(&item), item)).collect();
        items.sort_by_key(|(rank, _)| *rank);
        for (_, item) in &items {
            match item.kind() {
                KIND_BUFFER => self.buffer(xfs, lsn, item)?,
                KIND_INODE => self.inode(xfs, lsn, item)?,
                KIND_NEW_INODES => self.new_inodes(xfs, item)?,
                // Quota is not shown, and announced work is counted apart.
                _ => {}
            }
        }
        Ok(())
    }

    fn buffer(&mut self, xfs: &mut Xfs, lsn: u64, item: &Item) -> Result<(), EvidenceError> {
        let Some(buffer) = buffer(item) else { return Ok(()) };
        let key = (buffer.sector, buffer.sectors);
        if buffer.flags & BUFFER_CANCELLED != 0 {
            // From here on the place may be a buffer again.
            let left = self.cancelled.get(&key).map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                self.cancelled.remove(&key);
            } else {
                self.cancelled.insert(key, left);
            }
            return Ok(());
        }
        if self.cancelled.contains_key(&key) {
            return Ok(());
        }
        if buffer.sectors == 0 || buffer.sectors > MAX_BUFFER_SECTORS {
            return Err(EvidenceError::corrupt(format!(
                "the log changes a buffer of {} sectors",
                buffer.sectors
            )));
        }
        let offset = buffer.sector.saturating_mul(512);
        let mut raw = xfs.store.bytes(offset, to_usize(buffer.sectors.saturating_mul(512)))?;
        let on_disk = written_from(xfs, &raw);
        if on_disk != 0 && on_disk != NO_LSN && on_disk >= lsn {
            return Ok(());
        }
        let inode_bytes = xfs.superblock.inode_bytes;
        let mut regions = item.regions.iter().skip(1);
        for (first, count) in runs(buffer.map) {
            let Some(region) = regions.next() else { break };
            let start = first.saturating_mul(CHUNK_BYTES);
            let length = count.saturating_mul(CHUNK_BYTES).min(region.len());
            let end = start.saturating_add(length);
            if buffer.flags & BUFFER_OF_INODES == 0 {
                put(&mut raw, start, region.get(..length).unwrap_or(&[]))?;
                continue;
            }
            // Of a buffer of inodes only the links between unlinked ones are meant; the rest comes as inodes.
            let mut at = NEXT_UNLINKED;
            while at.saturating_add(4) <= raw.len() {
                if at >= start && at.saturating_add(4) <= end {
                    let within = at.saturating_sub(start);
                    put(&mut raw, at, Fields(region).slice(within, 4))?;
                }
                at = at.saturating_add(inode_bytes);
            }
        }
        xfs.store.overlay(offset, &raw)
    }

    fn inode(&self, xfs: &mut Xfs, lsn: u64, item: &Item) -> Result<(), EvidenceError> {
        let Some(change) = InodeChange::parse(item) else {
            return Err(EvidenceError::corrupt(
                "the log has the change of an inode without its core",
            ));
        };
        if self.cancelled.contains_key(&(change.sector, change.sectors)) {
            return Ok(());
        }
        let offset = change.sector.saturating_mul(512).saturating_add(change.within);
        let mut raw = xfs.store.bytes(offset, xfs.superblock.inode_bytes)?;
        let on_disk = Fields(&raw);
        let core = Fields(change.core);
        if xfs.superblock.is_v5 {
            let written = on_disk.be64(112);
            if on_disk.has(0, b"IN") && written != 0 && written != NO_LSN && written > lsn {
                return Ok(());
            }
        } else {
            // Version 4 counts how often the inode was written, and the count may have wrapped.
            let (there, here) = (on_disk.be16(30), core.le16(30));
            if here < there && !(there == u16::MAX && here < u16::MAX >> 1) {
                return Ok(());
            }
        }
        let flags2 = if core.u8(4) == 3 { core.le64(120) } else { 0 };
        let next_unlinked: [u8; 4] = on_disk.array(NEXT_UNLINKED);
        put(&mut raw, 0, &swapped(change.core, flags2))?;
        put(&mut raw, NEXT_UNLINKED, &next_unlinked)?;
        if core.u8(4) == 3 {
            put(&mut raw, 112, &lsn.to_be_bytes())?;
        }
        change.forks(&mut raw)?;
        xfs.store.overlay(offset, &raw)
    }

    /// A new chunk of inodes is announced and not logged: all are free until changes of their own come.
    fn new_inodes(&self, xfs: &mut Xfs, item: &Item) -> Result<(), EvidenceError> {
        let f = Fields(item.regions.first().map_or(&[], Vec::as_slice));
        let (ag, block, count, bytes) = (f.be32(4), f.be32(8), f.be32(12), f.be32(16));
        if to_usize(u64::from(bytes)) != xfs.superblock.inode_bytes || count > 1024 {
            return Err(EvidenceError::corrupt(format!(
                "the log makes {count} inodes of {bytes} bytes at once"
            )));
        }
        let blocks = u64::from(f.be32(20));
        let offset = xfs.superblock.ag_offset(u64::from(ag), u64::from(block), blocks)?;
        let length = u64::from(count).saturating_mul(u64::from(bytes));
        let sectors = offset / 512..offset.saturating_add(length).div_ceil(512);
        if self.cancelled.keys().any(|(sector, _)| sectors.contains(sector)) {
            return Ok(());
        }
        let mut raw = vec![0; to_usize(length)];
        let first = xfs.superblock.node_at(u64::from(ag), u64::from(block));
        for (index, inode) in raw.chunks_exact_mut(xfs.superblock.inode_bytes).enumerate() {
            put(inode, 0, b"IN\0\0\x03")?;
            put(inode, 92, &f.array::<4>(24))?;
            put(inode, NEXT_UNLINKED, &[0xff; 4])?;
            put(inode, 152, &first.saturating_add(to_u64(index)).to_be_bytes())?;
            put(inode, 160, &xfs.superblock.metadata_uuid)?;
        }
        xfs.store.overlay(offset, &raw)
    }
}

pub(super) fn put(raw: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), EvidenceError> {
    let length = raw.len();
    let place = at.checked_add(bytes.len()).and_then(|end| raw.get_mut(at..end));
    match place {
        Some(place) => {
            place.copy_from_slice(bytes);
            Ok(())
        }
        None => Err(EvidenceError::corrupt(format!(
            "the log puts {} bytes at {at} of a structure of {length}",
            bytes.len()
        ))),
    }
}

/// Runs of set bits in a buffer's map: first and count.
fn runs(map: &[u8]) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (index, byte) in map.iter().enumerate() {
        for bit in (0..8_usize).filter(|bit| byte >> bit & 1 == 1) {
            let number = index.saturating_mul(8).saturating_add(bit);
            match out.last_mut() {
                Some((first, count)) if first.saturating_add(*count) == number => {
                    *count = count.saturating_add(1);
                }
                _ => out.push((number, 1)),
            }
        }
    }
    out
}

/// The log record a buffer on disk was last written from; [`NO_LSN`] when it does not say or is not of this file system.
fn written_from(xfs: &Xfs, raw: &[u8]) -> u64 {
    let f = Fields(raw);
    let (lsn_at, uuid_at) = match f.array(0) {
        [b'A', b'B', b'3', b'B' | b'C']
        | [b'I', b'A', b'B', b'3']
        | [b'F', b'I', b'B', b'3']
        | [b'R', b'M', b'B', b'3']
        | [b'R', b'3', b'F', b'C'] => (24, 32_usize),
        [b'B', b'M', b'A', b'3'] => (32, 40),
        [b'X', b'A', b'G', b'F'] => (208, 64),
        [b'X', b'A', b'G', b'I'] => (320, 296),
        [b'X', b'A', b'F', b'L'] => (24, 8),
        [b'X', b'S', b'L', b'M'] => (48, 16),
        [b'X', b'D', b'B' | b'D' | b'F', b'3'] => (16, 24),
        [b'X', b'F', b'S', b'B'] => (240, 32),
        _ if matches!(f.be16(8), 0x3bee | 0x3ebe | 0x3df1 | 0x3dff) => (24, 32),
        _ => return NO_LSN,
    };
    let is_superblock = f.has(0, b"XFSB");
    if !xfs.superblock.is_v5 || (!is_superblock && f.array(uuid_at) != xfs.superblock.metadata_uuid)
    {
        return NO_LSN;
    }
    f.be64(lsn_at)
}
