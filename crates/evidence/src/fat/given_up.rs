//! What is left of deleted directories, and what the search for deleted objects asks of a FAT volume.
//!
//! A directory shows itself by its first entries `.` and `..`, which stay when it is given up.

use super::dir::{Record, State};
use super::entry::{HighBits, Slot};
use super::runs::Runs;
use super::search::{Found, Life, Searched};
use super::{ENTRY_BYTES, Fat};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::Node;

/// Longest deleted directory taken together.
const MAX_GIVEN_UP_CLUSTERS: u32 = 256;

impl Searched for Fat {
    fn found(&self, directory: Node) -> Result<Vec<Found>, EvidenceError> {
        let records = self.scan(directory)?.records;
        Ok(records.into_iter().filter_map(|record| self.found_in(record)).collect())
    }

    fn lost(&self, cluster: u32) -> Option<Vec<Found>> {
        // The node of its own `.` entry stands for it: that entry names its first cluster.
        let node = self.node_at(self.boot.heap.offset(cluster));
        if self.begins_directory(cluster) { self.found(node).ok() } else { None }
    }

    fn is_reused(&self, node: Node) -> bool {
        self.short(node).is_ok_and(|short| {
            let has_content = short.is_directory() || short.size_bytes > 0;
            let is_free = self.table.cursor().is_free(short.cluster).unwrap_or(false);
            has_content && short.cluster != 0 && !is_free
        })
    }

    fn free_runs(&self) -> Result<Vec<(u32, u32)>, EvidenceError> {
        self.table.free_runs()
    }
}

impl Fat {
    fn found_in(&self, record: Record) -> Option<Found> {
        let short = record.short;
        let cluster = Some(short.cluster).filter(|cluster| self.table.holds(*cluster));
        let life = if record.state == State::Live { Life::Live } else { Life::Deleted };
        (!short.is_label()).then(|| Found {
            node: record.node,
            name: record.name,
            life,
            directory: cluster.filter(|_| short.is_directory()),
        })
    }

    /// Whether a cluster begins with the entries `.` (for itself) and `..`.
    fn begins_directory(&self, cluster: u32) -> bool {
        let mut raw = [0; 2 * ENTRY_BYTES];
        let start = self.boot.heap.offset(cluster);
        if self.source.read_at(start, &mut raw).ok() != Some(raw.len()) {
            return false;
        }
        let (one, two) = raw.split_at(ENTRY_BYTES);
        let slots = [one, two].map(|raw| Slot::parse(Fields(raw), self.high_bits()));
        matches!(slots, [Slot::Short(own), Slot::Short(parent)]
            if own.is_dot() && own.is_directory() && own.cluster == cluster
            && parent.is_dot() && parent.is_directory())
    }

    /// The clusters of a deleted directory: its first, and those behind it that are free and hold entries too.
    pub(super) fn given_up_directory(&self, first: u32) -> Runs {
        let mut cursor = self.table.cursor();
        if !cursor.is_free(first).unwrap_or(false) {
            let broken = Some(format!("cluster {first} belongs to another file by now"));
            return Runs { broken, ..Runs::default() };
        }
        if !self.begins_directory(first) {
            let broken = Some(format!("cluster {first} holds no directory by now"));
            return Runs { broken, ..Runs::default() };
        }
        let mut count = 1_u32;
        let mut at = first;
        while count < MAX_GIVEN_UP_CLUSTERS && self.is_full_of_entries(at) {
            at = at.saturating_add(1);
            if !cursor.is_free(at).unwrap_or(false) || self.begins_directory(at) {
                break;
            }
            count = count.saturating_add(1);
        }
        Runs::straight(&self.table, first, u64::from(count))
    }

    /// Whether a cluster holds entries to its end, so that the directory must have gone on.
    fn is_full_of_entries(&self, cluster: u32) -> bool {
        let heap = &self.boot.heap;
        let length = to_usize(heap.cluster_bytes);
        let Ok(raw) = self.cached.bytes_at(heap.offset(cluster), length) else { return false };
        raw.chunks_exact(ENTRY_BYTES).all(|entry| {
            match Slot::parse(Fields(entry), HighBits::Other) {
                Slot::End => false,
                Slot::Long(_) => true,
                Slot::Short(short) => short.is_plausible(self.table.clusters),
            }
        })
    }
}
