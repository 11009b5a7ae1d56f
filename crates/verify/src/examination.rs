//! One comparison from beginning to end, and the one way to tell a deviation.

use std::cell::RefCell;
use std::collections::HashMap;

use archive::store::{Catalogue, Item};
use evidence::FileSystem;

use crate::claims::Claims;
use crate::difference::{self, Difference, Pending};
use crate::inventory::Inventory;
use crate::report::{Coverage, Explained, Report, Severity, Standing};
use crate::telling::{self, Told};
use crate::{Error, Options, boot, compare, database, extra, rpm};

/// A rule of the comparison.
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) severity: Severity,
}

/// One deviation as it is met.
pub(crate) struct Deviation<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) package: Option<String>,
    pub(crate) severity: Option<Severity>,
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) difference: Option<Difference>,
}

impl<'a> Deviation<'a> {
    pub(crate) fn at(path: &'a [u8]) -> Self {
        let (expected, found) = (String::new(), String::new());
        Self { path, package: None, severity: None, expected, found, difference: None }
    }

    pub(crate) fn of(mut self, package: Option<String>) -> Self {
        self.package = package;
        self
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    pub(crate) fn instead(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        (self.expected, self.found) = (expected.into(), found.into());
        self
    }

    pub(crate) fn differing(mut self, difference: Difference) -> Self {
        self.difference = Some(difference);
        self
    }
}

pub(crate) struct Examination<'a> {
    pub(crate) inventory: Inventory<'a>,
    pub(crate) claims: Claims,
    pub(crate) options: &'a Options<'a>,
    /// The manifest of a fresh install, by canonical path.
    pub(crate) golden: HashMap<Vec<u8>, &'a Item>,
    pub(crate) coverage: Coverage,
    pub(crate) explained: Vec<Explained>,
    /// Changed configuration files, told when all are known.
    pub(crate) pending: Vec<Pending>,
    told: RefCell<Told>,
}

pub(crate) fn examine(
    fs: &dyn FileSystem,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Report, Error> {
    let inventory = Inventory::read(fs, options.limits);
    let claims = Claims::read(&inventory, catalogue)?;
    let golden = options.golden.iter().flat_map(|listing| &listing.items);
    let golden = golden.map(|item| (inventory.canonical(&item.path), item)).collect();
    let coverage = Coverage {
        entries: inventory.entries.len(),
        not_examined: options.unreached.iter().map(telling::unreached).collect(),
        ..Coverage::default()
    };
    let mut examination = Examination {
        inventory,
        claims,
        options,
        golden,
        coverage,
        explained: Vec::new(),
        pending: Vec::new(),
        told: RefCell::default(),
    };
    examination.packages();
    if let Some(database) = examination.claims.rpm.as_ref().filter(|one| one.keys > 0) {
        let (what, keys) = ("vendors' keys that the package database trusts", database.keys);
        examination.coverage.not_judged.insert(what.to_owned(), keys);
    }
    compare::apply(&mut examination);
    difference::apply(&mut examination, catalogue);
    database::apply(&mut examination);
    rpm::apply(&mut examination, catalogue)?;
    extra::apply(&mut examination);
    boot::apply(&mut examination);
    Ok(examination.finish(fs))
}

impl Examination<'_> {
    /// Packages the archive knows nothing of: none of their files can be judged.
    fn packages(&mut self) {
        const FOREIGN: Rule = Rule {
            id: "GBV-0601",
            title: "A package is in no signed index of the archive",
            severity: Severity::High,
        };
        const OTHER: Rule = Rule {
            id: "GBV-0602",
            title: "A package has a version that the archive does not hold",
            severity: Severity::Medium,
        };
        for package in &self.claims.packages {
            let rule = match package.standing {
                Standing::Listed => continue,
                Standing::Foreign => &FOREIGN,
                Standing::OtherVersion => &OTHER,
            };
            let name = format!("{} {} {}", package.name, package.version, package.architecture);
            let deviation = Deviation::at(&self.claims.database).of(Some(name.clone()));
            self.tell(rule, deviation.instead("a version in the signed catalogue", name));
            let entry = self.coverage.not_judged.entry("packages not in the catalogue".to_owned());
            let count = entry.or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Whether the place is on a volume that is not in the tree.
    pub(crate) fn is_unreached(&self, path: &[u8]) -> bool {
        telling::is_unreached(&self.options.unreached, path)
    }

    pub(crate) fn not_judged(&mut self, what: &str) {
        let count = self.coverage.not_judged.entry(what.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn tell(&self, rule: &Rule, deviation: Deviation<'_>) {
        self.told.borrow_mut().tell(rule, deviation);
    }

    fn finish(self, fs: &dyn FileSystem) -> Report {
        let mut problems = self.inventory.problems.take();
        let findings = self.told.into_inner().finish(&self.options.unreached, &mut problems);
        let mut coverage = self.coverage;
        coverage.count(&self.explained);
        problems.sort();
        problems.dedup();
        Report {
            system: evidence::os::find(fs),
            packages: self.claims.packages,
            findings,
            explained: self.explained,
            problems,
            coverage,
        }
    }
}
