//! A case of many acts and findings, for `cargo xtask bench report`: makes one, reports on it.
//!
//! Acts are as long as the program's own on a machine with two disks, findings as long as those of triage.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use casebook::{
    ActDraft, Case, Clock, Completion, Item, Mode, NewCase, Outcome, Signer, Timestamp, Tool,
    VerifyOptions,
};
use report::Report;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", dir, acts, findings] => make(Path::new(dir), acts.parse()?, findings.parse()?),
        ["verify", dir] => {
            let found = casebook::verify(Path::new(dir), &options()?)?;
            if found.holds() { Ok(()) } else { Err(format!("{:?}", found.problems).into()) }
        }
        [form, dir, out] => {
            let report = Report::read(Path::new(dir), &options()?)?;
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

fn options() -> Result<VerifyOptions, Box<dyn Error>> {
    Ok(VerifyOptions { threads: std::thread::available_parallelism()?, ..VerifyOptions::default() })
}

fn make(dir: &Path, acts: u64, findings: u64) -> Result<(), Box<dyn Error>> {
    let (signer, _) = Signer::generate_unprotected()?;
    let new = NewCase {
        id: "bench".to_owned(),
        name: "bench".to_owned(),
        examiner: "A. Examiner".to_owned(),
        created: at(0)?,
        tool: tool(),
    };
    let case = Case::create(dir, new, signer.public_key())?;
    let act = case.begin(draft(0)?, &signer)?;
    let exhibit = act.new_exhibit("triage")?;
    let path = exhibit.path_of("triage.jsonl")?;
    write_findings(&path, findings)?;
    let (digests, size_bytes) = hashing::digest_file(&path, &hashing::Algorithms::sha256())?;
    let mut end = completion(0)?;
    let name = exhibit.item_name("triage.jsonl");
    end.outputs = vec![Item { name, size_bytes: Some(size_bytes), digests, facts: Value::Null }];
    act.finish(end)?;
    for number in 1..acts {
        case.record(draft(number)?, completion(number)?, &signer)?;
    }
    Ok(())
}

fn write_findings(path: &Path, findings: u64) -> Result<(), Box<dyn Error>> {
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

fn at(seconds: u64) -> Result<Timestamp, Box<dyn Error>> {
    Ok(Timestamp::from_unix(1_790_000_000_u64.saturating_add(seconds), 0).ok_or("no such time")?)
}

fn tool() -> Tool {
    Tool { name: "glovebox".to_owned(), version: "0.1.0".to_owned(), sha256: "5d".repeat(32) }
}

fn draft(number: u64) -> Result<ActDraft, Box<dyn Error>> {
    Ok(ActDraft {
        who: "A. Examiner".to_owned(),
        mode: Mode::Boot,
        started: at(number)?,
        clock: Clock { source: "system clock".to_owned(), offset_ms: None, error_ms: None },
        host: json!({
            "smbios": { "product_name": "Bench", "product_serial": "0123456789" },
            "kernel": "6.18.0", "kernel_line": "quiet", "image_id": "5d".repeat(32),
        }),
        tool: tool(),
        verb: "cat".to_owned(),
        arguments: json!({ "address": format!("sda:2:/var/log/{number}") }),
        inputs: vec![Item {
            name: "disk sda".to_owned(),
            size_bytes: Some(1 << 40),
            digests: hashing::Digests::default(),
            facts: json!({ "model": "DISK", "serial": "sda-0123456789" }),
        }],
        counters_before: counters(),
    })
}

fn completion(number: u64) -> Result<Completion, Box<dyn Error>> {
    let mut end = Completion::new(at(number)?, Outcome::done());
    end.counters_after = counters();
    Ok(end)
}

fn counters() -> Value {
    ["sda", "sdb"]
        .iter()
        .map(|disk| {
            json!({
                "disk": disk, "model": "DISK", "serial": format!("{disk}-0123456789"), "lock": "locked", "writes": 0,
                "sectors_written": 0, "discards": 0, "sectors_discarded": 0, "flushes": 0,
            })
        })
        .collect()
}
