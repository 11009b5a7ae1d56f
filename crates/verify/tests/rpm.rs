//! A system that rpm installed, against an archive of its packages: as installed nothing deviates, and each change is told.
//!
//! Vouched for by independent tools: `rpmbuild`, `rpmsign` and `rpm` make packages and system; what `rpm -Va` tells of the same
//! changes is printed beside. No whole distribution of the RPM family can be had where the tests run: the packages are ours.

#[path = "../../../tests/support/rpm_packages.rs"]
mod rpm_packages;

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use archive::seal::TrustedKey;
use archive::store::{Archive, NewRpms, Sealed};
use evidence::collection::{Directory, Mounts};
use evidence::fs::tree::Limits;
use rpm_packages::Made;
use verify::{Options, Report};

fn archive_of(made: &Made) -> Sealed {
    let folder = made.path("archive");
    let archive = Archive::init(&folder, "rpm").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let keyring = made.keyring("vendor");
    // The package `loose` is nobody's that is known here.
    let new =
        NewRpms { name: "set", files: &made.signed[..2], keyring: &keyring, captured_seconds: now };
    archive.add_rpms(&new).unwrap();
    archive.catalogue(&mut |_| {}).unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = TrustedKey::parse("own", &pair.pk.to_base64()).unwrap();
    let sign = |bytes: &[u8], comment: &str| {
        minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None)
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| error.to_string())
    };
    archive.sign(&key, now, sign).unwrap();
    Sealed::open(&folder, &key, 1).unwrap()
}

fn compare(root: &Path, sealed: &Sealed) -> Report {
    let directory = Directory::new(fs::File::open(root).unwrap().into(), Mounts::Stay).unwrap();
    let options =
        Options { golden: None, limits: Limits::default(), threads: 2, unreached: Vec::new() };
    verify::run(&directory, &sealed.catalogue().unwrap(), &options).unwrap()
}

fn told(report: &Report) -> BTreeSet<(String, String)> {
    let all = report.findings.iter();
    all.map(|one| (one.rule.to_owned(), one.path.to_string())).collect()
}

/// Name, what it must be told by, what it does.
type Change = (&'static str, &'static [(&'static str, &'static str)], fn(&Path) -> bool);

fn mode(path: &Path, mode: u32) -> bool {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok()
}

const CHANGES: &[Change] = &[
    ("program altered", &[("GBV-0101", "/usr/bin/tool")], |root| {
        let path = root.join("usr/bin/tool");
        fs::write(&path, "lool").is_ok() && mode(&path, 0o4755)
    }),
    (
        "program altered, database edited to match",
        &[("GBV-0101", "/usr/share/many/file-7"), ("GBV-0505", "/var/lib/rpm/rpmdb.sqlite")],
        |root| {
            // The digest of the new content stands in the place of the old one in the database.
            let path = root.join("usr/share/many/file-7");
            let digest = |path: &Path| {
                let out = Command::new("sha256sum").arg(path).output().unwrap();
                String::from_utf8(out.stdout).unwrap()[..64].to_owned()
            };
            let old = digest(&path);
            fs::write(&path, "8").unwrap();
            let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\n\
            for n,b in list(c.execute('select hnum,blob from Packages')):\n\
            \x20c.execute('update Packages set blob=? where hnum=?',(b.replace(sys.argv[2].encode(),sys.argv[3].encode()),n))\n\
            c.commit()\n";
            let database = root.join("var/lib/rpm/rpmdb.sqlite");
            let arguments = ["-c", script, database.to_str().unwrap(), &old, &digest(&path)];
            Command::new("python3").args(arguments).status().is_ok_and(|status| status.success())
        },
    ),
    ("set-user-ID", &[("GBV-0104", "/usr/bin/pinger")], |root| {
        mode(&root.join("usr/bin/pinger"), 0o4755)
    }),
    ("group changed", &[("GBV-0105", "/usr/bin/sender")], |root| {
        let path = root.join("usr/bin/sender");
        chown(&path, None, Some(33)).is_ok() && mode(&path, 0o2755)
    }),
    ("capability given", &[("GBV-0107", "/usr/share/many/file-8")], |root| {
        let value = [1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let (path, flags) = (root.join("usr/share/many/file-8"), rustix::fs::XattrFlags::empty());
        rustix::fs::setxattr(path, "security.capability", &value, flags).is_ok()
    }),
    ("link leads elsewhere", &[("GBV-0106", "/usr/bin/alias")], |root| {
        let path = root.join("usr/bin/alias");
        fs::remove_file(&path).is_ok() && symlink("/tmp/x", path).is_ok()
    }),
    ("file missing", &[("GBV-0108", "/usr/share/many/file-9")], |root| {
        fs::remove_file(root.join("usr/share/many/file-9")).is_ok()
    }),
    ("configuration edited", &[("GBV-0201", "/etc/tool/tool.conf")], |root| {
        fs::write(root.join("etc/tool/tool.conf"), "a=2\n").is_ok()
    }),
    ("rogue program", &[("GBV-0302", "/usr/bin/rogue")], |root| {
        fs::write(root.join("usr/bin/rogue"), "\x7fELF").is_ok()
            && mode(&root.join("usr/bin/rogue"), 0o755)
    }),
    ("program at a place for data made here", &[("GBV-0302", "/var/log/tool")], |root| {
        fs::create_dir_all(root.join("var/log")).unwrap();
        fs::write(root.join("var/log/tool"), "#!/bin/sh\n").is_ok()
    }),
    ("everybody may write", &[("GBV-0103", "/usr/share/many")], |root| {
        mode(&root.join("usr/share/many"), 0o777)
    }),
];

#[test]
fn a_system_of_rpm_is_compared_with_signed_headers() {
    let Some(made) = Made::new() else { return };
    let known: Vec<&Path> = made.signed[..2].iter().map(PathBuf::as_path).collect();
    let Some(root) = made.install("root", &known) else { return };
    let sealed = archive_of(&made);
    // What its owner writes there is explained.
    fs::write(root.join("etc/tool/accounts"), "another\n").unwrap();
    let report = compare(&root, &sealed);
    assert!(told(&report).is_empty(), "{:#?}", report.findings);
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    assert_eq!(report.packages.len(), 2);
    assert!(report.coverage.packaged > 300, "{:?}", report.coverage);
    let done: Vec<&Change> = CHANGES.iter().filter(|(_, _, make)| make(&root)).collect();
    let report = compare(&root, &sealed);
    let found = told(&report);
    let wanted: BTreeSet<(String, String)> = done
        .iter()
        .flat_map(|(_, expect, _)| expect.iter())
        .map(|(rule, path)| ((*rule).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(found, wanted, "{:#?}", report.findings);
    assert!(done.len() > 8);
    let arguments =
        ["--root", root.to_str().unwrap(), "--dbpath", "/var/lib/rpm", "-Va", "--nodeps"];
    let out = Command::new("rpm").args(arguments).output().unwrap();
    let theirs = String::from_utf8_lossy(&out.stdout).into_owned();
    for (name, expect, _) in &done {
        let is_named =
            expect.iter().any(|(_, path)| theirs.lines().any(|line| line.ends_with(path)));
        eprintln!("| {name} | found | {} |", if is_named { "found" } else { "-" });
    }
}

#[test]
fn a_package_nobody_signed_is_foreign() {
    let Some(made) = Made::new() else { return };
    let all: Vec<&Path> = made.signed.iter().map(PathBuf::as_path).collect();
    let Some(root) = made.install("root", &all) else { return };
    let sealed = archive_of(&made);
    let report = compare(&root, &sealed);
    let expected = ("GBV-0601".to_owned(), "/var/lib/rpm/rpmdb.sqlite".to_owned());
    assert_eq!(told(&report), BTreeSet::from([expected]), "{:#?}", report.findings);
    assert!(report.coverage.not_judged.contains_key("files of packages not in the catalogue"));
    // The owner and group of an account whose number is root's vouch for nothing.
    fs::write(root.join("etc/group"), "root:x:0:\nmail:x:0:\n").unwrap();
    let report = compare(&root, &sealed);
    let what = "owners whose names no account of the system has";
    assert!(report.coverage.not_judged.contains_key(what), "{:?}", report.coverage);
}
