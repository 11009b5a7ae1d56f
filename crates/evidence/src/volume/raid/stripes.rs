//! RAID 0: chunks in turn over the legs, in zones where the legs differ in size.

use super::{Leg, by_chunk, div, rem};
use crate::source::{Source, SourceError};

/// How the kernel picks the leg in zones after the first; it changed by mistake in Linux 3.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::volume) enum ZoneRule {
    /// By the chunk's number in the whole set: before Linux 3.14.
    Original,
    /// By its number in the zone.
    Alternate,
}

/// A part of the set over which the same legs take turns.
struct Zone {
    /// First chunk of the set in it.
    first_chunk: u64,
    /// Where it begins on each leg, in chunks.
    leg_chunk: u64,
    /// Indices of its legs.
    legs: Vec<usize>,
}

/// A striped set.
pub(in crate::volume) struct Stripes {
    legs: Vec<Leg>,
    zones: Vec<Zone>,
    rule: ZoneRule,
    chunk_bytes: u64,
    size_bytes: u64,
}

impl Stripes {
    /// `sizes` are the bytes each leg gives to the set, `chunk_bytes` is not 0.
    pub(in crate::volume) fn new(
        legs: Vec<Leg>,
        sizes: &[u64],
        chunk_bytes: u64,
        rule: ZoneRule,
    ) -> Self {
        let chunks: Vec<u64> = sizes.iter().map(|size| div(*size, chunk_bytes)).collect();
        let mut zones = Vec::new();
        let (mut first_chunk, mut leg_chunk) = (0_u64, 0_u64);
        // Each round ends at the size of the next larger leg, so there are no more zones than legs.
        while let Some(end) = chunks.iter().copied().filter(|count| *count > leg_chunk).min() {
            let with: Vec<usize> = chunks
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > leg_chunk)
                .map(|(index, _)| index)
                .collect();
            let rows = end.saturating_sub(leg_chunk);
            let count = crate::bytes::to_u64(with.len());
            zones.push(Zone { first_chunk, leg_chunk, legs: with });
            first_chunk = first_chunk.saturating_add(rows.saturating_mul(count));
            leg_chunk = end;
        }
        let size_bytes = first_chunk.saturating_mul(chunk_bytes);
        Self { legs, zones, rule, chunk_bytes, size_bytes }
    }

    /// How many zones there are.
    pub(in crate::volume) fn zones(&self) -> usize {
        self.zones.len()
    }
}

impl Source for Stripes {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        by_chunk(
            offset_bytes,
            buf,
            self.chunk_bytes,
            self.size_bytes,
            &mut |chunk, within, part| {
                let after = self.zones.partition_point(|zone| zone.first_chunk <= chunk);
                let Some(zone) = after.checked_sub(1).and_then(|index| self.zones.get(index))
                else {
                    return Leg::missing().read(0, part);
                };
                let count = crate::bytes::to_u64(zone.legs.len());
                let in_zone = chunk.saturating_sub(zone.first_chunk);
                let turn = match self.rule {
                    ZoneRule::Original => rem(chunk, count),
                    ZoneRule::Alternate => rem(in_zone, count),
                };
                let row = div(in_zone, count).saturating_add(zone.leg_chunk);
                let at = row.saturating_mul(self.chunk_bytes).saturating_add(within);
                let leg = zone.legs.get(crate::bytes::to_usize(turn));
                match leg.and_then(|index| self.legs.get(*index)) {
                    Some(leg) => leg.read(at, part),
                    None => Leg::missing().read(at, part),
                }
            },
        )
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.legs.iter().map(Leg::sector_bytes).max().unwrap_or(512)
    }
}
