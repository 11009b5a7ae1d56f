//! A tar archive, plain or gzip, shown as a file system.
//!
//! Own reader, not the `tar` crate: that one reads a stream once and unpacks it; here members are read at any offset, by
//! node, with raw names, extended attributes and every time kept, and a damaged archive goes on behind the damage. GNU tar
//! and Python's `tarfile` judge it in the tests.
//!
//! Read: the form before POSIX, ustar, GNU (long names, sparse, base-256), extended headers (times, ids, attributes,
//! sparse in all three forms, global ones), hard links, archives one behind another. Not read: members that continue in
//! another volume.

mod header;
mod index;
mod pax;

use super::gzip::Gzip;
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{
    Attributes, Deleted, DeletedListing, Detail, Entry, Extent, FileKind, FileSystem, Listing,
    Metadata, Node, RawPath, Stored, Xattr,
};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use index::{Index, Member, ROOT};
use std::sync::Arc;

/// What is read at once and kept, so that headers and small files cost few reads.
const PIECE_BYTES: usize = 64 << 10;
const KEPT_BYTES: usize = 8 << 20;

/// An archive opened for reading.
pub struct Tar {
    source: Arc<dyn Source>,
    index: Index,
    is_packed: bool,
}

impl Tar {
    /// Reads the headers of the archive that begins at the start of `source`, which may be packed with gzip.
    ///
    /// # Errors
    /// When there is no header at all, or the source cannot be read; damage further on is among the problems.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let head = source.bytes_at(0, 4).map_err(EvidenceError::read("the head of an archive"))?;
        let mut problems = Vec::new();
        let is_packed = Gzip::is_here(&head);
        let source: Arc<dyn Source> = if is_packed {
            let gzip = Gzip::open(source)?;
            problems.extend(gzip.problems().iter().cloned());
            Arc::new(gzip)
        } else {
            source
        };
        let source: Arc<dyn Source> = Arc::new(Cached::new(source, PIECE_BYTES, KEPT_BYTES));
        let mut index = index::read(&*source)?;
        problems.append(&mut index.problems);
        index.problems = problems;
        Ok(Self { source, index, is_packed })
    }

    fn member(&self, node: Node) -> Result<&Member, EvidenceError> {
        self.index.get(node).ok_or_else(|| {
            let total = self.index.members.len();
            EvidenceError::corrupt(format!("member {node} of an archive of {total}"))
        })
    }
}

impl FileSystem for Tar {
    fn kind(&self) -> &'static str {
        "tar"
    }

    fn label(&self) -> Option<String> {
        self.index.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn problems(&self) -> &[Problem] {
        &self.index.problems
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let member = self.member(node)?;
        let [uid, gid] = member.owners;
        let [accessed, modified, changed, born] = member.times;
        Ok(Metadata {
            node,
            kind: member.kind,
            mode: member.mode,
            uid,
            gid,
            links: member.links,
            size_bytes: member.size_bytes,
            accessed,
            modified,
            changed,
            born,
            generation: None,
            attributes: Attributes::default(),
            device: member.device,
        })
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        if self.member(node)?.kind != FileKind::Directory {
            return Err(EvidenceError::refused(format!("member {node} is not a directory")));
        }
        let names = self.index.children.get(&node).into_iter().flatten();
        let entries = names.map(|(name, node)| Entry { name: RawPath(name.clone()), node: *node });
        Ok(Listing { entries: entries.collect(), problems: Vec::new() })
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let member = self.member(node)?;
        if member.kind != FileKind::Symlink {
            return Err(EvidenceError::refused(format!("member {node} is not a symbolic link")));
        }
        Ok(RawPath(member.link.clone()))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let member = self.member(node)?;
        if member.kind != FileKind::File {
            return Err(EvidenceError::refused(format!("member {node} is not a regular file")));
        }
        let total = to_usize(member.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let mut done = 0_usize;
        while done < total {
            let here = offset_bytes.saturating_add(to_u64(done));
            let Some(rest) = buf.get_mut(done..total) else { break };
            let next = member.data.partition_point(|piece| {
                piece.logical_bytes.saturating_add(piece.length_bytes) <= here
            });
            let piece = member.data.get(next);
            let count = match piece {
                Some(piece) if piece.logical_bytes <= here => {
                    let within = here.saturating_sub(piece.logical_bytes);
                    let count = to_usize(piece.length_bytes.saturating_sub(within)).min(rest.len());
                    let at = piece.at.saturating_add(within);
                    let part = rest.get_mut(..count).unwrap_or_default();
                    let reading = EvidenceError::read(format!("byte {at} of the archive"));
                    self.source.fill(at, part).map_err(reading)?;
                    count
                }
                _ => {
                    let end = piece.map_or(member.size_bytes, |piece| piece.logical_bytes);
                    let count = to_usize(end.saturating_sub(here)).min(rest.len());
                    rest.get_mut(..count).unwrap_or_default().fill(0);
                    count
                }
            };
            if count == 0 {
                break;
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let mut all = self.member(node)?.xattrs.clone();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Where the content stands in the archive, when that is not itself packed.
    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let member = self.member(node)?;
        if self.is_packed {
            return Err(EvidenceError::unsupported("the allocation of files in a packed archive"));
        }
        let mut out = Vec::new();
        let mut end = 0_u64;
        let hole = |from: u64, to: u64| {
            let length_bytes = to.saturating_sub(from);
            let stored = Stored::Hole;
            (length_bytes > 0).then_some(Extent { logical_bytes: from, length_bytes, stored })
        };
        for piece in &member.data {
            out.extend(hole(end, piece.logical_bytes));
            let (logical_bytes, length_bytes) = (piece.logical_bytes, piece.length_bytes);
            out.push(Extent { logical_bytes, length_bytes, stored: Stored::At(piece.at) });
            end = logical_bytes.saturating_add(length_bytes);
        }
        if member.kind == FileKind::File {
            out.extend(hole(end, member.size_bytes));
        }
        Ok(out)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        let member = self.member(node)?;
        let mut out = Vec::new();
        let [user, group] = &member.names;
        for (name, value) in [("user name", user), ("group name", group)] {
            if !value.is_empty() {
                out.push(Detail { name, value: crate::escape_bytes(value) });
            }
        }
        let header =
            member.header_at.map_or("none: the folder is implied".to_owned(), |at| at.to_string());
        out.push(Detail { name: "header at byte", value: header });
        Ok(out)
    }

    /// Members that a later one of the same name replaces.
    fn deleted(&self, limit: usize) -> DeletedListing {
        let mut listing = DeletedListing::default();
        for (path, node) in self.index.replaced.iter().take(limit) {
            listing.entries.push(Deleted {
                path: path.clone(),
                node: Some(*node),
                metadata: self.metadata(*node).ok(),
                deleted: None,
                is_reused: false,
            });
        }
        if self.index.replaced.len() > limit {
            let text =
                format!("{} members were replaced; {limit} are shown", self.index.replaced.len());
            listing.problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
        }
        listing.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
        listing
    }
}
