//! The sum behind a zlib stream, and behind what an E01 stores as it is.

/// Adler-32 (RFC 1950, section 8.2).
pub(crate) fn adler32(bytes: &[u8]) -> u32 {
    /// Additions after which neither sum can have outgrown 32 bits.
    const STRETCH: usize = 5552;
    const MODULUS: u32 = 65_521;
    let (mut low, mut high) = (1u32, 0u32);
    for stretch in bytes.chunks(STRETCH) {
        // Sixteen at a time, which the compiler turns into wide sums: the high sum of a run is its
        // length times the low sum before it plus each byte times its distance from the end.
        let (runs, rest) = stretch.as_chunks::<16>();
        for run in runs {
            let (mut plain, mut weighted) = (0u32, 0u32);
            for (byte, weight) in run.iter().zip((1..=16u32).rev()) {
                plain = plain.wrapping_add(u32::from(*byte));
                weighted = weighted.wrapping_add(u32::from(*byte).wrapping_mul(weight));
            }
            high = high.wrapping_add(low.wrapping_mul(16)).wrapping_add(weighted);
            low = low.wrapping_add(plain);
        }
        for byte in rest {
            low = low.wrapping_add(u32::from(*byte));
            high = high.wrapping_add(low);
        }
        low %= MODULUS;
        high %= MODULUS;
    }
    (high << 16) | low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by zlib-rs, whose streams end in the same sum, big-endian (RFC 1950).
    #[test]
    fn the_sum_is_that_of_zlib() {
        for length in [0, 1, 15, 16, 17, 5551, 5552, 5553, 40_000] {
            for bytes in [vec![0xff; length], (0..length).map(|n| (n * 7) as u8).collect()] {
                use std::io::Write as _;
                let level = flate2::Compression::new(6);
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(&bytes).unwrap();
                let stream = encoder.finish().unwrap();
                let sum = u32::from_be_bytes(*stream.last_chunk().unwrap());
                assert_eq!(adler32(&bytes), sum, "{length}");
            }
        }
    }
}
