//! The catalogue of rules: everything that is said about a finding apart from the evidence itself.
//!
//! One data file, so that titles, techniques and innocent explanations are written once and a rule without them cannot exist.

use crate::finding::{Confidence, Severity};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The embedded text of the catalogue.
const TEXT: &str = include_str!("catalogue.toml");

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
    /// Patterns of places where a file that no package owns is a finding by itself.
    #[serde(default)]
    pub places: Vec<String>,
}

fn first_version() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rule: Vec<Rule>,
}

/// All rules by identifier.
#[derive(Debug)]
pub struct Catalogue {
    rules: BTreeMap<String, Rule>,
}

impl Catalogue {
    /// The catalogue that is part of this program.
    ///
    /// A test holds it to its grammar, so the empty catalogue this could fall back to is never seen.
    #[must_use]
    pub fn embedded() -> Self {
        Self::parse(TEXT).unwrap_or(Self { rules: BTreeMap::new() })
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let document: Document = toml::from_str(text)?;
        Ok(Self { rules: document.rule.into_iter().map(|rule| (rule.id.clone(), rule)).collect() })
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
        let document: Document = toml::from_str(TEXT).unwrap();
        assert_eq!(
            document.rule.len(),
            Catalogue::embedded().rules.len(),
            "an identifier is used twice"
        );
        for rule in document.rule {
            assert!(rule.id.len() == 8 && rule.id.starts_with("GBX-"), "{}", rule.id);
            assert!(
                !rule.why.is_empty() && !rule.innocent.is_empty() && !rule.verify.is_empty(),
                "{}",
                rule.id
            );
            assert!(rule.mitre.iter().all(|technique| technique.starts_with('T')), "{}", rule.id);
        }
    }
}
