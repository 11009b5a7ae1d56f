//! The devices of a file system and the one address space they make.
//!
//! A read asks for one copy by its number, so that a caller who finds its checksum wrong can ask for the next. Devices that
//! are missing or older than the others come last: a mirror that was left out for a while holds old content, not none.

use super::chunk::{Chunk, Piece, Row, Stripe};
use super::raid6::Elements;
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::source::{Source, SourceError};
use std::sync::Arc;

/// One device that was given.
pub(super) struct Device {
    pub(super) id: u64,
    pub(super) source: Arc<dyn Source>,
    /// Whether its superblock is older than the newest.
    pub(super) is_stale: bool,
    /// The size the file system uses of it.
    pub(super) length: u64,
}

/// Devices, and the chunks that lie on them in the order of their addresses.
pub(super) struct Pool {
    pub(super) devices: Vec<Device>,
    pub(super) chunks: Vec<Chunk>,
}

/// What to do for each piece of a read.
type ReadPiece<'a> = dyn FnMut(u64, &Piece, &mut [u8]) -> Result<(), EvidenceError> + 'a;

impl Pool {
    pub(super) fn device(&self, id: u64) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    /// Adds a chunk; one that overlaps another is refused.
    pub(super) fn add(&mut self, chunk: Chunk) -> Result<(), EvidenceError> {
        let index = self.chunks.partition_point(|other| other.end() <= chunk.start);
        match self.chunks.get(index) {
            Some(same) if same.start == chunk.start && same.length == chunk.length => Ok(()),
            Some(other) if other.start < chunk.end() => Err(EvidenceError::corrupt(format!(
                "chunk at {} overlaps the chunk at {}",
                chunk.start, other.start
            ))),
            _ => {
                self.chunks.insert(index, chunk);
                Ok(())
            }
        }
    }

    pub(super) fn chunk(&self, logical: u64) -> Result<&Chunk, EvidenceError> {
        let index = self.chunks.partition_point(|chunk| chunk.end() <= logical);
        self.chunks.get(index).filter(|chunk| chunk.start <= logical).ok_or_else(|| {
            EvidenceError::corrupt(format!("logical address {logical} lies in no chunk"))
        })
    }

    /// Where the bytes from `logical` on lie, at most `wanted` of them; the best copy comes first.
    pub(super) fn piece(&self, logical: u64, wanted: u64) -> Result<Piece, EvidenceError> {
        let chunk = self.chunk(logical)?;
        let mut piece = chunk.piece(logical.saturating_sub(chunk.start), wanted);
        if piece.copies.len() > 1 {
            piece.copies.sort_by_key(|place| match self.device(place.device) {
                Some(device) if !device.is_stale => 0,
                Some(_) => 1,
                None => 2,
            });
        }
        Ok(piece)
    }

    /// How many different ways there are to read the bytes at `logical`.
    pub(super) fn ways(&self, logical: u64) -> usize {
        self.piece(logical, 1).map_or(0, |piece| piece.ways())
    }

    /// Fills `buf` from `logical` on, each piece in the given way.
    pub(super) fn read(
        &self,
        logical: u64,
        buf: &mut [u8],
        way: usize,
    ) -> Result<(), EvidenceError> {
        self.pieces(logical, buf, &mut |at, piece, part| self.read_piece(at, piece, way, part))
    }

    /// Fills `buf` from `logical` on, each piece in the first way that gives any bytes.
    pub(super) fn read_first(&self, logical: u64, buf: &mut [u8]) -> Result<(), EvidenceError> {
        self.pieces(logical, buf, &mut |at, piece, part| {
            let mut trouble = None;
            for way in 0..piece.ways() {
                match self.read_piece(at, piece, way, part) {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        trouble.get_or_insert(error);
                    }
                }
            }
            trouble.map_or(Ok(()), Err)
        })
    }

    fn pieces(
        &self,
        logical: u64,
        buf: &mut [u8],
        read: &mut ReadPiece<'_>,
    ) -> Result<(), EvidenceError> {
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = logical.saturating_add(to_u64(done));
            let piece = self.piece(at, to_u64(rest.len()))?;
            let count = to_usize(piece.length).min(rest.len());
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
            read(at, &piece, part)?;
            done = done.saturating_add(count);
        }
        Ok(())
    }

    fn read_piece(
        &self,
        logical: u64,
        piece: &Piece,
        way: usize,
        part: &mut [u8],
    ) -> Result<(), EvidenceError> {
        match (piece.copies.get(way), &piece.row) {
            (Some(place), _) => self.read_place(*place, part),
            (None, Some(row)) => self.rebuild(row, way.saturating_sub(piece.copies.len()), part),
            (None, None) => Err(EvidenceError::corrupt(format!(
                "logical address {logical} has no copy number {way}"
            ))),
        }
    }

    fn read_place(&self, place: Stripe, buf: &mut [u8]) -> Result<(), EvidenceError> {
        let what = || format!("device {} at {}", place.device, place.at);
        let Some(device) = self.device(place.device) else {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "it is missing");
            let (offset_bytes, length_bytes) = (place.at, buf.len());
            let missing = SourceError { offset_bytes, length_bytes, source };
            return Err(EvidenceError::read(what())(missing));
        };
        device.source.fill(place.at, buf).map_err(EvidenceError::read(what()))
    }

    /// Computes the element wanted. Guess 0 trusts all others that can be read; guess n takes number n - 1 for wrong too.
    fn rebuild(&self, row: &Row, guess: usize, buf: &mut [u8]) -> Result<(), EvidenceError> {
        let doubted = guess.checked_sub(1);
        let mut all = Vec::new();
        for (index, place) in row.places.iter().enumerate() {
            let mut element = vec![0; buf.len()];
            let is_good = index != row.target
                && Some(index) != doubted
                && self.read_place(*place, &mut element).is_ok();
            all.push(is_good.then_some(element));
        }
        let elements = Elements { all: &all, parities: row.parities };
        let out = elements.rebuild(row.target).filter(|out| out.len() == buf.len());
        let out = out.ok_or_else(|| {
            let here = all.iter().filter(|element| element.is_some()).count();
            EvidenceError::corrupt(format!(
                "{here} of {} elements are too few to rebuild one",
                row.places.len()
            ))
        })?;
        buf.copy_from_slice(&out);
        Ok(())
    }
}
