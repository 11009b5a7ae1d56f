//! The checksums of version 5: CRC-32C over a structure with its own field taken as zero, stored little endian.
//!
//! A mismatch is told and the structure read all the same: an examiner would rather see doubtful metadata than none.

use crate::bytes::Fields;
use crate::crc::crc32c;

/// Where the checksum stands in each structure.
pub(super) const SUPERBLOCK: usize = 224;
pub(super) const AGF: usize = 216;
pub(super) const AGI: usize = 312;
pub(super) const INODE: usize = 100;
pub(super) const LONG_BTREE: usize = 64;
pub(super) const DIR_DATA: usize = 4;
/// Attribute leaves and nodes, remote attribute values and remote link targets.
pub(super) const DA_BLOCK: usize = 12;

/// The checksum `raw` should have when its field stands at `at`.
pub(super) fn checksum(raw: &[u8], at: usize) -> u32 {
    let before = raw.get(..at).unwrap_or(raw);
    let after = at.checked_add(4).and_then(|end| raw.get(end..)).unwrap_or(&[]);
    !crc32c(crc32c(crc32c(u32::MAX, before), &[0; 4]), after)
}

/// The fact to record when the checksum at `at` does not match.
pub(super) fn mismatch(raw: &[u8], at: usize, what: &str) -> Option<String> {
    let (stored, expected) = (Fields(raw).le32(at), checksum(raw, at));
    (stored != expected)
        .then(|| format!("checksum of {what} is {stored:08x}, expected {expected:08x}"))
}
