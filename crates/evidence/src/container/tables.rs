//! A file's tables, read in small pieces that are kept together with those of all other files of the image.
//!
//! An image may consist of thousands of files: a memory of its own for each would have no bound worth the name.

use super::chunks::Chunks;
use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::sync::Arc;

const PIECE_BYTES: u64 = 4096;

/// The file, for reading a few bytes at a time.
pub(super) struct Tables {
    inner: Arc<dyn Source>,
    kept: Arc<Chunks>,
    number: u32,
}

impl Tables {
    /// Keeps the pieces of `inner` under `number`.
    pub(super) fn new(inner: Arc<dyn Source>, kept: Arc<Chunks>, number: u32) -> Self {
        Self { inner, kept, number }
    }

    fn piece(&self, start: u64) -> Result<Arc<[u8]>, SourceError> {
        let key = (self.number, start);
        if let Some(piece) = self.kept.find(key) {
            return Ok(piece);
        }
        let piece: Arc<[u8]> = self.inner.bytes_at(start, to_usize(PIECE_BYTES))?.into();
        self.kept.keep(key, &piece);
        Ok(piece)
    }
}

impl Source for Tables {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let within = offset_bytes % PIECE_BYTES;
        let end = to_usize(within).saturating_add(buf.len());
        if to_u64(end) > PIECE_BYTES {
            return self.inner.read_at(offset_bytes, buf);
        }
        // One bad sector must not take the whole piece with it.
        let Ok(piece) = self.piece(offset_bytes.saturating_sub(within)) else {
            return self.inner.read_at(offset_bytes, buf);
        };
        let from = piece.get(to_usize(within)..).unwrap_or(&[]);
        let count = from.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), from.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.inner.sector_bytes()
    }
}
