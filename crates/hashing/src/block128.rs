//! SHA-512, which works on blocks of 128 bytes, with a state that can be written down.
//!
//! As in `block64`: the compression function is the crate's, buffer and padding are ours. FIPS 180-4 section 5.1.2.

use crate::saved::{Reader, put_bytes, put_u64};
use crate::{Algorithm, Digest, Digests};

const BLOCK_BYTES: usize = 128;

// FIPS 180-4 section 5.3.5.
const START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The state of SHA-512.
#[derive(Clone)]
pub(crate) struct Block128 {
    state: [u64; 8],
    total_bytes: u64,
    buffer: [u8; BLOCK_BYTES],
}

impl Block128 {
    pub(crate) fn new() -> Self {
        Self { state: START, total_bytes: 0, buffer: [0; BLOCK_BYTES] }
    }

    fn filled(&self) -> usize {
        let block = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
        usize::try_from(self.total_bytes.checked_rem(block).unwrap_or(0)).unwrap_or(0)
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let filled = self.filled();
        let taken = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.total_bytes = self.total_bytes.wrapping_add(taken);
        let mut bytes = bytes;
        if filled > 0 {
            let room = BLOCK_BYTES.saturating_sub(filled);
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            let end = filled.saturating_add(head.len());
            if let Some(place) = self.buffer.get_mut(filled..end) {
                place.copy_from_slice(head);
            }
            if end < BLOCK_BYTES {
                return;
            }
            sha2::block_api::compress512(&mut self.state, &[self.buffer]);
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        sha2::block_api::compress512(&mut self.state, blocks);
        if let Some(place) = self.buffer.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
    }

    /// The digest of everything taken.
    pub(crate) fn finish(mut self, digests: &mut Digests) {
        let mut blocks = [[0; BLOCK_BYTES]; 2];
        let filled = self.filled();
        let bytes = blocks.as_flattened_mut();
        if let (Some(place), Some(left)) = (bytes.get_mut(..filled), self.buffer.get(..filled)) {
            place.copy_from_slice(left);
        }
        if let Some(mark) = bytes.get_mut(filled) {
            *mark = 0x80;
        }
        let length = u128::from(self.total_bytes).wrapping_mul(8).to_be_bytes();
        let count = if filled < BLOCK_BYTES.saturating_sub(length.len()) { 1usize } else { 2 };
        let end = count.saturating_mul(BLOCK_BYTES);
        if let Some(place) = bytes.get_mut(end.saturating_sub(length.len())..end) {
            place.copy_from_slice(&length);
        }
        sha2::block_api::compress512(&mut self.state, blocks.get(..count).unwrap_or(&blocks));
        let words = self.state.map(u64::to_be_bytes);
        if let Ok(digest) = Digest::new(Algorithm::Sha512, words.as_flattened()) {
            digests.insert(digest);
        }
    }

    /// Appends the state for [`Self::restore`].
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_u64(out, self.total_bytes);
        put_bytes(out, self.buffer.get(..self.filled()).unwrap_or_default());
        self.state.iter().for_each(|word| put_u64(out, *word));
    }

    /// The state that [`Self::save`] wrote.
    pub(crate) fn restore(from: &mut Reader<'_>) -> Option<Self> {
        let mut state = Self::new();
        state.total_bytes = from.u64()?;
        let left = from.bytes()?;
        if left.len() != state.filled() {
            return None;
        }
        state.buffer.get_mut(..left.len())?.copy_from_slice(left);
        for word in &mut state.state {
            *word = from.u64()?;
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest as _;

    /// Independent path: the crate with its own buffering, for every length around three blocks and every cut.
    #[test]
    fn every_short_length_agrees_with_the_crate() {
        let bytes: Vec<u8> = (0..400u32).map(|n| n.wrapping_mul(167).to_le_bytes()[0]).collect();
        for length in 0..bytes.len() {
            let mut state = Block128::new();
            let (a, b) = bytes[..length].split_at(length / 3);
            state.update(a);
            state.update(b);
            let mut digests = Digests::default();
            state.finish(&mut digests);
            let expected = sha2::Sha512::digest(&bytes[..length]);
            assert_eq!(digests.of(Algorithm::Sha512).unwrap().as_bytes(), &expected[..]);
        }
    }
}
