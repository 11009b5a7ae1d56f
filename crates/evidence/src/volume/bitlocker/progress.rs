//! Encryption on write, since Windows 8: bitmaps of which chunks are encrypted already.

use crate::bytes::{Fields, to_u64, to_usize};
use crate::source::Source;
use std::sync::Arc;

/// A bitmap covers 64 GiB with chunks of 64 KiB; this is far more than a disk has.
const MOST_BITMAPS: usize = 4096;
const MOST_BITMAP_BYTES: u32 = 4 << 20;
/// All bitmaps together.
const MOST_BYTES: usize = 64 << 20;

/// Which chunks are encrypted.
#[derive(Clone)]
pub(super) struct Progress {
    chunk_bytes: u64,
    bitmaps: Vec<Bitmap>,
    /// Ranges of the volume the records themselves take: offset and length.
    pub(super) own: Vec<(u64, u64)>,
}

#[derive(Clone)]
struct Bitmap {
    start_bytes: u64,
    bits: u64,
    bytes: Vec<u8>,
}

impl Progress {
    /// The records at this offset; `None` when they are not readable.
    pub(super) fn read(source: &Arc<dyn Source>, at: u64) -> Option<Self> {
        let raw = source.bytes_at(at, 65_536).ok()?;
        let head = Fields(&raw);
        let (header_bytes, size) = (usize::from(head.le16(8)), usize::from(head.le16(10)));
        let chunk_bytes = u64::from(head.le32(20));
        if !head.has(0, b"FVE-EOW\0") || chunk_bytes < 512 || header_bytes < 56 {
            return None;
        }
        let mut own = vec![(at, to_u64(size))];
        let mut bitmaps = Vec::new();
        let mut left = MOST_BYTES;
        for offset in head.0.get(header_bytes..size)?.as_chunks::<8>().0.iter().take(MOST_BITMAPS) {
            let offset = u64::from_le_bytes(*offset);
            let bitmap = bitmap(source, offset, &mut own, u64::from(head.le32(24)))?;
            left = left.checked_sub(bitmap.bytes.len())?;
            bitmaps.push(bitmap);
        }
        bitmaps.sort_by_key(|bitmap| bitmap.start_bytes);
        Some(Self { chunk_bytes, bitmaps, own })
    }

    /// Whether the byte at `at` is encrypted, and for how many bytes that holds at least.
    pub(super) fn state(&self, at: u64) -> (bool, u64) {
        let after = self.bitmaps.partition_point(|bitmap| bitmap.start_bytes <= at);
        let Some(bitmap) = after.checked_sub(1).and_then(|index| self.bitmaps.get(index)) else {
            return (true, u64::MAX);
        };
        let within = at.saturating_sub(bitmap.start_bytes);
        let first = within.checked_div(self.chunk_bytes).unwrap_or(0);
        let is_set = bitmap.bit(first);
        // As far as a bitmap's byte's worth of chunks each time, so that a call stays short.
        let mut next = first.saturating_add(1);
        while next < bitmap.bits && next < first.saturating_add(1024) && bitmap.bit(next) == is_set
        {
            next = next.saturating_add(1);
        }
        (is_set, next.saturating_mul(self.chunk_bytes).saturating_sub(within))
    }
}

impl Bitmap {
    fn bit(&self, number: u64) -> bool {
        let byte = self.bytes.get(to_usize(number / 8)).copied().unwrap_or(0);
        byte >> (number % 8) & 1 == 1
    }
}

/// One bitmap with the newer of its two records.
fn bitmap(
    source: &Arc<dyn Source>,
    at: u64,
    own: &mut Vec<(u64, u64)>,
    log_bytes: u64,
) -> Option<Bitmap> {
    let raw = source.bytes_at(at, 64).ok()?;
    let head = Fields(&raw);
    let size = head.le32(12);
    if !head.has(0, b"FVE-EOWBM\0") || size > MOST_BITMAP_BYTES {
        return None;
    }
    own.push((at, u64::from(size)));
    own.push((head.le64(36), log_bytes));
    let all = source.bytes_at(at, to_usize(u64::from(size))).ok()?;
    let records = [head.le32(44), head.le32(48)].into_iter().filter_map(|offset| {
        let record = all.get(to_usize(u64::from(offset))..)?;
        let fields = Fields(record);
        let bytes =
            record.get(usize::from(fields.le16(10))..to_usize(u64::from(fields.le32(12))))?;
        fields.has(0, b"FVE-EOWBR\0").then(|| (fields.le64(20), fields.le32(16), bytes.to_vec()))
    });
    let (_, bits, bytes) = records.max_by_key(|(sequence, _, _)| *sequence)?;
    Some(Bitmap { start_bytes: head.le64(20), bits: u64::from(bits), bytes })
}
