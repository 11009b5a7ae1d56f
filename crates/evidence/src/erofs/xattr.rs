//! Extended attributes: behind the inode, or in an area that inodes share; names may begin with a prefix from a table.

use super::Erofs;
use super::inode::{IN_METABOX, Inode};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{RawPath, Xattr};

/// A name prefix of this file system: one of the usual ones and what follows it.
pub(super) struct Prefix {
    base: u8,
    infix: Vec<u8>,
}

/// The table of long prefixes.
pub(super) fn read_prefixes(fs: &Erofs) -> Result<Vec<Prefix>, EvidenceError> {
    let sb = &fs.superblock;
    let mut out = Vec::new();
    let mut at = sb.prefixes_at;
    // They stand in the metadata box or the packed file where there is one, unless the superblock says otherwise.
    let file = fs.metabox.as_deref().or(fs.packed.as_deref()).filter(|_| !sb.prefixes_are_plain);
    let fill = |at: u64, buf: &mut [u8]| match file {
        Some(file) => fs.content_exactly(file, at, buf),
        None => fs.metadata_at(0, at, buf),
    };
    for _ in 0..sb.prefixes {
        at = at.next_multiple_of(4);
        let mut length = [0; 2];
        fill(at, &mut length)?;
        let length = u16::from_le_bytes(length);
        if !(1..=256).contains(&length) {
            return Err(EvidenceError::corrupt(format!("attribute prefix of {length} bytes")));
        }
        let mut raw = vec![0; usize::from(length)];
        fill(at.saturating_add(2), &mut raw)?;
        at = at.saturating_add(2).saturating_add(u64::from(length));
        let base = raw.remove(0);
        out.push(Prefix { base, infix: raw });
    }
    Ok(out)
}

pub(super) fn read(fs: &Erofs, inode: &Inode) -> Result<Vec<Xattr>, EvidenceError> {
    let mut out = Vec::new();
    if inode.attributes_bytes < 12 {
        return Ok(out);
    }
    // At most 12 + 65534 * 4 bytes.
    let mut raw = vec![0; to_usize(inode.attributes_bytes)];
    fs.metadata_at(inode.node, inode.attributes_at, &mut raw)?;
    let fields = Fields(&raw);
    let shared = usize::from(fields.u8(4));
    let mut at = 12_usize.saturating_add(shared.saturating_mul(4));
    let owner = if fs.superblock.shared_in_metabox { IN_METABOX } else { 0 };
    let area = if fs.superblock.shared_in_metabox { 0 } else { fs.superblock.shared_at };
    for index in 0..shared {
        let number = fields.le32(12_usize.saturating_add(index.saturating_mul(4)));
        let mut place = area.saturating_add(u64::from(number).saturating_mul(4));
        let mut head = [0; 4];
        fs.metadata_at(owner, place, &mut head)?;
        place = place.saturating_add(4);
        let (name_bytes, value_bytes) = lengths(&head);
        let mut body = vec![0; name_bytes.saturating_add(value_bytes)];
        fs.metadata_at(owner, place, &mut body)?;
        out.push(entry(fs, &head, &body)?);
    }
    while at.saturating_add(4) <= raw.len() {
        let head: [u8; 4] = fields.array(at);
        let (name_bytes, value_bytes) = lengths(&head);
        let length = name_bytes.saturating_add(value_bytes);
        let body = fields.slice(at.saturating_add(4), length);
        if head == [0; 4] {
            break;
        }
        if body.len() != length {
            let (node, left) = (inode.node, to_u64(raw.len().saturating_sub(at)));
            return Err(EvidenceError::corrupt(format!(
                "an attribute of {length} bytes in the last {left} of inode {node}'s"
            )));
        }
        out.push(entry(fs, &head, body)?);
        at = at.saturating_add(4).saturating_add(length).next_multiple_of(4);
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

fn lengths(head: &[u8; 4]) -> (usize, usize) {
    let head = Fields(head);
    (usize::from(head.u8(0)), usize::from(head.le16(2)))
}

fn entry(fs: &Erofs, head: &[u8; 4], body: &[u8]) -> Result<Xattr, EvidenceError> {
    let (name_bytes, _) = lengths(head);
    let index = Fields(head).u8(1);
    let mut name = if index & 0x80 == 0 {
        usual_prefix(index).to_vec()
    } else {
        let prefix = fs.prefixes.get(usize::from(index & 0x7f)).ok_or_else(|| {
            let (number, total) = (index & 0x7f, fs.prefixes.len());
            EvidenceError::corrupt(format!("attribute prefix {number} of a table of {total}"))
        })?;
        [usual_prefix(prefix.base), &prefix.infix].concat()
    };
    let (rest, value) = body.split_at_checked(name_bytes).unwrap_or_default();
    name.extend_from_slice(rest);
    Ok(Xattr { name: RawPath(name), value: value.to_vec() })
}

fn usual_prefix(index: u8) -> &'static [u8] {
    match index {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        5 => b"lustre.",
        6 => b"security.",
        _ => b"unknown.",
    }
}
