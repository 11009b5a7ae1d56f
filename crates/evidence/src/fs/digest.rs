//! Digests of all files of a tree, computed by several threads while one walks.
//!
//! Results come in the order of the walk whatever thread was first, so the same tree gives the same list. How far the
//! walk may run ahead of a long file is bounded, and with it the memory.

use super::content::{self, Hole, Piece, Which};
use super::tree::{self, Limits, Visit};
use super::{FileKind, FileSystem, Node, RawPath};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem};
use hashing::{Algorithms, Digests, MultiHasher, PieceDigests, PieceHasher};
use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};

/// How many objects the walk may be ahead of the one that was given out last.
const WINDOW: u64 = 8192;

/// An object of the tree, and the digests of its content if it is a file.
#[derive(Clone, Debug)]
pub struct Digested {
    /// The object.
    pub visit: Visit,
    /// Digests over its content, with zeros where it could not be read; `None` for what is no file, or not readable.
    pub digests: Option<Digests>,
    /// Digests of its pieces, if they were asked for.
    pub pieces: Vec<PieceDigests>,
    /// What could not be read.
    pub holes: Vec<Hole>,
    /// Why there are no digests of a file.
    pub problem: Option<Problem>,
}

/// What is wanted of each file.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The digests.
    pub algorithms: &'a Algorithms,
    /// Also the digests of every so many bytes.
    pub piece_bytes: Option<NonZeroU64>,
}

impl<'a> Wanted<'a> {
    /// Digests of whole files only.
    #[must_use]
    pub fn whole(algorithms: &'a Algorithms) -> Self {
        Self { algorithms, piece_bytes: None }
    }
}

/// What one file holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its digests, with zeros where it could not be read.
    pub digests: Digests,
    /// Those of its pieces, in order, if they were asked for.
    pub pieces: Vec<PieceDigests>,
    /// What could not be read.
    pub holes: Vec<Hole>,
}

/// Digests of one file, with zeros for what cannot be read, and the holes.
///
/// # Errors
/// When nothing of it can be read, for a reason that holds for the whole file.
pub fn file(
    fs: &dyn FileSystem,
    node: Node,
    size_bytes: u64,
    algorithms: &Algorithms,
) -> Result<(Digests, Vec<Hole>), EvidenceError> {
    let content = file_in_pieces(fs, node, size_bytes, Wanted::whole(algorithms))?;
    Ok((content.digests, content.holes))
}

/// Digests of one file and of its pieces, from one read.
///
/// # Errors
/// As [`file`].
pub fn file_in_pieces(
    fs: &dyn FileSystem,
    node: Node,
    size_bytes: u64,
    wanted: Wanted<'_>,
) -> Result<Content, EvidenceError> {
    let mut hashers = Hashers {
        whole: MultiHasher::new(wanted.algorithms),
        pieces: wanted.piece_bytes.map(|bytes| PieceHasher::new(wanted.algorithms, bytes)),
    };
    let holes = content::stream(fs, node, Which::Main, size_bytes, &mut |piece| {
        match piece {
            Piece::Data(bytes) => hashers.update(bytes),
            Piece::Unreadable(length) => hashers.zeros(length),
        }
        Ok::<(), EvidenceError>(())
    })?;
    let pieces = hashers.pieces.map(PieceHasher::finish).unwrap_or_default();
    Ok(Content { digests: hashers.whole.finish(), pieces, holes })
}

struct Hashers {
    whole: MultiHasher,
    pieces: Option<PieceHasher>,
}

impl Hashers {
    fn update(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        if let Some(pieces) = &mut self.pieces {
            pieces.update(bytes);
        }
    }

    fn zeros(&mut self, mut length: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        while length > 0 {
            let part = crate::bytes::to_usize(length).min(ZEROS.len());
            self.update(ZEROS.get(..part).unwrap_or(&ZEROS));
            length = length.saturating_sub(crate::bytes::to_u64(part));
        }
    }
}

/// How far results were given out; the walk waits on it.
#[derive(Default)]
struct Pace {
    given: Mutex<u64>,
    moved: Condvar,
}

impl Pace {
    fn wait_until_near(&self, number: u64) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while number.saturating_sub(*given) > WINDOW {
            given = self.moved.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn advance(&self, to: u64) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = to;
        self.moved.notify_all();
    }
}

/// Walks as [`tree::walk`] does and gives each object with its digests to `take`; returns the problems of the walk.
pub fn walk(
    fs: &dyn FileSystem,
    start: (Node, &RawPath),
    limits: Limits,
    wanted: Wanted<'_>,
    threads: NonZeroUsize,
    take: &mut dyn FnMut(Digested),
) -> Vec<Problem> {
    let pace = Pace::default();
    let (jobs, work) = sync_channel::<(u64, Visit)>(256);
    let work = Mutex::new(work);
    let (done, results) = channel::<(u64, Digested)>();
    std::thread::scope(|scope| {
        let walker = scope.spawn(|| send_all(fs, start, limits, &pace, jobs));
        for _ in 0..threads.get() {
            let (done, work) = (done.clone(), &work);
            scope.spawn(move || {
                while let Some((number, visit)) = next(work) {
                    if done.send((number, digested(fs, visit, wanted))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        in_order(&results, &pace, take);
        walker.join().unwrap_or_else(|_| {
            let text = "the walk ended early by a fault of this program";
            vec![Problem::new(crate::ProblemKind::Refused, Place::Source, text)]
        })
    })
}

fn send_all(
    fs: &dyn FileSystem,
    (node, path): (Node, &RawPath),
    limits: Limits,
    pace: &Pace,
    jobs: SyncSender<(u64, Visit)>,
) -> Vec<Problem> {
    let mut number = 0_u64;
    let problems = tree::walk(fs, node, path, limits, &mut |visit| {
        pace.wait_until_near(number);
        let _ = jobs.send((number, visit));
        number = number.saturating_add(1);
    });
    // The threads that compute stop when nobody sends any more.
    drop(jobs);
    problems
}

fn next(work: &Mutex<Receiver<(u64, Visit)>>) -> Option<(u64, Visit)> {
    work.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn digested(fs: &dyn FileSystem, visit: Visit, wanted: Wanted<'_>) -> Digested {
    let m = &visit.metadata;
    let (node, size_bytes, is_file) = (m.node, m.size_bytes, m.kind == FileKind::File);
    let mut digested =
        Digested { visit, digests: None, pieces: Vec::new(), holes: Vec::new(), problem: None };
    if !is_file {
        return digested;
    }
    match file_in_pieces(fs, node, size_bytes, wanted) {
        Ok(found) => {
            digested.digests = Some(found.digests);
            (digested.pieces, digested.holes) = (found.pieces, found.holes);
        }
        Err(error) => {
            let place = Place::Path(digested.visit.path.clone());
            digested.problem = Some(error.to_problem(place));
        }
    }
    digested
}

fn in_order(results: &Receiver<(u64, Digested)>, pace: &Pace, take: &mut dyn FnMut(Digested)) {
    let mut waiting = BTreeMap::new();
    let mut expected = 0_u64;
    for (number, result) in results {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&expected) {
            take(result);
            expected = expected.saturating_add(1);
        }
        pace.advance(expected);
    }
}
