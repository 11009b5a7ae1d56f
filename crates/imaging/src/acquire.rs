//! The pipeline: one reader, one digest thread, one writer, a few buffers between them.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hashing::{Algorithms, Digests, MultiHasher};

use crate::buffer::{Chunk, Pool};
use crate::reader::{Ending, Reader};
use crate::sink::write;
use crate::{Error, Extents, Layout, ReadAt, Sink};

/// How to acquire.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The digests wanted of the image.
    pub algorithms: Algorithms,
    /// Bytes read at once; a multiple of 4096, from 4 KiB to 64 MiB.
    pub chunk_bytes: usize,
    /// Buffers in flight, from 2 to 64; memory is this times the chunk.
    pub buffers: usize,
    /// How often a single bad sector is tried again.
    pub retries: u8,
    /// Whether zeros are written.
    pub layout: Layout,
}

impl Default for Plan {
    /// SHA-256, 8 buffers of 1 MiB, one more try for a bad sector, every byte written.
    fn default() -> Self {
        Self {
            algorithms: Algorithms::sha256(),
            chunk_bytes: 1 << 20,
            buffers: 8,
            retries: 1,
            layout: Layout::Plain,
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

struct ReadResult {
    bad: Extents,
    ending: Ending,
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
    sink: &mut dyn Sink,
    plan: &Plan,
    progress: &mut dyn FnMut(Tick),
    cancel: &AtomicBool,
) -> Result<Acquisition, Error> {
    check(source, plan)?;
    hashing::ensure_tested()?;
    let total_bytes = source.size_bytes();
    // Each stage may lag by all buffers; the pool is what limits them.
    let (to_digest, digest_queue) = sync_channel(plan.buffers);
    let (to_write, write_queue) = sync_channel(plan.buffers);
    let (written, read, digests) = std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_all(source, plan, cancel, &to_digest, &to_write));
        let hashing = scope.spawn(move || digest_all(&digest_queue, &plan.algorithms));
        let written = write_all(&write_queue, sink, plan.layout, total_bytes, progress);
        // With the queue gone a reader that is still at work stops at its next chunk.
        drop(write_queue);
        (written, reading.join(), hashing.join())
    });
    // A thread can only have panicked by a fault of ours; then the panic goes on here.
    let read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let digests = digests.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (copied_bytes, failure) = written;
    let acquisition = |digests, copied_bytes| Acquisition {
        size_bytes: total_bytes,
        sector_bytes: source.sector_bytes(),
        copied_bytes,
        digests,
        bad: read.bad.up_to(copied_bytes),
        ending: read.ending,
    };
    let failed = |source, reached| Error::Sink {
        sink: sink.name(),
        offset_bytes: copied_bytes,
        source,
        reached: Box::new(reached),
    };
    if let Some(error) = failure {
        // The digests cover chunks that were read ahead of the writer: they describe no copy.
        return Err(failed(error, acquisition(Digests::default(), copied_bytes)));
    }
    let reached = acquisition(digests, copied_bytes);
    match sink.complete(copied_bytes) {
        Ok(()) => Ok(reached),
        Err(error) => Err(Error::Sink {
            sink: sink.name(),
            offset_bytes: copied_bytes,
            source: error,
            reached: Box::new(Acquisition { digests: Digests::default(), ..reached }),
        }),
    }
}

fn check(source: &dyn ReadAt, plan: &Plan) -> Result<(), Error> {
    let bad = |what, found, expected| Err(Error::BadSize { what, found, expected });
    let widen = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    if !plan.chunk_bytes.is_multiple_of(4096) || !(4096..=64 << 20).contains(&plan.chunk_bytes) {
        let expected = "a multiple of 4096 up to 64 MiB";
        return bad("chunk size", widen(plan.chunk_bytes), expected);
    }
    if !(2..=64).contains(&plan.buffers) {
        return bad("number of buffers", widen(plan.buffers), "2 to 64");
    }
    let sector = source.sector_bytes();
    if !sector.is_power_of_two() || !(1..=4096).contains(&sector) {
        return bad("sector size", u64::from(sector), "a power of two up to 4096");
    }
    Ok(())
}

fn read_all(
    source: &dyn ReadAt,
    plan: &Plan,
    cancel: &AtomicBool,
    to_digest: &SyncSender<Chunk>,
    to_write: &SyncSender<Chunk>,
) -> ReadResult {
    let pool = Pool::new(plan.buffers, plan.chunk_bytes);
    let mut reader = Reader::new(source, plan.retries, cancel);
    let size = source.size_bytes();
    let mut offset_bytes = 0u64;
    let mut ending = Ending::Complete;
    while offset_bytes < size {
        let Some(mut buffer) = pool.take() else { break };
        let left = usize::try_from(size.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
        let length = left.min(plan.chunk_bytes);
        let bad_before = reader.bad.total_bytes();
        if let Err(reason) = reader.read_chunk(offset_bytes, buffer.bytes_mut(length)) {
            ending = reason;
            break;
        }
        let bad_bytes = reader.bad.total_bytes().saturating_sub(bad_before);
        let chunk = pool.chunk(buffer, offset_bytes, length, bad_bytes);
        // Refused when the writer has failed; its error is what the caller will see.
        if to_write.send(chunk.clone()).is_err() || to_digest.send(chunk).is_err() {
            ending = Ending::Cancelled;
            break;
        }
        offset_bytes = offset_bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    ReadResult { bad: reader.bad, ending }
}

fn digest_all(queue: &Receiver<Chunk>, algorithms: &Algorithms) -> Digests {
    let mut hasher = MultiHasher::new(algorithms);
    queue.iter().for_each(|chunk| hasher.update(chunk.bytes()));
    hasher.finish()
}

fn write_all(
    queue: &Receiver<Chunk>,
    sink: &mut dyn Sink,
    layout: Layout,
    total_bytes: u64,
    progress: &mut dyn FnMut(Tick),
) -> (u64, Option<io::Error>) {
    let (mut done_bytes, mut bad_bytes) = (0u64, 0u64);
    for chunk in queue {
        if let Err(error) = write(sink, layout, chunk.offset_bytes(), chunk.bytes()) {
            return (done_bytes, Some(error));
        }
        let length = u64::try_from(chunk.bytes().len()).unwrap_or(u64::MAX);
        done_bytes = chunk.offset_bytes().saturating_add(length);
        bad_bytes = bad_bytes.saturating_add(chunk.bad_bytes());
        progress(Tick { done_bytes, total_bytes, bad_bytes });
    }
    (done_bytes, None)
}
