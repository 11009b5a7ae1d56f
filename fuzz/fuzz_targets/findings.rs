//! The findings of an examination as a report reads them: JSON lines of any shape, cut anywhere. The case around them is
//! the same each time; that it does not hold any more is no reason to show nothing.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use casebook::{
    ActDraft, Case, Clock, Completion, Mode, NewCase, Outcome, Signer, Timestamp, Tool,
    VerifyOptions,
};
use report::Report;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// A case with an examination; the folder stays for as long as the program runs.
fn case() -> PathBuf {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap().keep();
    let case = folder.join("case");
    let (signer, _) = Signer::generate_unprotected().unwrap();
    let at = || Timestamp::from_unix(1_790_000_000, 0).unwrap();
    let text = String::new;
    let tool = || Tool { name: text(), version: text(), sha256: text() };
    let new = NewCase { id: text(), name: text(), examiner: text(), created: at(), tool: tool() };
    let open = Case::create(&case, new, signer.public_key()).unwrap();
    let draft = ActDraft {
        who: text(),
        mode: Mode::Desk,
        started: at(),
        clock: Clock { source: text(), offset_ms: None, error_ms: None },
        host: Value::Null,
        tool: tool(),
        verb: "triage".to_owned(),
        arguments: json!({}),
        inputs: Vec::new(),
        counters_before: Value::Null,
    };
    let act = open.begin(draft, &signer).unwrap();
    let item = act.new_exhibit("x").unwrap().add_file("triage.jsonl", b"").unwrap();
    let end = Completion { outputs: vec![item], ..Completion::new(at(), Outcome::done()) };
    act.finish(end).unwrap();
    case
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static CASE: OnceLock<PathBuf> = OnceLock::new();
    let case = CASE.get_or_init(case);
    std::fs::write(case.join("exhibits/001-x/triage.jsonl"), data).unwrap();
    let report = Report::read(case, &VerifyOptions::default()).unwrap();
    let found = &report.findings;
    let told: u64 = found.groups.iter().map(|group| group.total).sum();
    assert_eq!(told + found.in_other_rules, found.total);
    report::html(&report, &mut std::io::sink()).unwrap();
    report::text(&report, &mut std::io::sink()).unwrap();
    // Whatever stood in the file, what comes out is JSON.
    let mut json = Vec::new();
    report::json(&report, &mut json).unwrap();
    let mut read = serde_json::Deserializer::from_slice(&json);
    let whole = serde::de::IgnoredAny::deserialize(&mut read).and_then(|_| read.end());
    assert!(whole.is_ok(), "{whole:?}");
});
