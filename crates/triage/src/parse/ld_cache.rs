//! `/etc/ld.so.cache` (glibc, `elf/dl-cache.h`): which file stands for which name of a library.
//!
//! Only the form of glibc 2.2 and later, also behind the older form that stood in front of it until 2.32. The file is in the
//! byte order of its machine; the big-endian one is not read, and then says so by yielding nothing.

use super::bytes::{le32, size};

/// Entries read.
const MAX_ENTRIES: usize = 200_000;
const OLD: &[u8] = b"ld.so-1.7.0\0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";

/// One entry: the name asked for, and the file given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name of the library, `libc.so.6`.
    pub name: Vec<u8>,
    /// Path of the file.
    pub path: Vec<u8>,
}

/// The entries in their order; `None` if it is no such cache.
#[must_use]
pub fn parse(raw: &[u8]) -> Option<Vec<Entry>> {
    let raw = if raw.starts_with(OLD) {
        // Header of 16 bytes, entries of 12; the new form begins at the next multiple of 8.
        let old = size(le32(raw, 12)?).checked_mul(12)?.checked_add(16)?;
        raw.get(old.checked_next_multiple_of(8)?..)?
    } else {
        raw
    };
    if !raw.starts_with(NEW) {
        return None;
    }
    let count = size(le32(raw, 20)?).min(MAX_ENTRIES);
    let string = |at: usize| {
        let rest = raw.get(at..)?;
        let end = rest.iter().take(4096).position(|byte| *byte == 0)?;
        rest.get(..end).map(<[u8]>::to_vec)
    };
    let entry = |row: &[u8]| {
        let (name, path) = (string(size(le32(row, 4)?))?, string(size(le32(row, 8)?))?);
        Some(Entry { name, path })
    };
    Some(raw.get(48..)?.chunks_exact(24).take(count).filter_map(entry).collect())
}
