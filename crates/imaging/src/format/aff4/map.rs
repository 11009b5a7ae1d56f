//! The map of the disk: what stands in the stream, what is zeros, what could not be read.

use crate::{Extent, Extents};

/// Targets in the order of `idx`.
pub(super) const STREAM: u32 = 0;
const ZERO: u32 = 1;
const UNREADABLE: u32 = 2;

/// Names of the targets without the stream.
pub(super) const SYMBOLIC: [&str; 2] =
    ["http://aff4.org/Schema#Zero", "http://aff4.org/Schema#UnreadableData"];

/// A stretch of the disk and what it leads to; targets are addressed as the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start_bytes: u64,
    pub(super) end_bytes: u64,
    pub(super) target: u32,
}

/// The entries for a disk of this size. What could not be read counts more than what is zeros.
pub(super) fn entries(size_bytes: u64, zeros: &Extents, bad: &Extents) -> Vec<Entry> {
    let mut special: Vec<Entry> = Vec::new();
    let add = |list: &mut Vec<Entry>, start_bytes: u64, end_bytes: u64, target| {
        if start_bytes < end_bytes {
            list.push(Entry { start_bytes, end_bytes, target });
        }
    };
    let mut bad_left = bad.iter().peekable();
    for zero in zeros.iter() {
        let mut at = zero.offset_bytes;
        // A bad stretch may reach into the next run of zeros, so only those that end here are done with.
        while let Some(hole) = bad_left.peek().copied() {
            if hole.offset_bytes >= zero.end_bytes() {
                break;
            }
            add(&mut special, at, hole.offset_bytes.min(zero.end_bytes()), ZERO);
            at = at.max(hole.end_bytes());
            if hole.end_bytes() > zero.end_bytes() {
                break;
            }
            bad_left.next();
        }
        add(&mut special, at, zero.end_bytes(), ZERO);
    }
    for hole in bad.iter() {
        add(&mut special, hole.offset_bytes, hole.end_bytes(), UNREADABLE);
    }
    special.sort_by_key(|entry| entry.start_bytes);
    let (mut list, mut at) = (Vec::new(), 0_u64);
    for entry in special {
        add(&mut list, at, entry.start_bytes, STREAM);
        at = entry.end_bytes;
        list.push(entry);
    }
    add(&mut list, at, size_bytes, STREAM);
    list
}

/// The entries as the Standard stores them (section 4).
pub(super) fn stored(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let length = entry.end_bytes.saturating_sub(entry.start_bytes);
        for field in [entry.start_bytes, length, entry.start_bytes] {
            out.extend(field.to_le_bytes());
        }
        out.extend(entry.target.to_le_bytes());
    }
    out
}

/// Runs of zeros, kept up to a bound: what is not noted stands in the stream and reads the same.
#[derive(Debug, Default)]
pub(super) struct Zeros(pub(super) Extents);

/// Each run costs 16 bytes of memory and at most two entries of the map.
const MAX_RUNS: usize = 1 << 20;

impl Zeros {
    pub(super) fn add(&mut self, offset_bytes: u64, length_bytes: u64) {
        if self.0.entries() < MAX_RUNS && length_bytes != 0 {
            self.0.push(Extent { offset_bytes, length_bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(list: &[(u64, u64)]) -> Extents {
        let mut extents = Extents::default();
        for (offset_bytes, end) in list {
            let length_bytes = end - offset_bytes;
            extents.push(Extent { offset_bytes: *offset_bytes, length_bytes });
        }
        extents
    }

    #[test]
    fn bad_sectors_split_zeros_and_data() {
        let map = entries(
            1000,
            &extents(&[(100, 200), (300, 400), (500, 600)]),
            &extents(&[(50, 60), (120, 130), (190, 310), (390, 520), (999, 1000)]),
        );
        let short: Vec<(u64, u64, u32)> =
            map.iter().map(|entry| (entry.start_bytes, entry.end_bytes, entry.target)).collect();
        let expected = [
            (0, 50, 0),
            (50, 60, 2),
            (60, 100, 0),
            (100, 120, 1),
            (120, 130, 2),
            (130, 190, 1),
            (190, 310, 2),
            (310, 390, 1),
            (390, 520, 2),
            (520, 600, 1),
            (600, 999, 0),
            (999, 1000, 2),
        ];
        assert_eq!(short, expected);
        assert_eq!(entries(10, &Extents::default(), &Extents::default()).len(), 1);
        assert!(entries(0, &Extents::default(), &Extents::default()).is_empty());
    }
}
