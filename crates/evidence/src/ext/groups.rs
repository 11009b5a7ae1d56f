//! Block groups: where inode tables and bitmaps are, and what the bitmaps say.
//!
//! All descriptors are read once, because every look at an inode needs one; their number is bounded by the groups that
//! the source can really hold.

use super::superblock::Superblock;
use super::{Ext, backup, checksum};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::Node;
use crate::problem::{Place, Problem, ProblemKind};
use std::ops::Range;

/// Most groups read: 256 TiB in groups of the usual 128 MiB.
const MAX_GROUPS: u64 = 1 << 21;
/// Problems told one by one; beyond that their number says enough.
const MAX_TOLD: usize = 32;
/// The inode bitmap was never written: all inodes are free.
const INODES_UNINIT: u16 = 0x1;
/// The block bitmap was never written: only the group's own metadata is in use.
pub(super) const BLOCKS_UNINIT: u16 = 0x2;

/// What one descriptor says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    pub(super) flags: u16,
    /// Inodes at the end of the table that were never used.
    unused_inodes: u32,
}

/// Reads all descriptors; a block of them that cannot be read leaves its groups out.
pub(super) fn load(ext: &Ext) -> (Vec<Option<Group>>, Vec<Problem>) {
    let sb = &ext.superblock;
    let count = count(ext);
    let per_block = sb.descriptors_per_block();
    let (mut groups, mut problems) = (Vec::new(), Vec::new());
    let (mut wrong, mut copied) = (0_usize, 0_usize);
    let mut raw = vec![0; to_usize(sb.block_bytes)];
    for meta in 0..count.div_ceil(per_block) {
        let here = count.saturating_sub(meta.saturating_mul(per_block)).min(per_block);
        if let Err(error) = ext.fill_block(sb.descriptor_block(meta), &mut raw) {
            let first = to_u64(groups.len());
            groups.extend((first..first.saturating_add(here)).map(|n| backup::descriptor(ext, n)));
            if problems.len() < MAX_TOLD {
                let mut problem = error.to_problem(Place::Source);
                problem.text.push_str(&format!(
                    "; {here} group descriptors are missing or, where group 1 has them, their copies are used"
                ));
                problems.push(problem);
            }
            continue;
        }
        for part in raw.chunks_exact(to_usize(sb.descriptor_bytes)).take(to_usize(here)) {
            let number = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let own = parse(part);
            let fits = checksum::descriptor_fits(sb, number, part);
            if !fits || !own.is_placed(sb) {
                let copy = backup::descriptor(ext, u64::from(number));
                if let Some(copy) = copy.filter(|copy| !copy.is_as_placed_as(&own)) {
                    copied = copied.saturating_add(1);
                    groups.push(Some(copy));
                    continue;
                }
            }
            if !fits {
                wrong = wrong.saturating_add(1);
                if wrong <= MAX_TOLD {
                    let text = format!("the checksum of group descriptor {number} does not fit");
                    problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
                }
            }
            groups.push(Some(own));
        }
    }
    if wrong > MAX_TOLD {
        let text = format!("the checksums of {wrong} group descriptors do not fit");
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
    }
    if copied > 0 {
        let text = format!(
            "{copied} group descriptors are damaged; their copies behind the superblock of group 1 are used, \
             and all inodes and blocks of these groups looked at by their bitmaps"
        );
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
    }
    (groups, problems)
}

impl Group {
    /// Whether its bitmaps and its table are inside the file system.
    pub(super) fn is_placed(&self, sb: &Superblock) -> bool {
        let places = [self.block_bitmap, self.inode_bitmap, self.inode_table];
        places.iter().all(|place| *place != 0 && *place < sb.blocks)
    }

    /// Whether bitmaps and table stand where another descriptor has them.
    fn is_as_placed_as(&self, other: &Self) -> bool {
        (self.block_bitmap, self.inode_bitmap, self.inode_table)
            == (other.block_bitmap, other.inode_bitmap, other.inode_table)
    }

    /// The descriptor without what changes in use, which copies are not kept up with.
    pub(super) fn places_only(self) -> Self {
        Self { flags: 0, unused_inodes: 0, ..self }
    }
}

/// Groups by the superblock, but no more than the source can hold.
fn count(ext: &Ext) -> u64 {
    let sb = &ext.superblock;
    let held = ext.source.size_bytes().div_ceil(sb.block_bytes.max(1)).min(sb.blocks);
    let blocks = held.saturating_sub(u64::from(sb.first_data_block));
    blocks.div_ceil(u64::from(sb.blocks_per_group).max(1)).min(MAX_GROUPS)
}

pub(super) fn parse(raw: &[u8]) -> Group {
    let f = Fields(raw);
    let wide = raw.len() >= 64;
    let place = |low: usize, high: usize| {
        u64::from(f.le32(low)) | if wide { u64::from(f.le32(high)) << 32 } else { 0 }
    };
    Group {
        block_bitmap: place(0, 0x20),
        inode_bitmap: place(4, 0x24),
        inode_table: place(8, 0x28),
        flags: f.le16(0x12),
        unused_inodes: u32::from(f.le16(0x1c))
            | if wide { u32::from(f.le16(0x32)) << 16 } else { 0 },
    }
}

/// The group of an inode and its place in the group's table.
pub(super) fn place(ext: &Ext, node: Node) -> Result<(usize, u32), EvidenceError> {
    let sb = &ext.superblock;
    let index = u32::try_from(node).ok().filter(|node| *node <= sb.inodes);
    let index = index.and_then(|node| node.checked_sub(1)).ok_or_else(|| {
        EvidenceError::corrupt(format!("there is no inode {node} of {}", sb.inodes))
    })?;
    let group = index.checked_div(sb.inodes_per_group).unwrap_or(0);
    let within = index.checked_rem(sb.inodes_per_group).unwrap_or(0);
    Ok((to_usize(u64::from(group)), within))
}

pub(super) fn group(ext: &Ext, number: usize) -> Result<&Group, EvidenceError> {
    ext.groups.get(number).and_then(Option::as_ref).ok_or_else(|| {
        EvidenceError::corrupt(format!("there is no descriptor of block group {number}"))
    })
}

/// Byte offset of an inode.
pub(super) fn inode_offset(ext: &Ext, node: Node) -> Result<u64, EvidenceError> {
    let (number, within) = place(ext, node)?;
    let table = group(ext, number)?.inode_table;
    if table == 0 || table >= ext.superblock.blocks {
        return Err(EvidenceError::corrupt(format!(
            "inode table of group {number} is said to be at block {table}"
        )));
    }
    Ok(table
        .saturating_mul(ext.superblock.block_bytes)
        .saturating_add(u64::from(within).saturating_mul(ext.superblock.inode_bytes)))
}

/// Inodes of a group that were ever used, and its inode bitmap; an empty bitmap where it was never written.
pub(super) fn inode_bitmap(
    ext: &Ext,
    number: usize,
) -> Result<(Range<u64>, Vec<u8>), EvidenceError> {
    let sb = &ext.superblock;
    let group = group(ext, number)?;
    let has_flags = sb.has_metadata_checksums || sb.has_descriptor_checksums;
    let per_group = u64::from(sb.inodes_per_group);
    let first = to_u64(number).saturating_mul(per_group).saturating_add(1);
    if has_flags && group.flags & INODES_UNINIT != 0 {
        return Ok((first..first, Vec::new()));
    }
    let unused = if has_flags { u64::from(group.unused_inodes).min(per_group) } else { 0 };
    let used = per_group.saturating_sub(unused);
    let end = first.saturating_add(used).min(u64::from(sb.inodes).saturating_add(1));
    Ok((first..end, ext.block(group.inode_bitmap)?))
}

/// Whether the bitmap counts an inode as in use.
pub(super) fn is_allocated(ext: &Ext, node: Node) -> Result<bool, EvidenceError> {
    let (number, within) = place(ext, node)?;
    let (_, bitmap) = inode_bitmap(ext, number)?;
    Ok(bit(&bitmap, u64::from(within)))
}

/// One bit of a bitmap; what lies beyond its end is not set.
pub(super) fn bit(bitmap: &[u8], index: u64) -> bool {
    let byte = bitmap.get(to_usize(index / 8)).copied().unwrap_or(0);
    byte >> (index % 8) & 1 == 1
}
