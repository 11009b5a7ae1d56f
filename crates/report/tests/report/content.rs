//! What a report says: of an honest case, and of one that does not hold. Vouched for by the planted case.

use std::fs;

use casebook::{Outcome, VerifyOptions};
use report::{DiskVerdict, Notice, NoticeRequest, Report, Severity};
use serde_json::{Value, json};

use crate::common::{Bench, WRITERS, disk, finding, honest, triage_line, written};

#[test]
fn an_honest_case_is_told_in_full() {
    let bench = honest();
    let report = bench.read();
    assert!(report.verdict.holds, "{:?}", report.verdict.problems);
    assert_eq!(report.findings.by_severity, [2, 2, 1, 1, 1]);
    assert_eq!(report.findings.groups[0].severity, Severity::Critical);
    assert_eq!(report.findings.groups[0].kept[0].address.raw(), "sda:2");
    let verdicts: Vec<_> =
        report.disks.list.iter().map(|disk| (disk.name.raw(), disk.verdict)).collect();
    assert_eq!(verdicts, [("sda", DiskVerdict::Untouched), ("sdb", DiskVerdict::Unlocked)]);
    let people = &report.people;
    let totals = [&people.notes, &people.lessons, &people.costs, &people.custody, &people.contacts]
        .map(|one| one.total);
    assert_eq!(totals, [1, 1, 1, 1, 1]);
    let events: Vec<String> =
        report.timeline.events.iter().map(|event| event.at.to_string()).collect();
    assert!(events.is_sorted() && events.len() == 6, "{events:?}");
    let missed: Vec<&str> = report.coverage.not_reached.iter().map(|one| one.what.raw()).collect();
    assert!(missed.contains(&"hash failed: opening sdc: it is not attached"), "{missed:?}");
    assert!(missed.contains(&"rule not applied: GBX-0901: no PAM"), "{missed:?}");
    for (name, write) in WRITERS {
        let text = written(&report, write);
        assert_eq!(
            text,
            written(&bench.read(), write),
            "{name} differs from one reading to the next"
        );
        let wanted: &[&str] = match name {
            "case-uco" => {
                &["InvestigativeAction", "ProvenanceRecord", "S1AB77", "future-verb", "001"]
            }
            _ => &[
                "GBX-0101",
                "S1AB77",
                "future-verb",
                "unheard",
                "K. Osei",
                "16 hours",
                "001-sda-S1AB77/image.raw",
                "web01",
            ],
        };
        for word in wanted {
            assert!(text.contains(word), "{name} does not say {word}");
        }
    }
    let text = written(&report, report::text);
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        joined.contains("this clock was 61.500 s ahead of true time (give or take 2.000 s)"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 78));
}

/// Each act and each finding stands in the JSON as it stands in the case.
#[test]
fn json_holds_everything() {
    let bench = honest();
    let report = bench.read();
    let value: Value = serde_json::from_str(&written(&bench.read(), report::json)).unwrap();
    assert_eq!(value["glovebox_report"], 1);
    assert_eq!(value["acts"].as_array().unwrap().len() as u64, report.acts.total);
    for (listed, signed) in
        value["acts"].as_array().unwrap().iter().zip(casebook::read_acts(bench.path()).unwrap())
    {
        assert_eq!(listed["hash"], signed.hash());
        assert_eq!(listed["act"], serde_json::from_slice::<Value>(signed.act_bytes()).unwrap());
    }
    let examined = &value["examinations"][0];
    assert_eq!(examined["findings"].as_array().unwrap().len(), 7);
    assert_eq!(examined["examination"]["address"], "sda:2");
    assert_eq!(examined["problems_in_all"], 1);
}

#[test]
fn a_case_that_does_not_hold_says_so_first() {
    let bench = honest();
    let exhibit = bench.path().join("exhibits/001-sda-S1AB77/image.raw");
    fs::write(&exhibit, b"another").unwrap();
    let report = bench.read();
    assert!(!report.verdict.holds);
    let said = "THIS CASE DOES NOT HOLD";
    for (name, write) in WRITERS {
        let text = written(&report, write);
        let at = text.find(said).unwrap_or_else(|| panic!("{name} does not say so"));
        assert!(!text.get(..at).unwrap().contains("GBX-0101"), "{name} says it too late");
    }
    assert!(
        written(&report, report::html).contains("DOES NOT HOLD</span>"),
        "the exhibit is marked too"
    );
    let request =
        NoticeRequest { addresses: vec!["203.0.113.9".to_owned()], ..NoticeRequest::default() };
    assert!(Notice::new(&report, request).is_err());

    // In the copy too: what only one of them says does not count.
    for name in ["acts.jsonl", "acts.copy.jsonl"] {
        let acts = bench.path().join(name);
        let text = fs::read_to_string(&acts).unwrap();
        fs::write(&acts, text.replacen("rack 4", "rack 5", 1)).unwrap();
    }
    let report = bench.read();
    assert!(!report.verdict.holds);
    assert!(
        report
            .coverage
            .not_reached
            .iter()
            .any(|one| one.what.raw().contains("of 11 acts can be read"))
    );
    WRITERS.iter().for_each(|(_, write)| assert!(!written(&report, *write).is_empty()));
}

#[test]
fn a_missing_or_empty_case() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Report::read(folder.path(), &VerifyOptions::default()).is_err());
    let bench = Bench::new("empty");
    let report = bench.read();
    for (name, write) in WRITERS {
        assert!(written(&report, write).len() > 100, "{name}");
    }
    let text = written(&report, report::text);
    assert!(text.contains("No examination is recorded in this case."));
}

/// A case inside a bag is found.
#[test]
fn the_payload_of_a_bag_is_the_case() {
    let bench = honest();
    let bag = bench.directory.path().join("bag");
    fs::create_dir(&bag).unwrap();
    fs::rename(bench.path(), bag.join("data")).unwrap();
    assert!(Report::read(&bag, &VerifyOptions::default()).unwrap().verdict.holds);
}

#[test]
fn a_write_to_a_locked_disk_is_found_wherever_it_happens() {
    let mut bench = honest();
    bench.act_with("hash", json!({}), vec![disk()], Outcome::done(), &[], 2);
    let report = bench.read();
    let disk = &report.disks.list[0];
    assert_eq!((disk.verdict, disk.grown_locked.writes), (DiskVerdict::Written, 2));
    assert_eq!((disk.changes[0].act, disk.changes[0].between), (12, false));
    assert!(written(&report, report::html).contains("1 disk was written to while locked."));
    // The next act begins from zero: the machine was started anew, and that is no write.
    bench.act("hash", json!({}));
    let disk = bench.read().disks.list[0].clone();
    assert_eq!((disk.grown_locked.writes, disk.restarts), (2, 1));
}

#[test]
fn a_notice_tells_what_was_chosen_and_nothing_else() {
    let mut bench = honest();
    bench.act("case note", json!({ "what": "ops@web01 saw 198.51.100.7 talk to 10.0.0.5", "when": "2026-05-02T10:00:00Z" }));
    let title = "Copied from /srv/secret on web01.corp.example by 10.0.0.5";
    let findings = [finding(
        "high",
        "GBX-0001",
        title,
        "/home/maria/x",
        "scp 198.51.100.7:/x",
        "2026-05-01T04:00:00Z",
    )];
    bench.exhibit(
        "triage",
        "triage-2",
        "triage.jsonl",
        &triage_line("sda:2", "web01", &findings),
        Value::Null,
        vec![],
    );
    let report = bench.read();
    let request = NoticeRequest {
        to: "abuse@example.net".to_owned(),
        addresses: vec![
            "198.51.100.7".to_owned(),
            "203.0.113.9".to_owned(),
            "192.0.2.1".to_owned(),
        ],
        ..NoticeRequest::default()
    };
    let mut out = Vec::new();
    Notice::new(&report, request).unwrap().write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for word in [
        "198.51.100.7",
        "203.0.113.9",
        "2026-05-01T03:14:02Z",
        "2026-05-01T04:00:00Z",
        "2026-05-02T10:00:00Z",
        "A scheduled job opens a connection",
        "UTC",
        "61.500 s ahead",
        "not seen in our evidence",
        "[path]",
        "[address]",
        "[host]",
    ] {
        assert!(text.contains(word), "missing {word}: {text}");
    }
    for word in [
        "web01", "maria", "ops@", "10.0.0.5", "/srv", "/home", "www-data", "cron", "bash",
        "Brandt", "S1AB77",
    ] {
        assert!(!text.contains(word), "tells {word}: {text}");
    }
    let none =
        NoticeRequest { addresses: vec!["192.0.2.200".to_owned()], ..NoticeRequest::default() };
    assert!(Notice::new(&report, none).is_err());
}
