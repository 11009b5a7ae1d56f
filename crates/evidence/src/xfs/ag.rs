//! Allocation groups: free space, inodes deleted while open, and inodes that were freed.
//!
//! Only these need the B+trees of a group; a file is reached by its inode number alone (XFS Algorithms & Data
//! Structures, "AG Free Space Management" and "AG Inode Management").

use super::{Xfs, check};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use std::collections::HashSet;
use std::ops::Range;

/// Records of one group: eight million free pieces or chunks of inodes.
const MAX_RECORDS: usize = 1 << 23;
const UNLINKED_BUCKETS: usize = 64;
const NO_INODE: u32 = u32::MAX;

/// A chunk of 64 inodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// First inode, counted within the group.
    pub(super) first: u32,
    /// One bit for each inode that is free.
    pub(super) free: u64,
    /// One bit for each inode that has no room on the disk (sparse chunks).
    pub(super) absent: u64,
}

/// Which header of a group.
#[derive(Clone, Copy)]
enum Header {
    Space,
    Inodes,
}

fn header(xfs: &Xfs, ag: u64, which: Header) -> Result<Vec<u8>, EvidenceError> {
    let sector_bytes = xfs.superblock.sector_bytes;
    let (number, magic) = match which {
        Header::Space => (1, b"XAGF"),
        Header::Inodes => (2, b"XAGI"),
    };
    let offset =
        xfs.superblock.ag_offset(ag, 0, 1)?.saturating_add(sector_bytes.saturating_mul(number));
    let raw = xfs.store.bytes(offset, to_usize(sector_bytes))?;
    if Fields(&raw).has(0, magic) {
        return Ok(raw);
    }
    Err(EvidenceError::corrupt(format!(
        "header of group {ag} at {offset} has magic number {:08x}, expected {}",
        Fields(&raw).be32(0),
        crate::escape_bytes(magic)
    )))
}

/// What is wrong with the checksums of a group's headers.
pub(super) fn doubts(xfs: &Xfs, ag: u64) -> Vec<String> {
    let mut out = Vec::new();
    for (which, number, at, name) in
        [(Header::Space, 1, check::AGF, "AGF"), (Header::Inodes, 2, check::AGI, "AGI")]
    {
        match header(xfs, ag, which) {
            Ok(raw) => {
                let start = xfs.superblock.ag_offset(ag, 0, 1).unwrap_or(0);
                let offset =
                    start.saturating_add(xfs.superblock.sector_bytes.saturating_mul(number));
                if xfs.superblock.is_v5 && !xfs.store.is_overlaid(offset, raw.len()) {
                    out.extend(check::mismatch(&raw, at, &format!("{name} of group {ag}")));
                }
            }
            Err(error) => out.push(error.to_string()),
        }
    }
    out
}

/// Free ranges of a group in bytes of the source, in order.
pub(super) fn free(xfs: &Xfs, ag: u64) -> Result<Vec<Range<u64>>, EvidenceError> {
    let raw = header(xfs, ag, Header::Space)?;
    let f = Fields(&raw);
    let mut out = Vec::new();
    let shape = Shape { magics: [b"ABTB", b"AB3B"], key_bytes: 8, record_bytes: 8 };
    walk(xfs, ag, f.be32(16), f.be32(28), &shape, &mut |record| {
        let (first, count) = (u64::from(record.be32(0)), u64::from(record.be32(4)));
        let start = xfs.superblock.ag_offset(ag, first, count)?;
        let length = count.saturating_mul(xfs.superblock.block_bytes);
        out.push(start..start.saturating_add(length));
        Ok(())
    })?;
    Ok(out)
}

/// The chunks of inodes of a group, in order.
pub(super) fn chunks(xfs: &Xfs, ag: u64) -> Result<Vec<Chunk>, EvidenceError> {
    let raw = header(xfs, ag, Header::Inodes)?;
    let f = Fields(&raw);
    let mut out = Vec::new();
    let shape = Shape { magics: [b"IABT", b"IAB3"], key_bytes: 4, record_bytes: 16 };
    walk(xfs, ag, f.be32(20), f.be32(24), &shape, &mut |record| {
        // Each bit of the hole mask stands for four inodes; without sparse inodes a free count stands here.
        let holes = if xfs.superblock.has_sparse_inodes { record.be16(4) } else { 0 };
        let absent = (0..16_u32)
            .filter(|bit| holes >> bit & 1 == 1)
            .fold(0, |absent, bit| absent | 0xf_u64 << bit.saturating_mul(4));
        out.push(Chunk { first: record.be32(0), free: record.be64(8), absent });
        Ok(())
    })?;
    Ok(out)
}

/// Inodes of a group that have no name left but were in use when the machine stopped.
pub(super) fn unlinked(xfs: &Xfs, ag: u64) -> Result<Vec<u64>, EvidenceError> {
    let raw = header(xfs, ag, Header::Inodes)?;
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for bucket in 0..UNLINKED_BUCKETS {
        let mut index = Fields(&raw).be32(bucket.saturating_mul(4).saturating_add(40));
        while index != NO_INODE && seen.insert(index) {
            let node = xfs.superblock.node(ag, u64::from(index));
            out.push(node);
            index = super::inode::read_any(xfs, node)?.next_unlinked();
        }
    }
    Ok(out)
}

/// Form of one kind of tree.
struct Shape {
    magics: [&'static [u8; 4]; 2],
    key_bytes: usize,
    record_bytes: usize,
}

/// Goes down the left edge and along the leaves, with every record of them.
fn walk(
    xfs: &Xfs,
    ag: u64,
    root: u32,
    levels: u32,
    shape: &Shape,
    each: &mut dyn FnMut(Fields<'_>) -> Result<(), EvidenceError>,
) -> Result<(), EvidenceError> {
    let header_bytes = if xfs.superblock.is_v5 { 56 } else { 16_usize };
    let (mut number, mut level) = (root, levels.saturating_sub(1));
    let mut seen = HashSet::new();
    let mut records = 0_usize;
    while number != u32::MAX {
        if level > 16 || !seen.insert(number) {
            return Err(EvidenceError::corrupt(format!(
                "tree of group {ag} has level {level} at block {number}, or comes there twice"
            )));
        }
        let offset = xfs.superblock.ag_offset(ag, u64::from(number), 1)?;
        let raw = xfs.store.bytes(offset, to_usize(xfs.superblock.block_bytes))?;
        let f = Fields(&raw);
        if !shape.magics.iter().any(|magic| f.has(0, *magic)) || u32::from(f.be16(4)) != level {
            return Err(EvidenceError::corrupt(format!(
                "block {number} in a tree of group {ag} has magic number {:08x} and level {}, expected {level}",
                f.be32(0),
                f.be16(4)
            )));
        }
        let body = raw.get(header_bytes..).unwrap_or(&[]);
        if level > 0 {
            let most = body.len().checked_div(shape.key_bytes.saturating_add(4)).unwrap_or(0);
            number = Fields(body).be32(most.saturating_mul(shape.key_bytes));
            level = level.saturating_sub(1);
            continue;
        }
        for record in body.chunks_exact(shape.record_bytes).take(usize::from(f.be16(6))) {
            records = records.saturating_add(1);
            if records > MAX_RECORDS {
                return Err(EvidenceError::refused(format!(
                    "a tree of group {ag} has more than {MAX_RECORDS} records"
                )));
            }
            each(Fields(record))?;
        }
        number = f.be32(12);
    }
    Ok(())
}

/// The numbers of the inodes in a chunk that are free and have room on the disk.
pub(super) fn free_inodes(xfs: &Xfs, ag: u64, chunk: Chunk) -> impl Iterator<Item = u64> + '_ {
    (0..64_u32).filter(move |bit| (chunk.free & !chunk.absent) >> bit & 1 == 1).map(move |bit| {
        xfs.superblock.node(ag, u64::from(chunk.first).saturating_add(u64::from(bit)))
    })
}

/// The groups that lie inside the source; that others are missing was said when it was opened.
pub(super) fn groups(xfs: &Xfs) -> Range<u64> {
    let group_bytes = xfs.superblock.ag_blocks.saturating_mul(xfs.superblock.block_bytes);
    let there = xfs.store.source.size_bytes().div_ceil(group_bytes.max(1));
    0..xfs.superblock.ag_count.min(there)
}
