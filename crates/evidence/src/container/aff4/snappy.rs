//! Snappy blocks, the compression most AFF4 images use.
//!
//! Read from google/snappy, format_description.txt. Our own decoder: it is shorter than the list of what a crate brings.

use crate::bytes::{Fields, to_usize};
use crate::container::inflate::corrupt;
use std::io;

/// Decodes a block of at most `limit_bytes`.
pub(super) fn snappy(packed: &[u8], limit_bytes: usize) -> io::Result<Vec<u8>> {
    let (length, mut at) = length(packed)?;
    if length > limit_bytes {
        return Err(corrupt(format!("snappy data of {length} bytes; {limit_bytes} expected")));
    }
    let fields = Fields(packed);
    let mut out = Vec::with_capacity(length);
    while at < packed.len() {
        let tag = fields.u8(at);
        at = at.saturating_add(1);
        let upper = usize::from(tag >> 2);
        let (distance, count) = match tag & 3 {
            0 => {
                let more = upper.saturating_sub(59);
                let count = if more == 0 { upper } else { little(fields.slice(at, more)) };
                let count = count.saturating_add(1);
                at = at.saturating_add(more);
                let text = fields.slice(at, count);
                if text.len() != count || out.len().saturating_add(count) > length {
                    return Err(corrupt(format!("snappy data: {count} literal bytes at {at}")));
                }
                out.extend_from_slice(text);
                at = at.saturating_add(count);
                continue;
            }
            1 => {
                let low = usize::from(fields.u8(at));
                at = at.saturating_add(1);
                (usize::from(tag >> 5) << 8 | low, (upper & 7).saturating_add(4))
            }
            2 => {
                let distance = usize::from(fields.le16(at));
                at = at.saturating_add(2);
                (distance, upper.saturating_add(1))
            }
            _ => {
                let distance = to_usize(u64::from(fields.le32(at)));
                at = at.saturating_add(4);
                (distance, upper.saturating_add(1))
            }
        };
        let is_inside = distance != 0 && distance <= out.len() && at <= packed.len();
        if !is_inside || out.len().saturating_add(count) > length {
            let text = format!("snappy data: {count} bytes from {distance} back at {}", out.len());
            return Err(corrupt(text));
        }
        let mut left = count;
        while left != 0 {
            let from = out.len().saturating_sub(distance);
            let step = left.min(distance);
            out.extend_from_within(from..from.saturating_add(step));
            left = left.saturating_sub(step);
        }
    }
    if out.len() != length {
        return Err(corrupt(format!("snappy data: {} bytes of {length}", out.len())));
    }
    Ok(out)
}

/// The decoded length at the start, in groups of seven bits, and where the data begins.
fn length(packed: &[u8]) -> io::Result<(usize, usize)> {
    let mut length = 0_u64;
    for (number, byte) in (0_u32..5).zip(packed) {
        let group = u64::from(byte & 0x7f);
        length |= group.checked_shl(number.saturating_mul(7)).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok((to_usize(length), to_usize(u64::from(number)).saturating_add(1)));
        }
    }
    Err(corrupt("snappy data without its length"))
}

fn little(raw: &[u8]) -> usize {
    raw.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand from the description; whole images by other writers are read in the container's tests.
    #[test]
    fn literals_and_copies_of_each_kind() {
        let packed = b"\x0c\x04ab\x11\x02\x02\x02\x00\x03\x01\x00\x00\x00";
        assert_eq!(snappy(packed, 99).unwrap(), b"abababababaa");
    }

    #[test]
    fn nonsense_is_an_error() {
        let cases = [
            &b""[..],
            b"\x80",
            b"\x05\x01\x01",
            b"\x02\x00a",
            b"\xff\xff\xff\xff\x0f",
            b"\x09\xf4\xff\xff",
        ];
        for packed in cases {
            assert!(snappy(packed, 1 << 16).is_err(), "{packed:?}");
        }
        assert!(snappy(b"\x02\x04ab", 1).is_err());
    }
}
