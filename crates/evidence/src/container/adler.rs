//! Adler-32 (RFC 1950, 8.2), which E01 puts on every structure and every chunk.
//!
//! Summed in rows with fixed weights, so that the compiler can use wide registers: each stored chunk passes through here.

const MODULUS: u32 = 65_521;

/// Bytes summed before the sums are reduced; far below what would overflow 32 bits (5552 by RFC 1950's own code).
const STRETCH_BYTES: usize = 4096;

const ROW_BYTES: usize = 32;

/// The checksum of `data`, begun from `seed`; 1 begins a new one.
pub(super) fn adler32(seed: u32, data: &[u8]) -> u32 {
    let (mut low, mut high) = (seed & 0xffff, seed >> 16);
    for stretch in data.chunks(STRETCH_BYTES) {
        let (rows, rest) = stretch.as_chunks::<ROW_BYTES>();
        for row in rows {
            let (mut sum, mut weighted) = (0_u32, 0_u32);
            for (byte, weight) in row.iter().zip((1..=32_u32).rev()) {
                sum = sum.wrapping_add(u32::from(*byte));
                weighted = weighted.wrapping_add(u32::from(*byte).wrapping_mul(weight));
            }
            high = high.wrapping_add(low.wrapping_mul(32)).wrapping_add(weighted);
            low = low.wrapping_add(sum);
        }
        for byte in rest {
            low = low.wrapping_add(u32::from(*byte));
            high = high.wrapping_add(low);
        }
        low %= MODULUS;
        high %= MODULUS;
    }
    high << 16 | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Vouched for by Python's zlib.adler32.
        assert_eq!(adler32(1, b""), 1);
        assert_eq!(adler32(1, b"Wikipedia"), 0x11e6_0398);
        assert_eq!(adler32(1, &[0xff; 100_000]), 0x149a_302c);
        let bytes: Vec<u8> = (0..9999_u32).map(|number| (number % 251) as u8).collect();
        let (front, back) = bytes.split_at(4321);
        assert_eq!(adler32(adler32(1, front), back), adler32(1, &bytes));
    }
}
