//! The allocation bitmap: one bit for each cluster, set while the cluster is in use.
//!
//! It is a file of its own; on exFAT it, and not the table, says what is free (specification, section 7.1).

use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fat::{Heap, Mapped, push_run};
use crate::source::Source;
use std::sync::Arc;

/// Bytes of the bitmap read at a time.
const PIECE_BYTES: u64 = 4096;

/// The bitmap and where it lies.
pub(super) struct Bitmap {
    pub(super) source: Arc<dyn Source>,
    pub(super) heap: Heap,
    pub(super) map: Mapped,
}

impl Bitmap {
    /// A reader that keeps the piece it read last.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { bitmap: self, start_bytes: u64::MAX, piece: Vec::new() }
    }

    /// Runs of free clusters as first cluster and count, in order.
    pub(super) fn free_runs(&self) -> Result<Vec<(u32, u32)>, EvidenceError> {
        let mut runs = Vec::new();
        let mut cursor = self.cursor();
        for cluster in (2..=u32::MAX).take(to_usize(u64::from(self.heap.clusters))) {
            if cursor.is_free(cluster)? {
                push_run(&mut runs, cluster)?;
            }
        }
        Ok(runs)
    }
}

/// Reads bits one after the other.
pub(super) struct Cursor<'a> {
    bitmap: &'a Bitmap,
    start_bytes: u64,
    piece: Vec<u8>,
}

impl Cursor<'_> {
    /// Whether a cluster is not in use; outside the volume nothing is free.
    pub(super) fn is_free(&mut self, cluster: u32) -> Result<bool, EvidenceError> {
        let bitmap = self.bitmap;
        let Some(index) = cluster.checked_sub(2).filter(|index| *index < bitmap.heap.clusters)
        else {
            return Ok(false);
        };
        let at = u64::from(index / 8);
        let start = at.saturating_sub(at.checked_rem(PIECE_BYTES).unwrap_or(0));
        if start != self.start_bytes {
            let mut piece = vec![0; to_usize(PIECE_BYTES)];
            let got = bitmap.map.read(&bitmap.source, &bitmap.heap, 0, start, &mut piece)?;
            piece.truncate(got);
            (self.piece, self.start_bytes) = (piece, start);
        }
        match self.piece.get(to_usize(at.saturating_sub(start))) {
            Some(byte) => Ok(byte & (1 << (index & 7)) == 0),
            None => Err(EvidenceError::corrupt(format!(
                "the allocation bitmap ends before cluster {cluster}"
            ))),
        }
    }
}
