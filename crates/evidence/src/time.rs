//! Points in time as file systems store them, shown in UTC as RFC 3339.

use serde::{Serialize, Serializer};

/// Seconds and nanoseconds since 1970-01-01 UTC, exactly as recorded on the evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds since the epoch, negative before it.
    pub seconds: i64,
    /// Further nanoseconds, 0 to 999,999,999 on an honest disk.
    pub nanoseconds: u32,
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day_seconds = self.seconds.rem_euclid(86_400);
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let (hour, minute) =
            (day_seconds.div_euclid(3600), day_seconds.rem_euclid(3600).div_euclid(60));
        let second = day_seconds.rem_euclid(60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds != 0 {
            write!(f, ".{:09}", self.nanoseconds)?;
        }
        f.write_str("Z")
    }
}

impl std::str::FromStr for Time {
    type Err = String;

    /// Reads `2026-05-01`, `2026-05-01T12:00:00Z` and the like with a fraction: RFC 3339 in UTC, or a day's beginning.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is no time such as 2026-05-01 or 2026-05-01T12:00:00Z");
        let (date, clock) = match text.split_once(['T', ' ']) {
            Some((date, clock)) => (date, clock.strip_suffix('Z').ok_or_else(bad)?),
            None => (text, "00:00:00"),
        };
        let number = |part: &str, digits: usize| {
            let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse::<i64>().ok()).flatten().ok_or_else(bad)
        };
        let [year, month, day] = split(date, '-').ok_or_else(bad)?;
        let [hour, minute, rest] = split(clock, ':').ok_or_else(bad)?;
        let (second, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
        let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
        let nanoseconds = number(fraction, fraction.len().min(9))?;
        let scale = u32::try_from(9_usize.saturating_sub(fraction.len())).map_err(|_| bad())?;
        let nanoseconds = nanoseconds.saturating_mul(10_i64.saturating_pow(scale));
        let nanoseconds = u32::try_from(nanoseconds).map_err(|_| bad())?;
        Self::from_calendar([year, month, day, hour, minute, second], nanoseconds).ok_or_else(bad)
    }
}

fn split(text: &str, by: char) -> Option<[&str; 3]> {
    let parts: Vec<&str> = text.split(by).collect();
    parts.try_into().ok()
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Time {
    /// The moment a calendar date and a time of day stand for, taken as UTC; `None` where there is no such date or hour.
    ///
    /// The order is year, month, day, hour, minute, second; a second of 60 is let through as clocks do.
    pub(crate) fn from_calendar(parts: [i64; 6], nanoseconds: u32) -> Option<Self> {
        let [year, month, day, hour, minute, second] = parts;
        let is_possible = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        let days = days(year, month, day);
        if !is_possible || civil(days) != (year, month, day) {
            return None;
        }
        let of_day = hour.saturating_mul(60).saturating_add(minute).saturating_mul(60);
        let seconds = days.saturating_mul(86_400).saturating_add(of_day).saturating_add(second);
        Some(Self { seconds, nanoseconds })
    }
}

/// The day counted from the epoch; the inverse of [`civil`] for dates that exist.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = year.saturating_sub(i64::from(month <= 2));
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let month_from_march =
        if month > 2 { month.saturating_sub(3) } else { month.saturating_add(9) };
    let day_of_year = month_from_march
        .saturating_mul(153)
        .saturating_add(2)
        .div_euclid(5)
        .saturating_add(day)
        .saturating_sub(1);
    let day_of_era = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era.div_euclid(4))
        .saturating_sub(year_of_era.div_euclid(100))
        .saturating_add(day_of_year);
    era.saturating_mul(146_097).saturating_add(day_of_era).saturating_sub(719_468)
}

/// Year, month and day of a day counted from the epoch, in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last day of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let leap_days = day_of_era
        .div_euclid(1460)
        .saturating_sub(day_of_era.div_euclid(36_524))
        .saturating_add(day_of_era.div_euclid(146_096));
    let year_of_era = day_of_era.saturating_sub(leap_days).div_euclid(365);
    let year_start = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era.div_euclid(4))
        .saturating_sub(year_of_era.div_euclid(100));
    let day_of_year = day_of_era.saturating_sub(year_start);
    let month_from_march = day_of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
    let month_start = month_from_march.saturating_mul(153).saturating_add(2).div_euclid(5);
    let day = day_of_year.saturating_sub(month_start).saturating_add(1);
    let month = if month_from_march < 10 {
        month_from_march.saturating_add(3)
    } else {
        month_from_march.saturating_sub(9)
    };
    let year =
        year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(i64::from(month <= 2));
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        // Vouched for by date(1): `date -u -d @N +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_779_999_999, "2026-05-28T20:26:39Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let time = Time { seconds, nanoseconds: 0 };
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        assert_eq!(
            Time { seconds: 1, nanoseconds: 5 }.to_string(),
            "1970-01-01T00:00:01.000000005Z"
        );
        assert_eq!("2000-02-29".parse(), Ok(Time { seconds: 951_782_400, nanoseconds: 0 }));
        assert_eq!(
            "1969-12-31T23:59:59.5Z".parse(),
            Ok(Time { seconds: -1, nanoseconds: 500_000_000 })
        );
        for bad in
            ["", "2023-02-29", "2026-13-01", "2026-05-01T24:00:00Z", "2026-05-01T10:00:00", "x"]
        {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
        let _ = Time { seconds: i64::MIN, nanoseconds: u32::MAX }.to_string();
    }

    #[test]
    fn the_calendar_goes_both_ways() {
        for day in -800_000..3_000_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
        let leap = Time::from_calendar([2000, 2, 29, 0, 0, 0], 0).unwrap();
        assert_eq!(leap.seconds, 951_782_400);
        for wrong in [[2001, 2, 29, 0, 0, 0], [2000, 13, 1, 0, 0, 0], [2000, 0, 1, 0, 0, 0]] {
            assert_eq!(Time::from_calendar(wrong, 0), None);
        }
        assert_eq!(Time::from_calendar([2000, 1, 0, 0, 0, 0], 0), None);
        assert_eq!(Time::from_calendar([2000, 1, 1, 24, 0, 0], 0), None);
    }
}
