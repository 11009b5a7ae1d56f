//! `glovebox verify`: an installed system compared with a signed archive.

use std::path::PathBuf;

use archive::store::{Catalogue, Listing, Sealed};
use casebook::Item;
use evidence::fs::FileSystem;
use evidence::fs::tree::Limits;
use evidence::system::Unreached;
use guard::Guard;
use serde::Serialize;
use serde_json::json;
use verify::baseline::Baseline;
use verify::{Difference, Finding, Options, Report, Severity, Standing};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint, size};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::systems::{self, Examination, Examined, Judged, Looked};
use crate::target;
use crate::verbs::archive::advisories;
use crate::verbs::archive::trust::Trust;
use crate::verbs::baseline;

/// Compare an installed system with what its vendor signed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The disk, such as sda, an image or a folder; with a volume only that
    #[arg(value_name = "ADDRESS")]
    source: String,
    /// The archive's folder
    #[arg(long, value_name = "FOLDER")]
    archive: PathBuf,
    /// A manifest of a fresh install in the archive
    #[arg(long, value_name = "NAME")]
    golden: Option<String>,
    /// Compare with this baseline in the archive, not with packages
    #[arg(long, value_name = "NAME", conflicts_with = "golden")]
    baseline: Option<String>,
    /// Also list every file that is explained, and by what
    #[arg(long)]
    all: bool,
    /// Also list known weaknesses of what is installed
    #[arg(long, conflicts_with = "baseline")]
    advisories: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

/// What one tree is compared with.
enum Against {
    Catalogue { catalogue: Box<Catalogue>, golden: Option<Listing> },
    Baseline(Box<Baseline>),
}

/// How a comparison is shown: what with, as far as each is there.
pub(crate) struct Shown<'a> {
    pub(crate) archive: Option<&'a Sealed>,
    pub(crate) golden: Option<&'a str>,
    pub(crate) baseline: Option<&'a str>,
}

/// How much of it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deviations {
    /// What deviates.
    Told,
    /// Also what is explained, and by what.
    WithExplained,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Where its tree is addressed.
    address: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct ExplainedLine<'a> {
    address: &'a str,
    #[serde(flatten)]
    explained: &'a verify::Explained,
}

#[derive(Serialize)]
struct Summary<'a> {
    /// Where its tree is addressed.
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_version: Option<u64>,
    golden: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'a str>,
    system: &'a Option<evidence::os::InstalledSystem>,
    packages: usize,
    packages_listed: usize,
    findings: usize,
    coverage: &'a verify::Coverage,
    problems: &'a [evidence::Problem],
    /// Volumes and systems of the source that were not looked at, and why.
    not_examined: &'a [String],
}

impl Args {
    /// Compares.
    ///
    /// # Errors
    /// If the archive is refused, the source cannot be opened or there is no system on it.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({
            "source": self.source,
            "archive": self.archive.display().to_string(),
            "golden": self.golden,
            "baseline": self.baseline,
            "view": self.reading.view(),
        });
        recorded(&self.chosen, "verify", &arguments, |guard, act| self.verify(guard, act))
    }

    fn verify(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        // The archive first: a refused one says so before hours of reading.
        let sealed = self.trust.open(&self.archive)?;
        let against = self.against(&sealed)?;
        let address = target::address(&self.source);
        let opened = self.reading.open(&address, guard)?;
        act.inputs(opened.inputs(guard, &[]));
        act.inputs(vec![input(&sealed)]);
        let examination = systems::examine(&opened, &address, &mut |fs, system, address| {
            compare(fs, &against, systems::missing(system), address)
        })?;
        // Before anything is shown: a reader that stops reading must not cost the record.
        examination.record(act, "verify", "deviations")?;
        let shown = Shown {
            archive: Some(&sealed),
            golden: self.golden.as_deref(),
            baseline: self.baseline.as_deref(),
        };
        let deviations = if self.all { Deviations::WithExplained } else { Deviations::Told };
        for one in &examination.trees {
            shown.show(self.format, one, &examination, deviations)?;
            // What a vendor has not mended is no deviation: the exit code is that of the comparison.
            if let (true, Against::Catalogue { catalogue, .. }) = (self.advisories, &against) {
                advisories::of_report(self.format, &sealed, catalogue, &one.report)?;
            }
        }
        Ok(examination.end())
    }

    fn against(&self, sealed: &Sealed) -> Result<Against, Failure> {
        let known = |names: Vec<&str>| format!("in it there are: {}", names.join(" "));
        if let Some(name) = &self.baseline {
            let (facts, files) = sealed
                .baseline(name)
                .map_err(|error| Failure::from(error).hint(known(sealed.baselines().collect())))?;
            return Ok(Against::Baseline(Box::new(Baseline::parse(&facts, &files)?)));
        }
        let golden =
            match &self.golden {
                Some(name) => Some(sealed.golden(name).map_err(|error| {
                    Failure::from(error).hint(known(sealed.goldens().collect()))
                })?),
                None => None,
            };
        Ok(Against::Catalogue { catalogue: Box::new(sealed.catalogue()?), golden })
    }
}

impl Shown<'_> {
    /// Shows the report on one tree.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn show(
        &self,
        format: Format,
        one: &Examined<Report>,
        all: &Examination<Report>,
        deviations: Deviations,
    ) -> Result<(), Failure> {
        let report = &one.report;
        let statement = self.archive.map(Sealed::statement);
        let summary = Summary {
            address: &one.address,
            archive: statement.map(|statement| statement.name.as_str()),
            archive_version: statement.map(|statement| statement.version),
            golden: self.golden,
            baseline: self.baseline,
            system: &report.system,
            packages: report.packages.len(),
            packages_listed: report.of_standing(Standing::Listed).count(),
            findings: report.findings.len(),
            coverage: &report.coverage,
            problems: &report.problems,
            not_examined: &all.skipped,
        };
        format.record("verify", &summary, || summary_text(&summary, report))?;
        for finding in &report.findings {
            let line = Line { address: &one.address, finding };
            format.record("finding", &line, || finding_text(finding))?;
        }
        if deviations == Deviations::WithExplained {
            for explained in &report.explained {
                let line = ExplainedLine { address: &one.address, explained };
                format.record("explained", &line, || {
                    format!("{:<14} {}", explained.class.word(), explained.path)
                })?;
            }
        }
        Ok(())
    }
}

impl Judged for Report {
    fn findings(&self) -> usize {
        self.findings.len()
    }

    fn is_adverse(&self) -> bool {
        !self.findings.is_empty()
    }

    fn problems(&self) -> &[evidence::Problem] {
        &self.problems
    }
}

fn compare(
    fs: &dyn FileSystem,
    against: &Against,
    unreached: &[Unreached],
    address: &str,
) -> Result<Looked<Report>, Failure> {
    let doing = |error| Failure::from(error).while_doing(format!("comparing {address}"));
    let result = match against {
        Against::Baseline(baseline) => baseline::compare(baseline, fs, None, unreached),
        Against::Catalogue { catalogue, golden } => {
            let options = Options {
                golden: golden.as_ref(),
                limits: Limits::default(),
                threads: std::thread::available_parallelism().map_or(1, usize::from),
                unreached: unreached.to_vec(),
            };
            verify::run(fs, catalogue, &options)
        }
    };
    match result {
        Ok(report) => Ok(Looked::Done(report)),
        // Another system beside it may have one.
        Err(error @ verify::Error::NoDatabase { .. }) => Ok(Looked::Not(doing(error))),
        Err(error) => Err(doing(error)),
    }
}

/// The archive as the act lists it.
fn input(sealed: &Sealed) -> Item {
    let statement = sealed.statement();
    Item {
        name: format!("archive {}", statement.name),
        size_bytes: None,
        digests: hashing::Digests::default(),
        facts: json!({ "version": statement.version, "signed_seconds": statement.signed_seconds }),
    }
}

fn finding_text(finding: &Finding) -> String {
    let (word, colour) = match finding.severity {
        Severity::Critical => ("CRITICAL", Colour::Red),
        Severity::High => ("HIGH", Colour::Red),
        Severity::Medium => ("MEDIUM", Colour::Yellow),
        Severity::Low => ("LOW", Colour::Bold),
    };
    let mut text = format!(
        "{} {}  {}\n    {}",
        paint(&format!("{word:<8}"), colour),
        finding.rule,
        finding.title,
        finding.path
    );
    if let Some(package) = &finding.package {
        text.push_str(&format!("\n    of {package}"));
    }
    for (name, value) in [("expected", &finding.expected), ("found   ", &finding.found)] {
        if !value.is_empty() {
            text.push_str(&format!("\n    {name} {value}"));
        }
    }
    if let Some(difference) = &finding.difference {
        text.push_str(&difference_text(difference));
    }
    text
}

/// What was changed in a configuration file, below its finding.
fn difference_text(difference: &Difference) -> String {
    match difference {
        Difference::Text { lines, further_lines, .. } => {
            let mut text = String::from("\n    --- packaged\n    +++ found");
            for line in lines {
                let colour = match line.as_bytes().first() {
                    Some(b'+') => Some(Colour::Green),
                    Some(b'-') => Some(Colour::Red),
                    _ => None,
                };
                let line = colour.map_or_else(|| line.clone(), |colour| paint(line, colour));
                text.push_str(&format!("\n    {line}"));
            }
            if *further_lines > 0 {
                text.push_str(&format!("\n    [{further_lines} more lines]"));
            }
            text
        }
        Difference::Binary { packaged_bytes, found_bytes } => format!(
            "\n    no text: {} packaged, {} found",
            size(*packaged_bytes),
            size(*found_bytes)
        ),
        Difference::Unknown { why } => format!("\n    what was changed is not known: {why}"),
    }
}

fn summary_text(summary: &Summary<'_>, report: &Report) -> String {
    let count = |severity| report.findings.iter().filter(|one| one.severity == severity).count();
    let coverage = summary.coverage;
    let mut text = format!(
        "{}: {} critical, {} high, {} medium, {} low deviations",
        summary.address,
        count(Severity::Critical),
        count(Severity::High),
        count(Severity::Medium),
        count(Severity::Low),
    );
    let with = match summary.baseline {
        Some(name) => {
            format!("compared with the baseline {}", evidence::escape_bytes(name.as_bytes()))
        }
        None => {
            let (listed, all) = (summary.packages_listed, summary.packages);
            format!("{listed} of {all} packages in the catalogue")
        }
    };
    text.push_str(&format!(
        "\n{with}; {} objects compared, {} files and {} hashed",
        coverage.packaged,
        coverage.files_hashed,
        size(coverage.bytes_hashed)
    ));
    let explained: Vec<String> =
        coverage.explained.iter().map(|(class, count)| format!("{count} {class}")).collect();
    text.push_str(&format!(
        "\nin no package: {} unexplained; explained: {}",
        coverage.unexplained,
        explained.join(", ")
    ));
    for (what, count) in &coverage.not_judged {
        text.push_str(&format!("\nnot judged: {count} {what}"));
    }
    for problem in summary.problems {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}
