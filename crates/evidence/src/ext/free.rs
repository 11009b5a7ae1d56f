//! Blocks the file system counts as free: its bitmaps, and what a mount would give back or take.

use super::groups::{self, BLOCKS_UNINIT, Group};
use super::{Ext, blocks};
use crate::bytes::{Fields, to_u64};
use crate::error::EvidenceError;
use crate::fs::Node;
use std::ops::Range;

/// Ranges told at most: 64 MiB of them.
const MAX_RANGES: usize = 4 << 20;

/// Free ranges in bytes.
pub(super) fn ranges(ext: &Ext) -> Result<Vec<Range<u64>>, EvidenceError> {
    let mut free = by_bitmaps(ext)?;
    let recovered = &ext.recovered;
    let mut given = Vec::new();
    let cluster = ext.superblock.blocks_per_cluster.max(1);
    for run in &recovered.released {
        // A cluster is given back with its last block; the kept part of a file is in front.
        let end = run.physical.saturating_add(run.length).next_multiple_of(cluster);
        given.push(run.physical.next_multiple_of(cluster)..end);
    }
    for node in &recovered.freed {
        for range in of_inode(ext, *node).unwrap_or_default() {
            let before = range.start.checked_rem(cluster).unwrap_or(0);
            given.push(range.start.saturating_sub(before)..range.end.next_multiple_of(cluster));
        }
    }
    if !given.is_empty() {
        free.append(&mut given);
        free = merged(free);
    }
    let taken = recovered.maps.iter().filter(|(node, _)| !recovered.freed.contains(node));
    let taken: Vec<Range<u64>> = taken
        .flat_map(|(_, map)| map)
        .map(|run| run.physical..run.physical.saturating_add(run.length))
        .collect();
    if !taken.is_empty() {
        free = without(&free, &merged(taken));
    }
    let bytes = ext.superblock.block_bytes;
    let in_bytes =
        |range: Range<u64>| range.start.saturating_mul(bytes)..range.end.saturating_mul(bytes);
    Ok(free.into_iter().map(in_bytes).collect())
}

/// Every block that would be free without this inode.
fn of_inode(ext: &Ext, node: Node) -> Result<Vec<Range<u64>>, EvidenceError> {
    let inode = ext.inode(node)?;
    let mut out = Vec::new();
    if inode.has_blocks() {
        let found = blocks::allocation(ext, &inode, 0..blocks::END)?;
        out.extend(
            found.runs.iter().map(|run| run.physical..run.physical.saturating_add(run.length)),
        );
        out.extend(found.tree_blocks.iter().map(|block| *block..block.saturating_add(1)));
    }
    let block = inode.attribute_block;
    // Several inodes may share a block of attributes.
    if block != 0 && Fields(&ext.block(block)?).le32(4) <= 1 {
        out.push(block..block.saturating_add(1));
    }
    Ok(out)
}

fn by_bitmaps(ext: &Ext) -> Result<Vec<Range<u64>>, EvidenceError> {
    let sb = &ext.superblock;
    let mut out: Vec<Range<u64>> = Vec::new();
    let per_cluster = sb.blocks_per_cluster.max(1);
    let per_group = u64::from(sb.blocks_per_group);
    let has_flags = sb.has_metadata_checksums || sb.has_descriptor_checksums;
    for number in 0..ext.groups.len() {
        let group = groups::group(ext, number)?;
        let start =
            to_u64(number).saturating_mul(per_group).saturating_add(u64::from(sb.first_data_block));
        let end = start.saturating_add(per_group).min(sb.blocks);
        if has_flags && group.flags & BLOCKS_UNINIT != 0 {
            let used = merged(own_blocks(ext, number, group));
            out.extend(without(std::slice::from_ref(&(start..end)), &used));
        } else {
            let bitmap = ext.block(group.block_bitmap)?;
            free_bits(&bitmap, start..end, per_cluster, &mut out)?;
        }
    }
    Ok(merged(out))
}

/// The runs of clear bits, each bit standing for a cluster of blocks.
fn free_bits(
    bitmap: &[u8],
    group: Range<u64>,
    per_cluster: u64,
    out: &mut Vec<Range<u64>>,
) -> Result<(), EvidenceError> {
    let mut at = group.start;
    let mut index = 0_u64;
    let mut open: Option<u64> = None;
    while at < group.end {
        let is_used = groups::bit(bitmap, index);
        match (is_used, open) {
            (false, None) => open = Some(at),
            (true, Some(first)) => {
                out.push(first..at);
                open = None;
            }
            _ => {}
        }
        at = at.saturating_add(per_cluster);
        index = index.saturating_add(1);
        if index >= to_u64(bitmap.len()).saturating_mul(8) {
            break;
        }
    }
    out.extend(open.map(|first| first..at.min(group.end)));
    if out.len() > MAX_RANGES {
        return Err(EvidenceError::refused(format!("more than {MAX_RANGES} free ranges")));
    }
    Ok(())
}

/// What a group without a written bitmap has in use: copies of superblock and descriptors, bitmaps and inode table.
fn own_blocks(ext: &Ext, number: usize, group: &Group) -> Vec<Range<u64>> {
    let sb = &ext.superblock;
    let table_bytes = u64::from(sb.inodes_per_group).saturating_mul(sb.inode_bytes);
    let table_blocks = table_bytes.div_ceil(sb.block_bytes.max(1));
    let mut out = vec![
        group.block_bitmap..group.block_bitmap.saturating_add(1),
        group.inode_bitmap..group.inode_bitmap.saturating_add(1),
        group.inode_table..group.inode_table.saturating_add(table_blocks),
    ];
    let start = to_u64(number)
        .saturating_mul(u64::from(sb.blocks_per_group))
        .saturating_add(u64::from(sb.first_data_block));
    let base = sb.base_blocks(to_u64(number), to_u64(ext.groups.len()));
    out.push(start..start.saturating_add(base));
    out
}

/// The same ranges sorted and joined.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// What of `ranges` lies in none of `holes`; both sorted and without overlap.
fn without(ranges: &[Range<u64>], holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    for range in ranges {
        let mut start = range.start;
        let first = holes.partition_point(|hole| hole.end <= start);
        for hole in holes.get(first..).unwrap_or(&[]) {
            if hole.start >= range.end {
                break;
            }
            out.push(start..hole.start);
            start = start.max(hole.end);
        }
        out.push(start..range.end);
    }
    out.retain(|range| !range.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_cut_out() {
        let ranges = merged(vec![30..40, 0..10, 8..20]);
        assert_eq!(ranges, [0..20, 30..40]);
        assert_eq!(without(&ranges, &[0..2, 5..6, 15..35, 39..50]), [2..5, 6..15, 35..39]);
    }

    #[test]
    fn clusters_count_as_their_blocks() {
        let mut out = Vec::new();
        free_bits(&[0b1111_0010], 100..114, 2, &mut out).unwrap();
        assert_eq!(out, [100..102, 104..108]);
    }
}
