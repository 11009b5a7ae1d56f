//! Inodes: seven kinds, each in a short and an extended form.

use super::Squash;
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::{Attributes, FileKind, Metadata, Node, RawPath};
use crate::time::Time;

/// Marks "no block of tail ends" and "no attributes".
pub(super) const NONE: u32 = u32::MAX;
/// Longest link target Linux accepts, in bytes.
const MAX_LINK_BYTES: u32 = 65_536;

pub(super) struct Inode {
    pub(super) node: Node,
    /// Its place after the fixed part, where block lists and link targets stand.
    pub(super) block: u64,
    pub(super) within: usize,
    pub(super) kind: FileKind,
    pub(super) is_extended: bool,
    mode: u16,
    owners: [u16; 2],
    modified: u32,
    pub(super) number: u32,
    links: u32,
    pub(super) size_bytes: u64,
    device: u32,
    pub(super) xattrs: u32,
    pub(super) body: Body,
}

/// What only some kinds have.
pub(super) enum Body {
    Directory { block: u32, within: u16, parent: u32 },
    File { start: u64, fragment: u32, fragment_offset: u32, sparse_bytes: u64 },
    Other,
}

/// Reads the inode a reference names: the block in the inode table in the upper bits, the place within in the lower 16.
pub(super) fn read(fs: &Squash, node: Node) -> Result<Inode, EvidenceError> {
    let table = fs.superblock.inode_table;
    let block = table.saturating_add(node >> 16);
    let within = to_usize(node & 0xffff);
    if node >> 48 != 0 || (block >= fs.superblock.directory_table && block > table) {
        let name = format!("{}:{within}", node >> 16);
        return Err(EvidenceError::corrupt(format!("inode {name} lies beyond the inode table")));
    }
    let mut cursor = fs.cursor(block, within);
    let head: [u8; 16] = cursor.array()?;
    let head = Fields(&head);
    let form = head.le16(0);
    let is_extended = (8..=14).contains(&form);
    let kind = match if is_extended { form.saturating_sub(7) } else { form } {
        1 => FileKind::Directory,
        2 => FileKind::File,
        3 => FileKind::Symlink,
        4 => FileKind::BlockDevice,
        5 => FileKind::CharDevice,
        6 => FileKind::Fifo,
        7 => FileKind::Socket,
        _ => {
            let name = format!("{}:{within}", node >> 16);
            return Err(EvidenceError::corrupt(format!("inode {name} is of the kind {form}")));
        }
    };
    let mut inode = Inode {
        node,
        block,
        within,
        kind,
        is_extended,
        mode: head.le16(2),
        owners: [head.le16(4), head.le16(6)],
        modified: head.le32(8),
        number: head.le32(12),
        links: 1,
        size_bytes: 0,
        device: 0,
        xattrs: NONE,
        body: Body::Other,
    };
    let fixed = match (kind, is_extended) {
        (FileKind::Directory, false) => 16,
        (FileKind::Directory, true) => 24,
        (FileKind::File, false) => 16,
        (FileKind::File, true) => 40,
        (FileKind::Symlink, _) => 8,
        (FileKind::BlockDevice | FileKind::CharDevice, false) => 8,
        (FileKind::BlockDevice | FileKind::CharDevice, true) => 12,
        (_, false) => 4,
        (_, true) => 8,
    };
    let rest = cursor.bytes(fixed)?;
    inode.fields(Fields(&rest));
    inode.within = within.saturating_add(16).saturating_add(fixed);
    if kind == FileKind::Symlink && is_extended {
        let mut after = inode.cursor(fs)?;
        let _ = after.bytes(to_usize(inode.size_bytes.min(u64::from(MAX_LINK_BYTES))))?;
        inode.xattrs = u32::from_le_bytes(after.array()?);
    }
    Ok(inode)
}

impl Inode {
    fn fields(&mut self, f: Fields<'_>) {
        match (self.kind, self.is_extended) {
            (FileKind::Directory, false) => {
                self.links = f.le32(4);
                self.size_bytes = u64::from(f.le16(8));
                self.body =
                    Body::Directory { block: f.le32(0), within: f.le16(10), parent: f.le32(12) };
            }
            (FileKind::Directory, true) => {
                self.links = f.le32(0);
                self.size_bytes = u64::from(f.le32(4));
                self.xattrs = f.le32(20);
                self.body =
                    Body::Directory { block: f.le32(8), within: f.le16(18), parent: f.le32(12) };
            }
            (FileKind::File, false) => {
                self.size_bytes = u64::from(f.le32(12));
                self.body = Body::File {
                    start: u64::from(f.le32(0)),
                    fragment: f.le32(4),
                    fragment_offset: f.le32(8),
                    sparse_bytes: 0,
                };
            }
            (FileKind::File, true) => {
                self.size_bytes = f.le64(8);
                self.links = f.le32(24);
                self.xattrs = f.le32(36);
                self.body = Body::File {
                    start: f.le64(0),
                    fragment: f.le32(28),
                    fragment_offset: f.le32(32),
                    sparse_bytes: f.le64(16),
                };
            }
            (FileKind::Symlink, _) => {
                self.links = f.le32(0);
                self.size_bytes = u64::from(f.le32(4));
            }
            (FileKind::BlockDevice | FileKind::CharDevice, is_extended) => {
                self.links = f.le32(0);
                self.device = f.le32(4);
                self.xattrs = if is_extended { f.le32(8) } else { NONE };
            }
            (_, is_extended) => {
                self.links = f.le32(0);
                self.xattrs = if is_extended { f.le32(4) } else { NONE };
            }
        }
    }

    /// Reads on behind the fixed part.
    pub(super) fn cursor<'a>(
        &self,
        fs: &'a Squash,
    ) -> Result<super::table::Cursor<'a>, EvidenceError> {
        let mut cursor = fs.cursor(self.block, to_usize(self.node & 0xffff));
        // The fixed part may itself cross into the next block, so the way there is read again.
        let passed = self.within.saturating_sub(to_usize(self.node & 0xffff));
        let _ = cursor.bytes(passed)?;
        Ok(cursor)
    }

    pub(super) fn metadata(&self, fs: &Squash) -> Result<Metadata, EvidenceError> {
        let [user, group] = self.owners;
        let is_device = matches!(self.kind, FileKind::BlockDevice | FileKind::CharDevice);
        Ok(Metadata {
            node: self.node,
            kind: self.kind,
            mode: u32::from(self.mode & 0o7777),
            uid: fs.owner(user)?,
            gid: fs.owner(group)?,
            links: self.links,
            size_bytes: self.size_bytes,
            accessed: None,
            modified: Some(Time { seconds: i64::from(self.modified), nanoseconds: 0 }),
            changed: None,
            born: None,
            generation: None,
            attributes: Attributes::default(),
            device: is_device.then(|| crate::fs::device::unpacked(self.device)),
        })
    }

    pub(super) fn link(&self, fs: &Squash) -> Result<RawPath, EvidenceError> {
        let size = self.size_bytes;
        if size == 0 || size > u64::from(MAX_LINK_BYTES) {
            return Err(EvidenceError::corrupt(format!(
                "link target of inode {} is {size} bytes long",
                self.number
            )));
        }
        Ok(RawPath(self.cursor(fs)?.bytes(to_usize(size))?))
    }
}
