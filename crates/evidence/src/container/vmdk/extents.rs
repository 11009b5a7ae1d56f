//! The disk as a row of extents of any kind, above a parent.

use super::sparse::{Grain, Sparse};
use crate::container::below::Below;
use crate::container::mapped::{Chunk, Layout, Piece, Stored};
use crate::source::Source;
use std::io;
use std::sync::Arc;

/// What stands on one stretch of the disk.
pub(super) enum Part {
    Zeros,
    Flat(Arc<dyn Source>, u64),
    Sparse(Box<Sparse>),
    Missing(String),
}

/// The disk.
pub(super) struct Extents {
    /// Where each extent begins, and the extent.
    parts: Vec<(u64, Part)>,
    size_bytes: u64,
    below: Below,
}

impl Extents {
    pub(super) fn new(below: Below) -> Self {
        Self { parts: Vec::new(), size_bytes: 0, below }
    }

    /// Adds an extent behind the others.
    pub(super) fn push(&mut self, part: Part, length_bytes: u64) {
        if length_bytes != 0 {
            self.parts.push((self.size_bytes, part));
            self.size_bytes = self.size_bytes.saturating_add(length_bytes);
        }
    }

    /// The size so far.
    pub(super) fn size(&self) -> u64 {
        self.size_bytes
    }
}

impl Layout for Extents {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn piece(&self, offset_bytes: u64, most_bytes: u64) -> Piece<'_> {
        let behind = self.parts.partition_point(|(start, _)| *start <= offset_bytes);
        let end = self.parts.get(behind).map_or(self.size_bytes, |(start, _)| *start);
        let left = end.saturating_sub(offset_bytes);
        let index = behind.saturating_sub(1);
        let Some((start, part)) = self.parts.get(index) else {
            return Piece { stored: Stored::Zeros, length_bytes: left };
        };
        let within = offset_bytes.saturating_sub(*start);
        let (stored, length) = match part {
            Part::Zeros => (Stored::Zeros, left),
            Part::Flat(source, from) => (Stored::Plain(source, from.saturating_add(within)), left),
            Part::Missing(why) => {
                (Stored::Missing(io::Error::new(io::ErrorKind::NotFound, why.clone())), left)
            }
            Part::Sparse(sparse) => {
                let (grain, length) = sparse.run(within, most_bytes);
                let (stored, most) = match grain {
                    Grain::Below => self.below.stored(offset_bytes),
                    Grain::Zeros => (Stored::Zeros, u64::MAX),
                    Grain::Plain(at) => (Stored::Plain(sparse.file(), at), u64::MAX),
                    Grain::Packed { at_bytes, within, length_bytes } => {
                        let start_bytes = offset_bytes.saturating_sub(within);
                        let chunk = Chunk {
                            start_bytes,
                            length_bytes,
                            file: index,
                            at_bytes,
                            stored_bytes: 0,
                            method: 0,
                        };
                        (Stored::Packed(chunk), u64::MAX)
                    }
                    Grain::Bad(error) => (Stored::Missing(error), u64::MAX),
                };
                (stored, length.min(most))
            }
        };
        Piece { stored, length_bytes: length.min(left) }
    }

    fn unpack(&self, chunk: &Chunk, out: &mut [u8]) -> io::Result<()> {
        match self.parts.get(chunk.file) {
            Some((start, Part::Sparse(sparse))) => {
                sparse.unpack(chunk.at_bytes, chunk.start_bytes.saturating_sub(*start), out)
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
