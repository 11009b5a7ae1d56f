//! Huffman codes of limited length (RFC 1951, 3.2.2), and the header that describes them (3.2.7).

use super::bits::Bits;

/// Literals, the end of the block, and lengths.
pub(super) const LITERALS: usize = 286;
pub(super) const DISTANCES: usize = 30;

/// The symbols that describe lengths of codes, in the order their own lengths are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Lengths of their codes have three bits.
const ORDER_BITS: u8 = 7;

/// A block with codes of its own, and the last: the three bits it begins with, and the three counts of the header.
const HEAD_BITS: u64 = 3 + 5 + 5 + 4;

/// No code is longer (RFC 1951, 3.2.7).
const MAX_BITS: usize = 15;

/// A set of codes.
pub(super) struct Codes<const N: usize> {
    /// Bits of each symbol's code; 0 for one that does not occur.
    pub(super) lengths: [u8; N],
    /// Code and length of each symbol, the code's first bit lowest.
    pub(super) codes: [(u16, u8); N],
}

impl<const N: usize> Codes<N> {
    /// The best codes for symbols that occur so often; none is longer than `most_bits`, and at least one symbol has one.
    pub(super) fn new(counts: &[u32; N], most_bits: u8) -> Self {
        let mut lengths = lengths(counts, most_bits);
        if lengths.iter().all(|length| *length == 0)
            && let Some(first) = lengths.first_mut()
        {
            // Decoders want one code at least, even where none is used.
            *first = 1;
        }
        Self { codes: assigned(&lengths), lengths }
    }

    /// Bits that so many symbols take.
    pub(super) fn length_bits(&self, counts: &[u32; N]) -> u64 {
        let bits = counts.iter().zip(&self.lengths);
        bits.map(|(count, length)| u64::from(*count).wrapping_mul(u64::from(*length))).sum()
    }
}

/// Lengths by Huffman's way with two queues, then shortened to `most_bits`.
fn lengths<const N: usize>(counts: &[u32; N], most_bits: u8) -> [u8; N] {
    let mut lengths = [0; N];
    // The count above the symbol: sorted, the rarest come first, and equals in a fixed order.
    let mut leaves: Vec<(u32, usize)> = Vec::with_capacity(N);
    leaves.extend(
        counts.iter().zip(0..).filter(|(count, _)| **count > 0).map(|(count, n)| (*count, n)),
    );
    leaves.sort_unstable();
    if let [(_, only)] = leaves.as_slice() {
        lengths.get_mut(*only).into_iter().for_each(|length| *length = 1);
    }
    if leaves.len() < 2 {
        return lengths;
    }
    let mut per_length = depths(&leaves);
    shorten(&mut per_length, usize::from(most_bits).min(MAX_BITS));
    let mut rarest_first = leaves.iter();
    for length in (1..=most_bits).rev() {
        let count = per_length.get(usize::from(length)).copied().unwrap_or(0);
        for (_, symbol) in rarest_first.by_ref().take(count) {
            lengths.get_mut(*symbol).into_iter().for_each(|place| *place = length);
        }
    }
    lengths
}

/// How many leaves of Huffman's tree lie how deep; what is deeper than [`MAX_BITS`] is counted there.
fn depths(leaves: &[(u32, usize)]) -> [usize; MAX_BITS + 1] {
    struct Node {
        weight: u32,
        parent: usize,
        depth: usize,
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(leaves.len());
    let mut leaf_parents: Vec<usize> = Vec::with_capacity(leaves.len());
    let mut taken_nodes = 0usize;
    let inner = leaves.len().saturating_sub(1);
    for made in 0..inner {
        let mut weight = 0u32;
        for _ in 0..2 {
            let leaf = leaves.get(leaf_parents.len()).map(|(count, _)| *count);
            let node = nodes.get_mut(taken_nodes);
            match (leaf, node) {
                (Some(leaf), node) if node.as_ref().is_none_or(|node| leaf <= node.weight) => {
                    weight = weight.wrapping_add(leaf);
                    leaf_parents.push(made);
                }
                (_, Some(node)) => {
                    weight = weight.wrapping_add(node.weight);
                    node.parent = made;
                    taken_nodes = taken_nodes.wrapping_add(1);
                }
                _ => {}
            }
        }
        nodes.push(Node { weight, parent: made, depth: 0 });
    }
    // Parents stand behind their children; the last is the root.
    for number in (0..inner.saturating_sub(1)).rev() {
        let parent = nodes.get(number).map_or(0, |node| node.parent);
        let depth = nodes.get(parent).map_or(0, |node| node.depth).wrapping_add(1);
        nodes.get_mut(number).into_iter().for_each(|node| node.depth = depth);
    }
    let mut per_length = [0; MAX_BITS + 1];
    for parent in leaf_parents {
        let depth = nodes.get(parent).map_or(0, |node| node.depth).wrapping_add(1);
        let place = per_length.get_mut(depth.min(MAX_BITS));
        place.into_iter().for_each(|count: &mut usize| *count = count.wrapping_add(1));
    }
    per_length
}

/// Makes codes of at most `most` bits possible: whoever is deeper moves up, and the deepest that can spare a place pays.
fn shorten(per_length: &mut [usize; MAX_BITS + 1], most: usize) {
    let deeper: usize = per_length.iter().skip(most.saturating_add(1)).sum();
    per_length.iter_mut().skip(most.saturating_add(1)).for_each(|count| *count = 0);
    if let Some(place) = per_length.get_mut(most) {
        *place = place.wrapping_add(deeper);
    }
    let leaves = per_length.iter().zip(0..);
    let mut used: usize =
        leaves.map(|(count, length): (_, usize)| count << most.saturating_sub(length)).sum();
    // Each turn frees one place of the longest code.
    while used > 1 << most {
        let Some(at) = (1..most).rev().find(|at| per_length.get(*at).is_some_and(|n| *n > 0))
        else {
            return;
        };
        for (place, by) in [(most, -1isize), (at, -1), (at.wrapping_add(1), 2)] {
            let place = per_length.get_mut(place);
            place.into_iter().for_each(|count| *count = count.wrapping_add_signed(by));
        }
        used = used.wrapping_sub(1);
    }
}

/// The codes that belong to these lengths (RFC 1951, 3.2.2), each turned round.
fn assigned<const N: usize>(lengths: &[u8; N]) -> [(u16, u8); N] {
    let mut next = [0u16; MAX_BITS + 1];
    let mut code = 0u16;
    for (place, length) in next.iter_mut().zip(0u8..).skip(1) {
        *place = code;
        let count = lengths.iter().filter(|one| **one == length).count();
        code = code.wrapping_add(u16::try_from(count).unwrap_or(0)).wrapping_shl(1);
    }
    let mut codes = [(0, 0); N];
    for (place, length) in codes.iter_mut().zip(lengths) {
        if let (1.., Some(next)) = (*length, next.get_mut(usize::from(*length))) {
            let turned = next.reverse_bits().wrapping_shr(16u32.wrapping_sub(u32::from(*length)));
            *place = (turned, *length);
            *next = next.wrapping_add(1);
        }
    }
    codes
}

/// The description of a block's codes.
pub(super) struct Header {
    literals: usize,
    distances: usize,
    /// Symbols of the third set with what they carry: value and number of bits.
    items: Vec<(usize, u64, u32)>,
    codes: Codes<19>,
    order: usize,
}

impl Header {
    pub(super) fn new(literals: &[u8; LITERALS], distances: &[u8; DISTANCES]) -> Self {
        let used = |lengths: &[u8], least: usize| {
            let last = lengths.iter().rposition(|length| *length > 0);
            last.map_or(least, |last| last.wrapping_add(1).max(least))
        };
        let (literal_count, distance_count) = (used(literals, 257), used(distances, 1));
        let all: Vec<u8> = literals
            .iter()
            .take(literal_count)
            .chain(distances.iter().take(distance_count))
            .copied()
            .collect();
        let items = runs(&all);
        let mut counts = [0u32; 19];
        for (symbol, _, _) in &items {
            counts.get_mut(*symbol).into_iter().for_each(|count| *count = count.wrapping_add(1));
        }
        let codes = Codes::<19>::new(&counts, ORDER_BITS);
        let has = |symbol: &usize| codes.lengths.get(*symbol).is_some_and(|length| *length > 0);
        let order = ORDER.iter().rposition(has).map_or(4, |last| last.wrapping_add(1).max(4));
        Self { literals: literal_count, distances: distance_count, items, codes, order }
    }

    /// Its length.
    pub(super) fn length_bits(&self) -> u64 {
        let items = self.items.iter().map(|(symbol, _, bits)| {
            let length = self.codes.lengths.get(*symbol).copied().unwrap_or(0);
            u64::from(length).wrapping_add(u64::from(*bits))
        });
        let order = u64::try_from(self.order).unwrap_or(19).wrapping_mul(3);
        HEAD_BITS.wrapping_add(order).wrapping_add(items.sum())
    }

    /// Writes it, as that of the only and last block.
    pub(super) fn write(&self, bits: &mut Bits) {
        let count =
            |value: usize, less: usize| u64::try_from(value.wrapping_sub(less)).unwrap_or(0);
        // The last block: 1. Codes of its own: 2.
        bits.put(0b101, 3);
        bits.put(count(self.literals, 257), 5);
        bits.put(count(self.distances, 1), 5);
        bits.put(count(self.order, 4), 4);
        bits.flush();
        for symbol in ORDER.iter().take(self.order) {
            let length = self.codes.lengths.get(*symbol).copied().unwrap_or(0);
            bits.put(u64::from(length), 3);
            bits.flush();
        }
        for (symbol, value, value_bits) in &self.items {
            let (code, length) = self.codes.codes.get(*symbol).copied().unwrap_or_default();
            bits.put(u64::from(code), u32::from(length));
            bits.put(*value, *value_bits);
            bits.flush();
        }
    }
}

/// Lengths with their repetitions taken together (RFC 1951, 3.2.7): symbol, value, bits of the value.
fn runs(lengths: &[u8]) -> Vec<(usize, u64, u32)> {
    let mut items = Vec::with_capacity(lengths.len());
    let mut put = |symbol: usize, run: usize, less: usize, bits: u32| {
        items.push((symbol, u64::try_from(run.wrapping_sub(less)).unwrap_or(0), bits));
    };
    for run in lengths.chunk_by(|a, b| a == b) {
        let length = run.first().copied().unwrap_or(0);
        let plain = usize::from(length);
        let mut left = run.len();
        if length > 0 {
            put(plain, 0, 0, 0);
            left = left.saturating_sub(1);
        }
        while left > 0 {
            let now = match (length, left) {
                (_, ..3) => {
                    put(plain, 0, 0, 0);
                    1
                }
                (0, 11..) => {
                    put(18, left.min(138), 11, 7);
                    left.min(138)
                }
                (0, _) => {
                    put(17, left, 3, 3);
                    left
                }
                _ => {
                    put(16, left.min(6), 3, 2);
                    left.min(6)
                }
            };
            left = left.saturating_sub(now);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kraft(lengths: &[u8]) -> f64 {
        lengths
            .iter()
            .filter(|length| **length > 0)
            .map(|length| 0.5f64.powi(i32::from(*length)))
            .sum()
    }

    proptest! {
        /// By Kraft's sum: the codes use all there is and no more; rarer symbols never have shorter ones.
        #[test]
        fn codes_are_complete_and_short(counts: [u32; 19], shift in 0u32..32, most in 5u8..=15) {
            let counts = counts.map(|count| count >> shift >> 4);
            let lengths = lengths(&counts, most);
            let used = counts.iter().filter(|count| **count > 0).count();
            match used {
                0 => prop_assert_eq!(kraft(&lengths), 0.0),
                1 => prop_assert_eq!(kraft(&lengths), 0.5),
                _ => prop_assert_eq!(kraft(&lengths), 1.0),
            }
            prop_assert!(lengths.iter().all(|length| *length <= most));
            for (a, b) in counts.iter().zip(&lengths) {
                prop_assert_eq!(*a > 0, *b > 0);
                for (c, d) in counts.iter().zip(&lengths) {
                    prop_assert!(!(a > c && *c > 0 && b > d));
                }
            }
        }
    }

    /// The example of RFC 1951, 3.2.2.
    #[test]
    fn codes_follow_the_rule() {
        let codes = assigned(&[3, 3, 3, 3, 3, 2, 4, 4])
            .map(|(code, length)| code.reverse_bits() >> (16 - length));
        assert_eq!(codes, [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]);
    }

    #[test]
    fn repetitions_are_taken_together() {
        let lengths = [&[8u8; 12][..], &[0; 150], &[0, 0, 5], &[7, 7, 7]].concat();
        let got: Vec<(usize, u64)> = runs(&lengths).iter().map(|item| (item.0, item.1)).collect();
        let expected =
            [(8, 0), (16, 3), (16, 2), (18, 127), (18, 3), (5, 0), (7, 0), (7, 0), (7, 0)];
        assert_eq!(got, expected);
    }
}
