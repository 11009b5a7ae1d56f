//! A source that decrypts what another gives, in the caller's own buffer.

use super::SectorCipher;
use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::sync::Arc;

/// The clear content of an encrypted range.
pub(crate) struct Decrypted {
    inner: Arc<dyn Source>,
    cipher: SectorCipher,
    /// Where the range begins in `inner`.
    start_bytes: u64,
    size_bytes: u64,
    /// What is added to an offset of the range to get what the vectors count.
    vector_bytes: u64,
}

impl Decrypted {
    /// `size_bytes` from `start_bytes` of `inner`, cut to what is there.
    pub(crate) fn new(
        inner: Arc<dyn Source>,
        cipher: SectorCipher,
        start_bytes: u64,
        size_bytes: u64,
        vector_bytes: u64,
    ) -> Self {
        let there = inner.size_bytes().saturating_sub(start_bytes);
        let sector = to_u64(cipher.sector_bytes());
        let whole = size_bytes.min(there);
        let size_bytes = whole.saturating_sub(whole.checked_rem(sector).unwrap_or(0));
        Self { inner, cipher, start_bytes, size_bytes, vector_bytes }
    }

    /// Fills `buf` with the whole sectors at `offset_bytes`.
    fn whole(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        self.inner.fill(self.start_bytes.saturating_add(offset_bytes), buf)?;
        self.cipher.decrypt(self.vector_bytes.wrapping_add(offset_bytes), buf);
        Ok(())
    }

    /// The part of one sector from `offset_bytes` on, as much of it as `buf` takes.
    fn part(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let mut store = [0_u8; 4096];
        let sector_bytes = self.cipher.sector_bytes();
        let within = to_usize(offset_bytes.checked_rem(to_u64(sector_bytes)).unwrap_or(0));
        let Some(sector) = store.get_mut(..sector_bytes) else { return Ok(0) };
        self.whole(offset_bytes.saturating_sub(to_u64(within)), sector)?;
        let from = sector.get(within..).unwrap_or(&[]);
        let count = from.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), from.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

impl Source for Decrypted {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let sector_bytes = self.cipher.sector_bytes();
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let aligned = at.is_multiple_of(to_u64(sector_bytes));
            let whole =
                rest.len().saturating_sub(rest.len().checked_rem(sector_bytes).unwrap_or(0));
            let count = match rest.get_mut(..whole) {
                Some(sectors) if aligned && whole > 0 => {
                    self.whole(at, sectors)?;
                    whole
                }
                _ => self.part(at, rest)?,
            };
            if count == 0 {
                break;
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        u32::try_from(self.cipher.sector_bytes()).unwrap_or(512).max(self.inner.sector_bytes())
    }
}
