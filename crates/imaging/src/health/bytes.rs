//! Numbers and text out of an answer that may be shorter than it should be.

/// Big-endian number of `count` bytes, 8 at most, at an offset.
pub(super) fn big(data: &[u8], at: usize, count: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(count)?)?;
    bytes.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)))
}

/// Little-endian number of `count` bytes at an offset; one that does not fit 64 bits is the largest that does.
pub(super) fn little(data: &[u8], at: usize, count: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(count)?)?;
    let sum = bytes
        .iter()
        .rev()
        .try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)));
    Some(sum.unwrap_or(u64::MAX))
}

/// Text as a drive pads it; what is not printable ASCII is shown as `?`, so that nothing steers a terminal.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let shown = |byte: &u8| match byte {
        0 => ' ',
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    let text: String = bytes.iter().map(shown).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Lower-case hexadecimal digits; nothing for zeros alone.
pub(super) fn hex(bytes: &[u8]) -> Option<String> {
    let is_something = bytes.iter().any(|byte| *byte != 0);
    is_something.then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether the bytes add up to zero, as ATA's checksums make them.
pub(super) fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text() {
        assert_eq!(big(&[1, 2, 3], 1, 2), Some(0x0203));
        assert_eq!(little(&[1, 2, 3], 0, 3), Some(0x03_0201));
        assert_eq!(big(&[1], 0, 2), None);
        assert_eq!(big(&[1], usize::MAX, 2), None);
        assert_eq!(little(&[0xff; 16], 0, 16), Some(u64::MAX));
        assert_eq!(text(b"  QEMU\x1b[2J\xff \0"), Some("QEMU?[2J?".into()));
        assert_eq!(text(b" \0 "), None);
        assert_eq!(hex(&[0, 0]), None);
        assert!(sums_to_zero(&[0xa5, 0x5b]));
    }
}
