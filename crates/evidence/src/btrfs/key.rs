//! Keys of Btrfs trees: every item has one, and trees are sorted by them.

use crate::bytes::Fields;

/// What an item is, by the middle of its key (`BTRFS_*_KEY`).
pub(super) mod kind {
    pub(in crate::btrfs) const INODE: u8 = 1;
    pub(in crate::btrfs) const INODE_REF: u8 = 12;
    pub(in crate::btrfs) const INODE_EXTREF: u8 = 13;
    pub(in crate::btrfs) const XATTR: u8 = 24;
    pub(in crate::btrfs) const VERITY_DESCRIPTOR: u8 = 36;
    pub(in crate::btrfs) const ORPHAN: u8 = 48;
    pub(in crate::btrfs) const DIR_LOG_ITEM: u8 = 60;
    pub(in crate::btrfs) const DIR_LOG_INDEX: u8 = 72;
    pub(in crate::btrfs) const DIR_ITEM: u8 = 84;
    pub(in crate::btrfs) const DIR_INDEX: u8 = 96;
    pub(in crate::btrfs) const EXTENT_DATA: u8 = 108;
    pub(in crate::btrfs) const CHECKSUM: u8 = 128;
    pub(in crate::btrfs) const ROOT: u8 = 132;
    pub(in crate::btrfs) const ROOT_REF: u8 = 156;
    pub(in crate::btrfs) const EXTENT: u8 = 168;
    pub(in crate::btrfs) const METADATA_EXTENT: u8 = 169;
    pub(in crate::btrfs) const BLOCK_GROUP: u8 = 192;
    pub(in crate::btrfs) const DEVICE: u8 = 216;
    pub(in crate::btrfs) const CHUNK: u8 = 228;
}

/// Tree and object numbers with a fixed meaning; the negative ones stand as their two's complement.
pub(super) mod object {
    pub(in crate::btrfs) const EXTENT_TREE: u64 = 2;
    pub(in crate::btrfs) const FS_TREE: u64 = 5;
    pub(in crate::btrfs) const ROOT_TREE_DIRECTORY: u64 = 6;
    pub(in crate::btrfs) const CHECKSUM_TREE: u64 = 7;
    pub(in crate::btrfs) const BLOCK_GROUP_TREE: u64 = 11;
    pub(in crate::btrfs) const FIRST_FREE: u64 = 256;
    /// The last subvolume; above it are the negative numbers.
    pub(in crate::btrfs) const LAST_FREE: u64 = u64::MAX - 255;
    pub(in crate::btrfs) const ORPHANS: u64 = u64::MAX - 4;
    pub(in crate::btrfs) const LOG_TREE: u64 = u64::MAX - 5;
    pub(in crate::btrfs) const CHECKSUMS: u64 = u64::MAX - 9;
}

/// The key of an item, in the order of trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// The object: an inode, a tree, a logical address.
    pub(super) object: u64,
    /// What the item is; see [`kind`].
    pub(super) kind: u8,
    /// A third number whose meaning depends on the kind.
    pub(super) offset: u64,
}

impl Key {
    /// Bytes of a key on the disk.
    pub(super) const BYTES: usize = 17;
    /// The first key there can be.
    pub(super) const MIN: Self = Self { object: 0, kind: 0, offset: 0 };
    /// The last key there can be.
    pub(super) const MAX: Self = Self { object: u64::MAX, kind: u8::MAX, offset: u64::MAX };

    pub(super) const fn new(object: u64, kind: u8, offset: u64) -> Self {
        Self { object, kind, offset }
    }

    /// The key that stands at `at`.
    pub(super) fn read(fields: Fields<'_>, at: usize) -> Self {
        Self {
            object: fields.le64(at),
            kind: fields.u8(at.saturating_add(8)),
            offset: fields.le64(at.saturating_add(9)),
        }
    }

    /// The key before this one.
    pub(super) fn before(self) -> Option<Self> {
        if let Some(offset) = self.offset.checked_sub(1) {
            return Some(Self { offset, ..self });
        }
        if let Some(kind) = self.kind.checked_sub(1) {
            return Some(Self { kind, offset: u64::MAX, ..self });
        }
        let object = self.object.checked_sub(1)?;
        Some(Self { object, kind: u8::MAX, offset: u64::MAX })
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} {} {})", self.object, self.kind, self.offset)
    }
}
