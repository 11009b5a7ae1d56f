//! Paths and walks over a [`FileSystem`].
//!
//! Symbolic links are followed only inside the examined root: an absolute target starts again at that root, `..` stops
//! there, and forty hops are the end, as in Linux. A walk follows none, enters no directory twice and has bounds.

mod ahead;

use super::{Entry, FileKind, FileSystem, Metadata, Names, Node, RawPath};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use ahead::{Ahead, Directory, Next};
use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;

/// Symbolic links followed while resolving one path, as Linux does.
pub const MAX_HOPS: u32 = 40;
/// Longest path, in bytes, that resolution lets grow out of link targets.
const MAX_PATH_BYTES: usize = 4096;

/// What to do with a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// Go on to what it points to.
    Follow,
    /// Yield the link itself.
    Keep,
}

/// The node a path leads to.
///
/// # Errors
/// [`EvidenceError::NotFound`] when a name is missing, `Refused` beyond the bounds, else as the reader.
pub fn resolve(fs: &dyn FileSystem, path: &[u8], last: LastLink) -> Result<Node, EvidenceError> {
    let missing = || EvidenceError::NotFound { path: RawPath(path.to_vec()) };
    let mut stack = vec![fs.root()];
    let mut rest: VecDeque<Vec<u8>> = names(path);
    let mut hops = 0_u32;
    while let Some(name) = rest.pop_front() {
        let here = stack.last().copied().unwrap_or_else(|| fs.root());
        if name == b".." {
            if stack.len() > 1 {
                stack.pop();
            }
            continue;
        }
        if fs.metadata(here)?.kind != FileKind::Directory {
            return Err(missing());
        }
        let entries = fs.read_dir(here)?.entries;
        let entry = named(entries, &name, fs.conventions().names).ok_or_else(missing)?;
        let is_link = fs.metadata(entry.node)?.kind == FileKind::Symlink;
        if !is_link || (rest.is_empty() && last == LastLink::Keep) {
            stack.push(entry.node);
            continue;
        }
        hops = hops.saturating_add(1);
        let target = fs.read_link(entry.node)?;
        if target.0.first() == Some(&b'/') {
            stack.truncate(1);
        }
        for part in names(&target.0).into_iter().rev() {
            rest.push_front(part);
        }
        let length: usize = rest.iter().map(|part| part.len().saturating_add(1)).sum();
        if hops > MAX_HOPS || length > MAX_PATH_BYTES {
            let what = format!(
                "resolving {} takes more than {MAX_HOPS} links or {MAX_PATH_BYTES} bytes",
                crate::escape_bytes(path)
            );
            return Err(EvidenceError::Refused { what });
        }
    }
    stack.last().copied().ok_or_else(missing)
}

/// The entry of this name; where case does not count, one written otherwise if none is written just so.
fn named(entries: Vec<Entry>, name: &[u8], names: Names) -> Option<Entry> {
    let exact = entries.iter().position(|entry| entry.name.0 == name);
    let folded = |raw: &[u8]| String::from_utf8_lossy(raw).to_lowercase();
    let at = exact.or_else(|| {
        let wanted = (names == Names::CaseFolded).then(|| folded(name))?;
        entries.iter().position(|entry| folded(&entry.name.0) == wanted)
    })?;
    entries.into_iter().nth(at)
}

fn names(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// The first `limit_bytes` of the file a path leads to (links followed inside the root), and whether that was all.
///
/// # Errors
/// As [`resolve`] and the reader; a directory or device is refused.
pub fn read_file(
    fs: &dyn FileSystem,
    path: &[u8],
    limit_bytes: usize,
) -> Result<(Vec<u8>, bool), EvidenceError> {
    fs.read_head(resolve(fs, path, LastLink::Follow)?, limit_bytes)
}

/// The names in the directory a path leads to, sorted.
///
/// # Errors
/// As [`resolve`] and the reader.
pub fn list(fs: &dyn FileSystem, path: &[u8]) -> Result<Vec<Entry>, EvidenceError> {
    let mut entries = fs.read_dir(resolve(fs, path, LastLink::Follow)?)?.entries;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Bounds of a walk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest directory entered; the root has depth 0.
    pub depth: usize,
    /// Most objects visited.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 256, entries: 4_000_000 }
    }
}

/// One object met on a walk.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Its path from the root of the walk's file system.
    pub path: RawPath,
    /// What is recorded about it.
    pub metadata: Metadata,
}

/// Visits everything below `start` (whose path is `path`), parents before children, names in byte order.
///
/// Further threads may read ahead; `visit` is called by the calling thread alone, and always in the same order.
///
/// Returns the problems met; a part that cannot be read never ends the walk, a bound does and is recorded.
pub fn walk(
    fs: &dyn FileSystem,
    start: Node,
    path: &RawPath,
    limits: Limits,
    visit: &mut dyn FnMut(Visit),
) -> Vec<Problem> {
    let ahead = Ahead::new(fs);
    ahead.push(std::iter::once(Next { node: start, path: path.clone(), depth: 0 }));
    let mut walk = Walk {
        fs,
        ahead: &ahead,
        limits,
        entered: BTreeSet::from([start]),
        seen: 0,
        problems: Vec::new(),
        of_source: BTreeSet::new(),
    };
    std::thread::scope(|scope| {
        let _over = ahead.until_dropped();
        let mut has_help = false;
        while let Some((next, directory)) = ahead.take() {
            if walk.enter(next, directory, visit).is_break() {
                break;
            }
            has_help = has_help || ahead.help(scope);
        }
    });
    walk.problems.extend(walk.of_source);
    walk.problems
}

/// A walk under way.
struct Walk<'a> {
    fs: &'a dyn FileSystem,
    ahead: &'a Ahead<'a>,
    limits: Limits,
    entered: BTreeSet<Node>,
    seen: usize,
    problems: Vec<Problem>,
    /// What readers noted about the source as a whole: which directory was being read then is chance.
    of_source: BTreeSet<Problem>,
}

impl Walk<'_> {
    /// Visits what stands in one directory; ends the walk at its bound.
    fn enter(
        &mut self,
        Next { node: _, path, depth }: Next,
        directory: Result<Directory, EvidenceError>,
        visit: &mut dyn FnMut(Visit),
    ) -> ControlFlow<()> {
        let Directory { listing, metadata } = match directory {
            Ok(directory) => directory,
            Err(error) => {
                self.problems.push(error.to_problem(Place::Path(path)));
                return ControlFlow::Continue(());
            }
        };
        for problem in listing.problems {
            if problem.place == Place::Source {
                self.of_source.insert(problem);
            } else {
                self.problems.push(problem);
            }
        }
        let mut known = metadata.into_iter();
        let (mut below, mut visits) = (Vec::new(), Vec::new());
        let mut flow = ControlFlow::Continue(());
        for entry in listing.entries {
            self.seen = self.seen.saturating_add(1);
            if self.seen > self.limits.entries {
                let text =
                    format!("more than {} objects; the rest was not visited", self.limits.entries);
                self.problems.push(Problem::new(ProblemKind::Refused, Place::Path(path), text));
                flow = ControlFlow::Break(());
                break;
            }
            let path = path.join(&entry.name.0);
            let metadata = match known.next().unwrap_or_else(|| self.fs.metadata(entry.node)) {
                Ok(metadata) => metadata,
                Err(error) => {
                    self.problems.push(error.to_problem(Place::Path(path)));
                    continue;
                }
            };
            if metadata.kind == FileKind::Directory && self.may_enter(entry.node, &path, depth) {
                let depth = depth.saturating_add(1);
                below.push(Next { node: entry.node, path: path.clone(), depth });
            }
            visits.push(Visit { path, metadata });
            if visits.len() >= ahead::MAX_AT_ONCE {
                visits.drain(..).for_each(&mut *visit);
            }
        }
        // First what can be read meanwhile, then what takes the caller's time.
        self.ahead.push(below.into_iter().rev());
        visits.into_iter().for_each(visit);
        flow
    }

    fn may_enter(&mut self, node: Node, path: &RawPath, depth: usize) -> bool {
        let (kind, text) = if !self.entered.insert(node) {
            let text = format!("directory inode {node} appears under a second name");
            (ProblemKind::Corrupt, text)
        } else if depth >= self.limits.depth {
            let text = format!("deeper than {} directories; not entered", self.limits.depth);
            (ProblemKind::Refused, text)
        } else {
            return true;
        };
        self.problems.push(Problem::new(kind, Place::Path(path.clone()), text));
        false
    }
}

#[cfg(test)]
mod tests;
