//! Copies of the superblock, for when the first is damaged: every allocation group begins with one.
//!
//! Copies are written by mkfs and by growing, and know the shape of the file system. Where its groups begin is only said
//! in the superblock itself, so the usual numbers of groups are tried, then the first gigabyte is searched. Most copies
//! lack the number of the root directory; it is the first inode of group 0 (as `xfs_repair` takes it).

use super::superblock::Superblock;
use super::{Xfs, ag, check};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::source::Source;

const MAGIC: &[u8] = b"XFSB";
/// What a superblock takes, at most.
const BYTES: usize = 32_768;
/// Searched from the start of the source: a group has 16 MiB at least.
const MAX_SEARCHED_BYTES: u64 = 1 << 30;
const PIECE_BYTES: u64 = 1 << 20;
/// Groups mkfs makes on one disk, on arrays, and up to a number that grown ones reach.
const USUAL_GROUPS: [u64; 12] = [4, 8, 16, 32, 2, 3, 5, 6, 7, 12, 24, 64];

/// A copy that stands where it says, with its offset and bytes.
pub(super) fn find(source: &dyn Source) -> Option<(Superblock, Vec<u8>, u64)> {
    let size = source.size_bytes();
    for block_bytes in [4096_u64, 1024, 512, 2048, 8192, 16_384, 32_768, 65_536] {
        for groups in USUAL_GROUPS {
            let blocks = size.checked_div(block_bytes)?.div_ceil(groups);
            let found = copy_at(source, blocks.saturating_mul(block_bytes));
            if found.is_some() {
                return found;
            }
        }
    }
    let mut start = 0_u64;
    while start < size.min(MAX_SEARCHED_BYTES) {
        let piece = source.bytes_at(start, to_usize(PIECE_BYTES)).unwrap_or_default();
        for (index, sector) in piece.chunks(512).enumerate() {
            let at = start.saturating_add(to_u64(index.saturating_mul(512)));
            if sector.starts_with(MAGIC)
                && let Some(found) = copy_at(source, at)
            {
                return Some(found);
            }
        }
        start = start.saturating_add(PIECE_BYTES);
    }
    None
}

fn copy_at(source: &dyn Source, at: u64) -> Option<(Superblock, Vec<u8>, u64)> {
    let raw = source.bytes_at(at, BYTES).ok()?;
    if at == 0 || !raw.starts_with(MAGIC) {
        return None;
    }
    let superblock = Superblock::parse(&raw).ok()?;
    let group_bytes = superblock.ag_blocks.saturating_mul(superblock.block_bytes);
    let sector = raw.get(..to_usize(superblock.sector_bytes))?;
    let fits =
        !superblock.is_v5 || check::mismatch(sector, check::SUPERBLOCK, "superblock").is_none();
    (at.checked_rem(group_bytes) == Some(0) && fits).then_some((superblock, raw, at))
}

/// The root directory's number, where a copy does not have it.
pub(super) fn root(xfs: &Xfs) -> Result<u64, EvidenceError> {
    let chunks = ag::chunks(xfs, 0)?;
    let first = chunks.iter().map(|chunk| chunk.first).min().ok_or_else(|| {
        EvidenceError::corrupt("group 0 has no inodes, so the root directory cannot be found")
    })?;
    Ok(xfs.superblock.node(0, u64::from(first)))
}

/// Whether the copy lacks the root directory's number.
pub(super) fn lacks_root(superblock: &Superblock) -> bool {
    superblock.root == u64::MAX || superblock.root == 0 || superblock.root > superblock.last_node()
}

/// The label and other facts of the bytes are the caller's; this only says that a copy is in use.
pub(super) fn sentence(error: &EvidenceError, at: u64, raw: &[u8]) -> String {
    let groups = Fields(raw).be32(88);
    format!("{error}; the copy at {at} is used, that of one of the {groups} allocation groups")
}
