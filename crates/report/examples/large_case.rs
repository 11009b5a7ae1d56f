//! A case of many acts and findings, for `cargo xtask bench report`: makes one, reports on it.
//!
//! Findings are as long as those of triage.

#[path = "../../casebook/examples/made_up/mod.rs"]
mod made_up;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use casebook::Item;
use made_up::{Answer, at};
use report::Report;
use serde_json::{Value, json};

fn main() -> Answer<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", dir, acts, findings] => make(Path::new(dir), acts.parse()?, findings.parse()?),
        ["verify", dir] => made_up::verify(Path::new(dir)),
        [form, dir, out] => {
            let report = Report::read(Path::new(dir), &made_up::options()?)?;
            let mut out = BufWriter::new(File::create(out)?);
            match *form {
                "html" => report::html(&report, &mut out)?,
                "text" => report::text(&report, &mut out)?,
                "json" => report::json(&report, &mut out)?,
                "case-uco" => report::case_uco(&report, &mut out)?,
                _ => return Err("no such form".into()),
            }
            out.flush()?;
            println!("{} acts, {} findings", report.acts.total, report.findings.total);
            Ok(())
        }
        _ => Err("large_case make DIR ACTS FINDINGS | verify DIR | FORM DIR OUT".into()),
    }
}

fn make(dir: &Path, acts: u64, findings: u64) -> Answer<()> {
    let (case, signer) = made_up::new_case(dir)?;
    let act = case.begin(made_up::draft(0)?, &signer)?;
    let exhibit = act.new_exhibit("triage")?;
    let path = exhibit.path_of("triage.jsonl")?;
    write_findings(&path, findings)?;
    let (digests, size_bytes) = hashing::digest_file(&path, &hashing::Algorithms::sha256())?;
    let mut end = made_up::completion(0)?;
    let name = exhibit.item_name("triage.jsonl");
    end.outputs = vec![Item { name, size_bytes: Some(size_bytes), digests, facts: Value::Null }];
    act.finish(end)?;
    made_up::record(&case, &signer, 1..acts)
}

fn write_findings(path: &Path, findings: u64) -> Answer<()> {
    let mut out = BufWriter::new(File::create_new(path)?);
    write!(
        out,
        "{{\"address\":\"sda:2\",\"report\":{{\"coverage\":{{\"entries\":1}},\"findings\":["
    )?;
    for number in 0..findings {
        let severity = ["info", "low", "medium", "high", "critical"]
            [usize::try_from(number % 1000).unwrap_or(0).min(4)];
        let changed = at(number * 30)?;
        let finding = json!({
            "finding_id": format!("{number:016x}"), "rule": format!("GBX-{:04}", number % 80), "rule_version": 1,
            "title": "A start-up place holds a file that no package owns", "severity": severity, "confidence": "medium",
            "mitre": ["T1037", "T1543"], "path": format!("/usr/lib/somewhere/{:03}/file-{number}", number % 997),
            "path_hex": null, "inode": number, "line": null, "offset_bytes": null, "rights": "0644 0:0",
            "excerpt": "ExecStart=/usr/lib/somewhere/program --with an argument", "detail": "no package owns it",
            "times": { "modified": changed, "changed": changed, "born": null }, "sha256": "5d".repeat(32),
            "package": null, "activation": "active",
            "why": "The system runs or obeys files in this directory at boot, login, network or package events.",
            "innocent_explanations": ["Administrators and third-party installers"],
            "verify_by_hand": "read it; see what it starts",
        });
        if number > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut out, &finding)?;
    }
    out.write_all(b"],\"problems\":[],\"system\":null}}\n")?;
    out.into_inner()?.sync_all()?;
    Ok(())
}
