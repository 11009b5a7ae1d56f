//! The one place that reads a clock, and what is known of that clock's error.
//!
//! The machine's clock is never set: it is evidence. If the examiner gives the true time once, the
//! difference is kept for the session and stands in every act.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use casebook::{Clock, Timestamp};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::session;

const FILE: &str = "clock.json";

/// What the examiner's own clock said of the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offset {
    /// To add to the machine's clock for the true time, in milliseconds.
    pub(crate) offset_ms: i64,
    /// How far off that may be, in milliseconds.
    pub(crate) error_ms: u64,
}

/// Now, by the machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs(), since.subsec_nanos())
        .or_else(|| Timestamp::from_unix(0, 0))
        .expect("1970 can be written in RFC 3339")
}

/// How long the machine has been running, suspended or not; `None` where the kernel does not tell.
pub(crate) fn since_boot_ms() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, fraction) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = fraction.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(hundredths.checked_mul(10)?)
}

/// Now, by the machine's clock, in seconds since 1970.
pub(crate) fn unix_seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Seconds since 1970 of a time somebody typed.
///
/// # Errors
/// If the text is no time, or one before 1970.
pub(crate) fn seconds_of(text: &str) -> Result<u64, Failure> {
    let time: Timestamp = text.parse().map_err(|problem: casebook::Error| {
        Failure::from(problem).hint("write it as 2026-01-31T23:59:00Z")
    })?;
    unix_seconds(time.as_str())
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| Failure::new(format!("{text} is before 1970")))
}

/// Now in seconds since 1970, by the machine's clock and what the examiner said of its error.
pub(crate) fn true_unix_seconds() -> u64 {
    let seconds = offset().map_or(0, |known| known.offset_ms / 1000);
    unix_seconds_now().saturating_add_signed(seconds)
}

/// The clock as an act records it.
pub(crate) fn clock() -> Clock {
    let offset = offset();
    Clock {
        source: "system clock, set by the kernel from the machine's own at start".to_owned(),
        offset_ms: offset.map(|known| known.offset_ms),
        error_ms: offset.map(|known| known.error_ms),
    }
}

/// The kept difference, if the examiner gave one.
pub(crate) fn offset() -> Option<Offset> {
    serde_json::from_slice(&fs::read(session::folder()?.join(FILE)).ok()?).ok()
}

/// What a comparison with the true time showed. Nothing is set.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// The true time that was given.
    given: String,
    /// What the system's clock said then.
    system_time: Timestamp,
    /// The system's clock.
    pub(crate) system: Offset,
    /// The firmware's, if the kernel shows one.
    pub(crate) firmware: Option<Offset>,
}

/// Compares the machine's clocks with the true time given, and keeps the difference for a session
/// of the booted stick.
///
/// # Errors
/// If the text is no time.
pub(crate) fn compare(true_time: &str, error_ms: u64) -> Result<Comparison, Failure> {
    let given: Timestamp = true_time.parse().map_err(|problem: casebook::Error| {
        Failure::from(problem).hint("write it as 2026-01-31T23:59:00Z")
    })?;
    let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let machine_ms = i64::try_from(machine.as_millis()).unwrap_or(i64::MAX);
    let firmware_ms = fs::read_to_string("/sys/class/rtc/rtc0/since_epoch")
        .ok()
        .and_then(|text| text.trim().parse::<i64>().ok()?.checked_mul(1000));
    let seconds = unix_seconds(given.as_str())
        .ok_or_else(|| Failure::new(format!("{true_time} is not a time")))?;
    let offset = |clock_ms: i64, error_ms| Offset {
        offset_ms: seconds.saturating_mul(1000).saturating_sub(clock_ms),
        error_ms,
    };
    let system = offset(machine_ms, error_ms);
    // The firmware's clock counts whole seconds, and may be kept in local time by another system.
    let firmware = firmware_ms.map(|ms| offset(ms, error_ms.saturating_add(1000)));
    if let Some(folder) = session::folder() {
        fs::write(folder.join(FILE), serde_json::to_vec(&system)?)?;
    }
    Ok(Comparison { given: given.to_string(), system_time: now(), system, firmware })
}

/// Keeps the difference between the machine's clock and the true time.
///
/// # Errors
/// If the text is no time, or there is no session to keep it in.
pub(crate) fn compare_with(true_time: &str) -> Result<Offset, Failure> {
    if session::folder().is_none() {
        return Err(Failure::new("the true time is kept for a session of the booted stick"));
    }
    // A person reading a watch and typing: two seconds is honest.
    Ok(compare(true_time, 2000)?.system)
}

/// Seconds since 1970 of an RFC 3339 time in UTC that [`Timestamp`] accepted.
fn unix_seconds(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    // Days of the civil calendar, counted in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469;
    Some(((days * 24 + part(11, 13)?) * 60 + part(14, 16)?) * 60 + part(17, 19)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The casebook's own conversion, written differently, vouches for this one.
    #[test]
    fn seconds_agree_with_the_other_direction() {
        for seconds in [0_u64, 951_782_399, 951_868_800, 1_798_761_599, 4_107_542_400] {
            let text = Timestamp::from_unix(seconds, 0).unwrap();
            assert_eq!(unix_seconds(text.as_str()), i64::try_from(seconds).ok(), "{text}");
        }
    }
}
