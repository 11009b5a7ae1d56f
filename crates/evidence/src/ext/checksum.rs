//! The checksums ext keeps over its metadata: CRC-32C with `metadata_csum`, CRC-16 over descriptors with `uninit_bg`.
//!
//! A wrong checksum is a fact to report and never a reason to hide what stands there (kernel `ext4.h`, `ext4_chksum`).

use super::superblock::Superblock;
use crate::bytes::Fields;
use crate::crc::crc32c;

/// Where an inode keeps the low and high half of its checksum.
const INODE_LOW_AT: usize = 0x7c;
const INODE_HIGH_AT: usize = 0x82;
/// Where a group descriptor keeps its checksum.
const DESCRIPTOR_AT: usize = 0x1e;

/// Whether the superblock's own checksum fits; yes where it has none.
pub(super) fn superblock_fits(superblock: &Superblock, raw: &[u8]) -> bool {
    if !superblock.has_metadata_checksums {
        return true;
    }
    crc32c(u32::MAX, Fields(raw).slice(0, 0x3fc)) == Fields(raw).le32(0x3fc)
}

/// Whether a group descriptor's checksum fits; yes where it has none.
pub(super) fn descriptor_fits(superblock: &Superblock, group: u32, raw: &[u8]) -> bool {
    let fields = Fields(raw);
    let stored = fields.le16(DESCRIPTOR_AT);
    let (before, after) = (fields.slice(0, DESCRIPTOR_AT), raw.get(0x20..).unwrap_or(&[]));
    let number = group.to_le_bytes();
    if superblock.has_metadata_checksums {
        let sum = crc32c(crc32c(superblock.checksum_seed, &number), before);
        let sum = crc32c(crc32c(sum, &[0; 2]), after);
        return sum & 0xffff == u32::from(stored);
    }
    if superblock.has_descriptor_checksums {
        let sum = crc16(crc16(u16::MAX, &superblock.uuid_bytes), &number);
        // Without 64-bit descriptors nothing follows the checksum.
        return crc16(crc16(sum, before), after) == stored;
    }
    true
}

/// The value all sums over one inode and its blocks begin with.
pub(super) fn inode_seed(superblock: &Superblock, node: u64, generation: u32) -> u32 {
    let [a, b, c, d, ..] = node.to_le_bytes();
    crc32c(crc32c(superblock.checksum_seed, &[a, b, c, d]), &generation.to_le_bytes())
}

/// Whether a whole inode's checksum fits; yes where it has none.
pub(super) fn inode_fits(superblock: &Superblock, node: u64, raw: &[u8]) -> bool {
    let fields = Fields(raw);
    if !superblock.has_metadata_checksums || raw.iter().all(|byte| *byte == 0) {
        return true;
    }
    let seed = inode_seed(superblock, node, fields.le32(0x64));
    let sum = crc32c(crc32c(seed, fields.slice(0, INODE_LOW_AT)), &[0; 2]);
    let sum = crc32c(sum, fields.slice(0x7e, 2));
    if raw.len() <= 128 {
        return sum & 0xffff == u32::from(fields.le16(INODE_LOW_AT));
    }
    let has_high = fields.le16(0x80) >= 4;
    let sum = crc32c(sum, fields.slice(0x80, 2));
    let middle: &[u8] = if has_high { &[0; 2] } else { fields.slice(INODE_HIGH_AT, 2) };
    let sum = crc32c(crc32c(sum, middle), raw.get(0x84..).unwrap_or(&[]));
    let high = if has_high { u32::from(fields.le16(INODE_HIGH_AT)) << 16 } else { 0 };
    let mask = if has_high { u32::MAX } else { 0xffff };
    sum & mask == high | u32::from(fields.le16(INODE_LOW_AT))
}

/// Whether a leaf block of a directory has a checksum that does not fit; index blocks carry theirs elsewhere.
pub(super) fn directory_block_is_wrong(seed: u32, raw: &[u8]) -> bool {
    let at = raw.len().saturating_sub(12);
    let tail = Fields(raw.get(at..).unwrap_or(&[]));
    // The tail poses as an unused entry of twelve bytes without a name, of type 0xde.
    let is_tail = tail.le32(0) == 0 && tail.le16(4) == 12 && tail.u8(6) == 0 && tail.u8(7) == 0xde;
    is_tail && crc32c(seed, raw.get(..at).unwrap_or(&[])) != tail.le32(8)
}

/// CRC-16 (polynomial 0x8005, reflected), as `lib/crc16.c` of the kernel has it.
fn crc16(seed: u16, data: &[u8]) -> u16 {
    data.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc16;

    #[test]
    fn check_value() {
        // The "check" value of CRC-16/MODBUS, which also begins with all ones.
        assert_eq!(crc16(u16::MAX, b"123456789"), 0x4b37);
    }
}
