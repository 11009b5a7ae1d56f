//! BLAKE3 as a tree of groups: can be written down between two reads, and computed by several threads.
//!
//! The crate's own incremental state cannot be saved. Its published building blocks (chaining values of aligned parts,
//! joined pairwise) can: a stack of 32-byte values and the bytes of an unfinished group are the whole state. BLAKE3
//! paper section 2.1 for the shape of the tree, section 5.1.2 for the stack.

use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::saved::{Reader, put_bytes, put_u64};
use crate::{Algorithm, Digest, Digests};

/// Bytes hashed as one aligned part: a power of two of the 1024 bytes of a chunk, enough for the widest instructions.
pub(crate) const GROUP_BYTES: usize = 64 * 1024;

/// The state of BLAKE3.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    /// Values of finished groups, joined as far as their number allows before the next one is known to follow.
    stack: Vec<[u8; 32]>,
    /// How many groups went into the stack.
    count: u64,
    /// The unfinished group; the very first one also when it is full, because alone it would be the root.
    buffer: Vec<u8>,
}

impl Groups {
    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if !self.buffer.is_empty() {
            let room = GROUP_BYTES.saturating_sub(self.buffer.len());
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(head);
            bytes = rest;
            let full = self.buffer.len() >= GROUP_BYTES;
            if !full || (self.count == 0 && bytes.is_empty()) {
                return;
            }
            let group = std::mem::take(&mut self.buffer);
            self.push(value(&group, self.count));
            self.buffer = group;
            self.buffer.clear();
        }
        while bytes.len() >= GROUP_BYTES && (self.count > 0 || bytes.len() > GROUP_BYTES) {
            let (group, rest) = bytes.split_at(GROUP_BYTES);
            self.push(value(group, self.count));
            bytes = rest;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the value of the next whole group, computed elsewhere by [`value`]. Only between groups, and never for the
    /// only group of a stream.
    pub(crate) fn push(&mut self, value: [u8; 32]) {
        // More follows, so what is complete below is a left branch and no root: join it now.
        let joined = usize::try_from(self.count.count_ones()).unwrap_or(usize::MAX);
        while self.stack.len() > joined {
            self.join();
        }
        self.stack.push(value);
        self.count = self.count.saturating_add(1);
    }

    fn join(&mut self) {
        if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    /// The digest of everything taken.
    pub(crate) fn finish(mut self, digests: &mut Digests) {
        let hash = if self.stack.is_empty() {
            blake3::hash(&self.buffer)
        } else {
            if !self.buffer.is_empty() {
                let last = value(&self.buffer, self.count);
                self.push(last);
            }
            while self.stack.len() > 2 {
                self.join();
            }
            match self.stack.as_slice() {
                [left, right] => merge_subtrees_root(left, right, Mode::Hash),
                // The first group is not pushed unless more follows, so there are two.
                _ => return,
            }
        };
        if let Ok(digest) = Digest::new(Algorithm::Blake3, hash.as_bytes()) {
            digests.insert(digest);
        }
    }

    /// Appends the state for [`Self::restore`].
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        put_bytes(out, self.stack.as_flattened());
        put_bytes(out, &self.buffer);
    }

    /// The state that [`Self::save`] wrote.
    pub(crate) fn restore(from: &mut Reader<'_>) -> Option<Self> {
        let count = from.u64()?;
        let (stack, rest) = from.bytes()?.as_chunks::<32>();
        let buffer = from.bytes()?.to_vec();
        // After a push the joins of the last group are still open: between the number of ones of what went before,
        // plus one, and no stack at all.
        let before = count.checked_sub(1).map_or(0, |before| before.count_ones().saturating_add(1));
        let fits = usize::try_from(before).is_ok_and(|expected| stack.len() == expected)
            && rest.is_empty()
            && (buffer.len() < GROUP_BYTES || (count == 0 && buffer.len() == GROUP_BYTES))
            // A group is not pushed unless more follows.
            && !(count == 1 && buffer.is_empty());
        fits.then(|| Self { stack: stack.to_vec(), count, buffer })
    }
}

/// The chaining value of group number `number`, counted from 0, which is not the whole stream.
pub(crate) fn value(group: &[u8], number: u64) -> [u8; 32] {
    let bytes = u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX);
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(number.saturating_mul(bytes));
    hasher.update(group).finalize_non_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(pieces: &[&[u8]]) -> Vec<u8> {
        let mut state = Groups::default();
        pieces.iter().for_each(|piece| state.update(piece));
        let mut digests = Digests::default();
        state.finish(&mut digests);
        digests.of(Algorithm::Blake3).unwrap().as_bytes().to_vec()
    }

    /// Independent path: the crate's own incremental state, for lengths around every number of groups up to nine.
    #[test]
    fn any_number_of_groups_agrees_with_the_crate() {
        let bytes: Vec<u8> = (0..GROUP_BYTES as u32 * 9 + 70)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        for groups in 0..=9 {
            for odd in [-1, 0, 1, 63] {
                let Ok(length) = usize::try_from(groups * GROUP_BYTES as i64 + odd) else {
                    continue;
                };
                let whole = &bytes[..length];
                let expected = blake3::hash(whole).as_bytes().to_vec();
                assert_eq!(ours(&[whole]), expected, "{length} bytes at once");
                let (a, b) = whole.split_at(length / 3);
                let (b, c) = b.split_at(b.len() / 7);
                assert_eq!(ours(&[a, b, c]), expected, "{length} bytes in three pieces");
                let pieces: Vec<&[u8]> = whole.chunks(GROUP_BYTES).collect();
                assert_eq!(ours(&pieces), expected, "{length} bytes in groups");
            }
        }
    }
}
