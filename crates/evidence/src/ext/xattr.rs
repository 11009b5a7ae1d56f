//! Extended attributes: behind the fixed part of the inode, in a block of their own, or with their value in an inode.

use super::inode::{self, Inode};
use super::{Ext, acl, blocks};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::{RawPath, Xattr};

const MAGIC: u32 = 0xea02_0000;
const ACCESS_LIST: u8 = 2;
const DEFAULT_LIST: u8 = 3;
/// Linux lets a value have 64 KiB; one in an inode of its own may be longer, but none that matters is.
const MAX_VALUE_BYTES: u64 = 1 << 20;
/// All values of one inode together: attributes may share value inodes, so that few bytes on disk could claim many.
const MAX_TOTAL_BYTES: usize = 16 << 20;

pub(super) fn read(ext: &Ext, inode: &Inode) -> Result<Vec<Xattr>, EvidenceError> {
    let mut out = Vec::new();
    if ext.superblock.inode_bytes > 128 {
        let raw = inode::raw(ext, inode.node)?;
        let tail = raw.get(inode.fields_bytes..).unwrap_or(&[]);
        if Fields(tail).le32(0) == MAGIC {
            entries(ext, tail.get(4..).unwrap_or(&[]), 0, &mut out)?;
        }
    }
    if inode.attribute_block != 0 {
        let block = ext.block(inode.attribute_block)?;
        if Fields(&block).le32(0) != MAGIC {
            let node = inode.node;
            return Err(EvidenceError::corrupt(format!(
                "attribute block of inode {node} lacks its magic number"
            )));
        }
        entries(ext, &block, 32, &mut out)?;
    }
    Ok(out)
}

/// Entries from `at` to the four zero bytes that close them; value offsets count from the start of `area`.
fn entries(
    ext: &Ext,
    area: &[u8],
    mut at: usize,
    out: &mut Vec<Xattr>,
) -> Result<(), EvidenceError> {
    let fields = Fields(area);
    let mut total = 0_usize;
    while fields.le32(at) != 0 && at.saturating_add(16) <= area.len() {
        let name_bytes = usize::from(fields.u8(at));
        let index = fields.u8(at.saturating_add(1));
        let mut name = prefix(index).to_vec();
        name.extend_from_slice(fields.slice(at.saturating_add(16), name_bytes));
        let value_bytes = u64::from(fields.le32(at.saturating_add(8)));
        let value = match fields.le32(at.saturating_add(4)) {
            0 => fields
                .slice(usize::from(fields.le16(at.saturating_add(2))), to_usize(value_bytes))
                .to_vec(),
            node => value_of(ext, node, value_bytes)?,
        };
        total = total.saturating_add(value.len());
        if total > MAX_TOTAL_BYTES {
            return Err(EvidenceError::refused(format!(
                "attributes of more than {MAX_TOTAL_BYTES} bytes"
            )));
        }
        let value = match index {
            ACCESS_LIST | DEFAULT_LIST => acl::shown(&value).unwrap_or(value),
            _ => value,
        };
        out.push(Xattr { name: RawPath(name), value });
        at = at.saturating_add(16).saturating_add(name_bytes.next_multiple_of(4));
    }
    Ok(())
}

/// A value that fills an inode of its own.
fn value_of(ext: &Ext, node: u32, value_bytes: u64) -> Result<Vec<u8>, EvidenceError> {
    let inode = ext.inode(u64::from(node))?;
    // A value inode that itself used inline data would lead back here.
    if !inode.is_value() || inode.has_inline_data() {
        return Err(EvidenceError::corrupt(format!(
            "inode {node} is said to hold an attribute and does not"
        )));
    }
    let mut value = vec![0; to_usize(value_bytes.min(MAX_VALUE_BYTES).min(inode.size_bytes))];
    let got = blocks::read(ext, &inode, 0, &mut value)?;
    value.truncate(got);
    Ok(value)
}

fn prefix(index: u8) -> &'static [u8] {
    match index {
        1 => b"user.",
        ACCESS_LIST => b"system.posix_acl_access",
        DEFAULT_LIST => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        7 => b"system.",
        8 => b"system.richacl",
        9 => b"encryption.",
        10 => b"gnu.",
        _ => b"unknown.",
    }
}
