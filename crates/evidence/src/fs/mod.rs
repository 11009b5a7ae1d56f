//! Read-only file systems: the trait every reader serves, and what it yields.
//!
//! Works by node (inode) and raw name bytes; paths, symbolic links and walks are built once on top, in [`tree`].

pub mod tree;

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
        let mut out = self.0.clone();
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
    /// Inode number.
    pub node: Node,
    /// Type.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky, without the type (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last read.
    pub accessed: Time,
    /// Last change of content.
    pub modified: Time,
    /// Last change of the inode.
    pub changed: Time,
    /// Creation, where recorded.
    pub born: Option<Time>,
    /// Whether it is marked immutable or append-only.
    pub is_sealed: bool,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
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
