//! Rules of the examiner's own in the language of YARA, compiled before anything is read.
//!
//! The matching is that of the crate `boreal`. Rules come as text: nothing is read from a disk here, so `include` is
//! refused; and a file gets a bounded time, so that one rule cannot hold up the examination.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use boreal::compiler::CompilerParams;
use boreal::scanner::{EvaluatedRule, ScanParams, StringMatches};
use boreal::{Compiler, MetadataValue, Scanner};
use evidence::escape_bytes;

use crate::Severity;

/// Longest time the rules get for one file.
const FILE_TIME_AT_MOST: Duration = Duration::from_secs(60);
/// Strings of a rule that are told.
const STRINGS_TOLD: usize = 8;
/// Bytes of a match that are kept.
const MATCH_BYTES: usize = 200;
/// Longest description taken over from a rule, in characters.
const DESCRIPTION_CHARS: usize = 300;

/// Rules that could not be compiled.
#[derive(Debug)]
pub struct RulesRefused {
    /// The file they stand in.
    pub file: String,
    /// What is wrong, with line and column.
    pub reason: String,
}

impl fmt::Display for RulesRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "YARA rules in {}: {}", self.file, self.reason)
    }
}

impl std::error::Error for RulesRefused {}

/// Compiled rules.
#[derive(Clone, Debug)]
pub struct YaraRules {
    scanner: Scanner,
}

/// A rule that matched a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YaraMatch {
    /// File of the rules and name of the rule.
    pub rule: String,
    /// What the rule says of itself, and which of its strings were found where.
    pub told: String,
    /// As the rule's metadata `severity` states it.
    pub severity: Option<Severity>,
    /// Byte offset and first bytes of the first string found; a rule may match without any.
    pub first: Option<(usize, Vec<u8>)>,
}

impl YaraRules {
    /// Compiles rules, given as (name of the file, text); each file is a namespace of its own, so
    /// that equal names of rules do not clash.
    ///
    /// # Errors
    /// If the text of a file is not what YARA 4 would take, or includes another.
    pub fn compile<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RulesRefused> {
        let mut compiler = Compiler::new();
        compiler.set_params(CompilerParams::default().disable_includes(true));
        for (file, text) in files {
            compiler.add_rules_str_in_namespace(text, file).map_err(|error| RulesRefused {
                file: file.to_owned(),
                reason: error.to_string(),
            })?;
        }
        let mut scanner = compiler.finalize();
        // Without all matches a rule that is decided early would not tell where.
        scanner.set_scan_params(
            ScanParams::default()
                .compute_full_matches(true)
                .match_max_length(MATCH_BYTES)
                .timeout_duration(Some(FILE_TIME_AT_MOST)),
        );
        Ok(Self { scanner })
    }

    /// How many rules there are, without the private ones.
    #[must_use]
    pub fn count(&self) -> usize {
        self.scanner.rules().filter(|rule| !rule.is_private).count()
    }

    /// The rules that match, by name, and why the content was not judged to its end if it was not.
    #[must_use]
    pub fn matches(&self, content: &[u8]) -> (Vec<YaraMatch>, Option<String>) {
        // The engine takes programs apart that an intruder may have built against it.
        let scan = AssertUnwindSafe(|| self.scanner.scan_mem(content));
        let (result, cut) = match catch_unwind(scan) {
            Ok(Ok(result)) => (result, None),
            Ok(Err((error, result))) => (result, Some(error.to_string())),
            Err(_) => return (Vec::new(), Some("the matching engine failed on it".to_owned())),
        };
        let mut found: Vec<YaraMatch> = result.rules.iter().map(|rule| self.told(rule)).collect();
        found.sort_by(|one, two| one.rule.cmp(&two.rule));
        (found, cut)
    }

    fn told(&self, rule: &EvaluatedRule<'_>) -> YaraMatch {
        let text = |name: &str| {
            rule.metadatas.iter().find_map(|one| match one.value {
                MetadataValue::Bytes(value) if self.scanner.get_string_symbol(one.name) == name => {
                    Some(String::from_utf8_lossy(self.scanner.get_bytes_symbol(value)).into_owned())
                }
                _ => None,
            })
        };
        let severity = text("severity").and_then(|word| severity(&word));
        let mut told: Vec<String> = text("description")
            .map(|text| text.chars().take(DESCRIPTION_CHARS).collect::<String>())
            .map(|text| escape_bytes(text.as_bytes()))
            .into_iter()
            .collect();
        let found: Vec<&StringMatches<'_>> =
            rule.matches.iter().filter(|one| !one.matches.is_empty()).collect();
        told.extend(found.iter().take(STRINGS_TOLD).map(|one| string_told(one)));
        if let Some(left) = found.len().checked_sub(STRINGS_TOLD).filter(|left| *left > 0) {
            told.push(format!("and {left} strings more"));
        }
        let first = found
            .iter()
            .flat_map(|one| &one.matches)
            .min_by_key(|one| one.offset)
            .map(|one| (one.offset, one.data.to_vec()));
        let rule = format!("{}:{}", rule.namespace, rule.name);
        YaraMatch { rule, told: told.join("; "), severity, first }
    }
}

fn string_told(found: &StringMatches<'_>) -> String {
    let at = found.matches.first().map_or(0, |one| one.offset);
    let times = match found.matches.len() {
        0 | 1 => String::new(),
        more => format!(", {more} times"),
    };
    format!("${} at {at:#x}{times}", found.name)
}

fn severity(word: &str) -> Option<Severity> {
    Some(match word.to_ascii_lowercase().as_str() {
        "critical" => Severity::Critical,
        "high" => Severity::High,
        "medium" => Severity::Medium,
        "low" => Severity::Low,
        "info" | "informational" => Severity::Info,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compiled_is_refused_with_its_place() {
        let wrong = YaraRules::compile([("mine.yar", "rule a {\n condition: $x\n}")]);
        let text = wrong.unwrap_err().to_string();
        assert!(text.starts_with("YARA rules in mine.yar: ") && text.contains("$x"), "{text}");
        let include = YaraRules::compile([("a.yar", "include \"/etc/passwd\"")]);
        assert!(include.is_err());
    }

    #[test]
    fn equal_names_of_two_files_do_not_clash_and_metadata_is_told() {
        let text = r#"rule one { meta: description = "a \x1b word" severity = "High"
            strings: $a = "abc" $b = /d+e/ condition: $a or $b }
            private rule hidden { condition: true }"#;
        let rules = YaraRules::compile([("a", text), ("b", text)]).unwrap();
        assert_eq!(rules.count(), 2);
        let (found, cut) = rules.matches(b"..ddde.abc.abc");
        assert_eq!(cut, None);
        let names: Vec<&str> = found.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(names, ["a:one", "b:one"]);
        assert_eq!(found[0].first, Some((2, b"ddde".to_vec())));
        assert_eq!(found[0].severity, Some(Severity::High));
        assert!(found[0].told.contains("$a at 0x7, 2 times"), "{}", found[0].told);
        assert!(!found[0].told.contains('\u{1b}'), "{}", found[0].told);
    }
}
