//! Deleted files: given-up entries of living directories, of deleted ones, and of directories nothing leads to any more.
//!
//! The last are looked for at the start of free clusters, where a directory shows itself by the entries `.` and `..`.

use super::dir::State;
use super::entry::{HighBits, Slot};
use super::runs::Runs;
use super::{ENTRY_BYTES, Fat, ROOT};
use crate::bytes::Fields;
use crate::fs::{Deleted, DeletedListing, FileSystem, Node, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::BTreeSet;

/// Directories looked into.
const MAX_DIRECTORIES: usize = 1 << 20;
/// Deepest directory looked into.
const MAX_DEPTH: usize = 256;
/// Free clusters looked at for lost directories.
const MAX_LOOKED_AT: u64 = 1 << 18;
/// Longest deleted directory taken together.
const MAX_GIVEN_UP_CLUSTERS: u32 = 256;

/// What is still to be looked into: a directory, by its node or (when nothing leads there) by its cluster.
struct Pending {
    node: Node,
    path: RawPath,
    depth: usize,
    is_live: Life,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Live,
    Deleted,
}

struct Search<'a> {
    fat: &'a Fat,
    limit: usize,
    out: DeletedListing,
    /// First clusters of directories that were looked into.
    entered: BTreeSet<u32>,
    is_full: bool,
}

pub(super) fn list(fat: &Fat, limit: usize) -> DeletedListing {
    let mut search = Search {
        fat,
        limit,
        out: DeletedListing::default(),
        entered: BTreeSet::new(),
        is_full: false,
    };
    let root = Pending { node: ROOT, path: RawPath::from("/"), depth: 0, is_live: Life::Live };
    search.run(vec![root]);
    search.lost();
    if search.is_full {
        let text = format!("more than {limit} deleted objects; the rest is not listed");
        search.out.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    search.out.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
    search.out
}

impl Search<'_> {
    fn run(&mut self, mut pending: Vec<Pending>) {
        while let Some(here) = pending.pop() {
            if self.is_full || self.entered.len() >= MAX_DIRECTORIES {
                return;
            }
            match self.fat.scan(here.node) {
                Ok(scanner) => self.records(&here, scanner.records, &mut pending),
                // A deleted directory that is overwritten has nothing to tell; a living one should.
                Err(error) if here.is_live == Life::Live => {
                    self.out.problems.push(error.to_problem(Place::Path(here.path)));
                }
                Err(_) => {}
            }
        }
    }

    fn records(
        &mut self,
        here: &Pending,
        records: Vec<super::dir::Record>,
        pending: &mut Vec<Pending>,
    ) {
        for record in records {
            if record.short.is_label() {
                continue;
            }
            let path = here.path.join(&record.name);
            let is_live = match (here.is_live, record.state) {
                (Life::Live, State::Live) => Life::Live,
                _ => Life::Deleted,
            };
            if is_live == Life::Deleted && !self.add(&path, record.node, &record.short) {
                return;
            }
            if record.short.is_directory()
                && here.depth < MAX_DEPTH
                && self.fat.table.holds(record.short.cluster)
                && self.entered.insert(record.short.cluster)
            {
                let depth = here.depth.saturating_add(1);
                pending.push(Pending { node: record.node, path, depth, is_live });
            }
        }
    }

    /// Adds a deleted object; false when there is no room for it.
    fn add(&mut self, path: &RawPath, node: Node, short: &super::entry::Short) -> bool {
        if self.out.entries.len() >= self.limit {
            self.is_full = true;
            return false;
        }
        let mut cursor = self.fat.table.cursor();
        let has_content = short.is_directory() || short.size_bytes > 0;
        let is_reused =
            has_content && short.cluster != 0 && !cursor.is_free(short.cluster).unwrap_or(false);
        self.out.entries.push(Deleted {
            path: path.clone(),
            node: Some(node),
            metadata: self.fat.metadata(node).ok(),
            deleted: None,
            is_reused,
        });
        true
    }

    /// Directories in free clusters that no entry leads to.
    fn lost(&mut self) {
        let Ok(runs) = self.fat.table.free_runs() else { return };
        let mut looked_at = 0_u64;
        for cluster in runs.iter().flat_map(|(first, count)| *first..first.saturating_add(*count)) {
            looked_at = looked_at.saturating_add(1);
            if looked_at > MAX_LOOKED_AT {
                let text = format!(
                    "only the first {MAX_LOOKED_AT} free clusters were searched for lost directories"
                );
                self.out.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
                return;
            }
            if self.is_full {
                return;
            }
            if self.fat.begins_directory(cluster) && self.entered.insert(cluster) {
                // The node of its own `.` entry stands for it: that entry names its first cluster.
                let node = self.fat.node_at(self.fat.boot.heap.offset(cluster));
                let path = RawPath::from("/$OrphanFiles");
                self.run(vec![Pending { node, path, depth: 0, is_live: Life::Deleted }]);
            }
        }
    }
}

impl Fat {
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
        let length = crate::bytes::to_usize(heap.cluster_bytes);
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
