//! Dates and times of day as DOS packs them into sixteen bits each; exFAT uses the same with a zone beside them.

use crate::time::Time;

/// The moment, as if it were UTC; `None` where nothing (or nothing possible) is recorded.
///
/// `hundredths` count from 0 to 199 and add to the two-second steps of the time of day.
pub(crate) fn moment(date: u16, time: u16, hundredths: u8) -> Option<Time> {
    let (year, month, day) = (date >> 9, (date >> 5) & 15, date & 31);
    let (hour, minute, half) = (time >> 11, (time >> 5) & 63, time & 31);
    let hundredths = u32::from(hundredths);
    if hundredths > 199 {
        return None;
    }
    let second = i64::from(half).saturating_mul(2).saturating_add(i64::from(hundredths >= 100));
    let parts = [
        i64::from(year).saturating_add(1980),
        i64::from(month),
        i64::from(day),
        i64::from(hour),
        i64::from(minute),
        second,
    ];
    let nanoseconds = hundredths.checked_rem(100).unwrap_or(0).saturating_mul(10_000_000);
    Time::from_calendar(parts, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_dates_are_read_to_ten_milliseconds() {
        // 2026-11-22 01:18:02 is (46, 11, 22) and (1, 18, 1); 150 hundredths more make 03.5.
        let (date, time) = ((46 << 9) | (11 << 5) | 22, (1 << 11) | (18 << 5) | 1);
        assert_eq!(moment(date, time, 0).unwrap().to_string(), "2026-11-22T01:18:02Z");
        assert_eq!(moment(date, time, 150).unwrap().to_string(), "2026-11-22T01:18:03.500000000Z");
        assert_eq!(moment(0, 0, 0), None);
        assert_eq!(moment(date, time, 200), None);
        assert_eq!(moment(date, 31 << 11, 0), None);
    }
}
