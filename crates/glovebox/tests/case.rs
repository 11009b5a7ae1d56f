//! The case from the command line: made, filled, looked at, copied, sealed, sent and opened.
//!
//! Vouched for by independent tools where there are any: `age` and `gpg` open what is sealed to them. The rest
//! is judged by `case verify`, whose own tests are in the casebook.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("a folder") };
        desk.done(&[
            "case",
            "create",
            "web server",
            "--on",
            ".",
            "--examiner",
            "A. Examiner",
            "--id",
            "2026-014",
            "--dangerously-no-passphrase",
        ]);
        desk
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn case(&self) -> PathBuf {
        self.path().join("web-server")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("starting glovebox")
    }

    /// In the case; must end well.
    fn inside(&self, arguments: &[&str]) -> String {
        self.done(&[arguments, &["--case", "web-server"]].concat())
    }

    fn done(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        let (text, talk) =
            (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{arguments:?}: {:?}\n{text}\n{talk}", out.status.code());
        text.into_owned()
    }

    fn acts(&self) -> Vec<casebook::Act> {
        let acts = casebook::read_acts(&self.case()).expect("acts");
        acts.iter().map(|signed| signed.act().expect("an act")).collect()
    }

    fn last(&self) -> casebook::Act {
        self.acts().pop().expect("an act")
    }

    fn holds(&self) {
        let text = self.inside(&["case", "verify"]);
        assert!(text.contains("Everything recorded holds."), "{text}");
        assert!(!text.contains("not of the case"), "{text}");
    }
}

#[test]
fn notes_attachments_custody_and_contacts_are_acts() {
    let desk = Desk::new();
    desk.inside(&[
        "case",
        "note",
        "the admin said \"reboot\"",
        "--who",
        "B. Admin",
        "--why",
        "panic",
    ]);
    desk.inside(&["case", "note", "call earlier", "--lesson"]);
    desk.inside(&["case", "note", "imaging", "--cost", "3 hours"]);
    let kinds: Vec<_> = desk.acts().iter().map(|act| act.draft.arguments["kind"].clone()).collect();
    assert_eq!(kinds[1..], ["note", "lesson", "cost"]);
    assert_eq!(desk.acts()[1].draft.who, "B. Admin");
    assert!(desk.last().ended_since_boot_ms.is_some());
    assert!(desk.last().draft.host["since_boot_ms"].as_u64().is_some());

    fs::write(desk.path().join("photo.jpg"), b"a photo").expect("a file");
    fs::write(desk.path().join("odd\u{1b}name?.jpg"), b"another").expect("a file");
    desk.inside(&["case", "attach", "photo.jpg", "odd\u{1b}name?.jpg", "--label", "photos"]);
    let folder = desk.case().join("exhibits/001-photos");
    assert_eq!(fs::read(folder.join("photo.jpg")).expect("the copy"), b"a photo");
    let sums = Command::new("sha256sum")
        .args(["-c", "--strict", "manifest.sha256"])
        .current_dir(&folder)
        .output()
        .expect("sha256sum");
    assert!(sums.status.success(), "{sums:?}");
    assert!(desk.inside(&["case", "exhibit", "list"]).contains("001-photos"));

    let hand_over = [
        "case",
        "custody",
        "hand-over",
        "1",
        "--from",
        "A. Examiner",
        "--to",
        "C. Keeper",
        "--place",
        "room 1",
        "--purpose",
        "storage",
        "--condition",
        "sealed",
        "--seal",
        "S-1",
        "--seal",
        "S-2",
    ];
    let text = desk.inside(&hand_over);
    assert!(text.contains("from A. Examiner to C. Keeper"), "{text}");
    assert!(text.contains("seals: S-1, S-2"), "{text}");
    // The same hand-over again cannot be: the examiner no longer holds it.
    let again = desk.run(&[&hand_over[..], &["--case", "web-server"]].concat());
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stdout).contains("GAP: act"));

    let template = "[[contact]]\nname = \"Lead\"\norder = 1\nphones = [\"555\"]\n\n\
        [[contact]]\nname = \"Law\"\ncalled_by = \"Lead\"\n";
    fs::write(desk.path().join("people.toml"), template).expect("a file");
    desk.inside(&["contact", "add", "--template", "people.toml"]);
    desk.inside(&["contact", "add", "Provider", "--called-by", "Law", "--email", "x@example.org"]);
    desk.inside(&[
        "contact",
        "log",
        "Provider",
        "--means",
        "mail",
        "--said",
        "the address",
        "--next",
        "wait",
    ]);
    // The file to fill in is one that is read, and its list of calls has room to write.
    fs::write(desk.path().join("blank.toml"), desk.done(&["contact", "template"]))
        .expect("written");
    let blank = desk.done(&["contact", "tree", "--template", "blank.toml"]);
    assert!(blank.starts_with("Incident lead  decides"), "{blank}");
    assert!(
        blank.contains("\n            Upstream provider") && blank.contains("tel ____"),
        "{blank}"
    );
    let tree = desk.inside(&["contact", "tree"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("Lead") && lines[1].starts_with("    Law"), "{tree}");
    assert!(lines[2].starts_with("        Provider"), "{tree}");
    assert!(desk.inside(&["contact", "list"]).contains("next: wait"));
    let written = desk.inside(&["contact", "list", "--as-template"]);
    assert_eq!(casebook::contact::parse_template(&written).expect("a template").len(), 3);

    desk.inside(&["case", "clock", "--now", "2026-05-01T12:00:00Z"]);
    assert!(desk.last().draft.arguments["compared"]["system"]["offset_ms"].is_i64());
    let table = desk.inside(&["case", "export", "acts"]);
    assert_eq!(table.lines().count(), desk.acts().len() + 1, "{table}");
    let json = desk.inside(&["case", "export", "exhibits", "--as", "json"]);
    let files: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!(files.len(), 3);
    desk.holds();
}

#[test]
fn a_case_is_copied_sealed_sent_and_opened() {
    let desk = Desk::new();
    fs::write(desk.path().join("photo.jpg"), b"a photo").expect("a file");
    desk.inside(&["case", "attach", "photo.jpg"]);
    // The copy lies on the same file system here, and is told so: exit code 1.
    let out = desk.run(&["case", "copy", "second", "--case", "web-server"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(desk.last().draft.verb, "case copy");
    assert!(
        desk.done(&["case", "verify", "--case", "second"]).contains("Everything recorded holds.")
    );

    for wrong in ["ssh-ed25519 AAAA", "0x0123456789ABCDEF"] {
        let out = desk.run(&["case", "seal", "--on", ".", "--to", wrong, "--case", "web-server"]);
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&out.stderr).contains("age-keygen"), "{out:?}");
    }
    let identity = casebook::age::Identity::generate().expect("an identity");
    fs::write(desk.path().join("identity"), identity.to_file_text().as_bytes()).expect("a file");
    let recipient = identity.recipient().to_string();
    desk.inside(&["case", "seal", "--on", ".", "--to", &recipient]);
    let refused = desk.run(&["case", "note", "late", "--case", "web-server"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    // Sealed once more: another bag, no further act.
    let acts = desk.acts().len();
    desk.inside(&["case", "seal", "--on", "."]);
    assert_eq!(desk.acts().len(), acts);

    let out = desk.run(&["case", "open", "2026-014-bag.tar.age", "--to", "received"]);
    assert_eq!(out.status.code(), Some(2), "without an identity: {out:?}");
    let text = desk.done(&[
        "case",
        "open",
        "2026-014-bag.tar.age",
        "--identity",
        "identity",
        "--to",
        "received",
    ]);
    assert!(
        text.contains("SEALED by act") && text.contains("Everything recorded holds."),
        "{text}"
    );
    if let Ok(out) = Command::new("age")
        .args(["-d", "-i", "identity", "-o", "theirs.tar", "2026-014-bag.tar.age"])
        .current_dir(desk.path())
        .output()
    {
        assert!(out.status.success(), "{out:?}");
        let out = Command::new("tar").args(["-tf", "theirs.tar"]).current_dir(desk.path()).output();
        let names = String::from_utf8_lossy(&out.expect("tar").stdout).into_owned();
        assert!(names.contains("2026-014-bag/data/case.toml"), "{names}");
        assert!(!names.contains("case.key"), "{names}");
    } else {
        println!("skipped in part: no age");
    }
    desk.done(&["case", "open", "2026-014-bag", "--to", "unpacked"]);
    let reopen =
        ["case", "open", "unpacked", "--reopen", "a second disk", "--key", "web-server/case.key"];
    desk.done(&reopen);
    let note = ["case", "note", "more", "--case", "unpacked", "--key", "web-server/case.key"];
    desk.done(&note);
    fs::write(desk.path().join("2026-014-bag/data/acts.jsonl"), b"").expect("a file");
    let out = desk.run(&["case", "open", "2026-014-bag"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("DOES NOT HOLD: bag: data/acts.jsonl"));
}

/// GnuPG makes the key, opens the bag, and encrypts one that opens here.
#[test]
fn a_bag_goes_to_the_holder_of_an_openpgp_key() {
    let desk = Desk::new();
    let home = tempfile::tempdir().expect("a folder");
    let gpg = |arguments: &[&str]| {
        let out = Command::new("gpg")
            .args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "a phrase"])
            .args(["--trust-model", "always", "--homedir"])
            .arg(home.path())
            .args(arguments)
            .current_dir(desk.path())
            .stdin(Stdio::null())
            .output();
        if let Ok(out) = &out {
            assert!(out.status.success(), "{arguments:?}: {out:?}");
        }
        out.is_ok()
    };
    if !gpg(&["--quick-generate-key", "B. Reader", "ed25519", "cert", "never"]) {
        return println!("skipped: no gpg");
    }
    gpg(&["--armor", "--output", "none.asc", "--export", "B. Reader"]);
    let out = desk.run(&["case", "seal", "--on", ".", "--to", "none.asc", "--case", "web-server"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("no key fit for encryption"), "{text}");
    gpg(&["--quick-generate-key", "C. Reader", "ed25519", "cert", "never"]);
    let list = Command::new("gpg")
        .args(["--batch", "--with-colons", "--fingerprint", "--homedir"])
        .arg(home.path())
        .output()
        .expect("gpg");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let prints: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("fpr:").map(|rest| rest.trim_matches(':')))
        .collect();
    gpg(&["--quick-add-key", prints[0], "cv25519", "encr", "never"]);
    gpg(&["--quick-add-key", prints[1], "cv25519", "encr", "never"]);
    gpg(&["--armor", "--output", "b.asc", "--export", "B. Reader"]);
    gpg(&["--output", "c.pgp", "--export", "C. Reader"]);
    let age = casebook::age::Identity::generate().expect("an identity").recipient().to_string();
    let mixed =
        ["case", "seal", "--on", ".", "--to", "b.asc", "--to", &age, "--case", "web-server"];
    let out = desk.run(&mixed);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("seal for the ones first"), "{out:?}");
    let text = desk.inside(&["case", "seal", "--on", ".", "--to", "b.asc", "--to", "c.pgp"]);
    assert!(text.contains("encrypted to 2 recipients"), "{text}");
    let sealed = desk.last().draft.arguments.to_string();
    assert!(prints.iter().all(|print| sealed.contains(print)), "{sealed}");
    desk.inside(&["case", "seal", "--on", "."]);

    let bag = "2026-014-bag.tar.pgp";
    gpg(&["--output", "theirs.tar", "--decrypt", bag]);
    let tar = |arguments: &[&str]| {
        let out = Command::new("tar").args(arguments).current_dir(desk.path()).output();
        assert!(out.as_ref().is_ok_and(|out| out.status.success()), "{out:?}");
    };
    fs::create_dir(desk.path().join("theirs")).expect("a folder");
    tar(&["-xf", "theirs.tar", "-C", "theirs"]);
    let same = Command::new("diff")
        .args(["-r", "theirs/2026-014-bag", "2026-014-bag"])
        .current_dir(desk.path())
        .output()
        .expect("diff");
    assert!(same.status.success(), "{same:?}");

    gpg(&["--armor", "--output", "c.key", "--export-secret-keys", "C. Reader"]);
    fs::write(desk.path().join("phrase"), "a phrase\n").expect("a file");
    let open = |what: &str, to: &str| {
        desk.run(&[
            "case",
            "open",
            what,
            "--identity",
            "c.key",
            "--identity-passphrase-file",
            "phrase",
            "--to",
            to,
        ])
    };
    gpg(&["--recipient", "C. Reader", "--output", "again.pgp", "--encrypt", "theirs.tar"]);
    for (what, to) in [(bag, "opened"), ("again.pgp", "opened-again")] {
        let out = open(what, to);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("Everything recorded holds."), "{what}: {out:?}");
    }
    let mut changed = fs::read(desk.path().join(bag)).expect("the bag");
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(desk.path().join("changed.pgp"), changed).expect("a file");
    let out = open("changed.pgp", "not-opened");
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    fs::write(desk.path().join("phrase"), "wrong\n").expect("a file");
    let out = open(bag, "not-opened-either");
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("passphrase is wrong"), "{out:?}");
    let _ =
        Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
}

/// An image with one file, by mke2fs.
fn image(desk: &Desk) -> bool {
    let tree = desk.path().join("tree");
    fs::create_dir_all(tree.join("etc")).expect("a folder");
    fs::write(tree.join("etc/passwd"), b"root:x:0:0::/root:/bin/sh\n").expect("a file");
    let path = desk.path().join("disk.img");
    fs::File::create(&path).and_then(|file| file.set_len(8 << 20)).expect("an image");
    Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-L", "rootfs", "-d", "tree", "disk.img"])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .current_dir(desk.path())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn looking_at_evidence_is_an_act_when_a_case_is_in_use() {
    let desk = Desk::new();
    if !image(&desk) {
        return println!("skipped: no mke2fs");
    }
    for (verb, arguments) in [
        ("ls", &["disk.img:0:/etc"][..]),
        ("cat", &["disk.img:0:/etc/passwd"]),
        ("stat", &["disk.img:0:/etc/passwd"]),
        ("find", &["disk.img:0:/", "--type", "f"]),
        ("bodyfile", &["disk.img:0:/"]),
        ("map", &["disk.img"]),
    ] {
        let words = [&[verb][..], arguments].concat();
        desk.done(&words);
        let before = desk.acts().len();
        desk.inside(&words);
        let act = desk.last();
        assert_eq!(desk.acts().len(), before + 1, "{verb}");
        assert_eq!(
            (act.draft.verb.as_str(), act.outcome.result),
            (verb, casebook::OutcomeKind::Done)
        );
        assert_eq!(act.draft.inputs[0].name, "disk.img");
        if matches!(verb, "ls" | "cat" | "stat" | "find") {
            assert_eq!(act.draft.inputs[1].name, "disk.img:0", "{verb}");
            assert_eq!(act.draft.inputs[1].facts["contents"][0]["label"], "rootfs", "{verb}");
        }
    }
    let out = desk.run(&["cat", "disk.img:0:/missing", "--case", "web-server"]);
    assert_eq!(out.status.code(), Some(2));
    let act = desk.last();
    assert_eq!(act.outcome.result, casebook::OutcomeKind::Failed);
    assert!(!act.outcome.text.is_empty());
    desk.holds();
}

/// The reader of the output takes a little and waits: Ctrl-C then ends the verb and its act.
#[test]
fn a_verb_stopped_by_ctrl_c_ends_its_act() {
    let desk = Desk::new();
    if !image(&desk) {
        return println!("skipped: no mke2fs");
    }
    fs::write(desk.path().join("blob"), vec![7u8; 2 << 20]).expect("a file");
    let out = Command::new("debugfs")
        .args(["-w", "-R", "write blob big2", "disk.img"])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .current_dir(desk.path())
        .output()
        .expect("debugfs");
    assert!(out.status.success());
    let mut child = desk
        .command(&["cat", "disk.img:0:/big2", "--case", "web-server"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting glovebox");
    let mut some = [0; 100];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut some).expect("bytes");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
    assert_eq!(child.wait().expect("an end").code(), Some(2));
    let act = desk.last();
    assert_eq!(
        (act.draft.verb.as_str(), act.outcome.result),
        ("cat", casebook::OutcomeKind::Interrupted)
    );
    desk.holds();
}
