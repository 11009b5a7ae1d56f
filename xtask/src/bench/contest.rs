//! A contest: several commands that do the same work, timed in turns.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// One way to do the work: a line for `sh`.
pub(crate) struct Rival {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// The shell line that is timed.
    pub(crate) line: String,
}

/// Several ways to do the same work.
pub(crate) struct Contest {
    /// What is done.
    pub(crate) what: String,
    /// What we aim at, in words.
    pub(crate) aim: &'static str,
    /// Ours first.
    pub(crate) rivals: Vec<Rival>,
}

/// What one rival took.
pub(crate) struct Outcome {
    name: &'static str,
    seconds: Vec<f64>,
    processor_seconds: Vec<f64>,
    peak_kib: u64,
}

/// What one run took.
struct Run {
    seconds: f64,
    /// User and system time of all processes.
    processor_seconds: f64,
    peak_kib: u64,
}

impl Contest {
    /// Lets every rival run once for warming and then `turns` times, one after the other in each turn.
    pub(crate) fn hold(&self, turns: usize) -> Result<Vec<Outcome>> {
        self.hold_after(turns, "")
    }

    /// The same, where the shell line `before` runs before each run and is not timed: it takes away what the last one
    /// left, and makes what is no part of the work.
    pub(crate) fn hold_after(&self, turns: usize, before: &str) -> Result<Vec<Outcome>> {
        let outcome = |rival: &Rival| Outcome {
            name: rival.name,
            seconds: Vec::new(),
            processor_seconds: Vec::new(),
            peak_kib: 0,
        };
        let mut outcomes: Vec<Outcome> = self.rivals.iter().map(outcome).collect();
        for turn in 0..=turns {
            for (rival, outcome) in self.rivals.iter().zip(&mut outcomes) {
                if !before.is_empty() {
                    timed(before).context("preparing")?;
                }
                let run = timed(&rival.line)
                    .with_context(|| format!("timing {} for \"{}\"", rival.name, self.what))?;
                let Run { seconds, processor_seconds, peak_kib } = run;
                eprintln!(
                    "  {} {}: {seconds:.3} s, {processor_seconds:.2} s of processor, {peak_kib} KiB",
                    self.what, rival.name
                );
                if turn > 0 {
                    outcome.seconds.push(seconds);
                    outcome.processor_seconds.push(processor_seconds);
                }
                outcome.peak_kib = outcome.peak_kib.max(peak_kib);
            }
        }
        Ok(outcomes)
    }

    /// The outcomes as lines of a Markdown table: median, range, ratio to ours, processor time, peak memory.
    pub(crate) fn table(&self, outcomes: &[Outcome]) -> String {
        let ours = outcomes.first().map_or(f64::NAN, |ours| median(&ours.seconds));
        let mut text = format!(
            "\n### {}\n\nAim: {}.\n\n| | median s | least to most | time of ours / its | processor s | peak MiB |\n|---|---|---|---|---|---|\n",
            self.what, self.aim
        );
        for outcome in outcomes {
            let (least, most) = outcome.range();
            let _infallible = writeln!(
                text,
                "| {} | {:.3} | {least:.3} to {most:.3} | {:.2} | {:.2} | {:.0} |",
                outcome.name,
                median(&outcome.seconds),
                ours / median(&outcome.seconds),
                median(&outcome.processor_seconds),
                outcome.peak_kib as f64 / 1024.0
            );
        }
        text
    }
}

impl Outcome {
    fn range(&self) -> (f64, f64) {
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.seconds.iter().copied().fold(0.0, f64::max);
        (least, most)
    }
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Wall clock, and by GNU time the processor time of the line and the most memory any process of it held.
fn timed(line: &str) -> Result<Run> {
    let begun = Instant::now();
    let out = Command::new("/usr/bin/time")
        .args(["-f", "took %M %U %S", "sh", "-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("starting /usr/bin/time")?;
    let seconds = begun.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "`{line}` ended with {}: {said}", out.status);
    let took = said.lines().rev().find_map(|line| line.strip_prefix("took "));
    let mut numbers = took.context("GNU time said nothing")?.split(' ').map(str::parse::<f64>);
    let mut next = || numbers.next().and_then(Result::ok).context("a number of GNU time");
    let (peak_kib, user, system) = (next()?, next()?, next()?);
    Ok(Run { seconds, processor_seconds: user + system, peak_kib: peak_kib as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ratio_are_right() {
        let outcome = |name, seconds: &[f64]| Outcome {
            name,
            seconds: seconds.to_vec(),
            processor_seconds: seconds.iter().map(|one| one * 2.0).collect(),
            peak_kib: 2048,
        };
        let contest = Contest { what: "x".to_owned(), aim: "y", rivals: Vec::new() };
        let text = contest.table(&[outcome("ours", &[1.0, 9.0, 2.0]), outcome("theirs", &[4.0])]);
        assert!(text.contains("| ours | 2.000 | 1.000 to 9.000 | 1.00 | 4.00 | 2 |"), "{text}");
        assert!(text.contains("| theirs | 4.000 | 4.000 to 4.000 | 0.50 | 8.00 | 2 |"), "{text}");
    }
}
