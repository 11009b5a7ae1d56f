//! Copying to one plain sink, and what goes in and comes out of any acquisition.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hashing::{Algorithms, Digests};

use crate::pipeline::{Standing, Start, image};
use crate::reader::Ending;
use crate::sink::write;
use crate::{Checkpoint, Error, Extents, Flush, ImageWriter, Layout, Part, ReadAt, Sink};

/// What the encoders of one format take on two processors, as measured; most of it is Zstandard's.
const ENCODER_BYTES: usize = 5 << 20;

/// How to acquire.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The digests wanted of the image.
    pub algorithms: Algorithms,
    /// Bytes read at once; a multiple of 4096, from 4 KiB to 64 MiB.
    pub chunk_bytes: usize,
    /// Buffers in flight at most, from 2 to 64.
    pub buffers: usize,
    /// Bytes of memory for chunks, for what formats make of them and for what makes it; where more would not fit, fewer
    /// buffers are used.
    pub memory_bytes: usize,
    /// How often a single bad sector is tried again.
    pub retries: u8,
    /// Chunks that fail or take longer than this are left as holes of zeros and listed, and so is what lies behind them.
    pub skip_slow: Option<Duration>,
    /// Whether zeros are written, for a [`Sink`].
    pub layout: Layout,
    /// Threads that compress.
    pub workers: NonZeroUsize,
    /// After how many bytes copies can be continued; a multiple of the chunk. `None`: never.
    pub checkpoint_bytes: Option<u64>,
    /// Length of the pieces that get a SHA-256 of their own; `None`: no pieces.
    pub piece_bytes: Option<u64>,
}

impl Default for Plan {
    /// SHA-256, 8 buffers of 1 MiB, 32 MiB in all, one more try for a bad sector, every byte written, one worker.
    fn default() -> Self {
        Self {
            algorithms: Algorithms::sha256(),
            chunk_bytes: 1 << 20,
            buffers: 8,
            memory_bytes: 32 << 20,
            retries: 1,
            skip_slow: None,
            layout: Layout::Plain,
            workers: NonZeroUsize::MIN,
            checkpoint_bytes: None,
            piece_bytes: None,
        }
    }
}

/// How far an acquisition has come; with a clock it makes a [`crate::Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Bytes written to the sink.
    pub done_bytes: u64,
    /// Size of the source in bytes.
    pub total_bytes: u64,
    /// Unreadable bytes among those done.
    pub bad_bytes: u64,
}

/// What an acquisition gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquisition {
    /// Size of the source in bytes.
    pub size_bytes: u64,
    /// Logical sector size of the source in bytes.
    pub sector_bytes: u32,
    /// Bytes acquired from the beginning on; less than the size when it was stopped.
    pub copied_bytes: u64,
    /// Digests of the bytes acquired, unreadable ones counted as zeros.
    pub digests: Digests,
    /// What could not be read, to the sector.
    pub bad: Extents,
    /// How it ended.
    pub ending: Ending,
}

impl Acquisition {
    /// Refuses the copy at `path` of an acquisition that did not reach the end of the source.
    pub(crate) fn ensure_complete(&self, path: &Path) -> Result<(), Error> {
        if self.ending == Ending::Complete {
            return Ok(());
        }
        let (copied_bytes, size_bytes) = (self.copied_bytes, self.size_bytes);
        Err(Error::Incomplete { path: path.to_path_buf(), copied_bytes, size_bytes })
    }
}

/// Copies `source` to `sink` in one read, computing digests on the way.
///
/// `progress` is called after every chunk written, on the calling thread. Setting `cancel` stops
/// the work within one chunk; what was acquired until then is described by the result.
///
/// # Errors
/// When the digest code fails its own test, the plan is impossible, or the sink cannot take the
/// bytes. Trouble with the source is no error but part of the result.
pub fn acquire(
    source: &dyn ReadAt,
    sink: &mut (dyn Sink + Send),
    plan: &Plan,
    progress: &mut dyn FnMut(Tick),
    cancel: &AtomicBool,
) -> Result<Acquisition, Error> {
    let writers = vec![Plainly { sink, layout: plan.layout }];
    let mut tell = |standing: Standing<'_>| progress(standing.tick);
    let imaged = image(source, writers, plan, Start::new(plan), None, &mut tell, cancel)?;
    let mut reached = imaged.acquisition;
    let Some(copy) = imaged.copies.into_iter().next() else { return Ok(reached) };
    let sink = copy.writer.sink;
    reached.copied_bytes = copy.written_bytes;
    reached.bad = reached.bad.up_to(copy.written_bytes);
    let done = match copy.failure {
        Some(error) => Err(error),
        None => sink.complete(copy.written_bytes),
    };
    match done {
        Ok(()) => Ok(reached),
        Err(source) => Err(Error::Sink {
            sink: sink.name(),
            offset_bytes: reached.copied_bytes,
            source,
            // The digests cover chunks that were read ahead of the writer: they describe no copy.
            reached: Box::new(Acquisition { digests: Digests::default(), ..reached }),
        }),
    }
}

/// A sink as the one writer of a pipeline.
struct Plainly<'a> {
    sink: &'a mut (dyn Sink + Send),
    layout: Layout,
}

impl ImageWriter for Plainly<'_> {
    fn name(&self) -> String {
        self.sink.name()
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        write(self.sink, self.layout, part.offset_bytes, part.bytes)
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        // Kept by nobody: such a copy is not continued.
        Ok(Checkpoint { flush: Flush::default(), state: serde_json::Value::Null })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        Ok(())
    }
}

impl Plan {
    /// As the default, for reading images whose parts are unpacked at the same time: longer chunks, no more memory.
    #[must_use]
    pub fn reading() -> Self {
        Self { chunk_bytes: 4 << 20, buffers: 4, ..Self::default() }
    }

    /// Whether copies can be continued from this place.
    pub(crate) fn is_checkpoint(&self, end_bytes: u64) -> bool {
        self.checkpoint_bytes.is_some_and(|every| every > 0 && end_bytes.is_multiple_of(every))
    }

    /// Buffers that fit when each chunk is there once as it was read and once in every encoding; at least 3, without which
    /// reader, digests and writer would wait for one another.
    pub(crate) fn buffers_for(&self, encodings: usize) -> usize {
        let each = self.chunk_bytes.saturating_mul(encodings.saturating_add(1));
        let left = self.memory_bytes.saturating_sub(encodings.saturating_mul(ENCODER_BYTES));
        let fitting = left.checked_div(each).unwrap_or(0);
        fitting.max(3).min(self.buffers)
    }

    /// Refuses what cannot be done.
    pub(crate) fn check(&self, source: &dyn ReadAt) -> Result<(), Error> {
        let bad = |what, found, expected| Err(Error::BadSize { what, found, expected });
        let widen = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let chunk = self.chunk_bytes;
        if !chunk.is_multiple_of(4096) || !(4096..=64 << 20).contains(&chunk) {
            return bad("chunk size", widen(chunk), "a multiple of 4096 up to 64 MiB");
        }
        if !(2..=64).contains(&self.buffers) {
            return bad("number of buffers", widen(self.buffers), "2 to 64");
        }
        let sector = source.sector_bytes();
        if !sector.is_power_of_two() || !(1..=4096).contains(&sector) {
            return bad("sector size", u64::from(sector), "a power of two up to 4096");
        }
        if let Some(every) = self.checkpoint_bytes
            && !every.is_multiple_of(widen(chunk))
        {
            return bad("distance of checkpoints", every, "a multiple of the chunk size");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_acquisition_makes_a_copy() {
        let mut acquisition = Acquisition {
            size_bytes: 10,
            sector_bytes: 1,
            copied_bytes: 10,
            digests: Digests::default(),
            bad: Extents::default(),
            ending: Ending::Complete,
        };
        assert!(acquisition.ensure_complete(Path::new("x")).is_ok());
        for ending in [Ending::Cancelled, Ending::NoCopyLeft] {
            acquisition.ending = ending;
            let refused = acquisition.ensure_complete(Path::new("x"));
            assert!(matches!(refused, Err(Error::Incomplete { copied_bytes: 10, .. })));
        }
    }
}
