//! MD5, SHA-1 and SHA-256, which all work on blocks of 64 bytes, behind one buffer.
//!
//! The compression functions are the crates'; the buffer and the padding are ours, for two reasons: MD5 and SHA-256 of
//! one stream, and SHA-1 with them, can go through `sys::digest`, which computes all in the time of one, and a state between two reads is a
//! handful of numbers that can be written down and taken up again. RFC 1321 section 3; FIPS 180-4 section 5.1.1.

use sys::digest::Together;

use crate::block::Waiting;
use crate::saved::{Reader, put_bytes};
use crate::{Algorithm, Algorithms, Digest, Digests};

/// Blocks given to each algorithm in turn: 128 KiB stay in a core's own cache.
const BLOCKS_AT_ONCE: usize = 2048;

const BLOCK_BYTES: usize = 64;

// The starting values: RFC 1321 section 3.3, FIPS 180-4 sections 5.3.1 and 5.3.3.
const MD5_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
const SHA1_START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
const SHA256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The states of those of the three that are wanted.
#[derive(Clone)]
pub(crate) struct Block64 {
    md5: Option<[u32; 4]>,
    sha1: Option<[u32; 5]>,
    sha256: Option<[u32; 8]>,
    /// The way to compute MD5 and SHA-256 together, where the processor has one.
    together: Option<Together>,
    waiting: Waiting<BLOCK_BYTES>,
}

impl Block64 {
    /// Nothing taken yet; `None` if none of the three is wanted.
    pub(crate) fn new(algorithms: &Algorithms) -> Option<Self> {
        let start = Self {
            md5: algorithms.has(Algorithm::Md5).then_some(MD5_START),
            sha1: algorithms.has(Algorithm::Sha1).then_some(SHA1_START),
            sha256: algorithms.has(Algorithm::Sha256).then_some(SHA256_START),
            together: Together::detect(),
            waiting: Waiting::new(),
        };
        (start.md5.is_some() || start.sha1.is_some() || start.sha256.is_some()).then_some(start)
    }

    /// The same without the processor's help for MD5 and SHA-256 together.
    #[cfg(test)]
    fn one_after_the_other(mut self) -> Self {
        self.together = None;
        self
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut waiting = std::mem::replace(&mut self.waiting, Waiting::new());
        waiting.update(bytes, |blocks| {
            blocks.chunks(BLOCKS_AT_ONCE).for_each(|some| self.compress(some));
        });
        self.waiting = waiting;
    }

    fn compress(&mut self, blocks: &[[u8; BLOCK_BYTES]]) {
        match (self.together, &mut self.md5, &mut self.sha1, &mut self.sha256) {
            (Some(together), Some(md5), Some(sha1), Some(sha256)) => {
                together.compress_three(md5, sha1, sha256, blocks);
            }
            (Some(together), Some(md5), None, Some(sha256)) => {
                together.compress(md5, sha256, blocks);
            }
            (_, md5, sha1, sha256) => {
                if let Some(state) = md5 {
                    md5::block_api::compress(state, blocks);
                }
                if let Some(state) = sha1 {
                    sha1::block_api::compress(state, blocks);
                }
                if let Some(state) = sha256 {
                    sha2::block_api::compress256(state, blocks);
                }
            }
        }
    }

    /// The digests of everything taken.
    pub(crate) fn finish(self, digests: &mut Digests) {
        let bits = self.waiting.bits();
        let mut put = |algorithm, bytes: &[u8]| {
            if let Ok(digest) = Digest::new(algorithm, bytes) {
                digests.insert(digest);
            }
        };
        let (big, count) = self.waiting.padded(&bits.to_be_bytes());
        let big = big.get(..count).unwrap_or(&big);
        if let Some(mut state) = self.md5 {
            let (little, count) = self.waiting.padded(&bits.to_le_bytes());
            md5::block_api::compress(&mut state, little.get(..count).unwrap_or(&little));
            put(Algorithm::Md5, state.map(u32::to_le_bytes).as_flattened());
        }
        if let Some(mut state) = self.sha1 {
            sha1::block_api::compress(&mut state, big);
            put(Algorithm::Sha1, state.map(u32::to_be_bytes).as_flattened());
        }
        if let Some(mut state) = self.sha256 {
            sha2::block_api::compress256(&mut state, big);
            put(Algorithm::Sha256, state.map(u32::to_be_bytes).as_flattened());
        }
    }

    /// Appends the state for [`Self::restore`].
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        self.waiting.save(out);
        let words = |state: Option<&[u32]>| -> Vec<u8> {
            state.unwrap_or_default().iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        put_bytes(out, &words(self.md5.as_ref().map(<[u32; 4]>::as_slice)));
        put_bytes(out, &words(self.sha1.as_ref().map(<[u32; 5]>::as_slice)));
        put_bytes(out, &words(self.sha256.as_ref().map(<[u32; 8]>::as_slice)));
    }

    /// The state that [`Self::save`] wrote, for the same algorithms.
    pub(crate) fn restore(algorithms: &Algorithms, from: &mut Reader<'_>) -> Option<Self> {
        let mut state = Self::new(algorithms)?;
        state.waiting = Waiting::restore(from)?;
        words(from.bytes()?, state.md5.as_mut())?;
        words(from.bytes()?, state.sha1.as_mut())?;
        words(from.bytes()?, state.sha256.as_mut())?;
        Some(state)
    }
}

fn words<const N: usize>(bytes: &[u8], state: Option<&mut [u32; N]>) -> Option<()> {
    let (words, rest) = bytes.as_chunks::<4>();
    match state {
        None => bytes.is_empty().then_some(()),
        Some(state) if words.len() == N && rest.is_empty() => {
            for (place, word) in state.iter_mut().zip(words) {
                *place = u32::from_le_bytes(*word);
            }
            Some(())
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest as _;

    fn judged(bytes: &[u8]) -> [(Algorithm, Vec<u8>); 3] {
        [
            (Algorithm::Md5, md5::Md5::digest(bytes).to_vec()),
            (Algorithm::Sha1, sha1::Sha1::digest(bytes).to_vec()),
            (Algorithm::Sha256, sha2::Sha256::digest(bytes).to_vec()),
        ]
    }

    fn ours(start: &Block64, pieces: &[&[u8]]) -> Digests {
        let mut state = start.clone();
        pieces.iter().for_each(|piece| state.update(piece));
        let mut digests = Digests::default();
        state.finish(&mut digests);
        digests
    }

    fn compare(start: &Block64, pieces: &[&[u8]]) {
        let digests = ours(start, pieces);
        for (algorithm, expected) in judged(&pieces.concat()) {
            let Some(found) = digests.of(algorithm) else {
                assert!(algorithm == Algorithm::Sha1 && start.sha1.is_none());
                continue;
            };
            assert_eq!(
                found.as_bytes(),
                expected,
                "{algorithm} of {} bytes",
                pieces.concat().len()
            );
        }
    }

    /// Three together, two together, and each for itself.
    fn starts() -> [Block64; 3] {
        let all: Algorithms = Algorithm::ALL.into_iter().collect();
        let start = Block64::new(&all).unwrap();
        let two = Block64::new(&Algorithms::sha256().with(Algorithm::Md5)).unwrap();
        [start.clone(), two, start.one_after_the_other()]
    }

    /// Independent path: the digest crates with their own buffering, for every length around three blocks.
    #[test]
    fn every_short_length_agrees_with_the_crates() {
        let bytes: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(167) ^ 0x5a).collect();
        for length in 0..bytes.len() {
            starts().iter().for_each(|start| compare(start, &[&bytes[..length]]));
        }
    }

    #[test]
    fn subsets_give_only_what_was_asked() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256] {
            let start = Block64::new(&Algorithms::exactly([algorithm]).unwrap()).unwrap();
            let digests = ours(&start, &[b"abc", b"def"]);
            let expected = judged(b"abcdef").into_iter().find(|(one, _)| *one == algorithm);
            assert_eq!(digests.of(algorithm).unwrap().as_bytes(), expected.unwrap().1);
            assert_eq!(digests.iter().count(), 1);
        }
        assert!(Block64::new(&Algorithms::exactly([Algorithm::Blake3]).unwrap()).is_none());
    }

    proptest! {
        /// Independent path: the digest crates. Any bytes in any pieces, with and without the combined kernel.
        #[test]
        fn any_pieces_agree_with_the_crates(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..12),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            starts().iter().for_each(|start| compare(start, &pieces));
        }
    }

    #[test]
    fn long_runs_agree_with_the_crates() {
        let bytes: Vec<u8> =
            (0..400_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let (a, b) = bytes.split_at(133_337);
        starts().iter().for_each(|start| compare(start, &[a, b]));
    }
}
