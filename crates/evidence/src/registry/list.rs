//! Lists of subkeys: plain ones, and lists of lists for keys with many.

use super::hive::{Hive, MAX_CELL_BYTES};
use crate::bytes::Fields;
use crate::error::EvidenceError;

/// Subkeys of one key that are told.
pub(super) const MAX_KEYS: usize = 1 << 20;

/// The cells of the subkeys in the list at `offset`.
pub(super) fn subkeys(hive: &Hive<'_>, offset: u32) -> Result<Vec<u32>, EvidenceError> {
    let raw = hive.cell(offset, MAX_CELL_BYTES)?;
    if !raw.starts_with(b"ri") {
        return leaf(&raw, offset);
    }
    let mut out = Vec::new();
    for below in entries(&raw, 4) {
        let raw = hive.cell(below, MAX_CELL_BYTES)?;
        // Windows never nests deeper, so neither does a hive that is to be believed.
        out.append(&mut leaf(&raw, below)?);
        if out.len() > MAX_KEYS {
            return Err(EvidenceError::refused(format!("a key of more than {MAX_KEYS} subkeys")));
        }
    }
    Ok(out)
}

fn leaf(raw: &[u8], offset: u32) -> Result<Vec<u32>, EvidenceError> {
    // Hints (`lf`) and hashes (`lh`) beside each entry speed Windows up; names are compared here.
    match raw.get(..2) {
        Some(b"lf" | b"lh") => Ok(entries(raw, 8)),
        Some(b"li") => Ok(entries(raw, 4)),
        other => Err(EvidenceError::corrupt(format!(
            "hive cell {offset:#x} should be a list of keys and begins with {}",
            crate::escape_bytes(other.unwrap_or(&[]))
        ))),
    }
}

fn entries(raw: &[u8], step: usize) -> Vec<u32> {
    let count = usize::from(Fields(raw).le16(2));
    let rest = raw.get(4..).unwrap_or(&[]);
    rest.chunks_exact(step).take(count).map(|entry| Fields(entry).le32(0)).collect()
}
