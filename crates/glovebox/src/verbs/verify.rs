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
use verify::{Difference, Finding, Options, Report, Severity, Standing};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint, size};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::systems::{self, Examination, Examined, Judged, Looked};
use crate::target;
use crate::verbs::archive::trust::Trust;

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
    /// Also list every file that is explained, and by what
    #[arg(long)]
    all: bool,
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
struct Against {
    sealed: Sealed,
    catalogue: Catalogue,
    golden: Option<Listing>,
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
    archive: String,
    archive_version: u64,
    golden: &'a Option<String>,
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
            "view": self.reading.view(),
        });
        recorded(&self.chosen, "verify", &arguments, |guard, act| self.verify(guard, act))
    }

    fn verify(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        // The archive first: a refused one says so before hours of reading.
        let sealed = self.trust.open(&self.archive)?;
        let golden = match &self.golden {
            Some(name) => Some(sealed.golden(name).map_err(|error| {
                let known: Vec<&str> = sealed.goldens().collect();
                Failure::from(error).hint(format!("manifests in it: {}", known.join(" ")))
            })?),
            None => None,
        };
        let catalogue = sealed.catalogue()?;
        let against = Against { sealed, catalogue, golden };
        let address = target::address(&self.source);
        let opened = self.reading.open(&address, guard)?;
        act.inputs(opened.inputs(guard, &[]));
        act.inputs(vec![input(&against.sealed)]);
        let examination = systems::examine(&opened, &address, &mut |fs, unreached, address| {
            compare(fs, &against, unreached.unwrap_or_default(), address)
        })?;
        // Before anything is shown: a reader that stops reading must not cost the record.
        examination.record(act, "verify", "deviations")?;
        for one in &examination.trees {
            self.show(one, &examination, &against.sealed)?;
        }
        Ok(examination.end())
    }

    fn show(
        &self,
        one: &Examined<Report>,
        all: &Examination<Report>,
        sealed: &Sealed,
    ) -> Result<(), Failure> {
        let report = &one.report;
        let summary = Summary {
            address: &one.address,
            archive: sealed.statement().name.clone(),
            archive_version: sealed.statement().version,
            golden: &self.golden,
            system: &report.system,
            packages: report.packages.len(),
            packages_listed: report.of_standing(Standing::Listed).count(),
            findings: report.findings.len(),
            coverage: &report.coverage,
            problems: &report.problems,
            not_examined: &all.skipped,
        };
        self.format.record("verify", &summary, || summary_text(&summary, report))?;
        for finding in &report.findings {
            let line = Line { address: &one.address, finding };
            self.format.record("finding", &line, || finding_text(finding))?;
        }
        if self.all {
            for explained in &report.explained {
                let line = ExplainedLine { address: &one.address, explained };
                self.format.record("explained", &line, || {
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
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let golden = against.golden.as_ref();
    let options =
        Options { golden, limits: Limits::default(), threads, unreached: unreached.to_vec() };
    let doing = |error| Failure::from(error).while_doing(format!("comparing {address}"));
    match verify::run(fs, &against.catalogue, &options) {
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
    text.push_str(&format!(
        "\n{} of {} packages in the catalogue; {} packaged objects compared, {} files and {} hashed",
        summary.packages_listed,
        summary.packages,
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
