//! A made-up case, for the examples that benchmarks run: its acts are as long as the program's own on a machine with
//! four disks, and no two are the same.

use std::error::Error;
use std::path::Path;

use casebook::{
    ActDraft, Case, Clock, Completion, Item, Mode, NewCase, Outcome, Signer, Timestamp, Tool,
    VerifyOptions,
};
use serde_json::{Value, json};

/// What an example answers.
pub(crate) type Answer<T> = Result<T, Box<dyn Error>>;

/// A new case whose key lies in it as `case.key`.
pub(crate) fn new_case(dir: &Path) -> Answer<(Case, Signer)> {
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
    Ok((case, signer))
}

/// Acts with these numbers.
pub(crate) fn record(case: &Case, signer: &Signer, numbers: std::ops::Range<u64>) -> Answer<()> {
    for number in numbers {
        case.record(draft(number)?, completion(number)?, signer)?;
    }
    Ok(())
}

/// Verifies on all processors; anything that does not hold is an error.
pub(crate) fn verify(dir: &Path) -> Answer<()> {
    let found = casebook::verify(dir, &options()?)?;
    println!("{} acts, holds: {}", found.acts, found.holds());
    if found.holds() { Ok(()) } else { Err(format!("{:?}", found.problems).into()) }
}

pub(crate) fn options() -> Answer<VerifyOptions> {
    Ok(VerifyOptions { threads: std::thread::available_parallelism()?, ..VerifyOptions::default() })
}

pub(crate) fn at(seconds: u64) -> Answer<Timestamp> {
    Ok(Timestamp::from_unix(1_790_000_000u64.saturating_add(seconds), 0).ok_or("no such time")?)
}

fn tool() -> Tool {
    Tool { name: "glovebox".to_owned(), version: "0.1.0".to_owned(), sha256: "5d".repeat(32) }
}

pub(crate) fn draft(number: u64) -> Answer<ActDraft> {
    Ok(ActDraft {
        who: "A. Examiner".to_owned(),
        mode: Mode::Boot,
        started: at(number)?,
        clock: Clock { source: "system clock".to_owned(), offset_ms: None, error_ms: None },
        host: json!({
            "smbios": { "product_name": "Bench", "product_serial": "0123456789" },
            "kernel": "6.18.0", "kernel_line": "quiet", "image_id": "5d".repeat(32),
            "boot_id": "0f6c6e04-1f0b-4d0e-9c2f-5d5d5d5d5d5d", "since_boot_ms": number.saturating_mul(1000),
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
        counters_before: counters(number),
    })
}

pub(crate) fn completion(number: u64) -> Answer<Completion> {
    let mut end = Completion::new(at(number)?, Outcome::done());
    end.counters_after = counters(number);
    end.since_boot_ms = Some(number.saturating_mul(1000));
    Ok(end)
}

/// The examiner's own medium is written to by every act; the evidence is not.
fn counters(number: u64) -> Value {
    ["sda", "sdb", "nvme0n1", "nvme1n1"]
        .iter()
        .map(|disk| {
            let (lock, writes) =
                if *disk == "sdb" { ("unlocked", number.saturating_mul(3)) } else { ("locked", 0) };
            json!({
                "disk": disk, "model": "DISK", "serial": format!("{disk}-0123456789"), "lock": lock,
                "writes": writes, "sectors_written": writes.saturating_mul(8), "discards": 0,
                "sectors_discarded": 0, "flushes": writes,
            })
        })
        .collect()
}
