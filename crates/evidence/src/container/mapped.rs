//! A disk whose bytes lie scattered over files: the one loop that every mapped format shares.
//!
//! A format says for an offset where the bytes are and how far that answer is good ([`Layout`]); plain runs are then read
//! straight into the caller's buffer, whole chunks are decompressed straight into it, and only parts of chunks are kept.

use super::chunks::{Chunks, Key};
use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::io;
use std::sync::Arc;

/// Where a run of the disk is.
pub(super) struct Piece<'a> {
    /// What holds it.
    pub(super) stored: Stored<'a>,
    /// For how many bytes that is so; taken as at least one.
    pub(super) length_bytes: u64,
}

/// What holds a run of the disk.
pub(super) enum Stored<'a> {
    /// Nothing: it reads as zeros.
    Zeros,
    /// A file, unchanged, from this offset on.
    Plain(&'a Arc<dyn Source>, u64),
    /// A chunk that has to be decoded as a whole.
    Packed(Chunk),
    /// It cannot be given.
    Missing(io::Error),
}

/// A chunk to decode.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// Where it begins on the disk.
    pub(super) start_bytes: u64,
    /// Its decoded length.
    pub(super) length_bytes: usize,
    /// Which of the format's files holds it.
    pub(super) file: usize,
    /// Where it begins in that file.
    pub(super) at_bytes: u64,
    /// How many bytes of the file belong to it, at most.
    pub(super) stored_bytes: usize,
    /// How it is stored, by the format's own numbering.
    pub(super) method: u8,
}

/// A format's map from the disk to its files.
pub(super) trait Layout: Send + Sync {
    /// The size of the disk.
    fn size_bytes(&self) -> u64;

    /// The size of a sector of the disk.
    fn sector_bytes(&self) -> u32 {
        512
    }

    /// Where the bytes from `offset_bytes` on are; no more than `most_bytes` are wanted.
    fn piece(&self, offset_bytes: u64, most_bytes: u64) -> Piece<'_>;

    /// Decodes a chunk into `out`, which has its decoded length. Formats without chunks leave it as it is.
    fn unpack(&self, _chunk: &Chunk, _out: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The disk.
pub(super) struct Mapped<L> {
    layout: L,
    chunks: Arc<Chunks>,
    layer: u32,
}

impl<L: Layout> Mapped<L> {
    /// A disk that keeps its decoded chunks in `chunks` under the number `layer`.
    pub(super) fn new(layout: L, (chunks, layer): (Arc<Chunks>, u32)) -> Self {
        Self { layout, chunks, layer }
    }

    /// A part of a chunk, `within` bytes from its start.
    fn unpack(&self, chunk: &Chunk, within: usize, part: &mut [u8]) -> io::Result<()> {
        if within == 0 && part.len() == chunk.length_bytes {
            return self.layout.unpack(chunk, part);
        }
        let key: Key = (self.layer, chunk.start_bytes);
        let whole = match self.chunks.find(key) {
            Some(whole) => whole,
            None => {
                let mut whole = vec![0; chunk.length_bytes];
                self.layout.unpack(chunk, &mut whole)?;
                let whole: Arc<[u8]> = whole.into();
                self.chunks.keep(key, &whole);
                whole
            }
        };
        let end = within.saturating_add(part.len());
        let from = whole.get(within..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        part.copy_from_slice(from);
        Ok(())
    }

    fn read_piece(&self, at: u64, stored: Stored<'_>, part: &mut [u8]) -> Result<(), SourceError> {
        let length_bytes = part.len();
        let failed = |source| SourceError { offset_bytes: at, length_bytes, source };
        match stored {
            Stored::Zeros => {
                part.fill(0);
                Ok(())
            }
            Stored::Plain(source, from) => {
                source.fill(from, part).map_err(|error| translate(error, from, at))
            }
            Stored::Packed(chunk) => {
                let within = to_usize(at.saturating_sub(chunk.start_bytes));
                self.unpack(&chunk, within, part).map_err(failed)
            }
            Stored::Missing(error) => Err(failed(error)),
        }
    }
}

/// An error of a file, told where it is on the disk; the file's own offset stays in its text.
fn translate(error: SourceError, from: u64, at: u64) -> SourceError {
    SourceError {
        offset_bytes: at.saturating_add(error.offset_bytes.saturating_sub(from)),
        length_bytes: error.length_bytes,
        source: wrap(error),
    }
}

/// A file's error as the cause of a disk's error.
#[expect(clippy::needless_pass_by_value, reason = "stands in `map_err`, which hands values over")]
pub(super) fn wrap(error: SourceError) -> io::Error {
    io::Error::new(error.source.kind(), format!("of the image file: {error}"))
}

impl<L: Layout> Source for Mapped<L> {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let available = self.layout.size_bytes().saturating_sub(offset_bytes);
        let wanted = to_usize(available).min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let piece = self.layout.piece(at, to_u64(rest.len()));
            let length = to_usize(piece.length_bytes).clamp(1, rest.len());
            if let Some(part) = rest.get_mut(..length) {
                self.read_piece(at, piece.stored, part)?;
            }
            done = done.saturating_add(length);
        }
        Ok(wanted)
    }

    fn size_bytes(&self) -> u64 {
        self.layout.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.layout.sector_bytes()
    }
}
