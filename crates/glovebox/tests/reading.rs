//! The verbs that read inside evidence, run as a person runs them, on an image made by the real tools.
//!
//! Vouched for by `fls` of The Sleuth Kit (bodyfile), `sha256sum` and `md5sum` (hash, cp), and the planted tree (cat, find).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct Bench {
    directory: tempfile::TempDir,
    image: PathBuf,
}

/// Whether a tool is there; says so if not.
fn has(tool: &str) -> bool {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(tool).exists());
    if !found {
        eprintln!("skipped: no {tool}");
    }
    found
}

fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .expect("starting a tool");
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn bench() -> Option<Bench> {
    if !has("mke2fs") {
        return None;
    }
    let directory = tempfile::tempdir().expect("a folder");
    let tree = directory.path().join("tree");
    for folder in ["etc", "home/user", "usr/bin"] {
        std::fs::create_dir_all(tree.join(folder)).expect("a folder");
    }
    let files: [(&str, &[u8]); 5] = [
        ("etc/os-release", b"PRETTY_NAME=\"Bench\"\nID=bench\n"),
        ("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
        ("home/user/odd \x1b[31m name", b"escape"),
        ("home/user/zeros", &[0; 200_000]),
        ("usr/bin/tool", b"#!/bin/sh\n"),
    ];
    for (name, content) in files {
        std::fs::write(tree.join(name), content).expect("a file");
    }
    use std::os::unix::fs::PermissionsExt;
    let setuid = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(tree.join("usr/bin/tool"), setuid).expect("rights");
    std::os::unix::fs::symlink("passwd", tree.join("etc/link")).expect("a link");
    let image = directory.path().join("disk:1.img");
    std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("an image");
    run(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-d", &tree.to_string_lossy(), &image.to_string_lossy()],
    );
    Some(Bench { directory, image })
}

impl Bench {
    fn glovebox(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_glovebox"))
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("starting glovebox")
    }

    fn clean(&self, arguments: &[&str]) -> Vec<u8> {
        let out = self.glovebox(arguments);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "{arguments:?}: {errors}");
        out.stdout
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.clean(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("one record a line")).collect()
    }
}

fn lines(out: &[u8]) -> BTreeSet<Vec<u8>> {
    out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_bodyfile_is_what_fls_writes() {
    let Some(bench) = bench() else { return };
    if !has("fls") {
        return;
    }
    let ours = bench.clean(&["bodyfile", "disk:1.img:0"]);
    let theirs = run("fls", &["-r", "-m", "/", &bench.image.to_string_lossy()]);
    // fls shows control characters of names as `^` and lists a virtual directory of orphans.
    let plain = |line: &Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        !text.contains("odd ") && !text.contains("$OrphanFiles")
    };
    let ours: BTreeSet<_> = lines(&ours).into_iter().filter(plain).collect();
    let theirs: BTreeSet<_> = lines(theirs.as_bytes()).into_iter().filter(plain).collect();
    assert_eq!(ours, theirs);
    assert!(ours.len() >= 10);
}

#[test]
fn contents_come_out_byte_for_byte() {
    let Some(bench) = bench() else { return };
    assert_eq!(bench.clean(&["cat", "disk:1.img:0:/etc/passwd"]), b"root:x:0:0::/root:/bin/sh\n");
    // A path without a volume is looked up in the only system; links are followed inside it.
    assert_eq!(bench.clean(&["cat", "disk:1.img:/etc/link"]), b"root:x:0:0::/root:/bin/sh\n");
    // What is shown escaped can be typed escaped.
    assert_eq!(bench.clean(&["cat", r"disk:1.img:/home/user/odd \x1b[31m name"]), b"escape");
    assert_eq!(bench.clean(&["cat", "disk:1.img:0:/home/user/zeros"]), vec![0; 200_000]);
}

#[test]
fn conditions_choose() {
    let Some(bench) = bench() else { return };
    let names = |arguments: &[&str]| -> Vec<String> {
        bench
            .json(&[&["find", "disk:1.img:/"], arguments].concat())
            .iter()
            .filter_map(|record| Some(record.get("path")?.as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(names(&["--suid"]), ["/usr/bin/tool"]);
    assert_eq!(names(&["--type", "l"]), ["/etc/link"]);
    assert_eq!(names(&["--name", "pass*"]), ["/etc/passwd"]);
    assert_eq!(names(&["--least-size", "200000", "--type", "f"]), ["/home/user/zeros"]);
    assert_eq!(names(&["--modified", "before=2001-01-01"]), Vec::<String>::new());
    assert!(names(&["--modified", "after=2001-01-01"]).len() >= 9);
    assert_eq!(bench.glovebox(&["find", "disk:1.img:/", "--modified", "x"]).status.code(), Some(2));
}

#[test]
fn names_from_evidence_cannot_steer_a_terminal() {
    let Some(bench) = bench() else { return };
    for arguments in [
        &["ls", "disk:1.img:0:/home/user"][..],
        &["find", "disk:1.img:/"],
        &["hash", "disk:1.img:0:/home"],
        &["stat", r"disk:1.img:0:/home/user/odd \x1b[31m name"],
    ] {
        assert!(!bench.clean(arguments).contains(&0x1b), "{arguments:?}");
    }
}

#[test]
fn copies_carry_a_manifest_sha256sum_accepts() {
    let Some(bench) = bench() else { return };
    bench.clean(&["cp", "disk:1.img:/home", "disk:1.img:0:/etc", "--to", "out"]);
    let out = bench.directory.path().join("out");
    let check = Command::new("sha256sum")
        .args(["--quiet", "-c", "manifest.sha256"])
        .current_dir(&out)
        .output()
        .expect("sha256sum");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let record = std::fs::read_to_string(out.join("files.jsonl")).expect("the record");
    let odd = record.lines().find(|line| line.contains("odd ")).expect("the odd name");
    let odd: Value = serde_json::from_str(odd).expect("a record");
    assert_eq!(odd["copy"], "files-1/user/odd %1B%5B31m name");
    assert_eq!(odd["path_hex"].as_str().map(str::len), Some(2 * "/home/user/odd .[31m name".len()));
    assert_eq!(std::fs::read(out.join("files-1/user/odd %1B%5B31m name")).unwrap(), b"escape");
    use std::os::unix::fs::MetadataExt;
    let zeros = std::fs::metadata(out.join("files-1/user/zeros")).expect("a copy");
    assert_eq!(zeros.len(), 200_000);
    assert!(zeros.blocks() < 100, "zeros become a hole: {} blocks", zeros.blocks());
    // Never into a folder that is there.
    assert_eq!(bench.glovebox(&["cp", "disk:1.img:/home", "--to", "out"]).status.code(), Some(2));
}

#[test]
fn digests_inside_a_disk_are_those_of_the_files() {
    let Some(bench) = bench() else { return };
    let ours = String::from_utf8(bench.clean(&["hash", "disk:1.img:0:/etc"])).expect("text");
    let theirs =
        run("sha256sum", &[&bench.directory.path().join("tree/etc/passwd").to_string_lossy()]);
    let digest = theirs.split_whitespace().next().expect("a digest");
    assert!(ours.contains(&format!("{digest}  disk:1.img:0:/etc/passwd")), "{ours}");
}

/// Vouched for by `sha256sum` of the same bytes, cut by the test.
#[test]
fn pieces_of_files_inside_a_disk_are_those_of_the_files() {
    let Some(bench) = bench() else { return };
    let words = ["hash", "--piece", "64KiB", "disk:1.img:0:/home/user/zeros"];
    let ours = String::from_utf8(bench.clean(&words)).expect("text");
    let content = vec![0u8; 200_000];
    for (number, piece) in content.chunks(64 << 10).enumerate() {
        let path = bench.directory.path().join("piece");
        std::fs::write(&path, piece).expect("a piece");
        let theirs = run("sha256sum", &[&path.to_string_lossy()]);
        let (digest, from) = (theirs.split(' ').next().expect("a digest"), number << 16);
        let last = from + piece.len() - 1;
        assert!(ours.contains(&format!("{digest}  ")), "{ours}");
        assert!(ours.contains(&format!("offset {from}-{last}")), "{ours}");
    }
    assert_eq!(ours.lines().filter(|line| line.contains(" offset ")).count(), 4, "{ours}");
    // A folder too: each file has its own pieces, an empty or small one a single piece or none.
    let all = bench.clean(&["hash", "--piece", "512B", "disk:1.img:0:/etc"]);
    let all = String::from_utf8(all).expect("text");
    assert!(all.contains("passwd offset 0-25"), "{all}");
}

/// Vouched for by Debian's `tlsh_unittest`, the reference's own program, both for digests and for distances.
#[test]
fn fuzzy_digests_are_those_of_the_reference() {
    let Some(bench) = bench() else { return };
    if !has("tlsh_unittest") {
        return;
    }
    let folder = bench.directory.path().join("fz");
    std::fs::create_dir(&folder).expect("a folder");
    let lines: Vec<String> = (1..3000).map(|number| number.to_string()).collect();
    let mut changed = lines.clone();
    changed[700] = "another line stands here".to_owned();
    let noise: Vec<u8> =
        (0..9000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    for (name, content) in [
        ("a.txt", lines.join("\n").into_bytes()),
        ("b.txt", changed.join("\n").into_bytes()),
        ("noise", noise),
        ("short", b"short".to_vec()),
        ("zeros", vec![0; 5000]),
    ] {
        std::fs::write(folder.join(name), content).expect("a file");
    }
    let image = bench.directory.path().join("fz.img");
    std::fs::File::create(&image).and_then(|file| file.set_len(4 << 20)).expect("an image");
    let (tree, path) = (folder.to_string_lossy(), image.to_string_lossy());
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", &tree, &path]);
    let theirs = |name: &str| {
        let out = run("tlsh_unittest", &["-f", &folder.join(name).to_string_lossy()]);
        format!("T1{}", out.split_whitespace().next().expect("a digest"))
    };
    for word in ["fz", "fz.img:0:/"] {
        let records = bench.json(&["hash", "--fuzzy", word]);
        assert_eq!(records.len(), 3, "{records:?}");
        for (record, name) in records.iter().zip(["a.txt", "b.txt", "noise"]) {
            assert!(record["target"].as_str().is_some_and(|target| target.ends_with(name)));
            assert_eq!(record["tlsh"], theirs(name).as_str(), "{word} {name}");
        }
    }
    let near = theirs("a.txt");
    let records = bench.json(&["hash", "--fuzzy", "--near", &near, "fz.img:0:/", "fz/b.txt"]);
    let distances: Vec<i64> = records.iter().filter_map(|one| one["distance"].as_i64()).collect();
    let files = ["a.txt", "b.txt"].map(|name| folder.join(name).to_string_lossy().into_owned());
    let judged = run("tlsh_unittest", &["-c", &files[0], "-f", &files[1]]);
    let judged = judged.split_whitespace().find_map(|word| word.parse::<i64>().ok());
    let judged = judged.expect("a distance");
    assert!(judged > 0 && judged < 30, "{judged}");
    assert_eq!(distances, [0, judged, judged], "{records:?}");
    let out = bench.glovebox(&["hash", "--fuzzy", "--near", "T1zz", "fz"]);
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn what_is_not_there_is_named_with_a_way_out() {
    let Some(bench) = bench() else { return };
    for (arguments, said) in [
        (&["ls", "disk:1.img:7:/"][..], "no volume \"7\""),
        (&["cat", "disk:1.img:0:/nothing"], "no /nothing"),
        (&["ls", "nothing.img"], "nothing.img"),
        (&["map", "disk:1.img:0"], "a map is of a whole disk"),
    ] {
        let out = bench.glovebox(arguments);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{errors}");
    }
}

#[test]
fn a_folder_and_an_archive_are_read_like_a_disk() {
    let Some(bench) = bench() else { return };
    if !has("tar") {
        return;
    }
    let folder = bench.directory.path();
    // The layout UAC packs: the system below `[root]`.
    std::fs::create_dir(folder.join("uac")).expect("a folder");
    std::fs::rename(folder.join("tree"), folder.join("uac/[root]")).expect("a collected root");
    run(
        "tar",
        &[
            "-czf",
            &folder.join("uac.tar.gz").to_string_lossy(),
            "-C",
            &folder.to_string_lossy(),
            "uac",
        ],
    );
    for source in ["uac", "uac.tar.gz"] {
        let passwd = format!("{source}:os1:/etc/link");
        assert_eq!(bench.clean(&["cat", &passwd]), b"root:x:0:0::/root:/bin/sh\n", "{source}");
        let setuid = bench.json(&["find", &format!("{source}:os1:/"), "--suid"]);
        assert_eq!(setuid.len(), 1, "{source}");
        let body = bench.clean(&["bodyfile", &format!("{source}:os1")]);
        assert!(lines(&body).len() >= 10, "{source}");
    }
    assert_eq!(bench.glovebox(&["map", "uac"]).status.code(), Some(2));
}
