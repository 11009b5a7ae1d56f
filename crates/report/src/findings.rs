//! Findings of all examinations: counted one and all, the worst kept by rule.
//!
//! A case may hold a million. What a rule says of all its findings (title, why, how to check) is kept once; of the
//! findings themselves the first of each rule, and how many more stand in the case.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::act::shown;
use crate::timeline::Mark;
use crate::{Moment, Text};

/// Findings kept of one rule and severity.
const KEPT_OF_A_RULE: usize = 50;
/// Rules told apart; the least severe beyond are only counted.
const GROUPS_AT_MOST: usize = 200;

/// How bad a finding is, if true; the worst sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The machine is not its owner's any more.
    Critical,
    /// Very probably planted or dangerous.
    High,
    /// Needs a look by a person. Also what a severity this version does not know counts as.
    #[default]
    Medium,
    /// Worth knowing.
    Low,
    /// A fact for the inventory.
    Info,
}

impl Severity {
    /// All, worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }

    /// 0 for the worst.
    #[must_use]
    pub fn rank(self) -> usize {
        match self {
            Self::Critical => 0,
            Self::High => 1,
            Self::Medium => 2,
            Self::Low => 3,
            Self::Info => 4,
        }
    }

    fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|one| one.word() == word).unwrap_or_default()
    }
}

/// One finding, without what its rule says of all.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Stable for the same rule, path and evidence.
    pub id: Text,
    /// The rule.
    pub rule: Text,
    /// The system examined.
    pub address: Text,
    /// The file of the case it was read from.
    pub exhibit: Text,
    /// The file on the evidence; with its line, where there is one.
    pub path: Text,
    /// The evidence itself.
    pub excerpt: Text,
    /// What is special in this instance.
    pub detail: Text,
    /// How likely it is true.
    pub confidence: Text,
    /// Whether it would act.
    pub activation: Text,
    /// What it would run, as whom and when, as far as known.
    pub runs: Text,
    /// Mode, owner and group.
    pub rights: Text,
    /// SHA-256 of the file.
    pub sha256: Text,
    /// Package that claims the file.
    pub package: Text,
    /// Creation of the file.
    pub born: Option<Moment>,
    /// Last change of its content.
    pub modified: Option<Moment>,
    /// Last change of its inode.
    pub changed: Option<Moment>,
}

/// Findings of one rule at one severity.
#[derive(Debug, Clone, Serialize)]
pub struct RuleGroup {
    /// The severity.
    pub severity: Severity,
    /// The rule.
    pub rule: Text,
    /// The rule's title.
    pub title: Text,
    /// Why it matters.
    pub why: Text,
    /// What else may explain it.
    pub innocent: Vec<Text>,
    /// How to check by hand.
    pub verify_by_hand: Text,
    /// MITRE ATT&CK techniques.
    pub mitre: Vec<Text>,
    /// How many findings there are.
    pub total: u64,
    /// The first of them.
    pub kept: Vec<Finding>,
}

/// All findings.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// How many.
    pub total: u64,
    /// How many of each severity, worst first.
    pub by_severity: [u64; 5],
    /// By rule, worst first.
    pub groups: Vec<RuleGroup>,
    /// Findings of rules that are not told apart.
    pub in_other_rules: u64,
    /// Entries that are no findings.
    pub unreadable: u64,
    #[serde(skip)]
    map: BTreeMap<(Severity, String), RuleGroup>,
}

/// What is needed of a finding that is only counted.
#[derive(Deserialize)]
struct Key<'a> {
    #[serde(borrow, default)]
    severity: Cow<'a, str>,
    #[serde(borrow, default)]
    rule: Cow<'a, str>,
    #[serde(borrow, default)]
    times: Option<Stated<'a>>,
}

#[derive(Deserialize, Default)]
struct Stated<'a> {
    #[serde(borrow, default)]
    born: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    modified: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    changed: Option<Cow<'a, str>>,
}

impl Stated<'_> {
    fn mark(&self) -> Option<Moment> {
        let moment = |text: &Option<Cow<'_, str>>| text.as_deref().and_then(Moment::parse);
        moment(&self.changed).or_else(|| moment(&self.modified)).or_else(|| moment(&self.born))
    }
}

impl Findings {
    /// Takes one finding of the file `exhibit`; its system is named when the line ends.
    pub(crate) fn take(&mut self, json: &[u8], exhibit: &Text, marks: &mut Vec<Mark>) {
        let (severity, rule, at) = match serde_json::from_slice::<Key<'_>>(json) {
            Ok(key) => {
                let at = key.times.as_ref().and_then(Stated::mark);
                (Severity::parse(&key.severity), key.rule, at)
            }
            // Fields of another type, or text that is not UTF-8: it may still be read as loose JSON.
            Err(_) => match serde_json::from_slice::<Value>(json) {
                Ok(Value::Object(value)) => {
                    let word = |name: &str| {
                        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
                    };
                    (Severity::parse(&word("severity")), word("rule").into(), None)
                }
                _ => {
                    self.unreadable = self.unreadable.saturating_add(1);
                    return;
                }
            },
        };
        self.total = self.total.saturating_add(1);
        if let Some(count) = self.by_severity.get_mut(severity.rank()) {
            *count = count.saturating_add(1);
        }
        marks.extend(at.map(|at| (at, severity)));
        let rule = rule.chars().take(40).collect::<String>();
        self.keep(severity, rule, json, exhibit);
    }

    fn keep(&mut self, severity: Severity, rule: String, json: &[u8], exhibit: &Text) {
        let key = (severity, rule);
        if let Some(group) = self.map.get_mut(&key) {
            group.total = group.total.saturating_add(1);
            if group.kept.len() >= KEPT_OF_A_RULE {
                return;
            }
            if let Ok(value) = serde_json::from_slice(json) {
                group.kept.push(finding(&value, exhibit));
            }
            return;
        }
        let is_full = self.map.len() >= GROUPS_AT_MOST;
        if is_full && self.map.last_key_value().is_some_and(|(least, _)| *least < key) {
            self.in_other_rules = self.in_other_rules.saturating_add(1);
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(json) else {
            self.in_other_rules = self.in_other_rules.saturating_add(1);
            return;
        };
        if is_full && let Some((_, least)) = self.map.pop_last() {
            self.in_other_rules = self.in_other_rules.saturating_add(least.total);
        }
        self.map.insert(key, group(severity, &value, exhibit));
    }

    /// Names the system of the findings of `exhibit` that came since the last was named.
    pub(crate) fn name_place(&mut self, exhibit: &Text, address: &Text) {
        for group in self.map.values_mut() {
            for finding in group.kept.iter_mut().rev() {
                if finding.address.is_empty() && finding.exhibit == *exhibit {
                    finding.address = address.clone();
                } else {
                    break;
                }
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        self.groups = std::mem::take(&mut self.map).into_values().collect();
    }

    /// How many have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> u64 {
        self.by_severity.get(severity.rank()).copied().unwrap_or(0)
    }
}

fn field(value: &Value, name: &str) -> Text {
    shown(value.get(name).unwrap_or(&Value::Null))
}

fn texts(value: &Value, name: &str) -> Vec<Text> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().take(20).map(shown).collect()
}

fn group(severity: Severity, value: &Value, exhibit: &Text) -> RuleGroup {
    RuleGroup {
        severity,
        rule: field(value, "rule"),
        title: field(value, "title"),
        why: field(value, "why"),
        innocent: texts(value, "innocent_explanations"),
        verify_by_hand: field(value, "verify_by_hand"),
        mitre: texts(value, "mitre"),
        total: 1,
        kept: vec![finding(value, exhibit)],
    }
}

fn finding(value: &Value, exhibit: &Text) -> Finding {
    let path = field(value, "path");
    let path = match value.get("line").and_then(Value::as_u64) {
        Some(line) if path.cut_chars() == 0 => Text::new(&format!("{}:{line}", path.raw())),
        _ => path,
    };
    let moment = |name: &str| {
        value
            .get("times")
            .and_then(|times| times.get(name))
            .and_then(Value::as_str)
            .and_then(Moment::parse)
    };
    Finding {
        id: field(value, "finding_id"),
        rule: field(value, "rule"),
        address: Text::default(),
        exhibit: exhibit.clone(),
        path,
        excerpt: field(value, "excerpt"),
        detail: field(value, "detail"),
        confidence: field(value, "confidence"),
        activation: field(value, "activation"),
        runs: runs(value),
        rights: field(value, "rights"),
        sha256: field(value, "sha256"),
        package: field(value, "package"),
        born: moment("born"),
        modified: moment("modified"),
        changed: moment("changed"),
    }
}

fn runs(value: &Value) -> Text {
    let parts = [("", "what_runs"), ("as ", "who_runs"), ("", "when_runs")];
    let known: Vec<String> = parts
        .into_iter()
        .filter_map(|(before, name)| Some(format!("{before}{}", value.get(name)?.as_str()?)))
        .collect();
    Text::new(&known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(findings: &mut Findings, json: &str) {
        findings.take(json.as_bytes(), &Text::default(), &mut Vec::new());
    }

    #[test]
    fn the_worst_rules_stay_and_all_are_counted() {
        let mut findings = Findings::default();
        for number in 0..300 {
            take(&mut findings, &format!(r#"{{"severity":"low","rule":"GBX-{number:04}"}}"#));
        }
        for _ in 0..60 {
            take(
                &mut findings,
                r#"{"severity":"critical","rule":"GBX-9999","line":4,"path":"/x",
                    "what_runs":"/x -d","who_runs":"root","when_runs":null}"#,
            );
        }
        take(&mut findings, r#"{"severity":7,"rule":["odd"],"path":{"a":1}}"#);
        take(&mut findings, "7");
        take(&mut findings, "{");
        findings.finish();
        assert_eq!(findings.total, 361);
        assert_eq!(findings.by_severity, [60, 0, 1, 300, 0]);
        assert_eq!(findings.unreadable, 2);
        assert_eq!(findings.groups.len(), GROUPS_AT_MOST);
        assert_eq!(findings.in_other_rules, 300 - 198);
        let worst = &findings.groups[0];
        assert_eq!((worst.total, worst.kept.len(), worst.kept[0].path.raw()), (60, 50, "/x:4"));
        assert_eq!(worst.kept[0].runs.raw(), "/x -d, as root");
        let told: u64 = findings.groups.iter().map(|group| group.total).sum();
        assert_eq!(told + findings.in_other_rules, findings.total);
    }
}
