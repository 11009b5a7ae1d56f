//! Total readers of little and big endian fields.
//!
//! A field that lies past the end reads as zero instead of failing: every caller checks the length or a signature of the
//! structure first, and a parser that cannot fail on short input cannot panic on it either.

/// A byte range whose fields are read by offset.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// `N` bytes at `at`, zeros where there are none.
    pub(crate) fn array<const N: usize>(self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(<[u8]>::first_chunk::<N>).copied().unwrap_or([0; N])
    }

    pub(crate) fn u8(self, at: usize) -> u8 {
        self.array::<1>(at).first().copied().unwrap_or(0)
    }

    pub(crate) fn le16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(crate) fn le32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub(crate) fn le64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    pub(crate) fn be16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    pub(crate) fn be32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    pub(crate) fn be64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.array(at))
    }

    /// The range, or an empty one when any part of it is missing.
    pub(crate) fn slice(self, at: usize, len: usize) -> &'a [u8] {
        at.checked_add(len).and_then(|end| self.0.get(at..end)).unwrap_or(&[])
    }

    /// Whether `expected` stands at `at`.
    pub(crate) fn has(self, at: usize, expected: &[u8]) -> bool {
        !expected.is_empty() && self.slice(at, expected.len()) == expected
    }
}

/// A size from the disk as a length in memory; what does not fit becomes the largest length, which no bound lets through.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A length in memory as a size.
pub(crate) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Text up to the first NUL, trailing blanks removed, hostile bytes escaped; `None` when nothing is left.
pub(crate) fn padded_text(raw: &[u8]) -> Option<String> {
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let text = raw.get(..end).unwrap_or(raw).trim_ascii_end();
    (!text.is_empty()).then(|| crate::escape_bytes(text))
}

/// UTF-16LE text up to the first NUL, escaped; `None` when empty.
pub(crate) fn utf16_text(raw: &[u8]) -> Option<String> {
    let units = raw
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u16::from_le_bytes(*pair))
        .take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect();
    (!text.is_empty()).then(|| crate::escape_bytes(text.as_bytes()))
}

/// Sixteen bytes in the order of RFC 9562 as the usual text; `None` when all are zero.
pub(crate) fn uuid_text(raw: &[u8]) -> Option<String> {
    if raw.len() != 16 || raw.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut text = String::new();
    for (index, byte) in raw.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// A GUID as EFI stores it (first three parts little endian) as the usual text.
pub(crate) fn guid_text(raw: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = raw;
    let mut ordered = vec![d, c, b, a, f, e, h, g];
    ordered.extend_from_slice(&rest);
    uuid_text(&ordered).unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_past_the_end_are_zero() {
        let fields = Fields(&[1, 2, 3]);
        assert_eq!(fields.le16(0), 0x0201);
        assert_eq!(fields.le16(2), 0);
        assert_eq!(fields.be64(usize::MAX), 0);
        assert!(fields.slice(2, 2).is_empty());
        assert!(!fields.has(9, b"x"));
    }

    #[test]
    fn guid_swaps_the_first_three_parts() {
        // The EFI system partition's type as the UEFI specification (5.3.3) prints and as disks store it.
        let raw = [
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e,
            0xc9, 0x3b,
        ];
        assert_eq!(guid_text(raw), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
