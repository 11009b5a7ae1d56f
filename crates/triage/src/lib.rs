//! Offline triage of an installed Linux or Windows system: what was planted, changed or opened, told from its files alone.
//!
//! One walk makes an inventory; the package database (the suspect's own, and marked so) tells which files belong; parsers
//! read what the system would run or obey; rules compare. Nothing of the examined system is executed. Invariants: triage
//! never fails as a whole; every finding names its rule, file and position; the output depends on the evidence only.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod activation;
mod artifacts;
mod catalogue;
mod context;
pub mod disk;
mod finding;
mod ownership;

pub mod parse;
mod payload;
mod root;
mod rules;
mod windows;
mod yara;

pub use artifacts::{Artifact, Definitions, DefinitionsRefused, Selection};
pub use catalogue::{Catalogue, Rule};
pub use finding::{Activation, Confidence, Coverage, Finding, Report, Severity, Times};
pub use yara::{RulesRefused, YaraMatch, YaraRules};

use context::Context;
use evidence::fs::tree::Limits;
use evidence::system::Hidden;
use evidence::{FileSystem, Place, Problem, ProblemKind};
use root::Root;

/// What to do and how far to go.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bounds of the inventory walk.
    pub limits: Limits,
    /// Whether packaged files are compared with the digests of their database.
    pub digests: Digests,
    /// Largest file that is hashed, in bytes.
    pub largest_hashed_bytes: u64,
    /// Parts of the system that are not in the tree, if the caller put the tree together; else every mount point of the
    /// system's fstab counts as missing.
    pub unreached: Option<Vec<String>>,
    /// Directories of the tree that mounts hide.
    pub hidden: Vec<Hidden>,
    /// Definitions of artifacts to list files by.
    pub artifacts: Option<Definitions>,
    /// Rules of the examiner's own, applied to every regular file.
    pub yara: Option<YaraRules>,
    /// Largest file these rules get at once, in bytes: it is held in memory. Larger ones are given in pieces.
    pub largest_scanned_bytes: u64,
}

/// Whether packaged files are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digests {
    /// Compare every packaged file with its recorded MD5.
    Compare,
    /// Leave contents of packaged files alone.
    Skip,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            digests: Digests::Compare,
            largest_hashed_bytes: 512 << 20,
            unreached: None,
            hidden: Vec::new(),
            artifacts: None,
            yara: None,
            largest_scanned_bytes: 64 << 20,
        }
    }
}

/// Examines the installed system on `fs`. Never fails: what could not be read is in [`Report::problems`].
#[must_use]
pub fn run(fs: &dyn FileSystem, options: &Options) -> Report {
    let catalogue = Catalogue::embedded();
    let root = Root::read(fs, options.limits);
    let system = evidence::os::find(fs);
    let mut context = if system.as_ref().is_some_and(|system| system.windows.is_some()) {
        let mut context = Context::of_windows(&catalogue, &root, options);
        windows::apply(&mut context);
        rules::apply_yara(&mut context);
        context
    } else {
        let mut context = Context::new(&catalogue, &root, options);
        rules::apply(&mut context);
        context
    };
    let artifacts = options.artifacts.as_ref().map(|all| artifacts::apply(&mut context, all));
    let (mut findings, mut coverage) = context.finish();
    findings.sort_by(|a, b| {
        (a.severity, &a.rule, &a.path, a.line, &a.excerpt)
            .cmp(&(b.severity, &b.rule, &b.path, b.line, &b.excerpt))
    });
    findings.dedup();
    coverage.not_examined = options
        .unreached
        .clone()
        .unwrap_or_else(|| system.iter().flat_map(|system| other_mounts(&system.fstab)).collect());
    let mut problems = root.problems.take();
    for mount in &coverage.not_examined {
        let text = format!("{mount} was not examined");
        problems.push(Problem::new(ProblemKind::Refused, Place::Path(mount.as_str().into()), text));
    }
    problems.sort();
    problems.dedup();
    Report { system, findings, problems, coverage, artifacts }
}

/// Mount points of fstab lines that hold part of the system but are not the root.
fn other_mounts(fstab: &[String]) -> Vec<String> {
    let points = fstab.iter().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        let wanted = ["/usr", "/var", "/etc", "/home", "/root", "/opt", "/srv", "/boot", "/tmp"];
        let inside =
            wanted.iter().any(|place| point == *place || point.starts_with(&format!("{place}/")));
        (inside && !matches!(kind, "tmpfs" | "none" | "proc")).then(|| point.to_owned())
    });
    points.collect()
}
