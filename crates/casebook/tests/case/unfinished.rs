//! Files that are not finished: recorded as they stand, and free to grow once an act goes on with them.
//!
//! Vouched for by an independent path: the case is judged by `verify`, which reads it anew.

use crate::common;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use casebook::{Case, Signer, VerifyOptions, verify};
use serde_json::json;

const EXHIBIT: &str = "001-disk";
const PARTIAL: &str = "exhibits/001-disk/disk.raw.partial";

fn problems(dir: &Path) -> Vec<String> {
    let result = verify(dir, &VerifyOptions::default()).unwrap();
    result.problems.iter().map(ToString::to_string).collect()
}

fn grow(dir: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().append(true).open(dir.join(PARTIAL)).unwrap();
    file.write_all(bytes).unwrap();
}

/// A case with an imaging that was cut off: its writer is gone, its marker stands.
fn cut_off(dir: &Path) -> Signer {
    let (case, signer) = common::create(dir);
    let act = case.begin(common::draft("image"), &signer).unwrap();
    let exhibit = act.new_exhibit("disk").unwrap();
    fs::write(exhibit.path().join("disk.raw.partial"), b"first half").unwrap();
    drop(act);
    signer
}

/// Ends the work on the exhibit: the file gets its name and is listed.
fn finish(case: &Case, signer: &Signer) {
    let act = case.begin(common::draft("image resume"), signer).unwrap();
    act.go_on_with(EXHIBIT).unwrap();
    grow(case.dir(), b", second half");
    let folder = case.dir().join("exhibits").join(EXHIBIT);
    fs::rename(folder.join("disk.raw.partial"), folder.join("disk.raw")).unwrap();
    let (digests, size) =
        hashing::digest_file(&folder.join("disk.raw"), &hashing::Algorithms::sha256()).unwrap();
    let item = casebook::Item {
        name: format!("exhibits/{EXHIBIT}/disk.raw"),
        size_bytes: Some(size),
        digests,
        facts: serde_json::Value::Null,
    };
    let act = act.finish(common::completion(vec![item])).unwrap().act().unwrap();
    assert_eq!((act.outputs.len(), act.problems.len()), (1, 0), "{act:?}");
}

/// The order that used to fail: kill, note, resume. The note names what was left and guards it, until
/// the resumption claims it.
#[test]
fn a_note_between_a_kill_and_a_resume_does_not_stand_in_the_way() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let signer = cut_off(&dir);
    let case = Case::open(&dir).unwrap();
    let note = case.note(common::draft(""), &signer).unwrap().act().unwrap();
    let left = &note.set_aside[0].files[0];
    assert!(left.is_unfinished() && left.name == PARTIAL, "{left:?}");
    assert_eq!(problems(&dir), [""; 0]);
    // Until somebody goes on, a change shows.
    let whole = fs::read(dir.join(PARTIAL)).unwrap();
    grow(&dir, b"x");
    assert_eq!(problems(&dir).len(), 1);
    fs::write(dir.join(PARTIAL), whole).unwrap();
    assert_eq!(problems(&dir), [""; 0]);
    finish(&case, &signer);
    assert_eq!(problems(&dir), [""; 0]);
    let result = verify(&dir, &VerifyOptions::default()).unwrap();
    assert_eq!(result.exhibit_files, 1);
    // The finished file is protected as any other.
    fs::write(dir.join("exhibits/001-disk/disk.raw"), b"first half, second harf").unwrap();
    assert_eq!(problems(&dir).len(), 1);
}

/// Killed again while going on, at any moment, with notes between.
#[test]
fn a_resume_that_is_cut_off_is_an_interruption() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let signer = cut_off(&dir);
    let case = Case::open(&dir).unwrap();
    for round in 0..3 {
        if round != 1 {
            case.note(common::draft(""), &signer).unwrap();
        }
        let act = case.begin(common::draft("image resume"), &signer).unwrap();
        act.go_on_with(EXHIBIT).unwrap();
        grow(&dir, b"more");
        assert_eq!(problems(&dir), [""; 0], "live, round {round}");
        // Nobody else can go on with it meanwhile.
        let second = case.begin(common::draft("image resume"), &signer).unwrap();
        let refused = second.go_on_with(EXHIBIT).unwrap_err().to_string();
        assert!(refused.contains("is at work on it"), "{refused}");
        drop(second);
        drop(act);
        assert_eq!(problems(&dir), [""; 0], "dead, round {round}");
        assert!(!verify(&dir, &VerifyOptions::default()).unwrap().interruptions.is_empty());
    }
    case.note(common::draft(""), &signer).unwrap();
    assert_eq!(problems(&dir), [""; 0]);
    finish(&case, &signer);
    assert_eq!(problems(&dir), [""; 0]);
}

/// Stopped in order (Ctrl-C): the act itself lists what is not finished.
#[test]
fn an_act_lists_what_it_did_not_finish() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let (case, signer) = common::create(&dir);
    let act = case.begin(common::draft("image"), &signer).unwrap();
    let exhibit = act.new_exhibit("disk").unwrap();
    let log = exhibit.add_file("log", b"log").unwrap();
    let partial = exhibit.add_file("disk.raw.partial", b"first half").unwrap();
    let partial = casebook::Item { facts: json!({ "bad": 1 }), ..partial }.unfinished();
    assert!(partial.is_unfinished() && !log.is_unfinished());
    act.finish(common::completion(vec![log, partial])).unwrap();
    assert_eq!(problems(&dir), [""; 0]);
    finish(&case, &signer);
    assert_eq!(problems(&dir), [""; 0]);
    // What was finished before the going on stays protected by its own act.
    fs::write(dir.join("exhibits/001-disk/log"), b"lag").unwrap();
    assert_eq!(problems(&dir).len(), 1);
}

/// Only the holder of the key can claim: a forged line in an act or a marker frees nothing.
#[test]
fn nothing_is_freed_without_the_key() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let signer = cut_off(&dir);
    let case = Case::open(&dir).unwrap();
    case.note(common::draft(""), &signer).unwrap();
    let unknown = case.begin(common::draft("image resume"), &signer).unwrap();
    let refused = unknown.go_on_with("002-none").unwrap_err().to_string();
    assert!(refused.contains("not in the case"), "{refused}");
    assert!(unknown.go_on_with("../x").is_err());
    unknown.finish(common::completion(Vec::new())).unwrap();
    grow(&dir, b"tampered");
    let claim = json!({ "act": { "begun": "00", "exhibit": EXHIBIT }, "hash": "00" });
    fs::write(dir.join("acts.open-9"), format!("{{}}\n{claim}\n")).unwrap();
    assert_eq!(problems(&dir).len(), 1);
    // The marker that was put aside is named by an act: its claim is over.
    let old = fs::read(dir.join("acts.unfinished-1")).unwrap();
    fs::write(dir.join("acts.open-9"), old).unwrap();
    let found = problems(&dir);
    assert_eq!(found.len(), 1, "a copy of an old marker claims nothing: {found:?}");
}
