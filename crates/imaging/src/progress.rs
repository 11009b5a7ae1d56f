//! Rate and time left, from bytes and the caller's clock.

use std::time::Duration;

/// How far a piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes dealt with.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes found unreadable so far.
    pub bad_bytes: u64,
    /// Time since the beginning, by a clock that only goes forward.
    pub elapsed: Duration,
}

impl Progress {
    /// Bytes a second since the beginning; `None` before there is anything to divide.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<u64> {
        let nanoseconds = self.elapsed.as_nanos();
        let scaled = u128::from(self.done_bytes).checked_mul(1_000_000_000)?;
        scaled.checked_div(nanoseconds)?.try_into().ok()
    }

    /// Time left at the rate so far; `None` while nothing was done yet.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let left = u128::from(self.total_bytes.saturating_sub(self.done_bytes));
        let milliseconds =
            self.elapsed.as_millis().checked_mul(left)?.checked_div(u128::from(self.done_bytes))?;
        Some(Duration::from_millis(milliseconds.try_into().ok()?))
    }

    /// Whole per cent done; 100 for a piece of work without bytes.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let done = u128::from(self.done_bytes.min(self.total_bytes)).saturating_mul(100);
        let percent = done.checked_div(u128::from(self.total_bytes)).unwrap_or(100);
        u8::try_from(percent).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64, total: u64, seconds: u64) -> Progress {
        let elapsed = Duration::from_secs(seconds);
        Progress { done_bytes: done, total_bytes: total, bad_bytes: 0, elapsed }
    }

    #[test]
    fn rate_and_time_left() {
        let progress = at(1 << 30, 4 << 30, 10);
        assert_eq!(progress.bytes_per_second(), Some(107_374_182));
        assert_eq!(progress.time_left(), Some(Duration::from_secs(30)));
        assert_eq!(progress.percent(), 25);
    }

    #[test]
    fn nothing_divides_by_nothing() {
        assert_eq!(at(0, 10, 0).bytes_per_second(), None);
        assert_eq!(at(0, 10, 5).time_left(), None);
        assert_eq!(at(0, 0, 0).percent(), 100);
        assert_eq!(at(u64::MAX, u64::MAX, 1).percent(), 100);
        assert!(at(u64::MAX, u64::MAX, u64::MAX).time_left().is_some());
    }
}
