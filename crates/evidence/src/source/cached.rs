//! A source with a bounded memory of what was read from it.
//!
//! Metadata is read in small pieces that lie close together; asking the system for each would cost more than parsing it.
//! Long reads go past the memory: content is read once.

use super::{Source, SourceError};
use crate::bytes::{to_u64, to_usize};
use crate::kept::Kept;
use std::sync::Arc;

/// Another source, read in pieces that are kept.
pub struct Cached {
    inner: Arc<dyn Source>,
    piece_bytes: u64,
    pieces: Kept<Arc<[u8]>>,
}

impl Cached {
    /// Keeps at most about `limit_bytes` of `inner`, in pieces of `piece_bytes` (at least 512).
    #[must_use]
    pub fn new(inner: Arc<dyn Source>, piece_bytes: usize, limit_bytes: usize) -> Self {
        let piece_bytes = to_u64(piece_bytes.max(512));
        Self { inner, piece_bytes, pieces: Kept::new(limit_bytes) }
    }

    /// The piece with this number, shorter at the end of the source.
    fn piece(&self, number: u64) -> Result<Arc<[u8]>, SourceError> {
        if let Some(bytes) = self.pieces.find(number) {
            return Ok(bytes);
        }
        let start = number.saturating_mul(self.piece_bytes);
        let bytes: Arc<[u8]> = self.inner.bytes_at(start, to_usize(self.piece_bytes))?.into();
        self.pieces.keep(number, Arc::clone(&bytes), bytes.len());
        Ok(bytes)
    }
}

impl Source for Cached {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        if to_u64(buf.len()) > self.piece_bytes {
            return self.inner.read_at(offset_bytes, buf);
        }
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let number = at.checked_div(self.piece_bytes).unwrap_or(0);
            let within = to_usize(at.checked_rem(self.piece_bytes).unwrap_or(0));
            let piece = match self.piece(number) {
                Ok(piece) => piece,
                // One bad sector must not take the whole piece with it.
                Err(_) => {
                    let got = self.inner.read_at(at, rest)?;
                    return Ok(done.saturating_add(got));
                }
            };
            let from = piece.get(within..).unwrap_or(&[]);
            let count = from.len().min(rest.len());
            if count == 0 {
                break;
            }
            if let (Some(to), Some(from)) = (rest.get_mut(..count), from.get(..count)) {
                to.copy_from_slice(from);
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.inner.sector_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;

    #[test]
    fn gives_the_same_bytes_as_its_source() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
        let plain: Arc<dyn Source> = Arc::new(MemSource::new(bytes));
        let cached: Arc<dyn Source> = Arc::new(Cached::new(Arc::clone(&plain), 512, 8192));
        for (offset, length) in [
            (0, 1),
            (511, 2),
            (512, 512),
            (99_999, 5),
            (100_000, 5),
            (3, 90_000),
            (700, 511),
            (u64::MAX, 9),
        ] {
            assert_eq!(
                cached.bytes_at(offset, length).unwrap(),
                plain.bytes_at(offset, length).unwrap(),
                "{offset} {length}"
            );
        }
    }

    /// A source with one unreadable sector.
    struct Bad(MemSource);

    impl Source for Bad {
        fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
            let end = offset_bytes + buf.len() as u64;
            if offset_bytes < 1024 && end > 512 {
                let source = std::io::Error::other("bad sector");
                return Err(SourceError { offset_bytes: 512, length_bytes: 512, source });
            }
            self.0.read_at(offset_bytes, buf)
        }

        fn size_bytes(&self) -> u64 {
            self.0.size_bytes()
        }
    }

    #[test]
    fn a_bad_sector_hides_no_neighbour() {
        let cached = Cached::new(Arc::new(Bad(MemSource::new(vec![1; 8192]))), 4096, 1 << 20);
        assert_eq!(cached.read_at(0, &mut [0; 512]).unwrap(), 512);
        assert_eq!(cached.read_at(1024, &mut [0; 512]).unwrap(), 512);
        assert_eq!(cached.read_at(512, &mut [0; 512]).unwrap_err().offset_bytes, 512);
    }
}
