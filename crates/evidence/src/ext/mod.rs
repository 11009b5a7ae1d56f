//! ext2, ext3 and ext4, read in user space with the journal overlaid in memory.
//!
//! A disk taken from a running machine has a journal with changes that are not yet in place. The kernel would replay it
//! by writing; this reader keeps the newest copy of each journaled block in a map and reads those instead, replays fast
//! commits and orphans in memory, and so shows what the machine would have shown after a mount while the evidence stays as
//! it is. [`View::Raw`] leaves all of that out.
//!
//! Own reader, not a crate: evidence needs inode numbers, change times and extended attributes (file capabilities), must
//! go on past a damaged checksum or journal, and must bound what a hostile inode can make it allocate. The `ext4-view`
//! crate, e2fsprogs, the kernel and The Sleuth Kit judge it in the tests.
//!
//! Read: extents and block maps, inline data, 64-bit, flexible and meta block groups, clusters, hashed and large
//! directories, attributes in inodes, blocks and value inodes, deleted names and inodes. Not read: compression, clear
//! text of what is encrypted, external journals (recorded as a problem).

mod acl;
mod backup;
mod blocks;
mod checksum;
mod deleted;
mod details;
mod dir;
mod fast_commit;
mod free;
mod groups;
mod inode;
mod journal;
mod journal_blocks;
mod recovery;
mod superblock;
mod xattr;

use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{
    DeletedListing, Detail, Extent, FileKind, FileSystem, Listing, Metadata, Node, RawPath, View,
    Xattr,
};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use groups::Group;
use inode::Inode;
use recovery::Recovered;
use std::sync::Arc;
use superblock::Superblock;

/// Inode tables are read in order, so large pieces save calls.
const TABLE_PIECE_BYTES: usize = 64 << 10;
/// Directories and trees lie scattered; small pieces waste less.
const OTHER_PIECE_BYTES: usize = 16 << 10;
/// What each of the two memories may hold.
const MEMORY_BYTES: usize = 24 << 20;
/// Longest link target Linux accepts, in bytes.
const MAX_LINK_BYTES: u64 = 4095;

/// An ext2, ext3 or ext4 file system.
pub struct Ext {
    source: Arc<dyn Source>,
    inode_tables: Cached,
    others: Cached,
    superblock: Superblock,
    groups: Vec<Option<Group>>,
    /// Newest journaled copy of a block.
    overlay: journal::Overlay,
    recovered: Recovered,
    problems: Vec<Problem>,
}

/// Opens the file system that begins at the start of `source`.
///
/// # Errors
/// As [`Ext::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    Ok(Box::new(Ext::open_view(source, view)?))
}

impl Ext {
    /// Opens the file system that begins at the start of `source`, as a mount would show it.
    ///
    /// # Errors
    /// When there is no ext superblock, it makes no sense, or it needs a feature this reader lacks (named in the error).
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        Self::open_view(source, View::Recovered)
    }

    /// Opens the file system that begins at the start of `source`, in the view asked for.
    ///
    /// # Errors
    /// As [`Ext::open`].
    pub fn open_view(source: Arc<dyn Source>, view: View) -> Result<Self, EvidenceError> {
        let backup::Chosen { superblock, mut raw, problem: damaged } = backup::choose(&*source)?;
        let mut ext = Self {
            superblock,
            inode_tables: Cached::new(Arc::clone(&source), TABLE_PIECE_BYTES, MEMORY_BYTES),
            others: Cached::new(Arc::clone(&source), OTHER_PIECE_BYTES, MEMORY_BYTES),
            source,
            groups: Vec::new(),
            overlay: journal::Overlay::new(),
            recovered: Recovered::default(),
            problems: Vec::new(),
        };
        let (groups, mut problems) = groups::load(&ext);
        ext.groups = groups;
        let mut tags = Vec::new();
        if view == View::Recovered {
            let log = journal::load(&ext);
            ext.problems = log.problems;
            ext.overlay = log.overlay;
            tags = log.tags;
        }
        if !ext.overlay.is_empty() {
            // The superblock and the descriptors may themselves have newer copies in the journal.
            let own_block = 1024_u64.checked_div(ext.superblock.block_bytes).unwrap_or(0);
            if (damaged.is_none() || ext.overlay.contains_key(&own_block))
                && ext.fill(&*ext.source, 1024, &mut raw).is_ok()
                && let Ok(newer) = Superblock::parse(&raw)
                && newer.block_bytes == ext.superblock.block_bytes
            {
                ext.superblock = newer;
            }
            (ext.groups, problems) = groups::load(&ext);
        }
        if !checksum::superblock_fits(&ext.superblock, &raw) {
            let text = "the checksum of the ext superblock does not fit";
            ext.problems.push(Problem::new(ProblemKind::Corrupt, Place::OffsetBytes(1024), text));
        }
        ext.problems.append(&mut problems);
        ext.problems.splice(0..0, damaged);
        if view == View::Recovered {
            fast_commit::replay(&mut ext, &tags);
            recovery::finish_orphans(&mut ext);
        }
        Ok(ext)
    }

    /// Number of blocks that are read from the journal instead of from their place.
    #[must_use]
    pub fn overlaid_blocks(&self) -> usize {
        self.overlay.len()
    }

    /// Number of inodes that fast commits or the treatment of orphans changed in memory.
    #[must_use]
    pub fn changed_inodes(&self) -> usize {
        self.recovered.inodes.len().saturating_add(self.recovered.freed.len())
    }

    /// Fills `buf` from a byte offset of the file system through the overlay, reading from `source` what is in place.
    fn fill(&self, source: &dyn Source, offset: u64, buf: &mut [u8]) -> Result<(), EvidenceError> {
        let in_place = |offset: u64, part: &mut [u8]| {
            let block = offset.checked_div(self.superblock.block_bytes).unwrap_or(0);
            let got = source
                .read_at(offset, part)
                .map_err(EvidenceError::read(format!("block {block}")))?;
            if got < part.len() {
                return Err(EvidenceError::corrupt(format!(
                    "block {block} or one after it lies beyond the end of the source"
                )));
            }
            Ok(())
        };
        if self.overlay.is_empty() {
            return in_place(offset, buf);
        }
        let block_bytes = self.superblock.block_bytes.max(1);
        let mut done = 0_usize;
        let mut pending = 0_usize;
        // Blocks in place are gathered into one read; it is made before each overlaid block and at the end.
        while done < buf.len() {
            let here = offset.saturating_add(to_u64(done));
            let within = here.checked_rem(block_bytes).unwrap_or(0);
            let rest = buf.len().saturating_sub(done);
            let count = to_usize(block_bytes.saturating_sub(within)).min(rest);
            let end = done.saturating_add(count);
            let number = here.checked_div(block_bytes).unwrap_or(0);
            if let Some(copy) = self.overlay.get(&number) {
                if let Some(part) = buf.get_mut(pending..done).filter(|part| !part.is_empty()) {
                    in_place(offset.saturating_add(to_u64(pending)), part)?;
                }
                if let Some(part) = buf.get_mut(done..end) {
                    self.copy(*copy, within, part)?;
                }
                pending = end;
            }
            done = end;
        }
        match buf.get_mut(pending..).filter(|part| !part.is_empty()) {
            Some(part) => in_place(offset.saturating_add(to_u64(pending)), part),
            None => Ok(()),
        }
    }

    /// Reads from a journaled copy; the word that was cleared in the journal is put back.
    fn copy(&self, copy: journal::Copy, within: u64, part: &mut [u8]) -> Result<(), EvidenceError> {
        let source: &dyn Source = &self.others;
        source
            .fill(copy.offset_bytes.saturating_add(within), part)
            .map_err(EvidenceError::read("a block in the journal"))?;
        if copy.is_escaped {
            let magic = journal_blocks::MAGIC.to_be_bytes();
            for (to, from) in part.iter_mut().zip(magic.iter().skip(to_usize(within))) {
                *to = *from;
            }
        }
        Ok(())
    }

    /// Fills `raw`, which must be one block long, with a block of metadata.
    fn fill_block(&self, number: u64, raw: &mut [u8]) -> Result<(), EvidenceError> {
        if number >= self.superblock.blocks {
            let total = self.superblock.blocks;
            return Err(EvidenceError::corrupt(format!(
                "block {number} lies beyond the file system's {total}"
            )));
        }
        self.fill(&self.others, number.saturating_mul(self.superblock.block_bytes), raw)
    }

    /// A block of metadata.
    fn block(&self, number: u64) -> Result<Vec<u8>, EvidenceError> {
        let mut raw = vec![0; to_usize(self.superblock.block_bytes)];
        self.fill_block(number, &mut raw)?;
        Ok(raw)
    }

    fn inode(&self, node: Node) -> Result<Inode, EvidenceError> {
        inode::read(self, node)
    }

    /// Content of a file or link, wherever it is kept.
    fn content(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize, EvidenceError> {
        if !inode.has_inline_data() {
            return blocks::read(self, inode, offset, buf);
        }
        let data = self.inline_data(inode)?;
        let rest = data.get(to_usize(offset)..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    /// Inline data: sixty bytes in the inode, the rest in an attribute; never longer than the size recorded.
    fn inline_data(&self, inode: &Inode) -> Result<Vec<u8>, EvidenceError> {
        let mut data = inode.block_area.to_vec();
        if inode.size_bytes > to_u64(data.len()) {
            let all = xattr::read(self, inode)?;
            let more = all.into_iter().find(|attribute| attribute.name.0 == b"system.data");
            data.extend(more.map(|attribute| attribute.value).unwrap_or_default());
        }
        data.truncate(to_usize(inode.size_bytes));
        Ok(data)
    }
}

impl FileSystem for Ext {
    fn kind(&self) -> &'static str {
        self.superblock.kind
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
        2
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        Ok(self.inode(node)?.metadata())
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let inode = self.inode(node)?;
        if inode.kind() != FileKind::Directory {
            return Err(EvidenceError::refused(format!("inode {node} is not a directory")));
        }
        let mut listing = dir::read(self, &inode)?;
        if inode.is_encrypted() {
            let error =
                EvidenceError::unsupported("an encrypted directory (names are shown as stored)");
            listing.problems.push(error.to_problem(Place::Node(node)));
        }
        Ok(listing)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let inode = self.inode(node)?;
        if inode.kind() != FileKind::Symlink {
            return Err(EvidenceError::refused(format!("inode {node} is not a symbolic link")));
        }
        if inode.is_encrypted() {
            return Err(EvidenceError::unsupported(format!("the encrypted link inode {node}")));
        }
        if inode.size_bytes == 0 || inode.size_bytes > MAX_LINK_BYTES {
            let size = inode.size_bytes;
            return Err(EvidenceError::corrupt(format!(
                "link target of inode {node} is {size} bytes long"
            )));
        }
        let length = to_usize(inode.size_bytes);
        if inode.is_short_link() {
            return Ok(RawPath(inode.block_area.get(..length).unwrap_or(&[]).to_vec()));
        }
        let mut target = vec![0; length];
        let got = self.content(&inode, 0, &mut target)?;
        target.truncate(got);
        Ok(RawPath(target))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let inode = self.inode(node)?;
        if inode.kind() != FileKind::File {
            return Err(EvidenceError::refused(format!("inode {node} is not a regular file")));
        }
        if inode.is_encrypted() {
            return Err(EvidenceError::unsupported(format!("the encrypted file inode {node}")));
        }
        self.content(&inode, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let mut all = xattr::read(self, &self.inode(node)?)?;
        all.retain(|attribute| attribute.name.0 != b"system.data");
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        details::extents(self, node)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        details::read(self, node)
    }

    fn deleted(&self, limit: usize) -> DeletedListing {
        deleted::find(self, limit)
    }

    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        free::ranges(self)
    }
}
