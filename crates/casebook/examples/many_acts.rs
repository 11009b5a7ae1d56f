//! A case of many acts, for `cargo xtask bench case`: makes one, verifies it, adds a note to it.
//!
//! An act here is as long as one of the program's own on a machine with four disks.

use std::error::Error;
use std::path::Path;

use casebook::{
    ActDraft, Case, Clock, Completion, Item, KeyText, Mode, NewCase, Outcome, Signer, Timestamp,
    Tool, VerifyOptions,
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", dir, acts] => make(Path::new(dir), acts.parse()?),
        ["verify", dir] => verify(Path::new(dir)),
        ["note", dir] => note(Path::new(dir)),
        _ => Err("many_acts make DIR ACTS | verify DIR | note DIR".into()),
    }
}

fn make(dir: &Path, acts: u64) -> Result<(), Box<dyn Error>> {
    let (signer, text) = Signer::generate_unprotected()?;
    let new = NewCase {
        id: "bench".to_owned(),
        name: "bench".to_owned(),
        examiner: "A. Examiner".to_owned(),
        created: at(0)?,
        tool: tool(),
    };
    let case = Case::create(dir, new, signer.public_key())?;
    std::fs::write(dir.join("case.key"), text.expose())?;
    for number in 0..acts {
        case.record(draft(number)?, completion(number)?, &signer)?;
    }
    Ok(())
}

fn verify(dir: &Path) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism()?;
    let found = casebook::verify(dir, &VerifyOptions { threads, ..VerifyOptions::default() })?;
    println!("{} acts, holds: {}", found.acts, found.holds());
    if found.holds() { Ok(()) } else { Err(format!("{:?}", found.problems).into()) }
}

fn note(dir: &Path) -> Result<(), Box<dyn Error>> {
    let key = KeyText::new(std::fs::read_to_string(dir.join("case.key"))?);
    let signer = Signer::from_unprotected(&key)?;
    Case::open(dir)?.note(draft(0)?, &signer)?;
    Ok(())
}

fn at(seconds: u64) -> Result<Timestamp, Box<dyn Error>> {
    Ok(Timestamp::from_unix(1_790_000_000u64.saturating_add(seconds), 0).ok_or("no such time")?)
}

fn tool() -> Tool {
    Tool { name: "glovebox".to_owned(), version: "0.1.0".to_owned(), sha256: "5d".repeat(32) }
}

fn draft(number: u64) -> Result<ActDraft, Box<dyn Error>> {
    Ok(ActDraft {
        who: "A. Examiner".to_owned(),
        mode: Mode::Desk,
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
            facts: json!({ "model": "DISK", "serial": "0123456789" }),
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
    ["sda", "sdb", "nvme0n1", "nvme1n1"]
        .iter()
        .map(|disk| {
            json!({
                "disk": disk, "model": "DISK", "serial": "0123456789", "lock": "locked",
                "writes": 0, "sectors_written": 0, "discards": 0, "sectors_discarded": 0, "flushes": 0,
            })
        })
        .collect()
}
