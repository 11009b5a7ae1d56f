//! Every kind of change to a recorded case is found and named: in the list of acts, in its copy, in both.

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

const BOTH: [&str; 2] = ["acts.jsonl", "acts.copy.jsonl"];
/// Whoever tampers may know of one of the two files, or of both.
const CHANGED: [&[&str]; 3] = [&BOTH, &["acts.jsonl"], &["acts.copy.jsonl"]];

fn set_lines(dir: &Path, files: &[&str], lines: &[String]) {
    for file in files {
        fs::write(dir.join(file), lines.join("\n") + "\n").unwrap();
    }
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

/// What verification hands on is what reading the list gives, whatever became of the list.
#[test]
fn what_is_handed_on_is_what_reading_gives() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let whole = lines(&case);
    type Change<'a> = &'a dyn Fn(&mut Vec<String>);
    let changes: [Change<'_>; 5] = [
        &|_| {},
        &|lines| lines.truncate(2),
        &|lines| lines.swap(1, 2),
        // No line any more, and a line whose act is another than was signed.
        &|lines| lines[2].truncate(40),
        &|lines| lines[1] = lines[1].replace("\"act\"", "\"akt\""),
    ];
    for change in changes {
        let mut changed = whole.clone();
        change(&mut changed);
        set_lines(&case, &BOTH, &changed);
        let read = casebook::read_acts(&case).unwrap();
        for threads in [1, 3] {
            let threads = std::num::NonZeroUsize::new(threads).unwrap();
            let options = VerifyOptions { threads, ..VerifyOptions::default() };
            let mut handed = Vec::new();
            let found =
                casebook::verify_reading(&case, &options, &mut |acts| handed.extend(acts)).unwrap();
            assert_eq!(handed, read);
            let alone = verify(&case, &options).unwrap();
            assert_eq!((found.acts, &found.problems), (alone.acts, &alone.problems));
        }
    }
}

/// What is left open, torn or unnamed is told by verification as by a look at the case.
#[test]
fn leftovers_are_told_as_by_a_look() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let mut text = fs::read_to_string(case.join("acts.jsonl")).unwrap();
    text.push_str("{\"act\":{\"num");
    fs::write(case.join("acts.jsonl"), text).unwrap();
    fs::write(case.join("acts.torn-1"), "{").unwrap();
    fs::write(case.join("acts.open-1"), "{").unwrap();
    let found = verify(&case, &VerifyOptions::default()).unwrap();
    let status = casebook::status(&case).unwrap();
    assert_eq!((found.torn_bytes, status.torn_bytes), (12, 12));
    assert_eq!(found.unnamed, ["acts.torn-1"]);
    assert_eq!(status.set_aside.len(), 1);
    assert_eq!(found.open, ["acts.open-1"]);
    assert_eq!(status.open.len(), 1);
}

/// Every byte of one line, flipped in one or two ways: none can change without the act being named.
#[test]
fn a_flip_of_any_byte_of_an_act_names_it() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path().join("case").as_path());
    let case = dir.path().join("case");
    let whole = fs::read(case.join("acts.jsonl")).unwrap();
    let start = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let length = whole[start..].iter().position(|byte| *byte == b'\n').unwrap();
    for offset in start..start + length {
        for mask in [0x01u8, 0x20].into_iter().take(if offset % 7 == 0 { 2 } else { 1 }) {
            let mut changed = whole.clone();
            changed[offset] ^= mask;
            if changed[offset] == b'\n' {
                continue;
            }
            for files in CHANGED.into_iter().take(if offset % 5 == 0 { 3 } else { 1 }) {
                BOTH.iter().for_each(|file| fs::write(case.join(file), &whole).unwrap());
                files.iter().for_each(|file| fs::write(case.join(file), &changed).unwrap());
                let found = first_problem(&case);
                assert_eq!(found, Some(Place::Act(2)), "byte {offset} ^ {mask:#x} of {files:?}");
            }
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
        for files in CHANGED {
            set_lines(&case, &BOTH, &good);
            set_lines(&case, files, &changed);
            assert_eq!(first_problem(&case), Some(Place::Act(2)), "{to} in {files:?}");
        }
    }
}

#[test]
fn dropped_reordered_doubled_and_grafted_acts_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let good = lines(&case);
    let expect = |lines: Vec<&String>, act: u64, what: &str| {
        let lines: Vec<String> = lines.into_iter().cloned().collect();
        for files in CHANGED {
            set_lines(&case, &BOTH, &good);
            set_lines(&case, files, &lines);
            assert_eq!(first_problem(&case), Some(Place::Act(act)), "{what} in {files:?}");
            let error = Case::open(&case).unwrap_err();
            assert_eq!(error.kind(), casebook::ErrorKind::Corrupt, "{what} in {files:?}: {error}");
        }
    };
    expect(vec![&good[0], &good[2], &good[3]], 2, "dropped");
    expect(vec![&good[1], &good[2], &good[3]], 1, "dropped first");
    expect(vec![&good[0], &good[2], &good[1], &good[3]], 2, "reordered");
    expect(vec![&good[0], &good[1], &good[1], &good[2], &good[3]], 3, "doubled");
    let other = dir.path().join("other");
    sample(&other);
    let foreign = lines(&other);
    expect(vec![&good[0], &good[1], &foreign[2], &good[3]], 3, "grafted");
    set_lines(&case, &BOTH, &good);
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
    // Cut off one of the two, it is still in the other, and shown.
    let good = lines(&case);
    for file in BOTH {
        set_lines(&case, &BOTH, &good);
        set_lines(&case, &[file], &good[..3]);
        let result = verify(&case, &options).unwrap();
        assert!(result.holds() && result.acts == 4, "{result:?}");
        assert_eq!(result.interruptions[0].place, Place::File(file.into()));
    }
    set_lines(&case, &BOTH, &good[..3]);
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

/// An act signed anew by somebody else, everything else right: hash, chain, form.
#[test]
fn an_act_signed_with_another_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let good = lines(&case);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let act = &casebook::read_acts(&case).unwrap()[2];
    let comment = format!("sha256:{}", act.hash());
    let signed =
        minisign::sign(None, &pair.sk, act.act_bytes(), Some(comment.as_str()), None).unwrap();
    let text = signed.into_string();
    let theirs: Vec<&str> = text.lines().collect();
    let file = act.act_signature_file();
    let ours: Vec<&str> = file.lines().collect();
    let mut changed = good.clone();
    changed[2] = good[2].replace(ours[1], theirs[1]).replace(ours[3], theirs[3]);
    assert_ne!(changed[2], good[2]);
    // One half of each is no better.
    let halves = [(ours[1], theirs[1]), (ours[3], theirs[3])];
    let halves = halves.map(|(from, to)| good[2].replace(from, to));
    for line in [changed[2].clone()].into_iter().chain(halves) {
        changed[2] = line;
        for files in CHANGED {
            set_lines(&case, &BOTH, &good);
            set_lines(&case, files, &changed);
            assert_eq!(first_problem(&case), Some(Place::Act(3)), "{files:?}");
            assert!(files.len() == 2 || Case::open(&case).is_err(), "{files:?}");
        }
    }
}

#[test]
fn swapped_exhibits_are_both_named() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let [first, second] = ["001-first", "002-second"].map(|name| case.join("exhibits").join(name));
    fs::rename(&first, case.join("aside")).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::rename(case.join("aside"), &second).unwrap();
    let result = verify(&case, &VerifyOptions::default()).unwrap();
    let places: Vec<String> = result.problems.iter().map(|one| one.place.to_string()).collect();
    assert_eq!(places, ["exhibits/001-first/disk.raw", "exhibits/002-second/disk.raw"]);
    fs::rename(&second, case.join("exhibits/003-second")).unwrap();
    let result = verify(&case, &VerifyOptions::default()).unwrap();
    assert!(result.problems.iter().any(|one| one.place.to_string() == "exhibits/003-second"));
}

/// A whole `case.toml` of another case, key and all, and files beside the case.
#[test]
fn a_replaced_case_file_and_foreign_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (case, other) = (dir.path().join("case"), dir.path().join("other"));
    sample(&case);
    sample(&other);
    fs::write(case.join("notes.txt"), "mine").unwrap();
    let result = verify(&case, &VerifyOptions::default()).unwrap();
    assert!(result.holds());
    assert_eq!(result.strangers[0].place, Place::File("notes.txt".into()));
    for name in ["case.toml", "case.pub"] {
        fs::copy(other.join(name), case.join(name)).unwrap();
    }
    assert_eq!(first_problem(&case), Some(Place::Act(1)));
}

fn protected(case: &Path) -> Vec<std::path::PathBuf> {
    let mut files = ["case.toml", "case.pub", "acts.jsonl", "acts.copy.jsonl"]
        .map(|name| case.join(name))
        .to_vec();
    for exhibit in ["001-first", "002-second"] {
        files.push(case.join("exhibits").join(exhibit).join("disk.raw"));
    }
    files
}

/// No byte of a case can change unseen: not of its file, its key, its acts or its exhibits. A byte
/// of the very end of the list may look like a torn write; that is shown too.
#[test]
fn no_flipped_byte_goes_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    sample(&case);
    let files: Vec<(std::path::PathBuf, Vec<u8>)> =
        protected(&case).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..600 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (path, whole) = &files[round % files.len()];
        let at = (seed >> 33) as usize % whole.len();
        let mut changed = whole.clone();
        changed[at] ^= 1 << (seed >> 29 & 7);
        fs::write(path, &changed).unwrap();
        let shown = match verify(&case, &VerifyOptions::default()) {
            Err(_) => true,
            Ok(result) => !result.holds() || !result.interruptions.is_empty(),
        };
        assert!(shown, "byte {at} of {}", path.display());
        fs::write(path, whole).unwrap();
    }
    assert_eq!(first_problem(&case), None);
}

proptest::proptest! {
    /// Whatever stands in the files, reading a case ends and does not panic.
    #[test]
    fn any_bytes_are_survived(list: Vec<u8>, copy: Vec<u8>, toml in "\\PC{0,200}") {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("case");
        common::create(&case);
        fs::write(case.join("acts.jsonl"), &list).unwrap();
        fs::write(case.join("acts.copy.jsonl"), &copy).unwrap();
        let _ = verify(&case, &VerifyOptions::default());
        let _ = casebook::status(&case);
        let _ = casebook::read_acts(&case);
        fs::write(case.join("case.toml"), toml).unwrap();
        let _ = verify(&case, &VerifyOptions::default());
    }
}
