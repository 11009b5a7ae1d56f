//! Points in time as texts of a case state them, put on one line for comparing and drawing.

use std::fmt;

use serde::{Serialize, Serializer};

/// Seconds since 1970 in UTC, between the years 0 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

pub(crate) const DAY_SECONDS: i64 = 86_400;

impl Moment {
    /// Reads RFC 3339 in UTC; a fraction is left off. `None` where it is no such time.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let shape = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
        let fits = text.is_ascii()
            && shape(4, b'-')
            && shape(7, b'-')
            && (shape(10, b'T') || shape(10, b' '))
            && shape(13, b':')
            && shape(16, b':')
            && text.ends_with('Z');
        let fraction = text.get(19..text.len().saturating_sub(1))?;
        let plain = fraction.is_empty()
            || fraction
                .strip_prefix('.')
                .is_some_and(|digits| digits.bytes().all(|one| one.is_ascii_digit()));
        if !fits || !plain {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits.bytes().all(|one| one.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let possible = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
        let days = days(year, month, day);
        if !possible || civil(days) != (year, month, day) {
            return None;
        }
        let of_day = hour
            .saturating_mul(3600)
            .saturating_add(minute.saturating_mul(60))
            .saturating_add(second);
        Some(Self(days.saturating_mul(DAY_SECONDS).saturating_add(of_day)))
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }

    pub(crate) fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The date alone.
    pub(crate) fn date(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(DAY_SECONDS));
        format!("{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.rem_euclid(DAY_SECONDS);
        let (hour, minute) = (second.div_euclid(3600), second.rem_euclid(3600).div_euclid(60));
        write!(f, "{}T{hour:02}:{minute:02}:{:02}Z", self.date(), second.rem_euclid(60))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Days since 1970-01-01; years are counted from March, so that a leap day ends its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let month = month.saturating_add(9).rem_euclid(12);
    let in_year = month.saturating_mul(153).saturating_add(2).div_euclid(5).saturating_add(day);
    year.saturating_mul(365)
        .saturating_add(year.div_euclid(4))
        .saturating_sub(year.div_euclid(100))
        .saturating_add(year.div_euclid(400))
        .saturating_add(in_year)
        .saturating_sub(719_469)
}

/// Year, month and day, found by going back from an estimate.
fn civil(day: i64) -> (i64, i64, i64) {
    let mut year = day.saturating_mul(400).div_euclid(146_097).saturating_add(1971);
    while days(year, 1, 1) > day {
        year = year.saturating_sub(1);
    }
    let mut month = 12;
    while month > 1 && days(year, month, 1) > day {
        month = month.saturating_sub(1);
    }
    (year, month, day.saturating_sub(days(year, month, 1)).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by an independent tool: `date`.
    #[test]
    fn date_agrees() {
        for seconds in
            [0_i64, 951_782_399, 951_868_800, 1_798_761_599, 4_107_542_400, -1, -62_135_596_800]
        {
            let output = std::process::Command::new("date")
                .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
                .output()
                .unwrap();
            let theirs = String::from_utf8(output.stdout).unwrap();
            assert_eq!(Moment(seconds).to_string(), theirs.trim());
            assert_eq!(Moment::parse(theirs.trim()), Some(Moment(seconds)));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.xZ",
            "-026-01-01T00:00:00Z",
            "2026-01-01Tüü:00:00Z",
            "+2026-01-01T00:00:0Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert!(Moment::parse("2026-01-01T00:00:00.123456789Z").is_some());
        let _ = Moment(i64::MIN).to_string();
    }
}
