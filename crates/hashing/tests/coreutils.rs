//! Our manifests and trees against GNU coreutils, an independent program.
//!
//! Vouched for by an independent tool: `sha256sum` and its sisters check what we write, and we read
//! what they write.

use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hashing::{
    Algorithm, Algorithms, Boundary, Content, Manifest, SpecialKind, TreeOptions, compare,
    digest_tree,
};

const ODD: [&[u8]; 8] = [
    b"plain",
    b"with space",
    b"back\\slash",
    b"line\nfeed",
    b"\xff\xfe",
    b"-dash",
    b"*star",
    b"cr\r",
];

fn options(threads: usize) -> TreeOptions {
    TreeOptions {
        algorithms: Algorithm::ALL.into_iter().collect::<Algorithms>(),
        threads: NonZeroUsize::new(threads).unwrap(),
        boundary: Boundary::SameFileSystem,
    }
}

fn sample(root: &Path) {
    for (name, size) in ODD.iter().zip([0usize, 1, 511, 131_072, 131_073, 300_000, 7, 8]) {
        fs::write(root.join(OsStr::from_bytes(name)), vec![b'x'; size]).unwrap();
    }
    fs::create_dir(root.join("below")).unwrap();
    fs::write(root.join("below/file"), "abc").unwrap();
}

fn check(root: &Path, program: &str, text: &[u8]) -> std::process::ExitStatus {
    let list = root.parent().unwrap().join("list");
    fs::write(&list, text).unwrap();
    Command::new(program)
        .args(["--check", "--strict", "--quiet"])
        .arg(&list)
        .current_dir(root)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn coreutils_accept_our_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let report = digest_tree(&root, &options(3)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    for (program, algorithm) in [
        ("sha256sum", Algorithm::Sha256),
        ("md5sum", Algorithm::Md5),
        ("sha1sum", Algorithm::Sha1),
        ("sha512sum", Algorithm::Sha512),
    ] {
        let text = report.manifest.to_sum_text(algorithm);
        assert!(check(&root, program, &text).success(), "{program}");
    }
    // Negative control: the check does fail when a byte differs.
    fs::write(root.join("below/file"), "abd").unwrap();
    let text = report.manifest.to_sum_text(Algorithm::Sha256);
    assert!(!check(&root, "sha256sum", &text).success());
}

#[test]
fn we_read_what_coreutils_write() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let output = Command::new("find")
        .args([".", "-type", "f", "-exec", "sha256sum", "{}", "+"])
        .current_dir(&root)
        .output()
        .unwrap();
    let (theirs, problems) = Manifest::from_sum_text(&output.stdout, Algorithm::Sha256);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(theirs.len(), ODD.len() + 1);
    let ours = digest_tree(&root, &options(2)).unwrap().manifest;
    for (path, content) in theirs.iter() {
        let Some(Content::File { digests, .. }) = ours.at(&path[2..]) else { panic!("{path:?}") };
        let Content::File { digests: wanted, .. } = content else { panic!("{path:?}") };
        assert!(digests.agrees_with(wanted));
    }
}

#[test]
fn links_and_pipes_are_listed_and_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    std::os::unix::fs::symlink(".", root.join("loop")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    // Opening the pipe for reading would wait for a writer for ever: returning at all is the test.
    let report = digest_tree(root, &options(2)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.manifest.len(), 3);
    let target = b"/etc/passwd".to_vec();
    assert_eq!(report.manifest.at(b"link"), Some(&Content::Symlink { target }));
    assert_eq!(report.manifest.at(b"pipe"), Some(&Content::Special(SpecialKind::Fifo)));
}

#[test]
fn the_number_of_threads_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let one = digest_tree(dir.path(), &options(1)).unwrap().manifest;
    let many = digest_tree(dir.path(), &options(8)).unwrap().manifest;
    assert_eq!(one.to_json_lines(), many.to_json_lines());
    assert!(compare(&one, &many).is_clean());
}

#[test]
fn access_times_stay() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old");
    fs::write(&path, "x").unwrap();
    let past = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    fs::File::options().append(true).open(&path).unwrap().set_times(past).unwrap();
    digest_tree(dir.path(), &options(1)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().atime(), 0);
}
