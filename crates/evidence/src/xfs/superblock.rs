//! The XFS superblock: geometry, features, and where blocks and inodes stand.
//!
//! Every number that later becomes a shift, a divisor or a length is checked here once (XFS Algorithms & Data
//! Structures, "Superblocks"), so that the other modules may rely on it.

use super::{check, secondary};
use crate::bytes::{Fields, padded_text, to_u64, to_usize, uuid_text};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;

/// Largest sector XFS knows, so one read gets the whole superblock.
const MAX_SECTOR_BYTES: usize = 32_768;

/// Set in the version word: names are compared without regard to ASCII case.
const VERSION_FOLDED: u16 = 0x4000;
const VERSION_DIR2: u16 = 0x2000;
const VERSION_MORE: u16 = 0x8000;
const FEATURES2_FILE_TYPES: u32 = 0x200;
const INCOMPAT_FILE_TYPES: u32 = 0x1;
const INCOMPAT_SPARSE_INODES: u32 = 0x2;
const INCOMPAT_META_UUID: u32 = 0x4;
const INCOMPAT_NEEDS_REPAIR: u32 = 0x10;
/// file types, sparse inodes, metadata UUID, big times, needs repair, 64-bit extent counts, exchanged ranges, parent
/// pointers, metadata directory; of the rest, zoned devices change where content is.
const INCOMPAT_KNOWN: u32 = 0x1ff;

pub(super) struct Superblock {
    pub(super) block_bytes: u64,
    pub(super) blocks: u64,
    pub(super) ag_blocks: u64,
    pub(super) ag_count: u64,
    pub(super) sector_bytes: u64,
    pub(super) inode_bytes: usize,
    pub(super) dir_block_bytes: usize,
    pub(super) root: u64,
    /// First block of the log; 0 when the log is on another device.
    pub(super) log_start: u64,
    pub(super) log_blocks: u64,
    pub(super) realtime_blocks: u64,
    pub(super) is_v5: bool,
    pub(super) has_file_types: bool,
    pub(super) folds_case: bool,
    pub(super) has_sparse_inodes: bool,
    /// The UUID that metadata blocks carry, which a changed label UUID leaves as it was.
    pub(super) metadata_uuid: [u8; 16],
    /// The UUID that the log carries and users see.
    pub(super) uuid: [u8; 16],
    pub(super) label: Option<String>,
    ag_block_log: u32,
    inodes_per_block_log: u32,
}

impl Superblock {
    /// Reads the first superblock or, where that makes no sense, a copy, and what is worth saying about it.
    pub(super) fn read(source: &dyn Source) -> Result<(Self, Vec<Problem>), EvidenceError> {
        let first = source
            .bytes_at(0, MAX_SECTOR_BYTES)
            .map_err(EvidenceError::read("the XFS superblock"))
            .and_then(|raw| Ok((Self::parse(&raw)?, raw)));
        let mut problems = Vec::new();
        let mut tell = |kind, text| {
            problems.push(Problem::new(kind, Place::OffsetBytes(0), text));
        };
        let (superblock, raw) = match first {
            Ok((superblock, raw)) => {
                let sector = raw.get(..to_usize(superblock.sector_bytes)).unwrap_or(&raw);
                if superblock.is_v5
                    && let Some(text) = check::mismatch(sector, check::SUPERBLOCK, "superblock")
                {
                    tell(ProblemKind::Corrupt, text);
                }
                (superblock, raw)
            }
            Err(error) => {
                let Some((copy, mut raw, at)) = secondary::find(source) else {
                    return Err(error);
                };
                tell(error.kind(), secondary::sentence(&error, at, &raw));
                // mkfs leaves its own mark in copies.
                raw.get_mut(126).into_iter().for_each(|mark| *mark = 0);
                (copy, raw)
            }
        };
        let f = Fields(&raw);
        let claimed = superblock.blocks.saturating_mul(superblock.block_bytes);
        if claimed > source.size_bytes() {
            let text = format!(
                "the file system has {claimed} bytes, its source only {}",
                source.size_bytes()
            );
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        if f.u8(126) != 0 {
            let text = "mkfs did not finish";
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        if superblock.is_v5 && f.be32(216) & INCOMPAT_NEEDS_REPAIR != 0 {
            let text = "marked as needing repair";
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        if superblock.realtime_blocks != 0 {
            let text = format!(
                "a realtime device of {} blocks belongs to it; content there is not read",
                superblock.realtime_blocks
            );
            problems.push(Problem::new(ProblemKind::Unsupported, Place::Source, text));
        }
        Ok((superblock, problems))
    }

    pub(super) fn parse(raw: &[u8]) -> Result<Self, EvidenceError> {
        let f = Fields(raw);
        if !f.has(0, b"XFSB") {
            return Err(EvidenceError::corrupt(format!(
                "XFS magic number is {:08x}, expected 58465342",
                f.be32(0)
            )));
        }
        let version = f.be16(100);
        let is_v5 = match version & 0xf {
            4 => false,
            5 => true,
            other => return Err(EvidenceError::unsupported(format!("XFS version {other}"))),
        };
        if !is_v5 && version & VERSION_DIR2 == 0 {
            return Err(EvidenceError::unsupported("XFS with directories of version 1"));
        }
        let incompat = if is_v5 { f.be32(216) } else { 0 };
        if incompat & !INCOMPAT_KNOWN != 0 {
            let unknown = incompat & !INCOMPAT_KNOWN;
            return Err(EvidenceError::unsupported(format!("the XFS feature {unknown:#x}")));
        }
        let features2 = if version & VERSION_MORE == 0 { 0 } else { f.be32(200) };
        let uuid = f.array(32);
        let out = Self {
            block_bytes: u64::from(f.be32(4)),
            blocks: f.be64(8),
            ag_blocks: u64::from(f.be32(84)),
            ag_count: u64::from(f.be32(88)),
            sector_bytes: u64::from(f.be16(102)),
            inode_bytes: usize::from(f.be16(104)),
            dir_block_bytes: to_usize(
                u64::from(f.be32(4)).checked_shl(u32::from(f.u8(192))).unwrap_or(0),
            ),
            root: f.be64(56),
            log_start: f.be64(48),
            log_blocks: u64::from(f.be32(96)),
            realtime_blocks: f.be64(16),
            is_v5,
            has_file_types: if is_v5 {
                incompat & INCOMPAT_FILE_TYPES != 0
            } else {
                features2 & FEATURES2_FILE_TYPES != 0
            },
            has_sparse_inodes: incompat & INCOMPAT_SPARSE_INODES != 0,
            folds_case: version & VERSION_FOLDED != 0,
            metadata_uuid: if incompat & INCOMPAT_META_UUID == 0 { uuid } else { f.array(248) },
            uuid,
            label: padded_text(f.slice(108, 12)),
            ag_block_log: u32::from(f.u8(124)),
            inodes_per_block_log: u32::from(f.u8(123)),
        };
        out.check()?;
        Ok(out)
    }

    fn check(&self) -> Result<(), EvidenceError> {
        let inodes = u64::from(1_u32.checked_shl(self.inodes_per_block_log).unwrap_or(0));
        let sane = self.block_bytes.is_power_of_two()
            && (512..=65_536).contains(&self.block_bytes)
            && self.sector_bytes.is_power_of_two()
            && (512..=32_768).contains(&self.sector_bytes)
            && self.inode_bytes.is_power_of_two()
            && (256..=2048).contains(&self.inode_bytes)
            && inodes.saturating_mul(to_u64(self.inode_bytes)) == self.block_bytes
            && (1..=65_536).contains(&self.dir_block_bytes)
            && self.ag_block_log <= 31
            && self.ag_blocks > 0
            && self.ag_blocks <= 1_u64 << self.ag_block_log
            && self.ag_count > 0
            && self.blocks <= self.ag_blocks.saturating_mul(self.ag_count)
            && self.blocks > self.ag_blocks.saturating_mul(self.ag_count.saturating_sub(1));
        if sane {
            return Ok(());
        }
        Err(EvidenceError::corrupt(format!(
            "XFS superblock claims blocks of {} bytes, sectors of {}, inodes of {} (2^{} in a block), {} groups of {} blocks (2^{}) for {} blocks",
            self.block_bytes,
            self.sector_bytes,
            self.inode_bytes,
            self.inodes_per_block_log,
            self.ag_count,
            self.ag_blocks,
            self.ag_block_log,
            self.blocks
        )))
    }

    /// The UUID as text.
    pub(super) fn uuid_text(&self) -> Option<String> {
        uuid_text(&self.uuid)
    }

    /// Byte offset of `count` blocks from `block`, whose number carries the group in its upper bits.
    pub(super) fn block_offset(&self, block: u64, count: u64) -> Result<u64, EvidenceError> {
        let ag = block >> self.ag_block_log;
        let within = block & ((1_u64 << self.ag_block_log).saturating_sub(1));
        self.ag_offset(ag, within, count)
    }

    /// Byte offset of `count` blocks from `within` of a group.
    pub(super) fn ag_offset(&self, ag: u64, within: u64, count: u64) -> Result<u64, EvidenceError> {
        let first = ag.saturating_mul(self.ag_blocks).saturating_add(within);
        if ag < self.ag_count
            && within.saturating_add(count) <= self.ag_blocks
            && first.saturating_add(count) <= self.blocks
        {
            return Ok(first.saturating_mul(self.block_bytes));
        }
        Err(EvidenceError::corrupt(format!(
            "{count} blocks from {within} of group {ag} lie beyond {} groups of {} blocks",
            self.ag_count, self.ag_blocks
        )))
    }

    /// Byte offset of an inode, whose number is its place.
    pub(super) fn inode_offset(&self, node: u64) -> Result<u64, EvidenceError> {
        let block = node >> self.inodes_per_block_log;
        let index = node & (1_u64 << self.inodes_per_block_log).saturating_sub(1);
        let offset = self
            .block_offset(block, 1)
            .map_err(|_| EvidenceError::corrupt(format!("there is no place for inode {node}")))?;
        Ok(offset.saturating_add(index.saturating_mul(to_u64(self.inode_bytes))))
    }

    /// The inode number of the `index`th inode of a group.
    pub(super) fn node(&self, ag: u64, index: u64) -> u64 {
        ag.checked_shl(self.ag_block_log.saturating_add(self.inodes_per_block_log)).unwrap_or(0)
            | index
    }

    /// The number of the first inode in a block of a group.
    pub(super) fn node_at(&self, ag: u64, block: u64) -> u64 {
        self.node(ag, block << self.inodes_per_block_log)
    }

    /// The highest inode number there can be.
    pub(super) fn last_node(&self) -> u64 {
        let last_block = 1_u64.checked_shl(self.ag_block_log).unwrap_or(u64::MAX);
        let index = last_block << self.inodes_per_block_log;
        self.node(self.ag_count.saturating_sub(1), index.saturating_sub(1))
    }
}
