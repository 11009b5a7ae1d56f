//! Btrfs, read only: one or several devices, all subvolumes and snapshots, with the log tree applied in memory.
//!
//! Own reader, not a crate: `btrfs-core` wants the whole image as one slice of memory and one device, `rust-fs-btrfs` is
//! mostly a writer with a C interface, and neither reads raid5/6, missing devices or the log tree.
//!
//! Read: every profile with missing, stale or damaged copies as far as the redundancy goes, all four checksums (content is
//! held against them), zlib, LZO and Zstandard, both forms of every metadata format. Not read: extent-tree-v2 (refused),
//! content placed by a raid-stripe-tree (named), old roots (what copy-on-write left behind of deleted files).
//!
//! A node is the number of the subvolume in a table of this reader, shifted by 48 bits, and the inode; it is written
//! `SUBVOLUME/INODE`. The root is the top-level subvolume, so subvolumes and snapshots are directories where they stand;
//! [`Btrfs::subvolumes`] lists all of them, reachable or not.

mod block;
mod checksum;
mod chunk;
mod content;
mod inode;
mod key;
mod log;
mod names;
mod objects;
mod open;
mod packed;
mod pool;
mod raid6;
mod replay;
mod space;
mod subvolume;
mod sums;
mod superblock;
mod tree;

pub use subvolume::Subvolume;

use crate::error::EvidenceError;
use crate::fs::{
    DeletedListing, Detail, Extent, FileKind, FileSystem, Listing, Metadata, Node, RawPath, View,
    Xattr,
};
use crate::problem::Problem;
use crate::source::Source;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use subvolume::{Place, Volumes};
use tree::{Store, Tree};

/// Longest link target Linux accepts, in bytes.
const MAX_LINK_BYTES: u64 = 4095;

/// A compressed extent by its address, unpacked length and method.
type Unpacked = ((u64, u64, u8), Arc<Vec<u8>>);

/// A Btrfs file system.
pub struct Btrfs {
    view: View,
    store: Store,
    checksums: Option<Tree>,
    extents: Option<Tree>,
    block_groups: Option<Tree>,
    volumes: Volumes,
    /// Checksums that stand in the log, by the logical address of their first sector.
    logged_sums: BTreeMap<u64, Vec<u8>>,
    /// Logical ranges that the log uses and the tree of extents does not know yet.
    logged_extents: Vec<std::ops::Range<u64>>,
    /// The compressed extents read last.
    unpacked: Mutex<VecDeque<Unpacked>>,
    problems: Vec<Problem>,
}

/// Opens the file system whose devices are `devices`, in any order; some may be missing.
///
/// # Errors
/// As [`Btrfs::open`].
pub fn open(
    devices: Vec<Arc<dyn Source>>,
    view: View,
) -> Result<Box<dyn FileSystem>, EvidenceError> {
    Ok(Box::new(Btrfs::open(devices, view)?))
}

impl FileSystem for Btrfs {
    fn kind(&self) -> &'static str {
        "btrfs"
    }

    fn label(&self) -> Option<String> {
        self.store.superblock.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.store.superblock.uuid()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        self.volumes.all.first().map_or(256, |volume| volume.root_inode)
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let place = Place::of(node);
        if place.is_empty_directory() {
            return self.empty_directory(place, node);
        }
        Ok(self.inode(place)?.metadata(node))
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        self.list(Place::of(node))
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let place = Place::of(node);
        let inode = self.inode(place)?;
        let name = || self.node_name(node);
        if inode.kind() != FileKind::Symlink {
            return Err(EvidenceError::refused(format!("inode {} is not a symbolic link", name())));
        }
        if inode.size_bytes == 0 || inode.size_bytes > MAX_LINK_BYTES {
            let size = inode.size_bytes;
            let what = format!("link target of inode {} is {size} bytes long", name());
            return Err(EvidenceError::corrupt(what));
        }
        let mut target = vec![0; crate::bytes::to_usize(inode.size_bytes)];
        let got = self.read(place, &inode, 0, &mut target)?;
        target.truncate(got);
        Ok(RawPath(target))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let place = Place::of(node);
        let inode = self.inode(place)?;
        if inode.kind() != FileKind::File {
            let name = self.node_name(node);
            return Err(EvidenceError::refused(format!("inode {name} is not a regular file")));
        }
        self.read(place, &inode, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        self.attributes(Place::of(node))
    }

    fn subvolume(&self, id: Option<u64>) -> Result<Node, EvidenceError> {
        let id = match id {
            // As the kernel: 0 asks for the top level, nothing for what is set as the default.
            Some(0) => key::object::FS_TREE,
            Some(id) => id,
            None => self.volumes.default_id,
        };
        let found = self.volumes.numbers.get(&id).and_then(|number| {
            let volume = self.volumes.all.get(crate::bytes::to_usize(*number))?;
            Place { volume: *number, inode: volume.root_inode }.node().ok()
        });
        found.ok_or_else(|| EvidenceError::corrupt(format!("there is no subvolume {id}")))
    }

    fn node_name(&self, node: Node) -> String {
        let place = Place::of(node);
        match self.volume(place) {
            Ok(volume) => format!("{}/{}", volume.id, place.shown_inode()),
            Err(_) => format!("?/{}", place.shown_inode()),
        }
    }

    /// A run on another device than the first one given is [`crate::fs::Stored::OnDevice`], even where it is compressed;
    /// one whose only copies are on missing devices is left out.
    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        self.allocation(Place::of(node))
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        self.facts(Place::of(node))
    }

    /// Files that were unlinked while open; what older roots still know is not looked for.
    fn deleted(&self, limit: usize) -> DeletedListing {
        self.orphans(limit)
    }

    /// Ranges of the first device given.
    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        self.free()
    }
}
