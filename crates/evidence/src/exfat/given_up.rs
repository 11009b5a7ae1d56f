//! What is left of deleted files, and what the search for deleted objects asks of an exFAT volume.

use super::ExFat;
use super::dir::{Record, Scanner, State};
use super::set::{self, FILE, FileSet, IN_USE};
use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fat::{ENTRY_BYTES, Found, Life, Runs, Searched};
use crate::fs::Node;

/// Clusters of a deleted file that are looked at to tell whether they belong to another.
const MAX_CHECKED: usize = 1 << 16;

impl ExFat {
    /// Where a deleted file lay: in a row, else where its chain still leads, else the guess of FAT.
    pub(super) fn given_up_runs(&self, set: &FileSet, needed: u64) -> Runs {
        let Some(bitmap) = &self.bitmap else {
            return Runs { broken: Some("no allocation bitmap".to_owned()), ..Runs::default() };
        };
        let mut cursor = bitmap.cursor();
        if set.is_contiguous {
            return match cursor.is_free(set.cluster) {
                Ok(true) => Runs::straight(&self.table, set.cluster, needed),
                _ => taken(set.cluster),
            };
        }
        let chain = Runs::follow(&self.table, set.cluster, needed);
        let is_free = clusters(&chain).all(|cluster| cursor.is_free(cluster).unwrap_or(false));
        if chain.shortage(needed).is_none() && is_free {
            return chain;
        }
        let last = self.table.clusters.saturating_add(1);
        Runs::guess(set.cluster, needed, last, |cluster| cursor.is_free(cluster))
    }

    fn found_in(&self, record: Record) -> Found {
        let set = record.set;
        let holds = set.is_directory() && self.table.holds(set.cluster);
        Found {
            node: record.node,
            name: record.name,
            life: if record.state == State::Live { Life::Live } else { Life::Deleted },
            directory: holds.then_some(set.cluster),
        }
    }
}

fn taken(cluster: u32) -> Runs {
    let broken = Some(format!("cluster {cluster} belongs to another file by now"));
    Runs { broken, ..Runs::default() }
}

fn clusters(runs: &Runs) -> impl Iterator<Item = u32> {
    runs.list.iter().flat_map(|run| run.cluster..run.cluster.saturating_add(run.count))
}

impl Searched for ExFat {
    fn found(&self, directory: Node) -> Result<Vec<Found>, EvidenceError> {
        let records = self.scan(directory)?.records;
        Ok(records.into_iter().map(|record| self.found_in(record)).collect())
    }

    /// A directory has no mark at its start; a cluster that begins with a set whose checksum is right was one.
    fn lost(&self, cluster: u32) -> Option<Vec<Found>> {
        let start = self.boot.heap.offset(cluster);
        let mut first = [0; ENTRY_BYTES];
        self.source.fill(start, &mut first).ok()?;
        if first.first().is_none_or(|kind| kind & !IN_USE != FILE) {
            return None;
        }
        let length = set::entries_of(&first).saturating_mul(ENTRY_BYTES);
        let raw = self.source.bytes_at(start, length).ok()?;
        FileSet::parse(&raw).filter(FileSet::is_whole)?;
        let mut scanner = Scanner::new(None);
        let raw = self.source.bytes_at(start, to_usize(self.boot.heap.cluster_bytes)).ok()?;
        let mut at = start;
        for entry in raw.chunks_exact(ENTRY_BYTES) {
            scanner.push(self.node_at(at), entry);
            at = at.saturating_add(32);
        }
        scanner.finish(0);
        Some(scanner.records.into_iter().map(|record| self.found_in(record)).collect())
    }

    fn is_reused(&self, node: Node) -> bool {
        let (Ok(set), Some(bitmap)) = (self.set(node), &self.bitmap) else { return false };
        if set.size_bytes == 0 {
            return false;
        }
        let mut cursor = bitmap.cursor();
        let mut is_free = |cluster| cursor.is_free(cluster).unwrap_or(false);
        if !is_free(set.cluster) {
            return true;
        }
        let needed = self.boot.heap.clusters_for(set.size_bytes);
        set.is_contiguous
            && clusters(&Runs::straight(&self.table, set.cluster, needed))
                .take(MAX_CHECKED)
                .any(|cluster| !is_free(cluster))
    }

    fn free_runs(&self) -> Result<Vec<(u32, u32)>, EvidenceError> {
        match &self.bitmap {
            Some(bitmap) => bitmap.free_runs(),
            None => Err(EvidenceError::corrupt("the volume names no allocation bitmap")),
        }
    }
}
