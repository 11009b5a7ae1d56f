//! Snappy, the packing half: the format description and the framing format that come with it.
//!
//! Ours, because it is a page, and readers of compressed memory images expect just this. Pages of zeros become 3 bytes for 64.

/// How a stream begins.
pub(super) const STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// Largest block of a chunk, unpacked.
pub(super) const BLOCK_BYTES: usize = 65_536;
/// Bits of the table of places seen.
const TABLE_BITS: u32 = 13;
const TABLE_PLACES: usize = 1 << TABLE_BITS;

/// One chunk: its kind, 3 bytes of length, the masked CRC-32C of what is in it, and that, packed or as it is.
pub(super) fn chunk(block: &[u8], out: &mut Vec<u8>) {
    let mut packed = Vec::with_capacity(block.len() / 4);
    pack(block, &mut packed);
    let (kind, body) = if packed.len() < block.len() { (0_u8, &packed[..]) } else { (1, block) };
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    let [low, middle, high, _] = length.to_le_bytes();
    out.extend_from_slice(&[kind, low, middle, high]);
    let sum = crc32c::crc32c(block).rotate_right(15).wrapping_add(0xa282_ead8);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(body);
}

/// A block: its length, then runs of bytes and copies of what came before.
fn pack(block: &[u8], out: &mut Vec<u8>) {
    length(block.len(), out);
    let mut table = vec![0_u16; TABLE_PLACES];
    let (mut at, mut begun) = (0_usize, 0_usize);
    while let Some(word) = word_at(block, at) {
        let slot = word.wrapping_mul(0x1e35_a7bd).wrapping_shr(32_u32.saturating_sub(TABLE_BITS));
        let slot = usize::try_from(slot).unwrap_or(0);
        let place = u16::try_from(at).unwrap_or(0);
        let before = table.get_mut(slot).map_or(0, |known| std::mem::replace(known, place));
        let before = usize::from(before);
        if before < at && word_at(block, before) == Some(word) {
            literal(block.get(begun..at).unwrap_or_default(), out);
            let (old, new) = (block.get(before..), block.get(at..));
            let pairs = old.into_iter().flatten().zip(new.into_iter().flatten());
            let same = pairs.take_while(|(one, other)| one == other).count();
            copy(at.saturating_sub(before), same, out);
            at = at.saturating_add(same);
            begun = at;
        } else {
            // What does not pack is passed over faster and faster.
            let step = at.saturating_sub(begun) / 32;
            at = at.saturating_add(step).saturating_add(1);
        }
    }
    literal(block.get(begun..).unwrap_or_default(), out);
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

/// A number in sevens of bits.
fn length(number: usize, out: &mut Vec<u8>) {
    let mut left = number;
    while left >= 0x80 {
        out.push(u8::try_from(left & 0x7f).unwrap_or(0) | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap_or(0));
}

fn literal(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(less) = bytes.len().checked_sub(1) else { return };
    match (u8::try_from(less), u16::try_from(less)) {
        (Ok(less), _) if less < 60 => out.push(less << 2),
        (Ok(less), _) => out.extend_from_slice(&[60 << 2, less]),
        (_, Ok(less)) => {
            let [low, high] = less.to_le_bytes();
            out.extend_from_slice(&[61 << 2, low, high]);
        }
        // No block is longer.
        _ => return,
    }
    out.extend_from_slice(bytes);
}

/// Copies of at most 64 bytes each, with an offset of two bytes.
fn copy(back: usize, bytes: usize, out: &mut Vec<u8>) {
    let [low, high] = u16::try_from(back).unwrap_or(0).to_le_bytes();
    let mut left = bytes;
    while left > 0 {
        let now = left.min(64);
        let tag = u8::try_from(now.saturating_sub(1)).unwrap_or(0);
        out.extend_from_slice(&[tag << 2 | 2, low, high]);
        left = left.saturating_sub(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The unpacking half, written from the format description; only we vouch. An independent reader: `tests/memory.rs`.
    fn unpack(packed: &[u8]) -> Vec<u8> {
        let (mut at, mut shift, mut length) = (0, 0, 0_usize);
        loop {
            length |= usize::from(packed[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            if packed[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let mut out = Vec::new();
        while at < packed.len() {
            let tag = packed[at];
            at += 1;
            if tag & 3 == 2 {
                let back = usize::from(u16::from_le_bytes([packed[at], packed[at + 1]]));
                at += 2;
                for _ in 0..=tag >> 2 {
                    out.push(out[out.len() - back]);
                }
                continue;
            }
            assert_eq!(tag & 3, 0);
            let mut many = usize::from(tag >> 2);
            if many >= 60 {
                let wide = many - 59;
                many = (0..wide).map(|n| usize::from(packed[at + n]) << (8 * n)).sum();
                at += wide;
            }
            out.extend_from_slice(&packed[at..=at + many]);
            at += many + 1;
        }
        assert_eq!(out.len(), length);
        out
    }

    #[test]
    fn what_is_packed_comes_back() {
        let mut state = 3_u32;
        for round in 0..200_usize {
            let bytes: Vec<u8> = (0..round * 331 % BLOCK_BYTES)
                .map(|n| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let spread = [1, 3, 30, 255][round % 4];
                    if n % 97 < round % 90 { 0 } else { (state >> 24) as u8 % spread }
                })
                .collect();
            let mut packed = Vec::new();
            pack(&bytes, &mut packed);
            assert_eq!(unpack(&packed), bytes, "round {round}");
        }
        let mut zeros = Vec::new();
        pack(&[0; BLOCK_BYTES], &mut zeros);
        assert!(zeros.len() < 3200 && unpack(&zeros) == [0; BLOCK_BYTES], "{}", zeros.len());
    }
}
