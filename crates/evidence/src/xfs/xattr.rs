//! Extended attributes: in the inode, in leaf blocks, or with their value in blocks of its own.
//!
//! The index above the leaves is only followed down its left edge: leaves know their successor (XFS Algorithms & Data
//! Structures, "Extended Attributes"). Parent pointers use the same room and are told apart by a flag.

use super::content::{self, Headers};
use super::inode::{Fork, Format, Inode};
use super::map::Map;
use super::{Xfs, check};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::acl::{self, AclEntry};
use crate::fs::{RawPath, Xattr};
use std::collections::HashSet;

const FLAG_LOCAL: u8 = 0x1;
const FLAG_ROOT: u8 = 0x2;
const FLAG_SECURE: u8 = 0x4;
const FLAG_PARENT: u8 = 0x8;
const FLAG_INCOMPLETE: u8 = 0x80;
/// Linux lets a value have 64 KiB.
const MAX_VALUE_BYTES: u32 = 65_536;
/// Names and values kept for one inode.
const MAX_ALL_BYTES: usize = 32 << 20;
/// Mismatches kept for one inode.
const MAX_DOUBTS: usize = 16;
const MAX_DEPTH: u32 = 8;

/// What the attribute area of an inode holds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) attributes: Vec<Xattr>,
    /// Parents of the inode: the name there, inode and generation.
    pub(super) parents: Vec<(Vec<u8>, u64, u32)>,
    /// Checksums of blocks that do not match.
    pub(super) doubts: Vec<String>,
    total_bytes: usize,
}

pub(super) fn read(xfs: &Xfs, inode: &Inode) -> Result<Found, EvidenceError> {
    let mut found = Found::default();
    let area = inode.fork(Fork::Attributes);
    if area.is_empty() {
        return Ok(found);
    }
    match inode.format(Fork::Attributes) {
        Format::Local => short(inode, area, &mut found)?,
        _ => leaves(xfs, inode, &mut found)?,
    }
    found.attributes.sort_by(|a, b| a.name.cmp(&b.name));
    found.parents.sort();
    Ok(found)
}

impl Found {
    fn add(
        &mut self,
        inode: &Inode,
        flags: u8,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), EvidenceError> {
        self.total_bytes = self.total_bytes.saturating_add(name.len()).saturating_add(value.len());
        if self.total_bytes > MAX_ALL_BYTES {
            return Err(EvidenceError::refused(format!(
                "inode {} has more than {MAX_ALL_BYTES} bytes of attributes",
                inode.node
            )));
        }
        // Incomplete ones were being set or removed when the machine stopped: no program ever saw them.
        if flags & FLAG_INCOMPLETE != 0 {
            return Ok(());
        }
        if flags & FLAG_PARENT != 0 {
            let f = Fields(value);
            self.parents.push((name.to_vec(), f.be64(0), f.be32(8)));
            return Ok(());
        }
        let is_root = flags & FLAG_ROOT != 0;
        let (name, value) = match (is_root, name) {
            (true, b"SGI_ACL_FILE") => (b"system.posix_acl_access".to_vec(), access_list(value)),
            (true, b"SGI_ACL_DEFAULT") => {
                (b"system.posix_acl_default".to_vec(), access_list(value))
            }
            _ => {
                let space: &[u8] = if is_root {
                    b"trusted."
                } else if flags & FLAG_SECURE != 0 {
                    b"security."
                } else {
                    b"user."
                };
                ([space, name].concat(), value.to_vec())
            }
        };
        self.attributes.push(Xattr { name: RawPath(name), value });
        Ok(())
    }
}

/// A count, then tag, id, permissions and padding of each entry, big endian.
fn access_list(value: &[u8]) -> Vec<u8> {
    let count = to_usize(u64::from(Fields(value).be32(0)));
    let entries = value.get(4..).unwrap_or(&[]).chunks_exact(12).take(count).map(Fields);
    let entries: Vec<AclEntry> = entries
        .map(|f| {
            let tag = u16::try_from(f.be32(0)).unwrap_or(u16::MAX);
            let id = if matches!(tag, 2 | 8) { f.be32(4) } else { acl::NO_ID };
            AclEntry { tag, permissions: f.be16(8), id }
        })
        .collect();
    acl::encode(&entries)
}

/// Attributes inside the inode: total size, count, then lengths, flags, name and value of each.
fn short(inode: &Inode, area: &[u8], found: &mut Found) -> Result<(), EvidenceError> {
    let f = Fields(area);
    let mut at = 4_usize;
    for _ in 0..f.u8(2) {
        let name_bytes = usize::from(f.u8(at));
        let value_bytes = usize::from(f.u8(at.saturating_add(1)));
        let flags = f.u8(at.saturating_add(2));
        let value_at = at.saturating_add(3).saturating_add(name_bytes);
        let end = value_at.saturating_add(value_bytes);
        if end > area.len() {
            return Err(EvidenceError::corrupt(format!(
                "attribute at {at} of inode {} ends at {end} of {} bytes",
                inode.node,
                area.len()
            )));
        }
        let name = f.slice(at.saturating_add(3), name_bytes);
        found.add(inode, flags, name, f.slice(value_at, value_bytes))?;
        at = end;
    }
    Ok(())
}

/// Down the left edge of the index to the first leaf, then along the leaves.
fn leaves(xfs: &Xfs, inode: &Inode, found: &mut Found) -> Result<(), EvidenceError> {
    let map = xfs.map(inode, Fork::Attributes)?;
    if map.runs.is_empty() {
        return Ok(());
    }
    let block_bytes = to_usize(xfs.superblock.block_bytes);
    let mut seen = HashSet::new();
    let mut number = 0_u32;
    let mut depth = 0_u32;
    loop {
        if !seen.insert(number) {
            return Err(EvidenceError::corrupt(format!(
                "attributes of inode {} lead to their block {number} twice",
                inode.node
            )));
        }
        let offset = u64::from(number).saturating_mul(xfs.superblock.block_bytes);
        let raw = content::metadata(xfs, &map, offset, block_bytes)?;
        let f = Fields(&raw);
        if matches!(f.be16(8), 0x3ebe | 0x3bee) && found.doubts.len() < MAX_DOUBTS {
            found.doubts.extend(doubt(xfs, &map, number, &raw));
        }
        match f.be16(8) {
            // An index node: header of 16 or 64 bytes, then pairs of hash and child.
            magic @ (0xfebe | 0x3ebe) => {
                depth = depth.saturating_add(1);
                if depth > MAX_DEPTH {
                    return Err(EvidenceError::corrupt(format!(
                        "attribute index of inode {} is more than {MAX_DEPTH} deep",
                        inode.node
                    )));
                }
                number = f.be32(if magic == 0xfebe { 20 } else { 68 });
            }
            magic @ (0xfbee | 0x3bee) => {
                leaf(xfs, inode, &map, &raw, magic, found)?;
                number = f.be32(0);
                if number == 0 {
                    return Ok(());
                }
            }
            magic => {
                return Err(EvidenceError::corrupt(format!(
                    "attribute block {number} of inode {} has magic number {magic:04x}",
                    inode.node
                )));
            }
        }
    }
}

fn doubt(xfs: &Xfs, map: &Map, number: u32, raw: &[u8]) -> Option<String> {
    let logical = u64::from(number);
    let run = map.at(logical).filter(|run| run.logical <= logical)?;
    let block = run.block.saturating_add(logical.saturating_sub(run.logical));
    xfs.block_doubt(block, raw, check::DA_BLOCK)
}

fn leaf(
    xfs: &Xfs,
    inode: &Inode,
    map: &Map,
    raw: &[u8],
    magic: u16,
    found: &mut Found,
) -> Result<(), EvidenceError> {
    let f = Fields(raw);
    let (count, first) = if magic == 0xfbee { (f.be16(12), 32_usize) } else { (f.be16(56), 80) };
    for entry in raw.get(first..).unwrap_or(&[]).chunks_exact(8).take(usize::from(count)) {
        let entry = Fields(entry);
        let (at, flags) = (usize::from(entry.be16(4)), entry.u8(6));
        let is_local = flags & FLAG_LOCAL != 0;
        let (length_at, name_at) = if is_local { (2, 3) } else { (8, 9_usize) };
        let name_bytes = usize::from(f.u8(at.saturating_add(length_at)));
        let name = f.slice(at.saturating_add(name_at), name_bytes);
        if name.len() != name_bytes {
            return Err(EvidenceError::corrupt(format!(
                "attribute of inode {} has its name of {name_bytes} bytes at {at} of {}",
                inode.node,
                raw.len()
            )));
        }
        if is_local {
            let value_bytes = usize::from(f.be16(at));
            let value = f.slice(at.saturating_add(3).saturating_add(name_bytes), value_bytes);
            if value.len() != value_bytes {
                return Err(EvidenceError::corrupt(format!(
                    "attribute of inode {} has a value of {value_bytes} bytes at {at} of {}",
                    inode.node,
                    raw.len()
                )));
            }
            found.add(inode, flags, name, value)?;
        } else if flags & FLAG_INCOMPLETE == 0 {
            let value = remote(xfs, inode, map, f.be32(at), f.be32(at.saturating_add(4)))?;
            found.add(inode, flags, name, &value)?;
        }
    }
    Ok(())
}

/// A value in blocks of its own; in version 5 each begins with a header of 56 bytes.
fn remote(
    xfs: &Xfs,
    inode: &Inode,
    map: &Map,
    block: u32,
    length: u32,
) -> Result<Vec<u8>, EvidenceError> {
    if length > MAX_VALUE_BYTES {
        return Err(EvidenceError::corrupt(format!(
            "attribute value of inode {} is {length} bytes long",
            inode.node
        )));
    }
    let offset = u64::from(block).saturating_mul(xfs.superblock.block_bytes);
    content::remote(xfs, map, offset, to_usize(u64::from(length)), Headers::EachBlock)
}
