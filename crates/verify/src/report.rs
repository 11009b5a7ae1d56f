//! What a comparison yields.

use std::collections::BTreeMap;

use evidence::os::InstalledSystem;
use evidence::{Problem, RawPath};
use serde::Serialize;

use crate::classes::Class;
use crate::difference::Difference;

/// How bad a deviation is, if nobody meant it; the worst sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What runs is not what the vendor made.
    Critical,
    /// A right or a way to run that the vendor did not give.
    High,
    /// Needs a look by a person.
    Medium,
    /// Worth knowing.
    Low,
}

/// One deviation. Text from evidence is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable for the same rule, path and evidence: the start of their SHA-256.
    pub finding_id: String,
    /// The rule: `GBV-…`.
    pub rule: &'static str,
    /// What the rule says.
    pub title: &'static str,
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub path: RawPath,
    /// Its name in hexadecimal, where escaping changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// Package and version that bring it, by the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// What must be true by the catalogue.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What is there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// Of a changed configuration file: what was changed in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// A file that no package brings, and what explains it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The file.
    pub path: RawPath,
    /// What sort of file it is.
    pub class: Class,
}

/// What the archive knows of a package the system claims to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In the signed catalogue with this very version.
    Listed,
    /// In the catalogue with other versions only.
    OtherVersion,
    /// In no signed index of the archive.
    Foreign,
}

/// A package the system claims to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its name, escaped.
    pub name: String,
    /// Its version, escaped.
    pub version: String,
    /// Its architecture, escaped.
    pub architecture: String,
    /// What the archive knows of it.
    pub standing: Standing,
}

/// What was looked at, so that silence can be told from absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Objects on the system.
    pub entries: usize,
    /// Objects that packages bring and that were compared.
    pub packaged: usize,
    /// Files whose content was compared.
    pub files_hashed: usize,
    /// Bytes of them.
    pub bytes_hashed: u64,
    /// Objects no package brings, by what explains them.
    pub explained: BTreeMap<String, usize>,
    /// Objects no package brings and nothing explains.
    pub unexplained: usize,
    /// Members of boot images compared.
    pub boot_members: usize,
    /// What could not be judged, and how many of it.
    pub not_judged: BTreeMap<String, usize>,
    /// Parts of the system that are not in the tree.
    pub not_examined: Vec<String>,
}

impl Coverage {
    /// Counts what is explained, by what explains it.
    pub(crate) fn count(&mut self, explained: &[Explained]) {
        for one in explained {
            let count = self.explained.entry(one.class.word().to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The system as it describes itself.
    pub system: Option<InstalledSystem>,
    /// Packages it claims to have, sorted.
    pub packages: Vec<Package>,
    /// Deviations: worst first, then by rule and path.
    pub findings: Vec<Finding>,
    /// What explains the files that no package brings.
    #[serde(skip)]
    pub explained: Vec<Explained>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub coverage: Coverage,
}

impl Report {
    /// Packages of this standing.
    pub fn of_standing(&self, standing: Standing) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.standing == standing)
    }
}
