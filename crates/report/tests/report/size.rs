//! A page of very many findings stays one that a browser opens at once; nothing is timed. Only we vouch.

use serde_json::{Value, json};

use crate::common::{Bench, written};

const FINDINGS: u64 = 5000;
const RULES: u64 = 250;
/// What a page of this kind may have at most, whatever the case holds.
const PAGE_BYTES: usize = 8 << 20;

#[test]
fn the_page_stays_small_and_everything_is_counted() {
    let mut bench = Bench::new("many findings");
    let findings: Vec<Value> = (0..FINDINGS)
        .map(|number| {
            let severity = ["critical", "high", "medium", "low", "info"][(number % 5) as usize];
            json!({
                "finding_id": format!("{number:016x}"), "rule": format!("GBX-{:04}", number % RULES),
                "title": "A title of ordinary length for a rule", "severity": severity, "confidence": "low",
                "path": format!("/usr/lib/{}/{number}", "x".repeat(200)), "excerpt": "e".repeat(400),
                "detail": "d".repeat(300), "times": { "modified": "2026-04-01T00:00:00Z" }, "sha256": "5d".repeat(32),
                "why": "w".repeat(200), "innocent_explanations": ["i".repeat(100)], "verify_by_hand": "v".repeat(100),
            })
        })
        .collect();
    let line = json!({ "address": "sda:2", "report": { "coverage": {}, "findings": findings, "problems": [] } });
    bench.exhibit(
        "triage",
        "t",
        "triage.jsonl",
        format!("{line}\n").as_bytes(),
        Value::Null,
        Vec::new(),
    );
    let report = bench.read();
    assert_eq!(report.findings.total, FINDINGS);
    let told: u64 = report.findings.groups.iter().map(|group| group.total).sum();
    assert_eq!(told + report.findings.in_other_rules, FINDINGS);
    let page = written(&report, report::html);
    assert!(page.len() < PAGE_BYTES, "{} bytes", page.len());
    assert!(page.contains("of 5,000 findings are written out here"));
    let json: Value = serde_json::from_str(&written(&report, report::json)).unwrap();
    let all = json["examinations"][0]["findings"].as_array().map(Vec::len);
    assert_eq!(all, Some(FINDINGS as usize));
}
