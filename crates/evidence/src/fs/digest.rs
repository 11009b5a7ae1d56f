//! Digests of all files of a tree, computed by several threads while one walks.
//!
//! Results come in the order of the walk whatever thread was first, so the same tree gives the same list. How far the
//! walk may run ahead of a long file is bounded, and with it the memory.

use super::content::{self, Hole, Piece, Which};
use super::tree::{self, Limits, Visit};
use super::{FileKind, FileSystem, Node, RawPath};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem};
use hashing::{Algorithms, Digests, MultiHasher};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
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
    /// What could not be read.
    pub holes: Vec<Hole>,
    /// Why there are no digests of a file.
    pub problem: Option<Problem>,
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
    let mut hasher = MultiHasher::new(algorithms);
    let holes = content::stream(fs, node, Which::Main, size_bytes, &mut |piece| {
        match piece {
            Piece::Data(bytes) => hasher.update(bytes),
            Piece::Unreadable(length) => zeros(&mut hasher, length),
        }
        Ok::<(), EvidenceError>(())
    })?;
    Ok((hasher.finish(), holes))
}

fn zeros(hasher: &mut MultiHasher, mut length: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while length > 0 {
        let part = crate::bytes::to_usize(length).min(ZEROS.len());
        hasher.update(ZEROS.get(..part).unwrap_or(&ZEROS));
        length = length.saturating_sub(crate::bytes::to_u64(part));
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
    algorithms: &Algorithms,
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
                    if done.send((number, digested(fs, visit, algorithms))).is_err() {
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

fn digested(fs: &dyn FileSystem, visit: Visit, algorithms: &Algorithms) -> Digested {
    let m = &visit.metadata;
    if m.kind != FileKind::File {
        return Digested { visit, digests: None, holes: Vec::new(), problem: None };
    }
    match file(fs, m.node, m.size_bytes, algorithms) {
        Ok((digests, holes)) => Digested { visit, digests: Some(digests), holes, problem: None },
        Err(error) => {
            let problem = error.to_problem(Place::Path(visit.path.clone()));
            Digested { visit, digests: None, holes: Vec::new(), problem: Some(problem) }
        }
    }
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
