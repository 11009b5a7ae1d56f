//! The catalogue of rules: everything that is said about a finding apart from the evidence itself.
//!
//! Data files, so that titles, techniques and innocent explanations are written once and a rule without them cannot exist,
//! and so that places and words can be added without code.

use crate::finding::{Confidence, Severity};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The embedded texts of the catalogue.
const RULES: &str = include_str!("catalogue/rules.toml");
const PLACES: &str = include_str!("catalogue/places.toml");
const LINES: &str = include_str!("catalogue/lines.toml");
const WINDOWS: &str = include_str!("catalogue/windows.toml");
/// What identifiers of rules of Windows begin with.
const WINDOWS_ID: &str = "GBX-WIN-";

/// One rule as the catalogue describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stable identifier.
    pub id: String,
    /// Grows when the meaning changes.
    #[serde(default = "first_version")]
    pub version: u32,
    /// One line, without the evidence.
    pub title: String,
    /// How bad, if true.
    pub severity: Severity,
    /// How likely to be true.
    pub confidence: Confidence,
    /// MITRE ATT&CK technique numbers.
    pub mitre: Vec<String>,
    /// Why it matters.
    pub why: String,
    /// What else may explain it.
    pub innocent: Vec<String>,
    /// How to check by hand.
    pub verify: String,
}

/// A place where a file that no package owns is a finding by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchedPlace {
    pub(crate) rule: String,
    pub(crate) at: Vec<String>,
    /// Who would run or obey it; `~` stands for the owner of the home it lies in.
    pub(crate) who: Option<String>,
    pub(crate) when: Option<String>,
    #[serde(default)]
    pub(crate) needs: Needs,
    /// Ends of names that are read at all; any when empty.
    #[serde(default)]
    pub(crate) ends: Vec<String>,
}

/// What a file must be to act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Needs {
    /// To exist.
    #[default]
    Nothing,
    /// An execute bit.
    Executable,
    /// An execute bit, and a name that run-parts(8) accepts.
    RunParts,
    /// A name without a dot that does not end in a tilde (sudoers(5)).
    PlainName,
}

/// Words in a line that make it a finding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineTest {
    pub(crate) rule: String,
    pub(crate) at: Vec<String>,
    /// Alternatives; all words of one must stand in the line.
    pub(crate) any: Vec<Vec<String>>,
    pub(crate) what: String,
    pub(crate) who: Option<String>,
    pub(crate) when: Option<String>,
    #[serde(default)]
    pub(crate) comment: Vec<String>,
    pub(crate) severity: Option<Severity>,
}

fn first_version() -> u32 {
    1
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    rule: Vec<Rule>,
    place: Vec<WatchedPlace>,
    line: Vec<LineTest>,
}

/// All rules by identifier, and where they look.
#[derive(Debug, Default)]
pub struct Catalogue {
    rules: BTreeMap<String, Rule>,
    pub(crate) places: Vec<WatchedPlace>,
    pub(crate) lines: Vec<LineTest>,
}

impl Rule {
    /// Whether it is a rule of Windows, and not one of Linux.
    #[must_use]
    pub fn is_of_windows(&self) -> bool {
        self.id.starts_with(WINDOWS_ID)
    }
}

impl Catalogue {
    /// The catalogue that is part of this program.
    ///
    /// A test holds it to its grammar, so the empty catalogue this could fall back to is never seen.
    #[must_use]
    pub fn embedded() -> Self {
        let mut catalogue = Self::default();
        for text in [RULES, PLACES, LINES, WINDOWS] {
            let document: Document = toml::from_str(text).unwrap_or_default();
            catalogue.rules.extend(document.rule.into_iter().map(|rule| (rule.id.clone(), rule)));
            catalogue.places.extend(document.place);
            catalogue.lines.extend(document.line);
        }
        catalogue
    }

    /// The rule with this identifier.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }

    /// All rules, by identifier.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_text_is_well_formed() {
        let document: Document = toml::from_str(RULES).unwrap();
        let windows: Document = toml::from_str(WINDOWS).unwrap();
        let catalogue = Catalogue::embedded();
        let count = document.rule.len() + windows.rule.len();
        assert_eq!(count, catalogue.rules.len(), "an identifier is used twice");
        assert!(windows.rule.iter().all(|rule| rule.id.len() == 12 && rule.is_of_windows()));
        assert!(document.rule.iter().all(|rule| rule.id.len() == 8 && rule.id.starts_with("GBX-")));
        for rule in document.rule.into_iter().chain(windows.rule) {
            assert!(
                !rule.why.is_empty() && !rule.innocent.is_empty() && !rule.verify.is_empty(),
                "{}",
                rule.id
            );
            assert!(rule.mitre.iter().all(|technique| technique.starts_with('T')), "{}", rule.id);
        }
        let places: Document = toml::from_str(PLACES).unwrap();
        let lines: Document = toml::from_str(LINES).unwrap();
        assert!(places.place.len() > 40 && lines.line.len() > 15);
        let used = places.place.iter().map(|one| (&one.rule, &one.at));
        for (rule, at) in used.chain(lines.line.iter().map(|one| (&one.rule, &one.at))) {
            assert!(catalogue.rule(rule).is_some(), "{rule} is no rule");
            assert!(at.iter().all(|one| one.starts_with(['/', '~'])), "{at:?}");
        }
        for line in &lines.line {
            let words = line.any.iter().flatten();
            assert!(words.clone().all(|word| *word == word.to_ascii_lowercase()), "{line:?}");
        }
    }
}
