//! Repetitions in a block, and the symbols that tell of them (RFC 1951, 3.2.5).
//!
//! A table remembers where four bytes were seen last; one look, the first repetition is taken. The window is as long as a
//! `u16` can name, and so are all places: the compiler then knows that no access leaves it.

use super::bits::Bits;
use super::codes::{Codes, DISTANCES, LITERALS};

/// The table: 32 KiB, which stays in a core's first cache.
const PLACE_BITS: u32 = 14;
const PLACES: usize = 1 << PLACE_BITS;

/// Room for a block, and for eight bytes to be read at any place a `u16` can name.
const WINDOW: usize = (1 << 16) + 8;

/// Repetitions of fewer bytes are not looked for.
const LEAST: u16 = 4;
const MOST: u16 = 258;

/// After so many places in vain the steps grow: what does not repeat here will not soon.
const PATIENCE_BITS: u32 = 6;

/// Symbols of lengths begin here.
const FIRST_LENGTH: usize = 257;

/// Symbol (from [`FIRST_LENGTH`] on), extra bits and their value, for each length of a repetition.
static LENGTHS: [(u8, u8, u8); 259] = lengths();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "computed when compiling: a mistake does not build"
)]
const fn lengths() -> [(u8, u8, u8); 259] {
    let mut table = [(0, 0, 0); 259];
    let mut length = 3;
    let mut symbol = 0;
    while length < 258 {
        // Four symbols for each number of extra bits, the first eight have none.
        let extra = if symbol < 8 { 0 } else { (symbol - 4) / 4 };
        let mut value = 0;
        while value < 1 << extra && length < 258 {
            table[length] = (symbol, extra, value as u8);
            length += 1;
            value += 1;
        }
        symbol += 1;
    }
    table[258] = (28, 0, 0);
    table
}

/// A run of bytes as they are, and the repetition behind it; without one (the end of the block) its length is 0.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    plain: u16,
    length: u16,
    distance: u16,
}

/// What a block is made of, and how often each symbol occurs.
pub(super) struct Found {
    pub(super) sequences: Vec<Sequence>,
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
}

impl Default for Found {
    fn default() -> Self {
        Self { sequences: Vec::new(), literals: [0; LITERALS], distances: [0; DISTANCES] }
    }
}

impl Found {
    fn clear(&mut self) {
        self.sequences.clear();
        self.literals.fill(0);
        self.distances.fill(0);
    }

    fn plain(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(count) = self.literals.get_mut(usize::from(*byte)) {
                *count = count.wrapping_add(1);
            }
        }
    }

    fn repetition(&mut self, plain: u16, length: u16, distance: u16) {
        let (symbol, _, _) = LENGTHS.get(usize::from(length)).copied().unwrap_or_default();
        if let Some(count) = self.literals.get_mut(FIRST_LENGTH.wrapping_add(usize::from(symbol))) {
            *count = count.wrapping_add(1);
        }
        if let Some(count) = self.distances.get_mut(distance_symbol(distance).0) {
            *count = count.wrapping_add(1);
        }
        self.sequences.push(Sequence { plain, length, distance });
    }
}

/// Symbol, extra bits and their value of a distance.
#[inline]
fn distance_symbol(distance: u16) -> (usize, u32, u64) {
    let from = u32::from(distance).wrapping_sub(1);
    // Two symbols for each power of two: the bit below the highest tells which; the first four have no extra bits.
    let high = (from | 2).ilog2();
    let extra = high.wrapping_sub(1);
    let symbol = high.wrapping_mul(2).wrapping_add(from.wrapping_shr(extra) & 1);
    let symbol = if from < 2 { from } else { symbol };
    let value = u64::from(from) & (1u64.wrapping_shl(extra)).wrapping_sub(1);
    (usize::try_from(symbol).unwrap_or(0), extra, value)
}

/// Bits beside the codes that so many symbols take.
pub(super) fn extra_bits(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> u64 {
    let lengths = literals.iter().skip(FIRST_LENGTH).zip(0u64..).map(|(count, symbol)| {
        let bits = if symbol < 8 || symbol == 28 { 0 } else { symbol.wrapping_sub(4) / 4 };
        u64::from(*count).wrapping_mul(bits)
    });
    let distances = distances
        .iter()
        .zip(0u64..)
        .map(|(count, symbol)| u64::from(*count).wrapping_mul((symbol / 2).saturating_sub(1)));
    lengths.chain(distances).sum()
}

/// Looks for repetitions.
pub(super) struct Finder {
    window: Box<[u8; WINDOW]>,
    places: Box<[u16; PLACES]>,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { window: Box::new([0; WINDOW]), places: Box::new([0; PLACES]) }
    }

    /// Finds the repetitions of a block of at most 32 KiB.
    pub(super) fn find(&mut self, block: &[u8], found: &mut Found) {
        found.clear();
        // What an earlier block left must not show, in the table or behind the end.
        self.places.fill(0);
        if let Some(place) = self.window.get_mut(..block.len()) {
            place.copy_from_slice(block);
        }
        let end = u16::try_from(block.len()).unwrap_or(0);
        let last = end.saturating_sub(LEAST);
        let (mut at, mut plain_from, mut misses) = (0u16, 0u16, 0u32);
        while at < last {
            let word = self.word(at);
            let seen = self.seen(word, at);
            // An empty place says 0, where the word is another one or the same.
            if seen >= at || self.word(seen) != word {
                misses = misses.wrapping_add(1);
                let step = 1u32.wrapping_add(misses >> PATIENCE_BITS);
                at = at.saturating_add(u16::try_from(step).unwrap_or(1));
                continue;
            }
            misses = 0;
            let length = self.same(seen, at, MOST.min(end.wrapping_sub(at)));
            let plain = at.wrapping_sub(plain_from);
            let run = self.window.get(usize::from(plain_from)..usize::from(at));
            found.plain(run.unwrap_or_default());
            found.repetition(plain, length, at.wrapping_sub(seen));
            let next = at.wrapping_add(length);
            // Two places inside are remembered too: more costs time, fewer size.
            for inside in [at.wrapping_add(1), next.wrapping_sub(2)] {
                self.seen(self.word(inside), inside);
            }
            at = next;
            plain_from = next;
        }
        let run = self.window.get(usize::from(plain_from)..usize::from(end)).unwrap_or_default();
        found.plain(run);
        let plain = end.wrapping_sub(plain_from);
        found.sequences.push(Sequence { plain, length: 0, distance: 0 });
    }

    /// Where this word was seen last; from now on it is `at`.
    #[inline]
    fn seen(&mut self, word: u32, at: u16) -> u16 {
        let place = word.wrapping_mul(0x9e37_79b1).wrapping_shr(32 - PLACE_BITS);
        let place = usize::try_from(place).unwrap_or(0);
        self.places.get_mut(place).map_or(0, |place| std::mem::replace(place, at))
    }

    #[inline]
    fn word(&self, at: u16) -> u32 {
        let bytes = self.window.get(usize::from(at)..).and_then(<[u8]>::first_chunk::<4>);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    #[inline]
    fn eight(&self, at: u16) -> u64 {
        let bytes = self.window.get(usize::from(at)..).and_then(<[u8]>::first_chunk::<8>);
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// How many bytes, up to `most`, are the same at both places.
    #[inline]
    fn same(&self, first: u16, second: u16, most: u16) -> u16 {
        let mut length = 0u16;
        while length < most {
            let differs =
                self.eight(first.wrapping_add(length)) ^ self.eight(second.wrapping_add(length));
            if differs != 0 {
                let more = u16::try_from(differs.trailing_zeros() / 8).unwrap_or(0);
                return length.wrapping_add(more).min(most);
            }
            length = length.wrapping_add(8);
        }
        most
    }

    /// Writes the sequences of the block found last, and its end.
    pub(super) fn write(
        &self,
        sequences: &[Sequence],
        literals: &Codes<LITERALS>,
        distances: &Codes<DISTANCES>,
        bits: &mut Bits,
    ) {
        // Bytes and lengths with their extra bits, as one number each.
        let mut plain = [(0u64, 0u32); 256];
        for (place, (code, length)) in plain.iter_mut().zip(&literals.codes) {
            *place = (u64::from(*code), u32::from(*length));
        }
        let mut lengths = [(0u64, 0u32); 259];
        for (place, (symbol, extra, value)) in lengths.iter_mut().zip(&LENGTHS) {
            let symbol = FIRST_LENGTH.wrapping_add(usize::from(*symbol));
            let (code, length) = literals.codes.get(symbol).copied().unwrap_or_default();
            let carried = u64::from(*value).wrapping_shl(u32::from(length));
            let count = u32::from(length).wrapping_add(u32::from(*extra));
            *place = (u64::from(code) | carried, count);
        }
        let mut at = 0usize;
        for Sequence { plain: run, length, distance } in sequences {
            let end = at.wrapping_add(usize::from(*run));
            let (fours, rest) = self.window.get(at..end).unwrap_or_default().as_chunks::<4>();
            for four in fours {
                for byte in four {
                    let (code, count) = plain.get(usize::from(*byte)).copied().unwrap_or_default();
                    bits.put(code, count);
                }
                bits.flush();
            }
            for byte in rest {
                let (code, count) = plain.get(usize::from(*byte)).copied().unwrap_or_default();
                bits.put(code, count);
            }
            bits.flush();
            at = end.wrapping_add(usize::from(*length));
            if *length > 0 {
                let (code, count) = lengths.get(usize::from(*length)).copied().unwrap_or_default();
                bits.put(code, count);
                let (symbol, extra, value) = distance_symbol(*distance);
                let (code, count) = distances.codes.get(symbol).copied().unwrap_or_default();
                bits.put(u64::from(code), u32::from(count));
                bits.put(value, extra);
                bits.flush();
            }
        }
        let (code, count) = literals.codes.get(super::END).copied().unwrap_or_default();
        bits.put(u64::from(code), u32::from(count));
        bits.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of RFC 1951, 3.2.5, at their edges.
    #[test]
    fn symbols_are_those_of_the_tables() {
        for (length, expected) in [
            (3, (0, 0, 0)),
            (10, (7, 0, 0)),
            (11, (8, 1, 0)),
            (12, (8, 1, 1)),
            (18, (11, 1, 1)),
            (19, (12, 2, 0)),
            (114, (22, 4, 15)),
            (115, (23, 4, 0)),
            (130, (23, 4, 15)),
            (131, (24, 5, 0)),
            (257, (27, 5, 30)),
            (258, (28, 0, 0)),
        ] {
            assert_eq!(LENGTHS[length], expected, "{length}");
        }
        for (distance, expected) in [
            (1, (0, 0, 0)),
            (2, (1, 0, 0)),
            (3, (2, 0, 0)),
            (4, (3, 0, 0)),
            (5, (4, 1, 0)),
            (6, (4, 1, 1)),
            (7, (5, 1, 0)),
            (24, (8, 3, 7)),
            (25, (9, 3, 0)),
            (24_576, (28, 13, 8191)),
            (24_577, (29, 13, 0)),
            (32_768, (29, 13, 8191)),
        ] {
            assert_eq!(distance_symbol(distance), expected, "{distance}");
        }
    }
}
