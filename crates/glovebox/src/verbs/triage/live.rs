//! `glovebox triage live`: what a running host holds that power-off would destroy.

use std::time::Duration;

use casebook::{Item, Outcome, OutcomeKind};
use hashing::Digests;
use live::{
    Copies, Finding, Host, Layout, Lies, ModuleLoading, Nowhere, Options, Report, Severity,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::Least;
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say, size};
use crate::recording::{Recording, recorded_live};
use crate::session::Chosen;
use crate::volatile::{self, CaseSink, Far};

/// Collect and judge the volatile state of the host this runs on
///
/// Runs no program of the host and writes nothing to it: what is collected
/// goes into the case on the examiner's medium, or to another Glovebox.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Send it to a listener (receiver:HOST:PORT) instead of into a case
    #[arg(long, value_name = "RECEIVER", conflicts_with = "case")]
    to: Option<String>,
    /// Read the receiver's pairing code from a file
    #[arg(long, value_name = "FILE", requires = "to")]
    code_file: Option<std::path::PathBuf>,
    /// Take processor and disk only when nobody else wants them
    #[arg(long)]
    gentle: bool,
    /// Add a tar in this layout, for other tools
    #[arg(long, value_enum, default_value = "lines")]
    layout: Form,
    /// Copy no deleted files, only list them
    #[arg(long)]
    no_copies: bool,
    /// Largest copy of a deleted file, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    copy_most: u64,
    /// Let the kernel run the host's modprobe where it has to for sockets
    #[arg(long)]
    dangerously_load_modules: bool,
    /// Accept a case on the host's own disks: it overwrites deleted files
    #[arg(long)]
    dangerously_write_on_host: bool,
    /// Show findings of this severity and worse
    #[arg(long, value_enum, default_value = "low")]
    least: Least,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// JSON lines only
    Lines,
    /// Also uac.tar, which readers of UAC's collections open
    Uac,
}

#[derive(Serialize)]
struct Line<'a> {
    host: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct Summary<'a> {
    host: &'a str,
    findings: usize,
    coverage: &'a live::Coverage,
    problems: &'a [evidence::Problem],
    files: Vec<Value>,
}

impl Args {
    /// Collects.
    ///
    /// # Errors
    /// If the case or the receiver does not take it, or the case lies on the host.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let host = Host::running();
        let place = self.chosen.path();
        let lies = place.as_deref().map(|path| live::lies(&host, path));
        volatile::ensure_elsewhere(lies.as_ref(), self.dangerously_write_on_host)?;
        let arguments = json!({
            "gentle": self.gentle,
            "copies": !self.no_copies,
            "to": self.to,
            "load_modules": self.dangerously_load_modules,
            "case_lies": lies.as_ref().map(|lies| match lies {
                Lies::Elsewhere(text) => text.clone(),
                Lies::OnHost(text) => format!("ON THE HOST: {text}"),
            }),
        });
        if self.gentle {
            volatile::become_gentle();
        }
        if let Some(address) = &self.to {
            let report = self.send(&host, address, &arguments)?;
            return self.show(&report.0, &report.1);
        }
        recorded_live(&self.chosen, "triage live", &arguments, |_, act| self.keep(&host, act))
    }

    fn options(&self, kept: bool) -> Options {
        let copies = if self.no_copies || !kept {
            Copies::None
        } else {
            let each_bytes = self.copy_most.saturating_mul(1 << 20);
            Copies::UpTo { each_bytes, all_bytes: each_bytes.saturating_mul(16) }
        };
        Options {
            now: clock::now().to_string(),
            copies,
            modules: if self.dangerously_load_modules {
                ModuleLoading::Allowed
            } else {
                ModuleLoading::Avoided
            },
            layout: match self.layout {
                Form::Lines => Layout::Lines,
                Form::Uac => Layout::LinesAndUac,
            },
            pause: self.gentle.then_some(Duration::from_millis(5)),
            largest_hashed_bytes: 512 << 20,
        }
    }

    /// Into the case, or nowhere.
    fn keep(&self, host: &Host, act: &Recording) -> Result<Exit, Failure> {
        if !act.is_on() {
            say("no case is in use: nothing is kept, findings are only shown");
            let outcome = live::collect(host, &self.options(false), &mut Nowhere)?;
            return self.show(&outcome.report, &[]);
        }
        let exhibit = act.new_exhibit("live")?;
        let mut sink = CaseSink::new(&exhibit);
        let outcome = live::collect(host, &self.options(true), &mut sink)?;
        let (items, manifest) = sink.finish();
        let report = &outcome.report;
        items.into_iter().for_each(|item| act.output(item));
        act.output(exhibit.add_manifest(&manifest)?);
        act.inputs(vec![Item {
            name: format!("running host {}", report.host),
            size_bytes: None,
            digests: Digests::default(),
            facts: serde_json::to_value(&report.coverage)?,
        }]);
        report.problems.iter().for_each(|problem| act.problem(problem));
        let kind =
            if report.problems.is_empty() { OutcomeKind::Done } else { OutcomeKind::Partial };
        act.concludes(Outcome::new(kind, format!("{} findings", report.findings.len())));
        self.show(report, &volatile::files(&outcome.files))
    }

    /// To another Glovebox, whose case has the act.
    fn send(
        &self,
        host: &Host,
        address: &str,
        arguments: &Value,
    ) -> Result<(Report, Vec<Value>), Failure> {
        let mut far = Far::connect(address, self.code_file.as_deref(), "triage live", arguments)?;
        let outcome = live::collect(host, &self.options(true), &mut far)?;
        let receipt = far.finish()?;
        say(&format!("received and read back there: {receipt}"));
        Ok((outcome.report, volatile::files(&outcome.files)))
    }

    fn show(&self, report: &Report, files: &[Value]) -> Result<Exit, Failure> {
        let least = Severity::from(self.least);
        for finding in report.findings.iter().filter(|finding| finding.severity <= least) {
            let line = Line { host: &report.host, finding };
            self.format.record("finding", &line, || text_of(finding))?;
        }
        let summary = Summary {
            host: &report.host,
            findings: report.findings.len(),
            coverage: &report.coverage,
            problems: &report.problems,
            files: files.to_vec(),
        };
        self.format.record("live", &summary, || summary_text(report, files))?;
        Ok(if report.findings.iter().any(|finding| finding.severity < Severity::Info) {
            Exit::Findings
        } else if report.problems.is_empty() {
            Exit::Clean
        } else {
            Exit::Partial
        })
    }
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

fn text_of(finding: &Finding) -> String {
    let (word, colour) = match finding.severity {
        Severity::Critical => ("CRITICAL", Colour::Red),
        Severity::High => ("HIGH", Colour::Red),
        Severity::Medium => ("MEDIUM", Colour::Yellow),
        Severity::Low => ("LOW", Colour::Bold),
        Severity::Info => ("INFO", Colour::Bold),
    };
    let mut text = format!(
        "{} {}  {}\n    {}",
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
    let runs: Vec<String> = [
        finding.what_runs.clone(),
        finding.who_runs.as_ref().map(|who| format!("as {who}")),
        finding.sha256.as_ref().map(|digest| format!("SHA-256 {digest}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !runs.is_empty() {
        text.push_str(&format!("\n    runs: {}", runs.join(", ")));
    }
    if !finding.mitre.is_empty() {
        text.push_str(&format!("\n    ATT&CK {}", finding.mitre.join(", ")));
    }
    text.push_str(&format!("\n    check by hand: {}", finding.verify_by_hand));
    text
}

fn summary_text(report: &Report, files: &[Value]) -> String {
    let count = |severity| report.findings.iter().filter(|one| one.severity == severity).count();
    let coverage = &report.coverage;
    let mut text = format!(
        "\nhost {}: {} critical, {} high, {} medium, {} low, {} info\n\
         looked at: {} processes ({} threads) by {}, {} numbers asked one by one, {} descriptors, \
         {} sockets in {} network namespaces, {} mount namespaces, {} modules, {} eBPF programs; \
         {} rules",
        report.host,
        count(Severity::Critical),
        count(Severity::High),
        count(Severity::Medium),
        count(Severity::Low),
        count(Severity::Info),
        coverage.processes,
        coverage.threads,
        coverage.process_view,
        coverage.numbers_asked,
        coverage.descriptors,
        coverage.sockets,
        coverage.network_namespaces,
        coverage.mount_namespaces,
        coverage.modules,
        coverage.bpf_programs,
        coverage.rules
    );
    if coverage.copied_files > 0 {
        text.push_str(&format!(
            "\ncopied: {} deleted files, {}",
            coverage.copied_files,
            size(coverage.copied_bytes)
        ));
    }
    if !files.is_empty() {
        text.push_str(&format!("\nkept: {} files, hashed and read back", files.len()));
    }
    if coverage.uid != 0 {
        text.push_str("\nnot run as root: much could not be seen");
    }
    for skipped in &coverage.rules_skipped {
        text.push_str(&format!("\nrule not applied: {skipped}"));
    }
    for problem in &report.problems {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}
