//! Rules of Windows: each fires on its plant and is silent on a clean system; parsers beside those of others.
//!
//! hivex writes the hives, so keys and values are vouched for by an independent implementation; what a value means to
//! Windows is ours, and judged where hives and logs of real systems are at hand (`windows_published.rs`).

#[path = "support/events.rs"]
mod events;
#[path = "support/hives.rs"]
mod hives;
#[expect(dead_code, reason = "other tests use more of it")]
mod support;
#[path = "support/windows_plants.rs"]
mod windows_plants;
#[path = "support/windows_published.rs"]
mod windows_published;

use events::{Event, log};
use evidence::fs::FileKind;
use hives::hive;
use std::collections::BTreeSet;
use support::MemFs;
use triage::{Catalogue, Options, Report, Severity};
use windows_plants::{ACCOUNTS, CONFIG, cached, clean, logs, planted, plants, sam};

fn run(fs: &MemFs) -> Report {
    triage::run(fs, &Options::default())
}

fn above_info(report: &Report) -> Vec<String> {
    let found = report.findings.iter().filter(|finding| finding.severity < Severity::Info);
    found
        .map(|f| format!("{} {:?} {} {} {}", f.rule, f.severity, f.path, f.excerpt, f.detail))
        .collect()
}

#[test]
fn a_clean_windows_is_clean() {
    let Some(fs) = clean() else { return };
    let report = run(fs);
    assert_eq!(above_info(&report), [""; 0]);
    assert_eq!(report.problems, []);
    let system = report.system.unwrap();
    assert_eq!(
        (system.name.as_str(), system.hostname.as_deref()),
        ("Windows 10 Pro", Some("ZOO-PC"))
    );
    assert_eq!(report.coverage.package_database, "none");
    assert!(report.coverage.rules_skipped.iter().any(|text| text.contains("catalogues")));
}

#[test]
fn every_rule_fires_on_its_plant_alone() {
    let mut wrong = Vec::new();
    for (rule, file, severity, plant) in plants() {
        let Some(fs) = planted(&plant) else { return };
        let report = run(&fs);
        let is_it = |finding: &&triage::Finding| {
            finding.rule == rule && finding.path.to_string().ends_with(file)
        };
        let worst = report.findings.iter().filter(is_it).map(|finding| finding.severity).min();
        // A file of a task that the registry lacks is told beside what the plant is for.
        let allowed = [rule, "GBX-WIN-0403", "GBX-WIN-0404"];
        let mut others = above_info(&report);
        others.retain(|one| !allowed.iter().any(|id| one.starts_with(id)));
        if worst != Some(severity) || !others.is_empty() {
            wrong.push(format!("{rule} {file}: {worst:?}, not {severity:?}; {others:?}"));
        }
        assert!(report.findings.iter().all(|f| f.rule.starts_with("GBX-WIN-")), "{rule}");
        assert!(!serde_json::to_string(&report).unwrap().contains("verysecret"));
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_rule_has_a_plant() {
    let catalogue = Catalogue::embedded();
    let all: BTreeSet<&str> = catalogue
        .rules()
        .filter(|rule| rule.is_of_windows())
        .map(|rule| rule.id.as_str())
        .collect();
    let planted: BTreeSet<&str> = plants().iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(planted, all);
}

/// Bytes of every file the rules read are changed at random: whatever happens must end, soon, without a panic.
#[test]
fn mutated_systems_never_panic_or_hang() {
    let Some(fs) = clean() else { return };
    let mut state = 0x5eed_0007_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    let events: [Event<'_>; 2] =
        [(4, "Service Control Manager", 7045, &[("ImagePath", "x")]), (5, "x", 1, &[])];
    let log = log(&events, None);
    let files = [
        (format!("{CONFIG}/SAM"), hive(&sam(&ACCOUNTS)).unwrap()),
        (
            format!("{CONFIG}/SOFTWARE"),
            hive(&[hives::software(), cached(true, 1, "x")].concat()).unwrap(),
        ),
        (format!("{CONFIG}/SYSTEM"), hive(&hives::system()).unwrap()),
        (logs("System"), log),
    ];
    for round in 0..150 {
        let mut fs = fs.clone();
        for (path, good) in &files {
            let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
            let mut raw = good.clone();
            for _ in 0..=next(8) {
                raw[used[next(used.len())]] = u8::try_from(next(256)).unwrap();
            }
            if round % 10 == 0 {
                raw.truncate(next(raw.len()));
            }
            fs.put(path, FileKind::File, 0o644, &raw);
        }
        let _ = run(&fs);
    }
}
