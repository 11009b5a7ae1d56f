//! `glovebox receive`, `image --to receiver:` and `image --to-disk`, run as a person runs them.
//!
//! Vouched for by the bytes of the source and by the case's own verification; of the disk, by the kernel's loop device.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    command.stdin(Stdio::null());
    command
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn content(megabytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(megabytes << 20).collect()
}

fn new_case(folder: &Path, name: &str) -> PathBuf {
    let place = text(folder);
    let create = ["case", "create", name, "--on", &place, "--examiner", "E", "--no-passphrase"];
    let made = program().args(create).output().expect("starting glovebox");
    assert!(made.status.success(), "{}", said(&made));
    folder.join(name)
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&[out.stdout.clone(), out.stderr.clone()].concat()).into_owned()
}

fn records(out: &Output) -> Vec<Value> {
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn acts(case: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(case.join("acts.jsonl")).expect("acts");
    lines
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["act"].clone()
        })
        .collect()
}

fn verified(case: &Path) {
    let out = program().args(["case", "verify", "--case", &text(case)]).output().expect("starting");
    assert!(out.status.success(), "{}", said(&out));
}

/// A receiver at work: its address, and its code in a file.
fn receiver(case: &Path, folder: &Path) -> (Child, String, PathBuf) {
    let mut child = program()
        .args(["receive", "--listen", "127.0.0.1:0", "--json", "--case", &text(case)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting a receiver");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("its first line");
    let first: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(first["type"], "receiving");
    // What it says further is read, so that it never waits for us.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let code = folder.join("code");
    std::fs::write(&code, first["code"].as_str().expect("a code")).expect("writing the code");
    (child, first["address"].as_str().expect("an address").to_owned(), code)
}

#[test]
fn an_image_goes_into_two_cases_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, there) = (new_case(folder.path(), "here"), new_case(folder.path(), "there"));
    let (source, bytes) = (folder.path().join("disk.img"), content(9));
    std::fs::write(&source, &bytes).expect("a source");
    let (mut child, address, code) = receiver(&there, folder.path());
    let to = format!("receiver:{address}");
    // Somebody with another code gets nothing, and is told before a byte is read.
    let other = folder.path().join("other");
    std::fs::write(&other, "0000-0000-0000-0000-0000-0000-0000").expect("a code");
    let image = |code: &Path| {
        let (case, source, code) = (text(&here), text(&source), text(code));
        let words =
            ["image", &source, "--case", &case, "--to", &to, "--code-file", &code, "--json"];
        program().args(words).output().expect("starting glovebox")
    };
    let out = image(&other);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    let out = image(&code);
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    let record = records(&out).into_iter().find(|one| one["type"] == "imaged").expect("an answer");
    assert_eq!(record["verified"], true);
    let receipt = &record["copies"][1]["elsewhere"]["receipt"];
    assert!(child.wait().expect("the receiver").success());
    let received = there.join("exhibits/001-disk/image.raw");
    assert!(std::fs::read(&received).expect("there") == bytes);
    assert!(!there.join("exhibits/001-disk/receive.state").exists());
    // Both records say the same of the same connection.
    let theirs = acts(&there).into_iter().find(|act| act["verb"] == "receive").expect("an act");
    let ours = acts(&here).into_iter().rfind(|act| act["verb"] == "image").expect("an act");
    let sha256 = &theirs["outputs"][0]["digests"];
    assert_eq!(*sha256, ours["outputs"][1]["digests"], "{theirs} {ours}");
    let elsewhere = &ours["outputs"][1]["facts"]["elsewhere"];
    let connections =
        theirs["inputs"][0]["facts"]["first"].as_array().expect("connections").clone();
    assert!(connections.iter().any(|one| one["handshake"] == elsewhere["handshake"]), "{theirs}");
    assert_eq!(*receipt, elsewhere["receipt"]);
    assert_eq!(receipt["exhibit"], "001-disk");
    verified(&here);
    verified(&there);
    // The reports of both say it to people: where the copy went, and what its sender said it is.
    let report = |case: &Path, form: &str| {
        let words = ["report", "--case", &text(case), "--format", form];
        let out = program().args(words).output().expect("starting glovebox");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let handshake = elsewhere["handshake"].as_str().expect("a handshake");
    for form in ["html", "text", "json"] {
        let (ours, theirs) = (report(&here, form), report(&there, form));
        assert!(ours.contains(&to) && ours.contains(handshake), "{form}: {ours}");
        assert!(
            theirs.contains("sender_says source") || theirs.contains("sender says source"),
            "{form}: {theirs}"
        );
        assert!(theirs.contains("disk.img"), "{form}: {theirs}");
    }
}

#[test]
fn a_receiver_killed_in_the_middle_is_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, there) = (new_case(folder.path(), "here"), new_case(folder.path(), "there"));
    let (source, bytes) = (folder.path().join("disk.img"), content(72));
    std::fs::write(&source, &bytes).expect("a source");
    let (mut child, address, code) = receiver(&there, folder.path());
    let to = format!("receiver:{address}");
    let mut image = program()
        .args(["image", &text(&source), "--case", &text(&here), "--to", &to])
        .args(["--code-file", &text(&code), "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting glovebox");
    // Both ends die once the first checkpoint of the journal is there.
    let partial = there.join("exhibits/001-disk/image.raw.partial");
    let journal = here.join("exhibits/001-disk/image.journal");
    let begun = std::time::Instant::now();
    let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    while lines(&journal) < 2 && begun.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = image.kill();
    let _ = child.kill();
    let _ = (image.wait(), child.wait());
    if !partial.exists() {
        println!("skipped: this machine was too fast for the kill");
        return;
    }
    let (mut child, address, code) = receiver(&there, folder.path());
    // The receiver has another port now, and the sender is told where.
    let out = program()
        .args(["image", "resume", "1", "--case", &text(&here), "--json"])
        .args(["--to", &format!("receiver:{address}"), "--code-file", &text(&code)])
        .output()
        .expect("starting glovebox");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    assert!(child.wait().expect("the receiver").success());
    assert!(std::fs::read(there.join("exhibits/001-disk/image.raw")).expect("there") == bytes);
    assert!(std::fs::read(here.join("exhibits/001-disk/image.raw")).expect("here") == bytes);
    assert!(!partial.exists());
    verified(&here);
    verified(&there);
}

/// A loop device over a file, taken away at the end.
struct Loop {
    name: String,
    file: PathBuf,
}

impl Loop {
    fn over(file: &Path, megabytes: u64) -> Option<Self> {
        std::fs::write(file, vec![0xAA; (megabytes << 20) as usize]).expect("a file");
        let out = Command::new("losetup").args(["--find", "--show", &text(file)]).output().ok()?;
        let name = String::from_utf8_lossy(&out.stdout).trim().strip_prefix("/dev/")?.to_owned();
        Some(Self { name, file: file.to_owned() })
    }

    fn content(&self) -> Vec<u8> {
        let _ = Command::new("sync").status();
        std::fs::read(&self.file).expect("the file behind it")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &format!("/dev/{}", self.name)]).status();
    }
}

#[test]
fn a_disk_is_cloned_onto_another_by_permit() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = new_case(folder.path(), "c");
    let (source, bytes) = (folder.path().join("disk.img"), content(5));
    std::fs::write(&source, &bytes).expect("a source");
    let Some(disk) = Loop::over(&folder.path().join("behind"), 7) else {
        println!("skipped: no loop devices");
        return;
    };
    let image = |disk: &str, serial: &str, more: &[&str]| {
        let (case, source) = (text(&case), text(&source));
        let words = ["image", &source, "--case", &case, "--json", "--to-disk", disk];
        let permit = ["--to-model", "none", "--to-serial", serial];
        program().args(words).args(permit).args(more).output().expect("starting glovebox")
    };
    // Another serial number than the disk's: not a byte.
    let out = image(&disk.name, "S1", &[]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(said(&out).contains("serial"), "{}", said(&out));
    assert!(disk.content().iter().all(|byte| *byte == 0xAA));
    // A disk that is too small: not a byte.
    let small = Loop::over(&folder.path().join("small"), 4).expect("a second one");
    let out = image(&small.name, "none", &[]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(said(&out).contains("larger"), "{}", said(&out));
    assert!(small.content().iter().all(|byte| *byte == 0xAA));
    // One that is in use is refused by the kernel.
    let holder = std::fs::File::options()
        .read(true)
        .custom_flags_exclusive()
        .open(format!("/dev/{}", disk.name))
        .expect("opening it exclusively");
    let out = image(&disk.name, "none", &[]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    drop(holder);
    assert!(disk.content().iter().all(|byte| *byte == 0xAA));
    // As it should be; what lies behind is left, then wiped.
    for (more, behind) in [(&[][..], 0xAA), (&["--wipe-rest"][..], 0)] {
        let out = image(&disk.name, "none", more);
        assert_eq!(out.status.code(), Some(0), "{}", said(&out));
        let found = disk.content();
        assert!(found[..bytes.len()] == bytes[..]);
        assert!(found[bytes.len()..].iter().all(|byte| *byte == behind));
        let act = acts(&case).into_iter().last().expect("an act");
        let clone = &act["outputs"][1]["facts"]["elsewhere"];
        assert_eq!(clone["rest"], if behind == 0 { "wiped" } else { "left" });
        assert_eq!(clone["rest_bytes"], 2 << 20);
        // Through the device too, and not only through the file behind it.
        let device = std::fs::File::open(format!("/dev/{}", disk.name)).expect("the device");
        let mut first = [0; 512];
        device.read_exact_at(&mut first, 0).expect("reading");
        assert!(first[..] == bytes[..512]);
    }
    verified(&case);
}

/// Opening so that the kernel lets nobody else open exclusively.
trait Exclusive {
    fn custom_flags_exclusive(&mut self) -> &mut Self;
}

impl Exclusive for std::fs::OpenOptions {
    fn custom_flags_exclusive(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        self.custom_flags(rustix::fs::OFlags::EXCL.bits() as i32)
    }
}
