//! `glovebox triage`: what an intruder left on an installed system, from its disk alone.

use std::sync::Arc;

use casebook::{Completion, Item, Outcome, OutcomeKind};
use evidence::Source;
use evidence::disk::{DiskView, Volume};
use guard::Guard;
use serde::Serialize;
use serde_json::{Value, json};
use triage::{Finding, Options, Report, Severity};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say};
use crate::session::Chosen;
use crate::target::{self, Target};
use crate::{acting, clock};

/// Find what an intruder left on a disk or image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The disk, such as sda, or an image file
    #[arg(value_name = "DISK|IMAGE")]
    source: String,
    /// Only this partition (default: every one with an installed system)
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// Show findings of this severity and worse
    #[arg(long, value_enum, default_value = "low")]
    least: Least,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Least {
    Critical,
    High,
    Medium,
    Low,
    Info,
}

impl From<Least> for Severity {
    fn from(least: Least) -> Self {
        match least {
            Least::Critical => Self::Critical,
            Least::High => Self::High,
            Least::Medium => Self::Medium,
            Least::Low => Self::Low,
            Least::Info => Self::Info,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    partition: Option<u32>,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct Summary<'a> {
    source: &'a str,
    partition: Option<u32>,
    system: &'a Option<evidence::os::InstalledSystem>,
    findings: usize,
    coverage: &'a triage::Coverage,
    problems: &'a [evidence::Problem],
}

/// The report on one volume.
struct Examined {
    partition: Option<u32>,
    report: Report,
}

impl Args {
    /// Examines.
    ///
    /// # Errors
    /// If the source cannot be opened or nothing on it can be read.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        let target = target::open(&self.source, &guard)?;
        let source = target.source()?;
        let started = clock::now();
        let view = evidence::examine(&source);
        let examined = self.examine(&source, &view)?;
        let least = Severity::from(self.least);
        for one in &examined {
            self.show(&target.name, one, least)?;
        }
        let skipped = self.unread(&view);
        for text in &skipped {
            say(&paint(&format!("not examined: {text}"), Colour::Yellow));
        }
        if self.chosen.path().is_some() {
            self.record(&guard, &target, &started, &examined, &skipped)?;
        }
        let adverse = examined
            .iter()
            .flat_map(|one| &one.report.findings)
            .any(|finding| finding.severity < Severity::Info);
        let partial = !skipped.is_empty()
            || view.problems().next().is_some()
            || examined.iter().any(|one| !one.report.problems.is_empty());
        Ok(if adverse {
            Exit::Findings
        } else if partial {
            Exit::Partial
        } else {
            Exit::Clean
        })
    }

    fn examine(&self, source: &Arc<dyn Source>, view: &DiskView) -> Result<Vec<Examined>, Failure> {
        let wanted = |volume: &&Volume| match self.partition {
            Some(number) => volume.partition == Some(number),
            None => volume.system.is_some(),
        };
        let mut examined = Vec::new();
        for volume in view.volumes.iter().filter(wanted) {
            let files = evidence::disk::open(source, volume)?;
            let report = triage::run(&*files, &Options::default());
            examined.push(Examined { partition: volume.partition, report });
        }
        if examined.is_empty() {
            let mut failure = Failure::new(match self.partition {
                Some(number) => format!("{} has no partition {number}", self.source),
                None => {
                    format!("no installed system that can be read was found on {}", self.source)
                }
            });
            for problem in view.problems() {
                failure = failure.hint(format!("problem: {problem}"));
            }
            return Err(failure.hint(format!("glovebox survey {}", self.source)));
        }
        Ok(examined)
    }

    /// Volumes that hold something this version cannot read files from: said, never passed over.
    fn unread(&self, view: &DiskView) -> Vec<String> {
        view.volumes
            .iter()
            .filter(|volume| self.partition.is_none() && !volume.is_readable())
            .filter(|volume| !volume.contents.is_empty())
            .map(|volume| {
                let kinds: Vec<String> =
                    volume.contents.iter().map(|content| format!("{:?}", content.kind)).collect();
                let place = volume
                    .partition
                    .map_or("the whole source".to_owned(), |number| format!("partition {number}"));
                format!("{place} ({})", kinds.join(", "))
            })
            .collect()
    }

    fn show(&self, source: &str, one: &Examined, least: Severity) -> Result<(), Failure> {
        let report = &one.report;
        for finding in report.findings.iter().filter(|finding| finding.severity <= least) {
            let line = Line { source, partition: one.partition, finding };
            self.format.record("finding", &line, || finding_text(finding))?;
        }
        let summary = Summary {
            source,
            partition: one.partition,
            system: &report.system,
            findings: report.findings.len(),
            coverage: &report.coverage,
            problems: &report.problems,
        };
        self.format.record("triage", &summary, || summary_text(&summary, &report.findings))?;
        Ok(())
    }

    fn record(
        &self,
        guard: &Guard,
        target: &Target,
        started: &casebook::Timestamp,
        examined: &[Examined],
        skipped: &[String],
    ) -> Result<(), Failure> {
        let (case, signer) = self.chosen.open()?;
        let input = target.disk.as_ref().map_or_else(
            || Item {
                name: target.name.clone(),
                size_bytes: None,
                digests: hashing::Digests::default(),
                facts: Value::Null,
            },
            acting::disk_item,
        );
        let arguments = json!({ "source": target.name, "partition": self.partition });
        let who = acting::who(&case);
        let mut draft = acting::draft(&who, guard, "triage", arguments, vec![input])?;
        draft.started = started.clone();
        let act = case.begin(draft, &signer)?;
        let exhibit = act.new_exhibit(&format!("triage-{}", target.name))?;
        let mut lines = Vec::new();
        for one in examined {
            serde_json::to_writer(
                &mut lines,
                &json!({ "partition": one.partition, "report": one.report }),
            )?;
            lines.push(b'\n');
        }
        let output = exhibit.add_file("triage.jsonl", &lines)?;
        let mut problems: Vec<String> =
            skipped.iter().map(|text| format!("not examined: {text}")).collect();
        problems.extend(
            examined
                .iter()
                .flat_map(|one| &one.report.problems)
                .map(ToString::to_string)
                .take(1000),
        );
        let findings: usize = examined.iter().map(|one| one.report.findings.len()).sum();
        let kind = if problems.is_empty() { OutcomeKind::Done } else { OutcomeKind::Partial };
        let mut end =
            Completion::new(clock::now(), Outcome::new(kind, format!("{findings} findings")));
        end.outputs = vec![output];
        end.problems = problems;
        end.counters_after = acting::counters(guard);
        act.finish(end)?;
        Ok(())
    }
}

fn finding_text(finding: &Finding) -> String {
    let (word, colour) = match finding.severity {
        Severity::Critical => ("CRITICAL", Colour::Red),
        Severity::High => ("HIGH", Colour::Red),
        Severity::Medium => ("MEDIUM", Colour::Yellow),
        Severity::Low => ("LOW", Colour::Bold),
        Severity::Info => ("INFO", Colour::Bold),
    };
    let place = finding.line.map_or_else(String::new, |line| format!(":{line}"));
    let mut text = format!(
        "{} {}  {}\n    {}{place}",
        paint(&format!("{word:<8}"), colour),
        finding.rule,
        finding.title,
        finding.path
    );
    for (name, value) in [("", &finding.detail), ("> ", &finding.excerpt)] {
        if !value.is_empty() {
            text.push_str(&format!("\n    {name}{value}"));
        }
    }
    if !finding.mitre.is_empty() {
        text.push_str(&format!("\n    ATT&CK {}", finding.mitre.join(", ")));
    }
    text.push_str(&format!("\n    check by hand: {}", finding.verify_by_hand));
    text
}

fn summary_text(summary: &Summary<'_>, findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let coverage = summary.coverage;
    let mut text = format!(
        "\n{}{}: {} critical, {} high, {} medium, {} low, {} info",
        summary.source,
        summary.partition.map_or_else(String::new, |number| format!(" partition {number}")),
        count(Severity::Critical),
        count(Severity::High),
        count(Severity::Medium),
        count(Severity::Low),
        count(Severity::Info),
    );
    if let Some(system) = summary.system {
        text.push_str(&format!(
            "\nsystem: {} (host {})",
            system.name,
            system.hostname.as_deref().unwrap_or("unknown")
        ));
    }
    text.push_str(&format!(
        "\nlooked at: {} entries, {} files, {} parsed; package database: {}, {} packages, {} digests \
         compared, {} rules",
        coverage.entries,
        coverage.files,
        coverage.files_parsed,
        coverage.package_database,
        coverage.packages,
        coverage.digests_compared,
        coverage.rules
    ));
    for skipped in &coverage.rules_skipped {
        text.push_str(&format!("\nrule not applied: {skipped}"));
    }
    for problem in summary.problems {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}
