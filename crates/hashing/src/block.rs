//! The part of a block that waits for the rest, and the padding behind the last: what all of MD5 and the SHA family share.
//!
//! RFC 1321 sections 3.1 and 3.2; FIPS 180-4 section 5.1. Blocks have 64 bytes, with SHA-384 and SHA-512 128.

use crate::saved::{Reader, put_bytes, put_u64};

/// What was taken of a stream and makes no whole block yet.
#[derive(Clone)]
pub(crate) struct Waiting<const N: usize> {
    total_bytes: u64,
    buffer: [u8; N],
}

impl<const N: usize> Waiting<N> {
    pub(crate) fn new() -> Self {
        Self { total_bytes: 0, buffer: [0; N] }
    }

    /// Length of the stream in bits, as far as 64 bits count: the standards of 64-byte blocks want it so, and with the
    /// others a stream of 2^61 bytes is past every disk.
    pub(crate) fn bits(&self) -> u64 {
        self.total_bytes.wrapping_mul(8)
    }

    fn filled(&self) -> usize {
        let block = u64::try_from(N).unwrap_or(u64::MAX);
        usize::try_from(self.total_bytes.checked_rem(block).unwrap_or(0)).unwrap_or(0)
    }

    /// Takes the next bytes; `compress` gets the whole blocks, in order.
    pub(crate) fn update(&mut self, bytes: &[u8], mut compress: impl FnMut(&[[u8; N]])) {
        let filled = self.filled();
        let taken = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.total_bytes = self.total_bytes.wrapping_add(taken);
        let mut bytes = bytes;
        if filled > 0 {
            let room = N.saturating_sub(filled);
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            let end = filled.saturating_add(head.len());
            if let Some(place) = self.buffer.get_mut(filled..end) {
                place.copy_from_slice(head);
            }
            if end < N {
                return;
            }
            compress(&[self.buffer]);
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks::<N>();
        compress(blocks);
        if let Some(place) = self.buffer.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
    }

    /// What is left, a one bit, zeros, and the length: one block, or two where the length finds no room.
    pub(crate) fn padded(&self, length: &[u8]) -> ([[u8; N]; 2], usize) {
        let mut blocks = [[0; N]; 2];
        let filled = self.filled();
        let bytes = blocks.as_flattened_mut();
        if let (Some(place), Some(left)) = (bytes.get_mut(..filled), self.buffer.get(..filled)) {
            place.copy_from_slice(left);
        }
        if let Some(mark) = bytes.get_mut(filled) {
            *mark = 0x80;
        }
        let count = if filled < N.saturating_sub(length.len()) { 1usize } else { 2 };
        let end = count.saturating_mul(N);
        if let Some(place) = bytes.get_mut(end.saturating_sub(length.len())..end) {
            place.copy_from_slice(length);
        }
        (blocks, count)
    }

    /// Appends it for [`Self::restore`].
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_u64(out, self.total_bytes);
        put_bytes(out, self.buffer.get(..self.filled()).unwrap_or_default());
    }

    /// What [`Self::save`] wrote.
    pub(crate) fn restore(from: &mut Reader<'_>) -> Option<Self> {
        let mut waiting = Self::new();
        waiting.total_bytes = from.u64()?;
        let left = from.bytes()?;
        if left.len() != waiting.filled() {
            return None;
        }
        waiting.buffer.get_mut(..left.len())?.copy_from_slice(left);
        Some(waiting)
    }
}
