//! Several file systems as one tree, as mounts put them together.
//!
//! What stands below a mount point is hidden, as on the running system; it stays to be seen through the volume's own
//! address. With a single file system and a root inside it, this is also a view of a subtree.

use super::{
    Conventions, DeletedListing, Detail, Entry, Extent, FileSystem, Listing, Metadata, Node,
    RawPath, Stream, Xattr,
};
use crate::error::EvidenceError;
use crate::problem::Problem;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Bits of a node that belong to the file system it is on; the rest is the number of the mount.
const NODE_BITS: u32 = 56;
const NODE_MASK: u64 = (1 << NODE_BITS) - 1;
/// Nodes whose numbers need more bits are numbered anew below this mount number.
const INTERNED: u64 = 0xff;
/// Mounts of one tree.
pub const MAX_MOUNTS: usize = 200;

struct Mounted {
    fs: Arc<dyn FileSystem>,
    root: Node,
}

#[derive(Default)]
struct Interned {
    numbers: HashMap<(u64, Node), u64>,
    nodes: Vec<(u64, Node)>,
}

/// One tree of several file systems.
pub struct MountTree {
    mounts: Vec<Mounted>,
    /// Directory and name a mount stands on, and its number.
    points: HashMap<(Node, Vec<u8>), usize>,
    interned: Mutex<Interned>,
    problems: Vec<Problem>,
}

impl MountTree {
    /// A tree that begins at `root` of `fs`.
    #[must_use]
    pub fn new(fs: Arc<dyn FileSystem>, root: Node) -> Self {
        let problems = fs.problems().to_vec();
        Self {
            mounts: vec![Mounted { fs, root }],
            points: HashMap::new(),
            interned: Mutex::default(),
            problems,
        }
    }

    /// Puts `root` of `fs` over the entry `name` of the directory `parent` (a node of this tree).
    ///
    /// # Errors
    /// `Refused` when there are [`MAX_MOUNTS`] already.
    pub fn mount(
        &mut self,
        parent: Node,
        name: &[u8],
        fs: Arc<dyn FileSystem>,
        root: Node,
    ) -> Result<(), EvidenceError> {
        if self.mounts.len() >= MAX_MOUNTS {
            return Err(EvidenceError::refused(format!("more than {MAX_MOUNTS} mounts")));
        }
        self.problems.extend(fs.problems().iter().cloned());
        self.points.insert((parent, name.to_vec()), self.mounts.len());
        self.mounts.push(Mounted { fs, root });
        Ok(())
    }

    /// Another name for a directory of this tree, as a bind mount gives it.
    ///
    /// # Errors
    /// As [`MountTree::mount`], and when `node` is of no mount here.
    pub fn bind(&mut self, parent: Node, name: &[u8], node: Node) -> Result<(), EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        let fs = Arc::clone(&mounted.fs);
        self.mount(parent, name, fs, inner)
    }

    /// The file system a node is on, and its node there.
    ///
    /// # Errors
    /// When the node is none of this tree.
    pub fn owner(&self, node: Node) -> Result<(Arc<dyn FileSystem>, Node), EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        Ok((Arc::clone(&mounted.fs), inner))
    }

    /// What the entry `name` of the directory `parent` was before something was mounted over it: its file system and its
    /// node there; `None` where nothing is mounted or there is no such entry.
    #[must_use]
    pub fn below(&self, parent: Node, name: &[u8]) -> Option<(Arc<dyn FileSystem>, Node)> {
        self.points.get(&(parent, name.to_vec()))?;
        let (mounted, inner) = self.inner(parent).ok()?;
        let entries = mounted.fs.read_dir(inner).ok()?.entries;
        let found = entries.into_iter().find(|entry| entry.name.0 == name)?;
        Some((Arc::clone(&mounted.fs), found.node))
    }

    fn inner(&self, node: Node) -> Result<(&Mounted, Node), EvidenceError> {
        let unknown = || EvidenceError::corrupt(format!("node {node} is not of this tree"));
        let (mut mount, mut inner) = (node >> NODE_BITS, node & NODE_MASK);
        if mount == INTERNED {
            let interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
            let index = usize::try_from(inner).map_err(|_| unknown())?;
            (mount, inner) = *interned.nodes.get(index).ok_or_else(unknown)?;
        }
        let index = usize::try_from(mount).map_err(|_| unknown())?;
        Ok((self.mounts.get(index).ok_or_else(unknown)?, inner))
    }

    fn outer(&self, mount: usize, inner: Node) -> Node {
        let mount = crate::bytes::to_u64(mount);
        if inner <= NODE_MASK {
            return mount << NODE_BITS | inner;
        }
        let mut interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
        let next = crate::bytes::to_u64(interned.nodes.len());
        let number = *interned.numbers.entry((mount, inner)).or_insert(next);
        if number == next {
            interned.nodes.push((mount, inner));
        }
        INTERNED << NODE_BITS | number
    }

    fn number_of(&self, node: Node) -> Result<usize, EvidenceError> {
        let (mounted, _) = self.inner(node)?;
        self.mounts
            .iter()
            .position(|one| std::ptr::eq(one, mounted))
            .ok_or_else(|| EvidenceError::corrupt(format!("node {node} is not of this tree")))
    }
}

impl FileSystem for MountTree {
    fn kind(&self) -> &'static str {
        self.mounts.first().map_or("tree", |mounted| mounted.fs.kind())
    }

    fn label(&self) -> Option<String> {
        self.mounts.first()?.fs.label()
    }

    fn uuid(&self) -> Option<String> {
        self.mounts.first()?.fs.uuid()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        self.outer(0, self.mounts.first().map_or(0, |mounted| mounted.root))
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        Ok(Metadata { node, ..mounted.fs.metadata(inner)? })
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        let mount = self.number_of(node)?;
        let Listing { entries, problems } = mounted.fs.read_dir(inner)?;
        let entries = entries
            .into_iter()
            .map(|Entry { name, node: below }| {
                let covered = (!self.points.is_empty())
                    .then(|| self.points.get(&(node, name.0.clone())))
                    .flatten();
                let node = match covered {
                    Some(over) => {
                        self.outer(*over, self.mounts.get(*over).map_or(0, |mounted| mounted.root))
                    }
                    None => self.outer(mount, below),
                };
                Entry { name, node }
            })
            .collect();
        Ok(Listing { entries, problems })
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.read_link(inner)
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.read_at(inner, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.xattrs(inner)
    }

    fn conventions(&self) -> Conventions {
        self.mounts.first().map_or(Conventions::UNIX, |mounted| mounted.fs.conventions())
    }

    fn node_name(&self, node: Node) -> String {
        self.inner(node)
            .map_or_else(|_| node.to_string(), |(mounted, inner)| mounted.fs.node_name(inner))
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.extents(inner)
    }

    fn streams(&self, node: Node) -> Result<Vec<Stream>, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.streams(inner)
    }

    fn read_stream_at(
        &self,
        node: Node,
        stream: &[u8],
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.read_stream_at(inner, stream, offset_bytes, buf)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        let (mounted, inner) = self.inner(node)?;
        mounted.fs.details(inner)
    }

    fn deleted(&self, _limit: usize) -> DeletedListing {
        // Deleted objects belong to one file system, not to a tree of several: ask each by its own address.
        DeletedListing::default()
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>, EvidenceError> {
        Err(EvidenceError::refused("free space belongs to one volume; ask for it by its address"))
    }
}
