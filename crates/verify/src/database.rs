//! The package database itself: its lists against the catalogue, and what it says is diverted or overridden.

use std::collections::HashSet;

use archive::debian::database::parse_diversions;
use evidence::escape_bytes;

use crate::examination::{Deviation, Examination, Rule};
use crate::report::Severity;

const LIST: Rule = Rule {
    id: "GBV-0502",
    title: "The list of a package's files is not what the vendor signed",
    severity: Severity::High,
};
const DIVERSION: Rule = Rule {
    id: "GBV-0503",
    title: "A diversion takes a packaged file from its place",
    severity: Severity::High,
};
const OVERRIDE: Rule = Rule {
    id: "GBV-0504",
    title: "An override gives a packaged file another owner or mode",
    severity: Severity::Medium,
};
/// Names of one list told in a finding.
const TOLD: usize = 5;

pub(crate) fn apply(examination: &mut Examination<'_>) {
    lists(examination);
    diversions(examination);
    overrides(examination);
}

fn lists(examination: &mut Examination<'_>) {
    let lists = std::mem::take(&mut examination.claims.lists);
    for (stem, expected) in &lists {
        let path = [b"/var/lib/dpkg/info/", stem.as_slice(), b".list"].concat();
        let Some(text) = examination.inventory.text(&path) else {
            let deviation = Deviation::at(&path).instead("a list of files", "nothing");
            examination.tell(&LIST, deviation);
            continue;
        };
        let found: HashSet<&[u8]> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && *line != b"/.")
            .collect();
        let mut more: Vec<&[u8]> =
            found.iter().filter(|line| !expected.contains(**line)).copied().collect();
        let mut less: Vec<&[u8]> =
            expected.iter().map(Vec::as_slice).filter(|line| !found.contains(line)).collect();
        // Its own file is explained by being this list.
        examination.claims.paths.entry(path.clone()).or_default();
        if more.is_empty() && less.is_empty() {
            continue;
        }
        more.sort_unstable();
        less.sort_unstable();
        let told = |lines: &[&[u8]]| {
            let words: Vec<String> =
                lines.iter().take(TOLD).map(|line| escape_bytes(line)).collect();
            format!("{} more: {}", lines.len(), words.join(" "))
        };
        let deviation = Deviation::at(&path).instead(told(&less), told(&more));
        examination.tell(&LIST, deviation);
    }
    examination.claims.lists = lists;
}

/// A diversion by the package that brings the file itself moves only files of others aside: nothing that is compared. Any
/// other takes a packaged file from its place, where it is missed; it is told because an intruder can register one.
fn diversions(examination: &mut Examination<'_>) {
    const FILE: &[u8] = b"/var/lib/dpkg/diversions";
    let text = examination.inventory.text(FILE).unwrap_or_default();
    let mut all: Vec<_> = parse_diversions(&text).into_iter().collect();
    all.sort();
    for (from, (to, by)) in all {
        let place = examination.inventory.canonical(&from);
        let claims = examination.claims.paths.get(&place);
        let others = claims.into_iter().flatten().filter(|claim| {
            examination
                .claims
                .packages
                .get(claim.package)
                .is_some_and(|package| package.name.as_bytes() != by.as_slice())
        });
        if others.count() == 0 {
            continue;
        }
        let found =
            format!("{} to {} by {}", escape_bytes(&from), escape_bytes(&to), escape_bytes(&by));
        examination.tell(&DIVERSION, Deviation::at(FILE).instead("", found));
    }
}

fn overrides(examination: &mut Examination<'_>) {
    const FILE: &[u8] = b"/var/lib/dpkg/statoverride";
    let text = examination.inventory.text(FILE).unwrap_or_default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let path = line.split(|byte| *byte == b' ').next_back().unwrap_or_default();
        let place = examination.inventory.canonical(path);
        if examination.claims.brings(&place) && !is_known(&place) {
            examination.tell(&OVERRIDE, Deviation::at(FILE).instead("", escape_bytes(line)));
        }
    }
}

/// Overrides that Debian's own packages register.
fn is_known(path: &[u8]) -> bool {
    [
        &b"/usr/lib/dbus-1.0/dbus-daemon-launch-helper"[..],
        b"/usr/bin/crontab",
        b"/usr/bin/ssh-agent",
        b"/usr/sbin/postdrop",
        b"/usr/sbin/postqueue",
    ]
    .contains(&path)
}
