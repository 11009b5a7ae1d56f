//! The base block, and cells.

use super::key::Key;
use super::log::{self, LogFile, Patched, Replay};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::RawPath;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{MemSource, Source};
use crate::time::Time;
use crate::wide::{filetime, wtf8_to_nul};

/// Length of the base block; cells are counted from its end.
pub(super) const BASE_BYTES: u64 = 4096;
/// Largest cell read whole; larger values are split by the format.
pub(super) const MAX_CELL_BYTES: usize = 16 << 20;

/// What is read of a cell before its length is known.
const FIRST_READ_BYTES: usize = 512;

/// A hive opened for reading.
pub struct Hive<'a> {
    source: Box<dyn Source + 'a>,
    root: u32,
    pub(super) minor: u32,
    name: RawPath,
    last_written: Option<Time>,
    replay: Option<Replay>,
    problems: Vec<Problem>,
}

impl Hive<'static> {
    /// A hive in memory.
    ///
    /// # Errors
    /// As [`Hive::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, EvidenceError> {
        Self::open(MemSource::new(bytes))
    }
}

impl<'a> Hive<'a> {
    /// Opens the hive that fills `source`, as it is without its logs.
    ///
    /// # Errors
    /// When there is no base block or its root key is not one.
    pub fn open(source: impl Source + 'a) -> Result<Self, EvidenceError> {
        Self::open_with_logs(source, &[])
    }

    /// Opens the hive that fills `source`; where it was not written to its end, what its logs have is laid over it.
    ///
    /// # Errors
    /// As [`Hive::open`].
    pub fn open_with_logs(
        source: impl Source + 'a,
        logs: &[LogFile],
    ) -> Result<Self, EvidenceError> {
        let bytes: &dyn Source = &source;
        let raw =
            bytes.bytes_at(0, 512).map_err(EvidenceError::read("the base block of a hive"))?;
        let base = Fields(&raw);
        if !base.has(0, b"regf") {
            let start = crate::escape_bytes(base.slice(0, 4));
            return Err(EvidenceError::corrupt(format!("the hive begins with {start}, not regf")));
        }
        let mut problems = Vec::new();
        let sum = checksum(&raw);
        if sum != base.le32(508) {
            let text = format!(
                "the base block has the checksum {:08x}, expected {sum:08x}",
                base.le32(508)
            );
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        let (first, second) = (base.le32(4), base.le32(8));
        let mut hive = Self {
            root: base.le32(36),
            minor: base.le32(24),
            name: RawPath(wtf8_to_nul(base.slice(48, 64))),
            last_written: filetime(base.le64(12)),
            source: Box::new(MemSource::new(Vec::new())),
            replay: None,
            problems,
        };
        if first == second {
            hive.source = Box::new(source);
        } else {
            hive.replay(source, logs, (first, second));
        }
        hive.root()?;
        Ok(hive)
    }

    /// Lays what the logs have over a hive that was not written to its end.
    fn replay(&mut self, source: impl Source + 'a, logs: &[LogFile], numbers: (u32, u32)) {
        let (first, second) = numbers;
        let (replay, sectors, size_bytes) = log::gather(logs, second);
        if replay.entries == 0 {
            let why = if logs.is_empty() { "there is no log" } else { "no log has what it lacks" };
            let text = format!(
                "the hive was not written to its end (sequence numbers {first} and {second}), and {why}"
            );
            self.problems.push(Problem::new(ProblemKind::Unsupported, Place::Source, text));
            self.source = Box::new(source);
            return;
        }
        let size_bytes = size_bytes.max(source.size_bytes());
        self.source = Box::new(Patched { inner: source, sectors, size_bytes });
        self.replay = Some(replay);
    }

    /// What was taken from its logs, if it needed any.
    #[must_use]
    pub fn replayed(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    pub(super) fn add_problems(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// What was wrong or worth saying when it was opened.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The end of the path it was stored under, as it says itself.
    #[must_use]
    pub fn name(&self) -> &RawPath {
        &self.name
    }

    /// When it was last written.
    #[must_use]
    pub fn last_written(&self) -> Option<Time> {
        self.last_written
    }

    /// The key everything stands below.
    ///
    /// # Errors
    /// When its cell is not a key.
    pub fn root(&self) -> Result<Key<'_>, EvidenceError> {
        Key::read(self, self.root)
    }

    /// The key at a path of names joined by `\` from the root; names are compared without regard to case.
    ///
    /// # Errors
    /// When a key on the way cannot be read; a name that is missing gives `None`.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>, EvidenceError> {
        let mut key = self.root()?;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            match key.subkey(name)? {
                Some(below) => key = below,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// The content of the cell at `offset`, at most `limit_bytes` of it.
    pub(super) fn cell(&self, offset: u32, limit_bytes: usize) -> Result<Vec<u8>, EvidenceError> {
        let at = u64::from(offset).saturating_add(BASE_BYTES);
        // Most cells are small and come with one read.
        let mut raw = self.bytes(at, limit_bytes.min(FIRST_READ_BYTES).saturating_add(4))?;
        // Cells in use have a negative size, which counts its own four bytes.
        let size = i32::from_le_bytes(Fields(&raw).array(0)).unsigned_abs();
        let end = at.saturating_add(u64::from(size));
        if size < 8 || end > self.source.size_bytes() {
            return Err(EvidenceError::corrupt(format!(
                "hive cell {offset:#x} of {size} bytes in a hive of {}",
                self.source.size_bytes()
            )));
        }
        let length =
            to_usize(u64::from(size.saturating_sub(4))).min(limit_bytes).min(MAX_CELL_BYTES);
        if length > FIRST_READ_BYTES {
            return self.bytes(at.saturating_add(4), length);
        }
        raw.drain(..4.min(raw.len()));
        raw.truncate(length);
        Ok(raw)
    }

    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, EvidenceError> {
        self.source.bytes_at(at, length).map_err(EvidenceError::read("a hive cell"))
    }
}

/// The first 508 bytes as numbers of 32 bits, joined by exclusive or; all zeros and all ones are given other values.
pub(super) fn checksum(raw: &[u8]) -> u32 {
    let words = raw.get(..508).unwrap_or(&[]).as_chunks::<4>().0;
    match words.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word)) {
        0 => 1,
        u32::MAX => u32::MAX.saturating_sub(1),
        sum => sum,
    }
}
