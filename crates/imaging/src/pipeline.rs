//! The pipeline: one read of the source feeds any number of copies and digests.
//!
//! One reader, one digest thread, as many encoders as the plan says, one writer thread for each copy. The fixed set of
//! buffers is what bounds memory: the slowest stage holds the others back. A copy that fails ends alone; only when the
//! last one has failed does the reading stop.
//!
//! Memory: [`Plan::memory_bytes`] for the chunks and for what encoders made of them, and what encoders need for themselves:
//! 1/3 MiB for each worker and encoding. It does not grow with formats or copies: more of them have fewer buffers.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use hashing::{Digests, MultiHasher};

use crate::buffer::Pool;
use crate::job::{Job, Owed};
use crate::journal::{Journal, Mark, Note, keep};
use crate::reader::{Ending, Reader};
use crate::{
    Acquisition, Encoding, Error, Extents, Flush, ImageWriter, Part, PieceDigest, Pieces, Plan,
    ReadAt, Run, Tick,
};

/// Where a pipeline begins: at the start of the source, or where an earlier one stood.
pub struct Start {
    /// Everything before this offset is in the copies already.
    pub offset_bytes: u64,
    /// What could not be read there.
    pub bad: Extents,
    /// The digests of what lies before it.
    pub hasher: MultiHasher,
    /// The piecewise digests of what lies before it.
    pub pieces: Pieces,
}

impl Start {
    /// At the beginning of the source.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            offset_bytes: 0,
            bad: Extents::default(),
            hasher: MultiHasher::new(&plan.algorithms),
            pieces: Pieces::new(plan.piece_bytes),
        }
    }
}

/// One of the copies after the work.
pub struct Copied<W> {
    /// Its writer.
    pub writer: W,
    /// Bytes of the source that are in it, from the beginning on.
    pub written_bytes: u64,
    /// Why it ended before the others; `None` for a copy that took everything.
    pub failure: Option<io::Error>,
}

/// What a pipeline gave.
pub struct Imaged<W> {
    /// What was read.
    pub acquisition: Acquisition,
    /// Digests of its pieces, if asked for.
    pub pieces: Vec<PieceDigest>,
    /// The copies, in the order given.
    pub copies: Vec<Copied<W>>,
    /// Why interrupted work could not be continued: the journal could not be kept.
    pub journal_failure: Option<io::Error>,
}

/// How far the copies have come.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The slowest copy that still goes on.
    pub tick: Tick,
    /// Bytes in each copy, in order.
    pub written_bytes: &'a [u64],
    /// Whether each still goes on.
    pub is_live: &'a [bool],
}

/// What writer threads tell the caller's.
enum Event {
    Written { copy: usize, done_bytes: u64, bad_bytes: u64 },
    Ended { copy: usize },
}

/// Writes the source to all `writers` in one read, computing digests on the way.
///
/// With a journal, the work can be continued after any interruption. `progress` is called on the calling thread. Setting
/// `cancel` stops the work within one chunk.
///
/// # Errors
/// When the digest code fails its own test or the plan is impossible. A copy that fails is part of the result, and so is
/// trouble with the source.
pub fn image<W: ImageWriter>(
    source: &dyn ReadAt,
    writers: Vec<W>,
    plan: &Plan,
    start: Start,
    mut journal: Option<&mut Journal>,
    progress: &mut dyn FnMut(Standing<'_>),
    cancel: &AtomicBool,
) -> Result<Imaged<W>, Error> {
    plan.check(source)?;
    hashing::ensure_tested()?;
    let total_bytes = source.size_bytes();
    let first_bytes = start.offset_bytes;
    let (encodings, wanted) = encodings(&writers);
    let count = writers.len();
    let buffers = plan.buffers_for(encodings.len());
    let (to_digest, digest_queue) = sync_channel(buffers);
    let (to_workers, worker_queue) = sync_channel::<Arc<Job>>(buffers);
    let worker_queue = Mutex::new(worker_queue);
    // Writers wait for the caller's progress to be taken, as they would if they called it.
    let (events, event_queue) = sync_channel(1);
    let (notes, note_queue) = channel();
    let notes = journal.is_some().then_some(notes);
    let journal_part = journal.as_deref_mut();
    let encodings = &encodings;
    let worker_queue = &worker_queue;
    let (read, hashed, written, journal_failure) = std::thread::scope(|scope| {
        let (mut to_writers, mut writing) = (Vec::new(), Vec::new());
        for (copy, (writer, encoding)) in writers.into_iter().zip(wanted).enumerate() {
            let (send, queue) = sync_channel(buffers);
            to_writers.push(Some(send));
            let desk = Desk { copy, encoding, events: events.clone(), notes: notes.clone() };
            writing.push(scope.spawn(move || desk.write_all(&queue, writer, first_bytes)));
        }
        drop(events);
        let keeping =
            journal_part.map(|journal| scope.spawn(move || keep(journal, &note_queue, count)));
        let digests = scope
            .spawn(move || digest_all(&digest_queue, start.hasher, start.pieces, notes.as_ref()));
        for _ in 0..plan.workers.get() {
            if !encodings.is_empty() {
                scope.spawn(move || encode_all(worker_queue, encodings));
            }
        }
        let outlets = Outlets { to_digest, to_workers, to_writers, encodings: encodings.len() };
        let begun = (start.offset_bytes, start.bad);
        let pool = Pool::new(buffers, plan.chunk_bytes);
        let reading = scope.spawn(move || read_all(source, plan, &pool, begun, cancel, outlets));
        tell(&event_queue, count, (first_bytes, total_bytes), progress);
        (
            finished(reading.join()),
            finished(digests.join()),
            writing.into_iter().map(|thread| finished(thread.join())).collect::<Vec<_>>(),
            keeping.and_then(|thread| finished(thread.join())),
        )
    });
    let Hashed { digests, mark, pieces } = hashed;
    let acquisition = Acquisition {
        size_bytes: total_bytes,
        sector_bytes: source.sector_bytes(),
        copied_bytes: read.reached_bytes,
        digests,
        bad: read.bad.up_to(read.reached_bytes),
        ending: read.ending,
    };
    let mut imaged = Imaged { acquisition, pieces, copies: written, journal_failure };
    imaged.seal(journal, mark);
    Ok(imaged)
}

/// The different encodings wanted, and which of them each writer wants.
fn encodings<W: ImageWriter>(writers: &[W]) -> (Vec<Arc<dyn Encoding>>, Vec<Option<usize>>) {
    let mut encodings: Vec<Arc<dyn Encoding>> = Vec::new();
    let wanted = writers.iter().map(|writer| {
        let encoding = writer.encoding()?;
        let key = encoding.key();
        let known = encodings.iter().position(|one| one.key() == key);
        Some(known.unwrap_or_else(|| {
            encodings.push(encoding);
            encodings.len().saturating_sub(1)
        }))
    });
    let wanted = wanted.collect();
    (encodings, wanted)
}

/// A thread can only have panicked by a fault of ours; then the panic goes on here.
fn finished<T>(result: std::thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

struct Outlets {
    to_digest: SyncSender<Arc<Job>>,
    to_workers: SyncSender<Arc<Job>>,
    to_writers: Vec<Option<SyncSender<Arc<Job>>>>,
    encodings: usize,
}

impl Outlets {
    /// Hands a job to everybody; false when nobody is left who writes.
    fn send(&mut self, job: &Arc<Job>) -> bool {
        for outlet in &mut self.to_writers {
            // Refused when the writer has failed: then it gets no more.
            if outlet.as_ref().is_some_and(|outlet| outlet.send(Arc::clone(job)).is_err()) {
                *outlet = None;
            }
        }
        let someone_writes = self.to_writers.iter().any(Option::is_some);
        if self.encodings > 0 && self.to_workers.send(Arc::clone(job)).is_err() {
            return false;
        }
        someone_writes && self.to_digest.send(Arc::clone(job)).is_ok()
    }
}

struct ReadResult {
    bad: Extents,
    ending: Ending,
    reached_bytes: u64,
}

fn read_all(
    source: &dyn ReadAt,
    plan: &Plan,
    pool: &Pool,
    (mut offset_bytes, bad): (u64, Extents),
    cancel: &AtomicBool,
    mut outlets: Outlets,
) -> ReadResult {
    let mut reader =
        Reader::new(source, plan.retries, cancel).skipping(plan.skip_slow, plan.chunk_bytes);
    let mut noted_bytes = offset_bytes;
    reader.bad = bad;
    let size = source.size_bytes();
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
        let end_bytes = offset_bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        let checkpoint = plan.is_checkpoint(end_bytes).then(|| {
            let since: Vec<Run> = reader.bad.from(noted_bytes).collect();
            noted_bytes = end_bytes;
            since
        });
        if !outlets.send(&Arc::new(Job::new(chunk, checkpoint, outlets.encodings))) {
            ending = Ending::NoCopyLeft;
            break;
        }
        offset_bytes = end_bytes;
    }
    ReadResult { bad: reader.bad, ending, reached_bytes: offset_bytes }
}

/// What the digest thread gives.
struct Hashed {
    digests: Digests,
    /// For the journal: where the digests stand, and the pieces since the last checkpoint.
    mark: Mark,
    pieces: Vec<PieceDigest>,
}

fn digest_all(
    queue: &Receiver<Arc<Job>>,
    mut hasher: MultiHasher,
    mut pieces: Pieces,
    notes: Option<&Sender<Note>>,
) -> Hashed {
    let mut noted = pieces.count();
    for job in queue {
        hasher.update(job.chunk.bytes());
        pieces.update(job.chunk.bytes());
        if let (Some(bad), Some(notes)) = (&job.checkpoint, notes) {
            let mark = Mark::new(&hasher, &pieces, noted);
            noted = pieces.count();
            let (position_bytes, bad) = (job.end_bytes(), bad.clone());
            // The journal only goes away when it could not be kept.
            let _ = notes.send(Note::Read { position_bytes, mark, bad });
        }
    }
    let mark = Mark::new(&hasher, &pieces, noted);
    Hashed { digests: hasher.finish(), mark, pieces: pieces.finish() }
}

fn encode_all(queue: &Mutex<Receiver<Arc<Job>>>, encodings: &[Arc<dyn Encoding>]) {
    let mut encoders: Vec<_> = encodings.iter().map(|encoding| encoding.start()).collect();
    loop {
        // One worker waits for the next job and the others for this one: the lock is free while encoding.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let _owed = Owed(&job);
        for (index, encoder) in encoders.iter_mut().enumerate() {
            job.fill(index, encoder.encode(job.chunk.bytes()));
        }
    }
}

/// What one writer thread works with.
struct Desk {
    copy: usize,
    encoding: Option<usize>,
    events: SyncSender<Event>,
    notes: Option<Sender<Note>>,
}

impl Desk {
    fn write_all<W: ImageWriter>(
        &self,
        queue: &Receiver<Arc<Job>>,
        mut writer: W,
        first_bytes: u64,
    ) -> Copied<W> {
        let (mut written_bytes, mut bad_bytes) = (first_bytes, 0u64);
        let mut failure = None;
        for job in queue {
            if let Err(error) = self.write(&job, &mut writer) {
                failure = Some(error);
                break;
            }
            written_bytes = job.end_bytes();
            bad_bytes = bad_bytes.saturating_add(job.chunk.bad_bytes());
            let event = Event::Written { copy: self.copy, done_bytes: written_bytes, bad_bytes };
            // The caller listens as long as there are writers.
            let _ = self.events.send(event);
        }
        if failure.is_some() {
            let _ = self.events.send(Event::Ended { copy: self.copy });
            if let Some(notes) = &self.notes {
                let _ = notes.send(Note::Ended { copy: self.copy });
            }
        }
        Copied { writer, written_bytes, failure }
    }

    fn write(&self, job: &Job, writer: &mut dyn ImageWriter) -> io::Result<()> {
        let encoded = self.encoding.map(|encoding| job.encoded(encoding)).transpose()?;
        let (offset_bytes, bytes) = (job.chunk.offset_bytes(), job.chunk.bytes());
        writer.write(Part { offset_bytes, bytes, encoded: encoded.as_deref() })?;
        if let (Some(_), Some(notes)) = (&job.checkpoint, &self.notes) {
            let checkpoint = writer.checkpoint()?;
            let position_bytes = job.end_bytes();
            let _ = notes.send(Note::Written { copy: self.copy, position_bytes, checkpoint });
        }
        Ok(())
    }
}

/// Passes on what writers tell until the last of them is done.
fn tell(
    events: &Receiver<Event>,
    count: usize,
    (first_bytes, total_bytes): (u64, u64),
    progress: &mut dyn FnMut(Standing<'_>),
) {
    let mut written = vec![first_bytes; count];
    let mut is_live = vec![true; count];
    let (mut most_bad, mut told) = (0, None);
    for event in events {
        match event {
            Event::Written { copy, done_bytes, bad_bytes } => {
                most_bad = bad_bytes.max(most_bad);
                if let Some(written) = written.get_mut(copy) {
                    *written = done_bytes;
                }
            }
            Event::Ended { copy } => {
                if let Some(is_live) = is_live.get_mut(copy) {
                    *is_live = false;
                }
            }
        }
        let live = written.iter().zip(&is_live).filter(|(_, is_live)| **is_live);
        let done = live.map(|(written, _)| *written).min();
        if done != told
            && let Some(done_bytes) = done
        {
            told = done;
            let tick = Tick { done_bytes, total_bytes, bad_bytes: most_bad };
            progress(Standing { tick, written_bytes: &written, is_live: &is_live });
        }
    }
}

impl<W: ImageWriter> Imaged<W> {
    /// Brings every copy that took all of it to its end, or to a point it can be continued from.
    fn seal(&mut self, journal: Option<&mut Journal>, mark: Mark) {
        let acquisition = &self.acquisition;
        let is_complete = acquisition.ending == Ending::Complete;
        let mut states = Vec::new();
        let mut flushes = Vec::new();
        for copy in &mut self.copies {
            if copy.failure.is_none() {
                let sealed = if is_complete { copy.writer.complete(acquisition) } else { Ok(()) };
                let flushed = sealed.and_then(|()| {
                    let checkpoint = copy.writer.checkpoint()?;
                    checkpoint.flush.flush()?;
                    flushes.push(checkpoint.flush);
                    Ok(checkpoint.state)
                });
                match flushed {
                    Ok(state) => {
                        states.push(Some(state));
                        continue;
                    }
                    Err(error) => copy.failure = Some(error),
                }
            }
            states.push(None);
        }
        if let (Some(journal), None) = (journal, &self.journal_failure)
            && states.iter().any(Option::is_some)
        {
            self.journal_failure = journal.sealed(acquisition, mark, states).err();
            if self.journal_failure.is_none() {
                flushes.iter().for_each(Flush::let_go);
            }
        }
    }
}
