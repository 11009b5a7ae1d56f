//! A directory of a file system shown as a file system of its own: the root of a system inside a collection.
//!
//! Absolute links and `..` then end at that root, as they did where the system ran.

use super::{
    Conventions, Detail, Extent, FileSystem, Listing, Metadata, Node, RawPath, Stream, Xattr,
};
use crate::error::EvidenceError;
use crate::problem::Problem;
use std::sync::Arc;

/// Another file system from one of its directories on.
pub struct Subtree {
    inner: Arc<dyn FileSystem>,
    root: Node,
}

impl Subtree {
    /// `inner` as seen from the directory `root`.
    #[must_use]
    pub fn new(inner: Arc<dyn FileSystem>, root: Node) -> Self {
        Self { inner, root }
    }
}

/// Deleted objects and free space belong to the whole and are not shown here.
impl FileSystem for Subtree {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn label(&self) -> Option<String> {
        self.inner.label()
    }

    fn uuid(&self) -> Option<String> {
        self.inner.uuid()
    }

    fn problems(&self) -> &[Problem] {
        self.inner.problems()
    }

    fn root(&self) -> Node {
        self.root
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        self.inner.metadata(node)
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        self.inner.read_dir(node)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        self.inner.read_link(node)
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        self.inner.read_at(node, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        self.inner.xattrs(node)
    }

    fn conventions(&self) -> Conventions {
        self.inner.conventions()
    }

    fn node_name(&self, node: Node) -> String {
        self.inner.node_name(node)
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        self.inner.extents(node)
    }

    fn streams(&self, node: Node) -> Result<Vec<Stream>, EvidenceError> {
        self.inner.streams(node)
    }

    fn read_stream_at(
        &self,
        node: Node,
        stream: &[u8],
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        self.inner.read_stream_at(node, stream, offset_bytes, buf)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        self.inner.details(node)
    }
}
