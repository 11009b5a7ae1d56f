//! Digests of the pieces of a stream: to say later which part of a copy was damaged.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{Algorithms, Digests, MultiHasher};

/// The digests of one piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceDigests {
    /// Where it begins, in bytes.
    pub offset_bytes: u64,
    /// How long it is; the last one may be shorter than the others.
    pub length_bytes: u64,
    /// Its digests.
    pub digests: Digests,
}

/// Computes digests of the pieces of a stream, beside the digests of the whole.
#[derive(Clone)]
pub struct PieceHasher {
    algorithms: Algorithms,
    piece_bytes: NonZeroU64,
    hasher: MultiHasher,
    taken_bytes: u64,
    offset_bytes: u64,
    done: Vec<PieceDigests>,
}

impl PieceHasher {
    /// Pieces of this size, from the beginning of the stream.
    #[must_use]
    pub fn new(algorithms: &Algorithms, piece_bytes: NonZeroU64) -> Self {
        Self {
            algorithms: algorithms.clone(),
            piece_bytes,
            hasher: MultiHasher::new(algorithms),
            taken_bytes: 0,
            offset_bytes: 0,
            done: Vec::new(),
        }
    }

    /// Goes on where another stood: behind the pieces it had done, with `taken_bytes` of the next in `hasher`.
    #[must_use]
    pub fn resume(
        algorithms: &Algorithms,
        piece_bytes: NonZeroU64,
        done: Vec<PieceDigests>,
        hasher: MultiHasher,
        taken_bytes: u64,
    ) -> Self {
        let end = |last: &PieceDigests| last.offset_bytes.saturating_add(last.length_bytes);
        let offset_bytes = done.last().map_or(0, end);
        let algorithms = algorithms.clone();
        Self { algorithms, piece_bytes, hasher, taken_bytes, offset_bytes, done }
    }

    /// The pieces done so far, in order.
    #[must_use]
    pub fn done(&self) -> &[PieceDigests] {
        &self.done
    }

    /// The state of the piece under way, for [`MultiHasher::from_state`].
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        self.hasher.state()
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = self.piece_bytes.get().saturating_sub(self.taken_bytes);
            let length = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (head, rest) = bytes.split_at(length);
            self.hasher.update(head);
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            self.taken_bytes = self.taken_bytes.saturating_add(length);
            if self.taken_bytes >= self.piece_bytes.get() {
                self.close();
            }
            bytes = rest;
        }
    }

    fn close(&mut self) {
        let hasher = std::mem::replace(&mut self.hasher, MultiHasher::new(&self.algorithms));
        let (offset_bytes, length_bytes) = (self.offset_bytes, self.taken_bytes);
        self.done.push(PieceDigests { offset_bytes, length_bytes, digests: hasher.finish() });
        self.offset_bytes = offset_bytes.saturating_add(length_bytes);
        self.taken_bytes = 0;
    }

    /// The pieces in their order; none of an empty stream.
    #[must_use]
    pub fn finish(mut self) -> Vec<PieceDigests> {
        if self.taken_bytes > 0 {
            self.close();
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest_bytes;

    #[test]
    fn pieces_are_those_of_the_stream() {
        let bytes = vec![0x5a; 1_000_003];
        let algorithms = Algorithms::sha256();
        let mut hasher = PieceHasher::new(&algorithms, NonZeroU64::new(300_000).unwrap());
        bytes.chunks(77_777).for_each(|part| hasher.update(part));
        let pieces = hasher.finish();
        let expected: Vec<PieceDigests> = bytes
            .chunks(300_000)
            .zip(0u64..)
            .map(|(piece, number)| PieceDigests {
                offset_bytes: number * 300_000,
                length_bytes: piece.len() as u64,
                digests: digest_bytes(piece, &algorithms),
            })
            .collect();
        assert_eq!(pieces, expected);
        let none = PieceHasher::new(&algorithms, NonZeroU64::MIN).finish();
        assert!(none.is_empty());
    }
}
