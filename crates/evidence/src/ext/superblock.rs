//! The ext superblock.

use crate::bytes::{Fields, padded_text, uuid_text};
use crate::crc::crc32c;
use crate::error::EvidenceError;

const COMPAT_JOURNAL: u32 = 0x4;
const COMPAT_SPARSE2: u32 = 0x200;
const COMPAT_ORPHAN_FILE: u32 = 0x1000;
const INCOMPAT_COMPRESSION: u32 = 0x1;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CHECKSUM_SEED: u32 = 0x2000;
const RO_COMPAT_SPARSE: u32 = 0x1;
const RO_COMPAT_GDT_CHECKSUM: u32 = 0x10;
const RO_COMPAT_BIGALLOC: u32 = 0x200;
const RO_COMPAT_METADATA_CHECKSUM: u32 = 0x400;
const STATE_ERROR: u16 = 0x2;
/// file type, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, dirdata, csum_seed, largedir, inline_data,
/// encrypt, casefold.
const INCOMPAT_KNOWN: u32 = 0x2
    | 0x4
    | 0x10
    | 0x40
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x1000
    | 0x2000
    | 0x4000
    | 0x8000
    | 0x1_0000
    | 0x2_0000;

pub(super) struct Superblock {
    pub(super) kind: &'static str,
    pub(super) block_bytes: u64,
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    pub(super) first_inode: u32,
    pub(super) inode_bytes: u64,
    pub(super) inodes_per_group: u32,
    pub(super) blocks_per_group: u32,
    /// Blocks that one bit of a block bitmap stands for.
    pub(super) blocks_per_cluster: u64,
    pub(super) first_data_block: u32,
    pub(super) descriptor_bytes: u64,
    first_meta_bg: Option<u32>,
    reserved_descriptor_blocks: u16,
    is_sparse: bool,
    sparse2: Option<[u32; 2]>,
    pub(super) has_file_types: bool,
    pub(super) has_64bit: bool,
    pub(super) has_metadata_checksums: bool,
    pub(super) has_descriptor_checksums: bool,
    pub(super) checksum_seed: u32,
    /// Set when the kernel met an error; then it leaves orphans alone.
    pub(super) has_errors: bool,
    /// The journal's inode, where a journal has changes to overlay.
    pub(super) journal: Option<Result<u32, &'static str>>,
    /// First of the list of inodes to be freed or cut at the next mount; 0 for none.
    pub(super) first_orphan: u32,
    /// The file that lists further such inodes.
    pub(super) orphan_file: Option<u32>,
    pub(super) label: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) uuid_bytes: [u8; 16],
}

impl Superblock {
    pub(super) fn parse(raw: &[u8]) -> Result<Self, EvidenceError> {
        let sb = Fields(raw);
        if sb.le16(0x38) != 0xef53 {
            return Err(EvidenceError::corrupt(format!(
                "ext magic number is {:04x}, expected ef53",
                sb.le16(0x38)
            )));
        }
        let (compat, incompat, ro_compat) = (sb.le32(0x5c), sb.le32(0x60), sb.le32(0x64));
        if incompat & INCOMPAT_JOURNAL_DEV != 0 {
            return Err(EvidenceError::unsupported("an external ext journal (it holds no files)"));
        }
        if incompat & INCOMPAT_COMPRESSION != 0 {
            return Err(EvidenceError::unsupported("ext compression"));
        }
        if incompat & !INCOMPAT_KNOWN != 0 {
            let unknown = incompat & !INCOMPAT_KNOWN;
            return Err(EvidenceError::unsupported(format!(
                "the unknown ext feature {unknown:#x}"
            )));
        }
        let shift = sb.le32(0x18);
        let block_bytes = if shift <= 6 { 1024_u64 << shift } else { 0 };
        let has_bigalloc = ro_compat & RO_COMPAT_BIGALLOC != 0;
        let cluster_shift = sb.le32(0x1c).checked_sub(shift).filter(|_| has_bigalloc).unwrap_or(0);
        let has_64bit = incompat & INCOMPAT_64BIT != 0;
        let high = if has_64bit { u64::from(sb.le32(0x150)) << 32 } else { 0 };
        let old = sb.le32(0x4c) == 0;
        let inode_bytes = if old { 128 } else { u64::from(sb.le16(0x58)) };
        let descriptor_bytes = if has_64bit { u64::from(sb.le16(0xfe)) } else { 32 };
        let checksum_seed = if incompat & INCOMPAT_CHECKSUM_SEED != 0 {
            sb.le32(0x270)
        } else {
            crc32c(u32::MAX, sb.slice(0x68, 16))
        };
        let out = Self {
            kind: if incompat & !0x1f != 0 || ro_compat & !0x7 != 0 {
                "ext4"
            } else if compat & COMPAT_JOURNAL != 0 {
                "ext3"
            } else {
                "ext2"
            },
            block_bytes,
            blocks: high | u64::from(sb.le32(4)),
            inodes: sb.le32(0),
            first_inode: if old { 11 } else { sb.le32(0x54) },
            inode_bytes,
            inodes_per_group: sb.le32(0x28),
            blocks_per_group: sb.le32(0x20),
            blocks_per_cluster: 1_u64.checked_shl(cluster_shift).unwrap_or(0),
            first_data_block: sb.le32(0x14),
            descriptor_bytes,
            first_meta_bg: (incompat & INCOMPAT_META_BG != 0).then(|| sb.le32(0x104)),
            reserved_descriptor_blocks: sb.le16(0xce),
            is_sparse: ro_compat & RO_COMPAT_SPARSE != 0,
            sparse2: (compat & COMPAT_SPARSE2 != 0).then(|| [sb.le32(0x24c), sb.le32(0x250)]),
            has_file_types: incompat & 0x2 != 0,
            has_64bit,
            has_metadata_checksums: ro_compat & RO_COMPAT_METADATA_CHECKSUM != 0,
            has_descriptor_checksums: ro_compat & RO_COMPAT_GDT_CHECKSUM != 0,
            checksum_seed,
            has_errors: sb.le16(0x3a) & STATE_ERROR != 0,
            journal: (compat & COMPAT_JOURNAL != 0 && incompat & INCOMPAT_RECOVER != 0).then(
                || {
                    if sb.le32(0xe0) == 0 {
                        Err("the journal is on another device")
                    } else {
                        Ok(sb.le32(0xe0))
                    }
                },
            ),
            first_orphan: sb.le32(0xe8),
            orphan_file: Some(sb.le32(0x280)).filter(|_| compat & COMPAT_ORPHAN_FILE != 0),
            label: padded_text(sb.slice(0x78, 16)),
            uuid: uuid_text(sb.slice(0x68, 16)),
            uuid_bytes: sb.array(0x68),
        };
        let sane = block_bytes != 0
            && inode_bytes >= 128
            && inode_bytes <= block_bytes
            && inode_bytes.is_power_of_two()
            && (32..=block_bytes).contains(&descriptor_bytes)
            && cluster_shift <= 20
            && out.inodes_per_group != 0
            && out.blocks_per_group != 0;
        if !sane {
            return Err(EvidenceError::corrupt(format!(
                "ext superblock claims blocks of {block_bytes} bytes, inodes of {inode_bytes}, descriptors of {descriptor_bytes}"
            )));
        }
        Ok(out)
    }

    /// Whether another superblock describes the same sizes.
    pub(super) fn has_shape_of(&self, other: &Self) -> bool {
        let sizes = |sb: &Self| {
            (
                (sb.block_bytes, sb.blocks, sb.inodes, sb.inode_bytes),
                (sb.inodes_per_group, sb.blocks_per_group, sb.first_data_block),
                (sb.descriptor_bytes, sb.first_meta_bg, sb.blocks_per_cluster),
            )
        };
        sizes(self) == sizes(other)
    }

    /// The block that holds the copy, in block group 1, of the `meta`th block of descriptors; `None` where there is none
    /// or it lies elsewhere.
    pub(super) fn descriptor_copy(&self, meta: u64) -> Option<u64> {
        let is_there = self.has_superblock(1)
            && self.first_meta_bg.is_none_or(|first| meta < u64::from(first))
            && self.blocks > u64::from(self.blocks_per_group);
        let start =
            u64::from(self.blocks_per_group).checked_add(u64::from(self.first_data_block))?;
        is_there.then(|| start.saturating_add(1).saturating_add(meta))
    }

    /// Descriptors that fit into one block.
    pub(super) fn descriptors_per_block(&self) -> u64 {
        self.block_bytes.checked_div(self.descriptor_bytes).unwrap_or(1).max(1)
    }

    /// The block that holds the `meta`th block of descriptors.
    ///
    /// Descriptors follow the superblock, or with meta block groups stand at the start of each group of groups. The
    /// superblock is in block 1 when blocks have 1 KiB, else in block 0. With clusters of such blocks the first group
    /// still begins at block 0, which is why `first_data_block` cannot be used for this.
    pub(super) fn descriptor_block(&self, meta: u64) -> u64 {
        let superblock = u64::from(self.block_bytes == 1024);
        match self.first_meta_bg {
            Some(first) if meta >= u64::from(first) => {
                let leader = meta.saturating_mul(self.descriptors_per_block());
                let start = leader.saturating_mul(u64::from(self.blocks_per_group));
                let before = if leader == 0 && self.first_data_block == 0 { superblock } else { 0 };
                start
                    .saturating_add(u64::from(self.first_data_block))
                    .saturating_add(u64::from(self.has_superblock(leader)))
                    .saturating_add(before)
            }
            _ => superblock.saturating_add(1).saturating_add(meta),
        }
    }

    /// Blocks at the start of a group that hold a copy of the superblock and of descriptors, or room for more of these.
    pub(super) fn base_blocks(&self, group: u64, groups: u64) -> u64 {
        let per_block = self.descriptors_per_block();
        let copy = u64::from(self.has_superblock(group));
        let meta = group.checked_div(per_block).unwrap_or(0);
        let within = group.checked_rem(per_block).unwrap_or(0);
        match self.first_meta_bg {
            // The first, second and last group of such a group of groups have a block of descriptors each.
            Some(first) if meta >= u64::from(first) => {
                let last = per_block.saturating_sub(1);
                copy.saturating_add(u64::from(within <= 1 || within == last))
            }
            Some(first) => copy.saturating_mul(u64::from(first).saturating_add(1)),
            None => copy.saturating_mul(
                groups
                    .div_ceil(per_block)
                    .saturating_add(u64::from(self.reserved_descriptor_blocks))
                    .saturating_add(1),
            ),
        }
    }

    fn has_superblock(&self, group: u64) -> bool {
        if let Some(places) = self.sparse2 {
            return group == 0 || places.iter().any(|place| u64::from(*place) == group);
        }
        !self.is_sparse || group <= 1 || [3, 5, 7].iter().any(|base| is_power(group, *base))
    }
}

fn is_power(mut value: u64, base: u64) -> bool {
    while value > 1 && value.is_multiple_of(base) {
        value = value.checked_div(base).unwrap_or(0);
    }
    value == 1
}
