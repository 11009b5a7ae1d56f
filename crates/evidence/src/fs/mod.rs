//! Read-only file systems: the trait every reader serves, and what it yields.
//!
//! Works by node (inode) and raw name bytes; paths, symbolic links and walks are built once on top, in [`tree`].

pub(crate) mod acl;
pub mod attributes;
pub mod content;
pub(crate) mod device;
pub mod digest;
pub mod extents;
pub mod glob;
pub mod mounts;
pub(crate) mod room;
pub mod select;
pub mod tree;

pub use attributes::{Attribute, Attributes};
pub use extents::{Extent, Stored};
pub use mounts::MountTree;

use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::problem::Problem;
use crate::time::Time;
use serde::{Serialize, Serializer};

/// A path inside an examined file system, as raw bytes; shown and serialised escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawPath(pub Vec<u8>);

impl RawPath {
    /// This path with one more name.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut out = Vec::with_capacity(self.0.len().saturating_add(name.len()).saturating_add(1));
        out.extend_from_slice(&self.0);
        if out.last() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(name);
        Self(out)
    }

    /// The last name of the path.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&[])
    }

    /// The path without its last name; `/` for what stands directly in the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Self(self.0.get(..cut.max(1)).unwrap_or(b"/").to_vec())
    }
}

impl From<&str> for RawPath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for RawPath {
    fn from(raw: &[u8]) -> Self {
        Self(raw.to_vec())
    }
}

impl AsRef<[u8]> for RawPath {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for RawPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::escape_bytes(&self.0))
    }
}

impl Serialize for RawPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A file, directory or other object of one file system: its inode number.
pub type Node = u64;

/// The type of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the usual word")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    BlockDevice,
    CharDevice,
    Fifo,
    Socket,
    Unknown,
}

/// What a file system records about an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Inode number, or what stands for it (see [`FileSystem::node_name`]).
    pub node: Node,
    /// Type.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky, without the type (`0o7777`); see [`Conventions::owners`].
    pub mode: u32,
    /// Owner; see [`Conventions::owners`].
    pub uid: u32,
    /// Group; see [`Conventions::owners`].
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last read, where recorded.
    pub accessed: Option<Time>,
    /// Last change of content, where recorded.
    pub modified: Option<Time>,
    /// Last change of the inode, where recorded.
    pub changed: Option<Time>,
    /// Creation, where recorded.
    pub born: Option<Time>,
    /// How often the inode has been used for another object, where the format counts it.
    pub generation: Option<u64>,
    /// Marks such as `immutable` or `compressed`.
    pub attributes: Attributes,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
}

impl Metadata {
    /// Whether it is marked immutable or append-only.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.attributes.has(Attribute::Immutable) || self.attributes.has(Attribute::AppendOnly)
    }
}

/// How the numbers of a file system are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Conventions {
    /// What its times count from.
    pub clock: Clock,
    /// Where mode and owners come from.
    pub owners: Owners,
    /// How names are compared.
    pub names: Names,
}

impl Conventions {
    /// UTC, recorded modes and owners, names equal byte for byte: every file system of Unix.
    pub const UNIX: Self =
        Self { clock: Clock::Utc, owners: Owners::Recorded, names: Names::Exact };
}

/// What the times of a file system count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Universal time.
    Utc,
    /// The local time of the machine that wrote it, whose zone the format does not keep.
    LocalUnknown,
}

/// Where mode and owners come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owners {
    /// They are recorded.
    Recorded,
    /// The format keeps none; mode is made up from its attributes and owners are 0.
    None,
}

/// How names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// Byte for byte.
    Exact,
    /// Without regard to case.
    CaseFolded,
}

/// Which state of a file system that was not put away cleanly is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// As a mount would make it: journal or log replayed in memory.
    #[default]
    Recovered,
    /// As the blocks stand, journal or log left alone.
    Raw,
}

/// A further stream of content beside the main one (NTFS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Its name, raw.
    pub name: RawPath,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// A fact one format keeps beyond the common ones, for `stat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// What it is, in the words of the format.
    pub name: &'static str,
    /// Its value, escaped.
    pub value: String,
}

/// An object whose name or inode the format has given up but not yet overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Its path as far as it can still be told; without a name, `/$OrphanFiles/` and its number as The Sleuth Kit shows.
    pub path: RawPath,
    /// The node to read what is left of it by, if the format still knows.
    pub node: Option<Node>,
    /// What is still recorded about it.
    pub metadata: Option<Metadata>,
    /// When it was deleted, where recorded.
    pub deleted: Option<Time>,
    /// Whether its inode or blocks belong to another object by now.
    pub is_reused: bool,
}

/// Deleted objects found, and what stood in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeletedListing {
    /// The objects, sorted by path, then node.
    pub entries: Vec<Deleted>,
    /// Parts that could not be read.
    pub problems: Vec<Problem>,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The name, raw.
    pub name: RawPath,
    /// What it names.
    pub node: Node,
}

/// A directory as read: names in their stored order, without `.` and `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The names.
    pub entries: Vec<Entry>,
    /// Parts that could not be read.
    pub problems: Vec<Problem>,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Xattr {
    /// Full name with its namespace, such as `security.capability`.
    pub name: RawPath,
    /// The value.
    pub value: Vec<u8>,
}

/// A file system opened for reading. No method writes, and none follows a name out of the file system.
pub trait FileSystem: Send + Sync {
    /// Its type, in lower case (`ext4`).
    fn kind(&self) -> &'static str;

    /// Its label, escaped.
    fn label(&self) -> Option<String>;

    /// Its UUID.
    fn uuid(&self) -> Option<String>;

    /// What was wrong or worth saying when it was opened.
    fn problems(&self) -> &[Problem];

    /// The root directory.
    fn root(&self) -> Node;

    /// What is recorded about an object.
    ///
    /// # Errors
    /// When the inode cannot be read or makes no sense.
    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError>;

    /// The names in a directory.
    ///
    /// # Errors
    /// When `node` is no directory or cannot be read at all; damaged parts are in [`Listing::problems`].
    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError>;

    /// The target of a symbolic link, raw.
    ///
    /// # Errors
    /// When `node` is no symbolic link or its target is longer than Linux allows.
    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError>;

    /// Reads file content at `offset_bytes`; fewer bytes than asked only at the end.
    ///
    /// # Errors
    /// When `node` is no regular file or its blocks cannot be read.
    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError>;

    /// Extended attributes, sorted by name.
    ///
    /// # Errors
    /// When they cannot be read, or [`EvidenceError::Unsupported`] where the reader has none.
    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError>;

    /// The root of a subvolume by its number; without one, the directory a mount shows when nothing else is asked for.
    ///
    /// # Errors
    /// When there is no such subvolume, or `Unsupported` where the format has none.
    fn subvolume(&self, id: Option<u64>) -> Result<Node, EvidenceError> {
        match id {
            None => Ok(self.root()),
            Some(_) => Err(EvidenceError::unsupported(format!("a subvolume of {}", self.kind()))),
        }
    }

    /// How times, owners and names are to be understood.
    fn conventions(&self) -> Conventions {
        Conventions::UNIX
    }

    /// The usual way to write a node of this file system: the inode number, if nothing better.
    fn node_name(&self, node: Node) -> String {
        node.to_string()
    }

    /// Where the content of an object lies, in order of its logical offset; holes are extents too.
    ///
    /// # Errors
    /// When the map cannot be read, or `Unsupported` where content is not kept in extents of one source.
    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let _ = node;
        Err(EvidenceError::unsupported(format!("the allocation of files on {}", self.kind())))
    }

    /// Streams of content beside the main one.
    ///
    /// # Errors
    /// When they cannot be read.
    fn streams(&self, node: Node) -> Result<Vec<Stream>, EvidenceError> {
        let _ = node;
        Ok(Vec::new())
    }

    /// Reads from a named stream, as [`FileSystem::read_at`] does from the main one.
    ///
    /// # Errors
    /// When there is no such stream or it cannot be read.
    fn read_stream_at(
        &self,
        node: Node,
        stream: &[u8],
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let _ = (node, offset_bytes, buf);
        Err(EvidenceError::NotFound { path: RawPath(stream.to_vec()) })
    }

    /// Facts this format alone keeps about an object.
    ///
    /// # Errors
    /// When they cannot be read.
    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        let _ = node;
        Ok(Vec::new())
    }

    /// Deleted objects that are still to be seen, at most `limit` of them; a problem says when there were more.
    fn deleted(&self, limit: usize) -> DeletedListing {
        let _ = limit;
        DeletedListing::default()
    }

    /// Byte ranges of the source that the file system counts as free: sorted, not overlapping.
    ///
    /// # Errors
    /// When allocation cannot be read, or `Unsupported` where the reader does not tell.
    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        Err(EvidenceError::unsupported(format!("the free space of {}", self.kind())))
    }
}

impl dyn FileSystem + '_ {
    /// The first `limit_bytes` of a file, and whether that was all of it.
    ///
    /// # Errors
    /// As [`FileSystem::read_at`].
    pub fn read_head(
        &self,
        node: Node,
        limit_bytes: usize,
    ) -> Result<(Vec<u8>, bool), EvidenceError> {
        let size = self.metadata(node)?.size_bytes;
        let mut out = vec![0; to_usize(size).min(limit_bytes)];
        let got = self.read_at(node, 0, &mut out)?;
        out.truncate(got);
        let whole = crate::bytes::to_u64(got) >= size;
        Ok((out, whole))
    }
}
