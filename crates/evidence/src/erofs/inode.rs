//! Inodes: 32 or 64 bytes at a place that their number tells, attributes and inline data right behind.

use super::Erofs;
use crate::bytes::{Fields, to_u64};
use crate::error::EvidenceError;
use crate::fs::{Attribute, Attributes, FileKind, Metadata, Node};
use crate::time::Time;

/// The bit of a node number that says "in the metadata box", a packed file of inodes.
pub(super) const IN_METABOX: u64 = 1 << 63;

/// How the content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Plain,
    /// As plain, but the last part stands behind the inode.
    Inline,
    /// Compressed; the index is full (8 bytes each) or compact (4 or 2).
    Packed(Index),
    Chunks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    Full,
    Compact,
}

pub(super) struct Inode {
    pub(super) node: Node,
    pub(super) layout: Layout,
    pub(super) is_extended: bool,
    mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    links: u32,
    pub(super) size_bytes: u64,
    seconds: i64,
    nanoseconds: u32,
    /// The 32-bit number for old programs.
    pub(super) short_number: u32,
    /// First block, chunk format or device number; see the layout.
    pub(super) word: u32,
    /// First block with its upper bits; `None` for a hole as long as the file.
    pub(super) start: Option<u64>,
    /// Where its attributes begin, in the metadata it stands in.
    pub(super) attributes_at: u64,
    pub(super) attributes_bytes: u64,
}

pub(super) fn read(fs: &Erofs, node: Node) -> Result<Inode, EvidenceError> {
    let sb = &fs.superblock;
    let base = if node & IN_METABOX != 0 { 0 } else { sb.metadata_at };
    let at = base.saturating_add((node & !IN_METABOX).saturating_mul(32));
    let mut raw = [0; 64];
    let (short, rest) = raw.split_at_mut(32);
    fs.metadata_at(node, at, short)?;
    let format = Fields(short).le16(0);
    let is_extended = format & 1 != 0;
    if is_extended {
        fs.metadata_at(node, at.saturating_add(32), rest)?;
    }
    let f = Fields(&raw);
    let layout = match format >> 1 & 7 {
        0 => Layout::Plain,
        1 => Layout::Packed(Index::Full),
        2 => Layout::Inline,
        3 => Layout::Packed(Index::Compact),
        4 => Layout::Chunks,
        other => {
            return Err(EvidenceError::unsupported(format!("EROFS data layout {other}")));
        }
    };
    if format >> 5 != 0 {
        return Err(EvidenceError::unsupported(format!("EROFS inode format {format:x}")));
    }
    let mode = f.le16(4);
    let is_directory = mode >> 12 == 4;
    let counted = f.le16(2);
    let attributes_bytes = u64::from(counted)
        .checked_sub(1)
        .map_or(0, |more| more.saturating_mul(4).saturating_add(12));
    let attributes_at = at.saturating_add(if is_extended { 64 } else { 32 });
    let word = f.le32(16);
    // Bit 4 says that the one name need not be counted, which frees the field for the upper bits of the address.
    let has_one_name = !is_extended && !is_directory && format & 0x10 != 0;
    let is_wide = is_extended || has_one_name;
    let high = if is_wide { u64::from(f.le16(6)) } else { 0 };
    let start = u64::from(word) | high << 32;
    let is_hole = word == u32::MAX && (!is_wide || high == 0xffff || !sb.is_48bit);
    let mut inode = Inode {
        node,
        layout,
        is_extended,
        mode,
        uid: 0,
        gid: 0,
        links: 1,
        size_bytes: 0,
        seconds: 0,
        nanoseconds: 0,
        short_number: f.le32(20),
        word,
        start: (!is_hole).then_some(start),
        attributes_at,
        attributes_bytes,
    };
    if is_extended {
        inode.size_bytes = f.le64(8);
        // The fields from 16 on are the same; owners are wider and the time is whole.
        (inode.word, inode.short_number) = (f.le32(16), f.le32(20));
        (inode.uid, inode.gid) = (f.le32(24), f.le32(28));
        inode.seconds = i64::from_le_bytes(f.array(32));
        inode.nanoseconds = f.le32(40);
        inode.links = f.le32(44);
    } else {
        inode.size_bytes = u64::from(f.le32(8));
        (inode.uid, inode.gid) = (u32::from(f.le16(24)), u32::from(f.le16(26)));
        inode.seconds = sb.epoch_seconds.saturating_add(i64::from(f.le32(12)));
        inode.nanoseconds = sb.fixed_nanoseconds;
        inode.links = if has_one_name { 1 } else { u32::from(f.le16(6)) };
    }
    if inode.kind() == FileKind::Unknown {
        let name = fs.name_of(node);
        return Err(EvidenceError::corrupt(format!("inode {name} has the mode {mode:o}")));
    }
    Ok(inode)
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

    /// Where what follows the inode and its attributes begins: inline data, chunk list or index.
    pub(super) fn tail_at(&self) -> u64 {
        self.attributes_at.saturating_add(self.attributes_bytes)
    }

    pub(super) fn metadata(&self, fs: &Erofs) -> Metadata {
        let kind = self.kind();
        let time = Some(Time { seconds: self.seconds, nanoseconds: self.nanoseconds });
        let is_modified = fs.superblock.keeps_modified;
        let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
        let marks = match self.layout {
            Layout::Packed(_) => Some(Attribute::Compressed),
            Layout::Inline if to_u64(1) << fs.superblock.block_bits >= self.size_bytes => {
                Some(Attribute::Inline)
            }
            _ => None,
        };
        Metadata {
            node: self.node,
            kind,
            mode: u32::from(self.mode & 0o7777),
            uid: self.uid,
            gid: self.gid,
            links: self.links,
            size_bytes: self.size_bytes,
            accessed: None,
            modified: time.filter(|_| is_modified),
            changed: time.filter(|_| !is_modified),
            born: None,
            generation: None,
            attributes: if is_device { Attributes::default() } else { marks.into_iter().collect() },
            device: is_device.then(|| crate::fs::device::unpacked(self.word)),
        }
    }
}
