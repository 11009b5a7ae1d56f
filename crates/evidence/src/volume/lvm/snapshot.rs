//! Classic snapshots: the origin with the chunks the exception store kept (Linux `drivers/md/dm-snap-persistent.c`).

use super::build::Fault;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::problem::ProblemKind;
use crate::source::{Source, SourceError};
use std::collections::HashMap;
use std::sync::Arc;

/// 64 MiB of memory; a store of 4 KiB chunks and 16 GiB.
const MOST_EXCEPTIONS: usize = 4 << 20;

/// A snapshot.
pub(super) struct Snapshot {
    origin: Arc<dyn Source>,
    store: Arc<dyn Source>,
    chunk_bytes: u64,
    /// Chunks of the snapshot that lie in the store.
    kept: HashMap<u64, u64>,
}

impl Snapshot {
    pub(super) fn open(origin: Arc<dyn Source>, store: Arc<dyn Source>) -> Result<Self, Fault> {
        let io = |error: SourceError| {
            Fault(ProblemKind::Io, format!("reading a snapshot's store: {error}"))
        };
        let raw = store.bytes_at(0, 512).map_err(io)?;
        let header = Fields(&raw);
        if !header.has(0, b"SnAp") || header.le32(8) != 1 {
            return Err(Fault::corrupt("the snapshot's store has no header"));
        }
        if header.le32(4) == 0 {
            return Err(Fault::corrupt("the snapshot is invalid: its store overflowed"));
        }
        let chunk_bytes = u64::from(header.le32(12)).saturating_mul(512);
        if !(512..=64 << 20).contains(&chunk_bytes) {
            return Err(Fault::corrupt(format!("the snapshot's chunk is {chunk_bytes} bytes")));
        }
        // An area is a chunk of entries with the chunks they name behind it.
        let stride = (chunk_bytes / 16).saturating_add(1);
        let mut kept = HashMap::new();
        let mut area = 1_u64;
        loop {
            let at = area.saturating_mul(chunk_bytes);
            let entries = store.bytes_at(at, to_usize(chunk_bytes)).map_err(io)?;
            let mut is_last = entries.is_empty();
            for entry in entries.as_chunks::<16>().0 {
                let (old, new) = (Fields(entry).le64(0), Fields(entry).le64(8));
                if new == 0 {
                    is_last = true;
                    break;
                }
                kept.insert(old, new);
            }
            if kept.len() > MOST_EXCEPTIONS {
                let text = format!("the snapshot keeps more than {MOST_EXCEPTIONS} chunks");
                return Err(Fault(ProblemKind::Refused, text));
            }
            if is_last {
                break;
            }
            area = area.saturating_add(stride);
        }
        Ok(Self { origin, store, chunk_bytes, kept })
    }
}

impl Source for Snapshot {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let size = self.origin.size_bytes();
        let wanted = to_usize(size.saturating_sub(offset_bytes)).min(buf.len());
        let chunk_of = |at: u64| at.checked_div(self.chunk_bytes).unwrap_or(0);
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let chunk = chunk_of(at);
            let place = self.kept.get(&chunk);
            // Chunks in a row that the origin still has, or that lie in a row in the store, are one read.
            let mut last = chunk;
            let end = at.saturating_add(to_u64(rest.len()));
            while chunk_of(end.saturating_sub(1)) > last {
                let next = last.saturating_add(1);
                let expected = place.map(|new| new.saturating_add(next.saturating_sub(chunk)));
                if self.kept.get(&next).copied() != expected {
                    break;
                }
                last = next;
            }
            let stop = last.saturating_add(1).saturating_mul(self.chunk_bytes).min(end);
            let count = to_usize(stop.saturating_sub(at));
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
            match place {
                Some(new) => {
                    let within = at.saturating_sub(chunk.saturating_mul(self.chunk_bytes));
                    let from = new.saturating_mul(self.chunk_bytes).saturating_add(within);
                    self.store.fill(from, part)?;
                }
                None => self.origin.fill(at, part)?,
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.origin.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.origin.sector_bytes()
    }
}
