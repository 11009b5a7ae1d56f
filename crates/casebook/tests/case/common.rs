//! What every test of the case needs: a key, a draft, a small case.

use std::path::Path;

use casebook::{
    ActDraft, Case, Clock, Completion, ExhibitDir, Item, Mode, NewCase, Outcome, Signer, Timestamp,
    Tool,
};
use serde_json::{Value, json};

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000 + seconds, 0).unwrap()
}

pub(crate) fn tool() -> Tool {
    Tool { name: "glovebox".into(), version: "0.1.0".into(), sha256: "00".repeat(32) }
}

pub(crate) fn draft(verb: &str) -> ActDraft {
    ActDraft {
        who: "A. Examiner".into(),
        mode: Mode::Desk,
        started: at(0),
        clock: Clock { source: "system".into(), offset_ms: None, error_ms: Some(500) },
        host: json!({"name": "desk", "serial": "X\u{1b}[2J"}),
        tool: tool(),
        verb: verb.into(),
        arguments: json!({"text": "said \"hello\"", "number": 18_446_744_073_709_551_615u64}),
        inputs: Vec::new(),
        counters_before: json!([{"disk": "sda", "wr": 0}]),
    }
}

pub(crate) fn completion(outputs: Vec<Item>) -> Completion {
    let counters_after: Value = json!([{"disk": "sda", "wr": 0}]);
    Completion { outputs, counters_after, ..Completion::new(at(1), Outcome::done()) }
}

pub(crate) fn create(dir: &Path) -> (Case, Signer) {
    let (signer, _) = Signer::generate_unprotected().unwrap();
    let new = NewCase {
        id: "2026-001".into(),
        name: "a \"test\" case".into(),
        examiner: "A. Examiner".into(),
        created: at(0),
        tool: tool(),
    };
    let case = Case::create(dir, new, signer.public_key()).unwrap();
    (case, signer)
}

/// An act that makes an exhibit with one file of `content`.
pub(crate) fn add_exhibit(case: &Case, signer: &Signer, label: &str, content: &[u8]) -> ExhibitDir {
    let act = case.begin(draft("image"), signer).unwrap();
    let exhibit = act.new_exhibit(label).unwrap();
    let item = exhibit.add_file("disk.raw", content).unwrap();
    act.finish(completion(vec![item])).unwrap();
    exhibit
}
