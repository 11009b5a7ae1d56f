//! Deflate for the chunks of an image: one block of at most 32 KiB, made in two passes, as fast as digests are.
//!
//! Ours because imaging needs what no crate in Rust offers (`docs/decisions/0009…`): level 1 of zlib-rs writes fixed codes
//! and 6 % more than zlib, its level 2 is slower than reading; the fast ones are C. A chunk is short enough for one look
//! into a table of places and for one set of codes; its exact length is known before the first bit is written, so a chunk
//! that does not shrink costs half. The same bytes always give the same stream, whatever came before.
//!
//! RFC 1951 (deflate), RFC 1950 (its wrapping). Our own work on bytes from evidence: only their content is foreign, never a
//! length or an offset.

mod adler;
mod bits;
mod codes;
mod find;

pub(crate) use adler::adler32;
use bits::Bits;
use codes::{Codes, DISTANCES, Header, LITERALS};
use find::{Finder, Found};

/// The longest block taken: distances reach no further than this anyway.
pub(crate) const MAX_BYTES: usize = 32 << 10;

/// Two bytes before the stream: deflate, 32 KiB, fastest; a multiple of 31 (RFC 1950, 2.2).
const ZLIB_HEAD: [u8; 2] = [0x78, 0x01];

/// The sum behind it.
const ZLIB_TAIL_BYTES: u64 = 4;

/// Ends a block.
const END: usize = 256;

/// Codes of literals and lengths have at most so many bits, so that four of them fit between two writes.
const LITERAL_BITS: u8 = 14;
const DISTANCE_BITS: u8 = 15;

/// Compresses blocks one by one, each for itself.
pub(crate) struct Deflate {
    finder: Finder,
    found: Found,
    bits: Bits,
}

impl Deflate {
    pub(crate) fn new() -> Self {
        Self { finder: Finder::new(), found: Found::default(), bits: Bits::new() }
    }

    /// Appends the zlib stream of `block` to `out` if that is shorter than the block.
    ///
    /// `None`, and nothing appended, when it is not shorter or the block is longer than [`MAX_BYTES`].
    pub(crate) fn zlib(&mut self, block: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if block.len() > MAX_BYTES {
            return None;
        }
        self.finder.find(block, &mut self.found);
        let found = &mut self.found;
        if let Some(end) = found.literals.get_mut(END) {
            *end = 1;
        }
        let literals = Codes::<LITERALS>::new(&found.literals, LITERAL_BITS);
        let distances = Codes::<DISTANCES>::new(&found.distances, DISTANCE_BITS);
        let header = Header::new(&literals.lengths, &distances.lengths);
        let length_bits = header
            .length_bits()
            .wrapping_add(literals.length_bits(&found.literals))
            .wrapping_add(distances.length_bits(&found.distances))
            .wrapping_add(find::extra_bits(&found.literals, &found.distances));
        let head = u64::try_from(ZLIB_HEAD.len()).unwrap_or(2);
        let length = length_bits.div_ceil(8).saturating_add(head).saturating_add(ZLIB_TAIL_BYTES);
        if length >= u64::try_from(block.len()).unwrap_or(u64::MAX) {
            return None;
        }
        self.bits.begin();
        header.write(&mut self.bits);
        self.finder.write(&self.found.sequences, &literals, &distances, &mut self.bits);
        out.extend_from_slice(&ZLIB_HEAD);
        out.extend_from_slice(self.bits.end());
        out.extend_from_slice(&adler32(block).to_be_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;

    fn packed(deflate: &mut Deflate, block: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0xee];
        let done = deflate.zlib(block, &mut out);
        assert_eq!(out[0], 0xee);
        assert!(done.is_some() || out.len() == 1);
        done.map(|()| out[1..].to_vec())
    }

    fn unpacked(stream: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader = flate2::read::ZlibDecoder::new(stream);
        reader.read_to_end(&mut out).unwrap();
        assert_eq!(reader.total_in() as usize, stream.len());
        out
    }

    fn check(block: &[u8]) -> Option<usize> {
        let stream = packed(&mut Deflate::new(), block)?;
        assert!(stream.len() < block.len());
        assert_eq!(unpacked(&stream), block);
        Some(stream.len())
    }

    /// Vouched for by zlib-rs, which unpacks and compares the sum.
    #[test]
    fn streams_of_every_kind_are_read() {
        let text = "the quick brown fox jumps over the lazy dog; ".repeat(800);
        assert!(check(&text.as_bytes()[..MAX_BYTES]).unwrap() < 400);
        assert!(check(&[0; MAX_BYTES]).unwrap() < 80);
        // One symbol, one distance; the last bytes of the block in a match; nearly nothing.
        for length in [40, 64, 258, 259, 300, 32_767] {
            assert!(check(&vec![b'a'; length]).is_some(), "{length}");
        }
        // The farthest distance there is.
        let mut far = vec![0; MAX_BYTES];
        far[..16].copy_from_slice(b"0123456789abcdef");
        far[MAX_BYTES - 16..].copy_from_slice(b"0123456789abcdef");
        assert!(check(&far).is_some());
        // Counts like Fibonacci's numbers want codes longer than allowed.
        let (mut a, mut b, mut steep) = (1usize, 1usize, Vec::new());
        for byte in 0..21u8 {
            steep.extend(std::iter::repeat_n(byte, a));
            (a, b) = (b, a + b);
        }
        let mut mixed = vec![0; steep.len()];
        for (number, byte) in steep.iter().enumerate() {
            mixed[number * 7919 % steep.len()] = *byte;
        }
        assert!(check(&mixed[..mixed.len().min(MAX_BYTES)]).is_some());
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        let noise: Vec<u8> = (0..MAX_BYTES as u64)
            .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect();
        let mut state = 1u64;
        let noise: Vec<u8> = noise
            .iter()
            .map(|byte| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                byte ^ (state >> 32) as u8
            })
            .collect();
        assert_eq!(check(&noise), None);
        assert_eq!(check(&[]), None);
        assert_eq!(check(b"abc"), None);
        assert_eq!(check(&vec![0; MAX_BYTES + 1]), None);
    }

    /// An image must not depend on which worker took which chunk.
    #[test]
    fn nothing_of_an_earlier_block_shows() {
        let first: Vec<u8> = (0..MAX_BYTES).map(|n| (n * n / 700) as u8).collect();
        let second: Vec<u8> = (0..MAX_BYTES).map(|n| (n / 3 % 97) as u8).collect();
        let mut used = Deflate::new();
        packed(&mut used, &first);
        assert_eq!(packed(&mut used, &second), packed(&mut Deflate::new(), &second));
    }

    proptest! {
        /// Vouched for by zlib-rs: blocks of few and many different bytes, repeated at any distance.
        #[test]
        fn any_block_is_read_back(
            words in proptest::collection::vec(proptest::collection::vec(0u8..=255, 1..40), 1..30),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..900),
            mask: u8,
        ) {
            let mut block: Vec<u8> = words.concat();
            for index in order {
                block.extend(words[index.index(words.len())].iter().map(|byte| byte & mask));
            }
            block.truncate(MAX_BYTES);
            check(&block);
        }
    }
}
