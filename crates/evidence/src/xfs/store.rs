//! The bytes of the file system: content straight from the source, metadata through a cache and the replayed log.
//!
//! Only metadata is ever in the log, so content needs neither; and a file is read once, so keeping it would only push
//! metadata out.

use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::source::{Cached, Source};
use std::collections::HashMap;
use std::sync::Arc;

/// The unit the log counts in.
pub(super) const SECTOR_BYTES: usize = 512;
/// A piece holds a chunk of 64 inodes of the usual size.
const PIECE_BYTES: usize = 32 << 10;
const CACHE_BYTES: usize = 48 << 20;
/// Most that is kept of a replayed log: 96 MiB.
const MAX_OVERLAY_SECTORS: usize = 96 << 11;

pub(super) struct Store {
    pub(super) source: Arc<dyn Source>,
    cached: Arc<dyn Source>,
    /// Sectors as the log makes them, by their number.
    overlay: HashMap<u64, Box<[u8; SECTOR_BYTES]>>,
}

impl Store {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        let cached = Arc::new(Cached::new(Arc::clone(&source), PIECE_BYTES, CACHE_BYTES));
        Self { source, cached, overlay: HashMap::new() }
    }

    /// Exactly `length` bytes of metadata.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>, EvidenceError> {
        let mut out = vec![0; length];
        self.fill(offset, &mut out)?;
        Ok(out)
    }

    /// Fills `buf` with metadata.
    pub(super) fn fill(&self, offset: u64, buf: &mut [u8]) -> Result<(), EvidenceError> {
        self.cached
            .fill(offset, buf)
            .map_err(EvidenceError::read(format!("metadata at offset {offset}")))?;
        if self.overlay.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(to_u64(buf.len()));
        for sector in sectors(offset, buf.len()) {
            let Some(newer) = self.overlay.get(&sector) else { continue };
            let start = sector.saturating_mul(to_u64(SECTOR_BYTES));
            let (from, to) = (start.max(offset), start.saturating_add(512).min(end));
            let part =
                newer.get(to_usize(from.saturating_sub(start))..to_usize(to.saturating_sub(start)));
            let place = buf.get_mut(
                to_usize(from.saturating_sub(offset))..to_usize(to.saturating_sub(offset)),
            );
            if let (Some(part), Some(place)) = (part, place) {
                place.copy_from_slice(part);
            }
        }
        Ok(())
    }

    /// Whether the log has changed any of these bytes; then a checksum in them need not match.
    pub(super) fn is_overlaid(&self, offset: u64, length: usize) -> bool {
        !self.overlay.is_empty()
            && sectors(offset, length).any(|sector| self.overlay.contains_key(&sector))
    }

    /// Puts changed bytes over what stands at `offset`.
    pub(super) fn overlay(&mut self, offset: u64, bytes: &[u8]) -> Result<(), EvidenceError> {
        for sector in sectors(offset, bytes.len()) {
            let start = sector.saturating_mul(to_u64(SECTOR_BYTES));
            let mut whole = Box::new([0; SECTOR_BYTES]);
            self.fill(start, &mut *whole)?;
            for (index, byte) in whole.iter_mut().enumerate() {
                let at = start.saturating_add(to_u64(index)).checked_sub(offset);
                if let Some(newer) = at.and_then(|at| bytes.get(to_usize(at))) {
                    *byte = *newer;
                }
            }
            if self.overlay.len() >= MAX_OVERLAY_SECTORS {
                return Err(EvidenceError::refused(format!(
                    "the log changes more than {MAX_OVERLAY_SECTORS} sectors"
                )));
            }
            self.overlay.insert(sector, whole);
        }
        Ok(())
    }

    pub(super) fn overlaid_sectors(&self) -> usize {
        self.overlay.len()
    }

    /// Forgets what the log changed.
    pub(super) fn drop_overlay(&mut self) {
        self.overlay = HashMap::new();
    }
}

/// Numbers of the sectors that hold these bytes.
fn sectors(offset: u64, length: usize) -> std::ops::Range<u64> {
    offset / 512..offset.saturating_add(to_u64(length)).div_ceil(512)
}
