//! What is said while it runs: one line on a terminal, events for programs, nothing else.

use std::time::{Duration, Instant};

use imaging::{Progress, Step, Tick, Work};
use serde_json::json;

use crate::output::Format;
use crate::progress::Meter;

/// Events are this far apart.
const EVERY: Duration = Duration::from_secs(1);

/// Talks about the work.
pub(super) struct Told {
    answer: Format,
    formats: Vec<serde_json::Value>,
    begun: Instant,
    start_bytes: u64,
    /// The copy being read back, if that has begun.
    reading: Option<usize>,
    /// Whether what was put off is being filled in.
    fills_in: bool,
    meter: Meter,
    last: Instant,
}

impl Told {
    pub(super) fn new(work: &Work, start_bytes: u64, answer: Format) -> Self {
        let formats = work
            .requests
            .iter()
            .map(|request| json!({ "format": request.format, "folder": request.folder }))
            .chain(work.others.iter().map(
                |other| json!({ "kind": other["kind"], "format": other["request"]["format"] }),
            ))
            .collect();
        Self {
            answer,
            formats,
            begun: Instant::now(),
            start_bytes,
            reading: None,
            fills_in: false,
            meter: Meter::new("imaging", work.medium.size_bytes),
            last: Instant::now(),
        }
    }

    /// Something was done.
    pub(super) fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Writing(standing) => {
                self.meter.at(standing.tick.done_bytes);
                if self.is_due() {
                    let copies: Vec<_> = self
                        .formats
                        .iter()
                        .zip(standing.written_bytes)
                        .zip(standing.is_live)
                        .map(|((what, written), is_live)| {
                            json!({ "copy": what, "written_bytes": written, "goes_on": is_live })
                        })
                        .collect();
                    self.event("imaging", standing.tick, &json!(copies));
                }
            }
            Step::FillingIn { missing_bytes, put_off_bytes } => {
                if !self.fills_in {
                    self.meter.end();
                    self.meter = Meter::new("coming back to what was put off", put_off_bytes);
                    self.fills_in = true;
                }
                self.meter.at(put_off_bytes.saturating_sub(missing_bytes));
                if self.is_due() {
                    let event = json!({
                        "doing": "filling in",
                        "missing_bytes": missing_bytes,
                        "put_off_bytes": put_off_bytes,
                    });
                    let _closed = self.answer.record("progress", &event, String::new);
                }
            }
            Step::ReadingBack(copy, tick) => {
                if self.reading != Some(copy) {
                    self.meter.end();
                    self.meter = Meter::new("reading back", tick.total_bytes);
                    (self.reading, self.start_bytes) = (Some(copy), 0);
                    self.begun = Instant::now();
                }
                self.meter.at(tick.done_bytes);
                if self.is_due() {
                    let what = self.formats.get(copy).cloned().unwrap_or_default();
                    self.event("reading back", tick, &json!([{ "copy": what }]));
                }
            }
        }
    }

    /// The line goes away.
    pub(super) fn end(&self) {
        self.meter.end();
    }

    fn is_due(&mut self) -> bool {
        if !self.answer.is_json() || self.last.elapsed() < EVERY {
            return false;
        }
        self.last = Instant::now();
        true
    }

    fn event(&self, doing: &str, tick: Tick, copies: &serde_json::Value) {
        // What lay there before an interruption says nothing about the rate.
        let progress = Progress {
            done_bytes: tick.done_bytes.saturating_sub(self.start_bytes),
            total_bytes: tick.total_bytes.saturating_sub(self.start_bytes),
            bad_bytes: tick.bad_bytes,
            elapsed: self.begun.elapsed(),
        };
        let event = json!({
            "doing": doing,
            "done_bytes": tick.done_bytes,
            "total_bytes": tick.total_bytes,
            "unreadable_bytes": tick.bad_bytes,
            "bytes_per_second": progress.bytes_per_second(),
            "seconds_left": progress.time_left().map(|left| left.as_secs()),
            "copies": copies,
        });
        // A program that stopped listening does not stop an imaging.
        let _closed = self.answer.record("progress", &event, String::new);
    }
}
