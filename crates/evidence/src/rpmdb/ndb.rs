//! `Packages.db`: rpm's own database (lib/backend/ndb/rpmpkg.c): a table of slots, and blobs in blocks of sixteen bytes.

use super::{MAX_HEADER_BYTES, le32, size};
use crate::initramfs::Bytes;

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT: u32 = u32::from_le_bytes(*b"Slot");
const BLOB: u32 = u32::from_le_bytes(*b"BlbS");
const PAGE_BYTES: u64 = 4096;
const MAX_PAGES: u32 = 1 << 16;

/// Hands over each header; `Err` says what makes the file unreadable.
///
/// # Errors
/// When it is not such a database.
pub fn for_each(file: &dyn Bytes, visit: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    let head = file.exactly(0, 32).ok_or("the file is too short")?;
    if le32(&head, 0) != Some(MAGIC) {
        return Err("it does not begin with RpmP");
    }
    let pages = le32(&head, 12).unwrap_or(0);
    if pages > MAX_PAGES {
        return Err("it claims more pages of slots than any database has");
    }
    for page in 0..u64::from(pages) {
        let at = page.saturating_mul(PAGE_BYTES);
        let Some(raw) = file.exactly(at, 4096) else { return Err("its table of slots is cut off") };
        // The first two slots' place is the header's.
        let skip = if page == 0 { 2 } else { 0 };
        for slot in raw.chunks_exact(16).skip(skip) {
            let (Some(SLOT), Some(number), Some(block), Some(blocks)) =
                (le32(slot, 0), le32(slot, 4), le32(slot, 8), le32(slot, 12))
            else {
                continue;
            };
            if number == 0 {
                continue;
            }
            let start = u64::from(block).saturating_mul(16);
            let Some(head) = file.exactly(start, 16) else { continue };
            let length = size(le32(&head, 12).unwrap_or(0));
            let room = size(blocks).saturating_mul(16);
            if le32(&head, 0) != Some(BLOB) || length > room || length > MAX_HEADER_BYTES {
                continue;
            }
            if let Some(blob) = file.exactly(start.saturating_add(16), length) {
                visit(&blob);
            }
        }
    }
    Ok(())
}
