//! What a look at a running host yields: findings, problems, coverage; in the form that offline triage gives its own.

use evidence::Problem;
use serde::{Deserialize, Serialize};

/// How bad a finding is, if true; the worst sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The machine is not its owner's any more.
    Critical,
    /// Very probably planted or dangerous.
    High,
    /// Needs a look by a person.
    Medium,
    /// Worth knowing.
    Low,
    /// A fact for the inventory; nothing is wrong with it.
    Info,
}

/// How likely a finding is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The evidence leaves little room.
    High,
    /// Other explanations are common.
    Medium,
    /// A hint.
    Low,
}

/// One finding. Texts of the rule come from the catalogue, the rest from the host, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable for the same rule, place and evidence: the start of their SHA-256.
    pub finding_id: String,
    /// The rule's identifier.
    pub rule: String,
    /// The rule's version.
    pub rule_version: u32,
    /// The rule's title.
    pub title: String,
    /// How bad, for this instance.
    pub severity: Severity,
    /// How likely.
    pub confidence: Confidence,
    /// MITRE ATT&CK techniques.
    pub mitre: Vec<String>,
    /// The process, where there is one.
    pub pid: Option<u32>,
    /// The file, socket, module or other thing, escaped.
    pub path: String,
    /// The evidence itself, escaped and bounded.
    pub excerpt: String,
    /// What is special in this instance.
    pub detail: String,
    /// SHA-256 of the file, where it was read.
    pub sha256: Option<String>,
    /// What was seen acts now.
    pub activation: &'static str,
    /// Whose it is, where known.
    pub who_runs: Option<String>,
    /// Command line, where there is one.
    pub what_runs: Option<String>,
    /// Why it matters.
    pub why: String,
    /// What else may explain it.
    pub innocent_explanations: Vec<String>,
    /// How to check by hand.
    pub verify_by_hand: String,
}

/// What was looked at, so that silence can be told from absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// How the processes were read: `a new instance of procfs`, or the host's own `/proc`.
    pub process_view: String,
    /// User this ran as, and whether with all rights.
    pub uid: u32,
    /// Processes seen.
    pub processes: usize,
    /// Threads seen.
    pub threads: usize,
    /// Process numbers asked for one by one.
    pub numbers_asked: u64,
    /// Open descriptors listed.
    pub descriptors: usize,
    /// Network namespaces looked into.
    pub network_namespaces: usize,
    /// Sockets seen.
    pub sockets: usize,
    /// Mount namespaces read.
    pub mount_namespaces: usize,
    /// Modules seen.
    pub modules: usize,
    /// eBPF programs seen.
    pub bpf_programs: usize,
    /// Files copied because no name leads to them.
    pub copied_files: usize,
    /// Bytes of those.
    pub copied_bytes: u64,
    /// Rules of the catalogue.
    pub rules: usize,
    /// Rules that could not be applied, and why.
    pub rules_skipped: Vec<String>,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The host's name, escaped.
    pub host: String,
    /// Findings: worst first, then by rule and place.
    pub findings: Vec<Finding>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub coverage: Coverage,
}
