//! Reading one chunk at a time, and finding exactly which sectors cannot be read.
//!
//! A failed read is halved again and again until single sectors remain; so every readable sector is read, and one bad
//! sector costs about two dozen reads and not four thousand. A read that got no answer in time is not halved, since each
//! half that holds the place would cost the time again: its edges are followed inward instead (`narrow`). What stays bad is
//! asked for again, from behind and from the front in turns.
//!
//! Before a failed chunk is taken apart, other places are asked: a source that answers nowhere is gone, and asking for its
//! every sector would take days.

mod narrow;
mod skip;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::buffer::Pool;
use crate::{Extent, Extents, ReadAt, Unread};
pub(crate) use narrow::Direction;
use skip::Skipping;
pub(crate) use skip::put_off;

/// Separate bad runs listed at most; 128 MiB of memory.
const MAX_BAD_RUNS: usize = 4 << 20;

/// Pieces the source is divided into when it is asked whether it is still there.
const PLACES_ASKED: u128 = 12;

/// Of those, how many may give no answer in time before the source counts as gone.
const SILENT_PLACES: usize = 3;

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
    skipping: Option<Skipping>,
    pub(crate) bad: Extents,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt, retries: u8, cancel: &'a AtomicBool) -> Self {
        let sector = usize::try_from(source.sector_bytes()).unwrap_or(512).max(1);
        let (last_good_bytes, skipping, bad) = (None, None, Extents::default());
        Self { source, sector, retries, cancel, last_good_bytes, skipping, bad }
    }

    /// Puts off what fails or takes longer than this, and what lies behind it.
    pub(crate) fn skipping(mut self, slow: Option<Duration>, chunk_bytes: usize) -> Self {
        self.skipping = slow.map(|slow| Skipping::new(slow, self.source.size_bytes(), chunk_bytes));
        self
    }

    /// Fills `buffer` from `offset_bytes`; what cannot be read becomes zeros and is listed.
    ///
    /// `Err` is the reason to stop; the chunk is then not part of the copy.
    pub(crate) fn read_chunk(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<(), Ending> {
        self.stop_if_asked()?;
        if self.skipping.is_some() {
            return self.read_or_put_off(offset_bytes, buffer);
        }
        let Err(error) = self.fill(offset_bytes, buffer) else { return Ok(()) };
        self.still_there(offset_bytes)?;
        let mut found = Extents::default();
        if is_silence(&error) {
            self.follow_edges(offset_bytes, buffer, &mut found)?;
        } else {
            self.halve(offset_bytes, buffer, &mut found)?;
        }
        for direction in Direction::turns(self.retries) {
            // What timed out is not asked for again here: each time would cost the limit.
            let refused = |why| why == Unread::Bad;
            found = self.ask_again(&found, offset_bytes, buffer, direction, refused)?;
        }
        // It may have gone away meanwhile: the sectors that failed last say nothing about the disk.
        self.still_there(offset_bytes)?;
        self.bad.append(&found);
        if self.bad.entries() > MAX_BAD_RUNS { Err(Ending::TooManyBadRuns) } else { Ok(()) }
    }

    pub(crate) fn stop_if_asked(&self) -> Result<(), Ending> {
        if self.cancel.load(Ordering::Relaxed) { Err(Ending::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn still_there(&self, offset_bytes: u64) -> Result<(), Ending> {
        if self.answers_somewhere(offset_bytes) { Ok(()) } else { Err(Ending::SourceLost) }
    }

    /// Zeros and a line in `found` for what was not read.
    fn give_up(&self, offset_bytes: u64, buffer: &mut [u8], why: Unread, found: &mut Extents) {
        // A device may have written into the buffer before it failed.
        buffer.fill(0);
        let length_bytes = wide(buffer.len());
        if length_bytes > 0 {
            found.push_as(Extent { offset_bytes, length_bytes }, why);
        }
    }

    /// Reads all of `buffer`, or nothing that counts.
    pub(crate) fn fill(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0usize;
        while done < buffer.len() {
            let offset = offset_bytes.saturating_add(wide(done));
            let rest = buffer.get_mut(done..).unwrap_or_default();
            match self.source.read_at(offset, rest) {
                // The source claims a size it does not have: the rest cannot be read.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.source.forget_cached(offset_bytes, wide(buffer.len()));
                    return Err(error);
                }
            }
        }
        self.last_good_bytes = Some(offset_bytes);
        Ok(())
    }

    /// Whether one sector can be read at the last good place, or anywhere else on the source.
    fn answers_somewhere(&self, offset_bytes: u64) -> bool {
        let sector = wide(self.sector);
        let size = self.source.size_bytes();
        let last = size.saturating_sub(1);
        let spread = (0..=PLACES_ASKED).filter_map(|part| {
            u64::try_from(u128::from(last).checked_mul(part)?.checked_div(PLACES_ASKED)?).ok()
        });
        let ahead = offset_bytes.saturating_add(last.saturating_sub(offset_bytes) >> 1);
        let mut free = Pool::new(1, self.sector).take();
        let mut silent = 0_usize;
        for place in self.last_good_bytes.into_iter().chain([ahead]).chain(spread) {
            let start = place.checked_div(sector).unwrap_or(0).saturating_mul(sector);
            let length = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX);
            let Some(buffer) = free.as_mut() else { return false };
            let part = buffer.bytes_mut(length.min(self.sector));
            // Without this, a disk that was pulled would still answer from memory.
            self.source.forget_cached(start, sector);
            match self.source.read_at(start, part) {
                Ok(count) if count > 0 => return true,
                Err(error) if is_silence(&error) => silent = silent.saturating_add(1),
                _ => {}
            }
            if silent > SILENT_PLACES {
                return false;
            }
        }
        false
    }
}

/// Whether no answer came in time, from the kernel or by our own limit.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// A length as an offset on the source.
pub(crate) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
