//! Bytes read at a place: a slice in tests, a file of the examined root otherwise, so that a database of hundreds of
//! megabytes need not be in memory.

/// Something that can be read anywhere.
pub trait Bytes {
    /// Its size in bytes.
    fn size_bytes(&self) -> u64;

    /// Reads at an offset; fewer bytes than asked at the end or where it cannot be read.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize;

    /// Exactly `length` bytes, or `None`.
    fn exactly(&self, offset_bytes: u64, length: usize) -> Option<Vec<u8>> {
        let end = offset_bytes.checked_add(u64::try_from(length).ok()?)?;
        if end > self.size_bytes() {
            return None;
        }
        let mut out = vec![0; length];
        (self.read_at(offset_bytes, &mut out) == length).then_some(out)
    }
}

impl Bytes for [u8] {
    fn size_bytes(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        let rest = usize::try_from(offset_bytes).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        count
    }
}

impl Bytes for &[u8] {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        (**self).read_at(offset_bytes, buf)
    }
}

pub(crate) fn be16(raw: &[u8], at: usize) -> Option<u16> {
    raw.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

pub(crate) fn be32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(crate) fn le16(raw: &[u8], at: usize) -> Option<u16> {
    raw.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

pub(crate) fn le32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A length from a file as one of memory.
pub(crate) fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
