//! `Packages` of older systems: a Berkeley DB hash (db_page.h): pages of pairs, large values in chains of pages.

use super::{MAX_HEADER_BYTES, le16, le32, size};
use crate::initramfs::Bytes;

const HASH_MAGIC: u32 = 0x0006_1561;
const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_OVERFLOW: u8 = 7;
const PAGE_HASH: u8 = 13;
const ITEM_KEY_DATA: u8 = 1;
const ITEM_OFF_PAGE: u8 = 3;
const HEADER_BYTES: usize = 26;

/// Hands over each value that can be a header (the key 0 holds only a counter).
///
/// # Errors
/// When it is not such a database.
pub fn for_each(file: &dyn Bytes, visit: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    let meta = file.exactly(0, 512).ok_or("the file is too short")?;
    if le32(&meta, 12) != Some(HASH_MAGIC) {
        return Err("it is no Berkeley DB hash of this byte order");
    }
    let page_bytes = size(le32(&meta, 20).unwrap_or(0));
    if !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
        return Err("its page size makes no sense");
    }
    let last = u64::from(le32(&meta, 32).unwrap_or(0));
    let wide = u64::try_from(page_bytes).unwrap_or(u64::MAX);
    let page = |number: u64| file.exactly(number.checked_mul(wide)?, page_bytes);
    // What chains may hand over in all, so that pages naming one another cannot make it endless.
    let mut left_bytes = file.size_bytes().saturating_mul(2);
    for number in 1..=last.min(file.size_bytes().checked_div(wide).unwrap_or(0)) {
        let Some(raw) = page(number) else { continue };
        if !matches!(raw.get(25), Some(&(PAGE_HASH | PAGE_HASH_UNSORTED))) {
            continue;
        }
        let entries = usize::from(le16(&raw, 20).unwrap_or(0));
        for value in (1..entries).step_by(2) {
            let at = |index: usize| {
                le16(&raw, HEADER_BYTES.saturating_add(index.saturating_mul(2))).map(usize::from)
            };
            let (Some(start), Some(end)) = (at(value), at(value.saturating_sub(1))) else {
                continue;
            };
            let Some(item) = raw.get(start..) else { continue };
            match item.first() {
                Some(&ITEM_OFF_PAGE) => {
                    let first = u64::from(le32(item, 4).unwrap_or(0));
                    let length = size(le32(item, 8).unwrap_or(0));
                    let cost = u64::try_from(length).unwrap_or(u64::MAX);
                    if length > MAX_HEADER_BYTES || cost > left_bytes {
                        continue;
                    }
                    left_bytes = left_bytes.saturating_sub(cost);
                    if let Some(blob) = chain(&page, first, length) {
                        visit(&blob);
                    }
                }
                // Items grow from the end of the page towards its start: the key before it ends this one.
                Some(&ITEM_KEY_DATA) => {
                    let blob = raw.get(start.saturating_add(1)..end).unwrap_or(&[]);
                    if blob.len() > 8 {
                        visit(blob);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn chain(page: &dyn Fn(u64) -> Option<Vec<u8>>, first: u64, length: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut number = first;
    while out.len() < length && number != 0 {
        let raw = page(number)?;
        if raw.get(25) != Some(&PAGE_OVERFLOW) {
            return None;
        }
        let used = usize::from(le16(&raw, 22)?);
        let data = raw.get(HEADER_BYTES..HEADER_BYTES.checked_add(used)?)?;
        if data.is_empty() {
            return None;
        }
        out.extend_from_slice(data);
        number = u64::from(le32(&raw, 16)?);
    }
    (out.len() >= length).then(|| {
        out.truncate(length);
        out
    })
}
