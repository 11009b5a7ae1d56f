//! Package databases other than Debian's, and boot images.
//!
//! Vouched for by independent tools: rpmbuild and rpm make the SQLite database and read the Berkeley DB one that
//! `db5.3_load` makes of the same headers; pacman makes its own; gzip, zstd and xz pack boot images (a real one is
//! compared with bsdtar's list in the benchmark). Only us: the container
//! `ndb` and Alpine's database, which no tool at hand writes, and LZ4's old form.

use evidence::collection::{Directory, Mounts};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use triage::parse::bytes::Bytes;
use triage::parse::rpm::sqlite::{Database, Value};
use triage::parse::rpm::{Package, bdb, ndb, parse_header};
use triage::parse::{apk, initramfs, pacman};
use triage::{Options, Report};

const SPEC: &str = include_str!("tool.spec");

fn tool(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name}");
    }
    found
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let out = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("starting the tool");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{} {arguments:?}: {errors}", program.display());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A root in which rpm installed three packages, one of two thousand files; `None` without the tools or without root.
fn rpm_root(directory: &Path) -> Option<PathBuf> {
    let (rpmbuild, rpm) = (tool("rpmbuild")?, tool("rpm")?);
    if run(Path::new("/usr/bin/id"), &["-u"]) != "0\n" {
        eprintln!("skipped: not root");
        return None;
    }
    let spec = directory.join("tool.spec");
    std::fs::write(&spec, SPEC).unwrap();
    let top = format!("_topdir {}/top", text(directory));
    let define = ["--define", &top, "--define", "_build_id_links none", "--define", "_buildhost x"];
    run(&rpmbuild, &[&["-bb"], &define[..], &[text(&spec)]].concat());
    let root = directory.join("root");
    std::fs::create_dir(&root).unwrap();
    let packages = directory.join("top/RPMS/noarch");
    let names =
        ["tool", "many", "p1"].map(|name| format!("{}/{name}-1.0-2.noarch.rpm", text(&packages)));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut arguments =
        vec!["--root", text(&root), "--dbpath", "/var/lib/rpm", "-i", "--nodeps", "--noscripts"];
    arguments.extend(names);
    run(&rpm, &arguments);
    Some(root)
}

fn examine(root: &Path) -> Report {
    let directory = std::fs::File::open(root).unwrap();
    let fs = Directory::new(directory.into(), Mounts::Stay).unwrap();
    triage::run(&fs, &Options { unreached: Some(Vec::new()), ..Options::default() })
}

fn told(report: &Report) -> Vec<(&str, String)> {
    report.findings.iter().map(|one| (one.rule.as_str(), one.path.to_string())).collect()
}

fn packages_of(for_each: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<Package> {
    let mut packages = Vec::new();
    for_each(&mut |raw| packages.push(parse_header(raw).expect("a whole header")));
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

fn sqlite_blobs(raw: &[u8]) -> Vec<Vec<u8>> {
    let mut blobs = Vec::new();
    let database = Database::open(&raw, None).unwrap();
    let odd = database.rows("Packages", &mut |row| {
        if let [_, Value::Bytes(blob)] = row {
            blobs.push(blob.clone());
        }
    });
    assert_eq!(odd, Ok(0));
    blobs
}

/// One line for each file as `rpm -qa --dump` has it: path, digest, mode.
fn listing(packages: &[Package]) -> Vec<String> {
    let files = packages.iter().flat_map(|package| &package.files);
    let mut lines: Vec<String> = files
        .map(|file| {
            let digest = if file.digest.is_empty() {
                "0".repeat(64)
            } else {
                String::from_utf8(file.digest.clone()).unwrap()
            };
            format!("{} {digest} 0{:o}", String::from_utf8(file.path.clone()).unwrap(), file.mode)
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn rpm_in_sqlite_and_berkeley_db_is_read_as_rpm_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let Some(root) = rpm_root(directory.path()) else { return };
    let raw = std::fs::read(root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    let blobs = sqlite_blobs(&raw);
    let ours = packages_of(|visit| blobs.iter().for_each(|blob| visit(blob)));
    let query = |root: &Path, backend: &str| {
        let define = format!("_db_backend {backend}");
        let rpm = tool("rpm").unwrap();
        let out = run(
            &rpm,
            &[
                "--root",
                text(root),
                "--dbpath",
                "/var/lib/rpm",
                "--define",
                &define,
                "-qa",
                "--dump",
            ],
        );
        let mut lines: Vec<String> = out
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                format!("{} {} {}", words[0], words[3], words[4])
            })
            .collect();
        lines.sort();
        lines
    };
    let theirs = query(&root, "sqlite");
    assert_eq!(listing(&ours), theirs);
    assert_eq!(theirs.len(), 2007);
    assert_eq!(ours[2].version, b"3:1.0-2");
    assert_eq!(ours[2].scripts, [b"echo hello".to_vec()]);

    // The same headers in a Berkeley DB hash that its own tool writes and rpm's reader reads.
    let Some(load) = tool("db5.3_load") else { return };
    let mut dump =
        String::from("VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    dump.push_str(" 00000000\n 03000000\n");
    for (number, blob) in (1_u32..).zip(&blobs) {
        dump.push_str(&format!(" {}\n {}\n", hex(&number.to_le_bytes()), hex(blob)));
    }
    dump.push_str("DATA=END\n");
    let old = directory.path().join("old");
    std::fs::create_dir_all(old.join("var/lib/rpm")).unwrap();
    std::fs::write(directory.path().join("dump"), dump).unwrap();
    let packages = old.join("var/lib/rpm/Packages");
    run(&load, &["-f", text(&directory.path().join("dump")), text(&packages)]);
    let raw = std::fs::read(&packages).unwrap();
    let ours = packages_of(|visit| bdb::for_each(&raw.as_slice(), visit).unwrap());
    assert_eq!(listing(&ours), query(&old, "bdb_ro"));
    assert_eq!(examine(&old).coverage.package_database, "rpm (bdb) (self-attested)");
    hostile(&raw, 40, |raw| {
        let _ = bdb::for_each(&raw, &mut |raw| drop(parse_header(raw)));
    });
    for blob in &blobs[..2] {
        hostile(blob, 2000, |raw| drop(parse_header(raw)));
    }
}

#[test]
fn an_rpm_root_is_judged_by_its_own_database() {
    let directory = tempfile::tempdir().unwrap();
    let Some(root) = rpm_root(directory.path()) else { return };
    let report = examine(&root);
    assert_eq!(report.coverage.package_database, "rpm (sqlite) (self-attested)");
    assert_eq!(report.coverage.packages, 3);
    assert_eq!(report.coverage.digests_compared, 2003);
    assert_eq!(
        told(&report),
        Vec::<(&str, String)>::new(),
        "set-ID and capability are the package's"
    );
    std::fs::write(root.join("usr/bin/pinger"), "other").unwrap();
    std::fs::write(root.join("usr/bin/stranger"), "x").unwrap();
    std::fs::write(root.join("usr/share/many/file-7"), "changed").unwrap();
    use std::os::unix::fs::PermissionsExt;
    let set_id = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(root.join("opt/p1"), set_id).unwrap();
    let mut found = examine(&root);
    found.findings.sort_by(|a, b| a.rule.cmp(&b.rule));
    let expected = [
        ("GBX-0602", "/opt/p1".to_owned()),
        ("GBX-0701", "/usr/bin/pinger".to_owned()),
        ("GBX-0702", "/usr/share/many/file-7".to_owned()),
        ("GBX-0704", "/usr/bin/stranger".to_owned()),
    ];
    assert_eq!(told(&found), expected);
    assert_eq!(found.findings[0].package.as_deref(), Some("p1 3:1.0-2"));
}

#[test]
fn a_write_ahead_log_is_read_with_its_database() {
    let Some(python) = tool("python3") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sqlite");
    // The connection is never closed, so the rows of the second transaction stand in the log alone.
    let script = "import sqlite3,sys,os\nc=sqlite3.connect(sys.argv[1])\nc.execute('pragma journal_mode=wal')\n\
        c.execute('create table Packages(hnum integer primary key, blob blob not null)')\nc.commit()\n\
        c.execute('pragma wal_checkpoint(truncate)')\n\
        [c.execute('insert into Packages(blob) values(?)',(bytes([n%256])*(n*37),)) for n in range(300)]\nc.commit()\nos._exit(0)\n";
    run(&python, &["-c", script, text(&path)]);
    let (raw, log) =
        (std::fs::read(&path).unwrap(), std::fs::read(path.with_extension("sqlite-wal")).unwrap());
    let rows = |log: Option<&dyn Bytes>| {
        let mut lengths = Vec::new();
        let raw = raw.as_slice();
        let database = Database::open(&raw, log).unwrap();
        let odd = database.rows("Packages", &mut |row| match row {
            [Value::Null, Value::Bytes(blob)] => lengths.push(blob.len()),
            other => panic!("{other:?}"),
        });
        assert_eq!(odd, Ok(0));
        lengths
    };
    assert_eq!(rows(None), Vec::<usize>::new());
    assert_eq!(rows(Some(&log.as_slice())), (0..300).map(|n| n * 37).collect::<Vec<_>>());
    hostile(&raw, 60, |raw| {
        if let Ok(database) = Database::open(&raw, Some(&log.as_slice())) {
            let _ = database.rows("Packages", &mut |_| {});
        }
    });
    hostile(&log, 20, |log| {
        let raw = raw.as_slice();
        if let Ok(database) = Database::open(&raw, Some(&log)) {
            let _ = database.rows("Packages", &mut |_| {});
        }
    });
}

/// A header with a name, a version and one file.
fn small_header() -> Vec<u8> {
    let mut store = Vec::new();
    let mut index = Vec::new();
    let mut entry = |tag: u32, kind: u32, data: &[u8]| {
        while kind == 4 && store.len() % 4 != 0 {
            store.push(0_u8);
        }
        for word in [tag, kind, store.len() as u32, 1] {
            index.extend(word.to_be_bytes());
        }
        store.extend(data);
    };
    entry(1000, 6, b"small\0");
    entry(1001, 6, b"1\0");
    entry(1002, 6, b"2\0");
    entry(1116, 4, &[0; 4]);
    entry(1117, 8, b"x\0");
    entry(1118, 8, b"/usr/bin/\0");
    let mut out = Vec::new();
    out.extend(((index.len() / 16) as u32).to_be_bytes());
    out.extend((store.len() as u32).to_be_bytes());
    [out, index, store].concat()
}

#[test]
fn ndb_by_its_description() {
    let blob = small_header();
    let mut raw = vec![0_u8; 4096];
    raw[..4].copy_from_slice(b"RpmP");
    raw[12..16].copy_from_slice(&1_u32.to_le_bytes());
    for (at, word) in
        [u32::from_le_bytes(*b"Slot"), 1, 256, blob.len() as u32 / 16 + 3].iter().enumerate()
    {
        raw[32 + at * 4..][..4].copy_from_slice(&word.to_le_bytes());
    }
    raw.extend(b"BlbS");
    for word in [1, 1, blob.len() as u32] {
        raw.extend(u32::to_le_bytes(word));
    }
    raw.extend(&blob);
    raw.extend([0; 64]);
    let found = packages_of(|visit| ndb::for_each(&raw.as_slice(), visit).unwrap());
    assert_eq!((found.len(), found[0].files[0].path.as_slice()), (1, &b"/usr/bin/x"[..]));
    hostile(&raw, 3000, |raw| {
        let _ = ndb::for_each(&raw, &mut |raw| drop(parse_header(raw)));
    });
}

#[test]
fn pacman_is_read_as_pacman_writes_it() {
    let (Some(bsdtar), Some(pacman)) = (tool("bsdtar"), tool("pacman")) else { return };
    if run(Path::new("/usr/bin/id"), &["-u"]) != "0\n" {
        eprintln!("skipped: not root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let here = |name: &str| directory.path().join(name);
    std::fs::create_dir_all(here("pk/usr/bin")).unwrap();
    std::fs::create_dir_all(here("pk/etc")).unwrap();
    std::fs::write(here("pk/usr/bin/tool"), "tool").unwrap();
    std::fs::write(here("pk/usr/bin/a b"), "blank").unwrap();
    std::fs::write(here("pk/etc/tool.conf"), "a=1\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(here("pk/usr/bin/tool"), std::fs::Permissions::from_mode(0o4755))
        .unwrap();
    let info = "pkgname = tool\npkgver = 1.0-1\narch = any\nsize = 10\nbackup = etc/tool.conf\n";
    std::fs::write(here("pk/.PKGINFO"), info).unwrap();
    let folder = here("pk");
    let options = "--options=!all,use-set,type,uid,gid,mode,time,size,md5,sha256,link";
    let mtree = here("pk/.MTREE");
    run(
        &bsdtar,
        &[
            "-czf",
            text(&mtree),
            "-C",
            text(&folder),
            "--format=mtree",
            options,
            ".PKGINFO",
            "usr",
            "etc",
        ],
    );
    let package = here("tool-1.0-1-any.pkg.tar.gz");
    run(
        &bsdtar,
        &["-czf", text(&package), "-C", text(&folder), ".MTREE", ".PKGINFO", "usr", "etc"],
    );
    let root = here("root");
    let database = root.join("var/lib/pacman");
    std::fs::create_dir_all(&database).unwrap();
    run(
        &pacman,
        &[
            "-U",
            "--root",
            text(&root),
            "--dbpath",
            text(&database),
            "--cachedir",
            text(&here("cache")),
            "--logfile",
            text(&here("log")),
            "--noconfirm",
            "--noprogressbar",
            text(&package),
        ],
    );
    let report = examine(&root);
    assert_eq!(report.coverage.package_database, "pacman (self-attested)");
    assert_eq!((report.coverage.packages, report.coverage.digests_compared), (1, 2));
    assert_eq!(told(&report), Vec::<(&str, String)>::new());
    std::fs::write(root.join("usr/bin/a b"), "other").unwrap();
    std::fs::write(root.join("usr/bin/new"), "x").unwrap();
    std::fs::write(root.join("etc/tool.conf"), "a=2\n").unwrap();
    let report = examine(&root);
    let mut found = told(&report);
    found.sort();
    // bsdtar's own modes decide whether the file with a blank is a program.
    assert_eq!(
        found,
        [("GBX-0702", "/usr/bin/a b".to_owned()), ("GBX-0704", "/usr/bin/new".to_owned())]
    );
    let raw = std::fs::read(database.join("local/tool-1.0-1/mtree")).unwrap();
    hostile(&raw, 500, |raw| drop(pacman::parse_mtree(&pacman::unpack(raw))));
    hostile(&pacman::unpack(&raw), 500, |raw| drop(pacman::parse_mtree(raw)));
}

/// A member of an archive in the "newc" form.
fn newc(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut out = b"070701".to_vec();
    let fields = [1, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    fields.iter().for_each(|field| out.extend(format!("{field:08x}").into_bytes()));
    out.extend(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    [newc(name, 0o100_755, content), newc("TRAILER!!!", 0, b"")].concat()
}

fn filtered(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut child = Command::new(tool(program)?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(out.status.success());
    Some(out.stdout)
}

#[test]
fn every_segment_of_a_boot_image_is_walked() {
    let mut image = [archive("early", b"microcode"), vec![0; 300]].concat();
    image.resize(image.len().next_multiple_of(512), 0);
    let mut expected = vec!["early".to_owned()];
    let big: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    let packers: [(&str, &[&str]); 3] =
        [("gzip", &["-c"]), ("zstd", &["-c", "-q"]), ("xz", &["-c", "--check=crc32"])];
    for (program, arguments) in packers {
        if let Some(packed) = filtered(program, arguments, &archive(program, &big)) {
            image.extend(packed);
            expected.push(program.to_owned());
        }
    }
    image.resize(image.len().next_multiple_of(4), 0);
    image.extend(archive("behind", b"#!/bin/sh\n"));
    expected.push("behind".to_owned());
    let mut names = Vec::new();
    let result = initramfs::for_each(&image.as_slice(), &mut |member| {
        names.push(String::from_utf8(member.name).unwrap());
    });
    assert_eq!((result, names), (Ok(()), expected));
    let small =
        [archive("a", b"x"), filtered("gzip", &["-c"], &archive("b", b"y")).unwrap_or_default()]
            .concat();
    hostile(&small, 3000, |raw| drop(initramfs::for_each(&raw, &mut |_| {})));
    let begun = [archive("a", b"x"), b"\x02\x21\x4c\x18\x05\0\0\0abcde".to_vec()].concat();
    hostile(&begun, 500, |raw| drop(initramfs::for_each(&raw, &mut |_| {})));
}

#[test]
fn alpine_by_its_description() {
    let text = "P:a\nV:1\nF:usr/bin\nR:x\na:0:0:4755\nZ:Q12jmj7l5rSw0yVb/vlWAYkK/YBwk=\n\n";
    assert_eq!(apk::parse(text.as_bytes()).len(), 1);
    hostile(text.as_bytes(), 2000, |raw| drop(apk::parse(raw)));
}

/// Damages the bytes in as many ways as rounds and hands each to the parser, which must neither panic nor hang.
fn hostile(raw: &[u8], rounds: u64, parse: impl Fn(&[u8])) {
    let started = std::time::Instant::now();
    for round in 0..rounds {
        let mut state = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let mut damaged = raw.to_vec();
        for _ in 0..=random(8) {
            // The front is where structure is; the rest is mostly content.
            let reach = if random(2) == 0 { damaged.len().min(256) } else { damaged.len() };
            let (at, value) = (random(reach), [0, 0xff, 0x80, random(256) as u8][random(4)]);
            damaged[at] = value;
        }
        if round % 8 == 7 {
            damaged.truncate(random(raw.len()));
        }
        parse(&damaged);
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(120), "{:?}", started.elapsed());
}
