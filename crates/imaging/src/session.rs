//! One imaging from its first byte to its names, and the same again after an interruption.
//!
//! The journal is made before the copies and removed after the last of them has its name; in between, whatever happens
//! leaves files that end in `.partial` and a journal that says how far they can be trusted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hashing::{Algorithm, Algorithms, Digests};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::format::{self, first_name};
use crate::journal::Settled;
use crate::late::{FillingIn, Wanted, verify_late};
use crate::pipeline::{Copied, Imaged};
use crate::rescue::Late;
use crate::{
    Acquisition, Destination, Ending, Error, Format, Journal, LateChunk, Medium, PieceDigest, Plan,
    ReadAt, Request, Standing, Start, Tick, Verified, image,
};

/// Everything an imaging needs to know, and to know again when it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The copies.
    pub requests: Vec<Request>,
    /// The source's shape.
    pub medium: Medium,
    /// The digests wanted; SHA-256 is always among them.
    pub algorithms: Vec<Algorithm>,
    /// How often a single bad sector is tried again.
    pub retries: u8,
    /// Seconds after which a read counts as slow, to put off what is slow or fails; `None` puts off nothing.
    #[serde(default)]
    pub skip_slow_seconds: Option<u64>,
    /// Seconds after which a read is given up; for the caller, who makes the source.
    #[serde(default)]
    pub read_timeout_seconds: Option<u64>,
    /// Bytes after which the copies can be continued.
    pub checkpoint_bytes: u64,
    /// Length of the pieces with a SHA-256 of their own.
    pub piece_bytes: Option<u64>,
    /// What the caller needs to recognise the source.
    pub source: Value,
    /// Copies that are no files here, in the caller's words; their numbers follow those of the requests.
    #[serde(default)]
    pub others: Vec<Value>,
}

/// Opens a copy that is no file, of what the work says of it; with the state of its last checkpoint to go on with it.
pub type Open<'a> =
    &'a mut dyn FnMut(&Value, &Medium, Option<&Value>) -> Result<Box<dyn Destination>, Error>;

/// For work whose copies are all files.
fn no_others(
    _what: &Value,
    _medium: &Medium,
    _state: Option<&Value>,
) -> Result<Box<dyn Destination>, Error> {
    Err(Error::Format {
        format: "this session",
        reason: "only files can be copies here".to_owned(),
    })
}

/// Whether copies are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// Each, before it gets its name.
    Each,
    /// None; they keep their unfinished names.
    Never,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Reading and writing.
    Writing(Standing<'a>),
    /// Reading back the copy of this number.
    ReadingBack(usize, Tick),
    /// Coming back for what was put off: bytes that are still missing, and how many it were at first.
    FillingIn {
        /// Bytes still missing.
        missing_bytes: u64,
        /// Bytes that were put off.
        put_off_bytes: u64,
    },
}

/// How one copy ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// Read back, equal, and named.
    Verified,
    /// Everything is in it; it was not read back.
    Unverified,
    /// It waits for the rest of the source.
    Unfinished,
    /// It could not be written or read back.
    Failed(Error),
}

/// One copy after the work.
#[derive(Debug)]
pub struct CopyResult {
    /// Number of its request, or behind those of the requests, among the others.
    pub request: usize,
    /// Its name for messages.
    pub name: String,
    /// Its files, as they are named now.
    pub paths: Vec<PathBuf>,
    /// Bytes of the source in it.
    pub written_bytes: u64,
    /// How it ended.
    pub end: CopyEnd,
    /// What the record should know beside digests; null for files.
    pub facts: Value,
}

/// What an imaging gave.
#[derive(Debug)]
pub struct Outcome {
    /// What was read.
    pub acquisition: Acquisition,
    /// Digests of its pieces, if asked for.
    pub pieces: Vec<PieceDigest>,
    /// The copies.
    pub copies: Vec<CopyResult>,
    /// Why it could not be continued, if it were interrupted: the journal could not be kept.
    pub journal_failure: Option<io::Error>,
    /// Whether there is something to go on with.
    pub can_resume: bool,
}

/// An imaging about to run.
pub struct Session {
    work: Work,
    plan: Plan,
    journal: Journal,
    /// Writers with the numbers of their requests.
    writers: Vec<(usize, Box<dyn Destination>)>,
    /// Requests whose copies had failed before.
    failed: Vec<usize>,
    /// Copies elsewhere that were finished before.
    settled: Vec<Settled>,
    start: Start,
    /// Set when everything is in the copies already.
    complete: Option<(Acquisition, Vec<PieceDigest>)>,
    /// Chunks that were filled in before an interruption.
    filled: BTreeMap<u64, LateChunk>,
}

impl Work {
    /// The plan of the pipeline.
    fn plan(&self, workers: NonZeroUsize) -> Plan {
        // Formats ask for what their files have to hold.
        let algorithms: Algorithms = self.algorithms.iter().copied().collect();
        let chunk_bytes = usize::try_from(self.medium.chunk_bytes).unwrap_or(0);
        Plan {
            algorithms,
            chunk_bytes,
            buffers: 16,
            retries: self.retries,
            skip_slow: self.skip_slow_seconds.map(Duration::from_secs),
            workers,
            checkpoint_bytes: Some(self.checkpoint_bytes),
            piece_bytes: self.piece_bytes,
            ..Plan::default()
        }
    }

    /// Whether every copy can be written in the order in which the source is read.
    fn check_order(&self) -> Result<(), Error> {
        let stream = self.requests.iter().find(|request| request.format != Format::Raw);
        if self.skip_slow_seconds.is_some() && !self.others.is_empty() {
            let reason = "it is written from beginning to end, and slow places are to come last; leave one of them out";
            return Err(Error::Format {
                format: "a copy on a disk or at a receiver",
                reason: reason.to_owned(),
            });
        }
        match (self.skip_slow_seconds, stream) {
            (Some(_), Some(request)) => Err(Error::Format {
                format: request.format.name(),
                reason: "it is written from beginning to end, and slow places are to come last; \
                         make a raw copy and convert it"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl Session {
    /// Begins: makes the journal at `path` and the files of all copies.
    ///
    /// # Errors
    /// When a format cannot hold the source or be filled in later though slow places are to be put off, or a file cannot be
    /// made; then nothing is left behind.
    pub fn begin(path: &Path, work: Work, workers: NonZeroUsize) -> Result<Self, Error> {
        Self::begin_with(path, work, workers, &mut no_others)
    }

    /// As [`Self::begin`], with copies that are no files.
    ///
    /// # Errors
    /// As [`Self::begin`], and those of `open`.
    pub fn begin_with(
        path: &Path,
        work: Work,
        workers: NonZeroUsize,
        open: Open<'_>,
    ) -> Result<Self, Error> {
        work.check_order()?;
        let journal = Journal::create(path, &json!(work))?;
        let mut writers: Vec<(usize, Box<dyn Destination>)> = Vec::new();
        let files = work.requests.iter().map(|request| -> Result<Box<dyn Destination>, Error> {
            Ok(Box::new(format::create(request, &work.medium)?))
        });
        let others = work.others.iter().map(|what| open(what, &work.medium, None));
        for (number, opened) in files.chain(others).enumerate() {
            match opened {
                Ok(writer) => writers.push((number, writer)),
                Err(error) => {
                    // Nothing was read yet: what was just made is empty.
                    writers.iter_mut().for_each(|(_, writer)| writer.discard());
                    let _ = journal.remove();
                    return Err(error);
                }
            }
        }
        let plan = work.plan(workers);
        let start = Start::new(&plan);
        let (failed, settled) = (Vec::new(), Vec::new());
        let (complete, filled) = (None, BTreeMap::new());
        Ok(Self { work, plan, journal, writers, failed, settled, start, complete, filled })
    }

    /// What the journal at `path` was kept for, without touching anything.
    ///
    /// # Errors
    /// When it cannot be read or is not whole.
    pub fn look(path: &Path) -> Result<Work, Error> {
        let (_, reached) = Journal::reopen(path)?;
        format::parsed(&reached.header, path)
    }

    /// Goes on with interrupted work.
    ///
    /// # Errors
    /// When the journal cannot be relied on, or no copy is what it says.
    pub fn resume(path: &Path, workers: NonZeroUsize) -> Result<Self, Error> {
        Self::resume_with(path, workers, &mut no_others)
    }

    /// As [`Self::resume`], with copies that are no files.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn resume_with(path: &Path, workers: NonZeroUsize, open: Open<'_>) -> Result<Self, Error> {
        let (journal, reached) = Journal::reopen(path)?;
        let work: Work = format::parsed(&reached.header, path)?;
        let plan = work.plan(workers);
        let start = reached.start(&plan)?;
        let (mut writers, mut failed) = (Vec::new(), Vec::new());
        let mut trouble = None;
        let copies = work.requests.iter().map(Ok).chain(work.others.iter().map(Err));
        for (number, copy) in copies.enumerate() {
            if reached.settled.iter().any(|one| one.settled == number) {
                continue;
            }
            let state = match reached.states.get(number) {
                Some(Some(state)) => Some(state),
                Some(None) => {
                    failed.push(number);
                    continue;
                }
                None => None,
            };
            let opened = match copy {
                Ok(request) => again(request, &work.medium, state),
                Err(other) => open(other, &work.medium, state),
            };
            match opened {
                Ok(writer) => writers.push((number, writer)),
                Err(error) => {
                    failed.push(number);
                    trouble = Some(error);
                }
            }
        }
        if let (true, true, Some(error)) = (writers.is_empty(), reached.settled.is_empty(), trouble)
        {
            return Err(error);
        }
        let complete = reached.is_complete.then(|| {
            let acquisition = Acquisition {
                size_bytes: work.medium.size_bytes,
                sector_bytes: work.medium.sector_bytes,
                copied_bytes: reached.position_bytes,
                digests: reached.digests.clone(),
                bad: reached.bad.clone(),
                ending: Ending::Complete,
            };
            (acquisition, start.pieces.clone().finish())
        });
        let (filled, settled) = (reached.late, reached.settled);
        Ok(Self { work, plan, journal, writers, failed, settled, start, complete, filled })
    }

    /// What is being done.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Where it begins to read, in bytes.
    #[must_use]
    pub fn start_bytes(&self) -> u64 {
        self.start.offset_bytes
    }

    /// Reads, writes, reads back, gives names.
    ///
    /// # Errors
    /// When the source is not the one of the journal, the digest code fails its test, or the plan is impossible. Trouble
    /// with the source or a copy is part of the outcome.
    pub fn run(
        mut self,
        source: &dyn ReadAt,
        read_back: ReadBack,
        progress: &mut dyn FnMut(Step<'_>),
        cancel: &AtomicBool,
    ) -> Result<Outcome, Error> {
        let (found, expected) = (source.size_bytes(), self.work.medium.size_bytes);
        if found != expected || source.sector_bytes() != self.work.medium.sector_bytes {
            return Err(Error::OtherSource { found, expected });
        }
        let mut numbers = Vec::new();
        let mut files = Vec::new();
        for (number, writer) in self.writers {
            numbers.push(number);
            files.push(writer);
        }
        let imaged = match self.complete {
            Some((acquisition, pieces)) => finished(acquisition, pieces, files),
            None => image(
                source,
                files,
                &self.plan,
                self.start,
                Some(&mut self.journal),
                &mut |standing| progress(Step::Writing(standing)),
                cancel,
            )?,
        };
        let Imaged { mut acquisition, mut pieces, mut copies, mut journal_failure } = imaged;
        let mut late = Late::default();
        if self.work.skip_slow_seconds.is_some() && acquisition.ending == Ending::Complete {
            late = Late::new(&acquisition.bad, &self.work.medium, &self.filled);
        }
        if !late.is_empty() {
            let put_off_bytes = late.chunks().map(|chunk| chunk.length_bytes).sum();
            let filling = FillingIn {
                source,
                retries: self.work.retries,
                journal: &mut self.journal,
                journal_failure: journal_failure.take(),
                cancel,
            };
            let mut told =
                |missing_bytes| progress(Step::FillingIn { missing_bytes, put_off_bytes });
            (acquisition.ending, journal_failure) = filling.run(&mut copies, &mut late, &mut told);
            acquisition.bad = late.missing();
        }
        let mut proved = None;
        let mut results: Vec<CopyResult> = self.failed.iter().map(|number| lost(*number)).collect();
        results.extend(self.settled.into_iter().map(|one| CopyResult {
            request: one.settled,
            name: one.name,
            paths: Vec::new(),
            written_bytes: acquisition.copied_bytes,
            end: CopyEnd::Verified,
            facts: one.facts,
        }));
        for (number, copy) in numbers.into_iter().zip(copies) {
            let mut told = |tick| progress(Step::ReadingBack(number, tick));
            let mut verify = |copy: &mut dyn Destination| {
                if late.is_empty() {
                    return copy.verify(&acquisition, &mut told, cancel);
                }
                let Some(copy) = copy.file() else { return Err(Error::CopyLost { number }) };
                let wanted = Wanted {
                    algorithms: &self.plan.algorithms,
                    piece_bytes: self.plan.piece_bytes,
                    chunk_bytes: self.work.medium.chunk_bytes,
                };
                let read = verify_late(copy, &acquisition, &late, &wanted, &mut told, cancel)?;
                proved = Some((read.digests, read.pieces));
                Ok(read.verified)
            };
            let result = settle(number, copy, &acquisition, read_back, &mut verify, cancel);
            if matches!(result.end, CopyEnd::Verified) && number >= self.work.requests.len() {
                let (name, facts) = (result.name.clone(), result.facts.clone());
                // Without the line, going on would find the other end finished, and say so.
                let _ = self.journal.settled(&Settled { settled: number, name, facts });
            }
            results.push(result);
        }
        if !late.is_empty() {
            // The digests of the one read are those of a disk with holes: only reading back gives those of the image.
            (acquisition.digests, pieces) = proved.unwrap_or_default();
        }
        results.sort_by_key(|result| result.request);
        let is_open = |copy: &CopyResult| {
            matches!(copy.end, CopyEnd::Unfinished)
                || (matches!(copy.end, CopyEnd::Unverified) && read_back == ReadBack::Each)
        };
        // With room made on a full medium, the last checkpoint is there to go on from.
        let stopped = acquisition.ending == Ending::NoCopyLeft;
        let can_resume = (stopped || results.iter().any(is_open)) && journal_failure.is_none();
        if !can_resume {
            // What there was to do is done, or cannot be done: the caller records it. A journal that cannot be removed
            // (the medium is gone) leads to reading back once more, and to no harm.
            let _ = self.journal.remove();
        }
        Ok(Outcome { acquisition, pieces, copies: results, journal_failure, can_resume })
    }
}

/// A copy of which nothing was safe yet is begun again.
fn begin_again(request: &Request, medium: &Medium) -> Result<Box<dyn crate::ImageFile>, Error> {
    let path = request.folder.join(format!("{}.partial", first_name(request)));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("removing", &path)(error));
        }
        _ => {}
    }
    format::create(request, medium)
}

/// A copy in files is gone on with.
fn again(
    request: &Request,
    medium: &Medium,
    state: Option<&Value>,
) -> Result<Box<dyn Destination>, Error> {
    Ok(Box::new(match state {
        Some(state) => format::reopen(request, medium, state)?,
        None => begin_again(request, medium)?,
    }))
}

fn finished(
    acquisition: Acquisition,
    pieces: Vec<PieceDigest>,
    files: Vec<Box<dyn Destination>>,
) -> Imaged<Box<dyn Destination>> {
    let written_bytes = acquisition.copied_bytes;
    let copies = files.into_iter().map(|writer| Copied { writer, written_bytes, failure: None });
    Imaged { copies: copies.collect(), acquisition, pieces, journal_failure: None }
}

fn lost(number: usize) -> CopyResult {
    let failure = Error::CopyLost { number };
    let (name, paths) = (format!("copy {number}"), Vec::new());
    let end = CopyEnd::Failed(failure);
    CopyResult { request: number, name, paths, written_bytes: 0, end, facts: Value::Null }
}

/// Brings one copy to its end: read back and named, or said why not.
fn settle(
    number: usize,
    copy: Copied<Box<dyn Destination>>,
    acquisition: &Acquisition,
    read_back: ReadBack,
    verify: &mut dyn FnMut(&mut dyn Destination) -> Result<Verified, Error>,
    cancel: &AtomicBool,
) -> CopyResult {
    let Copied { mut writer, written_bytes, failure } = copy;
    let name = crate::ImageWriter::name(&writer);
    let end = if let Some(source) = failure {
        CopyEnd::Failed(Error::Sink {
            sink: name.clone(),
            offset_bytes: written_bytes,
            source,
            reached: Box::new(Acquisition {
                copied_bytes: written_bytes,
                bad: acquisition.bad.up_to(written_bytes),
                digests: Digests::default(),
                ..acquisition.clone()
            }),
        })
    } else if acquisition.ending != Ending::Complete {
        CopyEnd::Unfinished
    } else if read_back == ReadBack::Never {
        CopyEnd::Unverified
    } else {
        match verify(&mut *writer) {
            Ok(verified) => match writer.publish(&verified) {
                Ok(()) => CopyEnd::Verified,
                Err(error) => CopyEnd::Failed(error),
            },
            Err(_) if cancel.load(std::sync::atomic::Ordering::Relaxed) => CopyEnd::Unverified,
            Err(error) => CopyEnd::Failed(error),
        }
    };
    let (paths, facts) = (writer.paths(), writer.facts());
    CopyResult { request: number, name, paths, written_bytes, end, facts }
}
