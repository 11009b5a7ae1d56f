//! What is remembered between calls: maps of files read last, and which inodes have been verified.
//!
//! Sequential reading asks for the same map again and again, and several threads read several files; the budget is in
//! runs, so that one hostile file cannot make the memory large.

use super::map::Map;
use crate::fs::Node;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files remembered.
const MAX_FILES: usize = 16;
/// Runs of all of them together, unless one alone has more.
const MAX_RUNS: usize = 1 << 19;
/// Shards of the record of verified inodes.
const SHARDS: usize = 16;

/// A regular file: what reading it needs.
pub(super) struct File {
    pub(super) size_bytes: u64,
    pub(super) map: Map,
}

#[derive(Default)]
pub(super) struct Kept {
    /// Most recently used last.
    files: Mutex<Vec<(Node, Arc<File>)>>,
    /// For each 64 inodes, one bit for each that was verified.
    verified: [Mutex<HashMap<u64, u64>>; SHARDS],
}

/// Poisoning cannot leave these memories half-changed in a way that matters, so a poisoned lock is used as it is.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    pub(super) fn file(&self, node: Node) -> Option<Arc<File>> {
        let mut files = locked(&self.files);
        let at = files.iter().rposition(|(kept, _)| *kept == node)?;
        let found = files.remove(at);
        let file = Arc::clone(&found.1);
        files.push(found);
        Some(file)
    }

    pub(super) fn keep_file(&self, node: Node, file: &Arc<File>) {
        let mut files = locked(&self.files);
        files.push((node, Arc::clone(file)));
        let mut runs = 0_usize;
        let mut count = 0_usize;
        // Counted from the newest, which always stays.
        let keep = files.iter().rev().take_while(|(_, file)| {
            runs = runs.saturating_add(file.map.runs.len());
            count = count.saturating_add(1);
            count == 1 || (runs <= MAX_RUNS && count <= MAX_FILES)
        });
        let drop = files.len().saturating_sub(keep.count());
        files.drain(..drop);
    }

    fn shard(&self, node: Node) -> Option<&Mutex<HashMap<u64, u64>>> {
        let shard = usize::try_from(node >> 6 & 0xf).unwrap_or(0);
        self.verified.get(shard)
    }

    pub(super) fn is_verified(&self, node: Node) -> bool {
        let bits = self.shard(node).and_then(|shard| locked(shard).get(&(node >> 6)).copied());
        bits.unwrap_or(0) >> (node & 63) & 1 == 1
    }

    pub(super) fn verified(&self, node: Node) {
        if let Some(shard) = self.shard(node) {
            *locked(shard).entry(node >> 6).or_default() |= 1 << (node & 63);
        }
    }
}
