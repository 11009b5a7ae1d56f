//! Inodes.

use super::Ext;
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::{Attribute, Attributes, FileKind, Metadata, Node};
use crate::time::Time;

/// The flags that are shown, by their bits in `i_flags`.
const ATTRIBUTES: [(u32, Attribute); 7] = [
    (0x10, Attribute::Immutable),
    (0x20, Attribute::AppendOnly),
    (0x40, Attribute::NoDump),
    (FLAG_ENCRYPTED, Attribute::Encrypted),
    (0x10_0000, Attribute::Verity),
    (FLAG_INLINE, Attribute::Inline),
    (0x4000_0000, Attribute::CaseFolded),
];
const FLAG_ENCRYPTED: u32 = 0x800;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE: u32 = 0x1000_0000;

pub(super) struct Inode {
    pub(super) node: Node,
    mode: u16,
    uid: u32,
    gid: u32,
    links: u16,
    pub(super) size_bytes: u64,
    flags: u32,
    generation: u32,
    times: [Time; 3],
    born: Option<Time>,
    /// The sixty bytes that hold a block map, an extent tree, a link target or inline data.
    pub(super) block_area: [u8; 60],
    pub(super) attribute_block: u64,
    /// What follows the fixed part of the inode: attributes.
    pub(super) tail: Vec<u8>,
}

/// Reads an inode; one that was never used or was deleted has no type and is refused.
pub(super) fn read(ext: &Ext, node: Node) -> Result<Inode, EvidenceError> {
    let offset = ext.superblock.inode_offset(ext, node)?;
    let bytes = ext.superblock.inode_bytes;
    let raw = ext.read_through(offset, to_usize(bytes))?;
    let f = Fields(&raw);
    let mode = f.le16(0);
    if mode == 0 || (f.le16(0x1a) == 0 && f.le32(0x14) != 0) {
        return Err(EvidenceError::corrupt(format!("inode {node} is not in use")));
    }
    let extra = if bytes > 128 {
        usize::from(f.le16(0x80)).min(to_usize(bytes).saturating_sub(128))
    } else {
        0
    };
    let time = |seconds_at: usize, extra_at: usize| {
        let more = if extra_at.saturating_add(4) <= extra.saturating_add(128) {
            f.le32(extra_at)
        } else {
            0
        };
        // Two bits carry the seconds past 2038, thirty the nanoseconds.
        let seconds = i64::from(i32::from_le_bytes(f.array(seconds_at)))
            .saturating_add(i64::from(more & 3) << 32);
        Time { seconds, nanoseconds: more >> 2 }
    };
    let is_file = mode & 0xf000 == 0x8000;
    let is_directory = mode & 0xf000 == 0x4000;
    let high = if is_file || is_directory { u64::from(f.le32(0x6c)) << 32 } else { 0 };
    Ok(Inode {
        node,
        mode,
        uid: u32::from(f.le16(2)) | u32::from(f.le16(0x78)) << 16,
        gid: u32::from(f.le16(0x18)) | u32::from(f.le16(0x7a)) << 16,
        links: f.le16(0x1a),
        size_bytes: high | u64::from(f.le32(4)),
        flags: f.le32(0x20),
        generation: f.le32(0x64),
        times: [time(8, 0x8c), time(0x10, 0x88), time(0xc, 0x84)],
        born: (extra >= 0x98 - 0x80).then(|| time(0x90, 0x94)),
        block_area: f.array(0x28),
        attribute_block: u64::from(f.le32(0x68))
            | if ext.superblock.has_64bit { u64::from(f.le16(0x76)) << 32 } else { 0 },
        tail: raw.get(extra.saturating_add(128)..).unwrap_or(&[]).to_vec(),
    })
}

impl Inode {
    pub(super) fn kind(&self) -> FileKind {
        match self.mode >> 12 {
            0x1 => FileKind::Fifo,
            0x2 => FileKind::CharDevice,
            0x4 => FileKind::Directory,
            0x6 => FileKind::BlockDevice,
            0x8 => FileKind::File,
            0xa => FileKind::Symlink,
            0xc => FileKind::Socket,
            _ => FileKind::Unknown,
        }
    }

    pub(super) fn uses_extents(&self) -> bool {
        self.flags & FLAG_EXTENTS != 0
    }

    pub(super) fn has_inline_data(&self) -> bool {
        self.flags & FLAG_INLINE != 0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & FLAG_ENCRYPTED != 0
    }

    pub(super) fn metadata(&self) -> Metadata {
        let kind = self.kind();
        let [accessed, modified, changed] = self.times;
        let device =
            matches!(kind, FileKind::BlockDevice | FileKind::CharDevice).then(|| self.device());
        Metadata {
            node: self.node,
            kind,
            mode: u32::from(self.mode & 0o7777),
            uid: self.uid,
            gid: self.gid,
            links: u32::from(self.links),
            size_bytes: self.size_bytes,
            accessed: Some(accessed),
            modified: Some(modified),
            changed: Some(changed),
            born: self.born,
            generation: Some(u64::from(self.generation)),
            attributes: Attributes::from_flags(self.flags, &ATTRIBUTES),
            device,
        }
    }

    /// Small numbers stand in the first word as two bytes, others in the second as the kernel packs them.
    fn device(&self) -> (u32, u32) {
        let f = Fields(&self.block_area);
        let (old, new) = (f.le32(0), f.le32(4));
        if old != 0 {
            (old >> 8 & 0xff, old & 0xff)
        } else {
            (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xfff00)
        }
    }
}
