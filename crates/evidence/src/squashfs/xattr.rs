//! Extended attributes: a set is shared by every inode that has the same, a value by every set that has it.

use super::Squash;
use super::inode::{Inode, NONE};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::{RawPath, Xattr};

/// Linux lets a value have 64 KiB, and all names of an inode together as many.
const MAX_VALUE_BYTES: u32 = 65_536;
const MAX_COUNT: u32 = 4096;
/// A set may name one value again and again; this bounds what that comes to.
const MAX_TOTAL_BYTES: usize = 16 << 20;

pub(super) fn read(fs: &Squash, inode: &Inode) -> Result<Vec<Xattr>, EvidenceError> {
    let mut out: Vec<Xattr> = Vec::new();
    let Some(head_at) = fs.superblock.xattr_table.filter(|_| inode.xattrs != NONE) else {
        return Ok(out);
    };
    let mut head = [0; 16];
    fs.near.fill(head_at, &mut head).map_err(EvidenceError::read("the attribute table"))?;
    let head = Fields(&head);
    let (table, sets) = (head.le64(0), head.le32(8));
    let set = inode.xattrs;
    if set >= sets {
        let number = inode.number;
        return Err(EvidenceError::corrupt(format!(
            "inode {number} has the attribute set {set} of a table of {sets}"
        )));
    }
    let raw: [u8; 16] = fs.table_entry(head_at.saturating_add(16), u64::from(set))?;
    let (reference, count) = (Fields(&raw).le64(0), Fields(&raw).le32(8));
    if count > MAX_COUNT {
        return Err(EvidenceError::refused(format!(
            "attribute set {set} has {count} attributes, more than {MAX_COUNT}"
        )));
    }
    let at = |reference: u64| {
        fs.cursor(table.saturating_add(reference >> 16), to_usize(reference & 0xffff))
    };
    let mut cursor = at(reference);
    let mut total = 0_usize;
    for _ in 0..count {
        let fixed: [u8; 4] = cursor.array()?;
        let form = Fields(&fixed).le16(0);
        let mut name = match form & 0xff {
            0 => b"user.".to_vec(),
            1 => b"trusted.".to_vec(),
            2 => b"security.".to_vec(),
            other => format!("unknown-{other}.").into_bytes(),
        };
        name.extend(cursor.bytes(usize::from(Fields(&fixed).le16(2)))?);
        let length = u32::from_le_bytes(cursor.array()?);
        let value = if form & 0x100 != 0 {
            // The value stands elsewhere, because another set has it too.
            let mut value = at(u64::from_le_bytes(cursor.array()?));
            let length = u32::from_le_bytes(value.array()?);
            value.bytes(bounded(length, set)?)?
        } else {
            cursor.bytes(bounded(length, set)?)?
        };
        total = total.saturating_add(value.len()).saturating_add(name.len());
        if total > MAX_TOTAL_BYTES {
            return Err(EvidenceError::refused(format!(
                "attribute set {set} has more than {MAX_TOTAL_BYTES} bytes"
            )));
        }
        out.push(Xattr { name: RawPath(name), value });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

fn bounded(length: u32, set: u32) -> Result<usize, EvidenceError> {
    if length > MAX_VALUE_BYTES {
        return Err(EvidenceError::corrupt(format!(
            "a value of {length} bytes in attribute set {set}, expected at most {MAX_VALUE_BYTES}"
        )));
    }
    Ok(to_usize(u64::from(length)))
}
