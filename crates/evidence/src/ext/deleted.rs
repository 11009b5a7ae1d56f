//! Deleted objects: names left in the slack of directories, and inodes given back that still say something.
//!
//! Deleting a name only lengthens the record before it, so the name and its inode number stand until the space is used
//! again. ext4 empties the block map of a deleted inode, ext2 and files that were still open at a crash keep it. Inodes
//! no name leads to are shown below `/$OrphanFiles`, as The Sleuth Kit does.

use super::dir::{self, Record};
use super::fast_commit::NameChange;
use super::inode::Inode;
use super::{Ext, groups};
use crate::bytes::Fields;
use crate::fs::room::Room;
use crate::fs::{Deleted, DeletedListing, FileKind, Node, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use crate::time::Time;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Directory records looked at; with more, the rest of the tree is left.
const MAX_RECORDS: usize = 16 << 20;
/// Directories entered.
const MAX_DIRECTORIES: usize = 2 << 20;
/// Bitmaps of inodes kept at once.
const MAX_BITMAPS: usize = 1024;

/// Whether a directory is still in the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Live,
    Deleted,
}

struct Finder<'a> {
    ext: &'a Ext,
    limit: usize,
    found: BTreeSet<(RawPath, Option<Node>)>,
    out: DeletedListing,
    has_more: bool,
    pending: Vec<(Node, RawPath, State)>,
    entered: BTreeSet<Node>,
    /// Every inode some name leads to.
    named: Vec<u32>,
    bitmaps: HashMap<usize, (Range<u64>, Vec<u8>)>,
}

/// A name with what stands before it, as read from a block.
struct Found {
    name: Vec<u8>,
    node: u32,
    state: State,
}

pub(super) fn find(ext: &Ext, limit: usize) -> DeletedListing {
    let mut finder = Finder {
        ext,
        limit,
        found: BTreeSet::new(),
        out: DeletedListing::default(),
        has_more: false,
        pending: vec![(2, RawPath::from("/"), State::Live)],
        entered: BTreeSet::from([2]),
        named: Vec::new(),
        bitmaps: HashMap::new(),
    };
    finder.tree();
    finder.orphans();
    let mut out = finder.out;
    if finder.has_more {
        let text = format!("more than {limit} deleted objects; the rest is not told");
        out.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    out.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
    out
}

impl Finder<'_> {
    /// Every directory that can be reached, by live names first.
    fn tree(&mut self) {
        while let Some((node, path, state)) = self.pending.pop() {
            let inode = match self.ext.inode(node) {
                Ok(inode) if inode.kind() == FileKind::Directory => inode,
                Ok(_) => continue,
                Err(error) => {
                    self.out.problems.push(error.to_problem(Place::Path(path)));
                    continue;
                }
            };
            if self.named.len() > MAX_RECORDS || self.entered.len() > MAX_DIRECTORIES {
                let text = "too many directories to look for deleted names in; the rest was left";
                let problem = Problem::new(ProblemKind::Refused, Place::Path(path), text);
                self.out.problems.push(problem);
                self.pending.clear();
                return;
            }
            let mut below = Vec::new();
            for found in self.names(&inode, state) {
                self.name(&path, &found, &mut below);
            }
            self.pending.extend(below.into_iter().rev());
        }
    }

    /// All names of a directory, standing and swallowed.
    fn names(&mut self, inode: &Inode, state: State) -> Vec<Found> {
        let ext = self.ext;
        let (mut out, mut room) = (Vec::new(), Room::new());
        // What is wrong with the directory itself is told by listing it.
        let _ = dir::each_block(ext, inode, &mut Vec::new(), &mut |logical, raw, _| {
            let is_index = dir::is_index(inode, logical, raw);
            let _ = dir::records(ext, raw, &mut |record| {
                let is_unused = record.node == 0;
                if is_possible(ext, &record) && room.takes(record.name.len()) {
                    let state = if is_unused { State::Deleted } else { state };
                    out.push(Found { name: record.name.to_vec(), node: record.node, state });
                }
                if !is_index {
                    slack(ext, raw, &record, &mut out);
                }
            });
        });
        self.out.problems.extend(room.problem(inode.node));
        for change in ext.recovered.names.get(&inode.node).into_iter().flatten() {
            let (name, node, state) = match change {
                NameChange::Added { name, node } => (name, node, state),
                NameChange::Removed { name, node } => {
                    // The block still has the name; it is as good as swallowed.
                    let node = u32::try_from(*node).unwrap_or(0);
                    out.retain(|found| found.node != node || found.name != *name);
                    (name, &u64::from(node), State::Deleted)
                }
            };
            let node = u32::try_from(*node).unwrap_or(0);
            out.push(Found { name: name.clone(), node, state });
        }
        out
    }

    fn name(&mut self, parent: &RawPath, found: &Found, below: &mut Vec<(Node, RawPath, State)>) {
        let node = u64::from(found.node);
        if found.node != 0 {
            self.named.push(found.node);
        }
        let path = parent.join(&found.name);
        if found.state == State::Live {
            if self.is_directory(node) && self.entered.insert(node) {
                below.push((node, path, State::Live));
            }
            return;
        }
        let is_reused = found.node != 0 && self.is_allocated(node);
        if !is_reused && self.is_directory(node) && self.entered.insert(node) {
            below.push((node, path.clone(), State::Deleted));
        }
        self.push(path, (found.node != 0).then_some(node), is_reused);
    }

    fn is_directory(&self, node: Node) -> bool {
        self.ext.inode(node).is_ok_and(|inode| inode.kind() == FileKind::Directory)
    }

    /// Whether the inode is in use, as the view has it.
    fn is_allocated(&mut self, node: Node) -> bool {
        if self.ext.recovered.freed.contains(&node) {
            return false;
        }
        if self.ext.recovered.inodes.contains_key(&node) {
            return true;
        }
        let Ok((group, within)) = groups::place(self.ext, node) else { return false };
        groups::bit(&self.bitmap(group).1, u64::from(within))
    }

    fn bitmap(&mut self, group: usize) -> &(Range<u64>, Vec<u8>) {
        if self.bitmaps.len() >= MAX_BITMAPS && !self.bitmaps.contains_key(&group) {
            self.bitmaps.clear();
        }
        let ext = self.ext;
        let problems = &mut self.out.problems;
        self.bitmaps.entry(group).or_insert_with(|| {
            groups::inode_bitmap(ext, group).unwrap_or_else(|error| {
                problems.push(error.to_problem(Place::Source));
                (0..0, Vec::new())
            })
        })
    }

    fn push(&mut self, path: RawPath, node: Option<Node>, is_reused: bool) {
        if self.found.contains(&(path.clone(), node)) {
            return;
        }
        if self.out.entries.len() >= self.limit {
            self.has_more = true;
            return;
        }
        self.found.insert((path.clone(), node));
        let inode = node.filter(|_| !is_reused).and_then(|node| self.ext.inode(node).ok());
        let is_orphan = node.is_some_and(|node| self.ext.recovered.freed.contains(&node));
        let deleted = inode
            .as_ref()
            // For an orphan the field holds the next one of the list.
            .filter(|inode| inode.deletion_seconds != 0 && !is_orphan)
            .map(|inode| Time { seconds: i64::from(inode.deletion_seconds), nanoseconds: 0 });
        let metadata = inode.map(|inode| inode.metadata());
        self.out.entries.push(Deleted { path, node, metadata, deleted, is_reused });
    }

    /// Inodes that are free, were used, and that no name leads to.
    fn orphans(&mut self) {
        self.named.sort_unstable();
        self.named.dedup();
        let freed: Vec<Node> = self.ext.recovered.freed.iter().copied().collect();
        for node in freed {
            self.orphan(node);
        }
        for group in 0..self.ext.groups.len() {
            let (used, bitmap) = self.bitmap(group).clone();
            let first = used.start;
            for node in used.filter(|node| *node >= u64::from(self.ext.superblock.first_inode)) {
                if self.has_more {
                    return;
                }
                if !groups::bit(&bitmap, node.saturating_sub(first))
                    && !self.ext.recovered.inodes.contains_key(&node)
                {
                    self.orphan(node);
                }
            }
        }
    }

    fn orphan(&mut self, node: Node) {
        let number = u32::try_from(node).unwrap_or(0);
        if self.named.binary_search(&number).is_ok() {
            return;
        }
        let Ok(inode) = self.ext.inode(node) else { return };
        if inode.changed() == Time::default() {
            return;
        }
        let path = RawPath(format!("/$OrphanFiles/OrphanFile-{node}").into_bytes());
        self.push(path, Some(node), false);
    }
}

fn is_possible(ext: &Ext, record: &Record<'_>) -> bool {
    record.is_possible()
        && !matches!(record.name, b"." | b"..")
        && record.kind <= 7
        && record.node <= ext.superblock.inodes
}

/// Names between the end of a record's own name and the end of the record.
fn slack(ext: &Ext, raw: &[u8], record: &Record<'_>, out: &mut Vec<Found>) {
    let fields = Fields(raw);
    let end = record.at.saturating_add(record.length);
    let mut at = record.at.saturating_add(record.needed().max(8));
    while at.saturating_add(12) <= end {
        let length = usize::from(fields.le16(at.saturating_add(4)));
        let candidate = dir::record(ext, fields, at, length);
        let is_one = candidate.node != 0
            && length.is_multiple_of(4)
            && at.saturating_add(length) <= end
            && is_possible(ext, &candidate);
        if is_one {
            let name = candidate.name.to_vec();
            out.push(Found { name, node: candidate.node, state: State::Deleted });
            at = at.saturating_add(candidate.needed());
        } else {
            at = at.saturating_add(4);
        }
    }
}
