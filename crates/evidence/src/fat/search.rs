//! The search for deleted objects, the same for FAT and exFAT: given-up entries of living directories, of deleted ones,
//! and of directories nothing leads to any more, which are looked for at the start of free clusters.

use crate::error::EvidenceError;
use crate::fs::{Deleted, DeletedListing, FileSystem, Node, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::BTreeSet;

/// Directories looked into.
const MAX_DIRECTORIES: usize = 1 << 20;
/// Deepest directory looked into.
const MAX_DEPTH: usize = 256;
/// Free clusters looked at for lost directories.
const MAX_LOOKED_AT: u64 = 1 << 18;

/// Entries met altogether; keeps directories that overlap on purpose from costing their square.
const MAX_MET: usize = 4_000_000;

/// Whether an object can still be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    Deleted,
}

/// An entry met in a directory.
pub(crate) struct Found {
    pub(crate) node: Node,
    pub(crate) name: Vec<u8>,
    pub(crate) life: Life,
    /// First cluster of a directory.
    pub(crate) directory: Option<u32>,
}

/// What the search asks of a volume.
pub(crate) trait Searched: FileSystem {
    /// The entries of a directory, given-up ones too.
    fn found(&self, directory: Node) -> Result<Vec<Found>, EvidenceError>;

    /// The entries of the directory that begins in a free cluster, if one does.
    fn lost(&self, cluster: u32) -> Option<Vec<Found>>;

    /// Whether content of a deleted object belongs to another by now.
    fn is_reused(&self, node: Node) -> bool;

    /// Runs of free clusters as first cluster and count.
    fn free_runs(&self) -> Result<Vec<(u32, u32)>, EvidenceError>;
}

/// A directory still to be looked into.
struct Pending {
    node: Node,
    path: RawPath,
    depth: usize,
    life: Life,
}

struct Search<'a> {
    volume: &'a dyn Searched,
    limit: usize,
    out: DeletedListing,
    /// First clusters of directories that were looked into.
    entered: BTreeSet<u32>,
    is_full: bool,
    met: usize,
}

/// At most `limit` deleted objects, sorted.
pub(crate) fn deleted(volume: &dyn Searched, limit: usize) -> DeletedListing {
    let out = DeletedListing::default();
    let mut search =
        Search { volume, limit, out, entered: BTreeSet::new(), is_full: false, met: 0 };
    let node = volume.root();
    search.run(vec![Pending { node, path: RawPath::from("/"), depth: 0, life: Life::Live }]);
    search.lost();
    if search.is_full {
        let text = format!(
            "more than {limit} deleted objects, {MAX_DIRECTORIES} directories or {MAX_MET} entries; the rest is not listed"
        );
        search.out.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    search.out.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
    search.out
}

impl Search<'_> {
    fn run(&mut self, mut pending: Vec<Pending>) {
        while let Some(here) = pending.pop() {
            if self.is_full || self.entered.len() >= MAX_DIRECTORIES || self.met > MAX_MET {
                self.is_full = true;
                return;
            }
            match self.volume.found(here.node) {
                Ok(found) => self.take(&here, found, &mut pending),
                // A deleted directory that is overwritten has nothing to tell; a living one should.
                Err(error) if here.life == Life::Live => {
                    self.out.problems.push(error.to_problem(Place::Path(here.path)));
                }
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, here: &Pending, found: Vec<Found>, pending: &mut Vec<Pending>) {
        self.met = self.met.saturating_add(found.len());
        for entry in found {
            let path = here.path.join(&entry.name);
            let life = if here.life == Life::Live { entry.life } else { Life::Deleted };
            if life == Life::Deleted {
                if self.out.entries.len() >= self.limit {
                    self.is_full = true;
                    return;
                }
                self.out.entries.push(Deleted {
                    path: path.clone(),
                    node: Some(entry.node),
                    metadata: self.volume.metadata(entry.node).ok(),
                    deleted: None,
                    is_reused: self.volume.is_reused(entry.node),
                });
            }
            let is_new = entry.directory.is_some_and(|cluster| self.entered.insert(cluster));
            if is_new && here.depth < MAX_DEPTH {
                let depth = here.depth.saturating_add(1);
                pending.push(Pending { node: entry.node, path, depth, life });
            }
        }
    }

    /// Directories in free clusters that no entry leads to.
    fn lost(&mut self) {
        let runs = match self.volume.free_runs() {
            Ok(runs) => runs,
            Err(error) => {
                self.out.problems.push(error.to_problem(Place::Source));
                return;
            }
        };
        let mut looked_at = 0_u64;
        for cluster in runs.iter().flat_map(|(first, count)| *first..first.saturating_add(*count)) {
            if self.is_full {
                return;
            }
            looked_at = looked_at.saturating_add(1);
            if looked_at > MAX_LOOKED_AT {
                let text = format!(
                    "only the first {MAX_LOOKED_AT} free clusters were searched for lost directories"
                );
                self.out.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
                return;
            }
            if self.entered.contains(&cluster) {
                continue;
            }
            if let Some(found) = self.volume.lost(cluster) {
                self.entered.insert(cluster);
                let path = RawPath::from("/$OrphanFiles");
                let here = Pending { node: 0, path, depth: 0, life: Life::Deleted };
                let mut pending = Vec::new();
                self.take(&here, found, &mut pending);
                self.run(pending);
            }
        }
    }
}
