//! Sections of a PE file (Microsoft's "PE Format"), as far as unified kernel images need them: systemd's stub keeps kernel,
//! boot image and command line in sections of their names (UAPI "Unified Kernel Image").

use super::bytes::{Bytes, le16, le32};

/// Sections of one file that are read.
const MAX_SECTIONS: usize = 96;

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, at most eight bytes.
    pub name: Vec<u8>,
    /// Where its content begins in the file, in bytes.
    pub offset_bytes: u64,
    /// How much of it is content, without the filling behind it, in bytes.
    pub length_bytes: u64,
}

/// The sections in order; `None` if it is no PE file.
#[must_use]
pub fn sections(file: &dyn Bytes) -> Option<Vec<Section>> {
    let head = file.exactly(0, 64)?;
    if !head.starts_with(b"MZ") {
        return None;
    }
    let at = u64::from(le32(&head, 60)?);
    let coff = file.exactly(at, 24)?;
    if !coff.starts_with(b"PE\0\0") {
        return None;
    }
    let count = usize::from(le16(&coff, 6)?).min(MAX_SECTIONS);
    let table = at.checked_add(24)?.checked_add(u64::from(le16(&coff, 20)?))?;
    let raw = file.exactly(table, count.checked_mul(40)?)?;
    let section = |row: &[u8]| {
        let name = row.get(..8)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(8);
        let (in_memory, in_file) = (le32(row, 8)?, le32(row, 16)?);
        // Object files leave the length in memory empty.
        let length = if in_memory == 0 { in_file } else { in_memory.min(in_file) };
        Some(Section {
            name: name.get(..end)?.to_vec(),
            offset_bytes: u64::from(le32(row, 20)?),
            length_bytes: u64::from(length),
        })
    };
    Some(raw.chunks_exact(40).filter_map(section).collect())
}

/// The content of a section, read where it is asked for.
pub struct Content<'a> {
    /// The file it stands in.
    pub file: &'a dyn Bytes,
    /// The section.
    pub section: &'a Section,
}

impl Bytes for Content<'_> {
    fn size_bytes(&self) -> u64 {
        let there = self.file.size_bytes().saturating_sub(self.section.offset_bytes);
        self.section.length_bytes.min(there)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        let left = self.size_bytes().saturating_sub(offset_bytes);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let at = self.section.offset_bytes.saturating_add(offset_bytes);
        buf.get_mut(..wanted).map_or(0, |buf| self.file.read_at(at, buf))
    }
}
