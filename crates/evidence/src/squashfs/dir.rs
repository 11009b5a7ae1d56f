//! Directories: runs of up to 256 names whose inodes lie in one metadata block.

use super::Squash;
use super::inode::{Body, Inode};
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::fs::{Entry, Listing, RawPath};
use crate::problem::{Place, Problem, ProblemKind};

/// Largest directory read, in bytes: some five million names.
const MAX_DIRECTORY_BYTES: u64 = 128 << 20;
/// Longest name Linux accepts, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Names in one run, by the format.
const MAX_RUN: u32 = 256;

pub(super) fn read(fs: &Squash, inode: &Inode) -> Result<Listing, EvidenceError> {
    let Body::Directory { block, within, .. } = inode.body else {
        return Err(EvidenceError::refused(format!("inode {} is not a directory", inode.number)));
    };
    let mut listing = Listing::default();
    let place = Place::Node(inode.node);
    // Three bytes of the size stand for "." and "..", which are not stored.
    let mut left = inode.size_bytes.saturating_sub(3);
    if left > MAX_DIRECTORY_BYTES {
        let text = format!("directory of {left} bytes; the first {MAX_DIRECTORY_BYTES} were read");
        listing.problems.push(Problem::new(ProblemKind::Refused, place.clone(), text));
        left = MAX_DIRECTORY_BYTES;
    }
    let start = fs.superblock.directory_table.saturating_add(u64::from(block));
    let mut room = Room::new();
    let mut cursor = fs.cursor(start, usize::from(within));
    while left > 0 && !room.is_full() {
        match run(&mut cursor, &mut listing, &mut room, inode) {
            Ok(used) => left = left.saturating_sub(used),
            Err(error) => {
                // What follows cannot be found without the lengths of what is damaged.
                listing.problems.push(error.to_problem(place));
                break;
            }
        }
    }
    listing.problems.extend(room.problem(inode.node));
    Ok(listing)
}

/// One run: how many names, in which block of the inode table their inodes lie, then the names. Returns its length.
fn run(
    cursor: &mut super::table::Cursor<'_>,
    listing: &mut Listing,
    room: &mut Room,
    inode: &Inode,
) -> Result<u64, EvidenceError> {
    let head: [u8; 12] = cursor.array()?;
    let head = Fields(&head);
    let count = head.le32(0).saturating_add(1);
    if count > MAX_RUN {
        return Err(EvidenceError::corrupt(format!(
            "a run of {count} names in directory inode {}, expected at most {MAX_RUN}",
            inode.number
        )));
    }
    let mut used = 12_u64;
    for _ in 0..count {
        let fixed: [u8; 8] = cursor.array()?;
        let fixed = Fields(&fixed);
        let name_bytes = usize::from(fixed.le16(6)).saturating_add(1);
        let name = cursor.bytes(name_bytes)?;
        used = used.saturating_add(8).saturating_add(crate::bytes::to_u64(name_bytes));
        if name_bytes > MAX_NAME_BYTES
            || name.contains(&b'/')
            || name.contains(&0)
            || matches!(&*name, b"." | b"..")
        {
            let shown = crate::escape_bytes(name.get(..name_bytes.min(300)).unwrap_or(&[]));
            let text = format!("directory entry with the impossible name \"{shown}\"");
            let place = Place::Node(inode.node);
            listing.problems.push(Problem::new(ProblemKind::Corrupt, place, text));
            if listing.problems.len() > 64 {
                return Err(EvidenceError::refused(
                    "more than 64 impossible names; the rest was left",
                ));
            }
            continue;
        }
        let node = u64::from(head.le32(4)) << 16 | u64::from(fixed.le16(0));
        if room.takes(name_bytes) {
            listing.entries.push(Entry { name: RawPath(name), node });
        }
    }
    Ok(used)
}

/// The directory's parent, by inode number.
pub(super) fn parent(inode: &Inode) -> Option<u32> {
    match inode.body {
        Body::Directory { parent, .. } => Some(parent),
        _ => None,
    }
}
