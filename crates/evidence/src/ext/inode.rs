//! Inodes.

use super::{Ext, groups};
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
const FLAG_INDEX: u32 = 0x1000;
pub(super) const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_EA_INODE: u32 = 0x20_0000;
pub(super) const FLAG_INLINE: u32 = 0x1000_0000;

/// The part of an inode whose fields have a meaning; attributes follow it.
pub(super) const KNOWN_BYTES: usize = 160;
/// Where the sixty bytes of the block map begin.
pub(super) const BLOCK_AREA_AT: usize = 0x28;
pub(super) const BLOCK_AREA_BYTES: usize = 60;
pub(super) const LINKS_AT: usize = 0x1a;

pub(super) struct Inode {
    pub(super) node: Node,
    mode: u16,
    uid: u32,
    gid: u32,
    pub(super) links: u16,
    pub(super) size_bytes: u64,
    pub(super) flags: u32,
    pub(super) generation: u32,
    times: [Time; 3],
    born: Option<Time>,
    /// When it was deleted, or the next inode of the orphan list; 0 for a live inode.
    pub(super) deletion_seconds: u32,
    /// The sixty bytes that hold a block map, an extent tree, a link target or inline data.
    pub(super) block_area: [u8; BLOCK_AREA_BYTES],
    pub(super) attribute_block: u64,
    /// Bytes of the inode that belong to its fields; attributes begin after them.
    pub(super) fields_bytes: usize,
    pub(super) project: Option<u32>,
}

/// Reads an inode; one that was never used has no type and is refused.
pub(super) fn read(ext: &Ext, node: Node) -> Result<Inode, EvidenceError> {
    let mut known = [0; KNOWN_BYTES];
    let length = to_usize(ext.superblock.inode_bytes).min(KNOWN_BYTES);
    fill(ext, node, known.get_mut(..length).unwrap_or(&mut []))?;
    parse(ext, node, &known)
}

/// Fills `raw` with the start of an inode, as the view in use has it.
pub(super) fn fill(ext: &Ext, node: Node, raw: &mut [u8]) -> Result<(), EvidenceError> {
    if let Some(newer) = ext.recovered.inodes.get(&node) {
        let count = newer.len().min(raw.len());
        if let (Some(to), Some(from)) = (raw.get_mut(..count), newer.get(..count)) {
            to.copy_from_slice(from);
        }
        return Ok(());
    }
    let offset = groups::inode_offset(ext, node)?;
    ext.fill(&ext.inode_tables, offset, raw)
}

/// A whole inode, with what follows its fields.
pub(super) fn raw(ext: &Ext, node: Node) -> Result<Vec<u8>, EvidenceError> {
    let mut raw = vec![0; to_usize(ext.superblock.inode_bytes)];
    fill(ext, node, &mut raw)?;
    Ok(raw)
}

/// The fields of an inode of which at least [`KNOWN_BYTES`] are given (zeros where it is shorter).
pub(super) fn parse(ext: &Ext, node: Node, raw: &[u8]) -> Result<Inode, EvidenceError> {
    let f = Fields(raw);
    let mode = f.le16(0);
    if mode == 0 {
        return Err(EvidenceError::corrupt(format!("inode {node} is not in use")));
    }
    let bytes = to_usize(ext.superblock.inode_bytes);
    let extra = usize::from(f.le16(0x80)).min(bytes.saturating_sub(128));
    let fields_bytes = extra.saturating_add(128);
    let time = |seconds_at: usize, extra_at: usize| {
        let has_more = extra_at.saturating_add(4) <= fields_bytes;
        let more = if has_more { f.le32(extra_at) } else { 0 };
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
        links: f.le16(LINKS_AT),
        size_bytes: high | u64::from(f.le32(4)),
        flags: f.le32(0x20),
        generation: f.le32(0x64),
        times: [time(8, 0x8c), time(0x10, 0x88), time(0xc, 0x84)],
        born: (fields_bytes >= 0x98).then(|| time(0x90, 0x94)),
        deletion_seconds: f.le32(0x14),
        block_area: f.array(BLOCK_AREA_AT),
        attribute_block: u64::from(f.le32(0x68))
            | if ext.superblock.has_64bit { u64::from(f.le16(0x76)) << 32 } else { 0 },
        fields_bytes,
        project: (fields_bytes >= 0xa0).then(|| f.le32(0x9c)),
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

    /// A directory with a hash index in its first block.
    pub(super) fn is_indexed(&self) -> bool {
        self.flags & FLAG_INDEX != 0
    }

    /// An inode that holds the value of an attribute.
    pub(super) fn is_value(&self) -> bool {
        self.flags & FLAG_EA_INODE != 0
    }

    /// Whether the sixty bytes lead to blocks; devices and short link targets use them for themselves.
    pub(super) fn has_blocks(&self) -> bool {
        match self.kind() {
            FileKind::File | FileKind::Directory => !self.has_inline_data(),
            FileKind::Symlink => !self.has_inline_data() && !self.is_short_link(),
            _ => false,
        }
    }

    /// A link target of less than sixty bytes stands in the inode itself and owns no block.
    pub(super) fn is_short_link(&self) -> bool {
        self.size_bytes < 60 && !self.uses_extents()
    }

    pub(super) fn changed(&self) -> Time {
        let [_, _, changed] = self.times;
        changed
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
