//! LZO1X, as Btrfs and squashfs use it: blocks with their end marker and nothing around them.
//!
//! The `lzo` crate does the work: 229 lines without dependency or `unsafe`, which check every index before it is used.

use super::CodecError;

/// One LZO1X block of at most `limit_bytes` when decompressed.
pub(crate) fn lzo1x(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    lzo::decompress(packed, limit_bytes).map_err(|error| CodecError::new("lzo", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_an_overlapping_match() {
        // By hand from the kernel's Documentation/staging/lzo.rst: four literals, then 3 + 4 more by a match one byte back.
        let packed = [21, b'a', b'b', b'c', b'd', 0b1100_0000, 0, 0x11, 0, 0];
        assert_eq!(lzo1x(&packed, 99).unwrap(), b"abcdddddddd");
        assert!(lzo1x(&packed, 10).is_err(), "the bound on what comes out holds");
        assert!(lzo1x(&packed[..7], 99).is_err(), "without its end marker it is cut short");
    }

    #[test]
    fn a_match_before_the_start_is_refused() {
        assert!(lzo1x(&[18, b'a', 0b1100_0000, 9, 0x11, 0, 0], 99).is_err());
    }
}
