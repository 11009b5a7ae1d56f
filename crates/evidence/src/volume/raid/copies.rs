//! RAID 1 and RAID 10: every chunk on several legs (Linux `drivers/md/raid10.c`, `__raid10_find_phys`).

use super::{Leg, by_chunk, div, halving, rem};
use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};

/// How the copies of a chunk are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::volume) struct Spread {
    /// Copies side by side.
    pub(in crate::volume) near: u64,
    /// Copies far away.
    pub(in crate::volume) far: u64,
    /// Bytes between far copies on a leg; one chunk in the "offset" layout.
    pub(in crate::volume) stride_bytes: u64,
    /// Far copies stand in the next row instead of in another part of the leg.
    pub(in crate::volume) is_offset: bool,
    /// Legs among which far copies move.
    pub(in crate::volume) set_legs: u64,
}

/// A mirrored or mirrored and striped set.
pub(in crate::volume) struct Copies {
    legs: Vec<Leg>,
    spread: Option<Spread>,
    chunk_bytes: u64,
    size_bytes: u64,
}

impl Copies {
    /// A plain mirror: each leg holds everything.
    pub(in crate::volume) fn mirror(legs: Vec<Leg>, size_bytes: u64) -> Self {
        Self { legs, spread: None, chunk_bytes: u64::MAX, size_bytes }
    }

    /// RAID 10; `chunk_bytes`, `spread.near`, `spread.far` and `spread.set_legs` are not 0.
    pub(in crate::volume) fn spread(
        legs: Vec<Leg>,
        spread: Spread,
        chunk_bytes: u64,
        size_bytes: u64,
    ) -> Self {
        Self { legs, spread: Some(spread), chunk_bytes, size_bytes }
    }

    /// Whether every chunk is on some leg that is there.
    pub(in crate::volume) fn is_complete(&self) -> bool {
        // The pattern repeats after as many chunks as there are legs.
        (0..to_u64(self.legs.len())).all(|chunk| {
            self.places(chunk)
                .iter()
                .any(|(leg, _)| self.legs.get(*leg).is_some_and(|leg| !leg.is_missing()))
        })
    }

    /// Leg and offset of each copy of a chunk.
    fn places(&self, chunk: u64) -> Vec<(usize, u64)> {
        let legs = to_u64(self.legs.len());
        let Some(spread) = self.spread else {
            let at = chunk.saturating_mul(self.chunk_bytes);
            return (0..self.legs.len()).map(|leg| (leg, at)).collect();
        };
        let mut places = Vec::new();
        let first = chunk.saturating_mul(spread.near);
        let mut leg = rem(first, legs);
        let mut row = div(first, legs);
        if spread.is_offset {
            row = row.saturating_mul(spread.far);
        }
        for _ in 0..spread.near {
            let (mut far_leg, mut at) = (leg, row.saturating_mul(self.chunk_bytes));
            places.push((to_usize(far_leg), at));
            for _ in 1..spread.far {
                far_leg = self.next_leg(far_leg, spread);
                at = at.saturating_add(spread.stride_bytes);
                places.push((to_usize(far_leg), at));
            }
            leg = leg.saturating_add(1);
            if leg >= legs {
                leg = 0;
                row = row.saturating_add(1);
            }
        }
        places
    }

    /// The leg of the next far copy: `near` further on, round within its group of legs. The last group takes the legs
    /// left over, and who belongs to it is asked after the step, as the kernel does.
    fn next_leg(&self, leg: u64, spread: Spread) -> u64 {
        let legs = to_u64(self.legs.len());
        let groups = div(legs, spread.set_legs).max(1);
        let last_start = groups.saturating_sub(1).saturating_mul(spread.set_legs);
        let next = leg.saturating_add(spread.near);
        if rem(legs, spread.set_legs) != 0 && next > last_start {
            let length = legs.saturating_sub(last_start);
            rem(next.saturating_sub(last_start), length).saturating_add(last_start)
        } else {
            let start = div(leg, spread.set_legs).saturating_mul(spread.set_legs);
            rem(next, spread.set_legs).saturating_add(start)
        }
    }

    fn read_place(&self, leg: usize, at: u64, part: &mut [u8]) -> Result<(), SourceError> {
        match self.legs.get(leg) {
            Some(leg) => leg.read(at, part),
            None => Leg::missing().read(at, part),
        }
    }
}

impl Source for Copies {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        by_chunk(
            offset_bytes,
            buf,
            self.chunk_bytes,
            self.size_bytes,
            &mut |chunk, within, part| {
                let places = self.places(chunk);
                halving(within, part, &|within, part| {
                    let mut answer = Leg::missing().read(within, part);
                    for (leg, start) in &places {
                        answer = self.read_place(*leg, start.saturating_add(within), part);
                        if answer.is_ok() {
                            break;
                        }
                    }
                    answer
                })
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
