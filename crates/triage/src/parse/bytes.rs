//! Bytes read at a place: a slice in tests, a file of the examined root otherwise, so that a database of hundreds of
//! megabytes need not be in memory.

pub use evidence::initramfs::Bytes;

pub(crate) fn le16(raw: &[u8], at: usize) -> Option<u16> {
    raw.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

pub(crate) fn le32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(crate) fn le64(raw: &[u8], at: usize) -> Option<u64> {
    raw.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A length from a file as one of memory.
pub(crate) fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
