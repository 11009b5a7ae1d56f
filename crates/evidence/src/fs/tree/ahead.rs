//! Directories read ahead of a walk by further threads.
//!
//! A walk spends about as long on reading as its caller does on what was read. So the directories that come next are read
//! while the caller works; the walk takes them in its own order, and what it yields does not depend on who read them.
//! How far the reading runs ahead is bounded, and with it the memory. Without further threads all works the same.

use crate::error::EvidenceError;
use crate::fs::{FileSystem, Listing, Metadata, Node, RawPath};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

/// Entries of one directory whose metadata is read with it.
pub(super) const MAX_AT_ONCE: usize = 4096;
/// Entries read and not yet taken by the walk.
const MAX_WAITING: usize = 16_384;
/// How many of the next directories are looked at for one to read.
const LOOK: usize = 64;
/// Directories that must be known before further threads are worth their start.
const MIN_KNOWN: usize = 8;
/// Further threads beyond this number would wait for each other more than they help.
const MAX_THREADS: usize = 7;

/// A directory as read: its names in byte order, and what is recorded about the first of them.
pub(super) struct Directory {
    pub(super) listing: Listing,
    pub(super) metadata: Vec<Result<Metadata, EvidenceError>>,
}

fn read(fs: &dyn FileSystem, node: Node) -> Result<Directory, EvidenceError> {
    let mut listing = fs.read_dir(node)?;
    listing.entries.sort_by(|a, b| a.name.cmp(&b.name));
    let first = listing.entries.iter().take(MAX_AT_ONCE);
    let metadata = first.map(|entry| fs.metadata(entry.node)).collect();
    Ok(Directory { listing, metadata })
}

/// A directory the walk has yet to enter.
pub(super) struct Next {
    pub(super) node: Node,
    pub(super) path: RawPath,
    pub(super) depth: usize,
}

/// How far the reading of a directory is.
enum Stage {
    Known,
    BeingRead,
    Read(Result<Directory, EvidenceError>),
}

#[derive(Default)]
struct Stack {
    /// The next directory is the last one. One that is being read keeps its place: only the walk takes from the end, and
    /// it waits for such a one.
    slots: Vec<(Next, Stage)>,
    /// Entries of directories that are read.
    waiting: usize,
    is_over: bool,
}

impl Stack {
    /// The next directory that nobody reads yet.
    fn choose(&mut self) -> Option<(usize, Node)> {
        let last = self.slots.iter_mut().enumerate().rev().take(LOOK);
        let (index, (next, stage)) =
            { last }.find(|(_, (_, stage))| matches!(stage, Stage::Known))?;
        *stage = Stage::BeingRead;
        Some((index, next.node))
    }
}

/// The directories to come, shared by the walk and the threads that read ahead of it.
pub(super) struct Ahead<'a> {
    fs: &'a dyn FileSystem,
    stack: Mutex<Stack>,
    /// One was read.
    read: Condvar,
    /// There may be something to read, or the walk is over.
    wanted: Condvar,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(fs: &'a dyn FileSystem) -> Self {
        Self { fs, stack: Mutex::default(), read: Condvar::new(), wanted: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds directories, the one to enter first at the end.
    pub(super) fn push(&self, all: impl Iterator<Item = Next>) {
        let mut stack = self.lock();
        let before = stack.slots.len();
        stack.slots.extend(all.map(|next| (next, Stage::Known)));
        if stack.slots.len() > before {
            self.wanted.notify_all();
        }
    }

    /// The next directory and what was read of it; `None` at the end of the walk.
    pub(super) fn take(&self) -> Option<(Next, Result<Directory, EvidenceError>)> {
        let mut stack = self.lock();
        loop {
            let (next, stage) = stack.slots.pop()?;
            match stage {
                Stage::Known => {
                    drop(stack);
                    let directory = read(self.fs, next.node);
                    return Some((next, directory));
                }
                Stage::Read(directory) => {
                    stack.waiting = stack.waiting.saturating_sub(size(&directory));
                    self.wanted.notify_all();
                    return Some((next, directory));
                }
                Stage::BeingRead => stack.slots.push((next, Stage::BeingRead)),
            }
            // Another thread is still at it: better to read one of the others than to wait.
            stack = match stack.choose() {
                Some(chosen) => {
                    drop(stack);
                    self.read(chosen);
                    self.lock()
                }
                None => self.read.wait(stack).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn read(&self, (index, node): (usize, Node)) {
        let mut reading = Reading { ahead: self, index: Some(index) };
        let directory = read(self.fs, node);
        let mut stack = self.lock();
        stack.waiting = stack.waiting.saturating_add(size(&directory));
        if let Some((_, stage)) = stack.slots.get_mut(index) {
            *stage = Stage::Read(directory);
        }
        reading.index = None;
    }

    /// Starts further threads, once enough is known to keep them busy; returns whether that was so.
    pub(super) fn help<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) -> bool {
        if self.lock().slots.len() < MIN_KNOWN {
            return false;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 1..cores.min(MAX_THREADS.saturating_add(1)) {
            // Where no thread may be started, the walk reads everything itself.
            let _ = Builder::new().spawn_scoped(scope, || self.work());
        }
        true
    }

    fn work(&self) {
        let mut stack = self.lock();
        while !stack.is_over {
            let chosen = if stack.waiting < MAX_WAITING { stack.choose() } else { None };
            stack = match chosen {
                Some(chosen) => {
                    drop(stack);
                    self.read(chosen);
                    self.lock()
                }
                None => self.wanted.wait(stack).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Lets the further threads end when it is dropped, however the walk ends.
    pub(super) fn until_dropped(&self) -> Over<'_> {
        Over(self)
    }
}

fn size(directory: &Result<Directory, EvidenceError>) -> usize {
    directory.as_ref().map_or(0, |directory| directory.listing.entries.len())
}

/// A directory being read. Should the reader fail in a way it must not, the walk is left to meet that itself.
struct Reading<'a> {
    ahead: &'a Ahead<'a>,
    /// Its place in the stack; `None` once it was read.
    index: Option<usize>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index
            && let Some((_, stage)) = self.ahead.lock().slots.get_mut(index)
        {
            *stage = Stage::Known;
        }
        self.ahead.read.notify_all();
    }
}

/// The end of a walk.
pub(super) struct Over<'a>(&'a Ahead<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.wanted.notify_all();
    }
}
