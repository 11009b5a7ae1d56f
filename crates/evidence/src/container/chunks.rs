//! A bounded memory of decompressed chunks, one for a whole chain of images.
//!
//! File systems read small pieces that lie close together; without it every inode would cost a decompression.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Few, because a shard always keeps at least one chunk, and a chunk may be large.
const SHARDS: usize = 4;

/// What all shards together keep.
const LIMIT_BYTES: usize = 32 << 20;

/// The largest chunk a reader may put here; the memory bound of the crate rests on it.
pub(super) const MAX_CHUNK_BYTES: u64 = 32 << 20;

/// Which chunk: the layer of the chain, and where in that layer's disk it begins.
pub(super) type Key = (u32, u64);

/// The memory.
#[derive(Default)]
pub(super) struct Chunks {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    chunks: HashMap<Key, (Arc<[u8]>, u64)>,
    bytes: usize,
    clock: u64,
}

impl Chunks {
    /// A kept chunk.
    pub(super) fn find(&self, key: Key) -> Option<Arc<[u8]>> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        shard.clock = shard.clock.wrapping_add(1);
        let now = shard.clock;
        let (chunk, used) = shard.chunks.get_mut(&key)?;
        *used = now;
        Some(Arc::clone(chunk))
    }

    /// Keeps a chunk, forgetting those not used for longest.
    pub(super) fn keep(&self, key: Key, chunk: &Arc<[u8]>) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.make_room(chunk.len());
        let now = shard.clock;
        if let Some((old, _)) = shard.chunks.insert(key, (Arc::clone(chunk), now)) {
            shard.bytes = shard.bytes.saturating_sub(old.len());
        }
        shard.bytes = shard.bytes.saturating_add(chunk.len());
    }

    fn shard(&self, (layer, start): Key) -> Option<&Mutex<Shard>> {
        // Chunk starts are multiples of powers of two: only a mix of all bits spreads them.
        let mixed = (start ^ u64::from(layer)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62;
        self.shards.get(usize::try_from(mixed).unwrap_or(0))
    }
}

impl Shard {
    fn make_room(&mut self, wanted: usize) {
        let limit = LIMIT_BYTES / SHARDS;
        if self.bytes.saturating_add(wanted) <= limit {
            return;
        }
        // Half goes at once, so that the price of looking for the oldest is paid rarely.
        let mut uses: Vec<(u64, Key, usize)> =
            self.chunks.iter().map(|(key, (chunk, used))| (*used, *key, chunk.len())).collect();
        uses.sort_unstable();
        for (_, key, length) in uses {
            if self.bytes.saturating_add(wanted) <= limit / 2 {
                break;
            }
            self.chunks.remove(&key);
            self.bytes = self.bytes.saturating_sub(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_last_is_kept() {
        let chunks = Chunks::default();
        for number in 0..2000_u64 {
            let chunk: Arc<[u8]> = vec![number as u8; 64 << 10].into();
            chunks.keep((0, number << 16), &chunk);
            assert_eq!(chunks.find((0, number << 16)).unwrap()[0], number as u8);
            assert!(chunks.find((1, number << 16)).is_none());
        }
        let kept: usize = chunks.shards.iter().map(|shard| shard.lock().unwrap().bytes).sum();
        assert!((1 << 20..=LIMIT_BYTES).contains(&kept), "{kept}");
        let large: Arc<[u8]> = vec![1; 20 << 20].into();
        chunks.keep((2, 0), &large);
        assert!(chunks.find((2, 0)).is_some());
    }
}
