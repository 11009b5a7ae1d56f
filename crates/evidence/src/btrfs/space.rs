//! Which bytes of a device are used: by the extents of a file, and by the file system as a whole.

use super::Btrfs;
use super::chunk::{Chunk, Profile};
use super::content::{Extent as Run, Form};
use super::key::{Key, kind};
use super::subvolume::Place;
use super::superblock::{PLACES, feature};
use crate::error::EvidenceError;
use crate::fs::{Extent, FileKind, Stored};
use std::ops::{ControlFlow, Range};

/// Most runs listed for one file.
const MAX_RUNS: usize = 1 << 21;
/// Most pieces of free space listed.
const MAX_FREE: usize = 1 << 21;
/// Nothing is ever allocated below this place (`BTRFS_DEVICE_RANGE_RESERVED`).
const RESERVED_BYTES: u64 = 1 << 20;
/// What block groups leave out around a superblock.
const AROUND_SUPERBLOCK: u64 = 64 << 10;

impl Btrfs {
    /// Content placed by a raid-stripe-tree does not lie where the chunk says.
    pub(super) fn check_stripe_tree(&self, chunk: &Chunk) -> Result<(), EvidenceError> {
        let is_placed = chunk.is_data() && chunk.stripes.len() > 1;
        if is_placed && self.store.superblock.incompat & feature::RAID_STRIPE_TREE != 0 {
            return Err(EvidenceError::unsupported("content placed by a Btrfs raid-stripe-tree"));
        }
        Ok(())
    }

    pub(super) fn allocation(&self, place: Place) -> Result<Vec<Extent>, EvidenceError> {
        let mut out: Vec<Extent> = Vec::new();
        if place.is_empty_directory() {
            return Ok(out);
        }
        let inode = self.inode(place)?;
        if !matches!(inode.kind(), FileKind::File | FileKind::Symlink) {
            return Ok(out);
        }
        let mut trouble = None;
        let mut next = 0_u64;
        self.extents_of(place, 0, u64::MAX, &mut |run| {
            if run.start > next {
                out.push(hole(next, run.start));
            }
            next = next.max(run.end());
            if let Err(error) = self.place_run(&run, &mut out) {
                trouble = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = trouble {
            return Err(error);
        }
        if inode.size_bytes > next {
            out.push(hole(next, inode.size_bytes));
        }
        Ok(out)
    }

    fn place_run(&self, run: &Run, out: &mut Vec<Extent>) -> Result<(), EvidenceError> {
        let first = self.store.pool.devices.first().map_or(0, |device| device.id);
        let mut put = |logical_bytes, length_bytes, stored| {
            out.push(Extent { logical_bytes, length_bytes, stored });
            if out.len() < MAX_RUNS {
                return Ok(());
            }
            Err(EvidenceError::refused(format!("a file of more than {MAX_RUNS} extents")))
        };
        let (at, is_written) = match &run.form {
            Form::Inline(_) => return put(run.start, run.length, Stored::Inline),
            Form::Hole => return put(run.start, run.length, Stored::Hole),
            Form::Packed { at, packed_bytes, .. } => {
                let piece = self.store.pool.piece(*at, *packed_bytes)?;
                let own = piece.copies.iter().find(|copy| copy.device == first);
                let stored = match own.or(piece.copies.first()) {
                    Some(copy) if copy.device == first => {
                        Stored::Packed { at: copy.at, length_bytes: *packed_bytes }
                    }
                    Some(copy) => Stored::OnDevice { device: copy.device, at: copy.at },
                    None => return Ok(()),
                };
                return put(run.start, run.length, stored);
            }
            Form::Unwritten(at) => (*at, false),
            Form::Plain(at) => (*at, true),
        };
        let mut done = 0_u64;
        while done < run.length {
            let wanted = run.length.saturating_sub(done);
            let piece = self.store.pool.piece(at.saturating_add(done), wanted)?;
            let own = piece.copies.iter().find(|copy| copy.device == first);
            let stored = match own.or(piece.copies.first()) {
                Some(copy) if copy.device == first && is_written => Some(Stored::At(copy.at)),
                Some(copy) if copy.device == first => Some(Stored::Unwritten(copy.at)),
                // There is no word for an unwritten run elsewhere; that it reads as zeros counts more than where it lies.
                Some(_) if !is_written => Some(Stored::Hole),
                Some(copy) => Some(Stored::OnDevice { device: copy.device, at: copy.at }),
                None => None,
            };
            let length = piece.length.min(wanted).max(1);
            if let Some(stored) = stored {
                put(run.start.saturating_add(done), length, stored)?;
            }
            done = done.saturating_add(length);
        }
        Ok(())
    }

    /// Free ranges of the first device: what no chunk takes, and in chunks what no extent takes.
    pub(super) fn free(&self) -> Result<Vec<Range<u64>>, EvidenceError> {
        let Some(device) = self.store.pool.devices.first() else { return Ok(Vec::new()) };
        let around = PLACES.map(|place| place..place.saturating_add(AROUND_SUPERBLOCK));
        let mut taken = around.to_vec();
        taken.push(0..RESERVED_BYTES);
        let mut free = Vec::new();
        for chunk in &self.store.pool.chunks {
            let stripes = chunk.stripes.iter().filter(|stripe| stripe.device == device.id);
            let own: Vec<u64> = stripes.map(|stripe| stripe.at).collect();
            for at in &own {
                taken.push(*at..at.saturating_add(chunk.stripe_bytes()));
            }
            // Parity belongs to all data of its row, so a chunk with parity counts as used throughout.
            if own.is_empty() || matches!(chunk.profile, Profile::Parity { .. }) {
                continue;
            }
            self.free_in(chunk, &mut |logical| {
                // What the log uses is not among the extents yet.
                for left in without(std::iter::once(logical), &mut self.logged_extents.clone()) {
                    self.place_free(chunk, device.id, left, &mut free)?;
                }
                Ok(())
            })?;
        }
        free.extend(without(std::iter::once(0..device.length), &mut taken));
        Ok(without(joined(free), &mut around.to_vec()))
    }

    /// Calls back for each logical range of a chunk that no extent takes.
    fn free_in(
        &self,
        chunk: &Chunk,
        found: &mut dyn FnMut(Range<u64>) -> Result<(), EvidenceError>,
    ) -> Result<(), EvidenceError> {
        let tree = self
            .extents
            .as_ref()
            .ok_or_else(|| EvidenceError::corrupt("there is no tree of extents"))?;
        let mut next = chunk.start;
        let mut result = Ok(());
        let from = Key::new(chunk.start, 0, 0);
        let to = Key::new(chunk.end().saturating_sub(1), u8::MAX, u64::MAX);
        let node_bytes = u64::from(self.store.superblock.node_bytes);
        let trouble = self.store.range(tree, from, to, &mut |key, _| {
            let length = match key.kind {
                kind::EXTENT => key.offset,
                kind::METADATA_EXTENT => node_bytes,
                _ => return ControlFlow::Continue(()),
            };
            if key.object > next {
                result = found(next..key.object);
            }
            next = next.max(key.object.saturating_add(length));
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        result?;
        if let Some(error) = trouble.into_iter().next() {
            return Err(error);
        }
        if next < chunk.end() { found(next..chunk.end()) } else { Ok(()) }
    }

    fn place_free(
        &self,
        chunk: &Chunk,
        device: u64,
        logical: Range<u64>,
        free: &mut Vec<Range<u64>>,
    ) -> Result<(), EvidenceError> {
        let mut at = logical.start;
        while at < logical.end {
            let piece = chunk.piece(at.saturating_sub(chunk.start), logical.end.saturating_sub(at));
            for copy in piece.copies.iter().filter(|copy| copy.device == device) {
                let end = copy.at.saturating_add(piece.length);
                match free.last_mut() {
                    Some(last) if last.end == copy.at => last.end = end,
                    _ => free.push(copy.at..end),
                }
                if free.len() > MAX_FREE {
                    let what = format!("more than {MAX_FREE} pieces of free space");
                    return Err(EvidenceError::refused(what));
                }
            }
            at = at.saturating_add(piece.length.max(1));
        }
        Ok(())
    }

    /// Bytes in use by block group, as counted from the extents and as the file system recorded them: logical start, own
    /// count, record. For checks of a file system that was not put away cleanly.
    ///
    /// # Errors
    /// When the trees of extents or block groups cannot be read.
    pub fn block_groups(&self) -> Result<Vec<(u64, u64, u64)>, EvidenceError> {
        let tree = self
            .block_groups
            .as_ref()
            .ok_or_else(|| EvidenceError::corrupt("there is no tree of block groups"))?;
        let mut out = Vec::new();
        for chunk in &self.store.pool.chunks {
            let key = Key::new(chunk.start, kind::BLOCK_GROUP, chunk.length);
            let Some(item) = self.store.get(tree, key)? else { continue };
            let mut used = chunk.length;
            self.free_in(chunk, &mut |free| {
                used = used.saturating_sub(free.end.saturating_sub(free.start));
                Ok(())
            })?;
            out.push((chunk.start, used, crate::bytes::Fields(&item).le64(0)));
        }
        Ok(out)
    }
}

fn hole(from: u64, to: u64) -> Extent {
    let length_bytes = to.saturating_sub(from);
    Extent { logical_bytes: from, length_bytes, stored: Stored::Hole }
}

/// Sorted, and joined where one range meets or overlaps the next.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out.retain(|range| range.start < range.end);
    out
}

/// Sorted `ranges` without those in `taken`.
fn without(
    ranges: impl IntoIterator<Item = Range<u64>>,
    taken: &mut Vec<Range<u64>>,
) -> Vec<Range<u64>> {
    let taken = joined(std::mem::take(taken));
    let mut out = Vec::new();
    for range in ranges {
        let mut next = range.start;
        let first = taken.partition_point(|other| other.end <= range.start);
        for other in taken.iter().skip(first).take_while(|other| other.start < range.end) {
            if other.start > next {
                out.push(next..other.start);
            }
            next = next.max(other.end);
        }
        if next < range.end {
            out.push(next..range.end);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_out() {
        let mut taken = vec![5..7, 20..30, 6..8];
        assert_eq!(without(vec![0..10, 12..25], &mut taken), [0..5, 8..10, 12..20]);
        assert_eq!(joined(vec![5..6, 0..2, 2..3, 4..4]), [0..3, 5..6]);
    }
}
