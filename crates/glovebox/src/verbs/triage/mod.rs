//! `glovebox triage`: what an intruder left on an installed system, from its disk alone.

mod csv;
mod live;
mod rules;

use std::io::{self, Write};
use std::path::PathBuf;

use casebook::Item;
use evidence::partition::Scheme;
use evidence::stack::{Layer, Origin};
use evidence::system::System;
use guard::Guard;
use serde::Serialize;
use serde_json::{Value, json};
use triage::disk::Loaders;
use triage::{Artifact, Finding, Options, Report, Selection, Severity};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::{Opened, Reading};
use crate::output::{Colour, Format, paint, say};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::systems::{self, Examined, Judged, Looked};
use crate::{acting, target};

/// Find what an intruder left on a disk, an image or a running host
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    running: Option<Running>,
    #[command(flatten)]
    offline: Args,
}

#[derive(Debug, clap::Subcommand)]
enum Running {
    Live(Box<live::Args>),
}

impl Command {
    /// Examines.
    ///
    /// # Errors
    /// If what is to be examined cannot be opened, or the case does not take the record.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match (&self.running, &self.offline.source) {
            (Some(Running::Live(args)), _) => args.run(),
            (None, Some(source)) => self.offline.run(source),
            (None, None) => Err(Failure::new("nothing to examine was named")),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The disk, such as sda, or an image; with a volume (sda:2) only that
    #[arg(value_name = "ADDRESS", required = true)]
    source: Option<String>,
    /// Show findings of this severity and worse
    #[arg(long, value_enum, default_value = "low")]
    least: Least,
    /// YARA rules to apply to every file: a file, or a folder of them
    #[arg(long, value_name = "RULES")]
    yara: Vec<PathBuf>,
    /// Definitions of artifacts (YAML) to list files by: a file or folder
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "csv")]
    artifacts: Vec<PathBuf>,
    /// Only the definition of this name, with what it groups
    #[arg(long, value_name = "NAME", requires = "artifacts")]
    artifact: Vec<String>,
    /// Write the findings as comma-separated values instead of text
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    reading: Reading,
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
    /// Where its tree is addressed.
    address: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct ArtifactLine<'a> {
    source: &'a str,
    /// Where its tree is addressed.
    address: &'a str,
    #[serde(flatten)]
    artifact: &'a Artifact,
}

#[derive(Serialize)]
struct Summary<'a> {
    source: &'a str,
    /// Where its tree is addressed.
    address: &'a str,
    system: &'a Option<evidence::os::InstalledSystem>,
    findings: usize,
    coverage: &'a triage::Coverage,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: &'a Option<Selection>,
    problems: &'a [evidence::Problem],
}

impl Args {
    /// Examines.
    ///
    /// # Errors
    /// If the source cannot be opened or nothing on it can be read.
    fn run(&self, source: &str) -> Result<Exit, Failure> {
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.display().to_string()).collect()
        };
        let arguments = json!({
            "source": source,
            "view": self.reading.view(),
            "yara": names(&self.yara),
            "artifacts": names(&self.artifacts),
            "artifact": self.artifact,
        });
        recorded(&self.chosen, "triage", &arguments, |guard, act| self.triage(source, guard, act))
    }

    fn triage(&self, source: &str, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let address = target::address(source);
        // First, since nobody wants to hear of a wrong rule after minutes of reading.
        let rules = rules::read(&self.yara)?;
        let artifacts = rules::definitions(&self.artifacts, &self.artifact)?;
        let opened = self.reading.open(&address, guard)?;
        let brought = rules.items.into_iter().chain(artifacts.items);
        act.inputs(std::iter::once(input(&opened, guard)).chain(brought).collect());
        let options = Options {
            yara: rules.compiled,
            artifacts: artifacts.definitions,
            ..Options::default()
        };
        let mut loaders = Loaders::default();
        let mut examination = systems::examine(&opened, &address, &mut |fs, system, _| {
            loaders.add(fs);
            let unreached =
                system.map(|one| one.unreached.iter().map(systems::unreached).collect());
            let hidden = system.map(System::hidden).unwrap_or_default();
            Ok(Looked::Done(triage::run(fs, &Options { unreached, hidden, ..options.clone() })))
        })?;
        if address.label.is_none() && address.object.is_none() {
            examination.trees.extend(boot_code(&opened, &loaders));
        }
        // Before anything is shown: a reader that stops reading must not cost the record.
        examination.record(act, "triage", "findings")?;
        record_artifacts(act, &opened.name, &examination.trees)?;
        let least = Severity::from(self.least);
        if self.csv {
            write!(io::stdout(), "{}", csv::head())?;
        }
        for one in &examination.trees {
            self.show(&opened.name, one, least)?;
        }
        Ok(examination.end())
    }

    fn show(&self, source: &str, one: &Examined<Report>, least: Severity) -> Result<(), Failure> {
        let report = &one.report;
        for finding in report.findings.iter().filter(|finding| finding.severity <= least) {
            if self.csv {
                write!(io::stdout(), "{}", csv::line(&one.address, finding))?;
                continue;
            }
            let line = Line { source, address: &one.address, finding };
            self.format.record("finding", &line, || finding_text(finding))?;
        }
        for artifact in report.artifacts.iter().flat_map(|selection| &selection.artifacts) {
            let line = ArtifactLine { source, address: &one.address, artifact };
            self.format.record("artifact", &line, || artifact_text(artifact))?;
        }
        let summary = Summary {
            source,
            address: &one.address,
            artifacts: &report.artifacts,
            system: &report.system,
            findings: report.findings.len(),
            coverage: &report.coverage,
            problems: &report.problems,
        };
        let text = || summary_text(&summary, &report.findings);
        if self.csv {
            say(&text());
            return Ok(());
        }
        Ok(self.format.record("triage", &summary, text)?)
    }
}

/// Puts what definitions selected into an exhibit of the act, a line for each object.
fn record_artifacts(
    act: &Recording,
    name: &str,
    trees: &[Examined<Report>],
) -> Result<(), Failure> {
    let all = || {
        trees.iter().flat_map(|tree| {
            let selection = tree.report.artifacts.iter();
            selection.flat_map(|selection| &selection.artifacts).map(|one| (&tree.address, one))
        })
    };
    if !act.is_on() || all().next().is_none() {
        return Ok(());
    }
    let exhibit = act.new_exhibit(&format!("artifacts-{name}"))?;
    let mut lines = Vec::new();
    for (address, artifact) in all() {
        let line = ArtifactLine { source: name, address, artifact };
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
    }
    act.output(exhibit.add_file("artifacts.jsonl", &lines)?);
    Ok(())
}

fn artifact_text(artifact: &Artifact) -> String {
    let digest = artifact.sha256.as_deref().unwrap_or("-");
    let names = artifact.definitions.join(", ");
    let names = evidence::escape_bytes(names.as_bytes());
    format!("{digest}  {}  {}  {names}", artifact.size_bytes, artifact.path)
}

/// What the disk starts outside every file system, beside the loaders its systems keep.
fn boot_code(opened: &Opened, loaders: &Loaders) -> Option<Examined<Report>> {
    let is_it = |layer: &&Layer| layer.origin == Origin::Disk && layer.disk == opened.name;
    let layer = opened.stack.layers.iter().find(is_it)?;
    let table = &layer.view.table;
    let report = triage::disk::examine(&*layer.source, table, loaders);
    (table.scheme != Scheme::None).then(|| Examined { address: opened.name.clone(), report })
}

/// The disk or image as the act lists it.
fn input(opened: &Opened, guard: &Guard) -> Item {
    target::known_disk(&opened.name, guard).as_ref().map_or_else(
        || Item {
            name: opened.name.clone(),
            size_bytes: None,
            digests: hashing::Digests::default(),
            facts: Value::Null,
        },
        acting::disk_item,
    )
}

impl Judged for Report {
    fn findings(&self) -> usize {
        self.findings.len()
    }

    fn is_adverse(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity < Severity::Info)
    }

    fn problems(&self) -> &[evidence::Problem] {
        &self.problems
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
    if let Some(runs) = runs_text(finding) {
        text.push_str(&format!("\n    runs: {runs}"));
    }
    if !finding.mitre.is_empty() {
        text.push_str(&format!("\n    ATT&CK {}", finding.mitre.join(", ")));
    }
    text.push_str(&format!("\n    check by hand: {}", finding.verify_by_hand));
    text
}

/// Who would run what, and when, as far as it is known.
fn runs_text(finding: &Finding) -> Option<String> {
    let parts = [
        finding.what_runs.clone(),
        finding.who_runs.as_ref().map(|who| format!("as {who}")),
        finding.when_runs.clone(),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn summary_text(summary: &Summary<'_>, findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let coverage = summary.coverage;
    let mut text = format!(
        "\n{}: {} critical, {} high, {} medium, {} low, {} info",
        summary.address,
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
    if summary.system.is_none() && coverage.entries == 0 {
        text.push_str(&format!("\nlooked at: {}", coverage.file_system));
        return with_problems(text, summary);
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
    if coverage.yara_rules > 0 {
        text.push_str(&format!(
            "\nYARA: {} rules applied to {} files, {} of them in pieces",
            coverage.yara_rules, coverage.yara_files, coverage.yara_in_pieces
        ));
    }
    if let Some(selection) = summary.artifacts {
        let with = selection.applied.values().filter(|count| **count > 0).count();
        text.push_str(&format!(
            "\nartifacts: {} objects by {with} of {} definitions that apply here",
            selection.artifacts.len(),
            selection.applied.len()
        ));
        let not =
            [(&selection.not_applied, "sources"), (&selection.unknown_variables, "paths with")];
        for (counts, word) in not {
            for (name, count) in counts {
                let name = evidence::escape_bytes(name.as_bytes());
                text.push_str(&format!("\nnot applied: {count} {word} {name}"));
            }
        }
    }
    for skipped in &coverage.rules_skipped {
        text.push_str(&format!("\nrule not applied: {skipped}"));
    }
    with_problems(text, summary)
}

fn with_problems(mut text: String, summary: &Summary<'_>) -> String {
    for problem in summary.problems {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}
