//! EROFS, read in user space: Android, containers, live media, and the sealed root of this project's own stick.
//!
//! A node is the number of the inode's 32-byte slot, which tells its place, so nothing is looked up. Content is found run
//! by run when it is read; unpacked pieces are kept, because many small files end in one.
//!
//! Own reader; no crate was found that reads compressed images. The kernel and `fsck.erofs` judge this one in the tests.
//!
//! Read: short and extended inodes, plain and inline content, chunks, further devices where they are given, 48-bit
//! addresses; compressed content by full and compact indexes and by extent records, in LZ4, MicroLZMA, deflate and
//! Zstandard, in clusters of one or many blocks, with inline tails, shared pieces and a packed file of tails; the metadata
//! box; attributes, shared and with long prefixes; the superblock's checksum. Not read: interlaced pieces of several
//! blocks (no writer makes them). The format keeps one time for each inode.

mod content;
mod dir;
mod index;
mod inode;
mod packed;
mod run;
mod superblock;
mod xattr;

use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fs::{
    Detail, Extent, FileKind, FileSystem, Listing, Metadata, Node, RawPath, View, Xattr,
};
use crate::kept::{Kept, Recent};
use crate::problem::{Place, Problem};
use crate::source::{Cached, Source};
use crate::time::Time;
use index::Header;
use inode::{IN_METABOX, Inode};
use packed::{Record, Tail};
use std::ops::Range;
use std::sync::Arc;
use superblock::Superblock;

/// Unpacked content kept, in bytes.
const CONTENT_BYTES: usize = 32 << 20;
/// Metadata kept, in bytes.
const NEAR_BYTES: usize = 16 << 20;
/// Longest link target Linux accepts, in bytes.
const MAX_LINK_BYTES: u64 = 4095;

/// An EROFS file system.
pub struct Erofs {
    source: Arc<dyn Source>,
    /// The same source, with what was read in small pieces remembered.
    near: Arc<dyn Source>,
    devices: Vec<Arc<dyn Source>>,
    superblock: Superblock,
    /// The file that packs the tails of others.
    packed: Option<Arc<File>>,
    /// The file that holds inodes.
    metabox: Option<Arc<File>>,
    prefixes: Vec<xattr::Prefix>,
    pieces: Kept<Arc<[u8]>>,
    large_pieces: Recent<Arc<[u8]>>,
    files: Recent<Arc<File>>,
    problems: Vec<Problem>,
}

/// An inode with what it takes to read its content.
struct File {
    inode: Inode,
    header: Header,
    tail: Option<Tail>,
    records: Vec<Record>,
    /// The packed file and the metadata box may not lead back to the packed file.
    may_have_fragments: bool,
}

/// Opens the file system that begins at the start of `source`; there is nothing to recover, so both views are the same.
///
/// # Errors
/// As [`Erofs::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(Erofs::open(source, Vec::new())?))
}

impl Erofs {
    /// Opens the file system that begins at the start of `source`; `devices` are the further ones, in the order of its table.
    ///
    /// # Errors
    /// When there is no EROFS superblock, it makes no sense, or it needs a feature this reader lacks (named in the error).
    pub fn open(
        source: Arc<dyn Source>,
        devices: Vec<Arc<dyn Source>>,
    ) -> Result<Self, EvidenceError> {
        let superblock = Superblock::read(&*source)?;
        let mut fs = Self {
            near: Arc::new(Cached::new(Arc::clone(&source), 16 << 10, NEAR_BYTES)),
            source,
            devices,
            problems: superblock.problems.clone(),
            superblock,
            packed: None,
            metabox: None,
            prefixes: Vec::new(),
            pieces: Kept::new(CONTENT_BYTES),
            large_pieces: Recent::new(),
            files: Recent::new(),
        };
        let missing = fs.superblock.devices.iter().skip(fs.devices.len());
        let missing: Vec<String> = missing.map(|device| format!("\"{}\"", device.tag)).collect();
        if !missing.is_empty() {
            let text = format!("content lies on further devices: {}", missing.join(", "));
            let error = EvidenceError::unsupported(text);
            fs.problems.push(error.to_problem(Place::Source));
        }
        if let Some(nid) = fs.superblock.metabox {
            fs.metabox = fs.special("metadata box", nid & !IN_METABOX);
        }
        if let Some(nid) = fs.superblock.packed {
            fs.packed = fs.special("packed file", nid);
        }
        match xattr::read_prefixes(&fs) {
            Ok(prefixes) => fs.prefixes = prefixes,
            Err(error) => fs.problems.push(error.to_problem(Place::Source)),
        }
        Ok(fs)
    }

    /// One of the two files that others lean on; when it cannot be read, that is a problem and not the end.
    fn special(&mut self, what: &str, nid: Node) -> Option<Arc<File>> {
        match self.load(nid) {
            Ok(mut file) => {
                file.may_have_fragments = false;
                Some(Arc::new(file))
            }
            Err(error) => {
                let mut problem = error.to_problem(Place::Node(nid));
                problem.text = format!("{what}: {}", problem.text);
                self.problems.push(problem);
                None
            }
        }
    }

    /// Reads metadata: of the device, or of the metadata box where `node` stands in it.
    fn metadata_at(&self, node: Node, at: u64, buf: &mut [u8]) -> Result<(), EvidenceError> {
        if node & IN_METABOX != 0 {
            let name = self.name_of(node);
            let metabox = self.metabox.as_deref().ok_or_else(|| {
                EvidenceError::corrupt(format!(
                    "inode {name} stands in a metadata box that is not there"
                ))
            })?;
            return self.content_exactly(metabox, at, buf);
        }
        self.near.fill(at, buf).map_err(EvidenceError::read(format!("metadata at byte {at}")))
    }

    fn inode(&self, node: Node) -> Result<Inode, EvidenceError> {
        inode::read(self, node)
    }

    fn load(&self, node: Node) -> Result<File, EvidenceError> {
        let inode = self.inode(node)?;
        let mut file = File {
            header: Header::default(),
            tail: None,
            records: Vec::new(),
            may_have_fragments: true,
            inode,
        };
        if let Some(index) = packed::index(&file.inode) {
            self.read_header(&mut file, index)?;
        }
        Ok(file)
    }

    fn file(&self, node: Node) -> Result<Arc<File>, EvidenceError> {
        if let Some(file) = self.files.find(node) {
            return Ok(file);
        }
        let file = Arc::new(self.load(node)?);
        self.files.keep(node, Arc::clone(&file));
        Ok(file)
    }

    /// The number of the slot, and whether it is one of the metadata box.
    fn name_of(&self, node: Node) -> String {
        let place = if node & IN_METABOX != 0 { "metabox-" } else { "" };
        format!("{place}{}", node & !IN_METABOX)
    }
}

impl FileSystem for Erofs {
    fn kind(&self) -> &'static str {
        "erofs"
    }

    fn label(&self) -> Option<String> {
        self.superblock.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.superblock.uuid.clone()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        self.superblock.root
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        Ok(self.inode(node)?.metadata(self))
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let file = self.load(node)?;
        if file.inode.kind() != FileKind::Directory {
            let name = self.name_of(node);
            return Err(EvidenceError::refused(format!("inode {name} is not a directory")));
        }
        dir::read(self, &file)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let file = self.load(node)?;
        let (name, size) = (self.name_of(node), file.inode.size_bytes);
        if file.inode.kind() != FileKind::Symlink {
            return Err(EvidenceError::refused(format!("inode {name} is not a symbolic link")));
        }
        if size == 0 || size > MAX_LINK_BYTES {
            return Err(EvidenceError::corrupt(format!(
                "link target of inode {name} is {size} bytes long"
            )));
        }
        let mut target = vec![0; to_usize(size)];
        self.content_exactly(&file, 0, &mut target)?;
        Ok(RawPath(target))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let file = self.file(node)?;
        if file.inode.kind() != FileKind::File {
            let name = self.name_of(node);
            return Err(EvidenceError::refused(format!("inode {name} is not a regular file")));
        }
        self.content(&file, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        xattr::read(self, &self.inode(node)?)
    }

    fn node_name(&self, node: Node) -> String {
        self.name_of(node)
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let file = self.file(node)?;
        if !matches!(file.inode.kind(), FileKind::File | FileKind::Directory | FileKind::Symlink) {
            return Ok(Vec::new());
        }
        self.all_extents(&file)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        let inode = self.inode(node)?;
        let form = if inode.is_extended { "extended" } else { "compact" };
        let mut out = vec![
            Detail { name: "inode form", value: form.to_owned() },
            Detail { name: "data layout", value: format!("{:?}", inode.layout) },
            Detail { name: "32-bit inode number", value: inode.short_number.to_string() },
        ];
        if node == self.superblock.root {
            let sb = &self.superblock;
            let made = Time { seconds: sb.made_seconds, nanoseconds: 0 };
            let [compatible, incompatible] = sb.features;
            let features = format!("{compatible:x} {incompatible:x}");
            out.push(Detail { name: "file system made", value: made.to_string() });
            out.push(Detail { name: "inodes", value: sb.inodes.to_string() });
            out.push(Detail { name: "features", value: features });
        }
        Ok(out)
    }

    /// Nothing inside is free; what stands behind the end is.
    fn free_ranges(&self) -> Result<Vec<Range<u64>>, EvidenceError> {
        let (used, size) = (self.superblock.size_bytes, self.source.size_bytes());
        Ok((used < size).then_some(used..size).into_iter().collect())
    }
}
