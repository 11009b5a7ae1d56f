//! The journal of an acquisition: what is safely on the media, so that interrupted work goes on and is not begun anew.
//!
//! Lines of JSON, each after the first 16 digits of its own SHA-256, added and flushed one at a time: a torn last line is
//! recognised and passed over. A line is written only when everything it speaks of was flushed on every copy. It carries
//! the digests up to there, because what is found on a medium after a power cut has to be proved before it is built upon.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use hashing::{Algorithms, Digests, MultiHasher};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Acquisition, Checkpoint, Ending, Error, Extent, Extents, Flush, LateChunk, PieceDigest, Pieces,
    Plan, Run, Start, Unread,
};

/// Longest journal read: a checkpoint each 64 MiB of a hundred terabytes, and a few million unreadable places.
const MAX_BYTES: u64 = 1 << 30;

const SUM_DIGITS: usize = 16;

/// What the threads of a pipeline tell about a place that all of them pass.
pub(crate) enum Note {
    /// Everything before it was read.
    Read { position_bytes: u64, mark: Mark, bad: Vec<Run> },
    /// One copy has everything before it.
    Written { copy: usize, position_bytes: u64, checkpoint: Checkpoint },
    /// One copy has failed and will say no more.
    Ended { copy: usize },
}

/// Where the digests stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    digests: Digests,
    /// The state of the hasher, in hexadecimal.
    hasher: String,
    /// Pieces done since the mark before.
    pieces: Vec<PieceDigest>,
    /// The state of the hasher of the piece under way.
    piece_hasher: String,
}

impl Mark {
    pub(crate) fn new(hasher: &MultiHasher, pieces: &Pieces, noted: usize) -> Self {
        let (done, piece_state) = pieces.since(noted);
        Self {
            digests: hasher.clone().finish(),
            hasher: hex(&hasher.state()),
            pieces: done,
            piece_hasher: hex(&piece_state),
        }
    }
}

/// One line behind the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    position_bytes: u64,
    is_complete: bool,
    mark: Mark,
    /// Offset, length and reason of what was not read since the line before.
    bad: Vec<(u64, u64, Unread)>,
    /// What each copy needs to go on; null for one that failed.
    states: Vec<Option<Value>>,
}

/// Any line behind the first.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Step(Line),
    Late(LateChunk),
    Settled(Settled),
}

/// A line behind the last place: a copy that is no file here has become what it was to be, and need not be opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// Its number.
    pub(crate) settled: usize,
    pub(crate) name: String,
    pub(crate) facts: Value,
}

/// What a journal says of the work it was kept for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What the caller put into the first line.
    pub header: Value,
    /// Everything before this offset is on the media.
    pub position_bytes: u64,
    /// Whether the copies are complete and were only not read back and named.
    pub is_complete: bool,
    /// Digests of what lies before it.
    pub digests: Digests,
    /// What could not be read there.
    pub bad: Extents,
    /// What each copy needs to go on; `None` for one that had failed. Empty when nothing was reached yet.
    pub states: Vec<Option<Value>>,
    /// Digests of the pieces before it.
    pub pieces: Vec<PieceDigest>,
    /// What was filled in later, by where it begins.
    pub late: BTreeMap<u64, LateChunk>,
    hasher: String,
    piece_hasher: String,
    path: PathBuf,
    pub(crate) settled: Vec<Settled>,
}

impl Reached {
    /// What a pipeline needs to go on from here.
    ///
    /// # Errors
    /// When the states of the digests are not whole.
    pub fn start(&self, plan: &Plan) -> Result<Start, Error> {
        if self.states.is_empty() {
            return Ok(Start::new(plan));
        }
        let restored = |text: &str| {
            unhex(text).and_then(|state| MultiHasher::from_state(&state).ok()).ok_or_else(|| {
                let reason = "the states of its digests are not whole";
                Error::Journal { path: self.path.clone(), reason }
            })
        };
        let (pieces, position) = (self.pieces.clone(), self.position_bytes);
        let piece_hasher = restored(&self.piece_hasher)?;
        Ok(Start {
            offset_bytes: position,
            bad: self.bad.clone(),
            hasher: restored(&self.hasher)?,
            pieces: Pieces::resume(plan.piece_bytes, pieces, position, piece_hasher),
        })
    }
}

/// A journal open for adding.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    noted_bytes: u64,
}

impl Journal {
    /// Makes a new journal whose first line is `header`: all that is needed to go on.
    ///
    /// # Errors
    /// When there is one already, or the medium does not take it.
    pub fn create(path: &Path, header: &Value) -> Result<Self, Error> {
        let file = File::create_new(path).map_err(Error::io("creating", path))?;
        let mut journal = Self { file, path: path.to_path_buf(), noted_bytes: 0 };
        journal.add(header).map_err(Error::io("writing", path))?;
        if let Some(folder) = path.parent() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(journal)
    }

    /// Opens the journal of interrupted work, cuts off a torn end, and says how far the work had come.
    ///
    /// # Errors
    /// When it cannot be read, or holds nothing that can be relied on.
    pub fn reopen(path: &Path) -> Result<(Self, Reached), Error> {
        let io = |action| Error::io(action, path);
        let file = File::options().read(true).append(true).open(path).map_err(io("opening"))?;
        let length = file.metadata().map_err(io("opening"))?.len();
        let mut text = Vec::new();
        if length <= MAX_BYTES {
            (&file).take(MAX_BYTES).read_to_end(&mut text).map_err(io("reading"))?;
        }
        let broken = |reason: &'static str| Error::Journal { path: path.to_path_buf(), reason };
        let mut lines = Sound { text: &text, at: 0 };
        let header = lines.next::<Value>().ok_or_else(|| broken("its first line is not whole"))?;
        let mut reached = Reached {
            header,
            position_bytes: 0,
            is_complete: false,
            digests: Digests::default(),
            bad: Extents::default(),
            states: Vec::new(),
            pieces: Vec::new(),
            late: BTreeMap::new(),
            hasher: String::new(),
            piece_hasher: String::new(),
            path: path.to_path_buf(),
            settled: Vec::new(),
        };
        while let Some(entry) = lines.next::<Entry>() {
            let line = match entry {
                Entry::Step(line) => line,
                Entry::Late(chunk) => {
                    reached.late.insert(chunk.offset_bytes, chunk);
                    continue;
                }
                Entry::Settled(line) => {
                    reached.settled.push(line);
                    continue;
                }
            };
            if line.position_bytes < reached.position_bytes {
                return Err(broken("it goes back"));
            }
            reached.position_bytes = line.position_bytes;
            reached.is_complete = line.is_complete;
            reached.digests = line.mark.digests;
            reached.hasher = line.mark.hasher;
            reached.piece_hasher = line.mark.piece_hasher;
            reached.pieces.extend(line.mark.pieces);
            reached.states = line.states;
            for (offset_bytes, length_bytes, why) in line.bad {
                reached.bad.add(Run { extent: Extent { offset_bytes, length_bytes }, why });
            }
        }
        file.set_len(u64::try_from(lines.at).unwrap_or(0)).map_err(io("cutting back"))?;
        let noted_bytes = reached.position_bytes;
        Ok((Self { file, path: path.to_path_buf(), noted_bytes }, reached))
    }

    /// Removes it: the work is done and recorded elsewhere.
    ///
    /// # Errors
    /// When the medium does not take it.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(Error::io("removing", &self.path))
    }

    fn add(&mut self, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_string(value)?;
        let line = format!("{} {json}\n", sum(json.as_bytes()));
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }

    /// Notes what became of a chunk that was put off, after it was flushed in the copies.
    pub(crate) fn note_late(&mut self, chunk: &LateChunk) -> io::Result<()> {
        self.add(chunk)
    }

    /// Notes that a copy elsewhere is finished.
    pub(crate) fn settled(&mut self, line: &Settled) -> io::Result<()> {
        self.add(line)
    }

    /// Notes where the work ended, after the copies were flushed.
    pub(crate) fn sealed(
        &mut self,
        acquisition: &Acquisition,
        mark: Mark,
        states: Vec<Option<Value>>,
    ) -> io::Result<()> {
        let bad = acquisition.bad.from(self.noted_bytes).map(entry).collect();
        self.add(&Line {
            position_bytes: acquisition.copied_bytes,
            is_complete: acquisition.ending == Ending::Complete,
            mark,
            bad,
            states,
        })
    }
}

fn entry(run: Run) -> (u64, u64, Unread) {
    (run.extent.offset_bytes, run.extent.length_bytes, run.why)
}

/// The first digits of a line's SHA-256.
fn sum(line: &[u8]) -> String {
    let hex = hashing::digest_bytes(line, &Algorithms::sha256()).sha256_hex();
    hex.chars().take(SUM_DIGITS).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// The lines of a journal up to the first that is not whole.
struct Sound<'a> {
    text: &'a [u8],
    at: usize,
}

impl Sound<'_> {
    fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Option<T> {
        let rest = self.text.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        let (found, json) = rest.get(..length)?.split_at_checked(SUM_DIGITS)?;
        let json = json.strip_prefix(b" ")?;
        if found != sum(json).as_bytes() {
            return None;
        }
        let value = serde_json::from_slice(json).ok()?;
        self.at = self.at.saturating_add(length).saturating_add(1);
        Some(value)
    }
}

/// A place that some threads have passed.
struct Pending {
    line: Line,
    is_read: bool,
    flush: Vec<Flush>,
}

/// Keeps the journal while the pipeline runs. Flushing takes long and happens here, beside the writing.
pub(crate) fn keep(
    journal: &mut Journal,
    notes: &Receiver<Note>,
    copies: usize,
) -> Option<io::Error> {
    let mut is_live = vec![true; copies];
    let mut pending: Vec<Pending> = Vec::new();
    while let Ok(note) = notes.recv() {
        // Whatever came while the last place was being flushed is taken together: the newest place counts.
        for note in std::iter::once(note).chain(notes.try_iter()) {
            match note {
                Note::Read { position_bytes, mark, bad } => {
                    let place = place(&mut pending, position_bytes, copies);
                    place.is_read = true;
                    place.line.mark = mark;
                    place.line.bad = bad.into_iter().map(entry).collect();
                }
                Note::Written { copy, position_bytes, checkpoint } => {
                    let place = place(&mut pending, position_bytes, copies);
                    place.flush.push(checkpoint.flush);
                    if let Some(state) = place.line.states.get_mut(copy) {
                        *state = Some(checkpoint.state);
                    }
                }
                Note::Ended { copy } => {
                    if let Some(is_live) = is_live.get_mut(copy) {
                        *is_live = false;
                    }
                }
            }
        }
        let passed = |place: &Pending| {
            let mut copies = place.line.states.iter().zip(&is_live);
            place.is_read && copies.all(|(state, is_live)| !*is_live || state.is_some())
        };
        let Some(newest) = pending.iter().rposition(passed) else { continue };
        let Some(place) = take(&mut pending, newest) else { continue };
        let flushed = place.flush.iter().try_for_each(Flush::flush);
        if is_live.contains(&true) {
            if let Err(error) = flushed.and_then(|()| journal.add(&place.line)) {
                return Some(error);
            }
            place.flush.iter().for_each(Flush::let_go);
        }
        journal.noted_bytes = place.line.position_bytes;
    }
    None
}

/// The entry of a position, in order.
fn place(pending: &mut Vec<Pending>, position_bytes: u64, copies: usize) -> &mut Pending {
    let index = pending.partition_point(|one| one.line.position_bytes < position_bytes);
    if pending.get(index).is_none_or(|one| one.line.position_bytes != position_bytes) {
        let line = Line {
            position_bytes,
            is_complete: false,
            mark: Mark::default(),
            bad: Vec::new(),
            states: vec![None; copies],
        };
        pending.insert(index, Pending { line, is_read: false, flush: Vec::new() });
    }
    #[expect(clippy::indexing_slicing, reason = "it was found or put there")]
    &mut pending[index]
}

/// Takes the place at `index` out, together with what the places before it have to flush and to list.
fn take(pending: &mut Vec<Pending>, index: usize) -> Option<Pending> {
    let mut earlier: Vec<Pending> = pending.drain(..=index).collect();
    let mut last = earlier.pop()?;
    let mut bad: Vec<(u64, u64, Unread)> = Vec::new();
    let mut pieces = Vec::new();
    for one in earlier {
        bad.extend(one.line.bad);
        pieces.extend(one.line.mark.pieces);
        last.flush.extend(one.flush);
    }
    bad.append(&mut last.line.bad);
    last.line.bad = bad;
    pieces.append(&mut last.line.mark.pieces);
    last.line.mark.pieces = pieces;
    Some(last)
}
