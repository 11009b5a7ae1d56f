//! Power cuts, killed writers, full media and two writers at once.
//!
//! Vouched for by an independent path: the process that checks is never the one that wrote.

use crate::common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use casebook::{Case, KeyText, OpenMarker, Signer, VerifyOptions, read_acts, status, verify};

const WRITER: &str = "CASEBOOK_TEST_WRITER";

/// Not a test by itself: the process that the tests below start and kill. It appends acts as fast
/// as it can and says after each that it is recorded.
#[test]
fn writer_process() {
    let Some(dir) = std::env::var_os(WRITER) else { return };
    let dir = Path::new(&dir);
    let key = KeyText::new(fs::read_to_string(dir.join("../key")).unwrap());
    let signer = Signer::from_unprotected(&key).unwrap();
    let case = Case::open(dir).unwrap();
    let count = std::env::var("CASEBOOK_TEST_ACTS").ok().and_then(|n| n.parse().ok());
    let exhibits = std::env::var_os("CASEBOOK_TEST_EXHIBITS").is_some();
    println!("writer ready");
    for _ in 0..count.unwrap_or(u64::MAX) {
        let act = case.begin(common::draft("image"), &signer).unwrap();
        let outputs = if exhibits { vec![write_exhibit(&act)] } else { Vec::new() };
        match act.finish(common::completion(outputs)) {
            Ok(signed) => println!("recorded {}", signed.act().unwrap().number),
            Err(error) => return println!("stopped {error}"),
        }
    }
}

/// An exhibit written in pieces, so that a kill finds it in every state.
fn write_exhibit(act: &casebook::OpenAct<'_>) -> casebook::Item {
    let exhibit = act.new_exhibit("disk").unwrap();
    let mut file = exhibit.create_file("disk.raw.partial").unwrap();
    for _ in 0..16 {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    let partial = exhibit.path().join("disk.raw.partial");
    fs::rename(&partial, exhibit.path().join("disk.raw")).unwrap();
    let (digests, size) =
        hashing::digest_file(&exhibit.path().join("disk.raw"), &hashing::Algorithms::sha256())
            .unwrap();
    casebook::Item {
        name: exhibit.item_name("disk.raw"),
        size_bytes: Some(size),
        digests,
        facts: serde_json::Value::Null,
    }
}

fn writer(dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "interruption::writer_process", "--nocapture"])
        .env(WRITER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn new_case(root: &Path) -> (std::path::PathBuf, Signer) {
    let dir = root.join("case");
    let (signer, key) = Signer::generate_unprotected().unwrap();
    fs::write(root.join("key"), key.expose()).unwrap();
    let new = casebook::NewCase {
        id: "x".into(),
        name: "x".into(),
        examiner: "x".into(),
        created: common::at(0),
        tool: common::tool(),
    };
    Case::create(&dir, new, signer.public_key()).unwrap();
    (dir, signer)
}

/// Lets a writer record `acts` acts, kills it `delay` later, and gives the last act it told of.
fn kill_after(mut child: Child, acts: usize, delay: Duration) -> u64 {
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.strip_prefix("recorded ").and_then(|n| n.parse::<u64>().ok());
    let mut last = 0;
    for _ in 0..acts {
        last = output.by_ref().map_while(Result::ok).find_map(number).expect("the writer stopped");
    }
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had told before it died counts as recorded too.
    output.map_while(Result::ok).filter_map(number).last().unwrap_or(last)
}

/// At most the act in progress is lost, and half an exhibit is an interruption that is shown, named
/// by the next act, and protected from then on.
#[test]
fn a_killed_writer_loses_at_most_the_act_in_progress() {
    let root = tempfile::tempdir().unwrap();
    let (dir, signer) = new_case(root.path());
    let (mut unfinished, mut cut_off, mut files) = (0, 0, 0);
    for round in 0..600u64 {
        // A busy machine wants more rounds and longer waits until enough of them hit.
        if round >= 60 && cut_off > 5 && files > 5 {
            break;
        }
        // 0 to 30 ms after the last word of the writer, in steps that do not divide its cycle.
        let delay = Duration::from_micros(round * 7919 % 30_000 * (1 + round / 60));
        let child = writer(&dir).env("CASEBOOK_TEST_EXHIBITS", "1").spawn().unwrap();
        let told = kill_after(child, 1, delay);
        let result = verify(&dir, &VerifyOptions::default()).unwrap();
        assert!(result.holds(), "round {round}: {:?}", result.problems);
        let recorded = read_acts(&dir).unwrap().len() as u64;
        assert!(recorded == told || recorded == told + 1, "round {round}: {recorded}, told {told}");
        let dead = status(&dir).unwrap().open;
        assert!(dead.len() <= 1, "round {round}: {dead:?}");
        let shown = result.interruptions.iter().any(|one| one.reason.contains("it had made"));
        let case = Case::open(&dir).unwrap();
        let aside = case.set_aside().unwrap();
        let act = case.note(common::draft(""), &signer).unwrap().act().unwrap();
        assert_eq!(act.set_aside, aside, "round {round}");
        assert_eq!(case.set_aside().unwrap(), []);
        let claims: Vec<_> = aside.iter().flat_map(|aside| &aside.exhibits).collect();
        assert_eq!(shown, !claims.is_empty(), "round {round}");
        unfinished += aside.len();
        cut_off += claims.len();
        for file in aside.iter().flat_map(|aside| &aside.files) {
            assert!(file.digests.iter().next().is_some(), "{file:?}");
            files += 1;
        }
    }
    let result = verify(&dir, &VerifyOptions::default()).unwrap();
    assert!(result.holds(), "{:?}", result.problems);
    assert!(unfinished > 0, "no kill hit an act in progress: the test proves nothing");
    assert!(cut_off > 5 && files > 5, "no kill hit an exhibit: the test proves nothing");
    // From now on a change to what was left shows.
    let acts = read_acts(&dir).unwrap();
    let left = acts.iter().flat_map(|act| act.act().unwrap().set_aside);
    let left = left.flat_map(|aside| aside.files).next().unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(dir.join(&left.name))
        .unwrap()
        .write_all(b"x")
        .unwrap();
    let result = verify(&dir, &VerifyOptions::default()).unwrap();
    assert_eq!(result.problems[0].place.to_string(), left.name);
}

/// A foreign exhibit stays a fault, whatever lies beside it: no marker can be made to claim it
/// without the key, and a claim cannot be taken from another act's marker.
#[test]
fn a_foreign_exhibit_fails_even_beside_an_interruption() {
    let root = tempfile::tempdir().unwrap();
    let (dir, signer) = new_case(root.path());
    let case = Case::open(&dir).unwrap();
    let act = case.begin(common::draft("image"), &signer).unwrap();
    act.new_exhibit("disk").unwrap().add_file("half", b"half").unwrap();
    let marker = fs::read(dir.join("acts.open-1")).unwrap();
    let fails = |what: &str| {
        let result = verify(&dir, &VerifyOptions::default()).unwrap();
        assert_eq!(result.problems[0].place.to_string(), "exhibits/002-planted", "{what}");
    };
    assert!(verify(&dir, &VerifyOptions::default()).unwrap().holds());
    fs::create_dir(dir.join("exhibits/002-planted")).unwrap();
    fails("an empty directory");
    fs::write(dir.join("exhibits/002-planted/x"), b"x").unwrap();
    fails("a file");
    let claim = String::from_utf8_lossy(&marker).lines().nth(1).unwrap().to_owned();
    let first = String::from_utf8_lossy(&marker).lines().next().unwrap().to_owned();
    let forged = claim.replace("001-disk", "002-planted");
    fs::write(dir.join("acts.open-2"), format!("{first}\n{forged}\n")).unwrap();
    fails("a forged claim");
    let (other, _) = Signer::generate_unprotected().unwrap();
    let foreign = tempfile::tempdir().unwrap();
    let foreign_dir = foreign.path().join("case");
    let new = casebook::NewCase {
        id: "x".into(),
        name: "x".into(),
        examiner: "x".into(),
        created: common::at(0),
        tool: common::tool(),
    };
    let foreign_case = Case::create(&foreign_dir, new, other.public_key()).unwrap();
    let foreign_act = foreign_case.begin(common::draft("image"), &other).unwrap();
    foreign_act.new_exhibit("filler").unwrap();
    foreign_act.new_exhibit("planted").unwrap();
    fs::copy(foreign_dir.join("acts.open-1"), dir.join("acts.open-2")).unwrap();
    fails("a claim signed with another key");
    // The marker of an act that has ended, put back: the act says what it made, and it made no 002.
    fs::remove_file(dir.join("acts.open-2")).unwrap();
    let second = case.begin(common::draft("image"), &signer).unwrap();
    fs::remove_dir_all(dir.join("exhibits/002-planted")).unwrap();
    assert_eq!(second.new_exhibit("planted").unwrap().name(), "002-planted");
    fs::remove_dir_all(dir.join("exhibits/002-planted")).unwrap();
    let marker = fs::read(dir.join("acts.open-2")).unwrap();
    second.finish(common::completion(Vec::new())).unwrap();
    fs::write(dir.join("acts.open-2"), marker).unwrap();
    fs::create_dir(dir.join("exhibits/002-planted")).unwrap();
    fs::write(dir.join("exhibits/002-planted/x"), b"x").unwrap();
    let result = verify(&dir, &VerifyOptions::default()).unwrap();
    assert_eq!(result.problems[0].place.to_string(), "exhibits/002-planted/x");
    drop(act);
}

/// An act that fails lists what it wrote so far by itself.
#[test]
fn an_act_that_fails_lists_what_it_left() {
    let root = tempfile::tempdir().unwrap();
    let (dir, signer) = new_case(root.path());
    let case = Case::open(&dir).unwrap();
    let act = case.begin(common::draft("cp"), &signer).unwrap();
    let exhibit = act.new_exhibit("files").unwrap();
    exhibit.add_file("one", b"one").unwrap();
    fs::create_dir(exhibit.path().join("deep")).unwrap();
    fs::write(exhibit.path().join("deep/two"), b"two").unwrap();
    let act = act.finish(common::completion(Vec::new())).unwrap().act().unwrap();
    let names: Vec<&str> = act.outputs.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["exhibits/001-files/deep/two", "exhibits/001-files/one"]);
    assert_eq!((act.exhibits.as_slice(), act.problems.len()), (&["001-files".to_owned()][..], 2));
    assert!(verify(&dir, &VerifyOptions::default()).unwrap().holds());
    fs::remove_dir_all(exhibit.path()).unwrap();
    assert!(!verify(&dir, &VerifyOptions::default()).unwrap().holds());
}

/// A power cut may leave any part of the last line, and old bytes of the medium after it.
#[test]
fn a_line_torn_at_any_byte_is_set_aside_and_the_chain_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (dir, signer) = new_case(root.path());
    let case = Case::open(&dir).unwrap();
    case.note(common::draft(""), &signer).unwrap();
    case.note(common::draft(""), &signer).unwrap();
    let path = dir.join("acts.jsonl");
    let whole = fs::read(&path).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut tails: Vec<Vec<u8>> =
        (first + 1..whole.len()).map(|n| whole[first..n].to_vec()).collect();
    tails.push(vec![0; 4096]);
    tails.push([&whole[first..first + 50], &[0; 512], b"\nold bytes\n\xff\n"].concat());
    let copy = dir.join("acts.copy.jsonl");
    for (round, tail) in tails.iter().step_by(13).chain(tails.iter().rev().take(3)).enumerate() {
        // As in a case from before there was a copy, and with one that is torn alike.
        fs::write(&path, [&whole[..first], tail].concat()).unwrap();
        fs::remove_file(&copy).unwrap();
        if round % 2 == 0 {
            fs::copy(&path, &copy).unwrap();
        }
        assert!(status(&dir).unwrap().torn_bytes > 0);
        let case = Case::open(&dir).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole[..first]);
        assert_eq!(fs::read(&copy).unwrap(), whole[..first]);
        let aside = case.set_aside().unwrap();
        let newest = aside.last().unwrap();
        assert_eq!(fs::read(dir.join(&newest.file)).unwrap(), *tail);
        let act = case.note(common::draft(""), &signer).unwrap().act().unwrap();
        assert_eq!(act.number, 2);
        assert!(act.set_aside.contains(newest));
        assert!(verify(&dir, &VerifyOptions::default()).unwrap().holds());
    }
}

#[test]
fn an_act_not_finished_is_shown_and_put_aside() {
    let root = tempfile::tempdir().unwrap();
    let (dir, signer) = new_case(root.path());
    let case = Case::open(&dir).unwrap();
    let act = case.begin(common::draft("image"), &signer).unwrap();
    assert_eq!(status(&dir).unwrap().open, [OpenMarker::Live("acts.open-1".into())]);
    // A second examiner is not held up by the open act, nor is its marker touched.
    let other = Case::open(&dir).unwrap();
    other.note(common::draft(""), &signer).unwrap();
    assert!(dir.join("acts.open-1").exists());
    drop(act);
    assert_eq!(status(&dir).unwrap().open, [OpenMarker::Dead("acts.open-1".into())]);
    let result = verify(&dir, &VerifyOptions::default()).unwrap();
    assert!(result.holds() && result.interruptions.len() == 1, "{result:?}");
    let signed = other.note(common::draft(""), &signer).unwrap().act().unwrap();
    assert_eq!(signed.set_aside[0].file, "acts.unfinished-1");
    // Changing what was put aside shows.
    fs::write(dir.join("acts.unfinished-1"), "x").unwrap();
    assert!(!verify(&dir, &VerifyOptions::default()).unwrap().holds());
}

#[test]
fn two_writers_make_one_chain() {
    let root = tempfile::tempdir().unwrap();
    let (dir, _) = new_case(root.path());
    let children: Vec<Child> =
        (0..3).map(|_| writer(&dir).env("CASEBOOK_TEST_ACTS", "20").spawn().unwrap()).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let result = verify(&dir, &VerifyOptions::default()).unwrap();
    assert!(result.holds(), "{:?}", result.problems);
    assert_eq!(result.acts, 60);
    assert!(result.interruptions.is_empty(), "{:?}", result.interruptions);
}

/// The limit is the kernel's own for the size of a file, which cuts a write short as a full disk
/// does; no privilege is needed for it.
#[test]
fn a_medium_that_fills_up_leaves_a_valid_case() {
    let root = tempfile::tempdir().unwrap();
    let (dir, signer) = new_case(root.path());
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$0\" --exact interruption::writer_process --nocapture"])
        .arg(exe)
        .env(WRITER, &dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("stopped appending an act to "), "{text}");
    let told = text.lines().filter(|line| line.starts_with("recorded ")).count();
    assert!(told > 50, "{text}");
    assert_eq!(read_acts(&dir).unwrap().len(), told);
    let status = status(&dir).unwrap();
    assert_eq!((status.torn_bytes, status.open.len()), (0, 1));
    assert!(verify(&dir, &VerifyOptions::default()).unwrap().holds());
    // With room again the case goes on, and tells of the act that could not be recorded.
    let act = Case::open(&dir).unwrap().note(common::draft(""), &signer).unwrap().act().unwrap();
    assert_eq!(act.set_aside.len(), 1);
}

/// The reserve of an open act: a file system with no byte left still takes the line that says so.
/// Needs the right to mount; without it the test says so and ends.
#[test]
fn the_end_of_an_act_is_recorded_on_a_full_medium() {
    let root = tempfile::tempdir().unwrap();
    let mount = root.path().join("medium");
    fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "none"])
        .arg(&mount)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: not allowed to mount a tmpfs");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let (dir, signer) = new_case(&mount);
        let case = Case::open(&dir).unwrap();
        let act = case.begin(common::draft("image"), &signer).unwrap();
        let exhibit = act.new_exhibit("disk").unwrap();
        let error = std::io::copy(
            &mut std::io::repeat(7),
            &mut exhibit.create_file("disk.raw.partial").unwrap(),
        )
        .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        let mut completion = common::completion(Vec::new());
        completion.problems = vec!["medium full ".repeat(1000)];
        assert_eq!(act.finish(completion).unwrap().act().unwrap().number, 1);
        // Nothing more fits, and beginning says so without harm.
        let error = case.begin(common::draft("image"), &signer).unwrap_err();
        assert!(error.is_medium_full(), "{error}");
        let status = status(&dir).unwrap();
        assert_eq!((status.acts, status.torn_bytes, status.open.len()), (1, 0, 0));
    });
    assert!(Command::new("umount").arg(&mount).status().unwrap().success());
    result.unwrap();
}
