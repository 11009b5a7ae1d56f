//! A volume laid out as pieces of other sources, one after the other: md linear, and every LVM volume.

use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::sync::Arc;

/// A piece of a volume.
#[derive(Clone)]
pub(super) struct Piece {
    /// Where it begins in the volume.
    pub(super) start_bytes: u64,
    /// Its length.
    pub(super) length_bytes: u64,
    /// Who has it; `None` when that is missing.
    pub(super) source: Option<Arc<dyn Source>>,
    /// Where it begins there.
    pub(super) source_bytes: u64,
}

/// Pieces in order without overlaps; what lies between them cannot be read.
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    size_bytes: u64,
}

impl Pieces {
    pub(super) fn new(mut pieces: Vec<Piece>) -> Self {
        pieces.sort_by_key(|piece| piece.start_bytes);
        let size_bytes = pieces
            .iter()
            .map(|piece| piece.start_bytes.saturating_add(piece.length_bytes))
            .max()
            .unwrap_or(0);
        Self { pieces, size_bytes }
    }
}

impl Source for Pieces {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let length_bytes = rest.len();
            let fail = |source| SourceError { offset_bytes: at, length_bytes, source };
            let nobody = || {
                fail(std::io::Error::new(
                    std::io::ErrorKind::NotFound,
                    "the member that holds this part is missing",
                ))
            };
            let after = self.pieces.partition_point(|piece| piece.start_bytes <= at);
            let piece = after.checked_sub(1).and_then(|index| self.pieces.get(index));
            let Some(piece) = piece else { return Err(nobody()) };
            let within = at.saturating_sub(piece.start_bytes);
            let count = to_usize(piece.length_bytes.saturating_sub(within)).min(rest.len());
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else {
                return Err(nobody());
            };
            let source = piece.source.as_ref().ok_or_else(nobody)?;
            source
                .fill(piece.source_bytes.saturating_add(within), part)
                .map_err(|error| fail(error.source))?;
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        let sources = self.pieces.iter().filter_map(|piece| piece.source.as_ref());
        sources.map(|source| source.sector_bytes()).max().unwrap_or(512)
    }
}
