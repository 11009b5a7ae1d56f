//! Bech32 (BIP 173), as age writes keys: 32 bytes after a prefix, with a checksum.

use zeroize::Zeroizing;

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Letters of 32 bytes, five bits each, and of the checksum.
const DATA_LETTERS: usize = 52;
const CHECK_LETTERS: usize = 6;

/// `key` after `prefix`, in lower case.
pub(super) fn encode(key: &[u8; 32], prefix: &str) -> String {
    let mut values = Vec::with_capacity(DATA_LETTERS);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in key {
        bits = ((bits << 8) | u32::from(*byte)) & 0xfff;
        count = count.saturating_add(8);
        while count >= 5 {
            count = count.saturating_sub(5);
            values.push((bits >> count) & 31);
        }
    }
    if count > 0 {
        values.push((bits << 5u32.saturating_sub(count)) & 31);
    }
    let check = polymod(prefix, values.iter().copied().chain([0; CHECK_LETTERS])) ^ 1;
    values.extend((0u32..6).rev().map(|place| (check >> place.saturating_mul(5)) & 31));
    let letter = |value: &u32| {
        let at = usize::try_from(*value).unwrap_or(0);
        char::from(LETTERS.get(at).copied().unwrap_or(b'q'))
    };
    format!("{prefix}1{}", values.iter().map(letter).collect::<String>())
}

/// The 32 bytes that `text` stands for after `prefix`; upper or lower case, not both.
pub(super) fn decode(text: &str, prefix: &str) -> Option<Zeroizing<[u8; 32]>> {
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    if *lower != text && text.to_ascii_uppercase() != text {
        return None;
    }
    let data = lower.strip_prefix(prefix)?.strip_prefix('1')?;
    let mut values = Zeroizing::new(Vec::with_capacity(DATA_LETTERS));
    for letter in data.bytes() {
        let at = LETTERS.iter().position(|known| *known == letter)?;
        values.push(u32::try_from(at).ok()?);
    }
    let right_length = values.len() == DATA_LETTERS.checked_add(CHECK_LETTERS)?;
    if !right_length || polymod(prefix, values.iter().copied()) != 1 {
        return None;
    }
    let mut key = Zeroizing::new([0u8; 32]);
    let (mut bits, mut count, mut at) = (0u32, 0u32, 0usize);
    for value in values.iter().take(DATA_LETTERS) {
        bits = ((bits << 5) | value) & 0xfff;
        count = count.checked_add(5)?;
        if count >= 8 {
            count = count.checked_sub(8)?;
            *key.get_mut(at)? = u8::try_from((bits >> count) & 0xff).ok()?;
            at = at.checked_add(1)?;
        }
    }
    // The bits left over must be zero, or one key would have several spellings.
    let left = bits & 1u32.checked_shl(count)?.checked_sub(1)?;
    (left == 0).then_some(key)
}

/// The checksum of BIP 173 over the expanded prefix and the values.
fn polymod(prefix: &str, values: impl Iterator<Item = u32>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let high = prefix.bytes().map(|byte| u32::from(byte >> 5));
    let low = prefix.bytes().map(|byte| u32::from(byte & 31));
    high.chain([0]).chain(low).chain(values).fold(1u32, |check, value| {
        let top = check >> 25;
        let moved = ((check & 0x1ff_ffff) << 5) ^ value;
        (0u32..).zip(GENERATOR).fold(moved, |check, (bit, generator)| {
            if (top >> bit) & 1 == 1 { check ^ generator } else { check }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for seed in 0u8..=255 {
            let key: [u8; 32] = std::array::from_fn(|at| seed.wrapping_mul(31) ^ at as u8);
            let text = encode(&key, "age");
            assert_eq!(decode(&text, "age").as_deref(), Some(&key));
            assert_eq!(decode(&text.to_ascii_uppercase(), "age").as_deref(), Some(&key));
            assert!(decode(&text, "age-secret-key-").is_none());
            let mut changed = text.clone().into_bytes();
            let at = usize::from(seed) % changed.len();
            changed[at] = if changed[at] == b'q' { b'p' } else { b'q' };
            assert!(decode(std::str::from_utf8(&changed).unwrap(), "age").is_none());
        }
        for text in ["", "age1", "age1é", "age", "1"] {
            assert!(decode(text, "age").is_none());
        }
    }
}
