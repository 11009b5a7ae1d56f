//! What Windows keeps in the registry and beside it: accounts, scheduled tasks, links; and texts and times as it writes them.

pub mod link;
pub mod sam;
pub mod task;

use super::bytes::{le32, size};
use evidence::Time;

/// Seconds from 1601-01-01 to 1970-01-01.
const SECONDS_1601_TO_1970: i64 = 11_644_473_600;

/// A count of 100 ns since 1601 as a time; none stands for zero and for "never".
#[must_use]
pub fn filetime(raw: u64) -> Option<Time> {
    let ticks = i64::try_from(raw).ok().filter(|ticks| *ticks != 0 && *ticks != i64::MAX)?;
    let seconds = ticks.div_euclid(10_000_000).saturating_sub(SECONDS_1601_TO_1970);
    let hundreds = u32::try_from(ticks.rem_euclid(10_000_000)).unwrap_or(0);
    Some(Time { seconds, nanoseconds: hundreds.saturating_mul(100) })
}

/// UTF-16LE as text; halves of pairs become a replacement sign.
#[must_use]
pub fn utf16(raw: &[u8]) -> String {
    let units = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    char::decode_utf16(units).map(|one| one.unwrap_or('\u{fffd}')).collect()
}

/// The text of a file in UTF-16 with a mark of its order, or in UTF-8.
#[must_use]
pub fn file_text(raw: &[u8]) -> String {
    match raw {
        [0xff, 0xfe, rest @ ..] => utf16(rest),
        [0xfe, 0xff, rest @ ..] => {
            let swapped: Vec<u8> =
                rest.as_chunks::<2>().0.iter().flat_map(|[high, low]| [*low, *high]).collect();
            utf16(&swapped)
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        raw => String::from_utf8_lossy(raw).into_owned(),
    }
}

/// A security identifier as `S-1-5-21-…` (MS-DTYP 2.4.2).
#[must_use]
pub fn sid(raw: &[u8]) -> Option<String> {
    let [revision, count, authority @ ..] = raw else { return None };
    let (authority, rest) = authority.split_first_chunk::<6>()?;
    let authority = authority.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let mut out = format!("S-{revision}-{authority}");
    let parts = rest.as_chunks::<4>().0.get(..usize::from(*count))?;
    for part in parts.iter().take(15) {
        out.push_str(&format!("-{}", u32::from_le_bytes(*part)));
    }
    Some(out)
}

/// A text with its length in bytes in front, and where reading goes on.
pub(super) fn counted(raw: &[u8], at: usize) -> Option<(String, usize)> {
    let length = size(le32(raw, at)?);
    let start = at.checked_add(4)?;
    let end = start.checked_add(length)?;
    Some((utf16(raw.get(start..end)?), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of Microsoft's documentation of SIDs and FILETIME.
    #[test]
    fn identifiers_and_times() {
        let admins = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        assert_eq!(sid(&admins).as_deref(), Some("S-1-5-32-544"));
        for cut in 0..admins.len() {
            assert_eq!(sid(&admins[..cut]), None);
        }
        assert_eq!(filetime(116_444_736_000_000_000).map(|time| time.seconds), Some(0));
        assert_eq!(
            (filetime(0), filetime(u64::MAX), filetime(i64::MAX as u64)),
            (None, None, None)
        );
        assert_eq!(file_text(b"\xff\xfea\0b\0"), "ab");
        assert_eq!(file_text(b"\xfe\xff\0a\0b"), "ab");
        assert_eq!(file_text(b"ab"), "ab");
    }
}
