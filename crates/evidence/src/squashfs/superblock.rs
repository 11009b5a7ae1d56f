//! The superblock (96 bytes at the start) and which layouts and compressions are read.

use crate::bytes::Fields;
use crate::codec::Packing;
use crate::error::EvidenceError;

/// Marks "there is no such table".
const NO_TABLE: u64 = u64::MAX;

/// What the superblock says; offsets are bytes from the start of the file system.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) made_seconds: u32,
    pub(super) block_bytes: u64,
    pub(super) fragments: u32,
    pub(super) packing: Packing,
    pub(super) flags: u16,
    pub(super) ids: u16,
    /// Block of the root's inode in the inode table, and the place within it.
    pub(super) root: u64,
    pub(super) used_bytes: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: Option<u64>,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: Option<u64>,
}

impl Superblock {
    pub(super) fn parse(raw: &[u8]) -> Result<Self, EvidenceError> {
        let sb = Fields(raw);
        let (major, minor) = (sb.le16(28), sb.le16(30));
        if sb.has(0, b"sqsh") {
            let (major, minor) = (sb.be16(28), sb.be16(30));
            let what = format!("squashfs version {major}.{minor} in big-endian order");
            return Err(EvidenceError::unsupported(what));
        }
        if !sb.has(0, b"hsqs") || raw.len() < 96 {
            let text = crate::escape_bytes(sb.slice(0, 4));
            return Err(EvidenceError::corrupt(format!(
                "squashfs magic number is \"{text}\", expected \"hsqs\""
            )));
        }
        if (major, minor) != (4, 0) {
            return Err(EvidenceError::unsupported(format!("squashfs version {major}.{minor}")));
        }
        let block_bytes = sb.le32(12);
        if !block_bytes.is_power_of_two()
            || !(4096..=1 << 20).contains(&block_bytes)
            || block_bytes.trailing_zeros() != u32::from(sb.le16(22))
        {
            let log = sb.le16(22);
            return Err(EvidenceError::corrupt(format!(
                "squashfs block size is {block_bytes} bytes with logarithm {log}"
            )));
        }
        let packing = match sb.le16(20) {
            1 => Packing::Zlib,
            2 => Packing::LzmaAlone,
            3 => Packing::Lzo,
            4 => Packing::Xz,
            5 => Packing::Lz4,
            6 => Packing::Zstd,
            other => {
                return Err(EvidenceError::unsupported(format!("squashfs compression {other}")));
            }
        };
        let table = |at: usize| Some(sb.le64(at)).filter(|offset| *offset != NO_TABLE);
        Ok(Self {
            inodes: sb.le32(4),
            made_seconds: sb.le32(8),
            block_bytes: u64::from(block_bytes),
            fragments: sb.le32(16),
            packing,
            flags: sb.le16(24),
            ids: sb.le16(26),
            root: sb.le64(32),
            used_bytes: sb.le64(40),
            id_table: sb.le64(48),
            xattr_table: table(56),
            inode_table: sb.le64(64),
            directory_table: sb.le64(72),
            fragment_table: sb.le64(80),
            export_table: table(88),
        })
    }
}
