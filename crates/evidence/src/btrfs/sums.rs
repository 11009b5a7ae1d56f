//! Content read with its checksums, so that a good copy is found where there are several.
//!
//! Checksums stand in a tree of their own by logical address, one for each sector, in items that cover long runs.

use super::Btrfs;
use super::key::{Key, kind, object};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::View;
use std::ops::ControlFlow;

/// Checksums of a run of sectors.
struct Sums {
    each: usize,
    all: Vec<u8>,
    known: Vec<bool>,
}

impl Sums {
    /// Copies in those of an item that begins at `start`.
    fn take(&mut self, first: u64, sector_bytes: u64, start: u64, item: &[u8]) {
        for (index, sum) in item.chunks_exact(self.each).enumerate() {
            let at = start.saturating_add(to_u64(index).saturating_mul(sector_bytes));
            let Some(ahead) = at.checked_sub(first) else { continue };
            let slot = to_usize(ahead.checked_div(sector_bytes).unwrap_or(0));
            let Some(known) = self.known.get_mut(slot) else { break };
            *known = true;
            let to = slot.saturating_mul(self.each);
            if let Some(to) = self.all.get_mut(to..to.saturating_add(self.each)) {
                to.copy_from_slice(sum);
            }
        }
    }

    fn of(&self, slot: usize) -> Option<&[u8]> {
        if !self.known.get(slot).copied().unwrap_or(false) {
            return None;
        }
        let at = slot.saturating_mul(self.each);
        self.all.get(at..at.saturating_add(self.each))
    }
}

/// Whether it could not be read because nobody gave the device.
fn is_missing(error: &EvidenceError) -> bool {
    matches!(error, EvidenceError::Read { source, .. }
        if source.source.kind() == std::io::ErrorKind::NotFound)
}

/// Whether content has checksums to be held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Checksums,
    None,
}

impl Btrfs {
    /// Fills `buf` with content from `logical` on.
    pub(super) fn content(
        &self,
        logical: u64,
        buf: &mut [u8],
        proof: Proof,
    ) -> Result<(), EvidenceError> {
        if proof == Proof::None || self.checksums.is_none() {
            return self.unproven(logical, buf);
        }
        // Checksums cover whole sectors; what hangs over at both ends goes through a sector of its own.
        let sector_bytes = u64::from(self.store.superblock.sector_bytes);
        let within = to_usize(logical.checked_rem(sector_bytes).unwrap_or(0));
        let sector = to_usize(sector_bytes);
        let (at, rest) = if within == 0 {
            (logical, buf)
        } else {
            let count = buf.len().min(sector.saturating_sub(within));
            let (head, rest) = buf.split_at_mut_checked(count).unwrap_or((&mut [], &mut []));
            let start = logical.saturating_sub(to_u64(within));
            self.part_of_sector(start, within, head)?;
            (start.saturating_add(sector_bytes), rest)
        };
        let whole = rest.len().saturating_sub(rest.len().checked_rem(sector).unwrap_or(0));
        let (middle, tail) = rest.split_at_mut_checked(whole).unwrap_or((&mut [], &mut []));
        self.sectors(at, middle)?;
        if tail.is_empty() {
            return Ok(());
        }
        self.part_of_sector(at.saturating_add(to_u64(whole)), 0, tail)
    }

    fn part_of_sector(
        &self,
        start: u64,
        within: usize,
        to: &mut [u8],
    ) -> Result<(), EvidenceError> {
        let mut whole = vec![0; to_usize(u64::from(self.store.superblock.sector_bytes))];
        self.sectors(start, &mut whole)?;
        if let Some(from) = whole.get(within..within.saturating_add(to.len())) {
            to.copy_from_slice(from);
        }
        Ok(())
    }

    /// Content without checksums: the first copy that can be read.
    fn unproven(&self, logical: u64, buf: &mut [u8]) -> Result<(), EvidenceError> {
        self.check_stripe_tree(self.store.pool.chunk(logical)?)?;
        self.store.pool.read_first(logical, buf)
    }

    /// Whole sectors: all at once, then each wrong one again from the other copies.
    fn sectors(&self, logical: u64, buf: &mut [u8]) -> Result<(), EvidenceError> {
        if buf.is_empty() {
            return Ok(());
        }
        let chunk = self.store.pool.chunk(logical)?;
        self.check_stripe_tree(chunk)?;
        let sums = self.sums(logical, to_u64(buf.len()))?;
        let is_read = self.store.pool.read_first(logical, buf).is_ok();
        let sector = to_usize(u64::from(self.store.superblock.sector_bytes));
        let checksum = self.store.superblock.checksum;
        for (slot, part) in buf.chunks_mut(sector).enumerate() {
            let stored = sums.of(slot);
            let is_good = |part: &[u8]| stored.is_none_or(|stored| checksum.agrees(part, stored));
            if !is_read || !is_good(part) {
                let at = logical.saturating_add(to_u64(slot.saturating_mul(sector)));
                self.another_copy(at, part, &is_good)?;
            }
        }
        Ok(())
    }

    /// One sector from whichever copy proves right; the raw view takes one that does not, when none does.
    fn another_copy(
        &self,
        logical: u64,
        part: &mut [u8],
        is_good: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), EvidenceError> {
        let ways = self.store.pool.ways(logical);
        let mut readable: Option<Vec<u8>> = None;
        let mut trouble = None;
        for way in 0..ways {
            match self.store.pool.read(logical, part, way) {
                Ok(()) if is_good(part) => {
                    // A missing device was named when it was found missing.
                    let failed = trouble.as_ref().is_some_and(|error| !is_missing(error));
                    if readable.is_some() || failed {
                        self.store.note(format!(
                            "content at logical address {logical}: a copy is unreadable or wrong, \
                             copy {way} was used"
                        ));
                    }
                    return Ok(());
                }
                Ok(()) => {
                    readable.get_or_insert_with(|| part.to_vec());
                }
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        match readable {
            Some(bytes) if self.view == View::Raw => {
                part.copy_from_slice(&bytes);
                Ok(())
            }
            Some(_) => Err(EvidenceError::corrupt(format!(
                "content at logical address {logical} contradicts its {} in each of {ways} copies",
                self.store.superblock.checksum.name()
            ))),
            None => Err(trouble.unwrap_or_else(|| {
                EvidenceError::corrupt(format!("logical address {logical} has no copy"))
            })),
        }
    }

    /// The checksums of the sectors in a run of content.
    fn sums(&self, logical: u64, length: u64) -> Result<Sums, EvidenceError> {
        let sector_bytes = u64::from(self.store.superblock.sector_bytes);
        let count = to_usize(length.div_ceil(sector_bytes.max(1)));
        let each = self.store.superblock.checksum.bytes();
        let all = vec![0; count.saturating_mul(each)];
        let mut sums = Sums { each, all, known: vec![false; count] };
        let Some(tree) = &self.checksums else { return Ok(sums) };
        let key = |at| Key::new(object::CHECKSUMS, kind::CHECKSUM, at);
        let last = logical.saturating_add(length.saturating_sub(1));
        if let Some((found, item)) = self.store.floor(tree, key(logical))?
            && (found.object, found.kind) == (object::CHECKSUMS, kind::CHECKSUM)
        {
            sums.take(logical, sector_bytes, found.offset, &item);
        }
        if last > logical && sums.known.last() == Some(&false) {
            let next = key(logical.saturating_add(1));
            let trouble = self.store.range(tree, next, key(last), &mut |found, item| {
                sums.take(logical, sector_bytes, found.offset, item);
                ControlFlow::Continue(())
            });
            if let Some(error) = trouble.into_iter().next() {
                return Err(error);
            }
        }
        // No item covers more than a node full of the shortest checksums.
        let lowest = logical.saturating_sub(1 << 30);
        for (start, item) in self.logged_sums.range(lowest..=last) {
            sums.take(logical, sector_bytes, *start, item);
        }
        Ok(sums)
    }
}
