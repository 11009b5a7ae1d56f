//! Logs of lines (RFC 3164 as daemons write it to files, and RFC 3339 stamps): bytes that were blanked, steps back in time,
//! and hours without the job that runs every hour.

use crate::context::{Context, Spot};
use crate::parse::bytes::Bytes;
use crate::root::{InRoot, Item};
use std::io::{BufRead, BufReader, Read};

use evidence::{Place, Problem, ProblemKind};

const PLACES: &[&str] = &[
    "/var/log/syslog",
    "/var/log/auth.log",
    "/var/log/messages",
    "/var/log/secure",
    "/var/log/kern.log",
    "/var/log/daemon.log",
    "/var/log/cron",
    "/var/log/cron.log",
    "/var/log/user.log",
];
/// Bytes read of one log.
const LOG_BYTES: u64 = 256 << 20;
/// Bytes kept of one line.
const LINE_BYTES: usize = 8192;
/// Steps and holes from this length on, in seconds.
const STEP_SECONDS: i64 = 3600;
const HOLE_SECONDS: i64 = 3 * 3600;
/// How often the hourly job must have been seen before its absence counts.
const HOURLY_SEEN: usize = 3;
/// Lines behind a hole in which a start, a sleep or a set clock explains it.
const EXPLAINING_LINES: usize = 400;
/// What stands in lines that explain it.
const EXPLANATIONS: &[&[u8]] = &[
    b"Linux version ",
    b"PM: suspend",
    b"systemd-sleep",
    b"Time has been changed",
    b"rsyslogd:",
    b"syslogd",
    b"syslog-ng starting",
    b"systemd-timesyncd",
    b"chronyd",
    b"ntpd",
    b"System time",
    b"Clock change",
    b"Command line:",
    b"systemd 2",
    b"-- reboot --",
];

struct Position<'a> {
    file: InRoot<'a>,
    at: u64,
}

impl Read for Position<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(self.at, buf);
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

/// What is kept of a line that matters later.
#[derive(Clone)]
struct Seen {
    number: usize,
    offset_bytes: usize,
    seconds: i64,
    text: Vec<u8>,
}

/// A contradiction, kept until the lines behind it explain it or not.
struct Doubt {
    line: Seen,
    detail: String,
    rule: &'static str,
    left: usize,
}

pub(super) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for place in PLACES {
        for name in [(*place).to_owned(), format!("{place}.1")] {
            let found = root.matching(&name).into_iter().find(|item| item.is_file());
            if let Some(item) = found.filter(|item| item.metadata.size_bytes > 0) {
                log(context, item);
            }
        }
    }
}

fn log(context: &mut Context<'_>, item: Item<'_>) {
    let root = context.root;
    let size = item.metadata.size_bytes;
    if size > LOG_BYTES {
        let text =
            format!("the log has {size} bytes; gaps were looked for in the first {LOG_BYTES}");
        let place = Place::Path(item.path.into());
        root.problems.borrow_mut().push(Problem::new(ProblemKind::Refused, place, text));
    }
    let position = Position { file: root.open(item), at: 0 };
    let mut reader = BufReader::with_capacity(1 << 16, position.take(LOG_BYTES));
    let mut judge = Judge::default();
    let mut offset = 0_usize;
    for number in 1_usize.. {
        let Some((line, length)) = next_line(&mut reader) else { break };
        judge.line(number, offset, &line);
        offset = offset.saturating_add(length);
    }
    judge.settle(usize::MAX);
    for doubt in judge.told {
        let (at, text) = (doubt.line.offset_bytes, &doubt.line.text);
        let spot = Spot::line(item.path, doubt.line.number, at, text).detail(doubt.detail);
        context.report(doubt.rule, spot);
    }
}

/// The next line, cut to what is kept, and its length with its end.
fn next_line(reader: &mut impl BufRead) -> Option<(Vec<u8>, usize)> {
    let (mut line, mut length) = (Vec::new(), 0_usize);
    loop {
        let available = reader.fill_buf().ok()?;
        if available.is_empty() {
            return (length > 0).then_some((line, length));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let piece = available.get(..end.unwrap_or(available.len())).unwrap_or(&[]);
        let room = LINE_BYTES.saturating_sub(line.len()).min(piece.len());
        line.extend_from_slice(piece.get(..room).unwrap_or(&[]));
        let used = piece.len().saturating_add(usize::from(end.is_some()));
        reader.consume(used);
        length = length.saturating_add(used);
        if end.is_some() {
            return Some((line, length));
        }
    }
}

#[derive(Default)]
struct Judge {
    last: Option<Seen>,
    hourly: Option<Seen>,
    hourly_count: usize,
    open: Vec<Doubt>,
    told: Vec<Doubt>,
    blanks_told: bool,
    /// Years counted on since the first line, where stamps have none.
    years: i64,
    last_month: i64,
}

impl Judge {
    fn line(&mut self, number: usize, offset_bytes: usize, text: &[u8]) {
        if !self.blanks_told && text.contains(&0) {
            self.blanks_told = true;
            let blanks = text.iter().filter(|byte| **byte == 0).count();
            let visible: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
            let line = Seen { number, offset_bytes, seconds: 0, text: visible };
            let detail = format!("{blanks} zero bytes or more stand in the line");
            self.told.push(Doubt { line, detail, rule: "GBX-1606", left: 0 });
        }
        let explains = EXPLANATIONS.iter().any(|word| crate::parse::contains(text, word));
        if explains {
            self.open.clear();
            self.hourly = None;
        }
        for doubt in &mut self.open {
            doubt.left = doubt.left.saturating_sub(1);
        }
        let settled = self.open.iter().take_while(|doubt| doubt.left == 0).count();
        self.settle(settled);
        let Some(seconds) = self.stamp(text) else { return };
        let seen = Seen { number, offset_bytes, seconds, text: text.to_vec() };
        if let Some(last) = self.last.as_ref().filter(|_| !explains) {
            let back = last.seconds.saturating_sub(seconds);
            if back > STEP_SECONDS {
                let detail = format!("{back} seconds before line {}", last.number);
                self.doubt(seen.clone(), detail, "GBX-1607");
            }
        }
        if is_hourly(text) {
            if let Some(last) = self.hourly.take().filter(|_| self.hourly_count >= HOURLY_SEEN) {
                let hole = seconds.saturating_sub(last.seconds);
                if hole > HOLE_SECONDS {
                    let detail = format!(
                        "the job of every hour stands in line {} and then not for {hole} seconds",
                        last.number
                    );
                    self.doubt(seen.clone(), detail, "GBX-1608");
                }
            }
            self.hourly_count = self.hourly_count.saturating_add(1);
            self.hourly = Some(seen.clone());
        }
        self.last = Some(seen);
    }

    /// Tells the first doubts, which nothing explained.
    fn settle(&mut self, count: usize) {
        for doubt in self.open.drain(..count.min(self.open.len())) {
            // One of each kind tells enough of a log.
            if self.told.iter().all(|told| told.rule != doubt.rule) {
                self.told.push(doubt);
            }
        }
    }

    fn doubt(&mut self, line: Seen, detail: String, rule: &'static str) {
        if self.open.len() < 16 {
            self.open.push(Doubt { line, detail, rule, left: EXPLAINING_LINES });
        }
    }

    /// The time of a line in seconds from some fixed moment; years are counted on where the stamp has none.
    fn stamp(&mut self, text: &[u8]) -> Option<i64> {
        let text = std::str::from_utf8(text.get(..19.min(text.len()))?).ok()?;
        if text.as_bytes().get(10) == Some(&b'T') {
            let whole = format!("{text}Z");
            return whole.parse::<evidence::Time>().ok().map(|time| time.seconds);
        }
        let months =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let name = text.get(..3)?;
        let month = months.iter().position(|one| *one == name)?;
        let month = i64::try_from(month).ok()?.saturating_add(1);
        let number = |from: usize, to: usize| text.get(from..to)?.trim_start().parse::<i64>().ok();
        let (day, hour) = (number(4, 6)?, number(7, 9)?);
        let (minute, second) = (number(10, 12)?, number(13, 15)?);
        if self.last_month == 12 && month == 1 {
            self.years = self.years.saturating_add(1);
        }
        self.last_month = month;
        // 2024 is a leap year, so that the 29th of February can be told; a year more or less makes no step.
        let base = 2024_i64.saturating_add(self.years.min(4000));
        let text = format!("{base:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        text.parse::<evidence::Time>().ok().map(|time| time.seconds)
    }
}

fn is_hourly(text: &[u8]) -> bool {
    let contains = |word: &[u8]| crate::parse::contains(text, word);
    contains(b"cron.hourly") && (contains(b"CMD") || contains(b"run-parts") || contains(b"anacron"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Vec<(&'static str, usize)> {
        let mut judge = Judge::default();
        for (index, line) in text.lines().enumerate() {
            judge.line(index + 1, 0, line.as_bytes());
        }
        judge.settle(usize::MAX);
        judge.told.iter().map(|one| (one.rule, one.line.number)).collect()
    }

    fn hours(of: impl Iterator<Item = u32>) -> String {
        let line = |hour: u32| {
            let (day, hour) = (1 + hour / 24, hour % 24);
            format!(
                "Mar {day:>2} {hour:02}:17:01 zoo CRON[1]: (root) CMD (run-parts --report /etc/cron.hourly)\n"
            )
        };
        of.map(line).collect()
    }

    #[test]
    fn hours_cut_out_are_told_and_a_start_explains_them() {
        assert_eq!(judged(&hours(0..60)), []);
        assert_eq!(judged(&hours((0..20).chain(29..60))), [("GBX-1608", 21)]);
        // Three hours may pass without the job, and the hole must come after it was seen.
        assert_eq!(judged(&hours((0..20).chain(22..60))), []);
        assert_eq!(judged(&hours([0, 9].into_iter())), []);
        let start = "Mar  2 05:00:00 zoo kernel: Linux version 6.1\n";
        assert_eq!(judged(&(hours(0..20) + start + &hours(29..60))), []);
    }

    #[test]
    fn steps_back_and_new_years() {
        let back = "2026-03-20T09:00:00 zoo a\n2026-03-19T09:00:00 zoo b\n";
        assert_eq!(judged(back), [("GBX-1607", 2)]);
        let set = format!("{back}2026-03-20T09:00:01 zoo chronyd[1]: System clock wrong\n");
        assert_eq!(judged(&set), []);
        assert_eq!(judged("Dec 31 23:59:59 zoo a\nJan  1 00:00:00 zoo b\n"), []);
        assert_eq!(judged("Mar  1 00:00:00 zoo a\0\0\0b\n"), [("GBX-1606", 1)]);
    }
}
