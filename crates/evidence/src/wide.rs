//! Text and times as Windows stores them: UTF-16 and counts of 100 nanoseconds since 1601.
//!
//! Windows checks neither: a name may hold half of a surrogate pair and a time may lie before 1601. Names become WTF-8
//! (UTF-8 that also encodes lone surrogates), so that two different names on the disk never become one.

use crate::time::Time;

/// Seconds from 1601-01-01 to 1970-01-01.
const SECONDS_1601_TO_1970: i64 = 11_644_473_600;

/// UTF-16LE as WTF-8; an odd last byte is left out.
pub(crate) fn wtf8(raw: &[u8]) -> Vec<u8> {
    let units = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let mut out = Vec::with_capacity(raw.len());
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                // The three-byte form of UTF-8, which for surrogates no valid text uses.
                let value = lone.unpaired_surrogate();
                for byte in [0xe0 | value >> 12, 0x80 | value >> 6 & 0x3f, 0x80 | value & 0x3f] {
                    out.push(byte.to_le_bytes().first().copied().unwrap_or(0));
                }
            }
        }
    }
    out
}

/// UTF-16LE up to the first NUL as WTF-8.
pub(crate) fn wtf8_to_nul(raw: &[u8]) -> Vec<u8> {
    let pairs = raw.as_chunks::<2>().0;
    let end = pairs.iter().position(|pair| *pair == [0, 0]).unwrap_or(pairs.len());
    wtf8(raw.get(..end.saturating_mul(2)).unwrap_or(raw))
}

/// A `FILETIME`; zero stands for "not recorded". Signed, as the kernel of Windows reads it.
pub(crate) fn filetime(raw: u64) -> Option<Time> {
    if raw == 0 {
        return None;
    }
    let ticks = i64::from_le_bytes(raw.to_le_bytes());
    let seconds = ticks.div_euclid(10_000_000).saturating_sub(SECONDS_1601_TO_1970);
    let hundreds = u32::try_from(ticks.rem_euclid(10_000_000)).unwrap_or(0);
    Some(Time { seconds, nanoseconds: hundreds.saturating_mul(100) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(units: &[u16]) -> Vec<u8> {
        units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }

    #[test]
    fn lone_surrogates_survive() {
        assert_eq!(wtf8(&utf16(&[0x61, 0xe4, 0xd83d, 0xdd12])), "aä\u{1f512}".as_bytes());
        assert_eq!(wtf8(&utf16(&[0xd83d, 0x62])), b"\xed\xa0\xbdb");
        assert_eq!(wtf8(&utf16(&[0xdc00])), b"\xed\xb0\x80");
        assert_eq!(wtf8_to_nul(&utf16(&[0x61, 0, 0x62])), b"a");
    }

    #[test]
    fn known_times() {
        // 116444736000000000 is 1970 in the documentation of FILETIME.
        let epoch = 116_444_736_000_000_000;
        assert_eq!(filetime(epoch), Some(Time { seconds: 0, nanoseconds: 0 }));
        assert_eq!(filetime(epoch - 1), Some(Time { seconds: -1, nanoseconds: 999_999_900 }));
        assert_eq!(filetime(0), None);
        let _ = filetime(u64::MAX);
        let _ = filetime(1 << 63);
    }
}
