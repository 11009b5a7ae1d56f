//! Containers of the RPM family's package database: a SQLite table, rpm's own `ndb`, and a Berkeley DB hash. Each hands over the
//! headers in it as bytes; what a header says is read elsewhere, because package files hold the same.

pub mod bdb;
pub mod ndb;
pub mod sqlite;

/// Largest header taken from a container, in bytes.
pub(crate) const MAX_HEADER_BYTES: usize = 256 << 20;

fn be16(raw: &[u8], at: usize) -> Option<u16> {
    raw.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn be32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn le16(raw: &[u8], at: usize) -> Option<u16> {
    raw.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn le32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A length from a file as one of memory.
fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
