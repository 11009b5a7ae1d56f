//! Files that follow one another on a disk, with holes where one is missing.

use super::mapped::{Layout, Piece, Stored};
use crate::source::Source;
use std::io;
use std::sync::Arc;

/// What stands on one stretch of the disk.
pub(super) enum Part {
    /// A file from this offset on.
    File(Arc<dyn Source>, u64),
    /// Something that is not to be had, and why.
    Missing(String),
}

/// The disk, in order of its offsets and without gaps.
#[derive(Default)]
pub(super) struct Joined {
    /// Where each part begins, and the part.
    parts: Vec<(u64, Part)>,
    size_bytes: u64,
    sector_bytes: u32,
}

impl Joined {
    pub(super) fn new(sector_bytes: u32) -> Self {
        Self { sector_bytes, ..Self::default() }
    }

    /// Adds a part behind the others.
    pub(super) fn push(&mut self, part: Part, length_bytes: u64) {
        if length_bytes != 0 {
            self.parts.push((self.size_bytes, part));
            self.size_bytes = self.size_bytes.saturating_add(length_bytes);
        }
    }
}

impl Layout for Joined {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn piece(&self, offset_bytes: u64, _most_bytes: u64) -> Piece<'_> {
        let behind = self.parts.partition_point(|(start, _)| *start <= offset_bytes);
        let end = self.parts.get(behind).map_or(self.size_bytes, |(start, _)| *start);
        let length_bytes = end.saturating_sub(offset_bytes);
        let stored = match behind.checked_sub(1).and_then(|index| self.parts.get(index)) {
            Some((start, Part::File(source, from))) => {
                let within = offset_bytes.saturating_sub(*start);
                Stored::Plain(source, from.saturating_add(within))
            }
            None => Stored::Zeros,
            Some((_, Part::Missing(why))) => {
                Stored::Missing(io::Error::new(io::ErrorKind::NotFound, why.clone()))
            }
        };
        Piece { stored, length_bytes }
    }
}
