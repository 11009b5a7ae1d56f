//! Subvolumes and snapshots: each is a tree of its own that stands as a directory in another, or nowhere.
//!
//! A node of this reader is the number of the subvolume in a table, and the inode within it: inodes alone repeat in every
//! snapshot. Layout: `struct btrfs_root_item`, `btrfs_root_ref`.

use super::inode;
use super::key::{Key, kind, object};
use super::names;
use super::superblock::Root;
use super::tree::{Store, Tree};
use crate::bytes::{Fields, to_u64, uuid_text};
use crate::error::EvidenceError;
use crate::fs::{Node, RawPath};
use crate::problem::{Place as Where, Problem, ProblemKind};
use crate::time::Time;
use serde::Serialize;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Bits of a node that hold the inode.
const INODE_BITS: u32 = 48;
/// From here on an inode number stands for the empty directory a snapshot has where a subvolume stood.
const EMPTY: u64 = 1 << 47;
/// The inode number the kernel shows for such a directory.
const EMPTY_SHOWN: u64 = 2;
/// Most subvolumes in the table.
const MAX_SUBVOLUMES: usize = 65_535;

/// What is recorded about a subvolume or snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subvolume {
    /// Its number; 5 is the top level.
    pub id: u64,
    /// Where it stands, from the top level on; `None` when nothing names it any more.
    pub path: Option<RawPath>,
    /// The node of its root directory.
    pub root: Node,
    /// Number of the subvolume it stands in.
    pub parent: Option<u64>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// UUID of the subvolume it is a snapshot of.
    pub parent_uuid: Option<String>,
    /// UUID of the subvolume it was received from.
    pub received_uuid: Option<String>,
    /// Last transaction that changed it.
    pub generation: u64,
    /// When it was made.
    pub created: Option<Time>,
    /// When its content last changed.
    pub changed: Option<Time>,
    /// When it was sent, where it was received.
    pub sent: Option<Time>,
    /// When it was received.
    pub received: Option<Time>,
    /// Marked read-only.
    pub is_read_only: bool,
    /// Mounted when no other is asked for.
    pub is_default: bool,
    /// Deleted, and not yet cleared away.
    pub is_deleted: bool,
}

/// A subvolume as the reader uses it.
pub(super) struct Volume {
    pub(super) id: u64,
    pub(super) tree: Tree,
    pub(super) root_inode: u64,
    pub(super) references: u32,
    item: Vec<u8>,
}

/// An object: which subvolume of the table, and which inode in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) volume: u64,
    pub(super) inode: u64,
}

impl Place {
    pub(super) fn of(node: Node) -> Self {
        Self { volume: node >> INODE_BITS, inode: node & ((1 << INODE_BITS) - 1) }
    }

    /// The node; an inode number too large for it is refused.
    pub(super) fn node(self) -> Result<Node, EvidenceError> {
        if self.inode >= 1 << INODE_BITS {
            let inode = self.inode;
            return Err(EvidenceError::refused(format!("inode {inode} needs more than 48 bits")));
        }
        Ok(self.volume << INODE_BITS | self.inode)
    }

    /// The empty directory in place of the subvolume `id`.
    pub(super) fn empty(volume: u64, id: u64) -> Self {
        Self { volume, inode: EMPTY | (id & (EMPTY - 1)) }
    }

    pub(super) fn is_empty_directory(self) -> bool {
        self.inode & EMPTY != 0
    }

    /// The inode number as the kernel shows it.
    pub(super) fn shown_inode(self) -> u64 {
        if self.is_empty_directory() { EMPTY_SHOWN } else { self.inode }
    }
}

/// All subvolumes, and how they stand in each other.
#[derive(Default)]
pub(super) struct Volumes {
    pub(super) all: Vec<Volume>,
    /// The number in the table by id.
    pub(super) numbers: HashMap<u64, u64>,
    /// Directory and name by (id of the subvolume it stands in, own id).
    pub(super) references: HashMap<(u64, u64), (u64, Vec<u8>)>,
    pub(super) default_id: u64,
}

/// Trees named in the tree of roots.
#[derive(Default)]
pub(super) struct Roots {
    pub(super) volumes: Volumes,
    /// Trees that are no subvolumes, by id.
    pub(super) others: HashMap<u64, Root>,
    pub(super) problems: Vec<Problem>,
}

/// The tree a root item names.
pub(super) fn root_of(item: &[u8]) -> Root {
    let fields = Fields(item);
    Root { address: fields.le64(176), level: fields.u8(238), generation: Some(fields.le64(160)) }
}

impl Roots {
    /// Reads the tree of roots.
    /// Whether the top-level subvolume is missing, without which nothing can be shown.
    pub(super) fn lacks_top(&self) -> bool {
        self.volumes.all.first().is_none_or(|volume| volume.id != object::FS_TREE)
    }

    pub(super) fn read(store: &Store, tree: &Tree) -> Self {
        let mut out = Self::default();
        out.volumes.default_id = object::FS_TREE;
        let trouble = store.range(tree, Key::MIN, Key::MAX, &mut |key, item| {
            out.take(key, item);
            ControlFlow::Continue(())
        });
        out.problems.extend(trouble.iter().map(|error| error.to_problem(Where::Source)));
        out
    }

    fn take(&mut self, key: Key, item: &[u8]) {
        let is_volume = key.object == object::FS_TREE
            || (object::FIRST_FREE..=object::LAST_FREE).contains(&key.object);
        match key.kind {
            kind::ROOT if item.len() < 239 => {
                let text = format!("root item of tree {} has {} bytes", key.object, item.len());
                self.problems.push(Problem::new(ProblemKind::Corrupt, Where::Source, text));
            }
            kind::ROOT if is_volume => self.volume(key, item),
            kind::ROOT => {
                self.others.insert(key.object, root_of(item));
            }
            kind::ROOT_REF if self.volumes.references.len() < MAX_SUBVOLUMES => {
                if let Some(reference) = names::root_reference(item) {
                    self.volumes.references.insert((key.object, key.offset), reference);
                }
            }
            kind::DIR_ITEM if key.object == object::ROOT_TREE_DIRECTORY => {
                let (records, _) = names::records(item);
                if let Some(default) = records.iter().find(|record| record.name == b"default") {
                    self.volumes.default_id = default.target.object;
                }
            }
            _ => {}
        }
    }

    fn volume(&mut self, key: Key, item: &[u8]) {
        let volumes = &mut self.volumes;
        if volumes.all.len() >= MAX_SUBVOLUMES {
            let text =
                format!("more than {MAX_SUBVOLUMES} subvolumes; number {} is left out", key.object);
            // Once is enough.
            if self.problems.last().is_none_or(|last| last.kind != ProblemKind::Refused) {
                self.problems.push(Problem::new(ProblemKind::Refused, Where::Source, text));
            }
            return;
        }
        if volumes.numbers.contains_key(&key.object) {
            let text = format!("tree {} has a second root item", key.object);
            self.problems.push(Problem::new(ProblemKind::Corrupt, Where::Source, text));
            return;
        }
        let fields = Fields(item);
        volumes.numbers.insert(key.object, to_u64(volumes.all.len()));
        volumes.all.push(Volume {
            id: key.object,
            tree: Tree::new(root_of(item)),
            root_inode: fields.le64(168),
            references: fields.le32(216),
            item: item.iter().take(439).copied().collect(),
        });
    }
}

impl Volume {
    /// What is recorded about it, but where it stands.
    pub(super) fn describe(&self) -> Subvolume {
        let fields = Fields(&self.item);
        // Kernels before 3.6 wrote no more than the first 239 bytes; the second generation tells whether the rest counts.
        let is_new = fields.le64(239) == fields.le64(160);
        let uuid = |at| uuid_text(fields.slice(at, 16)).filter(|_| is_new);
        let time = |at| Some(inode::time(fields, at)).filter(|time| is_new && time.seconds != 0);
        Subvolume {
            id: self.id,
            path: None,
            root: 0,
            parent: None,
            uuid: uuid(247),
            parent_uuid: uuid(263),
            received_uuid: uuid(279),
            generation: fields.le64(160),
            created: time(339),
            changed: time(327),
            sent: time(351),
            received: time(363),
            is_read_only: fields.le64(208) & 1 != 0,
            is_default: false,
            is_deleted: self.references == 0,
        }
    }
}
