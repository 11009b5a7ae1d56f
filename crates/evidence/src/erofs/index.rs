//! The index of a compressed file: for each logical cluster, where its data begins or how far away that is told.
//!
//! A cluster either begins a packed piece ("head": where within the cluster, and at which block) or lies inside one (how
//! far back its head is, how far on the next). Distances only ever lead one way and a piece is at most 12 MiB long when
//! unpacked, so following them is bounded.

use super::inode::Index;
use super::{Erofs, File};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;

/// "The distance is 1, and this is how many blocks the piece has."
const HAS_BLOCKS: u32 = 1 << 11;

/// How a compressed file is laid out: the eight bytes in front of its index.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    pub(super) advice: u16,
    pub(super) cluster_bits: u32,
    /// Compression of the two kinds of head.
    pub(super) algorithms: [u8; 2],
    pub(super) inline_bytes: u64,
    /// Where the tail stands in the packed file; all of the content when `is_all_fragment`.
    pub(super) fragment_at: u64,
    pub(super) is_all_fragment: bool,
    pub(super) extents: u64,
}

impl Header {
    pub(super) fn parse(raw: [u8; 8], block_bits: u32) -> Self {
        let f = Fields(&raw);
        let word = f.le64(0);
        if word >> 63 != 0 {
            return Self {
                is_all_fragment: true,
                fragment_at: word & !(1 << 63),
                ..Self::default()
            };
        }
        let advice = f.le16(4);
        let is_inline = advice & 0x28 == 8;
        Self {
            advice,
            cluster_bits: block_bits.saturating_add(u32::from(f.u8(7) & 15)),
            algorithms: [f.u8(6) & 15, f.u8(6) >> 4],
            inline_bytes: if is_inline { u64::from(f.le16(2)) } else { 0 },
            fragment_at: if advice & 0x20 != 0 { u64::from(f.le32(0)) } else { 0 },
            is_all_fragment: false,
            extents: u64::from(f.le32(0)) | u64::from(f.le16(6)) << 32,
        }
    }

    pub(super) fn has_extents(&self, index: Index) -> bool {
        index == Index::Full && self.advice & 1 != 0
    }

    pub(super) fn has_fragment(&self) -> bool {
        self.advice & 0x20 != 0
    }

    pub(super) fn is_interlaced(&self) -> bool {
        self.advice & 0x10 != 0
    }

    /// Whether pieces of this kind of head may have more than one block.
    pub(super) fn is_big(&self, head: Head) -> bool {
        self.advice & if head == Head::First { 2 } else { 4 } != 0
    }
}

/// Kind of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Plain,
    First,
    Second,
}

/// One cluster as the index tells it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cluster {
    /// A piece begins `within` bytes into the cluster.
    Begins { head: Head, within: u64, block: u64 },
    /// Inside a piece that began `back` clusters before; the next begins no sooner than `on` clusters after.
    Inside { back: u64, on: u64, blocks: Option<u64> },
}

/// A cluster, and where the index goes on behind it.
pub(super) struct Told {
    pub(super) cluster: Cluster,
    pub(super) next_at: u64,
}

fn kind(value: u32) -> Option<Head> {
    match value & 3 {
        0 => Some(Head::Plain),
        1 => Some(Head::First),
        3 => Some(Head::Second),
        _ => None,
    }
}

impl Erofs {
    pub(super) fn cluster(
        &self,
        file: &File,
        index: Index,
        number: u64,
    ) -> Result<Told, EvidenceError> {
        let told = match index {
            Index::Full => self.full_cluster(file, number)?,
            Index::Compact => self.compact_cluster(file, number)?,
        };
        let bits = file.header.cluster_bits;
        match told.cluster {
            Cluster::Begins { within, .. } if within >> bits != 0 => {
                let node = file.inode.node;
                Err(EvidenceError::corrupt(format!(
                    "cluster {number} of inode {node} begins {within} bytes in, beyond its end"
                )))
            }
            _ => Ok(told),
        }
    }

    fn full_cluster(&self, file: &File, number: u64) -> Result<Told, EvidenceError> {
        // Behind the header stand eight bytes that are not used.
        let start = file.index_at().saturating_add(16);
        let at = start.saturating_add(number.saturating_mul(8));
        let mut raw = [0; 8];
        self.metadata_at(file.inode.node, at, &mut raw)?;
        let f = Fields(&raw);
        let cluster = match kind(u32::from(f.le16(0))) {
            Some(head) => {
                Cluster::Begins { head, within: u64::from(f.le16(2)), block: u64::from(f.le32(4)) }
            }
            None => {
                let back = u32::from(f.le16(4));
                let blocks = (back & HAS_BLOCKS != 0).then(|| u64::from(back & !HAS_BLOCKS));
                Cluster::Inside {
                    back: if blocks.is_some() { 1 } else { u64::from(back) },
                    on: u64::from(f.le16(6)),
                    blocks,
                }
            }
        };
        Ok(Told { cluster, next_at: at.saturating_add(8) })
    }

    /// Packs of 2 clusters in 8 bytes, with packs of 16 in 32 bytes between them where the file is long enough: so that
    /// the latter are aligned. Each pack ends with the address of its first block.
    fn compact_cluster(&self, file: &File, number: u64) -> Result<Told, EvidenceError> {
        let bits = file.header.cluster_bits;
        let total = file.inode.size_bytes.div_ceil(self.superblock.block_bytes());
        if number >= total || bits > 14 {
            let node = file.inode.node;
            return Err(EvidenceError::corrupt(format!(
                "cluster {number} of {total} of 2^{bits} bytes in the compact index of inode {node}"
            )));
        }
        let start = file.index_at().saturating_add(8);
        let leading = (32_u64.saturating_sub(start & 31) / 4) & 7;
        let dense = if file.header.advice & 1 != 0 && leading < total {
            total.saturating_sub(leading) & !15
        } else {
            0
        };
        let (mut at, mut left, mut is_dense) = (start, number, false);
        if left >= leading {
            at = at.saturating_add(leading.saturating_mul(4));
            left = left.saturating_sub(leading);
            if left < dense {
                is_dense = true;
            } else {
                at = at.saturating_add(dense.saturating_mul(2));
                left = left.saturating_sub(dense);
            }
        }
        if is_dense && bits > 12 {
            return Err(EvidenceError::unsupported(format!(
                "an EROFS dense index of clusters of 2^{bits} bytes"
            )));
        }
        let (each, count, pack_bytes) = if is_dense { (2, 16, 32_u64) } else { (4, 2, 8) };
        at = at.saturating_add(left.saturating_mul(each));
        let pack_at = at & !pack_bytes.saturating_sub(1);
        let mut raw = [0; 36];
        let part = raw.get_mut(..to_usize(pack_bytes)).unwrap_or_default();
        self.metadata_at(file.inode.node, pack_at, part)?;
        let pack = Pack {
            raw,
            low_bits: bits.max(12),
            entry_bits: if is_dense { 14 } else { 16 },
            count,
            address_at: to_usize(pack_bytes).saturating_sub(4),
        };
        let within = at.saturating_sub(pack_at).checked_div(each).unwrap_or(0);
        let is_big = file.header.is_big(Head::First);
        let cluster = pack.cluster(to_usize(within), is_big).ok_or_else(|| {
            let node = file.inode.node;
            EvidenceError::corrupt(format!(
                "the compact index of inode {node} contradicts itself at cluster {number}"
            ))
        })?;
        Ok(Told { cluster, next_at: pack_at.saturating_add(pack_bytes) })
    }
}

/// A pack of the compact index.
struct Pack {
    raw: [u8; 36],
    low_bits: u32,
    entry_bits: usize,
    count: usize,
    address_at: usize,
}

impl Pack {
    /// The low part and the kind of an entry.
    fn entry(&self, number: usize) -> (u32, Option<Head>) {
        let at = number.saturating_mul(self.entry_bits);
        let word = Fields(&self.raw).le32(at / 8).checked_shr(u32::try_from(at % 8).unwrap_or(0));
        let word = word.unwrap_or(0);
        let low = word & 1_u32.checked_shl(self.low_bits).unwrap_or(0).wrapping_sub(1);
        (low, kind(word.checked_shr(self.low_bits).unwrap_or(0)))
    }

    fn cluster(&self, number: usize, is_big: bool) -> Option<Cluster> {
        let (low, head) = self.entry(number);
        let Some(head) = head else { return self.inside(number, low, is_big) };
        let base = Fields(&self.raw).le32(self.address_at);
        let before = if is_big { self.blocks_before(number)? } else { self.heads_before(number) };
        let block = u64::from(base).saturating_add(before);
        Some(Cluster::Begins { head, within: u64::from(low), block })
    }

    fn inside(&self, number: usize, low: u32, is_big: bool) -> Option<Cluster> {
        let on = self.distance_on(number);
        if low & HAS_BLOCKS != 0 {
            let blocks = is_big.then(|| u64::from(low & !HAS_BLOCKS))?;
            return Some(Cluster::Inside { back: 1, on, blocks: Some(blocks) });
        }
        if number.saturating_add(1) != self.count {
            return Some(Cluster::Inside { back: u64::from(low), on, blocks: None });
        }
        // The last of a pack tells the distance on; the one before tells how far back it is.
        let back = match number.checked_sub(1).map(|before| self.entry(before)) {
            Some((low, None)) if low & HAS_BLOCKS != 0 => 1,
            Some((low, None)) => u64::from(low),
            _ => 0,
        };
        Some(Cluster::Inside { back: back.saturating_add(1), on, blocks: None })
    }

    fn distance_on(&self, number: usize) -> u64 {
        let mut on = 0_u64;
        let mut last = 0;
        for next in number..self.count {
            let (low, head) = self.entry(next);
            if head.is_some() {
                return on;
            }
            on = on.saturating_add(1);
            last = low;
        }
        if last & HAS_BLOCKS == 0 {
            on = on.saturating_add(u64::from(last)).saturating_sub(1);
        }
        on
    }

    /// Pieces of one block each: one for every head in the pack before this one, and the first.
    fn heads_before(&self, number: usize) -> u64 {
        let mut blocks = 1_u64;
        let mut at = number;
        while at > 0 {
            at = at.saturating_sub(1);
            let (low, head) = self.entry(at);
            let skipped =
                if head.is_none() { usize::try_from(low).unwrap_or(usize::MAX) } else { 0 };
            match at.checked_sub(skipped) {
                Some(earlier) => {
                    at = earlier;
                    blocks = blocks.saturating_add(1);
                }
                None => break,
            }
        }
        blocks
    }

    /// Pieces of several blocks: each tells its count in the cluster behind its head.
    fn blocks_before(&self, number: usize) -> Option<u64> {
        let mut blocks = 0_u64;
        let mut at = number;
        while at > 0 {
            at = at.saturating_sub(1);
            let (low, head) = self.entry(at);
            if head.is_some() {
                blocks = blocks.saturating_add(1);
            } else if low & HAS_BLOCKS != 0 {
                at = at.saturating_sub(1);
                blocks = blocks.saturating_add(u64::from(low & !HAS_BLOCKS));
            } else if low <= 1 {
                return None;
            } else {
                at =
                    at.saturating_sub(usize::try_from(low).unwrap_or(usize::MAX).saturating_sub(2));
            }
        }
        Some(blocks)
    }
}
