//! SHA-256 of the pieces of a disk, if they are wanted: to say later which part of a copy was damaged.

use std::num::NonZeroU64;

use hashing::{Algorithms, MultiHasher, PieceDigests, PieceHasher};

/// Computes the SHA-256 of each piece of a stream.
#[derive(Clone)]
pub struct Pieces {
    hasher: Option<PieceHasher>,
}

impl Pieces {
    /// For pieces of this length; `None` computes nothing.
    #[must_use]
    pub fn new(piece_bytes: Option<u64>) -> Self {
        let piece_bytes = piece_bytes.and_then(NonZeroU64::new);
        let start = |piece_bytes| PieceHasher::new(&Algorithms::sha256(), piece_bytes);
        Self { hasher: piece_bytes.map(start) }
    }

    /// Goes on where an earlier run stood.
    pub(crate) fn resume(
        piece_bytes: Option<u64>,
        done: Vec<PieceDigests>,
        position_bytes: u64,
        hasher: MultiHasher,
    ) -> Self {
        let end = |last: &PieceDigests| last.offset_bytes.saturating_add(last.length_bytes);
        let taken_bytes = position_bytes.saturating_sub(done.last().map_or(0, end));
        let wanted = Algorithms::sha256();
        let piece_bytes = piece_bytes.and_then(NonZeroU64::new);
        let resume =
            |piece_bytes| PieceHasher::resume(&wanted, piece_bytes, done, hasher, taken_bytes);
        Self { hasher: piece_bytes.map(resume) }
    }

    /// The pieces done from number `first` on, and the state of the one under way.
    pub(crate) fn since(&self, first: usize) -> (Vec<PieceDigests>, Vec<u8>) {
        let nothing = || MultiHasher::new(&Algorithms::sha256()).state();
        let done = self.hasher.as_ref().map_or(&[][..], PieceHasher::done);
        let state = self.hasher.as_ref().map_or_else(nothing, PieceHasher::state);
        (done.get(first..).unwrap_or_default().to_vec(), state)
    }

    /// How many are done.
    pub(crate) fn count(&self) -> usize {
        self.hasher.as_ref().map_or(0, |hasher| hasher.done().len())
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    /// The digests of all pieces.
    #[must_use]
    pub fn finish(self) -> Vec<PieceDigests> {
        self.hasher.map_or_else(Vec::new, PieceHasher::finish)
    }
}
