//! Inodes. Layout: `struct btrfs_inode_item`.

use crate::bytes::Fields;
use crate::fs::{Attribute, Attributes, FileKind, Metadata, Node};
use crate::time::Time;

pub(super) const BYTES: usize = 160;
/// Content without checksums (`BTRFS_INODE_NODATASUM`).
const NO_CHECKSUMS: u64 = 1;
const MARKS: [(u32, Attribute); 5] = [
    (1 << 1, Attribute::NoCopyOnWrite),
    (1 << 6, Attribute::Immutable),
    (1 << 7, Attribute::AppendOnly),
    (1 << 8, Attribute::NoDump),
    (1 << 11, Attribute::Compressed),
];

/// An inode as its item records it.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) generation: u64,
    /// The last transaction that changed it.
    pub(super) transaction: u64,
    pub(super) size_bytes: u64,
    /// Bytes its extents take.
    pub(super) used_bytes: u64,
    pub(super) links: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) device: u64,
    pub(super) flags: u64,
    pub(super) accessed: Time,
    pub(super) changed: Time,
    pub(super) modified: Time,
    pub(super) born: Time,
}

/// A time: seconds, then nanoseconds.
pub(super) fn time(fields: Fields<'_>, at: usize) -> Time {
    let seconds = i64::from_le_bytes(fields.array(at));
    Time { seconds, nanoseconds: fields.le32(at.saturating_add(8)) }
}

impl Inode {
    pub(super) fn parse(raw: &[u8]) -> Self {
        let fields = Fields(raw);
        Self {
            generation: fields.le64(0),
            transaction: fields.le64(8),
            size_bytes: fields.le64(16),
            used_bytes: fields.le64(24),
            links: fields.le32(40),
            uid: fields.le32(44),
            gid: fields.le32(48),
            mode: fields.le32(52),
            device: fields.le64(56),
            flags: fields.le64(64),
            accessed: time(fields, 112),
            changed: time(fields, 124),
            modified: time(fields, 136),
            born: time(fields, 148),
        }
    }

    pub(super) fn kind(&self) -> FileKind {
        match self.mode & 0o170_000 {
            0o100_000 => FileKind::File,
            0o040_000 => FileKind::Directory,
            0o120_000 => FileKind::Symlink,
            0o060_000 => FileKind::BlockDevice,
            0o020_000 => FileKind::CharDevice,
            0o010_000 => FileKind::Fifo,
            0o140_000 => FileKind::Socket,
            _ => FileKind::Unknown,
        }
    }

    pub(super) fn has_checksums(&self) -> bool {
        self.flags & NO_CHECKSUMS == 0
    }

    pub(super) fn metadata(&self, node: Node) -> Metadata {
        let [low, high] = [self.flags & 0xffff_ffff, self.flags >> 32];
        let mut attributes = Attributes::from_flags(u32::try_from(low).unwrap_or(0), &MARKS);
        // The upper half holds marks that older kernels may read past; the first is fs-verity.
        if high & 1 != 0 {
            attributes = attributes.with(Attribute::Verity);
        }
        let kind = self.kind();
        let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Metadata {
            node,
            kind,
            mode: self.mode & 0o7777,
            uid: self.uid,
            gid: self.gid,
            links: self.links,
            size_bytes: self.size_bytes,
            accessed: Some(self.accessed),
            modified: Some(self.modified),
            changed: Some(self.changed),
            born: Some(self.born),
            generation: Some(self.generation),
            attributes,
            // The kernel's own form: twenty bits of minor number.
            device: is_device.then(|| (part(self.device >> 20), part(self.device & 0xf_ffff))),
        }
    }
}
