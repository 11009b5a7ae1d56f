//! A bounded memory of values that cost much to make, such as decompressed blocks.
//!
//! Shared by several threads that walk side by side: sharded, and no lock is held while a value is made. Two threads may
//! make the same value at once; that costs less than letting one wait for the other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;

/// Values by number, the ones used last.
pub(crate) struct Kept<V> {
    bytes_per_shard: usize,
    shards: Vec<Mutex<Shard<V>>>,
}

struct Shard<V> {
    items: HashMap<u64, Item<V>>,
    bytes: usize,
    clock: u64,
}

struct Item<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<V: Clone> Kept<V> {
    /// Keeps about `limit_bytes`; each of the shards keeps at least its last value, however large.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let empty = || Mutex::new(Shard { items: HashMap::new(), bytes: 0, clock: 0 });
        Self {
            bytes_per_shard: limit_bytes / SHARDS,
            shards: (0..SHARDS).map(|_| empty()).collect(),
        }
    }

    fn shard(&self, key: u64) -> Option<&Mutex<Shard<V>>> {
        // Keys are offsets and multiples of something; the product spreads them.
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        self.shards.get(usize::try_from(spread).unwrap_or(0))
    }

    /// The value kept under `key`.
    pub(crate) fn find(&self, key: u64) -> Option<V> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        shard.clock = shard.clock.wrapping_add(1);
        let now = shard.clock;
        let item = shard.items.get_mut(&key)?;
        item.used = now;
        Some(item.value.clone())
    }

    /// Keeps a value of about `bytes` bytes; when the shard is full, the older half goes.
    pub(crate) fn keep(&self, key: u64, value: V, bytes: usize) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.bytes.saturating_add(bytes) > self.bytes_per_shard {
            let mut uses: Vec<u64> = shard.items.values().map(|item| item.used).collect();
            uses.sort_unstable();
            let middle = uses.get(uses.len() / 2).copied().unwrap_or(u64::MAX);
            shard.items.retain(|_, item| item.used > middle);
            shard.bytes = shard.items.values().map(|item| item.bytes).sum();
            if shard.bytes.saturating_add(bytes) > self.bytes_per_shard {
                shard.items.clear();
                shard.bytes = 0;
            }
        }
        shard.clock = shard.clock.wrapping_add(1);
        let used = shard.clock;
        let before = shard.items.insert(key, Item { value, bytes, used });
        let freed = before.map_or(0, |item| item.bytes);
        shard.bytes = shard.bytes.saturating_add(bytes).saturating_sub(freed);
    }
}

/// The last few values, for those that are too large to keep many of, such as the map of a file being read.
pub(crate) struct Recent<V> {
    slots: Mutex<VecDeque<(u64, V)>>,
}

/// Readers side by side rarely have more files under way.
const SLOTS: usize = 4;

impl<V: Clone> Recent<V> {
    pub(crate) fn new() -> Self {
        Self { slots: Mutex::default() }
    }

    /// The value kept under `key`, if it is among the last.
    pub(crate) fn find(&self, key: u64) -> Option<V> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone())
    }

    /// Keeps a value in the place of the oldest.
    pub(crate) fn keep(&self, key: u64, value: V) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(known, _)| *known != key);
        if slots.len() >= SLOTS {
            slots.pop_front();
        }
        slots.push_back((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_and_memory_is_bounded() {
        let kept = Kept::new(16 * 1000);
        for key in 0..10_000_u64 {
            kept.keep(key, key, 100);
            assert_eq!(kept.find(key), Some(key));
        }
        let bytes: usize = kept.shards.iter().map(|shard| shard.lock().unwrap().bytes).sum();
        assert!(bytes <= 16_000, "{bytes}");
        kept.keep(5, 7, 1 << 30);
        kept.keep(5, 8, 1 << 30);
        assert_eq!(kept.find(5), Some(8));
    }

    #[test]
    fn the_last_four_stay() {
        let recent = Recent::new();
        for key in 0..6_u64 {
            recent.keep(key, key * 2);
        }
        assert_eq!((recent.find(1), recent.find(2), recent.find(5)), (None, Some(4), Some(10)));
    }
}
