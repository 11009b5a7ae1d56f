//! Items that hold names: directory entries, extended attributes and references back to a parent.
//!
//! Layout: `struct btrfs_dir_item`, `btrfs_inode_ref`, `btrfs_inode_extref`, `btrfs_root_ref`. One item may hold several
//! records, because names whose hashes are equal share a key.

use super::key::Key;
use crate::bytes::Fields;

/// Type of a record that is an extended attribute (`BTRFS_FT_XATTR`).
pub(super) const XATTR: u8 = 8;

/// A directory entry or extended attribute.
pub(super) struct Record<'a> {
    /// What an entry names.
    pub(super) target: Key,
    pub(super) kind: u8,
    pub(super) name: &'a [u8],
    /// The value of an attribute.
    pub(super) value: &'a [u8],
}

/// The records of an item, and whether it ends in the middle of one.
pub(super) fn records(item: &[u8]) -> (Vec<Record<'_>>, bool) {
    let mut out = Vec::new();
    let mut rest = item;
    while !rest.is_empty() {
        let fields = Fields(rest);
        let value_bytes = usize::from(fields.le16(25));
        let name_bytes = usize::from(fields.le16(27));
        let value_at = name_bytes.saturating_add(30);
        let end = value_at.saturating_add(value_bytes);
        let (Some(name), Some(value)) = (rest.get(30..value_at), rest.get(value_at..end)) else {
            return (out, true);
        };
        out.push(Record { target: Key::read(fields, 0), kind: fields.u8(29), name, value });
        rest = rest.get(end..).unwrap_or(&[]);
    }
    (out, false)
}

/// One name an inode has, as the inode records it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BackReference {
    pub(super) parent: u64,
    pub(super) index: u64,
    pub(super) name: Vec<u8>,
}

/// The names in an `INODE_REF` item (whose key ends in the parent) or `INODE_EXTREF` item.
pub(super) fn back_references(key: Key, item: &[u8]) -> Vec<BackReference> {
    let is_extended = key.kind == super::key::kind::INODE_EXTREF;
    let mut out = Vec::new();
    let mut rest = item;
    while !rest.is_empty() {
        let fields = Fields(rest);
        let (parent, index, length, at) = if is_extended {
            (fields.le64(0), fields.le64(8), fields.le16(16), 18)
        } else {
            (key.offset, fields.le64(0), fields.le16(8), 10)
        };
        let end = usize::from(length).saturating_add(at);
        let Some(name) = rest.get(at..end) else { break };
        out.push(BackReference { parent, index, name: name.to_vec() });
        rest = rest.get(end..).unwrap_or(&[]);
    }
    out
}

/// Directory and name by which a subvolume stands in another.
pub(super) fn root_reference(item: &[u8]) -> Option<(u64, Vec<u8>)> {
    let fields = Fields(item);
    let length = usize::from(fields.le16(16));
    let name = item.get(18..length.saturating_add(18))?;
    Some((fields.le64(0), name.to_vec()))
}
