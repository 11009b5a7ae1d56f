//! RAID 4, 5 and 6: read from the leg that has the data, or worked out from the others.

use super::layout::{ParityLayout, Row};
use super::{Leg, by_chunk, div, galois, halving, rem};
use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use crate::volume::crypt::xor;

/// Bytes worked out at once: three buffers of this size, whatever the chunk.
const PIECE_BYTES: usize = 1 << 16;

/// A set with parity.
pub(in crate::volume) struct Parity {
    legs: Vec<Leg>,
    layout: ParityLayout,
    chunk_bytes: u64,
    size_bytes: u64,
}

impl Parity {
    /// More legs than `layout.parities()`; `chunk_bytes` is not 0.
    pub(in crate::volume) fn new(
        legs: Vec<Leg>,
        layout: ParityLayout,
        chunk_bytes: u64,
        size_bytes: u64,
    ) -> Self {
        Self { legs, layout, chunk_bytes, size_bytes }
    }

    fn read_leg(&self, leg: usize, at: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        match self.legs.get(leg) {
            Some(leg) => leg.read(at, buf),
            None => Leg::missing().read(at, buf),
        }
    }

    /// Fills `buf` with the data chunk `wanted` of `row`, from `at` on each leg.
    fn read(&self, row: &Row, wanted: usize, at: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let leg = row.data.get(wanted).copied().unwrap_or(usize::MAX);
        let error = match self.read_leg(leg, at, buf) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let mut at = at;
        for piece in buf.chunks_mut(PIECE_BYTES) {
            // Who could not help is of less interest than why help was needed.
            let worked = self.work_out_by_p(row, wanted, at, piece).is_ok()
                || self.work_out_by_q(row, wanted, at, piece).is_ok();
            if !worked {
                return Err(error);
            }
            at = at.saturating_add(to_u64(piece.len()));
        }
        Ok(())
    }

    /// All other legs but Q, added up.
    fn work_out_by_p(
        &self,
        row: &Row,
        wanted: usize,
        at: u64,
        piece: &mut [u8],
    ) -> Result<(), SourceError> {
        let mut other = vec![0; piece.len()];
        self.read_leg(row.parity, at, piece)?;
        for (_, leg) in row.data.iter().enumerate().filter(|(index, _)| *index != wanted) {
            self.read_leg(*leg, at, &mut other)?;
            xor(piece, &other);
        }
        Ok(())
    }

    /// With Q: P may be missing, or one more data leg.
    fn work_out_by_q(
        &self,
        row: &Row,
        wanted: usize,
        at: u64,
        piece: &mut [u8],
    ) -> Result<(), SourceError> {
        let Some(q) = row.q else { return Leg::missing().read(at, piece) };
        let factor = |index: usize| galois::power(row.exponents.get(index).copied().unwrap_or(0));
        let mut other = vec![0; piece.len()];
        let mut sum = vec![0; piece.len()];
        self.read_leg(q, at, piece)?;
        let mut also_missing = None;
        for (index, leg) in row.data.iter().enumerate().filter(|(index, _)| *index != wanted) {
            match self.read_leg(*leg, at, &mut other) {
                Ok(()) => {
                    xor(&mut sum, &other);
                    galois::add_times(piece, factor(index), &other);
                }
                Err(error) if also_missing.is_some() => return Err(error),
                Err(_) => also_missing = Some(index),
            }
        }
        let own = factor(wanted);
        let Some(second) = also_missing else {
            galois::scale(piece, galois::inverse(own));
            return Ok(());
        };
        self.read_leg(row.parity, at, &mut other)?;
        xor(&mut sum, &other);
        // P = a + b and Q = g^i a + g^j b, so a = (Q + g^j P) / (g^i + g^j).
        galois::add_times(piece, factor(second), &sum);
        galois::scale(piece, galois::inverse(own ^ factor(second)));
        Ok(())
    }
}

impl Source for Parity {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let legs = self.legs.len();
        let data = to_u64(legs.saturating_sub(self.layout.parities()));
        by_chunk(
            offset_bytes,
            buf,
            self.chunk_bytes,
            self.size_bytes,
            &mut |chunk, within, part| {
                let number = div(chunk, data);
                let row = self.layout.row(number, legs);
                let wanted = to_usize(rem(chunk, data));
                let at = number.saturating_mul(self.chunk_bytes).saturating_add(within);
                halving(at, part, &|at, part| self.read(&row, wanted, at, part))
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
