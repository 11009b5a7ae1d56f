//! The one way to tell a deviation, with a bound on what one rule may tell.

use std::collections::BTreeMap;

use evidence::system::Unreached;
use evidence::{Place, Problem, ProblemKind, RawPath};
use hashing::Algorithms;

use crate::examination::{Deviation, Rule};
use crate::report::Finding;

/// Findings of one rule; beyond it only their number is told.
const MAX_PER_RULE: usize = 2_000;

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    findings: Vec<Finding>,
    per_rule: BTreeMap<&'static str, usize>,
}

impl Told {
    pub(crate) fn tell(&mut self, rule: &Rule, deviation: Deviation<'_>) {
        let count = self.per_rule.entry(rule.id).or_default();
        *count = count.saturating_add(1);
        if *count > MAX_PER_RULE {
            return;
        }
        let path = RawPath(deviation.path.to_vec());
        let is_plain = path.to_string().as_bytes() == deviation.path;
        let path_hex =
            (!is_plain).then(|| deviation.path.iter().map(|byte| format!("{byte:02x}")).collect());
        let key =
            [rule.id.as_bytes(), b"\0", deviation.path, b"\0", deviation.found.as_bytes()].concat();
        let mut finding_id = hashing::digest_bytes(&key, &Algorithms::sha256()).sha256_hex();
        finding_id.truncate(16);
        self.findings.push(Finding {
            finding_id,
            rule: rule.id,
            title: rule.title,
            severity: deviation.severity.unwrap_or(rule.severity),
            path,
            path_hex,
            package: deviation.package,
            expected: deviation.expected,
            found: deviation.found,
            difference: deviation.difference,
        });
    }

    /// The findings, sorted; rules that met too much, and what was not reached, become problems.
    pub(crate) fn finish(
        self,
        unreached: &[Unreached],
        problems: &mut Vec<Problem>,
    ) -> Vec<Finding> {
        for (rule, count) in self.per_rule {
            if count > MAX_PER_RULE {
                let text = format!("rule {rule} met {count} files; {MAX_PER_RULE} are listed");
                problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
            }
        }
        for missing in unreached {
            let place = Place::Path(missing.path.clone());
            let text = format!("not examined: {}", missing.why);
            problems.push(Problem::new(ProblemKind::Refused, place, text));
        }
        let mut findings = self.findings;
        findings.sort_by(|a, b| {
            (a.severity, a.rule, &a.path, &a.found).cmp(&(b.severity, b.rule, &b.path, &b.found))
        });
        findings.dedup();
        findings
    }
}

/// Whether a place is on a volume that is not in the tree.
pub(crate) fn is_unreached(unreached: &[Unreached], path: &[u8]) -> bool {
    unreached.iter().any(|one| {
        let below = one.path.0.strip_suffix(b"/").unwrap_or(&one.path.0);
        path.strip_prefix(below).is_some_and(|rest| rest.starts_with(b"/"))
    })
}

/// A place that is not in the tree, and why.
pub(crate) fn unreached(one: &Unreached) -> String {
    format!("{} ({})", one.path, one.why)
}
