//! The two forms in which ISO 9660 and Rock Ridge record times: seven numbers, or seventeen with digits.

use crate::bytes::Fields;
use crate::time::Time;

/// Seven bytes: years since 1900, month, day, hour, minute, second, quarters of an hour east of UTC (ECMA-119, 9.1.5).
pub(super) fn short(raw: [u8; 7]) -> Option<Time> {
    let [year, month, day, hour, minute, second, zone] = raw;
    let parts = [year, month, day, hour, minute, second].map(i64::from);
    let [year, month, day, hour, minute, second] = parts;
    let parts = [year.saturating_add(1900), month, day, hour, minute, second];
    in_utc(Time::from_calendar(parts, 0)?, zone)
}

/// Seventeen bytes: YYYYMMDDhhmmss and hundredths as digits, then the zone (ECMA-119, 8.4.26.1).
pub(super) fn long(raw: &[u8]) -> Option<Time> {
    let field = |at: usize, length: usize| {
        let digits = raw.get(at..)?.get(..length)?;
        std::str::from_utf8(digits).ok()?.parse::<i64>().ok()
    };
    let parts =
        [field(0, 4)?, field(4, 2)?, field(6, 2)?, field(8, 2)?, field(10, 2)?, field(12, 2)?];
    let hundredths = u32::try_from(field(14, 2)?).ok()?;
    let time = Time::from_calendar(parts, hundredths.saturating_mul(10_000_000))?;
    in_utc(time, Fields(raw).u8(16))
}

fn in_utc(mut time: Time, zone: u8) -> Option<Time> {
    let quarters = i64::from(i8::from_le_bytes([zone]));
    time.seconds = time.seconds.saturating_sub(quarters.saturating_mul(900));
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_brought_to_utc() {
        let time = short([126, 11, 22, 1, 30, 5, 8]).unwrap();
        assert_eq!(time.to_string(), "2026-11-21T23:30:05Z");
        let time = long(b"2026112201300550\xec").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T06:30:05.500000000Z");
        assert_eq!(short([0; 7]), None);
        assert_eq!(long(b"0000000000000000\0"), None);
        assert_eq!(long(b"2026"), None);
    }
}
