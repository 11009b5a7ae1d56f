//! What was examined and what was not reached, so that silence can be told from absence.

use serde::Serialize;
use serde_json::Value;

use crate::Text;
use crate::act::{ActView, fields, shown};
use crate::disks::{DiskVerdict, Disks};

const EXAMINED_AT_MOST: usize = 1000;
const NOT_REACHED_AT_MOST: usize = 1000;

/// A source that was read.
#[derive(Debug, Clone, Serialize)]
pub struct Examined {
    /// The act.
    pub act: u64,
    /// How: the verb.
    pub how: Text,
    /// What: a disk, an image, an installed system at an address.
    pub what: Text,
    /// The file of the case that holds the outcome, if any.
    pub exhibit: Text,
    /// What is known of it and of how far the reading went: name and text.
    pub facts: Vec<(Text, Text)>,
    /// Findings in it, where it was looked for some.
    pub findings: Option<u64>,
}

/// Something that was not examined, not in whole, or not as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotReached {
    /// The act that says so; 0 where the case as a whole does.
    pub act: u64,
    /// What and why.
    pub what: Text,
}

/// Both.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Coverage {
    /// In order of the acts.
    pub examined: Vec<Examined>,
    /// Sources beyond the number listed.
    pub examined_left_out: u64,
    /// The first ones.
    pub not_reached: Vec<NotReached>,
    /// All of them.
    pub not_reached_in_all: u64,
}

impl Coverage {
    /// Notes something that was not reached.
    pub(crate) fn missed(&mut self, act: u64, what: &str) {
        self.missed_text(act, Text::new(what));
    }

    fn missed_text(&mut self, act: u64, what: Text) {
        self.not_reached_in_all = self.not_reached_in_all.saturating_add(1);
        if self.not_reached.len() < NOT_REACHED_AT_MOST {
            self.not_reached.push(NotReached { act, what });
        }
    }

    pub(crate) fn add(&mut self, examined: Examined) {
        if self.examined.len() < EXAMINED_AT_MOST {
            self.examined.push(examined);
        } else {
            self.examined_left_out = self.examined_left_out.saturating_add(1);
        }
    }

    /// Adds what another part of the case says, after what this holds.
    pub(crate) fn append(&mut self, other: Self) {
        let listed = u64::try_from(other.not_reached.len()).unwrap_or(u64::MAX);
        for missed in other.not_reached {
            self.missed_text(missed.act, missed.what);
        }
        let more = other.not_reached_in_all.saturating_sub(listed);
        self.not_reached_in_all = self.not_reached_in_all.saturating_add(more);
        other.examined.into_iter().for_each(|examined| self.add(examined));
        self.examined_left_out = self.examined_left_out.saturating_add(other.examined_left_out);
    }

    pub(crate) fn take(&mut self, act: &ActView) {
        let verb = act.str("verb");
        if !act.is_readable() {
            self.missed(act.line, "the act cannot be taken apart; see acts.jsonl");
        }
        for problem in act.list("problems") {
            self.missed_text(act.line, shown(problem));
        }
        let outcome =
            |name: &str| act.get("outcome").get(name).and_then(Value::as_str).unwrap_or_default();
        if let word @ ("failed" | "interrupted") = outcome("result") {
            let inputs: Vec<String> = act.list("inputs").iter().take(3).map(input_name).collect();
            let of = if inputs.is_empty() {
                String::new()
            } else {
                format!(" of {}", inputs.join(", "))
            };
            self.missed(act.line, &format!("{verb}{of} {word}: {}", outcome("text")));
        }
        // What reads evidence names it as an input; triage is told from its own file, with more.
        if act.list("inputs").is_empty() || verb == "triage" || verb.starts_with("case ") {
            return;
        }
        for item in unique_inputs(act.list("inputs")) {
            let facts = act
                .list("outputs")
                .iter()
                .filter_map(|output| output.get("facts"))
                .find(|facts| facts.is_object());
            let mut said = fields(item.get("facts").unwrap_or(&Value::Null));
            if let Some(facts) = facts {
                said.extend(
                    fields(facts).into_iter().filter(|(name, _)| name.raw() != "unreadable"),
                );
            }
            let exhibit = act.list("outputs").first().and_then(|output| output.get("name"));
            self.add(Examined {
                act: act.line,
                how: Text::new(verb),
                what: Text::new(&input_name(item)),
                exhibit: exhibit.map(shown).unwrap_or_default(),
                facts: said,
                findings: None,
            });
        }
    }

    /// One line of `triage.jsonl`, without its findings and problems.
    pub(crate) fn take_triage(
        &mut self,
        act: u64,
        exhibit: &Text,
        line: &Value,
        findings: u64,
    ) -> Option<String> {
        let report = line.get("report")?;
        let text = |path: &str| report.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let mut facts = Vec::new();
        let system = report.pointer("/system").cloned().unwrap_or(Value::Null);
        for (name, path) in [
            ("system", "/system/name"),
            ("host", "/system/hostname"),
            ("machine id", "/system/machine_id"),
            ("time zone", "/system/timezone"),
        ] {
            facts.extend(text(path).map(|value| (Text::new(name), Text::new(&value))));
        }
        facts.extend(fields(&system).into_iter().filter(|(name, _)| name.raw() == "kernels"));
        let coverage = report.get("coverage").unwrap_or(&Value::Null);
        facts.extend(
            fields(coverage)
                .into_iter()
                .filter(|(name, _)| !matches!(name.raw(), "not_examined" | "rules_skipped")),
        );
        for rule in coverage.get("rules_skipped").and_then(Value::as_array).into_iter().flatten() {
            self.missed(act, &format!("rule not applied: {}", shown(rule).raw()));
        }
        let address = shown(line.get("address").unwrap_or(&Value::Null));
        self.add(Examined {
            act,
            how: Text::new("triage"),
            what: address,
            exhibit: exhibit.clone(),
            facts,
            findings: Some(findings),
        });
        text("/system/hostname")
    }

    /// Disks that stood locked in the machine and that no act read.
    pub(crate) fn take_disks(&mut self, disks: &Disks) {
        for disk in &disks.list {
            let evidence = matches!(
                disk.verdict,
                DiskVerdict::Untouched | DiskVerdict::Written | DiskVerdict::LockFailed
            );
            if evidence && !disk.read_by_an_act {
                let (name, model, serial) = (disk.name.raw(), disk.model.raw(), disk.serial.raw());
                self.missed(
                    0,
                    &format!("disk {name} ({model}, serial {serial}) was attached; no act read it"),
                );
            }
        }
    }
}

fn input_name(item: &Value) -> String {
    shown(item.get("name").unwrap_or(item)).raw().to_owned()
}

/// An act may state an input twice: as it was named, and again with the digest it turned out to have.
fn unique_inputs(items: &[Value]) -> Vec<&Value> {
    let mut seen = std::collections::BTreeSet::new();
    let mut found: Vec<&Value> =
        items.iter().rev().take(100).filter(|item| seen.insert(input_name(item))).collect();
    found.reverse();
    found
}
