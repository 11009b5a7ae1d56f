//! A point in time as the case records it: RFC 3339, in UTC.
//!
//! The crate never looks at a clock: which clock was read, and how wrong it is, only the caller
//! knows, and says so in [`crate::Clock`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// RFC 3339 in UTC, to the second or finer; text order is time order within one precision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(String);

impl Timestamp {
    /// The time so many seconds and nanoseconds after 1970-01-01T00:00:00Z, to the millisecond.
    ///
    /// `None` before 1970 and after the year 9999, which RFC 3339 cannot express.
    #[must_use]
    pub fn from_unix(seconds: u64, nanoseconds: u32) -> Option<Self> {
        let days = seconds.checked_div(86_400)?;
        let second_of_day = seconds.checked_rem(86_400)?;
        let (year, month, day) = civil(days)?;
        let (hour, rest) = (second_of_day.checked_div(3600)?, second_of_day.checked_rem(3600)?);
        let (minute, second) = (rest.checked_div(60)?, rest.checked_rem(60)?);
        let millisecond = nanoseconds.checked_div(1_000_000)?.min(999);
        Some(Self(format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )))
    }

    /// The time as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
fn civil(mut days: u64) -> Option<(u64, u64, u64)> {
    // Whole 400-year cycles first, then years and months by counting: at most 412 steps, and
    // nothing in it that a reader would have to take on trust.
    const DAYS_IN_CYCLE: u64 = 146_097;
    let mut year = days.checked_div(DAYS_IN_CYCLE)?.checked_mul(400)?.checked_add(1970)?;
    days = days.checked_rem(DAYS_IN_CYCLE)?;
    while year <= 9999 {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days = days.checked_sub(length)?;
        year = year.checked_add(1)?;
    }
    for month in 1..=12 {
        let length = month_length(year, month);
        if days < length {
            return (year <= 9999).then_some((year, month, days.checked_add(1)?));
        }
        days = days.checked_sub(length)?;
    }
    None
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_length(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| Error::BadTime { text: hashing::escape_name(text.as_bytes()) })
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let body = text.strip_suffix('Z')?;
    let (whole, fraction) = match body.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (body, None),
    };
    if let Some(digits) = fraction {
        let good = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        good.then_some(())?;
    }
    const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";
    let right_shape = whole.len() == SHAPE.len()
        && whole.bytes().zip(SHAPE).all(|(found, wanted)| match wanted {
            b'0' => found.is_ascii_digit(),
            other => found == *other,
        });
    right_shape.then_some(())?;
    let field = |range: std::ops::Range<usize>| whole.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    // A minute may have 61 seconds (RFC 3339, 5.7).
    let good = (1..=12).contains(&month)
        && (1..=month_length(year, month)).contains(&day)
        && field(11..13)? < 24
        && field(14..16)? < 60
        && field(17..19)? <= 60;
    good.then(|| Timestamp(text.to_owned()))
}

impl TryFrom<String> for Timestamp {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Vouched for by an independent tool: `date`.
    #[test]
    fn date_agrees() {
        for seconds in
            [0u64, 951_782_399, 951_868_800, 1_798_761_599, 4_107_542_400, 253_402_300_799]
        {
            let output = Command::new("date")
                .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S.000Z"])
                .output()
                .unwrap();
            let theirs = String::from_utf8(output.stdout).unwrap();
            let ours = Timestamp::from_unix(seconds, 0).unwrap();
            assert_eq!(ours.as_str(), theirs.trim());
            ours.as_str().parse::<Timestamp>().unwrap();
        }
        assert_eq!(Timestamp::from_unix(253_402_300_800, 0), None);
        assert_eq!(Timestamp::from_unix(u64::MAX, u32::MAX), None);
    }

    #[test]
    fn what_is_not_utc_rfc_3339_is_refused() {
        for text in [
            "",
            "Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "+026-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert!("2024-02-29T23:59:60.5Z".parse::<Timestamp>().is_ok());
    }
}
