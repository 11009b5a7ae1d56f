//! The journal (jbd2), read to overlay what a clean mount would have written. Its fields are big endian.
//!
//! One pass collects committed transactions in order; a transaction counts only when its commit block is there with a
//! matching checksum. A revoke record removes older copies of its block. The last copy of each block wins.

use super::Ext;
use super::blocks::Map;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::crc::crc32c;
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::HashMap;

/// First word of every journal block that is not data.
pub(super) const MAGIC: u32 = 0xc03b_3998;

const FEATURE_64BIT: u32 = 0x2;
const FEATURE_CSUM_V2: u32 = 0x8;
const FEATURE_CSUM_V3: u32 = 0x10;
const FEATURE_FAST_COMMIT: u32 = 0x20;

/// Where the newest copy of a block is.
#[derive(Clone, Copy)]
pub(super) struct Copy {
    pub(super) offset_bytes: u64,
    pub(super) is_escaped: bool,
}

type Overlay = HashMap<u64, Copy>;

/// Loads the overlay; a journal that cannot be used leaves it empty and says why.
pub(super) fn load(ext: &Ext) -> (Overlay, Vec<Problem>) {
    let node = match ext.superblock.journal {
        None => return (Overlay::new(), Vec::new()),
        Some(Err(why)) => {
            let text = format!("needs recovery, but {why}; files are shown without it");
            return (
                Overlay::new(),
                vec![Problem::new(ProblemKind::Unsupported, Place::Source, text)],
            );
        }
        Some(Ok(node)) => u64::from(node),
    };
    match Reader::open(ext, node).and_then(Reader::run) {
        Ok(found) => found,
        Err(error) => {
            let mut problem = error.to_problem(Place::Node(node));
            problem.text.push_str("; the journal was not used and files are shown without it");
            (Overlay::new(), vec![problem])
        }
    }
}

struct Reader<'a> {
    ext: &'a Ext,
    node: u64,
    map: std::sync::Arc<Map>,
    first: u64,
    end: u64,
    start: u64,
    sequence: u32,
    features: u32,
    seed: u32,
    problems: Vec<Problem>,
}

/// What one transaction does: blocks to their copies, and blocks whose older copies are void.
#[derive(Default)]
struct Transaction {
    copies: Vec<(u64, Copy)>,
    revoked: Vec<u64>,
}

impl<'a> Reader<'a> {
    fn open(ext: &'a Ext, node: u64) -> Result<Self, EvidenceError> {
        let inode = ext.inode(node)?;
        let map = ext.map(&inode)?;
        let mut reader = Self {
            ext,
            node,
            map,
            first: 0,
            end: inode.size_bytes.checked_div(ext.superblock.block_bytes).unwrap_or(0),
            start: 0,
            sequence: 0,
            features: 0,
            seed: 0,
            problems: Vec::new(),
        };
        let raw = reader.block(0)?.1;
        let sb = Fields(&raw);
        let kind = sb.be32(4);
        if sb.be32(0) != MAGIC
            || !matches!(kind, 3 | 4)
            || u64::from(sb.be32(12)) != ext.superblock.block_bytes
        {
            return Err(EvidenceError::corrupt(format!(
                "journal superblock of type {kind} and magic {:08x}",
                sb.be32(0)
            )));
        }
        // Version 1 of the superblock ends before the feature words.
        reader.features = if kind == 4 { sb.be32(40) } else { 0 };
        let unknown = reader.features & !0x3f;
        if unknown != 0 {
            return Err(EvidenceError::unsupported(format!(
                "the unknown journal feature {unknown:#x}"
            )));
        }
        reader.seed = crc32c(u32::MAX, sb.slice(48, 16));
        reader.first = u64::from(sb.be32(20)).max(1);
        reader.end = reader.end.min(u64::from(sb.be32(16)));
        reader.sequence = sb.be32(24);
        reader.start = u64::from(sb.be32(28));
        if reader.features & FEATURE_FAST_COMMIT != 0 {
            // The tail of the journal is a separate area for fast commits.
            let reserved = match sb.be32(0x54) {
                0 => 256,
                blocks => u64::from(blocks),
            };
            reader.end = reader.end.saturating_sub(reserved);
            if Fields(&reader.block(reader.end).map(|block| block.1).unwrap_or_default()).le16(0)
                == 9
            {
                let text = "the journal has fast commits, which are not overlaid: the newest changes may be missing";
                reader.problems.push(Problem::new(
                    ProblemKind::Unsupported,
                    Place::Node(node),
                    text,
                ));
            }
        }
        Ok(reader)
    }

    /// Byte offset and content of a block of the journal.
    fn block(&self, number: u64) -> Result<(u64, Vec<u8>), EvidenceError> {
        let offset = self.offset(number)?;
        let length = to_usize(self.ext.superblock.block_bytes);
        let raw = self
            .ext
            .source
            .bytes_at(offset, length)
            .map_err(EvidenceError::read(format!("journal block {number}")))?;
        Ok((offset, raw))
    }

    fn offset(&self, number: u64) -> Result<u64, EvidenceError> {
        let index = self
            .map
            .extents
            .partition_point(|extent| extent.logical.saturating_add(extent.length) <= number);
        let extent = self.map.extents.get(index).filter(|extent| extent.logical <= number);
        let physical = extent.and_then(|extent| {
            Some(extent.physical?.saturating_add(number.saturating_sub(extent.logical)))
        });
        physical
            .map(|block| block.saturating_mul(self.ext.superblock.block_bytes))
            .ok_or_else(|| EvidenceError::corrupt(format!("journal has no block {number}")))
    }

    fn next(&self, number: u64) -> u64 {
        let next = number.saturating_add(1);
        if next >= self.end { self.first } else { next }
    }

    /// Walks the log once around at most.
    fn run(mut self) -> Result<(Overlay, Vec<Problem>), EvidenceError> {
        let mut overlay = Overlay::new();
        if self.start == 0 {
            return Ok((overlay, self.problems));
        }
        // A revoke holds for its own and all earlier transactions, so each block's last revoke is needed before any copy counts.
        let mut done: Vec<(u32, Transaction)> = Vec::new();
        let mut current = Transaction::default();
        let (mut at, mut sequence, mut walked) = (self.start, self.sequence, 0_u64);
        let length = self.end.saturating_sub(self.first);
        while walked < length {
            let (_, raw) = self.block(at)?;
            let header = Fields(&raw);
            if header.be32(0) != MAGIC || header.be32(8) != sequence {
                break;
            }
            let mut step = 1_u64;
            match header.be32(4) {
                1 if self.has_good_tail(&raw) => {
                    let mut data = self.next(at);
                    let tags = self.tags(&raw);
                    step = step.saturating_add(to_u64(tags.len()));
                    for (block, is_escaped) in tags {
                        let offset_bytes = self.offset(data)?;
                        current.copies.push((block, Copy { offset_bytes, is_escaped }));
                        data = self.next(data);
                    }
                }
                2 if self.is_good_commit(&raw) => {
                    done.push((sequence, std::mem::take(&mut current)));
                    sequence = sequence.wrapping_add(1);
                }
                5 if self.has_good_tail(&raw) => current.revoked.extend(self.revoked(&raw)),
                kind => {
                    let text = format!(
                        "journal block {at} of type {kind} is damaged; the log was used up to it"
                    );
                    self.problems.push(Problem::new(
                        ProblemKind::Corrupt,
                        Place::Node(self.node),
                        text,
                    ));
                    break;
                }
            }
            for _ in 0..step {
                at = self.next(at);
            }
            walked = walked.saturating_add(step);
        }
        let mut revoked: HashMap<u64, usize> = HashMap::new();
        for (order, (_, transaction)) in done.iter().enumerate() {
            revoked.extend(transaction.revoked.iter().map(|block| (*block, order)));
        }
        for (order, (_, transaction)) in done.iter().enumerate() {
            for (block, copy) in &transaction.copies {
                if revoked.get(block).is_none_or(|last| *last < order) {
                    overlay.insert(*block, *copy);
                }
            }
        }
        Ok((overlay, self.problems))
    }

    fn has_checksums(&self) -> bool {
        self.features & (FEATURE_CSUM_V2 | FEATURE_CSUM_V3) != 0
    }

    /// Descriptor and revoke blocks end in a checksum of the whole block with that field zero.
    fn has_good_tail(&self, raw: &[u8]) -> bool {
        if !self.has_checksums() {
            return true;
        }
        let at = raw.len().saturating_sub(4);
        let sum = crc32c(crc32c(self.seed, raw.get(..at).unwrap_or(&[])), &[0; 4]);
        sum == Fields(raw).be32(at)
    }

    fn is_good_commit(&self, raw: &[u8]) -> bool {
        if !self.has_checksums() {
            return true;
        }
        let before = crc32c(self.seed, raw.get(..16).unwrap_or(&[]));
        let sum = crc32c(crc32c(before, &[0; 4]), raw.get(20..).unwrap_or(&[]));
        sum == Fields(raw).be32(16)
    }

    /// The blocks a descriptor lists, with their "escaped" marks.
    fn tags(&self, raw: &[u8]) -> Vec<(u64, bool)> {
        let fields = Fields(raw);
        let wide = self.features & FEATURE_64BIT != 0;
        let v3 = self.features & FEATURE_CSUM_V3 != 0;
        let tag_bytes: usize = match (v3, wide) {
            (true, _) => 16,
            (false, true) => 12,
            (false, false) => 8,
        };
        let end = raw.len().saturating_sub(if self.has_checksums() { 4 } else { 0 });
        let mut out = Vec::new();
        let mut at = 12_usize;
        while at.saturating_add(tag_bytes) <= end {
            let flags = if v3 {
                fields.be32(at.saturating_add(4))
            } else {
                u32::from(fields.be16(at.saturating_add(6)))
            };
            let high = if wide { u64::from(fields.be32(at.saturating_add(8))) << 32 } else { 0 };
            out.push((high | u64::from(fields.be32(at)), flags & 1 != 0));
            at = at.saturating_add(tag_bytes);
            if flags & 2 == 0 {
                at = at.saturating_add(16);
            }
            if flags & 8 != 0 {
                break;
            }
        }
        out
    }

    fn revoked(&self, raw: &[u8]) -> Vec<u64> {
        let used = to_usize(u64::from(Fields(raw).be32(12))).min(raw.len());
        let body = raw.get(16..used).unwrap_or(&[]);
        if self.features & FEATURE_64BIT != 0 {
            body.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect()
        } else {
            body.as_chunks::<4>()
                .0
                .iter()
                .map(|entry| u64::from(u32::from_be_bytes(*entry)))
                .collect()
        }
    }
}
