//! Every verb that touches evidence writes its act, also when it fails, is stopped or is killed.
//!
//! Vouched for by an independent path: the case is judged by the casebook's `verify`, digests by `sha256sum`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use casebook::{Act, OutcomeKind, VerifyOptions};

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("a folder") };
        let out = desk.run(&[
            "case",
            "create",
            "c",
            "--on",
            ".",
            "--examiner",
            "E",
            "--dangerously-no-passphrase",
        ]);
        assert!(out.status.success(), "{out:?}");
        desk
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn case(&self) -> PathBuf {
        self.path().join("c")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("starting glovebox")
    }

    fn hash(&self, arguments: &[&str]) -> (Option<i32>, Act) {
        let out = self.run(&[&["hash", "--case", "c"], arguments].concat());
        (out.status.code(), self.last())
    }

    fn acts(&self) -> Vec<Act> {
        let acts = casebook::read_acts(&self.case()).expect("acts");
        acts.iter().map(|signed| signed.act().expect("an act")).collect()
    }

    fn last(&self) -> Act {
        self.acts().pop().expect("an act")
    }

    fn holds(&self) -> casebook::Verification {
        let found = casebook::verify(&self.case(), &VerifyOptions::default()).expect("a case");
        assert!(found.holds(), "{:?}", found.problems);
        assert!(found.strangers.is_empty(), "{:?}", found.strangers);
        found
    }

    /// Starts a verb and waits until its act has begun.
    fn begun(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        let command = command.args(["--case", "c"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starting glovebox");
        let until = Instant::now() + Duration::from_secs(120);
        while !self.has_marker() && child.try_wait().expect("waiting").is_none() {
            assert!(Instant::now() < until, "no act began");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }

    fn has_marker(&self) -> bool {
        let entries = std::fs::read_dir(self.case()).expect("the case");
        entries.flatten().any(|entry| {
            // Its first line is on the medium when it has a size.
            let is_marker = entry.file_name().to_string_lossy().starts_with("acts.open-");
            is_marker && entry.metadata().is_ok_and(|found| found.len() > 0)
        })
    }
}

fn sha256(bytes: &[u8]) -> String {
    hashing::digest_bytes(bytes, &hashing::Algorithms::sha256()).sha256_hex()
}

/// A file that takes minutes to read and no room.
fn endless(desk: &Desk) -> String {
    let path = desk.path().join("endless");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(1 << 40).expect("a length");
    path.to_string_lossy().into_owned()
}

#[test]
fn what_was_hashed_stands_in_the_act() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("one"), b"abc").expect("a file");
    let (code, act) = desk.hash(&["one", "--with", "md5"]);
    assert_eq!((code, act.draft.verb.as_str()), (Some(0), "hash"));
    assert_eq!(act.outcome.result, OutcomeKind::Done);
    let input = act.draft.inputs.iter().find(|item| item.name.ends_with("/one")).expect("an input");
    assert_eq!(input.digests.sha256_hex(), sha256(b"abc"));
    assert_eq!((input.size_bytes, input.digests.iter().count()), (Some(3), 2));
    assert!(input.name.starts_with('/'), "{}", input.name);
    // Without a case nothing is asked for and nothing written.
    assert_eq!(desk.run(&["hash", "one"]).status.code(), Some(0));
    assert_eq!(desk.acts().len(), 2);
    desk.holds();
}

#[test]
fn a_long_list_goes_into_the_case() {
    let desk = Desk::new();
    let tree = desk.path().join("tree");
    std::fs::create_dir(&tree).expect("a folder");
    for number in 0..30_u8 {
        std::fs::write(tree.join(format!("file-{number}")), [number]).expect("a file");
    }
    for form in [&["tree"][..], &["tree", "--list", "bsd"], &["tree", "--json"]] {
        let (code, act) = desk.hash(form);
        assert_eq!(code, Some(0), "{form:?}");
        let [output] = act.outputs.as_slice() else { panic!("{:?}", act.outputs) };
        assert_eq!(output.facts["files"], 30);
        let text = std::fs::read(desk.case().join(&output.name)).expect("the list");
        let (list, problems) = hashing::Manifest::from_json_lines(&text);
        assert!(problems.is_empty(), "{problems:?}");
        let whole = std::fs::canonicalize(&tree).expect("the tree").join("file-7");
        let found = list.at(whole.as_os_str().as_encoded_bytes());
        let Some(hashing::Content::File { digests, .. }) = found else { panic!("{found:?}") };
        assert_eq!(digests.sha256_hex(), sha256(&[7]));
    }
    desk.holds();
}

#[test]
fn comparing_names_the_list_and_the_differences() {
    let desk = Desk::new();
    let tree = desk.path().join("tree");
    std::fs::create_dir(&tree).expect("a folder");
    std::fs::write(tree.join("a"), b"a").expect("a file");
    let list = desk.run(&["hash", "tree", "--list", "sum"]).stdout;
    std::fs::write(desk.path().join("list"), &list).expect("a list");
    std::fs::write(tree.join("a"), b"b").expect("a file");
    let (code, act) = desk.hash(&["tree", "--check", "list"]);
    assert_eq!(code, Some(1));
    assert!(act.outcome.text.starts_with("0 match, 1 changed"), "{:?}", act.outcome);
    assert!(act.outcome.text.ends_with("; changed a"), "{:?}", act.outcome);
    let named =
        act.draft.inputs.iter().find(|item| item.name.ends_with("/list")).expect("the list");
    assert_eq!(named.digests.sha256_hex(), sha256(&list));
    // What fails is an act too.
    let (code, act) = desk.hash(&["missing", "tree/a"]);
    assert_eq!((code, act.outcome.result), (Some(2), OutcomeKind::Failed), "{act:?}");
    assert!(act.outcome.text.contains("missing"), "{:?}", act.outcome);
    desk.holds();
}

/// Killed without a word: an interruption, not a contradiction, and named by the next act.
#[test]
fn a_killed_hash_is_an_interruption() {
    let desk = Desk::new();
    let source = endless(&desk);
    let mut child = desk.begun(&["hash", &source]);
    child.kill().expect("killing");
    child.wait().expect("waiting");
    assert_eq!(desk.acts().len(), 1, "it was too fast to be killed");
    let found = desk.holds();
    assert!(found.interruptions.iter().any(|one| one.place.to_string() == "acts.open-1"));
    assert!(desk.run(&["case", "note", "it was killed", "--case", "c"]).status.success());
    assert_eq!(desk.last().set_aside.len(), 1);
    desk.holds();
}

/// Stopped by Ctrl-C, as early as can be: the act says so itself.
#[test]
fn a_stopped_hash_is_recorded_as_such() {
    let desk = Desk::new();
    let source = endless(&desk);
    for acts in 2..5 {
        let mut child = desk.begun(&["hash", &source]);
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        assert_eq!(child.wait().expect("waiting").code(), Some(2));
        let act = desk.last();
        assert_eq!((desk.acts().len(), act.outcome.result), (acts, OutcomeKind::Interrupted));
        assert!(desk.holds().interruptions.is_empty());
    }
}

/// What was computed before Ctrl-C is in the case: a few in the act, many as a list.
#[test]
fn a_stopped_hash_keeps_what_it_had() {
    for count in [3_u16, 30] {
        let desk = Desk::new();
        let tree = desk.path().join("tree");
        std::fs::create_dir(&tree).expect("a folder");
        for number in 0..count {
            std::fs::write(tree.join(format!("file-{number}")), b"abc").expect("a file");
        }
        // In a folder of its own: the files of one folder are read one after the other.
        std::fs::create_dir(tree.join("deep")).expect("a folder");
        std::fs::rename(endless(&desk), tree.join("deep/endless")).expect("renaming");
        let mut delay = Duration::from_millis(300);
        loop {
            let mut child = desk.begun(&["hash", "tree", "--threads", "3"]);
            std::thread::sleep(delay);
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
            assert_eq!(child.wait().expect("waiting").code(), Some(2));
            let act = desk.last();
            assert_eq!(act.outcome.result, OutcomeKind::Interrupted);
            let said = format!("stopped after {count} files; their digests are recorded");
            desk.holds();
            if act.problems.contains(&said) {
                let named = |item: &&casebook::Item| item.digests.sha256_hex() == sha256(b"abc");
                let listed = act.outputs.first().map(|one| one.facts["files"].clone());
                if count > 20 {
                    assert_eq!(listed, Some(count.into()), "{act:?}");
                } else {
                    assert_eq!(act.draft.inputs.iter().filter(named).count(), usize::from(count));
                }
                break;
            }
            delay *= 3;
            assert!(delay < Duration::from_secs(60), "nothing was kept: {act:?}");
        }
    }
}

/// A system on an image, as small as triage takes one.
fn system(desk: &Desk) -> Option<String> {
    let root = desk.path().join("root");
    std::fs::create_dir_all(root.join("etc/cron.d")).expect("a folder");
    std::fs::create_dir_all(root.join("usr/bin")).expect("a folder");
    std::fs::write(root.join("etc/os-release"), b"ID=debian\nPRETTY_NAME=Test\n").expect("a file");
    std::fs::write(root.join("etc/passwd"), b"root:x:0:0::/root:/bin/sh\n").expect("a file");
    std::fs::write(root.join("etc/cron.d/x"), b"* * * * * root /tmp/.x/run\n").expect("a file");
    for number in 0..3000 {
        std::fs::write(root.join(format!("usr/bin/program-{number}")), format!("#!{number}"))
            .expect("a file");
    }
    let image = desk.path().join("disk.img").to_string_lossy().into_owned();
    let made = Command::new("/usr/sbin/mkfs.ext4")
        .args(["-q", "-F", "-d"])
        .arg(&root)
        .args([&image, "64M"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mkfs.ext4");
        return None;
    }
    Some(image)
}

#[test]
fn triage_is_an_act_from_its_beginning() {
    let desk = Desk::new();
    let Some(image) = system(&desk) else { return };
    // Killed from its beginning on, ever later, until it is too late.
    let (mut killed, mut delay) = (0, Duration::ZERO);
    let whole = loop {
        let mut child = desk.begun(&["triage", &image]);
        std::thread::sleep(delay);
        child.kill().expect("killing");
        child.wait().expect("waiting");
        let found = desk.holds();
        let act = desk.last();
        if act.draft.verb == "triage" {
            break act;
        }
        assert!(!found.interruptions.is_empty(), "a killed triage does not show");
        killed += 1;
        delay = delay * 2 + Duration::from_millis(10);
        assert!(killed < 20, "it never ended");
    };
    assert!(killed > 0, "no kill hit it: the test proves nothing");
    assert_eq!(whole.set_aside.is_empty(), killed == 0);
    assert!(whole.outcome.text.ends_with("findings"), "{:?}", whole.outcome);
    assert!(whole.draft.started.as_str() < whole.ended.as_str());
    let output = whole.outputs.iter().find(|item| item.name.ends_with("/triage.jsonl"));
    assert!(output.is_some_and(|item| item.size_bytes > Some(0)), "{:?}", whole.outputs);
    // A triage that fails leaves its act.
    let out = desk.run(&["triage", "no-such-image", "--case", "c"]);
    assert_eq!((out.status.code(), desk.last().outcome.result), (Some(2), OutcomeKind::Failed));
    desk.holds();
}

/// Ctrl-C, a note, and on: the order in which a case used to contradict itself.
#[test]
fn a_note_between_a_kill_and_a_resumed_image_leaves_the_case_whole() {
    let desk = Desk::new();
    let source = desk.path().join("source.img");
    let bytes: Vec<u8> = (0..160_u32 << 18)
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    std::fs::write(&source, &bytes).expect("a source");
    let source = source.to_string_lossy().into_owned();
    let journal = desk.case().join("exhibits/001-source/image.journal");
    for signal in ["-KILL", "-INT"] {
        let arguments: &[&str] = if signal == "-KILL" {
            &["image", &source, "--format", "raw,e01"]
        } else {
            &["image", "resume", "1"]
        };
        let lines = || {
            std::fs::read(&journal).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
        };
        let before = lines();
        let mut child = desk.begun(arguments);
        while lines() <= before + usize::from(before == 0)
            && child.try_wait().expect("waiting").is_none()
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        let id = child.id().to_string();
        let _sent = Command::new("kill").args([signal, &id]).status();
        child.wait().expect("waiting");
        desk.holds();
        assert!(desk.run(&["case", "note", "meanwhile", "--case", "c"]).status.success());
        desk.holds();
    }
    let out = desk.run(&["image", "resume", "1", "--case", "c"]);
    // The second stop may have come too late; then there is nothing left to go on with.
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() || said.contains("no interrupted imaging"), "{said}");
    desk.holds();
    let image = std::fs::read(desk.case().join("exhibits/001-source/image.raw")).expect("raw");
    assert!(image == bytes, "the image is not the source");
}
