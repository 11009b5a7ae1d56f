//! The diffuser of BitLocker before Windows 8 (Ferguson, "AES-CBC + Elephant diffuser", 2006), undone.

use super::{BlockCipher, xor};
use zeroize::Zeroize;

/// The diffuser with the cipher that makes its sector keys.
pub(super) struct Diffuser {
    cipher: Box<dyn BlockCipher>,
}

impl Diffuser {
    pub(super) fn new(cipher: Box<dyn BlockCipher>) -> Self {
        Self { cipher }
    }

    /// Turns what CBC gave for the sector at `offset_bytes` into clear text.
    pub(super) fn undo(&self, offset_bytes: u64, sector: &mut [u8]) {
        let mut words: Vec<u32> =
            sector.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        round(&mut words, 3, [0, 10, 0, 25], Direction::Forward);
        round(&mut words, 5, [9, 0, 13, 0], Direction::Backward);
        for (to, word) in sector.as_chunks_mut::<4>().0.iter_mut().zip(&words) {
            *to = word.to_le_bytes();
        }
        words.zeroize();
        let plain = u128::from(offset_bytes);
        let mut key = [plain.to_le_bytes(), (plain | (0x80 << 120)).to_le_bytes()];
        self.cipher.encrypt(&mut key);
        for part in sector.as_chunks_mut::<32>().0 {
            xor(part, key.as_flattened());
        }
        key.zeroize();
    }
}

/// Whether a word is mixed with those after it (diffuser B) or before it (diffuser A).
#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

fn round(words: &mut [u32], times: u32, turns: [u32; 4], direction: Direction) {
    let count = words.len();
    let word = |words: &[u32], at: usize, away: usize| {
        let at = match direction {
            Direction::Forward => at.saturating_add(away),
            Direction::Backward => at.saturating_add(count).saturating_sub(away),
        };
        at.checked_rem(count).and_then(|at| words.get(at)).copied().unwrap_or(0)
    };
    for _ in 0..times {
        for at in 0..count {
            let turn = turns.get(at % 4).copied().unwrap_or(0);
            let mixed = word(words, at, 2) ^ word(words, at, 5).rotate_left(turn);
            if let Some(value) = words.get_mut(at) {
                *value = value.wrapping_add(mixed);
            }
        }
    }
}
