//! The value of an attribute, wherever it stands: in the record, in clusters, with holes, compressed.
//!
//! Plain runs are read straight into the caller's buffer. A compressed value is made of units (16 clusters as a rule), each
//! either whole, empty or shorter than a unit, which marks it as compressed.

use super::record::{Attribute, Body, FLAG_COMPRESSED, FLAG_ENCRYPTED};
use super::runs::{self, Place, Run};
use crate::bytes::{to_u64, to_usize};
use crate::codec;
use crate::error::EvidenceError;
use crate::fs::{Extent, Stored};
use crate::source::Source;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest compression unit; Windows uses 64 KiB.
const MAX_UNIT_BYTES: u64 = 1 << 20;

/// A value ready to be read.
pub(super) struct Content {
    pub(super) size_bytes: u64,
    pub(super) initialized_bytes: u64,
    pub(super) flags: u16,
    cluster_bytes: u64,
    /// Clusters in a compression unit; 0 when not compressed.
    unit_clusters: u64,
    stored: Kept,
    /// The unit decompressed last; small reads come back to it.
    last_unit: Mutex<Option<(u64, Arc<[u8]>)>>,
}

/// What the clusters of a compression unit hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Packed,
}

enum Kept {
    Resident(Vec<u8>),
    Runs(Vec<Run>),
}

impl Content {
    /// Joins the pieces of one value; `what` names it in errors.
    pub(super) fn join(
        mut pieces: Vec<Attribute<'_>>,
        (cluster_bytes, volume_clusters): (u64, u64),
        what: &str,
    ) -> Result<Self, EvidenceError> {
        pieces.sort_by_key(|attribute| match attribute.body {
            Body::Resident(_) => 0,
            Body::Clusters(piece) => piece.first_cluster,
        });
        let first = pieces.first().filter(|first| first.is_first()).ok_or_else(|| {
            EvidenceError::corrupt(format!("{what}: the part that tells its size is missing"))
        })?;
        let mut content = Self {
            size_bytes: first.size_bytes(),
            initialized_bytes: first.size_bytes(),
            flags: first.flags,
            cluster_bytes,
            unit_clusters: 0,
            stored: Kept::Runs(Vec::new()),
            last_unit: Mutex::default(),
        };
        let head = match first.body {
            Body::Resident(value) => {
                content.stored = Kept::Resident(value.to_vec());
                return Ok(content);
            }
            Body::Clusters(head) => head,
        };
        content.initialized_bytes = head.initialized_bytes.min(head.size_bytes);
        if first.flags & FLAG_COMPRESSED != 0 {
            let clusters = 1_u64.checked_shl(u32::from(head.unit_shift)).unwrap_or(u64::MAX);
            if head.unit_shift == 0 || clusters.saturating_mul(cluster_bytes) > MAX_UNIT_BYTES {
                return Err(EvidenceError::corrupt(format!(
                    "{what}: compression units of {clusters} clusters of {cluster_bytes} bytes"
                )));
            }
            content.unit_clusters = clusters;
        }
        let mut all = Vec::new();
        for attribute in &pieces {
            if let Body::Clusters(piece) = attribute.body {
                runs::decode(piece.runs, piece.first_cluster, volume_clusters, &mut all)
                    .map_err(|error| EvidenceError::corrupt(format!("{what}: {error}")))?;
            }
        }
        content.stored = Kept::Runs(all);
        Ok(content)
    }

    /// Memory this value keeps.
    pub(super) fn memory_bytes(&self) -> u64 {
        match &self.stored {
            Kept::Resident(value) => to_u64(value.len()),
            Kept::Runs(all) => runs::memory_bytes(all)
                .saturating_add(self.unit_clusters.saturating_mul(self.cluster_bytes)),
        }
    }

    /// The runs, none for a resident value.
    pub(super) fn runs(&self) -> &[Run] {
        match &self.stored {
            Kept::Resident(_) => &[],
            Kept::Runs(all) => all,
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & FLAG_ENCRYPTED != 0
    }

    /// Reads at `offset`; fewer bytes than asked only at the end of the value.
    pub(super) fn read(
        &self,
        source: &dyn Source,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let wanted = to_usize(self.size_bytes.saturating_sub(offset)).min(buf.len());
        let Some(buf) = buf.get_mut(..wanted).filter(|buf| !buf.is_empty()) else { return Ok(0) };
        match &self.stored {
            Kept::Resident(value) => {
                let from = value.get(to_usize(offset)..).unwrap_or(&[]);
                if let Some(from) = from.get(..wanted) {
                    buf.copy_from_slice(from);
                }
            }
            Kept::Runs(all) => {
                // What was never written reads as zeros, whatever stands in the clusters.
                let written = to_usize(self.initialized_bytes.saturating_sub(offset)).min(wanted);
                let (head, tail) = buf.split_at_mut(written);
                tail.fill(0);
                if self.unit_clusters == 0 {
                    self.plain(source, all, offset, head)?;
                } else {
                    self.compressed(source, all, offset, head)?;
                }
            }
        }
        Ok(wanted)
    }

    /// Fills `buf` from runs.
    fn plain(
        &self,
        source: &dyn Source,
        all: &[Run],
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), EvidenceError> {
        let mut at = offset;
        let mut rest = buf;
        let start = offset.checked_div(self.cluster_bytes).unwrap_or(0);
        for run in runs::from(all, start) {
            if rest.is_empty() {
                break;
            }
            let end = run.end().saturating_mul(self.cluster_bytes);
            let count = to_usize(end.saturating_sub(at)).min(rest.len());
            let (part, after) = std::mem::take(&mut rest).split_at_mut(count);
            rest = after;
            match run.place {
                Place::Hole => part.fill(0),
                Place::Lost => {
                    return Err(EvidenceError::corrupt(format!(
                        "the runs from byte {at} to {end} are told by a record that is not readable"
                    )));
                }
                Place::At(cluster) => {
                    let skip = at.saturating_sub(run.logical.saturating_mul(self.cluster_bytes));
                    let from = cluster.saturating_mul(self.cluster_bytes).saturating_add(skip);
                    source.fill(from, part).map_err(EvidenceError::read(format!(
                        "{count} bytes at cluster {cluster}"
                    )))?;
                }
            }
            at = at.saturating_add(to_u64(count));
        }
        if rest.is_empty() {
            return Ok(());
        }
        let size = self.size_bytes;
        Err(EvidenceError::corrupt(format!("the runs end at byte {at} of {size}")))
    }

    fn compressed(
        &self,
        source: &dyn Source,
        all: &[Run],
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), EvidenceError> {
        let unit_bytes = self.unit_clusters.saturating_mul(self.cluster_bytes);
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let number = at.checked_div(unit_bytes).unwrap_or(0);
            let within = to_usize(at.checked_rem(unit_bytes).unwrap_or(0));
            let count = to_usize(unit_bytes).saturating_sub(within).min(rest.len());
            let (part, after) = std::mem::take(&mut rest).split_at_mut(count);
            rest = after;
            let unit = self.unit(source, all, number, to_usize(unit_bytes))?;
            match unit.get(within..within.saturating_add(count)) {
                Some(from) => part.copy_from_slice(from),
                None => part.fill(0),
            }
            at = at.saturating_add(to_u64(count));
        }
        Ok(())
    }

    /// One unit, decompressed; empty for one that is all hole.
    fn unit(
        &self,
        source: &dyn Source,
        all: &[Run],
        number: u64,
        unit_bytes: usize,
    ) -> Result<Arc<[u8]>, EvidenceError> {
        let mut last = self.last_unit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, unit)) = last.as_ref().filter(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(unit));
        }
        let first = number.saturating_mul(self.unit_clusters);
        let (packed_clusters, form) = self.allocated(all, first)?;
        let mut raw = vec![0; to_usize(packed_clusters.saturating_mul(self.cluster_bytes))];
        self.plain(source, all, first.saturating_mul(self.cluster_bytes), &mut raw)?;
        let unit: Arc<[u8]> = if form == Form::Plain {
            raw.into()
        } else {
            let mut unit = codec::lznt1(&raw, unit_bytes)
                .map_err(|error| EvidenceError::corrupt(format!("unit {number}: {error}")))?;
            unit.resize(unit_bytes, 0);
            unit.into()
        };
        *last = Some((number, Arc::clone(&unit)));
        Ok(unit)
    }

    /// How many clusters of the unit from `first` on are on the disk, and what they hold: data before a hole is packed.
    fn allocated(&self, all: &[Run], first: u64) -> Result<(u64, Form), EvidenceError> {
        let end = first.saturating_add(self.unit_clusters);
        let mut count = 0_u64;
        for run in runs::from(all, first).iter().take_while(|run| run.logical < end) {
            let part = run.end().min(end).saturating_sub(run.logical.max(first));
            match run.place {
                Place::At(_) => count = count.saturating_add(part),
                Place::Hole => {
                    let form = if count == 0 { Form::Plain } else { Form::Packed };
                    return Ok((count, form));
                }
                Place::Lost => {
                    return Err(EvidenceError::corrupt(format!(
                        "the runs from cluster {first} are told by a record that is not readable"
                    )));
                }
            }
        }
        Ok((count, Form::Plain))
    }

    /// Where the value lies, in order.
    pub(super) fn extents(&self) -> Result<Vec<Extent>, EvidenceError> {
        let all = match &self.stored {
            Kept::Resident(value) => {
                let length_bytes = to_u64(value.len());
                let stored = Stored::Inline;
                return Ok(vec![Extent { logical_bytes: 0, length_bytes, stored }]);
            }
            Kept::Runs(all) => all,
        };
        let mut out = Vec::new();
        // A cluster that was begun counts as written.
        let written = self.initialized_bytes.div_ceil(self.cluster_bytes);
        for run in all {
            match run.place {
                Place::At(at) if self.unit_clusters != 0 => self.packed(run, at, all, &mut out),
                Place::At(at) => {
                    let split = written.clamp(run.logical, run.end());
                    let first = split.saturating_sub(run.logical);
                    let bytes = |clusters: u64| clusters.saturating_mul(self.cluster_bytes);
                    self.push(run.logical, first, Stored::At(bytes(at)), &mut out);
                    let after = at.saturating_add(first);
                    let left = run.end().saturating_sub(split);
                    self.push(split, left, Stored::Unwritten(bytes(after)), &mut out);
                }
                Place::Hole => {
                    // The hole behind a compressed part belongs to that part.
                    let skip = self.hole_skipped(run, all);
                    let length = run.length.saturating_sub(skip);
                    self.push(run.logical.saturating_add(skip), length, Stored::Hole, &mut out);
                }
                Place::Lost => {
                    return Err(EvidenceError::corrupt(format!(
                        "the runs from cluster {} are told by a record that is not readable",
                        run.logical
                    )));
                }
            }
        }
        Ok(out)
    }

    fn push(&self, first: u64, clusters: u64, stored: Stored, out: &mut Vec<Extent>) {
        if clusters > 0 {
            out.push(Extent {
                logical_bytes: first.saturating_mul(self.cluster_bytes),
                length_bytes: clusters.saturating_mul(self.cluster_bytes),
                stored,
            });
        }
    }

    /// The parts of an allocated run of a compressed value: whole units as they are, others packed.
    fn packed(&self, run: &Run, at: u64, all: &[Run], out: &mut Vec<Extent>) {
        let bytes = |clusters: u64| clusters.saturating_mul(self.cluster_bytes);
        let mut logical = run.logical;
        while logical < run.end() {
            let unit = logical.checked_div(self.unit_clusters).unwrap_or(0);
            let first = unit.saturating_mul(self.unit_clusters);
            let unit_end = first.saturating_add(self.unit_clusters);
            let end = unit_end.min(run.end());
            let length = end.saturating_sub(logical);
            let place = bytes(at.saturating_add(logical.saturating_sub(run.logical)));
            let (allocated, form) = self.allocated(all, first).unwrap_or((0, Form::Plain));
            let previous = out.last_mut().filter(|last| {
                last.stored == Stored::At(place.saturating_sub(last.length_bytes))
                    && last.logical_bytes.saturating_add(last.length_bytes) == bytes(logical)
            });
            if form == Form::Packed {
                // The last part of a unit stands for the rest of it.
                let is_last = end.saturating_sub(first) >= allocated;
                let span = if is_last { unit_end.saturating_sub(logical) } else { length };
                let stored = Stored::Packed { at: place, length_bytes: bytes(length) };
                self.push(logical, span, stored, out);
            } else if let Some(last) = previous {
                last.length_bytes = last.length_bytes.saturating_add(bytes(length));
            } else {
                self.push(logical, length, Stored::At(place), out);
            }
            logical = end;
        }
    }

    /// Clusters at the start of a hole that a compressed part before it stands for.
    fn hole_skipped(&self, hole: &Run, all: &[Run]) -> u64 {
        let within = hole.logical.checked_rem(self.unit_clusters).unwrap_or(0);
        let first = hole.logical.saturating_sub(within);
        if within == 0 || !matches!(self.allocated(all, first), Ok((_, Form::Packed))) {
            return 0;
        }
        self.unit_clusters.saturating_sub(within).min(hole.length)
    }
}
