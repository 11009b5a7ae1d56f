//! SHA-512, which works on blocks of 128 bytes, with a state that can be written down.
//!
//! As in `block64`: the compression function is the crate's, buffer and padding are ours. FIPS 180-4 section 5.1.2.

use crate::block::Waiting;
use crate::saved::{Reader, put_u64};
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
    waiting: Waiting<BLOCK_BYTES>,
}

impl Block128 {
    pub(crate) fn new() -> Self {
        Self { state: START, waiting: Waiting::new() }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let state = &mut self.state;
        self.waiting.update(bytes, |blocks| sha2::block_api::compress512(state, blocks));
    }

    /// The digest of everything taken.
    pub(crate) fn finish(mut self, digests: &mut Digests) {
        let length = u128::from(self.waiting.bits()).to_be_bytes();
        let (blocks, count) = self.waiting.padded(&length);
        sha2::block_api::compress512(&mut self.state, blocks.get(..count).unwrap_or(&blocks));
        let words = self.state.map(u64::to_be_bytes);
        if let Ok(digest) = Digest::new(Algorithm::Sha512, words.as_flattened()) {
            digests.insert(digest);
        }
    }

    /// Appends the state for [`Self::restore`].
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        self.waiting.save(out);
        self.state.iter().for_each(|word| put_u64(out, *word));
    }

    /// The state that [`Self::save`] wrote.
    pub(crate) fn restore(from: &mut Reader<'_>) -> Option<Self> {
        let mut state = Self::new();
        state.waiting = Waiting::restore(from)?;
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
