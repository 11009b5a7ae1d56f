//! The two CRC-32 used by the structures read here: IEEE (GPT, RFC 1952) and Castagnoli (ext4, RFC 3720).
//!
//! Castagnoli covers all content of a Btrfs, so it takes the processor's own instruction where there is one (asked at run
//! time). IEEE covers small structures and what comes out of a slower inflate: tables are enough.

const fn table(polynomial: u32) -> [u32; 256] {
    let mut out = [0_u32; 256];
    let mut index: u8 = 0;
    loop {
        let mut value = u32::from_le_bytes([index, 0, 0, 0]);
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ polynomial } else { value >> 1 };
            bit = next(bit);
        }
        #[expect(
            clippy::as_conversions,
            clippy::indexing_slicing,
            reason = "a u8 always indexes 256 entries; const code has no From"
        )]
        {
            out[index as usize] = value;
        }
        if index == u8::MAX {
            return out;
        }
        index = index.saturating_add(1);
    }
}

const fn next(bit: u8) -> u8 {
    bit.saturating_add(1)
}

/// Table n gives what a byte is worth when n further bytes follow it: with eight of them, eight bytes are taken at once.
const fn tables(polynomial: u32) -> [[u32; 256]; 8] {
    let mut out = [table(polynomial); 8];
    let mut number = 1;
    #[expect(
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "both indices are bounded by the loops; const code has no iterators"
    )]
    while number < 8 {
        let mut index = 0;
        while index < 256 {
            let value = out[number - 1][index];
            out[number][index] = (value >> 8) ^ out[0][(value & 0xff) as usize];
            index += 1;
        }
        number += 1;
    }
    out
}

static IEEE: [[u32; 256]; 8] = tables(0xedb8_8320);

/// What `byte` is worth by one table; a byte always indexes 256 entries.
fn worth(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or(0)
}

fn ieee(seed: u32, data: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &IEEE;
    let (words, rest) = data.as_chunks::<8>();
    let crc = words.iter().fold(seed, |crc, [a, b, c, d, e, f, g, h]| {
        let [w, x, y, z] = crc.to_le_bytes();
        worth(t7, a ^ w)
            ^ worth(t6, b ^ x)
            ^ worth(t5, c ^ y)
            ^ worth(t4, d ^ z)
            ^ worth(t3, *e)
            ^ worth(t2, *f)
            ^ worth(t1, *g)
            ^ worth(t0, *h)
    });
    rest.iter().fold(crc, |crc, byte| {
        let [low, ..] = (crc ^ u32::from(*byte)).to_le_bytes();
        (crc >> 8) ^ worth(t0, low)
    })
}

/// CRC-32 as GPT uses it.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    !ieee(u32::MAX, data)
}

/// CRC-32 continued from `seed`, without the final inversion: that is how LVM2 uses it.
pub(crate) fn crc32_from(seed: u32, data: &[u8]) -> u32 {
    ieee(seed, data)
}

/// The same, continued from the value over what came before.
pub(crate) fn crc32_continued(before: u32, data: &[u8]) -> u32 {
    !ieee(!before, data)
}

/// Raw CRC-32C continued from `seed`, without the final inversion: that is how ext4 and its journal chain it.
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    // The crate inverts before and after, as the published checksum does.
    !crc32c::crc32c_append(!seed, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        // The "check" values every CRC catalogue gives for the nine digits.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xe306_9283);
    }

    /// One bit at a time, straight from the definition (RFC 1952 section 8 has the same loop).
    fn slowly(polynomial: u32, seed: u32, data: &[u8]) -> u32 {
        data.iter().fold(seed, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 }
            })
        })
    }

    #[test]
    fn both_agree_with_the_definition() {
        // Lengths and beginnings that leave every kind of rest to code that takes many bytes at once.
        let data: Vec<u8> =
            (0..30_000_u32).map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()[3]).collect();
        let lengths = (0..100).chain([255, 256, 767, 768, 769, 4096, 24_575, 24_576, 29_990]);
        for length in lengths {
            for start in 0..9 {
                let part = &data[start..start + length];
                for seed in [0, 7, u32::MAX] {
                    let castagnoli = slowly(0x82f6_3b78, seed, part);
                    assert_eq!(crc32c(seed, part), castagnoli, "{start} {length}");
                    let plain = slowly(0xedb8_8320, seed, part);
                    assert_eq!(crc32_from(seed, part), plain, "{start} {length}");
                }
            }
        }
    }
}
