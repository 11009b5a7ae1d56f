//! Directories: short ones inside the inode, all others as data blocks.
//!
//! Block, leaf, node and B+tree directories differ only in how names are looked up; the names themselves stand in data
//! blocks below the offset of 32 GiB, so reading those finds every name without trusting an index (XFS Algorithms &
//! Data Structures, "Directories").

use super::inode::{Fork, Format, Inode};
use super::map::Map;
use super::{Xfs, check, content};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::fs::{Entry, Listing, RawPath};
use crate::problem::{Place, Problem, ProblemKind};

/// Where the index of a directory begins, in bytes.
const INDEX_OFFSET: u64 = 32 << 30;
/// Largest directory read: about eight million names.
const MAX_DIRECTORY_BYTES: u64 = 256 << 20;
/// Problems recorded for one directory before the rest is given up.
const MAX_PROBLEMS: usize = 64;
const FREE_TAG: u16 = 0xffff;

/// What stands in a data block.
pub(super) enum Item<'a> {
    /// A name and its inode.
    Name(&'a [u8], u64),
    /// Room not in use, from one byte of the block to another.
    Free(usize, usize),
}

pub(super) fn read(xfs: &Xfs, inode: &Inode) -> Result<Listing, EvidenceError> {
    let mut listing = Listing::default();
    if inode.format(Fork::Data) == Format::Local {
        short(xfs, inode, &mut listing);
        return Ok(listing);
    }
    let (mut problems, mut room) = (Vec::new(), Room::new());
    blocks(xfs, inode, &mut problems, &mut |raw| {
        let mut found = Vec::new();
        items(xfs, raw, &mut |item| {
            if let Item::Name(name, node) = item
                && room.takes(name.len())
            {
                add(inode, name, node, &mut listing.entries, &mut found);
            }
        })
        .unwrap_or_else(|text| found.push(corrupt(inode, text)));
        found
    })?;
    listing.problems.append(&mut problems);
    listing.problems.extend(room.problem(inode.node));
    Ok(listing)
}

fn corrupt(inode: &Inode, text: String) -> Problem {
    Problem::new(ProblemKind::Corrupt, Place::Node(inode.node), text)
}

fn add(
    inode: &Inode,
    name: &[u8],
    node: u64,
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Problem>,
) {
    if matches!(name, b"." | b"..") {
        return;
    }
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        let text =
            format!("directory entry with the impossible name {:?}", crate::escape_bytes(name));
        problems.push(corrupt(inode, text));
        return;
    }
    entries.push(Entry { name: RawPath(name.to_vec()), node });
}

/// A directory inside the inode: a count, the parent, then names, each with its inode in four or eight bytes.
fn short(xfs: &Xfs, inode: &Inode, listing: &mut Listing) {
    let area = inode.fork(Fork::Data);
    let size = to_usize(inode.size_bytes());
    let Some(area) = area.get(..size) else {
        let text = format!("directory of {size} bytes in an area of {}", area.len());
        listing.problems.push(corrupt(inode, text));
        return;
    };
    let f = Fields(area);
    // Where one inode number needs eight bytes, all have them, and the second count says how many.
    let (count, long) = (f.u8(0), f.u8(1) != 0);
    let node_bytes = if long { 8 } else { 4_usize };
    let type_bytes = usize::from(xfs.superblock.has_file_types);
    let mut at = node_bytes.saturating_add(2);
    let many = if long { f.u8(1) } else { count };
    for _ in 0..count.max(many) {
        let name_bytes = usize::from(f.u8(at));
        let name = f.slice(at.saturating_add(3), name_bytes);
        let node_at = at.saturating_add(3).saturating_add(name_bytes).saturating_add(type_bytes);
        let end = node_at.saturating_add(node_bytes);
        if name.is_empty() || end > area.len() {
            let text = format!(
                "directory entry at {at} of {} bytes has a name of {name_bytes}",
                area.len()
            );
            listing.problems.push(corrupt(inode, text));
            return;
        }
        let node = if long { f.be64(node_at) } else { u64::from(f.be32(node_at)) };
        add(inode, name, node, &mut listing.entries, &mut listing.problems);
        at = end;
    }
}

/// Calls `each` with every data block of a directory; it returns the problems it met there.
pub(super) fn blocks(
    xfs: &Xfs,
    inode: &Inode,
    problems: &mut Vec<Problem>,
    each: &mut dyn FnMut(&[u8]) -> Vec<Problem>,
) -> Result<(), EvidenceError> {
    let map = xfs.map(inode, Fork::Data)?;
    if let Some(text) = shared_blocks(&map) {
        return Err(EvidenceError::corrupt(format!("directory inode {} {text}", inode.node)));
    }
    problems.extend(map.doubts.iter().map(|text| corrupt(inode, text.clone())));
    let block_bytes = xfs.superblock.dir_block_bytes;
    let per = (to_u64(block_bytes)).checked_div(xfs.superblock.block_bytes).unwrap_or(1).max(1);
    let end = INDEX_OFFSET.checked_div(to_u64(block_bytes)).unwrap_or(0);
    let most = MAX_DIRECTORY_BYTES.checked_div(to_u64(block_bytes)).unwrap_or(0);
    let (mut next, mut seen) = (0_u64, 0_u64);
    for run in &map.runs {
        let first = run.logical.checked_div(per).unwrap_or(0).max(next);
        for number in first..run.end().div_ceil(per).min(end) {
            next = number.saturating_add(1);
            seen = seen.saturating_add(1);
            if seen > most {
                let text = format!(
                    "directory of {} bytes; the first {MAX_DIRECTORY_BYTES} were read",
                    inode.size_bytes()
                );
                problems.push(Problem::new(ProblemKind::Refused, Place::Node(inode.node), text));
                return Ok(());
            }
            let offset = number.saturating_mul(to_u64(block_bytes));
            match content::metadata(xfs, &map, offset, block_bytes) {
                Ok(raw) => {
                    problems.extend(checksum(xfs, inode, &map, offset, &raw));
                    problems.append(&mut each(&raw));
                }
                Err(error) => problems.push(error.to_problem(Place::Node(inode.node))),
            }
            if problems.len() > MAX_PROBLEMS {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Blocks that a directory has twice would give every name in them twice, without end on a hostile disk.
fn shared_blocks(map: &Map) -> Option<String> {
    let mut places: Vec<(u64, u64)> = map
        .runs
        .iter()
        .map(|run| (run.block, run.block.saturating_add(u64::from(run.blocks))))
        .collect();
    places.sort_unstable();
    let [a, b] = places.array_windows::<2>().find(|[a, b]| a.1 > b.0)?;
    Some(format!("has blocks {} to {} twice", b.0, a.1.min(b.1)))
}

fn checksum(xfs: &Xfs, inode: &Inode, map: &Map, offset: u64, raw: &[u8]) -> Option<Problem> {
    if !xfs.superblock.is_v5 || !matches!(raw.get(..4), Some(b"XDB3" | b"XDD3")) {
        return None;
    }
    if xfs.store.overlaid_sectors() != 0 && is_overlaid(xfs, map, offset, raw.len()) {
        return None;
    }
    let what = format!("directory block at {offset}");
    check::mismatch(raw, check::DIR_DATA, &what).map(|text| corrupt(inode, text))
}

fn is_overlaid(xfs: &Xfs, map: &Map, offset: u64, length: usize) -> bool {
    let block_bytes = xfs.superblock.block_bytes;
    let first = offset.checked_div(block_bytes).unwrap_or(0);
    let count = to_u64(length).checked_div(block_bytes).unwrap_or(0).max(1);
    (first..first.saturating_add(count)).any(|logical| {
        let run = map.at(logical).filter(|run| run.logical <= logical);
        let place = run.and_then(|run| {
            let block = run.block.saturating_add(logical.saturating_sub(run.logical));
            xfs.superblock.block_offset(block, 1).ok()
        });
        place.is_some_and(|place| xfs.store.is_overlaid(place, to_usize(block_bytes)))
    })
}

/// Calls `each` with everything in a data block, or says why it is none.
pub(super) fn items(xfs: &Xfs, raw: &[u8], each: &mut dyn FnMut(Item<'_>)) -> Result<(), String> {
    let f = Fields(raw);
    let (header, is_whole) = match f.array(0) {
        [b'X', b'D', b'2', b'B'] => (16_usize, true),
        [b'X', b'D', b'2', b'D'] => (16, false),
        [b'X', b'D', b'B', b'3'] => (64, true),
        [b'X', b'D', b'D', b'3'] => (64, false),
        _ => return Err(format!("directory block with magic number {:08x}", f.be32(0))),
    };
    // A directory of one block keeps its index, eight bytes for each name, and two counts at the end of it.
    let tail = if is_whole {
        let count = f.be32(raw.len().saturating_sub(8));
        to_usize(u64::from(count).saturating_mul(8).saturating_add(8))
    } else {
        0
    };
    let Some(end) = raw.len().checked_sub(tail).filter(|end| *end >= header) else {
        return Err(format!("directory block of {} bytes with an index of {tail}", raw.len()));
    };
    let type_bytes = usize::from(xfs.superblock.has_file_types);
    let mut at = header;
    while at.saturating_add(8) <= end {
        if f.be16(at) == FREE_TAG {
            let length = usize::from(f.be16(at.saturating_add(2)));
            let next = at.saturating_add(length);
            if length < 8 || !length.is_multiple_of(8) || next > end {
                return Err(format!("free room of {length} bytes at {at} of a directory block"));
            }
            each(Item::Free(at, next));
            at = next;
            continue;
        }
        let name_bytes = usize::from(f.u8(at.saturating_add(8)));
        let next = at.saturating_add(entry_bytes(name_bytes, type_bytes));
        if name_bytes == 0 || next > end {
            return Err(format!(
                "directory entry at {at} of a block of {} bytes has a name of {name_bytes}",
                raw.len()
            ));
        }
        each(Item::Name(f.slice(at.saturating_add(9), name_bytes), f.be64(at)));
        at = next;
    }
    Ok(())
}

/// Inode number, length, name, type, and the two bytes that tell where the entry begins; a multiple of eight.
pub(super) fn entry_bytes(name_bytes: usize, type_bytes: usize) -> usize {
    name_bytes.saturating_add(11).saturating_add(type_bytes).next_multiple_of(8)
}
