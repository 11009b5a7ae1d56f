//! A file with changes laid over it in memory: what a log says that was not yet done.

use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a change puts there.
#[derive(Clone)]
enum Change {
    Zeros,
    /// Bytes of a buffer, from this place in it on.
    Bytes(Arc<[u8]>, usize),
}

/// The file.
pub(super) struct Patched {
    inner: Arc<dyn Source>,
    size_bytes: u64,
    /// By their start: the end, and what is there. They never overlap.
    changes: BTreeMap<u64, (u64, Change)>,
}

impl Patched {
    pub(super) fn new(inner: Arc<dyn Source>) -> Self {
        Self { size_bytes: inner.size_bytes(), inner, changes: BTreeMap::new() }
    }

    pub(super) fn zeros(&mut self, at: u64, length: u64) {
        self.change(at, at.saturating_add(length), Change::Zeros);
    }

    pub(super) fn bytes(&mut self, at: u64, bytes: Arc<[u8]>) {
        let end = at.saturating_add(to_u64(bytes.len()));
        self.change(at, end, Change::Bytes(bytes, 0));
    }

    /// A later change counts more than an earlier one: what it covers of others is cut away.
    fn change(&mut self, start: u64, end: u64, change: Change) {
        if start >= end {
            return;
        }
        let touched: Vec<u64> = self
            .changes
            .range(..end)
            .rev()
            .take_while(|(_, (before, _))| *before > start)
            .map(|(at, _)| *at)
            .collect();
        for at in touched {
            let Some((old_end, old)) = self.changes.remove(&at) else { continue };
            if at < start {
                self.changes.insert(at, (start, old.clone()));
            }
            if old_end > end {
                self.changes.insert(end, (old_end, old.from(end.saturating_sub(at))));
            }
        }
        self.changes.insert(start, (end, change));
        self.size_bytes = self.size_bytes.max(end);
    }
}

impl Change {
    fn from(&self, further: u64) -> Self {
        match self {
            Self::Zeros => Self::Zeros,
            Self::Bytes(bytes, from) => {
                Self::Bytes(Arc::clone(bytes), from.saturating_add(to_usize(further)))
            }
        }
    }
}

impl Source for Patched {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let available = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..available).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let here = self.changes.range(..=at).next_back().filter(|(_, (end, _))| *end > at);
            let next = self.changes.range(at.saturating_add(1)..).next().map(|(start, _)| *start);
            let end = here.map_or(next.unwrap_or(u64::MAX), |(_, (end, _))| *end);
            let length = to_usize(end.saturating_sub(at)).min(rest.len());
            let Some(part) = rest.get_mut(..length) else { break };
            match here {
                Some((_, (_, Change::Zeros))) => part.fill(0),
                Some((start, (_, Change::Bytes(bytes, from)))) => {
                    let from = from.saturating_add(to_usize(at.saturating_sub(*start)));
                    let end = from.saturating_add(part.len());
                    match bytes.get(from..end) {
                        Some(bytes) => part.copy_from_slice(bytes),
                        None => part.fill(0),
                    }
                }
                None => {
                    let got = self.inner.read_at(at, part)?;
                    // Between the old end and a change behind it nothing was ever written.
                    part.iter_mut().skip(got).for_each(|byte| *byte = 0);
                }
            }
            done = done.saturating_add(length);
        }
        Ok(available)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.inner.sector_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;

    #[test]
    fn later_changes_cover_earlier_ones() {
        let mut expected = vec![1_u8; 100];
        let mut patched = Patched::new(Arc::new(MemSource::new(expected.clone())));
        let mut state = 5_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for round in 0..300_u64 {
            let (start, length) = (next(110), next(20));
            let end = (start + length) as usize;
            expected.resize(expected.len().max(if length == 0 { 0 } else { end }), 0);
            if round % 3 == 0 {
                patched.zeros(start, length);
                if length != 0 {
                    expected[start as usize..end].fill(0);
                }
            } else {
                let bytes: Vec<u8> = (0..length).map(|index| (round + index) as u8).collect();
                patched.bytes(start, bytes.clone().into());
                if length != 0 {
                    expected[start as usize..end].copy_from_slice(&bytes);
                }
            }
            let shown: &dyn Source = &patched;
            assert_eq!(shown.bytes_at(0, 200).unwrap(), expected, "round {round}");
        }
    }
}
