//! squashfs 4.0, read in user space: live media, snaps, appliances, initial systems of routers.
//!
//! Everything is packed in blocks, and the same block serves many inodes or files, so speed is a matter of keeping what
//! was unpacked last. A node is the inode's reference (block of the inode table and place within), which finds it without
//! any table; the inode number is shown by [`FileSystem::node_name`].
//!
//! Own reader, not the `backhand` crate: that one loads every inode and directory when it opens, drops inode numbers and
//! references, reads no attributes, keeps its source behind one lock, and trusts the counts of the tables. The kernel and
//! `unsquashfs` judge this one in the tests.
//!
//! Read: gzip, lzma (the form before xz), lzo, xz, lz4, zstd; short and extended inodes, tail ends, holes, attributes with
//! values kept elsewhere, devices. Not read: versions before 4.0, big-endian images. Not used: the directory index and the
//! export table, which only say again what the rest says. The format keeps one time, that of the last change of content.

mod dir;
mod file;
mod inode;
mod superblock;
mod table;
mod xattr;

use crate::error::EvidenceError;
use crate::fs::{
    Detail, Extent, FileKind, FileSystem, Listing, Metadata, Node, RawPath, View, Xattr,
};
use crate::kept::{Kept, Recent};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use crate::time::Time;
use file::Map;
use inode::{Body, Inode, NONE};
use std::ops::Range;
use std::sync::Arc;
use superblock::Superblock;

/// Unpacked metadata kept, in bytes.
const METADATA_BYTES: usize = 32 << 20;
/// Unpacked content kept, in bytes; mostly blocks of tail ends.
const CONTENT_BYTES: usize = 32 << 20;
/// Stored metadata kept, in bytes.
const NEAR_BYTES: usize = 8 << 20;

/// A squashfs file system.
pub struct Squash {
    source: Arc<dyn Source>,
    /// The same source, with what was read in small pieces remembered.
    near: Arc<dyn Source>,
    superblock: Superblock,
    metadata: Kept<table::Block>,
    blocks: Kept<Arc<[u8]>>,
    /// The maps of the files read last; sequential reading asks for one again and again.
    maps: Recent<Arc<Map>>,
    problems: Vec<Problem>,
}

/// Opens the file system that begins at the start of `source`; there is nothing to recover, so both views are the same.
///
/// # Errors
/// As [`Squash::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(Squash::open(source)?))
}

impl Squash {
    /// Opens the file system that begins at the start of `source`.
    ///
    /// # Errors
    /// When there is no squashfs superblock, it makes no sense, or its version or compression is not read.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let raw = source.bytes_at(0, 96).map_err(EvidenceError::read("the squashfs superblock"))?;
        let superblock = Superblock::parse(&raw)?;
        let mut problems = Vec::new();
        let (claimed, there) = (superblock.used_bytes, source.size_bytes());
        if claimed > there {
            let text = format!("the file system is {claimed} bytes long, but {there} are there");
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        Ok(Self {
            near: Arc::new(Cached::new(Arc::clone(&source), 16 << 10, NEAR_BYTES)),
            source,
            superblock,
            metadata: Kept::new(METADATA_BYTES),
            blocks: Kept::new(CONTENT_BYTES),
            maps: Recent::new(),
            problems,
        })
    }

    fn inode(&self, node: Node) -> Result<Inode, EvidenceError> {
        inode::read(self, node)
    }

    fn map(&self, node: Node) -> Result<Arc<Map>, EvidenceError> {
        if let Some(map) = self.maps.find(node) {
            return Ok(map);
        }
        let map = Arc::new(file::map(self, &self.inode(node)?)?);
        self.maps.keep(node, Arc::clone(&map));
        Ok(map)
    }
}

impl FileSystem for Squash {
    fn kind(&self) -> &'static str {
        "squashfs"
    }

    fn label(&self) -> Option<String> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        self.superblock.root
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        self.inode(node)?.metadata(self)
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        dir::read(self, &self.inode(node)?)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let inode = self.inode(node)?;
        if inode.kind != FileKind::Symlink {
            let number = inode.number;
            return Err(EvidenceError::refused(format!("inode {number} is not a symbolic link")));
        }
        inode.link(self)
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let map = self.map(node)?;
        file::read(self, &map, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        xattr::read(self, &self.inode(node)?)
    }

    /// The inode number; the reference itself where there is no inode to ask.
    fn node_name(&self, node: Node) -> String {
        self.inode(node).map_or_else(|_| node.to_string(), |inode| inode.number.to_string())
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let map = self.map(node)?;
        file::extents(self, &map)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        let inode = self.inode(node)?;
        let form = if inode.is_extended { "extended" } else { "short" };
        let mut out = vec![
            Detail { name: "inode form", value: form.to_owned() },
            Detail {
                name: "inode reference",
                value: format!("{:x}:{:x}", node >> 16, node & 0xffff),
            },
        ];
        if let Some(parent) = dir::parent(&inode) {
            out.push(Detail { name: "parent inode", value: parent.to_string() });
        }
        if inode.xattrs != NONE {
            out.push(Detail { name: "attribute set", value: inode.xattrs.to_string() });
        }
        if let Body::File { fragment, sparse_bytes, .. } = inode.body {
            if fragment != NONE {
                out.push(Detail { name: "fragment", value: fragment.to_string() });
            }
            if sparse_bytes != 0 {
                out.push(Detail { name: "bytes in holes", value: sparse_bytes.to_string() });
            }
        }
        if node == self.superblock.root {
            let seconds = i64::from(self.superblock.made_seconds);
            let made = Time { seconds, nanoseconds: 0 };
            let compression = self.superblock.packing.name();
            out.push(Detail { name: "file system made", value: made.to_string() });
            out.push(Detail { name: "compression", value: compression.to_owned() });
            out.push(Detail { name: "inodes", value: self.superblock.inodes.to_string() });
            out.push(Detail { name: "flags", value: format!("{:04x}", self.superblock.flags) });
            if let Some(at) = self.superblock.export_table {
                out.push(Detail { name: "export table", value: at.to_string() });
            }
        }
        Ok(out)
    }

    /// Nothing inside is free; what stands behind the end is.
    fn free_ranges(&self) -> Result<Vec<Range<u64>>, EvidenceError> {
        let (used, size) = (self.superblock.used_bytes, self.source.size_bytes());
        Ok((used < size).then_some(used..size).into_iter().collect())
    }
}
