//! Records that are no longer in use but still tell a name.
//!
//! Deleting a file adds one to the sequence number of its record. A parent whose number is what the name expects is still
//! there; one more, and not in use, it was deleted too; anything else, the record of the parent belongs to another object
//! and the path above the name is lost.

use super::index::bit;
use super::name::{FileName, Space};
use super::object::Object;
use super::record::{Record, kind, number_of, sequence_of};
use super::runs::Place;
use super::{Ntfs, ROOT, info, space};
use crate::bytes::{to_u64, to_usize};
use crate::fs::{Deleted, DeletedListing, Node, RawPath};
use crate::problem::{Place as At, Problem, ProblemKind};
use std::collections::HashMap;
use std::ops::Range;

/// Records read at once.
const PIECE_BYTES: u64 = 1 << 20;
/// Deepest path told.
const MAX_DEPTH: usize = 256;
/// Longest path told, in bytes.
const MAX_PATH_BYTES: usize = 32 * 1024;
/// Bitmap looked at to tell whether clusters belong to others: 1 TiB of clusters of 4 KiB.
const MAX_BITMAP_BYTES: u64 = 32 << 20;
/// Clusters of one file looked up.
const MAX_CLUSTERS: u64 = 1 << 16;
const MAX_PROBLEMS: usize = 64;
/// Where The Sleuth Kit shows what has no path.
const ORPHANS: &[u8] = b"/$OrphanFiles";

/// Goes through the whole table.
pub(super) fn find(ntfs: &Ntfs, limit: usize) -> DeletedListing {
    let mut out = DeletedListing::default();
    let bitmap = match space::bitmap(ntfs, MAX_BITMAP_BYTES) {
        Ok(bitmap) => bitmap,
        Err(error) => {
            out.problems.push(error.to_problem(At::Source));
            Vec::new()
        }
    };
    let mut search = Search { ntfs, bitmap, directories: HashMap::new() };
    let record_bytes = ntfs.geometry.record_bytes;
    let mut buf = vec![0; to_usize(PIECE_BYTES.max(record_bytes))];
    let ranges = stored(ntfs, &mut out.problems);
    for Range { start, end } in ranges {
        let mut number = start;
        while number < end {
            let at = number.saturating_mul(record_bytes);
            let got = match ntfs.read_content(&ntfs.table, at, &mut buf) {
                Ok(got) => got,
                Err(error) => {
                    if out.problems.len() < MAX_PROBLEMS {
                        out.problems.push(error.to_problem(At::Node(number)));
                    }
                    0
                }
            };
            let records = buf.get(..got).unwrap_or(&[]).chunks_exact(to_usize(record_bytes));
            for (number, raw) in (number..end).zip(records) {
                // Bit 0 of the flags: in use. Only the others are worth parsing.
                let is_candidate =
                    raw.starts_with(b"FILE") && raw.get(0x16).is_some_and(|b| b & 1 == 0);
                let Some(found) = is_candidate.then(|| search.record(number, raw)).flatten() else {
                    continue;
                };
                if out.entries.len() >= limit {
                    let text = format!("more than {limit} deleted records; the rest is not listed");
                    out.problems.push(Problem::new(ProblemKind::Refused, At::Source, text));
                    return sorted(out);
                }
                out.entries.push(found);
            }
            let step = to_u64(buf.len()).checked_div(record_bytes).unwrap_or(1).max(1);
            number = number.saturating_add(step);
        }
    }
    sorted(out)
}

/// The numbers of the records that have clusters, in order, each once. A table may claim holes of any length, and no more
/// clusters than the volume has can be its own: both bound the search by the volume, not by what the table says.
fn stored(ntfs: &Ntfs, problems: &mut Vec<Problem>) -> Vec<Range<u64>> {
    let record_bytes = ntfs.geometry.record_bytes.max(1);
    let cluster_bytes = ntfs.geometry.cluster_bytes;
    let mut left = ntfs.geometry.clusters;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for run in ntfs.table.runs().iter().filter(|run| matches!(run.place, Place::At(_))) {
        let length = run.length.min(left);
        let first = run.logical.saturating_mul(cluster_bytes).checked_div(record_bytes);
        let end = run.logical.saturating_add(length).saturating_mul(cluster_bytes);
        let last = ranges.last().map_or(0, |range| range.end);
        let range = first.unwrap_or(0).max(last)..end.div_ceil(record_bytes).min(ntfs.records());
        if !range.is_empty() {
            ranges.push(range);
        }
        left = left.saturating_sub(length);
        if left == 0 && length < run.length {
            let text = format!(
                "the MFT claims more than the {} clusters of the volume; records after {} are not searched for deleted \
                 names",
                ntfs.geometry.clusters,
                ranges.last().map_or(0, |range| range.end)
            );
            problems.push(Problem::new(ProblemKind::Corrupt, At::Source, text));
            break;
        }
    }
    ranges
}

fn sorted(mut out: DeletedListing) -> DeletedListing {
    out.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
    out
}

struct Search<'a> {
    ntfs: &'a Ntfs,
    bitmap: Vec<u8>,
    /// Paths of directories by the reference names use; `None` where the record belongs to another object.
    directories: HashMap<Node, Option<RawPath>>,
}

impl Search<'_> {
    fn record(&mut self, number: u64, raw: &[u8]) -> Option<Deleted> {
        let record = Record::parse(number, raw.to_vec()).ok()?;
        if record.base() != 0 {
            return None;
        }
        let object = Object::complete(self.ntfs, record).ok()?;
        let path = match proper_name(&object) {
            Some(name) => {
                let parent = self.directory(name.parent, MAX_DEPTH);
                let parent = parent.unwrap_or_else(|| RawPath(ORPHANS.to_vec()));
                parent.join(&clean(&name.name))
            }
            // A record without name or content tells nothing.
            None if object.first(kind::DATA, b"").is_some() => {
                RawPath(ORPHANS.to_vec()).join(format!("OrphanFile-{number}").as_bytes())
            }
            None => return None,
        };
        Some(Deleted {
            path,
            node: Some(object.node()),
            metadata: info::metadata(self.ntfs, &object).ok(),
            deleted: None,
            is_reused: self.is_reused(&object),
        })
    }

    /// The path of the directory a name refers to, deleted or not.
    fn directory(&mut self, reference: Node, depth: usize) -> Option<RawPath> {
        if number_of(reference) == number_of(ROOT) {
            return Some(RawPath::from("/"));
        }
        if let Some(known) = self.directories.get(&reference) {
            return known.clone();
        }
        // Also ends loops: a directory above itself has no path.
        self.directories.insert(reference, None);
        let path = self.directory_path(reference, depth);
        self.directories.insert(reference, path.clone());
        path
    }

    fn directory_path(&mut self, reference: Node, depth: usize) -> Option<RawPath> {
        let record = self.ntfs.record(number_of(reference)).ok()?;
        let expected = sequence_of(reference);
        let is_it = record.sequence() == expected
            || (!record.is_in_use() && record.sequence() == expected.wrapping_add(1));
        if !is_it || !record.is_directory() {
            return None;
        }
        let name = proper_name(&Object::complete(self.ntfs, record).ok()?)?;
        let parent = self.directory(name.parent, depth.checked_sub(1)?)?;
        let path = parent.join(&clean(&name.name));
        (path.0.len() <= MAX_PATH_BYTES).then_some(path)
    }

    /// Whether a cluster of its content belongs to another object by now.
    fn is_reused(&self, object: &Object) -> bool {
        let Ok(Some(content)) = object.content(self.ntfs, kind::DATA, b"") else { return false };
        let mut left = MAX_CLUSTERS;
        for run in content.runs() {
            if let Place::At(first) = run.place {
                let count = run.length.min(left);
                if (first..first.saturating_add(count)).any(|cluster| bit(&self.bitmap, cluster)) {
                    return true;
                }
                left = left.saturating_sub(count);
            }
        }
        false
    }
}

/// The name people used, else the DOS name.
fn proper_name(object: &Object) -> Option<FileName> {
    let mut names: Vec<FileName> = object.names().collect();
    names.sort_by_key(|name| name.space == Space::Dos);
    names.into_iter().next()
}

/// A name that can stand in a path.
fn clean(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if matches!(byte, b'/' | 0) { b'_' } else { *byte }).collect()
}
