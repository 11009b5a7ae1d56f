//! The one line that shows how far a long act is, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use imaging::Progress;

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
        let line = line(
            &self.what,
            &Progress {
                done_bytes,
                total_bytes: self.total_bytes,
                bad_bytes: 0,
                elapsed: self.begun.elapsed(),
            },
        );
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

fn line(what: &str, progress: &Progress) -> String {
    let left = match progress.time_left().map(|left| left.as_secs()) {
        Some(seconds) if seconds >= 3600 => {
            format!("{} h {} min", seconds / 3600, seconds / 60 % 60)
        }
        Some(seconds) if seconds >= 60 => format!("{} min {} s", seconds / 60, seconds % 60),
        Some(seconds) => format!("{seconds} s"),
        None => "unknown".to_owned(),
    };
    format!(
        "{what} {}% {} of {}, {}/s, {left} left",
        progress.percent(),
        size(progress.done_bytes),
        size(progress.total_bytes),
        size(progress.bytes_per_second().unwrap_or(0))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left() {
        let at = |done_bytes, total_bytes, seconds| Progress {
            done_bytes,
            total_bytes,
            bad_bytes: 0,
            elapsed: Duration::from_secs(seconds),
        };
        let text = line("imaging", &at(1 << 30, 4 << 30, 10));
        assert_eq!(text, "imaging 25% 1.0 GiB of 4.0 GiB, 102.4 MiB/s, 30 s left");
        assert!(line("x", &at(0, 0, 0)).contains("unknown left"));
    }
}
