//! The changes a log holds, each put over the metadata it belongs to: buffers, inodes, new chunks of inodes.
//!
//! Metadata of version 5 carries the number of the log record it was last written from; what is newer on the disk than
//! in the log stays. Descriptions are little endian (the log is written as the machine had them), contents as on disk.

use super::Xfs;
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

/// Fields of the inode core that are not single bytes: place and length. The log keeps them little endian.
const CORE_FIELDS: [(usize, usize); 27] = [
    (0, 2),
    (2, 2),
    (6, 2),
    (8, 4),
    (12, 4),
    (16, 4),
    (20, 2),
    (22, 2),
    (56, 8),
    (64, 8),
    (72, 4),
    (84, 4),
    (88, 2),
    (90, 2),
    (92, 4),
    (104, 8),
    (112, 8),
    (120, 8),
    (128, 4),
    (152, 8),
    // Times: two words of four bytes each, unless they are big.
    (32, 4),
    (36, 4),
    (40, 4),
    (44, 4),
    (48, 4),
    (52, 4),
    (30, 2),
];
const FLAG2_BIG_TIMES: u64 = 0x8;
const FLAG2_LONG_COUNTS: u64 = 0x10;
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
            if let Some(count) = self.cancelled.get_mut(&key) {
                *count = count.saturating_sub(1);
            }
            self.cancelled.retain(|_, count| *count > 0);
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

/// The change of an inode: where, the core, and its forks.
struct InodeChange<'a> {
    fields: u32,
    sector: u64,
    sectors: u64,
    within: u64,
    device: u32,
    core: &'a [u8],
    forks: Vec<&'a [u8]>,
}

impl<'a> InodeChange<'a> {
    fn parse(item: &'a Item) -> Option<Self> {
        let mut regions = item.regions.iter().map(Vec::as_slice);
        let (raw, core) = (regions.next()?, regions.next()?);
        let f = Fields(raw);
        // 32-bit kernels wrote the same without the padding before the inode number.
        let (device_at, place_at) = if raw.len() >= 56 { (24, 40) } else { (20, 36_usize) };
        Some(Self {
            fields: f.le32(4),
            sector: f.le64(place_at),
            sectors: u64::from(f.le32(place_at.saturating_add(8))),
            within: u64::from(f.le32(place_at.saturating_add(12))),
            device: f.le32(device_at),
            core: core.get(..core.len().min(176))?,
            forks: regions.collect(),
        })
    }

    fn forks(&self, raw: &mut [u8]) -> Result<(), EvidenceError> {
        let core_bytes = if Fields(raw).u8(4) == 3 { 176 } else { 100_usize };
        let split = usize::from(Fields(raw).u8(82)).saturating_mul(8);
        let end = raw.len();
        let attributes_at =
            if split == 0 { end } else { core_bytes.saturating_add(split).min(end) };
        let mut regions = self.forks.iter();
        for (local, root, from, to) in
            [(0x2 | 0x4, 0x8, core_bytes, attributes_at), (0x40 | 0x80, 0x100, attributes_at, end)]
        {
            let Some(area) = raw.get_mut(from..to) else { continue };
            if self.fields & (local | root) == 0 {
                continue;
            }
            let Some(region) = regions.next() else { continue };
            if self.fields & root != 0 {
                tree_root(region, area)?;
            } else {
                put(area, 0, region)?;
            }
        }
        if self.fields & 0x10 != 0 {
            put(raw, core_bytes, &self.device.to_be_bytes())?;
        }
        Ok(())
    }
}

/// In memory the root of an extent tree has the header of a block; on disk it has a short one and room of its own.
fn tree_root(region: &[u8], area: &mut [u8]) -> Result<(), EvidenceError> {
    let f = Fields(region);
    let header: usize = if f.has(0, b"BMA3") { 72 } else { 24 };
    let count = usize::from(f.be16(6));
    let from = region.len().saturating_sub(header) / 16;
    let to = area.len().saturating_sub(4) / 16;
    if count > from || count > to {
        return Err(EvidenceError::corrupt(format!(
            "the log has the root of an extent tree with {count} records, room for {from} and {to}"
        )));
    }
    let bytes = count.saturating_mul(8);
    put(area, 0, f.slice(4, 4))?;
    put(area, 4, f.slice(header, bytes))?;
    let pointers = f.slice(header.saturating_add(from.saturating_mul(8)), bytes);
    put(area, 4_usize.saturating_add(to.saturating_mul(8)), pointers)
}

/// The core as the disk has it.
fn swapped(core: &[u8], flags2: u64) -> Vec<u8> {
    let mut out = core.to_vec();
    let mut swap = |at: usize, length: usize| {
        if let Some(field) = at.checked_add(length).and_then(|end| out.get_mut(at..end)) {
            field.reverse();
        }
    };
    let big_times = flags2 & FLAG2_BIG_TIMES != 0;
    let long_counts = flags2 & FLAG2_LONG_COUNTS != 0;
    for (at, length) in CORE_FIELDS {
        let is_time = (32..56).contains(&at);
        let is_flush_count = at == 30;
        if !(is_time && big_times || is_flush_count && long_counts) {
            swap(at, length);
        }
    }
    if big_times {
        for at in [32, 40, 48, 144] {
            swap(at, 8);
        }
    } else {
        for at in [144, 148] {
            swap(at, 4);
        }
    }
    if long_counts {
        swap(24, 8);
        swap(76, 4);
    } else {
        swap(76, 4);
        swap(80, 2);
    }
    out
}

fn put(raw: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), EvidenceError> {
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
