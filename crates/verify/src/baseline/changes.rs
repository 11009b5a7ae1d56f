//! What is not as it was.

use std::collections::{BTreeMap, BTreeSet};

use archive::store::{Item, ItemKind};
use evidence::fs::Metadata;
use evidence::{FileSystem, escape_bytes};

use super::Baseline;
use super::facts::{self, Section};
use crate::classes::{self, Class};
use crate::difference::Difference;
use crate::examination::{Deviation, Rule};
use crate::inventory::Inventory;
use crate::report::{Coverage, Explained, Report, Severity};
use crate::telling::Told;
use crate::{Error, Options, compare as packaged, difference, manifest, telling};

const NEW: Rule =
    Rule { id: "GBV-0901", title: "Not there in the baseline", severity: Severity::Medium };
const GONE: Rule =
    Rule { id: "GBV-0902", title: "Gone since the baseline", severity: Severity::Medium };
const CONTENT: Rule = Rule {
    id: "GBV-0903",
    title: "The content is not as in the baseline",
    severity: Severity::Medium,
};
const KIND: Rule = Rule {
    id: "GBV-0904",
    title: "An object of another kind than in the baseline",
    severity: Severity::High,
};
const RIGHTS: Rule = Rule {
    id: "GBV-0905",
    title: "Mode, owner or attributes are not as in the baseline",
    severity: Severity::Medium,
};
const SETID: Rule = Rule {
    id: "GBV-0906",
    title: "Runs with rights of its owner or with capabilities, not so in the baseline",
    severity: Severity::Critical,
};
const PACKAGE: Rule = Rule {
    id: "GBV-0911",
    title: "A package is not as in the baseline",
    severity: Severity::Medium,
};
const ACCOUNT: Rule = Rule {
    id: "GBV-0912",
    title: "An account is not as in the baseline",
    severity: Severity::High,
};
const GROUP: Rule =
    Rule { id: "GBV-0913", title: "A group is not as in the baseline", severity: Severity::Medium };
const SERVICE: Rule = Rule {
    id: "GBV-0914",
    title: "What is started is not as in the baseline",
    severity: Severity::High,
};
const PORT: Rule = Rule {
    id: "GBV-0915",
    title: "What the machine listens on is not as in the baseline",
    severity: Severity::High,
};

/// Lines of differences shown of all files together.
const MAX_LINES_IN_ALL: usize = 20_000;

struct Comparison<'a> {
    baseline: &'a Baseline,
    inventory: Inventory<'a>,
    told: Told,
    coverage: Coverage,
    explained: Vec<Explained>,
    lines_left: usize,
}

pub(super) fn compare(
    baseline: &Baseline,
    fs: &dyn FileSystem,
    ports: Option<&[String]>,
    options: &Options<'_>,
) -> Result<Report, Error> {
    let inventory = Inventory::read(fs, options.limits);
    let now = manifest::of(&inventory, &baseline.facts.name, options.threads);
    let entries = inventory.entries.len();
    let not_examined = options.unreached.iter().map(telling::unreached).collect();
    let mut comparison = Comparison {
        baseline,
        inventory,
        told: Told::default(),
        coverage: Coverage { entries, not_examined, ..Coverage::default() },
        explained: Vec::new(),
        lines_left: MAX_LINES_IN_ALL,
    };
    comparison.sections(ports, options);
    comparison.files(&now.items, options);
    let Comparison { inventory, told, mut coverage, explained, .. } = comparison;
    let mut problems = inventory.problems.take();
    let findings = told.finish(&options.unreached, &mut problems);
    coverage.count(&explained);
    problems.sort();
    problems.dedup();
    let (system, packages) = (evidence::os::find(fs), Vec::new());
    Ok(Report { system, packages, findings, explained, problems, coverage })
}

impl Comparison<'_> {
    fn not_judged(&mut self, what: &str) {
        let count = self.coverage.not_judged.entry(what.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    fn sections(&mut self, ports: Option<&[String]>, options: &Options<'_>) {
        let now = facts::sections(&self.inventory, ports);
        let nothing = BTreeMap::new();
        for section in Section::ALL {
            // Its texts are compared with the files.
            if section == Section::Configuration {
                continue;
            }
            // What nobody could reach is not gone.
            if telling::is_unreached(&options.unreached, section.place()) {
                self.not_judged(&format!(
                    "{}: on a volume that could not be reached",
                    section.word()
                ));
                continue;
            }
            let before = self.baseline.facts.sections.get(&section);
            let after = now.get(&section);
            match (before, after) {
                (None, None) => {}
                (None, Some(_)) => {
                    self.not_judged(&format!("{}: not in the baseline", section.word()));
                }
                // What was there and cannot be found any more is all gone, but for ports: nobody looked.
                (Some(_), None) if section == Section::Ports => {
                    self.not_judged("ports: not looked for now");
                }
                (Some(before), after) => self.section(section, before, after.unwrap_or(&nothing)),
            }
        }
    }

    fn section(
        &mut self,
        section: Section,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            if old == new {
                continue;
            }
            let text = |value: Option<&String>| match value {
                None => "nothing".to_owned(),
                Some(text) if text.is_empty() => name.clone(),
                Some(text) => format!("{name}: {text}"),
            };
            let (rule, path) = match section {
                Section::Packages => (&PACKAGE, "/var/lib/dpkg/status"),
                Section::Accounts => (&ACCOUNT, "/etc/passwd"),
                Section::Groups => (&GROUP, "/etc/group"),
                Section::Ports => (&PORT, "/proc/net"),
                Section::Services | Section::Configuration => (&SERVICE, name.as_str()),
            };
            let gains_root = |text: &String| text.starts_with("uid 0,");
            let severity = match (section, old, new) {
                (Section::Accounts, old, Some(new))
                    if gains_root(new) && !old.is_some_and(gains_root) =>
                {
                    Severity::Critical
                }
                (_, Some(_), None) => Severity::Medium,
                _ => rule.severity,
            };
            // Names are escaped already; a place that was escaped is shown, not looked up.
            let deviation = Deviation::at(path.as_bytes());
            self.told.tell(rule, deviation.severity(severity).instead(text(old), text(new)));
        }
    }

    fn files(&mut self, now: &[Item], options: &Options<'_>) {
        let baseline = self.baseline;
        let by_path = |items: &'_ [Item]| -> BTreeMap<Vec<u8>, Item> {
            items.iter().map(|item| (item.path.clone(), item.clone())).collect()
        };
        let (before, after) = (by_path(&baseline.files.items), by_path(now));
        let paths: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
        // Links by which something is started are told as that.
        let services = baseline.facts.sections.contains_key(&Section::Services);
        for path in paths {
            if telling::is_unreached(&options.unreached, path) {
                self.not_judged("objects on a volume that could not be reached");
                continue;
            }
            match (before.get(path), after.get(path)) {
                (Some(old), Some(new)) => {
                    self.coverage.packaged = self.coverage.packaged.saturating_add(1);
                    self.count(new);
                    self.both(path, old, new, services);
                }
                (None, Some(new)) => {
                    self.count(new);
                    if !(services && facts::is_service(new)) {
                        self.one(path, new, &NEW);
                    }
                }
                (Some(old), None) if self.inventory.entries.contains_key(path) => {
                    // It is there, but could not be read: a problem says why.
                    self.not_judged(&format!("{} that could not be read", word(&old.kind)));
                }
                (Some(old), None) => {
                    if !(services && facts::is_service(old)) {
                        self.one(path, old, &GONE);
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn count(&mut self, item: &Item) {
        if let ItemKind::File { size_bytes, .. } = item.kind {
            self.coverage.files_hashed = self.coverage.files_hashed.saturating_add(1);
            self.coverage.bytes_hashed = self.coverage.bytes_hashed.saturating_add(size_bytes);
        }
    }

    /// Something that is only in the baseline, or only there now.
    fn one(&mut self, path: &[u8], item: &Item, rule: &Rule) {
        let is_new = rule.id == NEW.id;
        if self.is_moving(path, item, is_new) {
            return;
        }
        self.coverage.unexplained = self.coverage.unexplained.saturating_add(1);
        let own = packaged::what(&item.kind);
        let nothing = "nothing".to_owned();
        let (expected, found) = if is_new { (nothing, own) } else { (own, nothing) };
        let (rule, severity) = if is_new && gives_rights(item) {
            (&SETID, SETID.severity)
        } else if is_new && self.runs(path, item) {
            (rule, Severity::High)
        } else {
            (rule, rule.severity)
        };
        self.told.tell(rule, Deviation::at(path).severity(severity).instead(expected, found));
    }

    fn both(&mut self, path: &[u8], old: &Item, new: &Item, services: bool) {
        let (was, is) = (packaged::what(&old.kind), packaged::what(&new.kind));
        if std::mem::discriminant(&old.kind) != std::mem::discriminant(&new.kind) {
            self.told.tell(&KIND, Deviation::at(path).instead(was, is));
            return;
        }
        let is_told = services && facts::is_service(new);
        if old.kind != new.kind && !is_told && !self.is_moving(path, new, true) {
            let runs = self.runs(path, new) || self.runs(path, old);
            let severity = if runs { Severity::Critical } else { CONTENT.severity };
            let mut deviation = Deviation::at(path).severity(severity).instead(was, is);
            if let Some(difference) = self.difference(path) {
                deviation = deviation.differing(difference);
            }
            self.told.tell(&CONTENT, deviation);
        }
        if matches!(new.kind, ItemKind::Symlink(_)) {
            return;
        }
        let rights = |item: &Item| {
            let names: Vec<String> =
                item.xattrs.iter().map(|(name, _)| escape_bytes(name)).collect();
            format!("{:04o} {}:{} {}", item.mode, item.uid, item.gid, names.join(" "))
        };
        if (old.mode, old.uid, old.gid, &old.xattrs) != (new.mode, new.uid, new.gid, &new.xattrs) {
            let gained = gives_rights(new) && (!gives_rights(old) || old.uid != new.uid);
            let rule = if gained { &SETID } else { &RIGHTS };
            let deviation = Deviation::at(path);
            self.told.tell(rule, deviation.instead(rights(old).trim(), rights(new).trim()));
        }
    }

    /// The changed lines of a configuration file whose text the baseline has.
    fn difference(&mut self, path: &[u8]) -> Option<Difference> {
        let texts = self.baseline.facts.sections.get(&Section::Configuration)?;
        let before = texts.get(&escape_bytes(path))?;
        let node = self.inventory.entries.get(path)?.node;
        Some(difference::with_file(
            before.as_bytes(),
            (self.inventory.fs, node),
            &mut self.lines_left,
        ))
    }

    /// Whether it is written as time goes by, and cannot run: then it is explained.
    fn is_moving(&mut self, path: &[u8], item: &Item, is_there: bool) -> bool {
        let is_link = matches!(item.kind, ItemKind::Symlink(_));
        let moving = [Class::Log, Class::Cache, Class::Database, Class::Data];
        let class =
            classes::of(path, is_link).map(|(class, _)| class).find(|class| moving.contains(class));
        let Some(class) = class else { return false };
        let is_home =
            [&b"/home/"[..], b"/root/", b"/srv/"].iter().any(|home| path.starts_with(home));
        let is_inert = match &item.kind {
            ItemKind::File { .. } => {
                !gives_rights(item) && item.mode & 0o111 == 0 && !(is_there && self.is_code(path))
            }
            ItemKind::Directory => true,
            // Where homes lead, and what they hold, is not written by the system.
            ItemKind::Symlink(_) | ItemKind::HardLink(_) | ItemKind::Special | ItemKind::Ghost => {
                false
            }
        };
        let is_explained = is_inert && !is_home;
        if is_explained {
            self.explained.push(Explained { path: path.into(), class });
        }
        is_explained
    }

    fn runs(&self, path: &[u8], item: &Item) -> bool {
        matches!(item.kind, ItemKind::File { .. })
            && (item.mode & 0o111 != 0
                || path.windows(3).any(|part| part == b".so")
                || self.is_code(path))
    }

    /// Whether it begins as a program or a script; what cannot be read may be one.
    fn is_code(&self, path: &[u8]) -> bool {
        let Some(Metadata { node, .. }) = self.inventory.entries.get(path) else { return false };
        match self.inventory.fs.read_head(*node, 4) {
            Ok((head, _)) => head.starts_with(b"\x7fELF") || head.starts_with(b"#!"),
            Err(_) => true,
        }
    }
}

/// Whether it runs with rights of its owner, or with capabilities.
fn gives_rights(item: &Item) -> bool {
    matches!(item.kind, ItemKind::File { .. })
        && (item.mode & 0o6000 != 0
            || item.xattrs.iter().any(|(name, _)| name == b"security.capability"))
}

fn word(kind: &ItemKind) -> &'static str {
    match kind {
        ItemKind::File { .. } | ItemKind::HardLink(_) => "files",
        ItemKind::Directory => "directories",
        ItemKind::Symlink(_) => "links",
        ItemKind::Special | ItemKind::Ghost => "devices and pipes",
    }
}
