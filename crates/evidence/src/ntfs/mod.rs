//! NTFS, read in user space from its Master File Table.
//!
//! Nodes are file references as directories hold them: record number and, above bit 48, the sequence number that says how
//! often the record was used. A name that leads to a record of another sequence is stale, and that is said, not followed.
//!
//! Own reader, not a crate: `ntfs` (0.4.0) reads through one `&mut` reader, which walking threads cannot share, and knows
//! neither compression nor deleted records; `ntfs-core` (0.9.8) too works by `&mut` and by paths as text, which loses
//! names with half surrogates. ntfs-3g, The Sleuth Kit and Dissect judge it in the tests.
//!
//! Read: fragmented MFT and its mirror, attribute lists, resident, sparse and LZNT1-compressed content, named streams,
//! reparse points, security descriptors, deleted records. Not read: encrypted content, deduplicated and cloud files (all
//! named). `$LogFile` is not replayed, so both views are the same.

mod boot;
mod content;
mod deleted;
mod details;
mod index;
mod info;
mod name;
mod object;
mod open;
mod record;
mod reparse;
mod runs;
mod secure;
mod space;
mod state;

use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fs::{
    Clock, Conventions, DeletedListing, Detail, Extent, FileKind, FileSystem, Listing, Metadata,
    Names, Node, Owners, RawPath, Stream, View, Xattr,
};
use crate::problem::Problem;
use crate::source::{Cached, Source};
use content::Content;
use object::Object;
use record::{Attribute, Record, kind, number_of};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The record of the root directory, and its sequence number, which never changes.
const ROOT: Node = 5 | 5 << 48;
/// Values kept ready for reading, each in the slot of its record.
const SLOTS: u64 = 16;
/// Larger values are kept one at a time.
const SLOT_BYTES: u64 = 2 << 20;

/// A value kept ready: the object, the name of the stream, the value.
type Slot = Mutex<Option<(Node, Vec<u8>, Arc<Content>)>>;

/// An NTFS volume.
pub struct Ntfs {
    source: Arc<dyn Source>,
    /// The source again, with what was read of records and indexes kept.
    metadata: Cached,
    geometry: boot::Geometry,
    /// The Master File Table as far as it is known.
    table: Content,
    /// Copies of the first records, for where the table is damaged.
    mirror: Vec<Option<Record>>,
    volume: state::Volume,
    security: OnceLock<secure::Descriptors>,
    slots: Vec<Slot>,
    problems: Vec<Problem>,
}

/// Opens the file system that begins at the start of `source`.
///
/// # Errors
/// As [`Ntfs::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(Ntfs::open(source)?))
}

impl Ntfs {
    /// A record by its number; the first few from their copies where the table is damaged.
    fn record(&self, number: u64) -> Result<Record, EvidenceError> {
        let bytes = self.geometry.record_bytes;
        let at = number.saturating_mul(bytes);
        if at.saturating_add(bytes) > self.table.size_bytes {
            let count = self.table.size_bytes.checked_div(bytes).unwrap_or(0);
            return Err(EvidenceError::corrupt(format!(
                "record {number} lies beyond the {count} of the MFT"
            )));
        }
        let mut raw = vec![0; to_usize(bytes)];
        let read = self.table.read(&self.metadata, at, &mut raw);
        let found = read.and_then(|_| Record::parse(number, raw));
        match (found, self.mirror.get(to_usize(number))) {
            (Err(_), Some(Some(copy))) => Ok(copy.clone()),
            (found, _) => found,
        }
    }

    /// Number of records in the table.
    fn records(&self) -> u64 {
        self.table.size_bytes.checked_div(self.geometry.record_bytes).unwrap_or(0)
    }

    fn join(&self, pieces: Vec<Attribute<'_>>, what: &str) -> Result<Content, EvidenceError> {
        Content::join(pieces, (self.geometry.cluster_bytes, self.geometry.clusters), what)
    }

    fn object(&self, node: Node) -> Result<Object, EvidenceError> {
        Object::load(self, node)
    }

    /// The content of a stream, empty name for the main one; kept for the next read.
    fn stream(&self, node: Node, stream: &[u8]) -> Result<Arc<Content>, EvidenceError> {
        let own = to_usize(number_of(node).checked_rem(SLOTS).unwrap_or(0));
        let large = to_usize(SLOTS);
        for slot in [own, large].iter().filter_map(|index| self.slots.get(*index)) {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((kept, name, content)) = slot.as_ref()
                && *kept == node
                && name == stream
            {
                return Ok(Arc::clone(content));
            }
        }
        let object = self.object(node)?;
        let content = if stream.is_empty() {
            self.main_stream(&object)?
        } else {
            let found = object.content(self, kind::DATA, stream)?;
            found.ok_or_else(|| EvidenceError::NotFound { path: RawPath(stream.to_vec()) })?
        };
        if content.is_encrypted() {
            let what = format!("the encrypted file, MFT record {}", object.base.number);
            return Err(EvidenceError::unsupported(what));
        }
        let content = Arc::new(content);
        let index = if content.memory_bytes() > SLOT_BYTES { large } else { own };
        if let Some(slot) = self.slots.get(index) {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            *slot = Some((node, stream.to_vec(), Arc::clone(&content)));
        }
        Ok(content)
    }

    /// The main content of a regular file.
    fn main_stream(&self, object: &Object) -> Result<Content, EvidenceError> {
        let number = object.base.number;
        let flags = info::Standard::read(object).flags;
        if info::kind_of(self, object, flags)?.0 != FileKind::File {
            return Err(EvidenceError::refused(format!(
                "MFT record {number} is not a regular file"
            )));
        }
        if let Some(what) =
            reparse::read(self, object)?.and_then(|reparse| reparse.missing_content(flags))
        {
            return Err(EvidenceError::unsupported(format!("{what}, MFT record {number}")));
        }
        match object.content(self, kind::DATA, b"")? {
            Some(content) => Ok(content),
            None => Content::join(vec![EMPTY], (self.geometry.cluster_bytes, 0), "nothing"),
        }
    }

    fn read_content(
        &self,
        content: &Content,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        content.read(&*self.source, offset_bytes, buf)
    }
}

/// A file without any main stream is an empty one.
const EMPTY: Attribute<'static> =
    Attribute { kind: kind::DATA, id: 0, flags: 0, name: b"", body: record::Body::Resident(b"") };

impl FileSystem for Ntfs {
    fn kind(&self) -> &'static str {
        "ntfs"
    }

    fn label(&self) -> Option<String> {
        self.volume.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        Some(format!("{:016X}", self.geometry.serial))
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        info::metadata(self, &self.object(node)?)
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let object = self.object(node)?;
        if !object.base.is_directory() {
            return Err(EvidenceError::refused(format!(
                "MFT record {} is not a directory",
                object.base.number
            )));
        }
        index::read(self, &object)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let object = self.object(node)?;
        let target = match reparse::read(self, &object)? {
            Some(reparse) => reparse.target(),
            None => reparse::interix_target(self, &object),
        };
        target.map(RawPath).ok_or_else(|| {
            EvidenceError::refused(format!("MFT record {} is not a link", object.base.number))
        })
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        self.read_content(&*self.stream(node, b"")?, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        details::xattrs(self, &self.object(node)?)
    }

    fn conventions(&self) -> Conventions {
        Conventions { clock: Clock::Utc, owners: Owners::None, names: Names::CaseFolded }
    }

    fn node_name(&self, node: Node) -> String {
        let number = number_of(node);
        let Ok(object) = self.object(node) else { return number.to_string() };
        let (kind, name) = if object.base.is_directory() {
            (kind::INDEX_ROOT, index::NAMES)
        } else {
            (kind::DATA, &b""[..])
        };
        // System files such as `$ObjId` have an index of another name, and no content.
        let any = || object.attributes().find(|attribute| attribute.kind == kind::INDEX_ROOT);
        match object.first(kind, name).or_else(any) {
            Some(attribute) => format!("{number}-{}-{}", attribute.kind, attribute.id),
            None => number.to_string(),
        }
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let object = self.object(node)?;
        let content = if object.base.is_directory() {
            object.content(self, kind::INDEX_ALLOCATION, index::NAMES)?
        } else {
            object.content(self, kind::DATA, b"")?
        };
        content.map_or(Ok(Vec::new()), |content| content.extents())
    }

    fn streams(&self, node: Node) -> Result<Vec<Stream>, EvidenceError> {
        Ok(details::streams(&self.object(node)?))
    }

    fn read_stream_at(
        &self,
        node: Node,
        stream: &[u8],
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        if stream.is_empty() {
            return Err(EvidenceError::NotFound { path: RawPath::default() });
        }
        self.read_content(&*self.stream(node, stream)?, offset_bytes, buf)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        details::read(self, &self.object(node)?)
    }

    fn deleted(&self, limit: usize) -> DeletedListing {
        deleted::find(self, limit)
    }

    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        space::free_ranges(self)
    }
}
