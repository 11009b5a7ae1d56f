//! ext2, ext3 and ext4, read in user space with the journal overlaid in memory.
//!
//! A disk taken from a running machine has a journal with changes that are not yet in place. The kernel would replay it
//! by writing; this reader keeps the newest copy of each journaled block in a map and reads those instead, so that it
//! shows what the machine would have shown after a clean mount while the evidence stays as it is.
//!
//! Own reader, not a crate: evidence needs inode numbers, change times and extended attributes (file capabilities), must
//! go on past a damaged checksum or journal, and must bound what a hostile inode can make it allocate. The `ext4-view`
//! crate, e2fsprogs and The Sleuth Kit judge it in the tests.
//!
//! Read: extents and block maps, inline data, 64-bit, flexible and meta block groups, hashed and large directories,
//! attributes in inodes, blocks and value inodes. Not read: compression, encrypted names' clear text, fast commits
//! (recorded as a problem), external journals (likewise). Metadata checksums other than the journal's are not checked.

mod acl;
mod blocks;
mod dir;
mod inode;
mod journal;
mod superblock;
mod xattr;

use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fs::{FileKind, FileSystem, Listing, Metadata, Node, RawPath, View, Xattr};
use crate::problem::{Place, Problem};
use crate::source::Source;
use blocks::{Extent, Map};
use inode::Inode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use superblock::Superblock;

/// Blocks kept in memory: 16 MiB of the usual 4 KiB blocks.
const CACHE_BLOCKS: usize = 4096;
/// Longest link target Linux accepts, in bytes.
const MAX_LINK_BYTES: u64 = 4095;

/// An ext2, ext3 or ext4 file system.
pub struct Ext {
    source: Arc<dyn Source>,
    superblock: Superblock,
    /// Newest journaled copy of a block: file system block to the byte offset of the copy, and whether its first four
    /// bytes were escaped.
    overlay: HashMap<u64, journal::Copy>,
    cache: Mutex<HashMap<u64, Arc<[u8]>>>,
    /// The map of the file read last; sequential reading asks for it again and again.
    last_map: Mutex<Option<(Node, Arc<Map>)>>,
    problems: Vec<Problem>,
}

/// Poisoning cannot leave these caches half-changed in a way that matters, so a poisoned lock is used as it is.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the file system that begins at the start of `source`.
///
/// # Errors
/// As [`Ext::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(Ext::open(source)?))
}

impl Ext {
    /// Opens the file system that begins at the start of `source`.
    ///
    /// # Errors
    /// When there is no ext superblock, it makes no sense, or it needs a feature this reader lacks (named in the error).
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let raw = source.bytes_at(1024, 1024).map_err(EvidenceError::read("the ext superblock"))?;
        let superblock = Superblock::parse(&raw)?;
        let mut ext = Self {
            source,
            superblock,
            overlay: HashMap::new(),
            cache: Mutex::new(HashMap::new()),
            last_map: Mutex::new(None),
            problems: Vec::new(),
        };
        let (overlay, mut problems) = journal::load(&ext);
        ext.overlay = overlay;
        if !ext.overlay.is_empty() {
            locked(&ext.cache).clear();
            *locked(&ext.last_map) = None;
            // The superblock and the descriptors may themselves have newer copies in the journal.
            if let Ok(raw) = ext.read_through(1024, 1024)
                && let Ok(newer) = Superblock::parse(&raw)
                && newer.block_bytes == ext.superblock.block_bytes
            {
                ext.superblock = newer;
            }
        }
        ext.problems.append(&mut problems);
        Ok(ext)
    }

    /// Number of blocks that are read from the journal instead of from their place.
    #[must_use]
    pub fn overlaid_blocks(&self) -> usize {
        self.overlay.len()
    }

    /// Bytes at an offset of the file system, through the overlay; must not cross a block.
    fn read_through(&self, offset: u64, length: usize) -> Result<Vec<u8>, EvidenceError> {
        let block_bytes = self.superblock.block_bytes;
        let number = offset.checked_div(block_bytes).unwrap_or(0);
        let within = to_usize(offset.checked_rem(block_bytes).unwrap_or(0));
        let block = self.block(number)?;
        let part = within.checked_add(length).and_then(|end| block.get(within..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| {
            EvidenceError::corrupt(format!("{length} bytes at offset {offset} cross a block"))
        })
    }

    /// A block, through the overlay and the cache.
    fn block(&self, number: u64) -> Result<Arc<[u8]>, EvidenceError> {
        if let Some(block) = locked(&self.cache).get(&number) {
            return Ok(Arc::clone(block));
        }
        if number >= self.superblock.blocks {
            let total = self.superblock.blocks;
            return Err(EvidenceError::corrupt(format!(
                "block {number} lies beyond the file system's {total}"
            )));
        }
        let copy = self.overlay.get(&number);
        let offset = copy.map_or_else(
            || number.saturating_mul(self.superblock.block_bytes),
            |copy| copy.offset_bytes,
        );
        let mut raw = self
            .source
            .bytes_at(offset, to_usize(self.superblock.block_bytes))
            .map_err(EvidenceError::read(format!("block {number}")))?;
        if raw.len() != to_usize(self.superblock.block_bytes) {
            return Err(EvidenceError::corrupt(format!(
                "block {number} lies beyond the end of the source"
            )));
        }
        if copy.is_some_and(|copy| copy.is_escaped)
            && let Some(start) = raw.get_mut(..4)
        {
            start.copy_from_slice(&journal::MAGIC.to_be_bytes());
        }
        let block: Arc<[u8]> = raw.into();
        let mut cache = locked(&self.cache);
        if cache.len() >= CACHE_BLOCKS {
            cache.clear();
        }
        cache.insert(number, Arc::clone(&block));
        Ok(block)
    }

    fn inode(&self, node: Node) -> Result<Inode, EvidenceError> {
        inode::read(self, node)
    }

    /// Content of any inode that has some: inline, or by its map.
    fn content(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize, EvidenceError> {
        if inode.has_inline_data() {
            let data = self.inline_data(inode)?;
            let rest = data.get(to_usize(offset)..).unwrap_or(&[]);
            let count = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            return Ok(count);
        }
        let map = self.map(inode)?;
        blocks::read(self, &map, inode.size_bytes, offset, buf)
    }

    /// Inline data: sixty bytes in the inode, the rest in an attribute; never longer than the size recorded.
    fn inline_data(&self, inode: &Inode) -> Result<Vec<u8>, EvidenceError> {
        let mut data = inode.block_area.to_vec();
        let more = xattr::read(self, inode)?
            .into_iter()
            .find(|attribute| attribute.name.0 == b"system.data");
        data.extend(more.map(|attribute| attribute.value).unwrap_or_default());
        data.truncate(to_usize(inode.size_bytes));
        Ok(data)
    }

    fn map(&self, inode: &Inode) -> Result<Arc<Map>, EvidenceError> {
        if let Some((node, map)) = locked(&self.last_map).as_ref()
            && *node == inode.node
        {
            return Ok(Arc::clone(map));
        }
        let map = Arc::new(blocks::map(self, inode)?);
        *locked(&self.last_map) = Some((inode.node, Arc::clone(&map)));
        Ok(map)
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
        if inode.size_bytes == 0 || inode.size_bytes > MAX_LINK_BYTES {
            let size = inode.size_bytes;
            return Err(EvidenceError::corrupt(format!(
                "link target of inode {node} is {size} bytes long"
            )));
        }
        let length = to_usize(inode.size_bytes);
        // A target of less than sixty bytes stands in the inode itself and owns no block.
        if length < 60 && !inode.uses_extents() {
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
}

/// The bytes from `offset` that one extent can give, at most `wanted`.
fn span(extent: &Extent, block_bytes: u64, offset: u64, wanted: usize) -> usize {
    let end = extent.logical.saturating_add(extent.length).saturating_mul(block_bytes);
    to_usize(end.saturating_sub(offset)).min(wanted)
}
