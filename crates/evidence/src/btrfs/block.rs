//! One block of a tree: a header, then items (leaf) or pointers to blocks below (node).
//!
//! All that can be checked without the parent is checked once, when the block is read: checksum, own address, owner file
//! system, order of keys, and that every item lies inside. Layout: `struct btrfs_header`, `btrfs_item`, `btrfs_key_ptr`.

use super::key::Key;
use super::superblock::Superblock;
use crate::bytes::{Fields, to_usize};

const HEADER_BYTES: usize = 101;
const ITEM_BYTES: usize = 25;
const POINTER_BYTES: usize = 33;
/// The deepest level the format allows (`BTRFS_MAX_LEVEL` is 8 levels).
pub(super) const MAX_LEVEL: u8 = 7;

/// A checked block.
pub(super) struct Block {
    raw: Vec<u8>,
    pub(super) level: u8,
    pub(super) generation: u64,
    pub(super) count: usize,
}

impl Block {
    /// Checks the bytes read for `address`; the error says what is wrong with them.
    pub(super) fn parse(raw: Vec<u8>, address: u64, of: &Superblock) -> Result<Self, String> {
        let fields = Fields(&raw);
        if !of.checksum.agrees(raw.get(32..).unwrap_or(&[]), &raw) {
            return Err(format!("contradicts its {}", of.checksum.name()));
        }
        if fields.le64(0x30) != address {
            return Err(format!("says it stands at {}", fields.le64(0x30)));
        }
        if fields.array::<16>(0x20) != of.metadata_uuid {
            return Err("belongs to another file system".to_owned());
        }
        let count = to_usize(u64::from(fields.le32(0x60)));
        let level = fields.u8(0x64);
        let each = if level == 0 { ITEM_BYTES } else { POINTER_BYTES };
        let most = raw.len().saturating_sub(HEADER_BYTES).checked_div(each).unwrap_or(0);
        if level > MAX_LEVEL || count > most || (count == 0 && level > 0) {
            return Err(format!("has level {level} and {count} entries of at most {most}"));
        }
        let block = Self { level, generation: fields.le64(0x50), count, raw };
        block.check()?;
        Ok(block)
    }

    /// Keys must rise, and items lie inside the block.
    fn check(&self) -> Result<(), String> {
        let mut last: Option<Key> = None;
        for index in 0..self.count {
            let key = self.key(index);
            if last.is_some_and(|last| last >= key) {
                return Err(format!("has its keys out of order at entry {index}"));
            }
            last = Some(key);
            if self.level == 0 && self.span(index).is_none_or(|span| self.raw.get(span).is_none()) {
                return Err(format!("has entry {index} outside itself"));
            }
        }
        Ok(())
    }

    fn at(&self, index: usize) -> usize {
        let each = if self.level == 0 { ITEM_BYTES } else { POINTER_BYTES };
        index.saturating_mul(each).saturating_add(HEADER_BYTES)
    }

    /// The key of an entry.
    pub(super) fn key(&self, index: usize) -> Key {
        Key::read(Fields(&self.raw), self.at(index))
    }

    /// Address and generation of the block below, of a node.
    pub(super) fn pointer(&self, index: usize) -> (u64, u64) {
        let (fields, at) = (Fields(&self.raw), self.at(index).saturating_add(Key::BYTES));
        (fields.le64(at), fields.le64(at.saturating_add(8)))
    }

    fn span(&self, index: usize) -> Option<std::ops::Range<usize>> {
        let (fields, at) = (Fields(&self.raw), self.at(index).saturating_add(Key::BYTES));
        let start = to_usize(u64::from(fields.le32(at))).checked_add(HEADER_BYTES)?;
        let length = to_usize(u64::from(fields.le32(at.saturating_add(4))));
        Some(start..start.checked_add(length)?)
    }

    /// The bytes of an item, of a leaf.
    pub(super) fn item(&self, index: usize) -> &[u8] {
        self.span(index).and_then(|span| self.raw.get(span)).unwrap_or(&[])
    }

    /// The first entry whose key is not below `key`; the count where there is none.
    pub(super) fn lower_bound(&self, key: Key) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }

    /// The last entry whose key is not above `key`.
    pub(super) fn floor(&self, key: Key) -> Option<usize> {
        let index = self.lower_bound(key);
        if index < self.count && self.key(index) == key {
            return Some(index);
        }
        index.checked_sub(1)
    }
}
