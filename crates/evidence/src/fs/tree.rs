//! Paths and walks over a [`FileSystem`].
//!
//! Symbolic links are followed only inside the examined root: an absolute target starts again at that root, `..` stops
//! there, and forty hops are the end, as in Linux. A walk follows none, enters no directory twice and has bounds.

use super::{Entry, FileKind, FileSystem, Metadata, Names, Node, RawPath};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::{BTreeSet, VecDeque};

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
/// Returns the problems met; a part that cannot be read never ends the walk, a bound does and is recorded.
pub fn walk(
    fs: &dyn FileSystem,
    start: Node,
    path: &RawPath,
    limits: Limits,
    visit: &mut dyn FnMut(Visit),
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut entered = BTreeSet::from([start]);
    let mut pending = vec![(start, path.clone(), 0_usize)];
    let mut seen = 0_usize;
    while let Some((node, path, depth)) = pending.pop() {
        let mut listing = match fs.read_dir(node) {
            Ok(listing) => listing,
            Err(error) => {
                problems.push(error.to_problem(Place::Path(path)));
                continue;
            }
        };
        problems.append(&mut listing.problems);
        listing.entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut below = Vec::new();
        for entry in listing.entries {
            seen = seen.saturating_add(1);
            if seen > limits.entries {
                let text =
                    format!("more than {} objects; the rest was not visited", limits.entries);
                problems.push(Problem::new(ProblemKind::Refused, Place::Path(path), text));
                return problems;
            }
            let path = path.join(&entry.name.0);
            let metadata = match fs.metadata(entry.node) {
                Ok(metadata) => metadata,
                Err(error) => {
                    problems.push(error.to_problem(Place::Path(path)));
                    continue;
                }
            };
            if metadata.kind == FileKind::Directory {
                if !entered.insert(entry.node) {
                    let text =
                        format!("directory inode {} appears under a second name", entry.node);
                    problems.push(Problem::new(
                        ProblemKind::Corrupt,
                        Place::Path(path.clone()),
                        text,
                    ));
                } else if depth >= limits.depth {
                    let text = format!("deeper than {} directories; not entered", limits.depth);
                    problems.push(Problem::new(
                        ProblemKind::Refused,
                        Place::Path(path.clone()),
                        text,
                    ));
                } else {
                    below.push((entry.node, path.clone(), depth.saturating_add(1)));
                }
            }
            visit(Visit { path, metadata });
        }
        pending.extend(below.into_iter().rev());
    }
    problems
}
