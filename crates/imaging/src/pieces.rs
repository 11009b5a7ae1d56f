//! Digests of pieces of a disk: to say later which part of a copy was damaged.

use hashing::{Algorithms, Digests, MultiHasher};
use serde::{Deserialize, Serialize};

/// The digests of one piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceDigest {
    /// Where it begins on the source, in bytes.
    pub offset_bytes: u64,
    /// Its length; the last piece may be shorter than the others.
    pub length_bytes: u64,
    /// Its SHA-256.
    pub digests: Digests,
}

impl PieceDigest {
    fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(self.length_bytes)
    }
}

/// Computes the SHA-256 of each piece of a stream.
#[derive(Clone)]
pub struct Pieces {
    piece_bytes: Option<u64>,
    offset_bytes: u64,
    length_bytes: u64,
    hasher: MultiHasher,
    done: Vec<PieceDigest>,
}

impl Pieces {
    /// For pieces of this length; `None` computes nothing.
    #[must_use]
    pub fn new(piece_bytes: Option<u64>) -> Self {
        Self {
            piece_bytes: piece_bytes.filter(|length| *length > 0),
            offset_bytes: 0,
            length_bytes: 0,
            hasher: MultiHasher::new(&Algorithms::sha256()),
            done: Vec::new(),
        }
    }

    /// Goes on where an earlier run stood.
    pub(crate) fn resume(
        piece_bytes: Option<u64>,
        done: Vec<PieceDigest>,
        position_bytes: u64,
        hasher: MultiHasher,
    ) -> Self {
        let offset_bytes = done.last().map_or(0, PieceDigest::end_bytes);
        let length_bytes = position_bytes.saturating_sub(offset_bytes);
        Self { piece_bytes, offset_bytes, length_bytes, hasher, done }
    }

    /// The pieces done from number `first` on, and the state of the one under way.
    pub(crate) fn since(&self, first: usize) -> (Vec<PieceDigest>, Vec<u8>) {
        (self.done.get(first..).unwrap_or_default().to_vec(), self.hasher.state())
    }

    /// How many are done.
    pub(crate) fn count(&self) -> usize {
        self.done.len()
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let Some(piece_bytes) = self.piece_bytes else { return };
        while !bytes.is_empty() {
            let room = piece_bytes.saturating_sub(self.length_bytes);
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.hasher.update(now);
            let taken = u64::try_from(now.len()).unwrap_or(u64::MAX);
            self.length_bytes = self.length_bytes.saturating_add(taken);
            if self.length_bytes == piece_bytes {
                self.end_piece();
            }
            bytes = later;
        }
    }

    fn end_piece(&mut self) {
        let next = MultiHasher::new(&Algorithms::sha256());
        let digests = std::mem::replace(&mut self.hasher, next).finish();
        let (offset_bytes, length_bytes) = (self.offset_bytes, self.length_bytes);
        self.done.push(PieceDigest { offset_bytes, length_bytes, digests });
        self.offset_bytes = offset_bytes.saturating_add(length_bytes);
        self.length_bytes = 0;
    }

    /// The digests of all pieces.
    #[must_use]
    pub fn finish(mut self) -> Vec<PieceDigest> {
        if self.length_bytes > 0 {
            self.end_piece();
        }
        self.done
    }
}
