//! Directories. A hashed directory keeps its entries in ordinary blocks and hides its index in entries without an inode,
//! so reading every block in order finds every name without trusting the index.

use super::Ext;
use super::inode::Inode;
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fs::{Entry, Listing, RawPath};
use crate::problem::{Place, Problem, ProblemKind};

/// Largest directory read: about four million names.
const MAX_DIRECTORY_BYTES: u64 = 256 << 20;

pub(super) fn read(ext: &Ext, inode: &Inode) -> Result<Listing, EvidenceError> {
    let mut listing = Listing::default();
    if inode.has_inline_data() {
        let data = ext.inline_data(inode)?;
        // Four bytes name the parent; then entries as in a block, first those in the inode, then those in the attribute.
        block(ext, inode, data.get(4..60.min(data.len())).unwrap_or(&[]), &mut listing);
        block(ext, inode, data.get(60..).unwrap_or(&[]), &mut listing);
        return Ok(listing);
    }
    let block_bytes = ext.superblock.block_bytes;
    let map = ext.map(inode)?;
    let size = inode.size_bytes.min(MAX_DIRECTORY_BYTES);
    if size < inode.size_bytes {
        let text = format!("directory of {} bytes; the first {size} were read", inode.size_bytes);
        listing.problems.push(Problem::new(ProblemKind::Refused, Place::Node(inode.node), text));
    }
    for extent in &map.extents {
        let Some(first) = extent.physical else { continue };
        let end =
            size.div_ceil(block_bytes.max(1)).min(extent.logical.saturating_add(extent.length));
        for index in 0..end.saturating_sub(extent.logical) {
            match ext.block(first.saturating_add(index)) {
                Ok(raw) => block(ext, inode, &raw, &mut listing),
                Err(error) => {
                    listing.problems.push(error.to_problem(Place::Node(inode.node)));
                    if listing.problems.len() > 64 {
                        return Ok(listing);
                    }
                }
            }
        }
    }
    Ok(listing)
}

fn block(ext: &Ext, inode: &Inode, raw: &[u8], listing: &mut Listing) {
    let fields = Fields(raw);
    let mut at = 0_usize;
    while at.saturating_add(8) <= raw.len() {
        let node = fields.le32(at);
        let length = match fields.le16(at.saturating_add(4)) {
            // With 64 KiB blocks a record that fills the block does not fit its own field.
            0 | 65_535 if ext.superblock.block_bytes == 65_536 => 65_536,
            length => usize::from(length),
        };
        if length < 8 || at.saturating_add(length) > raw.len() {
            let text =
                format!("directory record of {length} bytes at {at} of a block of {}", raw.len());
            listing.problems.push(Problem::new(
                ProblemKind::Corrupt,
                Place::Node(inode.node),
                text,
            ));
            return;
        }
        let name_bytes = if ext.superblock.has_file_types {
            usize::from(fields.u8(at.saturating_add(6)))
        } else {
            usize::from(fields.le16(at.saturating_add(6)))
        };
        let name = fields.slice(at.saturating_add(8), name_bytes.min(255));
        if node != 0 && !matches!(name, b"." | b"..") {
            if name.is_empty()
                || name_bytes.saturating_add(8) > length
                || name.contains(&b'/')
                || name.contains(&0)
            {
                let text = format!(
                    "directory entry with the impossible name {:?}",
                    crate::escape_bytes(name)
                );
                listing.problems.push(Problem::new(
                    ProblemKind::Corrupt,
                    Place::Node(inode.node),
                    text,
                ));
            } else {
                listing.entries.push(Entry { name: RawPath(name.to_vec()), node: u64::from(node) });
            }
        }
        at = at.saturating_add(length);
    }
}
