//! From a place in a fork to blocks: extent lists in the inode, and B+trees of them.
//!
//! A hostile tree may lead to itself or claim anything: levels fall by one at every step, no tree block is entered
//! twice, and the number of runs kept has a bound (XFS Algorithms & Data Structures, "Data Extents").

use super::inode::{Fork, Format, Inode};
use super::{Xfs, check};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use std::collections::HashSet;

/// Runs kept for one fork: 96 MiB of them, which is a file in four million pieces.
const MAX_RUNS: usize = 1 << 22;
/// Deeper than the format allows.
const MAX_LEVEL: u16 = 12;
/// Mismatches kept for one fork.
const MAX_DOUBTS: usize = 16;
const RECORD_BYTES: usize = 16;

/// A run of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// First block within the fork.
    pub(super) logical: u64,
    /// First block, its group in the upper bits; a plain count on the realtime device.
    pub(super) block: u64,
    /// Number of blocks, at most 2^21 - 1.
    pub(super) blocks: u32,
    /// Allocated but never written: reads as zeros.
    pub(super) is_unwritten: bool,
}

impl Run {
    /// One extent record: 1 bit state, 54 bits logical block, 52 bits block, 21 bits count.
    fn parse(raw: &[u8]) -> Self {
        let (high, low) = (Fields(raw).be64(0), Fields(raw).be64(8));
        Self {
            logical: high >> 9 & 0x3f_ffff_ffff_ffff,
            block: (high & 0x1ff) << 43 | low >> 21,
            blocks: u32::try_from(low & 0x1f_ffff).unwrap_or(0),
            is_unwritten: high >> 63 == 1,
        }
    }

    /// The first block behind it, within the fork.
    pub(super) fn end(&self) -> u64 {
        self.logical.saturating_add(u64::from(self.blocks))
    }
}

/// The runs of a fork in order; what no run covers is a hole.
pub(super) struct Map {
    pub(super) runs: Vec<Run>,
    /// Checksums of tree blocks that do not match.
    pub(super) doubts: Vec<String>,
}

impl Map {
    /// The run that covers a block of the fork, or else the first one behind it.
    pub(super) fn at(&self, logical: u64) -> Option<&Run> {
        self.runs.get(self.runs.partition_point(|run| run.end() <= logical))
    }
}

/// The extents that still stand in a freed inode, as far as they make sense together; their count is gone.
pub(super) fn left_over(xfs: &Xfs, inode: &Inode) -> Map {
    let mut runs: Vec<Run> = Vec::new();
    for run in inode.fork(Fork::Data).chunks_exact(RECORD_BYTES).map(Run::parse) {
        let follows = runs.last().is_none_or(|last| last.end() <= run.logical);
        let is_inside = xfs.superblock.block_offset(run.block, u64::from(run.blocks)).is_ok();
        if run.blocks == 0 || run.block == 0 || !follows || !is_inside {
            break;
        }
        runs.push(run);
    }
    Map { runs, doubts: Vec::new() }
}

pub(super) fn map(xfs: &Xfs, inode: &Inode, fork: Fork) -> Result<Map, EvidenceError> {
    let area = inode.fork(fork);
    let (mut runs, mut doubts) = (Vec::new(), Vec::new());
    match inode.format(fork) {
        Format::Extents => {
            let count = inode.extent_count(fork);
            if count > to_u64(area.len() / RECORD_BYTES) {
                return Err(EvidenceError::corrupt(format!(
                    "inode {} has {count} extents in an area of {} bytes",
                    inode.node,
                    area.len()
                )));
            }
            runs.extend(area.chunks_exact(RECORD_BYTES).take(to_usize(count)).map(Run::parse));
        }
        Format::Btree => {
            let mut tree = Tree { xfs, node: inode.node, runs, doubts, entered: HashSet::new() };
            let f = Fields(area);
            let most = area.len().saturating_sub(4) / RECORD_BYTES;
            tree.children(area, 4, most, f.be16(0), f.be16(2))?;
            (runs, doubts) = (tree.runs, tree.doubts);
        }
        Format::Local | Format::Device => {}
        Format::Other(format) => {
            return Err(EvidenceError::unsupported(format!(
                "format {format} of the {fork:?} area of inode {}",
                inode.node
            )));
        }
    }
    runs.retain(|run| run.blocks != 0);
    runs.sort_by_key(|run| run.logical);
    if let Some(pair) = runs.array_windows::<2>().find(|[a, b]| a.end() > b.logical) {
        return Err(EvidenceError::corrupt(format!(
            "extents of inode {} overlap: {pair:?}",
            inode.node
        )));
    }
    Ok(Map { runs, doubts })
}

struct Tree<'a> {
    xfs: &'a Xfs,
    node: u64,
    runs: Vec<Run>,
    doubts: Vec<String>,
    entered: HashSet<u64>,
}

impl Tree<'_> {
    /// Follows the pointers of an inner node, which stand behind room for `most` keys of eight bytes each.
    fn children(
        &mut self,
        raw: &[u8],
        header: usize,
        most: usize,
        level: u16,
        count: u16,
    ) -> Result<(), EvidenceError> {
        if level == 0 || level > MAX_LEVEL || usize::from(count) > most {
            return Err(EvidenceError::corrupt(format!(
                "extent tree of inode {} has a node of level {level} with {count} records of at most {most}",
                self.node
            )));
        }
        let first = header.saturating_add(most.saturating_mul(8));
        for pointer in raw.get(first..).unwrap_or(&[]).chunks_exact(8).take(usize::from(count)) {
            self.block(Fields(pointer).be64(0), level.saturating_sub(1))?;
        }
        Ok(())
    }

    fn block(&mut self, number: u64, level: u16) -> Result<(), EvidenceError> {
        if !self.entered.insert(number) {
            return Err(EvidenceError::corrupt(format!(
                "extent tree of inode {} enters block {number} twice",
                self.node
            )));
        }
        let raw = self.xfs.block(number)?;
        let f = Fields(&raw);
        let header = match f.be32(0) {
            0x424d_4150 => 24,
            0x424d_4133 => 72,
            magic => {
                return Err(EvidenceError::corrupt(format!(
                    "block {number} in the extent tree of inode {} has magic number {magic:08x}",
                    self.node
                )));
            }
        };
        if header == 72 && self.doubts.len() < MAX_DOUBTS {
            self.doubts.extend(self.xfs.block_doubt(number, &raw, check::LONG_BTREE));
        }
        let (found, count) = (f.be16(4), f.be16(6));
        let most = raw.len().saturating_sub(header) / RECORD_BYTES;
        if found != level || usize::from(count) > most {
            return Err(EvidenceError::corrupt(format!(
                "block {number} in the extent tree of inode {} has level {found}, expected {level}, and {count} records",
                self.node
            )));
        }
        if level > 0 {
            return self.children(&raw, header, most, level, count);
        }
        if self.runs.len().saturating_add(usize::from(count)) > MAX_RUNS {
            return Err(EvidenceError::refused(format!(
                "inode {} has more than {MAX_RUNS} extents",
                self.node
            )));
        }
        let records = raw.get(header..).unwrap_or(&[]);
        self.runs
            .extend(records.chunks_exact(RECORD_BYTES).take(usize::from(count)).map(Run::parse));
        Ok(())
    }
}
