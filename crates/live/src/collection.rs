//! One run of collecting: what is being written, found and missed.

use std::collections::BTreeSet;

use evidence::{Place, Problem, ProblemKind};
use hashing::{Algorithms, Digests};
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::finding::{Coverage, Finding, Report, Severity};
use crate::host::Host;
use crate::sink::{Outgoing, Sink};
use crate::{
    Error, Layout, Options, kernel, mounts, network, open_files, places, processes, sockets,
    system, uac, views,
};

/// Longest excerpt of evidence in a finding, in letters.
const EXCERPT_LETTERS: usize = 600;
/// Findings of one rule; a host of a hundred thousand of them needs no list.
const FINDINGS_OF_A_RULE: usize = 500;
/// Problems that are spelled out.
const PROBLEMS_AT_MOST: usize = 2000;

/// A file of the collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its digests.
    pub digests: Digests,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Findings, problems and coverage.
    pub report: Report,
    /// The files that were written, in their order.
    pub files: Vec<Written>,
}

/// What a rule saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) pid: Option<u32>,
    pub(crate) excerpt: String,
    pub(crate) detail: String,
    pub(crate) sha256: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) what: Option<String>,
    /// Where this instance is better or worse than the rule says.
    pub(crate) severity: Option<Severity>,
}

pub(crate) struct Collection<'a> {
    pub(crate) host: &'a Host,
    pub(crate) options: &'a Options,
    pub(crate) coverage: Coverage,
    /// Functions of the kernel that were looked for and are there.
    pub(crate) functions: BTreeSet<&'static str>,
    /// Modules that have symbols in the kernel.
    pub(crate) symbol_modules: BTreeSet<String>,
    sink: &'a mut dyn Sink,
    catalogue: Catalogue,
    findings: Vec<Finding>,
    problems: Vec<Problem>,
    further_problems: u64,
    open: Option<Outgoing>,
    files: Vec<Written>,
}

/// Collects everything, in the order in which it vanishes; what cannot be read is a problem of the report.
///
/// # Errors
/// Only if the sink does not take it.
pub fn collect(host: &Host, options: &Options, sink: &mut dyn Sink) -> Result<Outcome, Error> {
    let mut collection = Collection {
        host,
        options,
        coverage: Coverage::default(),
        functions: BTreeSet::new(),
        symbol_modules: BTreeSet::new(),
        sink,
        catalogue: Catalogue::embedded(),
        findings: Vec::new(),
        problems: Vec::new(),
        further_problems: 0,
        open: None,
        files: Vec::new(),
    };
    let all = &mut collection;
    all.coverage.process_view = host.view().to_owned();
    all.coverage.uid = rustix::process::geteuid().as_raw();
    all.coverage.rules = all.catalogue.rules().count();
    let name = system::collect(all)?;
    // Before the processes are read: those that end meanwhile were seen at least by number.
    let first = views::take(all);
    let known = processes::collect(all)?;
    kernel::symbols(all);
    let copies = open_files::collect(all, &known)?;
    sockets::collect(all, &known)?;
    network::collect(all, &known)?;
    views::compare(all, &first, &known)?;
    kernel::collect(all)?;
    mounts::collect(all, &known)?;
    places::collect(all, &known)?;
    if options.layout == Layout::LinesAndUac {
        uac::collect(all, &known)?;
    }
    open_files::copy(all, copies)?;
    collection.finish(name)
}

impl Collection<'_> {
    pub(crate) fn begin(&mut self, name: &str) -> Result<(), Error> {
        self.end()?;
        self.open = Some(Outgoing::begin(self.sink, name)?);
        Ok(())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.open {
            Some(open) => open.write(self.sink, bytes),
            None => Ok(()),
        }
    }

    pub(crate) fn line(&mut self, value: &Value) -> Result<(), Error> {
        let mut text = value.to_string();
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    pub(crate) fn end(&mut self) -> Result<Option<Digests>, Error> {
        let Some(open) = self.open.take() else { return Ok(None) };
        let (name, size_bytes, digests) = open.end(self.sink)?;
        self.files.push(Written { name, size_bytes, digests: digests.clone() });
        Ok(Some(digests))
    }

    /// Something that could not be seen.
    #[allow(clippy::needless_pass_by_value, reason = "texts and borrowed errors alike")]
    pub(crate) fn missed(&mut self, place: impl AsRef<[u8]>, why: impl std::fmt::Display) {
        if self.problems.len() >= PROBLEMS_AT_MOST {
            self.further_problems = self.further_problems.saturating_add(1);
            return;
        }
        let place = Place::Path(place.as_ref().into());
        self.problems.push(Problem::new(ProblemKind::Refused, place, why.to_string()));
    }

    /// A rule that could not be applied at all.
    #[allow(clippy::needless_pass_by_value, reason = "texts and borrowed errors alike")]
    pub(crate) fn skipped(&mut self, rule: &str, why: impl std::fmt::Display) {
        self.coverage.rules_skipped.push(format!("{rule}: {why}"));
    }

    pub(crate) fn finding(&mut self, id: &str, seen: Seen) {
        let Some(rule) = self.catalogue.rule(id) else { return };
        let many = self.findings.iter().filter(|one| one.rule == id).count();
        if many >= FINDINGS_OF_A_RULE {
            if many == FINDINGS_OF_A_RULE {
                let text =
                    format!("{id}: more than {FINDINGS_OF_A_RULE} findings, the rest left out");
                self.coverage.rules_skipped.push(text);
                self.coverage.rules_skipped.dedup();
            }
            return;
        }
        let excerpt: String = seen.excerpt.chars().take(EXCERPT_LETTERS).collect();
        let pid = seen.pid.map(|pid| pid.to_string()).unwrap_or_default();
        let stable = [id, &pid, &seen.path, &excerpt, &seen.detail].join("\0");
        let digest = hashing::digest_bytes(stable.as_bytes(), &Algorithms::sha256()).sha256_hex();
        self.findings.push(Finding {
            finding_id: digest.chars().take(16).collect(),
            rule: rule.id.clone(),
            rule_version: rule.version,
            title: rule.title.clone(),
            severity: seen.severity.unwrap_or(rule.severity),
            confidence: rule.confidence,
            mitre: rule.mitre.clone(),
            pid: seen.pid,
            path: seen.path,
            excerpt,
            detail: seen.detail,
            sha256: seen.sha256,
            activation: "active",
            who_runs: seen.who,
            what_runs: seen.what,
            why: rule.why.clone(),
            innocent_explanations: rule.innocent.clone(),
            verify_by_hand: rule.verify.clone(),
        });
    }

    fn finish(mut self, host: String) -> Result<Outcome, Error> {
        self.end()?;
        let mut findings = std::mem::take(&mut self.findings);
        findings.sort_by(|a, b| {
            (a.severity, &a.rule, a.pid, &a.path, &a.excerpt)
                .cmp(&(b.severity, &b.rule, b.pid, &b.path, &b.excerpt))
        });
        findings.dedup();
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort();
        problems.dedup();
        if self.further_problems > 0 {
            let text = format!("{} further problems are not listed", self.further_problems);
            let place = Place::Path(b"/".as_slice().into());
            problems.push(Problem::new(ProblemKind::Refused, place, text));
        }
        let report = Report { host, findings, problems, coverage: self.coverage.clone() };
        // In the form of offline triage, so that whoever reads one reads both.
        self.begin("triage.jsonl")?;
        let address = format!("live:{}", report.host);
        let line = serde_json::json!({ "address": address, "report": &report });
        self.line(&line)?;
        self.end()?;
        Ok(Outcome { report, files: self.files })
    }
}
