//! `glovebox hash` as a person runs it, judged by the programs whose lists it writes and reads.
//!
//! Vouched for by `sha256sum`, `md5sum` and `cksum` of coreutils, `hashdeep` of md5deep, `mtree` of NetBSD, `bsdtar` of
//! libarchive and `openssl`, each of another code base.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Whether a tool is there; says so if not.
fn has(tool: &str) -> bool {
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let found = places.iter().any(|folder| Path::new(folder).join(tool).exists());
    if !found {
        eprintln!("skipped: no {tool}");
    }
    found
}

struct Bench {
    directory: tempfile::TempDir,
    tree: PathBuf,
}

/// Names that lists like to get wrong, and one file over several blocks.
fn bench() -> Bench {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().expect("a folder");
    let tree = directory.path().join("tree");
    std::fs::create_dir_all(tree.join("d/e")).expect("a folder");
    let long: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let files: [(&[u8], &[u8]); 7] = [
        (b"a", b"abc"),
        (b"empty", b""),
        (b"d/b,c", b"comma"),
        (b"d/sp ace", b"space"),
        (b"d/back\\slash", b"back"),
        (b"d/e/\xff[*]", b"odd"),
        (b"d/e/long", &long),
    ];
    for (name, content) in files {
        let name = std::ffi::OsStr::from_bytes(name);
        std::fs::write(tree.join(name), content).expect("a file");
    }
    std::os::unix::fs::symlink("a", tree.join("link")).expect("a link");
    Bench { directory, tree }
}

impl Bench {
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .current_dir(&self.tree)
            .stdin(Stdio::null())
            .output()
            .expect("starting a program")
    }

    fn ours(&self, arguments: &[&str]) -> Output {
        let arguments = [&["hash"], arguments].concat();
        self.run(env!("CARGO_BIN_EXE_glovebox"), &arguments)
    }

    /// Our answer beside the tree.
    fn list(&self, name: &str, arguments: &[&str]) -> String {
        let out = self.ours(arguments);
        assert_eq!(out.status.code(), Some(0), "{arguments:?}: {}", error(&out));
        self.keep(name, &out.stdout)
    }

    fn keep(&self, name: &str, text: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("a list");
        path.to_str().expect("text").to_owned()
    }

    fn check(&self, list: &str) -> (Option<i32>, String) {
        let out = self.ours(&["--check", list, "."]);
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned() + &error(&out))
    }
}

fn error(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn coreutils_check_our_lists_and_we_theirs() {
    let bench = bench();
    let all = ["--with", "md5", "--with", "sha1", "--with", "sha512"];
    for (name, arguments) in [("sums", &["."][..]), ("tags", &["--tag", "."])] {
        let list = bench.list(name, arguments);
        let out = bench.run("sha256sum", &["--check", "--strict", "--quiet", &list]);
        assert!(out.status.success(), "{name}: {}", error(&out));
        assert_eq!(bench.check(&list).0, Some(0));
    }
    let list = bench.list("all", &[&all[..], &["--tag", "."]].concat());
    for program in ["md5sum", "sha1sum", "sha512sum"] {
        let out = bench.run(program, &["--check", "--quiet", &list]);
        assert!(out.status.success(), "{program}: {}", error(&out));
    }
    for (program, tag) in [("md5sum", ""), ("sha1sum", "--tag"), ("sha512sum", "-b")] {
        let line = format!("find . -type f -print0 | xargs -0 {program} {tag}");
        let out = bench.run("sh", &["-c", &line]);
        let list = bench.keep(program, &out.stdout);
        let (code, said) = bench.check(&list);
        assert_eq!(code, Some(0), "{program}: {said}");
        assert!(said.contains("7 match"), "{said}");
        // Without a target, from here, as `sha256sum --check` does.
        let out = bench.ours(&["--check", &list]);
        assert_eq!(out.status.code(), Some(0), "{}", error(&out));
    }
}

#[test]
fn hashdeep_audits_our_list_and_we_audit_its() {
    if !has("hashdeep") {
        return;
    }
    let bench = bench();
    // It follows links and lists what they lead to as another file; we record them as links.
    std::fs::remove_file(bench.tree.join("link")).expect("removing");
    let ours = bench.list("ours", &["--list", "hashdeep", "--with", "md5", "."]);
    let audit = || bench.run("hashdeep", &["-r", "-l", "-a", "-k", &ours, "."]);
    let out = audit();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), error(&out));
    let out = bench.run("hashdeep", &["-r", "-l", "-c", "md5,sha1,sha256,tiger", "."]);
    let theirs = bench.keep("theirs", &out.stdout);
    assert_eq!(bench.check(&theirs).0, Some(0), "{}", bench.check(&theirs).1);
    // Whole names, as it writes them by default.
    let out = bench.run("hashdeep", &["-r", "."]);
    let whole = bench.keep("whole", &out.stdout);
    assert_eq!(bench.check(&whole).0, Some(0), "{}", bench.check(&whole).1);

    std::fs::rename(bench.tree.join("a"), bench.tree.join("moved")).expect("moving");
    std::fs::write(bench.tree.join("d/b,c"), b"other").expect("changing");
    std::fs::remove_file(bench.tree.join("d/sp ace")).expect("removing");
    std::fs::write(bench.tree.join("new"), b"new").expect("adding");
    assert!(!audit().status.success());
    let (code, said) = bench.check(&theirs);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "changed     d/b,c",
        "missing     d/sp ace",
        "moved       moved  from a",
        "new         new",
        "4 match, 1 changed, 1 missing, 1 moved, 1 new, 0 unreadable",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
}

#[test]
fn mtree_programs_accept_our_list_and_we_theirs() {
    if !has("mtree") || !has("bsdtar") {
        return;
    }
    let bench = bench();
    let ours = bench.list("ours", &["--list", "mtree", "--with", "md5", "--with", "sha512", "."]);
    let verify = || bench.run("mtree", &["-p", ".", "-f", &ours]);
    assert!(verify().status.success(), "{}", String::from_utf8_lossy(&verify().stdout));
    let out = bench.run("mtree", &["-c", "-p", ".", "-k", "type,size,sha256,md5,link"]);
    let theirs = bench.keep("theirs", &out.stdout);
    assert_eq!(bench.check(&theirs).0, Some(0), "{}", bench.check(&theirs).1);
    let options = "!all,type,size,sha256,sha1,link";
    let out = bench.run("bsdtar", &["-cf", "-", "--format=mtree", "--options", options, "."]);
    let archive = bench.keep("archive", &out.stdout);
    assert_eq!(bench.check(&archive).0, Some(0), "{}", bench.check(&archive).1);
    std::fs::write(bench.tree.join("d/b,c"), b"other").expect("changing");
    assert!(!verify().status.success());
    for list in [theirs, archive] {
        assert_eq!(bench.check(&list).0, Some(1));
    }
}

#[test]
fn openssl_agrees_on_every_digest_it_has() {
    if !has("openssl") {
        return;
    }
    let bench = bench();
    let ours = bench.ours(&["--with", "md5", "--with", "sha1", "--with", "sha512", "d/e/long"]);
    let ours = String::from_utf8_lossy(&ours.stdout).into_owned();
    for name in ["-md5", "-sha1", "-sha256", "-sha512"] {
        let out = bench.run("openssl", &["dgst", name, "-r", "d/e/long"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let digest = text.split_whitespace().next().expect("a digest");
        assert!(ours.contains(digest), "{name}: {ours}");
    }
}

#[test]
fn known_files_are_told_from_others() {
    let bench = bench();
    let abc = "\"SHA-1\",\"MD5\",\"FileName\"\r\n\"A9993E364706816ABA3E25717850C26C9CD0D89D\",\"\",\"abc\"\r\n";
    let good = bench.keep("NSRLFile.txt", abc.as_bytes());
    let comma = String::from_utf8(bench.ours(&["--only", "md5", "d/b,c"]).stdout).expect("text");
    let bad = bench.keep("bad", &comma.as_bytes()[..32]);
    let built = bench.directory.path().join("good.set");
    let built = built.to_str().expect("text");
    let out = bench.ours(&["set", "build", built, &good]);
    assert_eq!(out.status.code(), Some(0), "{}", error(&out));
    for good in [good.as_str(), built] {
        let out = bench.ours(&["--known-good", good, "--known-bad", &bad, "."]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(1), "{text}{}", error(&out));
        assert!(error(&out).contains("1 known bad, 1 known good, 5 not known"), "{}", error(&out));
        assert!(text.lines().any(|line| line.starts_with("bad ") && line.ends_with("  d/b,c")));
        assert!(!text.contains("  a\n"), "{text}");
    }
    let database = bench.keep("rds.db", b"SQLite format 3\0rest");
    let out = bench.ours(&["--known-good", &database, "."]);
    assert_eq!(out.status.code(), Some(2));
    assert!(error(&out).contains("sqlite3"), "{}", error(&out));
}

#[test]
fn pieces_are_those_of_the_file() {
    let bench = bench();
    let out = bench.ours(&["--piece", "512K", "d/e/long"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = "tail -c +524289 d/e/long | head -c 524288 | sha256sum";
    let theirs = bench.run("sh", &["-c", line]);
    let theirs = String::from_utf8_lossy(&theirs.stdout).into_owned();
    let digest = theirs.split_whitespace().next().expect("a digest");
    assert!(text.contains(&format!("{digest}  long offset 524288-1048575")), "{text}");
    assert_eq!(text.lines().count(), 1 + 3, "{text}");
}

#[test]
fn access_times_stay() {
    use std::os::unix::fs::MetadataExt;
    let bench = bench();
    let file = bench.tree.join("a");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let times = std::fs::FileTimes::new().set_accessed(old);
    let opened = std::fs::File::options().append(true).open(&file).expect("the file");
    opened.set_times(times).expect("setting the time");
    assert_eq!(bench.ours(&["."]).status.code(), Some(0));
    assert_eq!(std::fs::metadata(&file).expect("the file").atime(), 1_000_000);
}
