//! What every rule works with: the inventory, the owners, the catalogue, and one way to report.

use crate::activation::Run;
use crate::catalogue::Catalogue;
use crate::finding::{Activation, Coverage, Finding, Severity, Times};
use crate::ownership::Ownership;
use crate::root::{Item, Root};
use crate::{Digests, Options};
use evidence::{Place, Problem, ProblemKind, RawPath, escape_bytes};
use hashing::{Algorithm, Algorithms, MultiHasher};
use std::collections::HashMap;

/// Longest excerpt, in bytes of evidence.
const MAX_EXCERPT_BYTES: usize = 240;
/// Findings of one rule; beyond it only their number is told.
const MAX_PER_RULE: usize = 500;

pub(crate) struct Context<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) root: &'a Root<'a>,
    pub(crate) options: &'a Options,
    pub(crate) ownership: Option<Ownership>,
    pub(crate) coverage: Coverage,
    findings: Vec<Finding>,
    per_rule: HashMap<String, usize>,
    hashes: HashMap<Vec<u8>, Option<Hashes>>,
}

/// Digests of a file, in hexadecimal.
#[derive(Clone)]
pub(crate) struct Hashes {
    /// By the algorithm of the package database.
    pub(crate) native: String,
    pub(crate) sha256: String,
}

/// The evidence of one finding.
pub(crate) struct Spot<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) line: Option<usize>,
    pub(crate) offset_bytes: Option<usize>,
    pub(crate) excerpt: Vec<u8>,
    pub(crate) detail: String,
    pub(crate) severity: Option<Severity>,
    pub(crate) run: Run,
    /// Which of several things that one rule can find in the same bytes; empty where there is one.
    pub(crate) subject: String,
}

impl<'a> Spot<'a> {
    pub(crate) fn file(path: &'a [u8]) -> Self {
        Self {
            path,
            line: None,
            offset_bytes: None,
            excerpt: Vec::new(),
            detail: String::new(),
            severity: None,
            run: Run::default(),
            subject: String::new(),
        }
    }

    pub(crate) fn line(path: &'a [u8], line: usize, offset_bytes: usize, text: &[u8]) -> Self {
        let (line, offset_bytes) = (Some(line), Some(offset_bytes));
        Self { line, offset_bytes, excerpt: text.to_vec(), ..Self::file(path) }
    }

    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = text.into();
        self
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    pub(crate) fn activation(mut self, activation: Activation) -> Self {
        self.run.activation = activation;
        self
    }

    pub(crate) fn run(mut self, run: Run) -> Self {
        self.run = run;
        self
    }
}

impl<'a> Context<'a> {
    /// Of a Linux system: with the owners of its files.
    pub(crate) fn new(catalogue: &'a Catalogue, root: &'a Root<'a>, options: &'a Options) -> Self {
        let mut context = Self::bare(catalogue, root, options);
        context.ownership = Ownership::read(root);
        let rules = catalogue.rules().filter(|rule| !rule.is_of_windows()).count();
        let coverage = &mut context.coverage;
        coverage.rules = rules;
        match &context.ownership {
            Some(found) => {
                coverage.package_database = format!("{} (self-attested)", found.kind);
                coverage.packages =
                    found.packages.iter().filter(|package| package.is_unpacked).count();
            }
            None => {
                coverage
                    .rules_skipped
                    .push("all that ask which package owns a file: no package database".to_owned());
                let text = "no package database that can be read was found; files that belong to no package cannot be told from others";
                let place = Place::Path("/var/lib/dpkg/status".into());
                root.problems.borrow_mut().push(Problem::new(
                    ProblemKind::Unsupported,
                    place,
                    text,
                ));
            }
        }
        context
    }

    /// Of a Windows, which keeps no database of its files.
    pub(crate) fn of_windows(
        catalogue: &'a Catalogue,
        root: &'a Root<'a>,
        options: &'a Options,
    ) -> Self {
        let mut context = Self::bare(catalogue, root, options);
        context.coverage.rules = catalogue.rules().filter(|rule| rule.is_of_windows()).count();
        context
    }

    fn bare(catalogue: &'a Catalogue, root: &'a Root<'a>, options: &'a Options) -> Self {
        let coverage = Coverage {
            file_system: root.fs.kind().to_owned(),
            entries: root.len(),
            files: root.items().filter(|item| item.is_file()).count(),
            package_database: "none".to_owned(),
            ..Coverage::default()
        };
        Self {
            catalogue,
            root,
            options,
            ownership: None,
            coverage,
            findings: Vec::new(),
            per_rule: HashMap::new(),
            hashes: HashMap::new(),
        }
    }

    /// Whether a package claims this path; without a database nothing counts as unowned.
    pub(crate) fn is_owned(&self, path: &[u8]) -> bool {
        self.ownership
            .as_ref()
            .is_none_or(|ownership| ownership.owner(&self.root.canonical(path)).is_some())
    }

    /// Whether a package is known to own this path; without a database nothing counts as owned.
    pub(crate) fn is_owned_strictly(&self, path: &[u8]) -> bool {
        self.ownership.is_some() && self.is_owned(path)
    }

    /// Whether the file is owned by no package and is not byte for byte what some package delivers elsewhere.
    pub(crate) fn is_foreign(&mut self, item: Item<'_>) -> bool {
        if self.is_owned(item.path) {
            return false;
        }
        let Some(hashes) = self.hashes(item) else { return true };
        self.ownership
            .as_ref()
            .is_none_or(|ownership| !ownership.knows_digest(hashes.native.as_bytes()))
    }

    /// Whether an owned configuration file no longer is what its package delivered.
    pub(crate) fn is_changed_conffile(&mut self, item: Item<'_>) -> bool {
        let delivered = self
            .ownership
            .as_ref()
            .and_then(|ownership| ownership.conffiles.get(item.path))
            .cloned();
        match (delivered, self.hashes(item)) {
            (Some(delivered), Some(hashes)) => hashes.native.as_bytes() != delivered,
            _ => false,
        }
    }

    /// Digests of a regular file, computed once; `None` when too large or unreadable.
    pub(crate) fn hashes(&mut self, item: Item<'_>) -> Option<Hashes> {
        if let Some(known) = self.hashes.get(item.path) {
            return known.clone();
        }
        let computed = self.compute(item);
        self.hashes.insert(item.path.to_vec(), computed.clone());
        computed
    }

    fn compute(&self, item: Item<'_>) -> Option<Hashes> {
        if !item.is_file() || item.metadata.size_bytes > self.options.largest_hashed_bytes {
            return None;
        }
        let native = self.ownership.as_ref().map_or(Algorithm::Sha256, |found| found.algorithm);
        let mut hasher = MultiHasher::new(&Algorithms::sha256().with(native));
        let mut buf = vec![0; 256 * 1024];
        let mut offset = 0_u64;
        loop {
            match self.root.fs.read_at(item.metadata.node, offset, &mut buf) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(buf.get(..count).unwrap_or(&[]));
                    offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(error) => {
                    self.root
                        .problems
                        .borrow_mut()
                        .push(error.to_problem(Place::Path(item.path.into())));
                    return None;
                }
            }
        }
        let digests = hasher.finish();
        Some(Hashes { native: digests.of(native)?.to_hex(), sha256: digests.sha256_hex() })
    }

    /// Reports a finding of `rule`; the rule must be in the catalogue, which a test makes sure of.
    pub(crate) fn report(&mut self, rule: &str, spot: Spot<'_>) {
        let Some(rule) = self.catalogue.rule(rule) else {
            debug_assert!(false, "rule {rule} is not in the catalogue");
            return;
        };
        let count = self.per_rule.entry(rule.id.clone()).or_default();
        *count = count.saturating_add(1);
        if *count > MAX_PER_RULE {
            return;
        }
        let item = self.root.item(spot.path);
        let hashes = item
            .filter(|item| item.metadata.size_bytes <= 64 << 20)
            .and_then(|item| self.hashes(item));
        let owner = self
            .ownership
            .as_ref()
            .and_then(|ownership| ownership.owner(&self.root.canonical(spot.path)));
        let package = owner
            .map(|owner| format!("{} {}", escape_bytes(&owner.name), escape_bytes(&owner.version)));
        let mut excerpt =
            escape_bytes(spot.excerpt.get(..MAX_EXCERPT_BYTES).unwrap_or(&spot.excerpt));
        if spot.excerpt.len() > MAX_EXCERPT_BYTES {
            excerpt.push('…');
        }
        let path = RawPath(spot.path.to_vec());
        let is_plain = path.to_string().as_bytes() == spot.path;
        let path_hex =
            (!is_plain).then(|| spot.path.iter().map(|byte| format!("{byte:02x}")).collect());
        let mut key = [rule.id.as_bytes(), b"\0", spot.path, b"\0", &spot.excerpt].concat();
        if !spot.subject.is_empty() {
            key.extend([b"\0", spot.subject.as_bytes()].concat());
        }
        let mut finding_id = hashing::digest_bytes(&key, &Algorithms::sha256()).sha256_hex();
        finding_id.truncate(16);
        self.findings.push(Finding {
            finding_id,
            rule: rule.id.clone(),
            rule_version: rule.version,
            title: rule.title.clone(),
            severity: spot.severity.unwrap_or(rule.severity),
            confidence: rule.confidence,
            mitre: rule.mitre.clone(),
            path,
            path_hex,
            inode: item.and_then(|item| self.root.fs.node_name(item.metadata.node).parse().ok()),
            line: spot.line,
            offset_bytes: spot.offset_bytes,
            rights: item.map(|item| {
                format!("{:04o} {}:{}", item.metadata.mode, item.metadata.uid, item.metadata.gid)
            }),
            excerpt,
            detail: spot.detail,
            times: item.map(|item| Times {
                modified: item.metadata.modified,
                changed: item.metadata.changed,
                born: item.metadata.born,
            }),
            sha256: hashes.map(|hashes| hashes.sha256),
            package,
            activation: spot.run.activation,
            who_runs: spot.run.who,
            when_runs: spot.run.when,
            what_runs: spot.run.what,
            why: rule.why.clone(),
            innocent_explanations: rule.innocent.clone(),
            verify_by_hand: rule.verify.clone(),
        });
    }

    /// The findings and the coverage, with a note for each rule that found too much to list.
    pub(crate) fn finish(mut self) -> (Vec<Finding>, Coverage) {
        for (rule, count) in &self.per_rule {
            if *count > MAX_PER_RULE {
                let text =
                    format!("rule {rule} found {count} files; the first {MAX_PER_RULE} are listed");
                self.root.problems.borrow_mut().push(Problem::new(
                    ProblemKind::Refused,
                    Place::Source,
                    text,
                ));
            }
        }
        if self.options.digests == Digests::Skip && self.ownership.is_some() {
            self.coverage
                .rules_skipped
                .push("GBX-0701, GBX-0702: comparison of digests was not asked for".to_owned());
        }
        self.coverage.rules_skipped.sort();
        self.coverage.files_parsed = self.root.files_parsed.get();
        (self.findings, self.coverage)
    }
}
