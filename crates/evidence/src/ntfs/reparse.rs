//! Reparse points: links, mount points, and files whose content another driver makes ([MS-FSCC] 2.1.2).

use super::Ntfs;
use super::object::Object;
use super::record::kind;
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fs::FileKind;
use crate::wide::wtf8;

/// Largest reparse data Windows accepts, with its header.
const MAX_REPARSE_BYTES: u64 = 16 * 1024 + 24;

const TAG_MOUNT_POINT: u32 = 0xa000_0003;
const TAG_SYMLINK: u32 = 0xa000_000c;
const TAG_LX_SYMLINK: u32 = 0xa000_001d;
/// Compressed by the Windows Overlay Filter.
pub(super) const TAG_WOF: u32 = 0x8000_0017;
const TAG_DEDUP: u32 = 0x8000_0013;
/// Cloud files: the fourth digit counts their versions.
const TAG_CLOUD: u32 = 0x9000_001a;
const CLOUD_MASK: u32 = 0xffff_0fff;
/// How Interix and ntfs-3g mark the content of a system file that is a link.
const INTERIX_LINK: &[u8] = b"IntxLNK\x01";

/// The reparse data of an object.
pub(super) struct Reparse {
    pub(super) tag: u32,
    /// What follows the header of eight bytes.
    data: Vec<u8>,
}

/// The reparse point of an object, if it is one.
pub(super) fn read(ntfs: &Ntfs, object: &Object) -> Result<Option<Reparse>, EvidenceError> {
    // Damage elsewhere in the record must not turn every file into an error.
    if object.first(kind::REPARSE_POINT, b"").is_none() {
        return Ok(None);
    }
    let raw = object.value(ntfs, kind::REPARSE_POINT, b"", MAX_REPARSE_BYTES)?;
    Ok(raw.map(|raw| {
        let fields = Fields(&raw);
        let length = usize::from(fields.le16(4)).min(raw.len().saturating_sub(8));
        Reparse { tag: fields.le32(0), data: fields.slice(8, length).to_vec() }
    }))
}

impl Reparse {
    /// The type of object it stands for, where the tag says so.
    pub(super) fn kind(&self) -> Option<FileKind> {
        match self.tag {
            TAG_MOUNT_POINT | TAG_SYMLINK | TAG_LX_SYMLINK => Some(FileKind::Symlink),
            0x8000_0023 => Some(FileKind::Socket),
            0x8000_0024 => Some(FileKind::Fifo),
            0x8000_0025 => Some(FileKind::CharDevice),
            0x8000_0026 => Some(FileKind::BlockDevice),
            _ => None,
        }
    }

    /// Where a link leads, as stored: the name for the system, not the one for people.
    pub(super) fn target(&self) -> Option<Vec<u8>> {
        match self.tag {
            // A version, then the target in UTF-8.
            TAG_LX_SYMLINK => Some(self.data.get(4..)?.to_vec()),
            TAG_MOUNT_POINT | TAG_SYMLINK => Some(wtf8(self.part(0)?)),
            _ => None,
        }
    }

    /// The name of the target that is shown to people.
    pub(super) fn shown_target(&self) -> Option<Vec<u8>> {
        match self.tag {
            TAG_MOUNT_POINT | TAG_SYMLINK => Some(wtf8(self.part(4)?)),
            _ => None,
        }
    }

    fn part(&self, at: usize) -> Option<&[u8]> {
        let fields = Fields(&self.data);
        let names = if self.tag == TAG_SYMLINK { 12 } else { 8 };
        let start = usize::from(fields.le16(at)).checked_add(names)?;
        let length = usize::from(fields.le16(at.saturating_add(2)));
        self.data.get(start..start.checked_add(length)?)
    }

    /// The format of a file compressed by the overlay filter.
    pub(super) fn overlay_format(&self) -> Option<u32> {
        let fields = Fields(&self.data);
        // Version 1, provider 2: a file; then version 1 and the format.
        (self.tag == TAG_WOF && fields.le32(0) == 1 && fields.le32(4) == 2 && fields.le32(8) == 1)
            .then(|| fields.le32(12))
    }

    /// Why the content of such a file is not in its own clusters; `is_remote` by the attributes of the file.
    pub(super) fn missing_content(&self, flags: u32) -> Option<&'static str> {
        match self.tag {
            TAG_WOF => Some("a file of the Windows Overlay Filter"),
            TAG_DEDUP => Some("a deduplicated file"),
            tag if tag & CLOUD_MASK == TAG_CLOUD & CLOUD_MASK && flags & REMOTE != 0 => {
                Some("a cloud file whose content is not on this disk")
            }
            _ => None,
        }
    }

    /// The usual name of the tag.
    pub(super) fn tag_name(&self) -> &'static str {
        match self.tag {
            TAG_MOUNT_POINT => "mount point",
            TAG_SYMLINK => "symbolic link",
            TAG_LX_SYMLINK => "Linux symbolic link",
            TAG_WOF => "Windows Overlay Filter",
            TAG_DEDUP => "deduplication",
            0x8000_001b => "application execution link",
            0x8000_0023 => "Linux socket",
            0x8000_0024 => "Linux FIFO",
            0x8000_0025 => "Linux character device",
            0x8000_0026 => "Linux block device",
            tag if tag & CLOUD_MASK == TAG_CLOUD & CLOUD_MASK => "cloud file",
            _ => "unknown",
        }
    }
}

/// Attributes of a file that has to be fetched: offline, recall on open, recall on data access.
const REMOTE: u32 = 0x1000 | 0x0004_0000 | 0x0040_0000;

/// The target of a link as Interix and ntfs-3g write it: a system file with a mark and UTF-16.
pub(super) fn interix_target(ntfs: &Ntfs, object: &Object) -> Option<Vec<u8>> {
    let size = object.first(kind::DATA, b"")?.size_bytes();
    if !(10..=8 + 2 * 4095).contains(&size) {
        return None;
    }
    let raw = object.value(ntfs, kind::DATA, b"", size).ok()??;
    raw.strip_prefix(INTERIX_LINK).map(wtf8)
}
