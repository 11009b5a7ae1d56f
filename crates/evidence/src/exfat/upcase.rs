//! The up-case table: which letter stands for which when names are compared.
//!
//! Needed for the hash each set keeps of its name: a set with a wrong one is listed by Windows but never opened.
//! Specification: section 7.2; the stored form replaces runs of letters that stand for themselves by 0xffff and a count.

use crate::bytes::Fields;

/// Longest stored form: each of the 65,536 letters in two bytes.
pub(super) const MAX_BYTES: usize = 1 << 17;

/// The table, unpacked.
pub(super) struct UpCase(Vec<u16>);

impl UpCase {
    /// Unpacks the stored form.
    pub(super) fn unpack(stored: &[u8]) -> Self {
        let (pairs, _) = stored.as_chunks::<2>();
        let mut table: Vec<u16> = Vec::new();
        let mut units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
        while let Some(unit) = units.next() {
            let Ok(at) = u16::try_from(table.len()) else { break };
            if unit == 0xffff {
                let count = units.next().unwrap_or(0);
                table.extend((at..=u16::MAX).take(usize::from(count)));
            } else {
                table.push(unit);
            }
        }
        Self(table)
    }

    fn upper(&self, unit: u16) -> u16 {
        self.0.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// The hash of a name (section 7.6.4).
    pub(super) fn hash(&self, name: impl Iterator<Item = u16>) -> u16 {
        name.flat_map(|unit| self.upper(unit).to_le_bytes())
            .fold(0_u16, |sum, byte| sum.rotate_right(1).wrapping_add(u16::from(byte)))
    }
}

/// The checksum of the stored form (section 7.2.2).
pub(super) fn checksum(stored: &[u8]) -> u32 {
    stored.iter().fold(0_u32, |sum, byte| sum.rotate_right(1).wrapping_add(u32::from(*byte)))
}

/// What the root directory says about the table: checksum, first cluster, length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) checksum: u32,
    pub(super) cluster: u32,
    pub(super) size_bytes: u64,
}

impl Stored {
    pub(super) fn parse(entry: Fields<'_>) -> Self {
        Self { checksum: entry.le32(4), cluster: entry.le32(20), size_bytes: entry.le64(24) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_unchanged_letters_are_unpacked() {
        // 0x61 letters stand for themselves, then `a` stands for `A`.
        let stored = [0xff, 0xff, 0x61, 0x00, 0x41, 0x00];
        let table = UpCase::unpack(&stored);
        assert_eq!((table.upper(0x60), table.upper(0x61), table.upper(0x62)), (0x60, 0x41, 0x62));
        let hash = |text: &str| table.hash(text.encode_utf16());
        assert_eq!(hash("aA"), hash("AA"));
        assert_ne!(hash("b"), hash("B"));
        let _ = UpCase::unpack(&[0xff; 1 << 17]);
    }
}
