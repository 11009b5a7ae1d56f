//! `$STANDARD_INFORMATION`, and from it what is common to all file systems.

use super::Ntfs;
use super::name::{Space, times};
use super::object::Object;
use super::record::{Attribute as Raw, Body, kind};
use super::{index, reparse};
use crate::bytes::{Fields, to_u64};
use crate::error::EvidenceError;
use crate::fs::{Attribute, Attributes, FileKind, Metadata};
use crate::time::Time;

/// `FILE_ATTRIBUTE_READONLY` and its neighbours.
const READ_ONLY: u32 = 1;
const SYSTEM: u32 = 4;
const MARKS: [(u32, Attribute); 8] = [
    (READ_ONLY, Attribute::ReadOnly),
    (2, Attribute::Hidden),
    (SYSTEM, Attribute::System),
    (0x20, Attribute::Archive),
    (0x200, Attribute::Sparse),
    (0x400, Attribute::Reparse),
    (0x800, Attribute::Compressed),
    (0x4000, Attribute::Encrypted),
];

/// What the attribute holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standard {
    /// Created, modified, record changed, accessed.
    pub(super) times: [Option<Time>; 4],
    pub(super) flags: u32,
    /// Number of the descriptor in `$Secure`; 0 for none.
    pub(super) security: u32,
    /// Place of the last entry in the change journal.
    pub(super) journal: u64,
}

impl Standard {
    pub(super) fn read(object: &Object) -> Self {
        let found = object.attributes().find(|a| a.kind == kind::STANDARD_INFORMATION);
        let raw = found.and_then(|attribute| attribute.resident()).unwrap_or(&[]);
        let fields = Fields(raw);
        Self {
            times: times(raw),
            flags: fields.le32(32),
            // Present since NTFS 3.0; fields past the end read as zero.
            security: fields.le32(0x34),
            journal: fields.le64(0x40),
        }
    }
}

/// What is recorded about an object.
pub(super) fn metadata(ntfs: &Ntfs, object: &Object) -> Result<Metadata, EvidenceError> {
    let standard = Standard::read(object);
    let [born, modified, changed, accessed] = standard.times;
    let data = object.first(kind::DATA, b"");
    let mut attributes = Attributes::from_flags(standard.flags, &MARKS);
    if data.is_some_and(|data: Raw<'_>| matches!(data.body, Body::Resident(_))) {
        attributes = attributes.with(Attribute::Inline);
    }
    let (kind, target_bytes) = kind_of(ntfs, object, standard.flags)?;
    let size_bytes = match kind {
        FileKind::Directory => directory_bytes(object),
        FileKind::Symlink => target_bytes,
        _ => data.map_or(0, |data| data.size_bytes()),
    };
    // Every Windows file may be run; only the mark "read-only" takes something away.
    let mode =
        if standard.flags & READ_ONLY != 0 && kind != FileKind::Directory { 0o555 } else { 0o777 };
    Ok(Metadata {
        node: object.node(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        links: names(object),
        size_bytes,
        accessed,
        modified,
        changed,
        born,
        generation: Some(u64::from(object.base.sequence())),
        attributes,
        device: None,
    })
}

/// The type, and the length of the target of a link.
pub(super) fn kind_of(
    ntfs: &Ntfs,
    object: &Object,
    flags: u32,
) -> Result<(FileKind, u64), EvidenceError> {
    if let Some(reparse) = reparse::read(ntfs, object)? {
        if let Some(kind) = reparse.kind() {
            return Ok((kind, to_u64(reparse.target().unwrap_or_default().len())));
        }
    } else if flags & SYSTEM != 0
        && !object.base.is_directory()
        && let Some(target) = reparse::interix_target(ntfs, object)
    {
        return Ok((FileKind::Symlink, to_u64(target.len())));
    }
    let kind = if object.base.is_directory() { FileKind::Directory } else { FileKind::File };
    Ok((kind, 0))
}

/// A directory is as large as its index.
fn directory_bytes(object: &Object) -> u64 {
    let outside = object.first(kind::INDEX_ALLOCATION, index::NAMES);
    let found = outside.or_else(|| object.first(kind::INDEX_ROOT, index::NAMES));
    found.map_or(0, |attribute| attribute.size_bytes())
}

/// Names a person would count: the record counts DOS names too, which only repeat.
fn names(object: &Object) -> u32 {
    let dos = object.names().filter(|name| name.space == Space::Dos).count();
    u32::from(object.base.links()).saturating_sub(u32::try_from(dos).unwrap_or(0))
}
