//! What triage yields: findings, problems, and what was looked at.

use crate::artifacts::Selection;
use evidence::os::InstalledSystem;
use evidence::{Problem, RawPath, Time};
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

/// Whether what was found would act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The system would run or obey it.
    Active,
    /// It lacks what it needs (an execute bit, a name the daemon accepts).
    Inactive,
    /// Not determined.
    Unknown,
}

/// The times of the file a finding rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Last change of content, where recorded.
    pub modified: Option<Time>,
    /// Last change of the inode, where recorded; harder to forge than the others.
    pub changed: Option<Time>,
    /// Creation, where recorded.
    pub born: Option<Time>,
}

/// One finding. The texts of rule and explanation come from the catalogue, the rest from the evidence, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable for the same rule, path and evidence: the start of their SHA-256.
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
    /// The file, escaped.
    pub path: RawPath,
    /// The file's name in hexadecimal, where escaping changed it.
    pub path_hex: Option<String>,
    /// Inode number.
    pub inode: Option<u64>,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// Byte offset in the file.
    pub offset_bytes: Option<usize>,
    /// Mode, owner and group as `0644 0:0`.
    pub rights: Option<String>,
    /// The evidence itself, escaped and bounded.
    pub excerpt: String,
    /// What is special in this instance.
    pub detail: String,
    /// The file's times.
    pub times: Option<Times>,
    /// SHA-256 of the file, where it was small enough to read.
    pub sha256: Option<String>,
    /// Package that claims the file; the database is the suspect's own.
    pub package: Option<String>,
    /// Whether it would act.
    pub activation: Activation,
    /// Who would run or obey it, where known.
    pub who_runs: Option<String>,
    /// When, where known.
    pub when_runs: Option<String>,
    /// What would be run: a command or the file itself, escaped.
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
    /// Type of the file system examined.
    pub file_system: String,
    /// Objects seen.
    pub entries: usize,
    /// Regular files seen.
    pub files: usize,
    /// Package database used, and that it vouches for itself: `dpkg (self-attested)`, or `none`.
    pub package_database: String,
    /// Packages in it.
    pub packages: usize,
    /// Files compared with the database's digests.
    pub digests_compared: usize,
    /// Files left out of the comparison for their size.
    pub digests_skipped: usize,
    /// Files whose content was parsed.
    pub files_parsed: usize,
    /// Rules of the catalogue that were applied.
    pub rules: usize,
    /// Rules that could not be applied, and why.
    pub rules_skipped: Vec<String>,
    /// YARA rules of the examiner that were applied.
    pub yara_rules: usize,
    /// Files these rules were applied to.
    pub yara_files: usize,
    /// How many of them were given to the rules in pieces, for their size.
    pub yara_in_pieces: usize,
    /// Mount points that `/etc/fstab` puts on other volumes: not examined here.
    pub not_examined: Vec<String>,
}

/// The outcome of triage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The system as it describes itself.
    pub system: Option<InstalledSystem>,
    /// Findings: worst first, then by rule and path.
    pub findings: Vec<Finding>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub coverage: Coverage,
    /// What definitions of artifacts selected, if any were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Selection>,
}
