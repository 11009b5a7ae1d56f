//! Changed inodes as the log has them: the core little endian, the forks as on disk but for the root of an extent tree.

use super::items::put;
use super::recover::Item;
use crate::bytes::Fields;
use crate::error::EvidenceError;

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

/// The change of an inode: where, the core, and its forks.
pub(super) struct InodeChange<'a> {
    fields: u32,
    pub(super) sector: u64,
    pub(super) sectors: u64,
    /// First byte of the inode in its buffer.
    pub(super) within: u64,
    device: u32,
    pub(super) core: &'a [u8],
    forks: Vec<&'a [u8]>,
}

impl<'a> InodeChange<'a> {
    pub(super) fn parse(item: &'a Item) -> Option<Self> {
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

    /// Puts the changed forks into an inode whose core is changed already.
    pub(super) fn forks(&self, raw: &mut [u8]) -> Result<(), EvidenceError> {
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
pub(super) fn swapped(core: &[u8], flags2: u64) -> Vec<u8> {
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
