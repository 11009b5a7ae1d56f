//! XFS of versions 4 and 5, read in user space with its log replayed in memory.
//!
//! Own reader, not a crate: `xfs-core` 0.1.6 takes the whole image into memory, knows neither attributes nor the log nor
//! free space, and gives no extents by node. The running kernel, `xfs_db` and mkfs's own copy of a tree judge this one.
//!
//! Read: all directory forms, extents and B+trees, 64-bit extent counts, big times, inline and remote links, all
//! attribute forms, parent pointers, sparse inodes, access lists, deleted names, free space. Not read: content on a
//! realtime device, a log on another device, directories of version 1, zoned devices; each is named.
//!
//! Checksums of version 5 are verified; a mismatch is told with the directory that names the inode, or in `details`, and
//! what stands there is shown all the same.

mod ag;
mod check;
mod content;
mod deleted;
mod dir;
mod inode;
mod items;
mod kept;
mod log;
mod logged;
mod map;
mod recover;
mod secondary;
mod store;
mod superblock;
mod xattr;

use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fs::{
    Conventions, DeletedListing, Detail, Extent, FileKind, FileSystem, Listing, Metadata, Names,
    Node, RawPath, View, Xattr,
};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use content::Headers;
use inode::{Fork, Format, Inode};
use kept::{File, Kept};
use map::Map;
use std::sync::Arc;
use store::Store;
use superblock::Superblock;

/// Longest link target Linux accepts on XFS, in bytes.
const MAX_LINK_BYTES: u64 = 1024;
/// Groups whose headers are verified on opening: 1 TiB of the usual size has four, a grown disk some hundred.
const MAX_GROUPS_CHECKED: usize = 4096;
/// Problems recorded on opening before the rest is given up.
const MAX_PROBLEMS: usize = 64;
/// The realtime device in the file system's own count; 0 is the data device.
const REALTIME_DEVICE: u64 = 1;

/// An XFS file system.
pub struct Xfs {
    store: Store,
    superblock: Superblock,
    kept: Kept,
    problems: Vec<Problem>,
}

/// Opens the file system that begins at the start of `source`.
///
/// # Errors
/// As [`Xfs::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    Ok(Box::new(Xfs::open(source, view)?))
}

impl Xfs {
    /// Opens the file system that begins at the start of `source`.
    ///
    /// # Errors
    /// When there is no XFS superblock, it makes no sense, or it needs a feature this reader lacks (named in the error).
    pub fn open(source: Arc<dyn Source>, view: View) -> Result<Self, EvidenceError> {
        let (superblock, problems) = Superblock::read(&*source)?;
        let mut xfs =
            Self { store: Store::new(source), superblock, kept: Kept::default(), problems };
        let problems = recover::run(&mut xfs, view);
        xfs.problems.extend(problems);
        if xfs.store.overlaid_sectors() != 0 {
            // The label and the root may be newer in the log.
            let raw = xfs.store.bytes(0, to_usize(xfs.superblock.sector_bytes))?;
            match Superblock::parse(&raw) {
                Ok(newer) if newer.block_bytes == xfs.superblock.block_bytes => {
                    xfs.superblock = newer;
                }
                // A damaged one was told already, and is in no log.
                _ => {}
            }
        }
        if secondary::lacks_root(&xfs.superblock) {
            xfs.superblock.root = secondary::root(&xfs)?;
        }
        for group in ag::groups(&xfs).take(MAX_GROUPS_CHECKED) {
            let doubts = ag::doubts(&xfs, group);
            let place =
                xfs.superblock.ag_offset(group, 0, 1).map_or(Place::Source, Place::OffsetBytes);
            xfs.problems.extend(
                doubts
                    .into_iter()
                    .map(|text| Problem::new(ProblemKind::Corrupt, place.clone(), text)),
            );
            if xfs.problems.len() > MAX_PROBLEMS {
                break;
            }
        }
        Ok(xfs)
    }

    /// A block of metadata by its number.
    fn block(&self, number: u64) -> Result<Vec<u8>, EvidenceError> {
        let offset = self.superblock.block_offset(number, 1)?;
        self.store.bytes(offset, to_usize(self.superblock.block_bytes))
    }

    /// What is wrong with the checksum of a block of metadata, unless the log has changed it.
    fn block_doubt(&self, number: u64, raw: &[u8], at: usize) -> Option<String> {
        let offset = self.superblock.block_offset(number, 1).ok()?;
        if !self.superblock.is_v5 || self.store.is_overlaid(offset, raw.len()) {
            return None;
        }
        check::mismatch(raw, at, &format!("block {number}"))
    }

    fn map(&self, inode: &Inode, fork: Fork) -> Result<Map, EvidenceError> {
        map::map(self, inode, fork)
    }

    /// The map of a regular file.
    fn file(&self, node: Node) -> Result<Arc<File>, EvidenceError> {
        if let Some(file) = self.kept.file(node) {
            return Ok(file);
        }
        let inode = inode::read_any(self, node)?;
        if inode.mode() == 0 {
            return self.left_over(&inode).map(Arc::new);
        }
        if inode.kind() != FileKind::File {
            return Err(EvidenceError::refused(format!("inode {node} is not a regular file")));
        }
        if inode.is_realtime() {
            return Err(EvidenceError::unsupported(format!(
                "content on the realtime device (inode {node})"
            )));
        }
        let map = self.map(&inode, Fork::Data)?;
        let file = Arc::new(File { size_bytes: inode.size_bytes(), map });
        self.kept.keep_file(node, &file);
        Ok(file)
    }

    /// What can still be read of a freed inode: whole blocks, since its size is gone.
    fn left_over(&self, inode: &Inode) -> Result<File, EvidenceError> {
        let map = map::left_over(self, inode);
        let Some(last) = map.runs.last() else {
            return Err(EvidenceError::corrupt(format!("inode {} is not in use", inode.node)));
        };
        let size_bytes = last.end().saturating_mul(self.superblock.block_bytes);
        Ok(File { size_bytes, map })
    }

    /// Mismatched checksums of the inodes a directory names, each verified once while the file system is open.
    fn doubtful_inodes(&self, listing: &mut Listing) {
        if !self.superblock.is_v5 {
            return;
        }
        for entry in &listing.entries {
            if self.kept.is_verified(entry.node) {
                continue;
            }
            match inode::checksum_problem(self, entry.node) {
                None => self.kept.verified(entry.node),
                Some(text) => listing.problems.push(Problem::new(
                    ProblemKind::Corrupt,
                    Place::Node(entry.node),
                    text,
                )),
            }
        }
    }
}

impl FileSystem for Xfs {
    fn kind(&self) -> &'static str {
        "xfs"
    }

    fn label(&self) -> Option<String> {
        self.superblock.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.superblock.uuid_text()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        self.superblock.root
    }

    fn conventions(&self) -> Conventions {
        let names = if self.superblock.folds_case { Names::CaseFolded } else { Names::Exact };
        Conventions { names, ..Conventions::UNIX }
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        Ok(inode::read(self, node)?.metadata())
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let inode = inode::read(self, node)?;
        if inode.kind() != FileKind::Directory {
            return Err(EvidenceError::refused(format!("inode {node} is not a directory")));
        }
        let mut listing = dir::read(self, &inode)?;
        self.doubtful_inodes(&mut listing);
        Ok(listing)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let inode = inode::read(self, node)?;
        if inode.kind() != FileKind::Symlink {
            return Err(EvidenceError::refused(format!("inode {node} is not a symbolic link")));
        }
        let size = inode.size_bytes();
        if size == 0 || size > MAX_LINK_BYTES {
            return Err(EvidenceError::corrupt(format!(
                "link target of inode {node} is {size} bytes long"
            )));
        }
        let length = to_usize(size);
        if inode.format(Fork::Data) == Format::Local {
            let area = inode.fork(Fork::Data);
            let target = area.get(..length).ok_or_else(|| {
                EvidenceError::corrupt(format!(
                    "link target of inode {node} has {size} bytes in an area of {}",
                    area.len()
                ))
            })?;
            return Ok(RawPath(target.to_vec()));
        }
        let map = self.map(&inode, Fork::Data)?;
        Ok(RawPath(content::remote(self, &map, 0, length, Headers::EachRun)?))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let file = self.file(node)?;
        content::read(self, &file.map, file.size_bytes, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        Ok(xattr::read(self, &inode::read(self, node)?)?.attributes)
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let inode = inode::read_any(self, node)?;
        if inode.mode() == 0 {
            let file = self.left_over(&inode)?;
            return content::extents(self, &file.map, file.size_bytes, None);
        }
        if inode.format(Fork::Data) == Format::Local {
            let length_bytes = inode.size_bytes();
            let stored = crate::fs::Stored::Inline;
            return Ok(vec![Extent { logical_bytes: 0, length_bytes, stored }]);
        }
        let map = self.map(&inode, Fork::Data)?;
        let device = inode.is_realtime().then_some(REALTIME_DEVICE);
        content::extents(self, &map, inode.size_bytes(), device)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        let inode = inode::read(self, node)?;
        let mut out: Vec<Detail> =
            inode.facts().into_iter().map(|(name, value)| Detail { name, value }).collect();
        let mut doubts: Vec<String> = inode::checksum_problem(self, node).into_iter().collect();
        match self.map(&inode, Fork::Data) {
            Ok(map) => doubts.extend(map.doubts),
            Err(error) => doubts.push(error.to_string()),
        }
        match xattr::read(self, &inode) {
            Ok(found) => {
                doubts.extend(found.doubts);
                out.extend(found.parents.into_iter().map(|(name, node, generation)| Detail {
                    name: "parent",
                    value: format!(
                        "inode {node} generation {generation} name {}",
                        crate::escape_bytes(&name)
                    ),
                }));
            }
            Err(error) => doubts.push(error.to_string()),
        }
        out.extend(doubts.into_iter().map(|value| Detail { name: "doubt", value }));
        Ok(out)
    }

    fn deleted(&self, limit: usize) -> DeletedListing {
        deleted::list(self, limit)
    }

    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        let mut out = Vec::new();
        for group in ag::groups(self) {
            out.extend(ag::free(self, group)?);
        }
        out.sort_by_key(|range| range.start);
        Ok(out)
    }
}
