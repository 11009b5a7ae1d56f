//! LZNT1, the compression of NTFS and of hibernation files ([MS-XCA] 2.5).
//!
//! Chunks of up to 4 KiB, each on its own: a chunk may only copy from itself, so nothing grows beyond the chunks.

use super::CodecError;
use crate::bytes::Fields;

/// Most bytes one chunk gives.
const CHUNK_BYTES: usize = 4096;

/// Decompresses until `limit_bytes`, the end of the data or an empty chunk header.
pub(crate) fn lznt1(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(limit_bytes.min(1 << 20));
    let mut rest = packed;
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let header = u16::from_le_bytes(*head);
        if header == 0 || out.len() >= limit_bytes {
            break;
        }
        let length = usize::from(header & 0x0fff).saturating_add(1);
        let (chunk, after) = after.split_at_checked(length).ok_or_else(|| {
            CodecError::new("LZNT1", format!("a chunk of {length} bytes is cut short"))
        })?;
        // A chunk that is not the first begins where a full one before it would have ended.
        let start = out.len().next_multiple_of(CHUNK_BYTES);
        out.resize(start, 0);
        if header & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else {
            unpack(chunk, start, &mut out)?;
        }
        rest = after;
    }
    out.truncate(limit_bytes);
    Ok(out)
}

/// One compressed chunk: a byte of flags, then eight tokens.
fn unpack(chunk: &[u8], start: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let end = start.saturating_add(CHUNK_BYTES);
    let fields = Fields(chunk);
    let mut at = 0_usize;
    while at < chunk.len() {
        let flags = fields.u8(at);
        at = at.saturating_add(1);
        for bit in 0..8_u32 {
            if at >= chunk.len() || out.len() >= end {
                break;
            }
            if flags >> bit & 1 == 0 {
                out.push(fields.u8(at));
                at = at.saturating_add(1);
                continue;
            }
            let token = fields.le16(at);
            at = at.saturating_add(2);
            // The further into the chunk, the more bits of a token tell the distance and the fewer the length.
            let done = out.len().saturating_sub(start);
            let log = done.saturating_sub(1).checked_ilog2().unwrap_or(0);
            let shift = 12_u32.saturating_sub(log.saturating_sub(3));
            let distance = usize::from(token >> shift).saturating_add(1);
            let mask = 1_u16.checked_shl(shift).unwrap_or(0).wrapping_sub(1);
            let length = usize::from(token & mask).saturating_add(3);
            if distance > done || at > chunk.len() {
                let what = format!("a copy from {distance} bytes back at byte {done} of a chunk");
                return Err(CodecError::new("LZNT1", what));
            }
            copy_back(out, distance, length.min(end.saturating_sub(out.len())));
        }
    }
    Ok(())
}

/// Appends `length` bytes from `distance` back; the two may overlap.
fn copy_back(out: &mut Vec<u8>, distance: usize, length: usize) {
    let mut left = length;
    while left > 0 {
        let from = out.len().saturating_sub(distance);
        let step = left.min(distance);
        out.extend_from_within(from..from.saturating_add(step));
        left = left.saturating_sub(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only we vouch: worked out by hand from the specification; volumes in the tests are judged by ntfs-3g.
    #[test]
    fn a_copy_may_overlap_itself() {
        let packed = b"\x05\xb0\x08abc\x06\x20\0\0";
        assert_eq!(lznt1(packed, 4096).unwrap(), b"abcabcabcabc");
        assert_eq!(lznt1(packed, 5).unwrap(), b"abcab");
    }

    #[test]
    fn a_copy_from_before_the_chunk_is_an_error() {
        assert!(lznt1(b"\x03\xb0\x02a\x06\x20", 4096).is_err());
        assert!(lznt1(b"\xff\xbf\x02a", 4096).is_err());
    }
}
