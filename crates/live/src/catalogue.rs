//! The catalogue of rules for running hosts: everything that is said about a finding apart from the evidence itself.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::finding::{Confidence, Severity};

const RULES: &str = include_str!("catalogue/rules.toml");

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

fn first_version() -> u32 {
    1
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    rule: Vec<Rule>,
}

/// All rules by identifier.
#[derive(Debug, Default)]
pub struct Catalogue {
    rules: BTreeMap<String, Rule>,
}

impl Catalogue {
    /// The catalogue that is part of this program. A test holds it to its grammar.
    #[must_use]
    pub fn embedded() -> Self {
        let document: Document = toml::from_str(RULES).unwrap_or_default();
        let rules = document.rule.into_iter().map(|rule| (rule.id.clone(), rule)).collect();
        Self { rules }
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

    /// Every source file of this crate, to see which rules it names.
    const SOURCES: [&str; 9] = [
        include_str!("kernel.rs"),
        include_str!("mounts.rs"),
        include_str!("network.rs"),
        include_str!("open_files.rs"),
        include_str!("places.rs"),
        include_str!("process.rs"),
        include_str!("processes.rs"),
        include_str!("sockets.rs"),
        include_str!("views.rs"),
    ];

    #[test]
    fn embedded_text_is_well_formed_and_every_rule_has_its_code() {
        let document: Document = toml::from_str(RULES).unwrap();
        let catalogue = Catalogue::embedded();
        assert_eq!(document.rule.len(), catalogue.rules.len(), "an identifier is used twice");
        for rule in &document.rule {
            let id = &rule.id;
            assert!(id.len() == 13 && id.starts_with("GBX-LIVE-"), "{id}");
            assert!(!rule.why.is_empty() && !rule.innocent.is_empty() && !rule.verify.is_empty());
            assert!(rule.mitre.iter().all(|technique| technique.starts_with('T')), "{id}");
            assert!(SOURCES.iter().any(|text| text.contains(id.as_str())), "{id} has no code");
        }
        for text in SOURCES {
            for (at, _) in text.match_indices("GBX-LIVE-") {
                let id = &text[at..at + 13];
                assert!(catalogue.rule(id).is_some(), "{id} is no rule");
            }
        }
    }
}
