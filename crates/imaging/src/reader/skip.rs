//! Going on past what fails or is slow: the sound parts of a dying disk come first.
//!
//! The skips grow while it stays bad and fall back to nothing with the first good read (after GNU ddrescue, manual section
//! "Algorithm", copying). What was put off is a hole of zeros until `rescue` comes back for it.

use std::time::{Duration, Instant};

use super::{Ending, Reader};
use crate::{Extent, Extents, Unread};

/// A skip is never longer than this part of the source.
const LONGEST_SKIP: u64 = 100;

/// How far to skip, by what was met.
#[derive(Debug)]
pub(super) struct Skipping {
    slow: Duration,
    longest_chunks: u64,
    next_chunks: u64,
    left_chunks: u64,
}

impl Skipping {
    pub(super) fn new(slow: Duration, size_bytes: u64, chunk_bytes: usize) -> Self {
        let chunks = size_bytes.checked_div(super::wide(chunk_bytes)).unwrap_or(0);
        let longest_chunks = chunks.checked_div(LONGEST_SKIP).unwrap_or(0).max(1);
        Self { slow, longest_chunks, next_chunks: 0, left_chunks: 0 }
    }

    /// Whether the next chunk is to be left out.
    fn leaves_out(&mut self) -> bool {
        let left = self.left_chunks;
        self.left_chunks = left.saturating_sub(1);
        left > 0
    }

    fn met_trouble(&mut self) {
        self.next_chunks = self.next_chunks.saturating_mul(2).clamp(1, self.longest_chunks);
        self.left_chunks = self.next_chunks;
    }

    fn met_none(&mut self) {
        self.next_chunks = 0;
    }
}

impl Reader<'_> {
    /// Reads a chunk whole, or lists it as put off.
    pub(super) fn read_or_put_off(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<(), Ending> {
        let Some(mut skipping) = self.skipping.take() else { return Ok(()) };
        let ended = self.one_chunk(&mut skipping, offset_bytes, buffer);
        self.skipping = Some(skipping);
        let why = match ended? {
            Met::Read => return Ok(()),
            Met::Trouble => Unread::Untrimmed,
            Met::Skip => Unread::Untried,
        };
        let mut found = Extents::default();
        self.give_up(offset_bytes, buffer, why, &mut found);
        self.bad.append(&found);
        Ok(())
    }

    fn one_chunk(
        &mut self,
        skipping: &mut Skipping,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<Met, Ending> {
        if skipping.leaves_out() {
            return Ok(Met::Skip);
        }
        // A clock that only measures: what it says decides what is read later, and stands in no record.
        let begun = Instant::now();
        let read = self.fill(offset_bytes, buffer);
        if read.is_err() || begun.elapsed() > skipping.slow {
            skipping.met_trouble();
        } else {
            skipping.met_none();
        }
        if read.is_ok() {
            return Ok(Met::Read);
        }
        self.still_there(offset_bytes)?;
        Ok(Met::Trouble)
    }
}

enum Met {
    Read,
    Trouble,
    Skip,
}

/// The chunks of a source that were put off, given what is not read of it.
pub(crate) fn put_off(bad: &Extents, chunk_bytes: u64, size_bytes: u64) -> Vec<Extent> {
    let mut chunks: Vec<Extent> = Vec::new();
    if chunk_bytes == 0 {
        return chunks;
    }
    for run in bad.runs() {
        let first = run.extent.offset_bytes.checked_div(chunk_bytes).unwrap_or(0);
        let mut offset_bytes = first.saturating_mul(chunk_bytes);
        while offset_bytes < run.extent.end_bytes() {
            let length_bytes = chunk_bytes.min(size_bytes.saturating_sub(offset_bytes));
            if chunks.last().is_none_or(|last| last.offset_bytes < offset_bytes) {
                chunks.push(Extent { offset_bytes, length_bytes });
            }
            offset_bytes = offset_bytes.saturating_add(chunk_bytes);
        }
    }
    chunks
}
