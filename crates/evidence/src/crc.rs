//! The two CRC-32 used by the structures read here: IEEE (GPT, RFC 1952) and Castagnoli (ext4, RFC 3720).

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

static IEEE: [u32; 256] = table(0xedb8_8320);
static CASTAGNOLI: [u32; 256] = table(0x82f6_3b78);

fn update(table: &[u32; 256], seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, byte| {
        let [low, ..] = (crc ^ u32::from(*byte)).to_le_bytes();
        (crc >> 8) ^ table.get(usize::from(low)).copied().unwrap_or(0)
    })
}

/// CRC-32 as GPT uses it.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    !update(&IEEE, u32::MAX, data)
}

/// CRC-32 continued from `seed`, without the final inversion: that is how LVM2 uses it.
pub(crate) fn crc32_from(seed: u32, data: &[u8]) -> u32 {
    update(&IEEE, seed, data)
}

/// The same, continued from the value over what came before.
pub(crate) fn crc32_continued(before: u32, data: &[u8]) -> u32 {
    !update(&IEEE, !before, data)
}

/// Raw CRC-32C continued from `seed`, without the final inversion: that is how ext4 and its journal chain it.
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    update(&CASTAGNOLI, seed, data)
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
}
