//! The file allocation table: what follows each cluster, in entries of 12, 16, 28 or 32 bits.
//!
//! Also the table of exFAT. A sector of it that does not read is looked for in the other copies.

use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// Entries read at a time while following a chain, in bytes; divisible by three, so that no 12-bit pair is cut.
const PIECE_BYTES: u64 = 1536;
/// Bytes compared at a time between copies.
const COMPARED_BYTES: usize = 1 << 18;
/// Copies are compared up to here; a table of 64 MiB describes a disk of half a terabyte in the usual clusters.
const MAX_COMPARED_BYTES: u64 = 64 << 20;
/// Most free ranges kept: 64 MiB of them.
const MAX_RANGES: usize = 4 << 20;

/// Clusters kept track of: one bit for each is 64 MiB while a chain is followed.
const MAX_CLUSTERS: u64 = 1 << 29;

/// Size of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// FAT12.
    Bits12,
    /// FAT16.
    Bits16,
    /// FAT32, whose upper four bits mean nothing.
    Bits28,
    /// exFAT.
    Bits32,
}

impl Width {
    /// How many of so many clusters a table of so many bytes describes, and this reader has room to keep track of.
    pub(crate) fn reachable(self, clusters: u64, table_bytes: u64) -> u32 {
        let entries = match self {
            Self::Bits12 => table_bytes.saturating_mul(2).checked_div(3).unwrap_or(0),
            Self::Bits16 => table_bytes / 2,
            Self::Bits28 | Self::Bits32 => table_bytes / 4,
        };
        let most = clusters.min(entries.saturating_sub(2)).min(MAX_CLUSTERS);
        u32::try_from(most).unwrap_or(0)
    }

    /// Where the entry of a cluster begins, in bytes from the start of the table.
    fn offset(self, cluster: u32) -> u64 {
        let cluster = u64::from(cluster);
        match self {
            Self::Bits12 => cluster.saturating_add(cluster / 2),
            Self::Bits16 => cluster.saturating_mul(2),
            Self::Bits28 | Self::Bits32 => cluster.saturating_mul(4),
        }
    }

    /// The value of the entry of `cluster` that begins at `at`.
    fn value(self, bytes: Fields<'_>, at: usize, cluster: u32) -> u32 {
        match self {
            Self::Bits12 if cluster & 1 == 1 => u32::from(bytes.le16(at) >> 4),
            Self::Bits12 => u32::from(bytes.le16(at) & 0xfff),
            Self::Bits16 => u32::from(bytes.le16(at)),
            Self::Bits28 => bytes.le32(at) & 0x0fff_ffff,
            Self::Bits32 => bytes.le32(at),
        }
    }

    /// The largest value; it ends a chain.
    fn top(self) -> u32 {
        match self {
            Self::Bits12 => 0xfff,
            Self::Bits16 => 0xffff,
            Self::Bits28 => 0x0fff_ffff,
            Self::Bits32 => u32::MAX,
        }
    }

    fn link(self, value: u32) -> Link {
        match self.top().saturating_sub(value) {
            // Eight values end a chain, from ...f8 on; ...f7 marks a bad cluster.
            0..=7 => Link::End,
            8 => Link::Bad,
            _ if value == 0 => Link::Free,
            _ => Link::Next(value),
        }
    }
}

/// What the table says about a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// In no chain.
    Free,
    /// Followed by this one.
    Next(u32),
    /// The last of its chain.
    End,
    /// Unusable.
    Bad,
}

/// A table and its copies.
pub(crate) struct Table {
    pub(crate) source: Arc<dyn Source>,
    /// First byte of each copy, the one in use first.
    pub(crate) starts: Vec<u64>,
    pub(crate) length_bytes: u64,
    pub(crate) width: Width,
    /// Number of clusters; the first is number 2.
    pub(crate) clusters: u32,
}

impl Table {
    /// Whether there is such a cluster.
    pub(crate) fn holds(&self, cluster: u32) -> bool {
        cluster.checked_sub(2).is_some_and(|index| index < self.clusters)
    }

    /// A reader that keeps the piece of the table it read last.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { table: self, start_bytes: u64::MAX, piece: Vec::new() }
    }

    /// The value of entry 1, which holds the marks of a clean shutdown.
    pub(crate) fn second_entry(&self) -> Result<u32, EvidenceError> {
        self.cursor().value(1)
    }

    fn piece(&self, at: u64, length: usize) -> Result<Vec<u8>, EvidenceError> {
        let mut first = None;
        for start in &self.starts {
            match self.source.bytes_at(start.saturating_add(at), length) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) => Err(EvidenceError::read("the file allocation table")(error)),
            None => Err(EvidenceError::corrupt("no file allocation table is in use")),
        }
    }

    /// Problems where a copy differs from the table in use: a sign of a crash, a fault or a hand.
    pub(crate) fn compare_copies(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some((active, others)) = self.starts.split_first() else { return problems };
        let length = self.length_bytes.min(MAX_COMPARED_BYTES);
        for other in others {
            let mut at = 0_u64;
            let mut differing = 0_u64;
            let mut first = None;
            while at < length {
                let wanted = to_usize(length.saturating_sub(at)).min(COMPARED_BYTES);
                let pair = (
                    self.source.bytes_at(active.saturating_add(at), wanted),
                    self.source.bytes_at(other.saturating_add(at), wanted),
                );
                match pair {
                    (Ok(ours), Ok(theirs)) if ours == theirs => {}
                    (Ok(ours), Ok(theirs)) => {
                        let differ = |pair: &(usize, (&u8, &u8))| pair.1.0 != pair.1.1;
                        for (index, _) in ours.iter().zip(&theirs).enumerate().filter(differ) {
                            differing = differing.saturating_add(1);
                            first.get_or_insert(at.saturating_add(to_u64(index)));
                        }
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        let what = EvidenceError::read("a file allocation table")(error);
                        problems.push(what.to_problem(Place::OffsetBytes(at)));
                    }
                }
                at = at.saturating_add(to_u64(wanted));
            }
            if let Some(first) = first {
                let text = format!(
                    "the file allocation tables at {active} and {other} differ in {differing} bytes, \
                     the first at {first}"
                );
                let place = Place::OffsetBytes(other.saturating_add(first));
                problems.push(Problem::new(ProblemKind::Corrupt, place, text));
            }
        }
        problems
    }

    /// Runs of free clusters as first cluster and count, in order.
    pub(crate) fn free_runs(&self) -> Result<Vec<(u32, u32)>, EvidenceError> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut cursor = self.cursor();
        for cluster in (2..=u32::MAX).take(to_usize(u64::from(self.clusters))) {
            if cursor.link(cluster)? != Link::Free {
                continue;
            }
            push_run(&mut runs, cluster)?;
        }
        Ok(runs)
    }
}

/// Adds a cluster to runs that are built in order.
pub(crate) fn push_run(runs: &mut Vec<(u32, u32)>, cluster: u32) -> Result<(), EvidenceError> {
    if let Some((first, count)) = runs.last_mut()
        && first.saturating_add(*count) == cluster
    {
        *count = count.saturating_add(1);
        return Ok(());
    }
    if runs.len() >= MAX_RANGES {
        return Err(EvidenceError::refused(format!(
            "free space in more than {MAX_RANGES} pieces is not listed"
        )));
    }
    runs.push((cluster, 1));
    Ok(())
}

/// Reads entries one after the other.
pub(crate) struct Cursor<'a> {
    table: &'a Table,
    start_bytes: u64,
    piece: Vec<u8>,
}

impl Cursor<'_> {
    /// What follows a cluster.
    pub(crate) fn link(&mut self, cluster: u32) -> Result<Link, EvidenceError> {
        Ok(self.table.width.link(self.value(cluster)?))
    }

    /// Whether a cluster is in no chain; outside the volume nothing is free.
    pub(crate) fn is_free(&mut self, cluster: u32) -> Result<bool, EvidenceError> {
        Ok(self.table.holds(cluster) && self.link(cluster)? == Link::Free)
    }

    fn value(&mut self, cluster: u32) -> Result<u32, EvidenceError> {
        let offset = self.table.width.offset(cluster);
        let start = offset.saturating_sub(offset.checked_rem(PIECE_BYTES).unwrap_or(0));
        if start != self.start_bytes {
            // A little more, because the last 12-bit entry of a piece is read as two bytes.
            let length =
                PIECE_BYTES.saturating_add(1).min(self.table.length_bytes.saturating_sub(start));
            self.piece = self.table.piece(start, to_usize(length))?;
            self.start_bytes = start;
        }
        let at = to_usize(offset.saturating_sub(start));
        let entry_bytes = match self.table.width {
            Width::Bits12 | Width::Bits16 => 2,
            Width::Bits28 | Width::Bits32 => 4,
        };
        if at.saturating_add(entry_bytes) > self.piece.len() {
            return Err(EvidenceError::corrupt(format!(
                "the entry of cluster {cluster} lies beyond the end of the file allocation table"
            )));
        }
        Ok(self.table.width.value(Fields(&self.piece), at, cluster))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;

    fn table(width: Width, bytes: Vec<u8>, clusters: u32) -> Table {
        let length_bytes = bytes.len() as u64;
        let source = Arc::new(MemSource::new(bytes));
        Table { source, starts: vec![0], length_bytes, width, clusters }
    }

    #[test]
    fn twelve_bits_are_taken_from_either_end_of_three_bytes() {
        // Entries 0xff0 0xfff 0x003 0x000 0xff7 0xff8.
        let bytes = vec![0xf0, 0xff, 0xff, 0x03, 0x00, 0x00, 0xf7, 0x8f, 0xff];
        let table = table(Width::Bits12, bytes, 4);
        let mut cursor = table.cursor();
        let links: Vec<Link> = (2..6).map(|cluster| cursor.link(cluster).unwrap()).collect();
        assert_eq!(links, [Link::Next(3), Link::Free, Link::Bad, Link::End]);
        assert_eq!(table.free_runs().unwrap(), [(3, 1)]);
    }

    #[test]
    fn entries_across_pieces_are_whole() {
        for width in [Width::Bits12, Width::Bits16, Width::Bits28, Width::Bits32] {
            let mut bytes = vec![0_u8; 20_000];
            let clusters = 5000;
            for cluster in 2..clusters {
                let at = width.offset(cluster) as usize;
                let value = cluster % 4000;
                match width {
                    Width::Bits12 if cluster & 1 == 1 => {
                        bytes[at] |= (value << 4) as u8;
                        bytes[at + 1] = (value >> 4) as u8;
                    }
                    Width::Bits12 | Width::Bits16 => {
                        bytes[at] = value as u8;
                        bytes[at + 1] = (value >> 8) as u8;
                    }
                    _ => bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()),
                }
            }
            let table = table(width, bytes, clusters - 2);
            let mut cursor = table.cursor();
            for cluster in 2..clusters {
                assert_eq!(cursor.value(cluster).unwrap(), cluster % 4000, "{width:?} {cluster}");
            }
        }
    }
}
