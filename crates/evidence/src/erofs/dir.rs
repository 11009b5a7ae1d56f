//! Directories: blocks of their own size, each with its entries in front and the names behind.

use super::{Erofs, File};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::fs::{Entry, Listing, RawPath};
use crate::problem::{Place, Problem, ProblemKind};

const ENTRY_BYTES: usize = 12;
/// Largest directory read, in bytes: some four million names.
const MAX_DIRECTORY_BYTES: u64 = 128 << 20;
/// Problems recorded for one directory.
const MAX_PROBLEMS: usize = 64;

pub(super) fn read(fs: &Erofs, file: &File) -> Result<Listing, EvidenceError> {
    let mut listing = Listing::default();
    let place = Place::Node(file.inode.node);
    let size = file.inode.size_bytes.min(MAX_DIRECTORY_BYTES);
    if size < file.inode.size_bytes {
        let text =
            format!("directory of {} bytes; the first {size} were read", file.inode.size_bytes);
        listing.problems.push(Problem::new(ProblemKind::Refused, place.clone(), text));
    }
    let block_bytes = 1_u64 << fs.superblock.directory_bits;
    let mut block = vec![0; to_usize(block_bytes.min(size))];
    let (mut at, mut room) = (0_u64, Room::new());
    while at < size && !room.is_full() && listing.problems.len() < MAX_PROBLEMS {
        let count = to_usize(size.saturating_sub(at).min(block_bytes));
        let part = block.get_mut(..count).unwrap_or_default();
        match fs.content(file, at, part) {
            Ok(got) => read_block(part.get(..got).unwrap_or(&[]), &place, &mut listing, &mut room),
            Err(error) => listing.problems.push(error.to_problem(place.clone())),
        }
        at = at.saturating_add(to_u64(count)).max(at.saturating_add(1));
    }
    listing.problems.extend(room.problem(file.inode.node));
    Ok(listing)
}

/// The first entry's name offset tells how many entries there are.
fn read_block(raw: &[u8], place: &Place, listing: &mut Listing, room: &mut Room) {
    let fields = Fields(raw);
    let mut problem = |text: String| {
        listing.problems.push(Problem::new(ProblemKind::Corrupt, place.clone(), text));
    };
    let names_at = usize::from(fields.le16(8));
    let count = names_at / ENTRY_BYTES;
    if count == 0 || !names_at.is_multiple_of(ENTRY_BYTES) || names_at >= raw.len() {
        problem(format!("directory block of {} bytes whose names begin at {names_at}", raw.len()));
        return;
    }
    for index in 0..count {
        let at = index.saturating_mul(ENTRY_BYTES);
        let start = usize::from(fields.le16(at.saturating_add(8)));
        let is_last = index.saturating_add(1) == count;
        let end = if is_last {
            raw.len()
        } else {
            usize::from(fields.le16(at.saturating_add(8).saturating_add(ENTRY_BYTES)))
        };
        let name = raw.get(start..end).unwrap_or(&[]);
        // Only the last name of a block may be followed by zeros.
        let length = if is_last {
            name.iter().position(|byte| *byte == 0).unwrap_or(name.len())
        } else {
            name.len()
        };
        let name = name.get(..length).unwrap_or(&[]);
        if matches!(name, b"." | b"..") {
            continue;
        }
        if name.is_empty() || name.len() > 255 || name.contains(&b'/') || name.contains(&0) {
            let shown = crate::escape_bytes(name.get(..name.len().min(300)).unwrap_or(&[]));
            problem(format!("directory entry with the impossible name \"{shown}\""));
            continue;
        }
        if room.takes(name.len()) {
            listing.entries.push(Entry { name: RawPath(name.to_vec()), node: fields.le64(at) });
        }
    }
}
