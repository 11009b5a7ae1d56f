//! Coming back for what was put off: the second half of an imaging that skips what is slow.
//!
//! After GNU ddrescue (manual, section "Algorithm"), in passes over all chunks that were put off: large reads of what was
//! only skipped, from behind; both edges of what failed, inward until a sector fails; sector by sector between them; then what
//! is still missing again, from behind and from the front in turns. So the most is saved before the disk is asked for what
//! may kill it.
//!
//! A chunk is filled in every copy as a whole, and noted in the journal with its SHA-256, before the next is touched. What
//! a copy holds of a chunk is only built upon when it has that SHA-256; else the chunk is begun anew.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;

use hashing::{Algorithms, digest_bytes};
use serde::{Deserialize, Serialize};

use crate::buffer::Pool;
use crate::reader::{Direction, Ending, Reader, put_off};
use crate::{Extent, Extents, Journal, Medium, Patch, ReadAt, Run, Unread};

/// A chunk that was put off, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateChunk {
    /// Where it begins, in bytes.
    pub offset_bytes: u64,
    /// Its length.
    pub length_bytes: u64,
    /// SHA-256 of what was put into the copies, in hexadecimal; `None` while it is the hole of zeros it was left as.
    pub late_sha256: Option<String>,
    /// Offset, length and reason of what is still missing.
    pub missing: Vec<(u64, u64, Unread)>,
}

/// All chunks that were put off, by where they begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Late(BTreeMap<u64, LateChunk>);

impl Late {
    /// What the first half left, and what the journal says was done since.
    pub(crate) fn new(bad: &Extents, medium: &Medium, noted: &BTreeMap<u64, LateChunk>) -> Self {
        let chunks = put_off(bad, medium.chunk_bytes, medium.size_bytes);
        let chunks = chunks.into_iter().map(|Extent { offset_bytes, length_bytes }| {
            let new = || {
                let inside = bad.from(offset_bytes);
                let end = offset_bytes.saturating_add(length_bytes);
                let inside = inside.take_while(|run| run.extent.offset_bytes < end).map(|run| {
                    let cut = run.extent.end_bytes().min(end);
                    let length = cut.saturating_sub(run.extent.offset_bytes);
                    (run.extent.offset_bytes, length, run.why)
                });
                let missing = inside.collect();
                LateChunk { offset_bytes, length_bytes, late_sha256: None, missing }
            };
            (offset_bytes, noted.get(&offset_bytes).cloned().unwrap_or_else(new))
        });
        Self(chunks.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &LateChunk> {
        self.0.values()
    }

    /// The chunk that holds this place.
    pub(crate) fn at(&self, offset_bytes: u64) -> Option<&LateChunk> {
        let (_, chunk) = self.0.range(..=offset_bytes).next_back()?;
        (offset_bytes < chunk.offset_bytes.saturating_add(chunk.length_bytes)).then_some(chunk)
    }

    /// Everything that is still missing.
    pub(crate) fn missing(&self) -> Extents {
        let mut all = Extents::default();
        self.chunks().for_each(|chunk| all.append(&chunk.runs()));
        all
    }
}

impl LateChunk {
    fn runs(&self) -> Extents {
        let mut runs = Extents::default();
        for (offset_bytes, length_bytes, why) in &self.missing {
            let extent = Extent { offset_bytes: *offset_bytes, length_bytes: *length_bytes };
            runs.add(Run { extent, why: *why });
        }
        runs
    }

    /// Nothing is known of what the copies hold.
    fn begin_anew(&mut self) {
        self.late_sha256 = None;
        self.missing = vec![(self.offset_bytes, self.length_bytes, Unread::Untrimmed)];
    }
}

/// One way over everything that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Sweep,
    Trim,
    Scrape,
    Retry(Direction),
}

impl Pass {
    fn all(retries: u8) -> impl Iterator<Item = Self> {
        let retries = Direction::turns(retries).map(Self::Retry);
        [Self::Sweep, Self::Trim, Self::Scrape].into_iter().chain(retries)
    }

    fn wants(self, why: Unread) -> bool {
        match self {
            Self::Sweep => why == Unread::Untried,
            Self::Trim => why == Unread::Untrimmed,
            Self::Scrape => why == Unread::Unscraped,
            Self::Retry(_) => matches!(why, Unread::Bad | Unread::TimedOut),
        }
    }

    fn direction(self) -> Direction {
        match self {
            // What was skipped is come at from its far side.
            Self::Sweep => Direction::Backwards,
            Self::Trim | Self::Scrape => Direction::Forwards,
            Self::Retry(direction) => direction,
        }
    }
}

/// One copy whose chunks can be filled, and what became of it.
pub(crate) struct Patched {
    pub(crate) patch: Box<dyn Patch>,
    pub(crate) failure: Option<io::Error>,
}

/// Works on the chunks that were put off.
pub(crate) struct Rescue<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) retries: u8,
    pub(crate) copies: &'a mut [Patched],
    pub(crate) journal: &'a mut Journal,
    /// Why this could not be continued, if it were interrupted.
    pub(crate) journal_failure: Option<io::Error>,
    pub(crate) cancel: &'a AtomicBool,
}

impl Rescue<'_> {
    /// All passes. `progress` gets the bytes still missing.
    pub(crate) fn run(&mut self, late: &mut Late, progress: &mut dyn FnMut(u64)) -> Ending {
        let mut reader = Reader::new(self.source, 0, self.cancel);
        let mut missing_bytes = late.missing().total_bytes();
        for pass in Pass::all(self.retries) {
            let mut places: Vec<u64> = late.0.keys().copied().collect();
            if pass.direction() == Direction::Backwards {
                places.reverse();
            }
            for place in places {
                let Some(chunk) = late.0.get_mut(&place) else { continue };
                if !chunk.missing.iter().any(|(.., why)| pass.wants(*why)) {
                    continue;
                }
                let before = chunk.runs().total_bytes();
                if let Err(ending) = self.work_on(chunk, pass, &mut reader) {
                    return ending;
                }
                let after = chunk.runs().total_bytes();
                missing_bytes = missing_bytes.saturating_sub(before).saturating_add(after);
                progress(missing_bytes);
            }
        }
        Ending::Complete
    }

    fn work_on(
        &mut self,
        chunk: &mut LateChunk,
        pass: Pass,
        reader: &mut Reader<'_>,
    ) -> Result<(), Ending> {
        let length = usize::try_from(chunk.length_bytes).unwrap_or(0);
        let Some(mut memory) = Pool::new(1, length).take() else { return Ok(()) };
        let buffer = memory.bytes_mut(length);
        self.load(chunk, buffer);
        let runs = chunk.runs();
        let mut found = Extents::default();
        match pass {
            Pass::Sweep | Pass::Trim => {
                for run in runs.runs() {
                    if !pass.wants(run.why) {
                        found.add(run);
                        continue;
                    }
                    let at = run.extent.offset_bytes.saturating_sub(chunk.offset_bytes);
                    let at = usize::try_from(at).unwrap_or(usize::MAX);
                    let end = usize::try_from(run.extent.length_bytes).unwrap_or(usize::MAX);
                    let part = buffer.get_mut(at..at.saturating_add(end)).unwrap_or_default();
                    reader.stop_if_asked()?;
                    let offset_bytes = run.extent.offset_bytes;
                    if pass == Pass::Sweep {
                        reader.sweep(offset_bytes, part, &mut found);
                    } else {
                        reader.trim(offset_bytes, part, &mut found)?;
                    }
                }
            }
            Pass::Scrape | Pass::Retry(_) => {
                let wanted: fn(Unread) -> bool = match pass {
                    Pass::Scrape => |why| Pass::Scrape.wants(why),
                    _ => |why| Pass::Retry(Direction::Forwards).wants(why),
                };
                let (start, direction) = (chunk.offset_bytes, pass.direction());
                found = reader.ask_again(&runs, start, buffer, direction, wanted)?;
            }
        }
        if !found.is_empty() {
            reader.still_there(chunk.offset_bytes)?;
        }
        self.store(chunk, buffer, &found)
    }

    /// What the copies hold of the chunk, if one of them holds what was put there.
    fn load(&mut self, chunk: &mut LateChunk, buffer: &mut [u8]) {
        buffer.fill(0);
        let Some(expected) = chunk.late_sha256.clone() else { return };
        for copy in self.copies.iter().filter(|copy| copy.failure.is_none()) {
            let read = copy.patch.read_all_at(chunk.offset_bytes, buffer);
            if read.is_ok() && sha256(buffer) == expected {
                return;
            }
        }
        buffer.fill(0);
        chunk.begin_anew();
    }

    /// Puts the chunk into all copies, then notes it.
    fn store(
        &mut self,
        chunk: &mut LateChunk,
        buffer: &[u8],
        found: &Extents,
    ) -> Result<(), Ending> {
        let missing = found.runs();
        chunk.missing = missing
            .map(|run| (run.extent.offset_bytes, run.extent.length_bytes, run.why))
            .collect();
        chunk.late_sha256 = Some(sha256(buffer));
        for copy in self.copies.iter_mut().filter(|copy| copy.failure.is_none()) {
            let written = copy.patch.write_all_at(chunk.offset_bytes, buffer);
            copy.failure = written.and_then(|()| copy.patch.flush()).err();
        }
        if self.copies.iter().all(|copy| copy.failure.is_some()) {
            return Err(Ending::NoCopyLeft);
        }
        if self.journal_failure.is_none() {
            self.journal_failure = self.journal.note_late(chunk).err();
        }
        Ok(())
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest_bytes(bytes, &Algorithms::sha256()).sha256_hex()
}
