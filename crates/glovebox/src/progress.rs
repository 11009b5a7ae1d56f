//! The one line that shows how far a long act is, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::output::size;

/// Shows progress at most a few times a second.
#[derive(Debug)]
pub(crate) struct Meter {
    what: String,
    total_bytes: u64,
    begun: Instant,
    shown: Option<Instant>,
    on_terminal: bool,
}

impl Meter {
    /// A meter for so many bytes.
    pub(crate) fn new(what: impl Into<String>, total_bytes: u64) -> Self {
        Self {
            what: what.into(),
            total_bytes,
            begun: Instant::now(),
            shown: None,
            on_terminal: io::stderr().is_terminal(),
        }
    }

    /// So many bytes are done.
    pub(crate) fn at(&mut self, done_bytes: u64) {
        let due = self.shown.is_none_or(|last| last.elapsed() > Duration::from_millis(500));
        // Nothing under two seconds is worth a line.
        if !self.on_terminal || !due || self.begun.elapsed() < Duration::from_secs(2) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(&self.what, done_bytes, self.total_bytes, self.begun.elapsed());
        let _closed = write!(io::stderr(), "\r{line:<78}");
        let _closed = io::stderr().flush();
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if self.shown.is_some() {
            let _closed = write!(io::stderr(), "\r{:<78}\r", "");
        }
    }
}

fn line(what: &str, done_bytes: u64, total_bytes: u64, elapsed: Duration) -> String {
    let milliseconds = elapsed.as_millis().max(1);
    let rate = u64::try_from(u128::from(done_bytes) * 1000 / milliseconds).unwrap_or(0);
    let left = match total_bytes.saturating_sub(done_bytes).checked_div(rate) {
        Some(seconds) if seconds >= 3600 => {
            format!("{} h {} min", seconds / 3600, seconds / 60 % 60)
        }
        Some(seconds) if seconds >= 60 => format!("{} min {} s", seconds / 60, seconds % 60),
        Some(seconds) => format!("{seconds} s"),
        None => "unknown".to_owned(),
    };
    let percent = u128::from(done_bytes) * 100 / u128::from(total_bytes.max(1));
    format!(
        "{what} {percent}% {} of {}, {}/s, {left} left",
        size(done_bytes),
        size(total_bytes),
        size(rate)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left() {
        let text = line("imaging", 1 << 30, 4 << 30, Duration::from_secs(10));
        assert_eq!(text, "imaging 25% 1.0 GiB of 4.0 GiB, 102.4 MiB/s, 30 s left");
        assert!(line("x", 0, 0, Duration::ZERO).contains("unknown left"));
    }
}
