//! Rules of the examiner's own in the language of YARA, compiled before anything is read.
//!
//! The matching is that of the crate `boreal`. Rules come as text: nothing is read from a disk here, so `include` is
//! refused; and a file gets a bounded time, so that one rule cannot hold up the examination.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use boreal::compiler::CompilerParams;
use boreal::memory::{FragmentedMemory, MemoryParams, Region, RegionDescription};
use boreal::scanner::{
    EvaluatedRule, ScanError, ScanParams, ScanResult, StringMatch, StringMatches,
};
use boreal::{Compiler, MetadataValue, Scanner};
use evidence::escape_bytes;

use crate::Severity;

/// Longest time the rules get for one file.
const FILE_TIME_AT_MOST: Duration = Duration::from_secs(60);
/// The same for a file that is given in pieces, for each of them; and for the whole of it at most.
const PIECE_TIME: Duration = Duration::from_secs(30);
const PIECES_TIME_AT_MOST: Duration = Duration::from_secs(30 * 60);
/// How much of a large file the rules get at once, in bytes, and how much of it again with the next piece, so that what
/// stands across the border is seen.
const PIECE_BYTES: u64 = 32 << 20;
const OVERLAP_BYTES: u64 = 4 << 10;
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
    asks_size: bool,
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
        let mut asks_size = false;
        compiler.set_params(CompilerParams::default().disable_includes(true));
        for (file, text) in files {
            asks_size |= text.contains("filesize");
            compiler.add_rules_str_in_namespace(text, file).map_err(|error| RulesRefused {
                file: file.to_owned(),
                reason: error.to_string(),
            })?;
        }
        let mut scanner = compiler.finalize();
        scanner.set_scan_params(params(FILE_TIME_AT_MOST));
        Ok(Self { scanner, asks_size })
    }

    /// How many rules there are, without the private ones.
    #[must_use]
    pub fn count(&self) -> usize {
        self.scanner.rules().filter(|rule| !rule.is_private).count()
    }

    /// Whether a rule asks for the size of the file, which is not known where a file is given in pieces.
    #[must_use]
    pub fn ask_size(&self) -> bool {
        self.asks_size
    }

    /// The rules that match, by name, and why the content was not judged to its end if it was not.
    #[must_use]
    pub fn matches(&self, content: &[u8]) -> (Vec<YaraMatch>, Option<String>) {
        self.judged(|| self.scanner.scan_mem(content))
    }

    /// The same for a file too large to be held: `read` reads at an offset and tells how many bytes it got.
    ///
    /// The file is given in pieces that overlap a little. A string found in the overlap counts twice in a condition that
    /// counts, one that is longer than the overlap may be missed across a border, and `filesize` is not known.
    #[must_use]
    pub fn matches_in_pieces(
        &self,
        size_bytes: u64,
        read: &(dyn Fn(u64, &mut [u8]) -> usize + Sync),
    ) -> (Vec<YaraMatch>, Option<String>) {
        let mut scanner = self.scanner.clone();
        let pieces = u32::try_from(size_bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        let time = PIECE_TIME.saturating_mul(pieces).min(PIECES_TIME_AT_MOST);
        scanner.set_scan_params(params(time));
        let pieces = Pieces { read, size_bytes, next_at: 0, here: None, content: Vec::new() };
        self.judged(|| scanner.scan_fragmented(pieces))
    }

    fn judged<'s>(
        &self,
        scan: impl FnOnce() -> Result<ScanResult<'s>, (ScanError, ScanResult<'s>)>,
    ) -> (Vec<YaraMatch>, Option<String>) {
        // The engine takes programs apart that an intruder may have built against it.
        let (result, cut) = match catch_unwind(AssertUnwindSafe(scan)) {
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
            .min_by_key(|one| place(one))
            .map(|one| (place(one), one.data.to_vec()));
        let rule = format!("{}:{}", rule.namespace, rule.name);
        YaraMatch { rule, told: told.join("; "), severity, first }
    }
}

/// How files are scanned.
fn params(time: Duration) -> ScanParams {
    // Without all matches a rule that is decided early would not tell where.
    ScanParams::default()
        .compute_full_matches(true)
        .match_max_length(MATCH_BYTES)
        .timeout_duration(Some(time))
}

/// A file as the engine gets it in pieces.
struct Pieces<'a> {
    read: &'a (dyn Fn(u64, &mut [u8]) -> usize + Sync),
    size_bytes: u64,
    next_at: u64,
    here: Option<RegionDescription>,
    content: Vec<u8>,
}

impl fmt::Debug for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("at", &self.here).finish_non_exhaustive()
    }
}

impl FragmentedMemory for Pieces<'_> {
    fn next(&mut self, _: &MemoryParams) -> Option<RegionDescription> {
        let left = self.size_bytes.checked_sub(self.next_at).filter(|left| *left > 0);
        self.here = left.and_then(|left| {
            let length = left.min(PIECE_BYTES.saturating_add(OVERLAP_BYTES));
            let start = usize::try_from(self.next_at).ok()?;
            Some(RegionDescription { start, length: usize::try_from(length).ok()? })
        });
        self.next_at = self.next_at.saturating_add(PIECE_BYTES);
        self.here
    }

    fn fetch(&mut self, _: &MemoryParams) -> Option<Region<'_>> {
        let here = self.here?;
        self.content.resize(here.length, 0);
        let mut done = 0_usize;
        while let Some(rest) = self.content.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = u64::try_from(here.start.saturating_add(done)).ok()?;
            match (self.read)(at, rest) {
                0 => return None,
                count => done = done.saturating_add(count),
            }
        }
        Some(Region { start: here.start, mem: &self.content })
    }

    fn reset(&mut self) {
        (self.next_at, self.here) = (0, None);
    }
}

/// Where a match lies in the file.
fn place(found: &StringMatch) -> usize {
    found.base.saturating_add(found.offset)
}

fn string_told(found: &StringMatches<'_>) -> String {
    let at = found.matches.first().map_or(0, place);
    // In the overlap of two pieces the same one is found twice.
    let places: std::collections::BTreeSet<usize> = found.matches.iter().map(place).collect();
    let times = match places.len() {
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
