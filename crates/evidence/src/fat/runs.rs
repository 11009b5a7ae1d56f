//! Where the clusters of a file lie, and reading through that map; shared by FAT and exFAT.
//!
//! A chain is followed once and kept as runs. Content is read straight into the caller's buffer, run by run.

use super::table::{Link, Table};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{Extent, Node, Stored};
use crate::source::Source;
use std::sync::{Arc, Mutex, PoisonError};

/// Most pieces of one file: 48 MiB of memory.
const MAX_RUNS: usize = 4 << 20;

/// The area of clusters; the first is number 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heap {
    pub(crate) start_bytes: u64,
    pub(crate) cluster_bytes: u64,
    pub(crate) clusters: u32,
}

impl Heap {
    /// First byte of a cluster.
    pub(crate) fn offset(&self, cluster: u32) -> u64 {
        u64::from(cluster)
            .saturating_sub(2)
            .saturating_mul(self.cluster_bytes)
            .saturating_add(self.start_bytes)
    }

    /// First byte after the last cluster.
    pub(crate) fn end_bytes(&self) -> u64 {
        self.offset(self.clusters.saturating_add(2))
    }

    /// The cluster a byte of the source lies in.
    pub(crate) fn cluster_at(&self, offset_bytes: u64) -> Option<u32> {
        let index = offset_bytes.checked_sub(self.start_bytes)?.checked_div(self.cluster_bytes)?;
        let index = u32::try_from(index).ok().filter(|index| *index < self.clusters)?;
        index.checked_add(2)
    }

    /// How many clusters so many bytes fill.
    pub(crate) fn clusters_for(&self, size_bytes: u64) -> u64 {
        size_bytes.div_ceil(self.cluster_bytes.max(1))
    }

    /// Byte ranges of runs of clusters.
    pub(crate) fn ranges(&self, runs: &[(u32, u32)]) -> Vec<std::ops::Range<u64>> {
        runs.iter()
            .map(|(first, count)| self.offset(*first)..self.offset(first.saturating_add(*count)))
            .collect()
    }
}

/// Clusters that follow each other on the disk and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index of the first within the file.
    pub(crate) index: u32,
    /// Its number.
    pub(crate) cluster: u32,
    pub(crate) count: u32,
}

/// The clusters of a file in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) list: Vec<Run>,
    /// How many clusters all runs have.
    pub(crate) count: u32,
    /// Why there are no more, where that was not the regular end.
    pub(crate) broken: Option<String>,
}

impl Runs {
    /// Follows a chain for at most `most` clusters.
    pub(crate) fn follow(table: &Table, first: u32, most: u64) -> Self {
        let mut runs = Self::default();
        let mut cursor = table.cursor();
        let mut seen: Option<Seen> = None;
        let mut at = first;
        loop {
            if u64::from(runs.count) >= most {
                return runs;
            }
            if runs.list.len() >= MAX_RUNS {
                runs.broken = Some(format!("it lies in more than {MAX_RUNS} pieces"));
                return runs;
            }
            if !table.holds(at) {
                let last = table.clusters.saturating_add(1);
                runs.broken = Some(format!("cluster {at} is not one of 2 to {last}"));
                return runs;
            }
            runs.push(at);
            if let Some(seen) = &mut seen {
                seen.mark(at);
            }
            let next = match cursor.link(at) {
                Ok(Link::Next(next)) => next,
                Ok(Link::End) => return runs,
                Ok(Link::Free) => {
                    runs.broken = Some(format!("cluster {at} of the chain is marked free"));
                    return runs;
                }
                Ok(Link::Bad) => {
                    runs.broken = Some(format!("cluster {at} of the chain is marked bad"));
                    return runs;
                }
                Err(error) => {
                    runs.broken = Some(format!("after cluster {at}: {error}"));
                    return runs;
                }
            };
            // Only a step backwards can close a loop; most chains never take one, and need no memory of themselves.
            if next <= at && seen.is_none() {
                seen = Some(Seen::of(&runs, table.clusters));
            }
            if seen.as_ref().is_some_and(|seen| seen.has(next)) {
                runs.broken = Some(format!("the chain returns from cluster {at} to {next}"));
                return runs;
            }
            at = next;
        }
    }

    /// So many clusters in a row, without asking the table (exFAT keeps some files that way).
    pub(crate) fn straight(table: &Table, first: u32, count: u64) -> Self {
        let mut runs = Self::default();
        if count == 0 {
            return runs;
        }
        let last = table.clusters.saturating_add(1);
        if !table.holds(first) {
            runs.broken = Some(format!("cluster {first} is not one of 2 to {last}"));
            return runs;
        }
        let available = last.saturating_sub(first).saturating_add(1);
        let taken = u32::try_from(count).unwrap_or(u32::MAX).min(available);
        if u64::from(taken) < count {
            runs.broken = Some(format!("{count} clusters from {first} on end after {last}"));
        }
        runs.list.push(Run { index: 0, cluster: first, count: taken });
        runs.count = taken;
        runs
    }

    /// The guess for a deleted file whose chain is gone: from its first cluster on, the next that are free.
    ///
    /// What lies in between belongs to others, and most likely did when the file was written.
    pub(crate) fn guess(
        first: u32,
        count: u64,
        last: u32,
        mut is_free: impl FnMut(u32) -> Result<bool, EvidenceError>,
    ) -> Self {
        let mut runs = Self::default();
        let mut at = first;
        while u64::from(runs.count) < count {
            if at > last {
                runs.broken = Some(format!("there are only {} free clusters", runs.count));
                return runs;
            }
            match is_free(at) {
                Ok(true) => runs.push(at),
                Ok(false) if at == first => {
                    runs.broken = Some(format!("cluster {at} belongs to another file by now"));
                    return runs;
                }
                Ok(false) => {}
                Err(error) => {
                    runs.broken = Some(error.to_string());
                    return runs;
                }
            }
            at = at.saturating_add(1);
        }
        runs
    }

    fn push(&mut self, cluster: u32) {
        match self.list.last_mut() {
            Some(run) if run.cluster.saturating_add(run.count) == cluster => {
                run.count = run.count.saturating_add(1);
            }
            _ => self.list.push(Run { index: self.count, cluster, count: 1 }),
        }
        self.count = self.count.saturating_add(1);
    }

    /// Why a file of `needed` clusters cannot be read to its end, if so.
    pub(crate) fn shortage(&self, needed: u64) -> Option<String> {
        if u64::from(self.count) >= needed {
            return None;
        }
        let why = self.broken.as_deref().unwrap_or("the chain ends");
        Some(format!("{why}, after {} of {needed} clusters", self.count))
    }

    /// The runs as extents of a file of which `valid_bytes` were ever written.
    pub(crate) fn extents(&self, heap: &Heap, valid_bytes: u64) -> Vec<Extent> {
        let mut out = Vec::new();
        for run in &self.list {
            let logical = u64::from(run.index).saturating_mul(heap.cluster_bytes);
            let length = u64::from(run.count).saturating_mul(heap.cluster_bytes);
            let at = heap.offset(run.cluster);
            let written = valid_bytes
                .div_ceil(heap.cluster_bytes.max(1))
                .saturating_mul(heap.cluster_bytes)
                .saturating_sub(logical)
                .min(length);
            if written > 0 {
                let stored = Stored::At(at);
                out.push(Extent { logical_bytes: logical, length_bytes: written, stored });
            }
            if written < length {
                out.push(Extent {
                    logical_bytes: logical.saturating_add(written),
                    length_bytes: length.saturating_sub(written),
                    stored: Stored::Unwritten(at.saturating_add(written)),
                });
            }
        }
        out
    }
}

/// A file as its runs and its two lengths.
pub(crate) struct Mapped {
    pub(crate) runs: Runs,
    pub(crate) size_bytes: u64,
    /// What lies behind this reads as zeros.
    pub(crate) valid_bytes: u64,
}

impl Mapped {
    /// Reads content straight into `buf`.
    pub(crate) fn read(
        &self,
        source: &Arc<dyn Source>,
        heap: &Heap,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let wanted = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let mut done = 0_usize;
        while done < wanted {
            let at = offset_bytes.saturating_add(to_u64(done));
            let rest = buf.get_mut(done..wanted).unwrap_or(&mut []);
            if at >= self.valid_bytes {
                rest.fill(0);
                return Ok(wanted);
            }
            let valid = to_usize(self.valid_bytes.saturating_sub(at));
            let (start, available) = match self.place(heap, at) {
                Some(place) => place,
                // What can be read is given first; the next call then says why it ends.
                None if done > 0 => return Ok(done),
                None => {
                    let needed = heap.clusters_for(self.size_bytes);
                    let why = self.runs.shortage(needed).unwrap_or_else(|| "no cluster".to_owned());
                    return Err(EvidenceError::corrupt(format!("file {node} at {at}: {why}")));
                }
            };
            let length = rest.len().min(available).min(valid);
            let part = rest.get_mut(..length).unwrap_or(&mut []);
            let got = source
                .read_at(start, part)
                .map_err(EvidenceError::read(format!("content of file {node} at {at}")))?;
            done = done.saturating_add(got);
            if got < length {
                if done > 0 {
                    return Ok(done);
                }
                return Err(EvidenceError::corrupt(format!(
                    "file {node} at {at}: its content lies at {start}, beyond the end of the source"
                )));
            }
        }
        Ok(done)
    }

    /// Where a byte of the file lies, and how many follow it there.
    fn place(&self, heap: &Heap, at: u64) -> Option<(u64, usize)> {
        let cluster_bytes = heap.cluster_bytes;
        let index = at.checked_div(cluster_bytes)?;
        let after = self.runs.list.partition_point(|run| u64::from(run.index) <= index);
        let run = self.runs.list.get(after.checked_sub(1)?)?;
        let within = at.saturating_sub(u64::from(run.index).saturating_mul(cluster_bytes));
        let left = u64::from(run.count).saturating_mul(cluster_bytes).checked_sub(within)?;
        (left > 0).then(|| (heap.offset(run.cluster).saturating_add(within), to_usize(left)))
    }
}

/// The clusters a chain has passed, one bit each.
struct Seen(Vec<u64>);

impl Seen {
    fn of(runs: &Runs, clusters: u32) -> Self {
        let words = u64::from(clusters).saturating_add(2).div_ceil(64);
        let mut seen = Self(vec![0; to_usize(words)]);
        for run in &runs.list {
            for cluster in run.cluster..run.cluster.saturating_add(run.count) {
                seen.mark(cluster);
            }
        }
        seen
    }

    fn mark(&mut self, cluster: u32) {
        if let Some(word) = self.0.get_mut(to_usize(u64::from(cluster >> 6))) {
            *word |= 1 << (cluster & 63);
        }
    }

    fn has(&self, cluster: u32) -> bool {
        let word = self.0.get(to_usize(u64::from(cluster >> 6))).copied().unwrap_or(0);
        word & (1 << (cluster & 63)) != 0
    }
}

/// Places of the shelf, and the one more that takes the maps of badly fragmented files.
const PLACES: usize = 16;
/// Runs a map may have to stand in one of the many places; keeps sixteen hostile maps below 64 MiB.
const MANY_RUNS: usize = 256 << 10;

/// The maps of the files read last: a few places, so that threads reading side by side keep out of each other's way.
pub(crate) struct Shelf(Vec<Mutex<Kept>>);

type Kept = Option<(Node, Arc<Mapped>)>;

impl Shelf {
    pub(crate) fn new() -> Self {
        Self((0..=PLACES).map(|_| Mutex::default()).collect())
    }

    /// The map of a file, made by `make` where it is not at hand.
    pub(crate) fn map(
        &self,
        node: Node,
        make: impl FnOnce() -> Result<Mapped, EvidenceError>,
    ) -> Result<Arc<Mapped>, EvidenceError> {
        let usual = to_usize(node).checked_rem(PLACES).unwrap_or(0);
        for place in [usual, PLACES] {
            let Some(place) = self.0.get(place) else { continue };
            if let Some((kept, map)) = &*place.lock().unwrap_or_else(PoisonError::into_inner)
                && *kept == node
            {
                return Ok(Arc::clone(map));
            }
        }
        let map = Arc::new(make()?);
        let place = if map.runs.list.len() > MANY_RUNS { PLACES } else { usual };
        if let Some(place) = self.0.get(place) {
            let kept = Some((node, Arc::clone(&map)));
            *place.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(map)
    }
}
