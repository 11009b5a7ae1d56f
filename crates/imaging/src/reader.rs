//! Reading one chunk at a time, and finding exactly which sectors cannot be read.
//!
//! A failed read is halved again and again until single sectors remain; so every readable sector is
//! read, and one bad sector costs about two dozen reads and not four thousand. Before a failed
//! chunk is taken apart, other places are asked: a source that answers nowhere is gone, and asking
//! for its every sector would take days.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::buffer::Pool;
use crate::{Extent, Extents, ReadAt};

/// Separate bad runs listed at most; 64 MiB of memory.
const MAX_BAD_RUNS: usize = 4 << 20;

/// Pieces the source is divided into when it is asked whether it is still there.
const PLACES_ASKED: u128 = 12;

/// How an acquisition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every sector was tried.
    Complete,
    /// The caller asked to stop.
    Cancelled,
    /// The source no longer answers anywhere.
    SourceLost,
    /// Every copy has failed.
    NoCopyLeft,
    /// More separate unreadable places than can be listed.
    TooManyBadRuns,
}

/// Reads chunks of a source and keeps the list of what could not be read.
pub(crate) struct Reader<'a> {
    source: &'a dyn ReadAt,
    sector: usize,
    retries: u8,
    cancel: &'a AtomicBool,
    last_good_bytes: Option<u64>,
    pub(crate) bad: Extents,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt, retries: u8, cancel: &'a AtomicBool) -> Self {
        let sector = usize::try_from(source.sector_bytes()).unwrap_or(512).max(1);
        Self { source, sector, retries, cancel, last_good_bytes: None, bad: Extents::default() }
    }

    /// Fills `buffer` from `offset_bytes`; what cannot be read becomes zeros and is listed.
    ///
    /// `Err` is the reason to stop; the chunk is then not part of the copy.
    pub(crate) fn read_chunk(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<(), Ending> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Ending::Cancelled);
        }
        if self.fill(offset_bytes, buffer).is_ok() {
            return Ok(());
        }
        if !self.answers_somewhere(offset_bytes) {
            return Err(Ending::SourceLost);
        }
        // A chunk that is given up must leave nothing in the list.
        let before = self.bad.mark();
        let mut result = self.narrow(offset_bytes, buffer);
        if result.is_ok() && !self.answers_somewhere(offset_bytes) {
            // It went away meanwhile: the sectors that failed last say nothing about the disk.
            result = Err(Ending::SourceLost);
        }
        if result.is_err() {
            self.bad.truncate_to(before);
        }
        result
    }

    /// Reads the two halves of a range that failed as a whole, in ascending order.
    ///
    /// The depth is the logarithm of a chunk's sectors: 13 for 4 MiB of 512 bytes.
    fn narrow(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), Ending> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Ending::Cancelled);
        }
        if buffer.len() <= self.sector {
            return self.give_up_sector(offset_bytes, buffer);
        }
        // Half of it in whole sectors, at least one on each side.
        let sectors = buffer.len().div_ceil(self.sector);
        let half = sectors.div_ceil(2).saturating_mul(self.sector);
        let (left, right) = buffer.split_at_mut_checked(half).unwrap_or_default();
        let middle = offset_bytes.saturating_add(u64::try_from(half).unwrap_or(u64::MAX));
        for (offset, part) in [(offset_bytes, left), (middle, right)] {
            if !part.is_empty() && self.fill(offset, part).is_err() {
                self.narrow(offset, part)?;
            }
        }
        Ok(())
    }

    fn give_up_sector(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), Ending> {
        for _ in 0..self.retries {
            if self.fill(offset_bytes, buffer).is_ok() {
                return Ok(());
            }
        }
        // A device may have written into the buffer before it failed.
        buffer.fill(0);
        let length_bytes = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        self.bad.push(Extent { offset_bytes, length_bytes });
        if self.bad.len() > MAX_BAD_RUNS { Err(Ending::TooManyBadRuns) } else { Ok(()) }
    }

    /// Reads all of `buffer`, or nothing that counts.
    fn fill(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0usize;
        while done < buffer.len() {
            let offset = offset_bytes.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            let rest = buffer.get_mut(done..).unwrap_or_default();
            match self.source.read_at(offset, rest) {
                // The source claims a size it does not have: the rest cannot be read.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let length = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
                    self.source.forget_cached(offset_bytes, length);
                    return Err(error);
                }
            }
        }
        self.last_good_bytes = Some(offset_bytes);
        Ok(())
    }

    /// Whether one sector can be read at the last good place, or anywhere else on the source.
    fn answers_somewhere(&self, offset_bytes: u64) -> bool {
        let sector = u64::try_from(self.sector).unwrap_or(512);
        let size = self.source.size_bytes();
        let last = size.saturating_sub(1);
        let spread = (0..=PLACES_ASKED).filter_map(|part| {
            u64::try_from(u128::from(last).checked_mul(part)?.checked_div(PLACES_ASKED)?).ok()
        });
        let ahead = offset_bytes.saturating_add(last.saturating_sub(offset_bytes) >> 1);
        let mut free = Pool::new(1, self.sector).take();
        self.last_good_bytes.into_iter().chain([ahead]).chain(spread).any(|place| {
            let start = place.checked_div(sector).unwrap_or(0).saturating_mul(sector);
            let length = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX);
            let Some(buffer) = free.as_mut() else { return false };
            let part = buffer.bytes_mut(length.min(self.sector));
            // Without this, a disk that was pulled would still answer from memory.
            self.source.forget_cached(start, sector);
            matches!(self.source.read_at(start, part), Ok(count) if count > 0)
        })
    }
}
