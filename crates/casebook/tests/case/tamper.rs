//! Every kind of change to a recorded case is found and named.

use crate::common;

use std::fs;
use std::path::Path;

use casebook::{Case, Place, VerifyOptions, verify};

/// Four acts; the second and third made exhibits.
fn sample(dir: &Path) -> casebook::Signer {
    let (case, signer) = common::create(dir);
    case.note(common::draft("case create"), &signer).unwrap();
    common::add_exhibit(&case, &signer, "first", b"first disk");
    common::add_exhibit(&case, &signer, "second", b"second disk");
    case.note(common::draft(""), &signer).unwrap();
    signer
}

fn first_problem(dir: &Path) -> Option<Place> {
    let result = verify(dir, &VerifyOptions::default()).unwrap();
    result.problems.first().map(|problem| problem.place.clone())
}

fn lines(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("acts.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn set_lines(dir: &Path, lines: &[String]) {
    fs::write(dir.join("acts.jsonl"), lines.join("\n") + "\n").unwrap();
}

#[test]
fn an_untouched_case_holds() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    let signer = sample(&case);
    let result = verify(&case, &VerifyOptions::default()).unwrap();
    assert!(result.holds(), "{:?}", result.problems);
    assert!(result.interruptions.is_empty(), "{:?}", result.interruptions);
    assert_eq!((result.acts, result.exhibit_files), (4, 2));
    assert_eq!(result.public_key, signer.public_key().to_string());
    let status = casebook::status(&case).unwrap();
    assert_eq!((status.acts, &status.head), (4, &result.head));
    assert_eq!(status.exhibits, ["001-first", "002-second"]);
}

/// Every byte of one line, flipped in one or two ways: none can change without the act being named.
#[test]
fn a_flip_of_any_byte_of_an_act_names_it() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path().join("case").as_path());
    let case = dir.path().join("case");
    let path = case.join("acts.jsonl");
    let whole = fs::read(&path).unwrap();
    let start = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let length = whole[start..].iter().position(|byte| *byte == b'\n').unwrap();
    for offset in start..start + length {
        for mask in [0x01u8, 0x20].into_iter().take(if offset % 7 == 0 { 2 } else { 1 }) {
            let mut changed = whole.clone();
            changed[offset] ^= mask;
            if changed[offset] == b'\n' {
                continue;
            }
            fs::write(&path, &changed).unwrap();
            assert_eq!(first_problem(&case), Some(Place::Act(2)), "byte {offset} ^ {mask:#x}");
        }
    }
}

/// The same JSON written otherwise is not the line that was recorded.
#[test]
fn another_spelling_of_a_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let good = lines(&case);
    for (from, to) in [
        (",\"hash\":", ", \"hash\":"),
        ("\"signature\":", "\"signatur\\u0065\":"),
        ("\"hash\":", "\"added\":1,\"hash\":"),
    ] {
        let mut changed = good.clone();
        changed[1] = good[1].replacen(from, to, 1);
        assert_ne!(changed[1], good[1]);
        set_lines(&case, &changed);
        assert_eq!(first_problem(&case), Some(Place::Act(2)), "{to}");
    }
}

#[test]
fn dropped_reordered_doubled_and_grafted_acts_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let good = lines(&case);
    let expect = |lines: Vec<&String>, act: u64, what: &str| {
        set_lines(&case, &lines.into_iter().cloned().collect::<Vec<_>>());
        assert_eq!(first_problem(&case), Some(Place::Act(act)), "{what}");
        let error = Case::open(&case).unwrap_err();
        assert_eq!(error.kind(), casebook::ErrorKind::Corrupt, "{what}: {error}");
    };
    expect(vec![&good[0], &good[2], &good[3]], 2, "dropped");
    expect(vec![&good[1], &good[2], &good[3]], 1, "dropped first");
    expect(vec![&good[0], &good[2], &good[1], &good[3]], 2, "reordered");
    expect(vec![&good[0], &good[1], &good[1], &good[2], &good[3]], 3, "doubled");
    let other = dir.path().join("other");
    sample(&other);
    let foreign = lines(&other);
    expect(vec![&good[0], &good[1], &foreign[2], &good[3]], 3, "grafted");
    set_lines(&case, &good);
    assert_eq!(first_problem(&case), None);
}

/// A chain cannot show that its end was cut off; a head written down elsewhere can.
#[test]
fn a_cut_end_is_found_by_the_head_on_paper() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let expected_head = Some(casebook::status(&case).unwrap().head);
    let options = VerifyOptions { expected_head, ..VerifyOptions::default() };
    assert!(verify(&case, &options).unwrap().holds());
    set_lines(&case, &lines(&case)[..3]);
    assert!(verify(&case, &VerifyOptions::default()).unwrap().holds());
    assert_eq!(verify(&case, &options).unwrap().problems[0].place, Place::Act(3));
}

#[test]
fn a_case_signed_anew_is_found_by_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    let signer = sample(&case);
    let forged = dir.path().join("forged");
    sample(&forged);
    let expected_key = Some(signer.public_key().clone());
    let options = VerifyOptions { expected_key, ..VerifyOptions::default() };
    assert!(verify(&case, &options).unwrap().holds());
    let result = verify(&forged, &options).unwrap();
    assert_eq!(result.problems[0].place, Place::File("case.toml".into()));
}

#[test]
fn changed_exhibits_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let file = case.join("exhibits/002-second/disk.raw");
    let named = Some(Place::Exhibit("exhibits/002-second/disk.raw".into()));
    fs::write(&file, b"second disc").unwrap();
    assert_eq!(first_problem(&case), named, "flipped");
    fs::write(&file, b"second disk.").unwrap();
    assert_eq!(first_problem(&case), named, "longer");
    fs::remove_file(&file).unwrap();
    assert_eq!(first_problem(&case), named, "missing");
    std::os::unix::fs::symlink("../001-first/disk.raw", &file).unwrap();
    assert_eq!(first_problem(&case), named, "a link");
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"second disk").unwrap();
    assert_eq!(first_problem(&case), None, "restored");
    fs::write(case.join("exhibits/001-first/planted"), b"").unwrap();
    let planted = Place::Exhibit("exhibits/001-first/planted".into());
    assert_eq!(first_problem(&case), Some(planted));
}

#[test]
fn a_changed_case_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let path = case.join("case.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("A. Examiner", "B. Examiner")).unwrap();
    assert_eq!(first_problem(&case), Some(Place::Act(1)));
    fs::write(&path, &text).unwrap();
    fs::write(case.join("case.pub"), "x").unwrap();
    assert_eq!(first_problem(&case), Some(Place::File("case.pub".into())));
}

#[test]
fn another_key_may_not_sign() {
    let dir = tempfile::tempdir().unwrap();
    let (case, _) = common::create(&dir.path().join("case"));
    let (other, _) = casebook::Signer::generate_unprotected().unwrap();
    let error = case.note(common::draft(""), &other).unwrap_err();
    assert!(matches!(error, casebook::Error::WrongKey { .. }), "{error}");
    assert!(common_dir_refuses_second_case(case.dir()));
}

fn common_dir_refuses_second_case(dir: &Path) -> bool {
    let (signer, _) = casebook::Signer::generate_unprotected().unwrap();
    let new = casebook::NewCase {
        id: "x".into(),
        name: "x".into(),
        examiner: "x".into(),
        created: common::at(0),
        tool: common::tool(),
    };
    Case::create(dir, new, signer.public_key()).is_err()
}

proptest::proptest! {
    /// Whatever stands in the files, reading a case ends and does not panic.
    #[test]
    fn any_bytes_are_survived(list: Vec<u8>, toml in "\\PC{0,200}") {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("case");
        common::create(&case);
        fs::write(case.join("acts.jsonl"), &list).unwrap();
        let _ = verify(&case, &VerifyOptions::default());
        let _ = casebook::status(&case);
        let _ = casebook::read_acts(&case);
        fs::write(case.join("case.toml"), toml).unwrap();
        let _ = verify(&case, &VerifyOptions::default());
    }
}
