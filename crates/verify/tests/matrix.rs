//! Real Debian systems against an archive made from the very packages they were installed from: pristine ones have nothing
//! unexplained, and each of many changes made as root is told at its place.
//!
//! Vouched for by an independent path: mmdebstrap, apt and dpkg made the systems; what `debsums`, `dpkg --verify` and AIDE
//! find of the same changes is told beside (`docs/benchmarks/verify.md`). Needs root, mmdebstrap and a mirror the first time.

mod daily;
#[path = "../../../tests/support/debian_root.rs"]
mod debian_root;
mod tampers;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use archive::seal::TrustedKey;
use archive::store::{Archive, Catalogue, Listing, NewMirror, Sealed, Source, Want};
use debian_root::{DebianRoot, debian, debian_again};
use evidence::collection::{Directory, Mounts};
use evidence::fs::tree::Limits;
use verify::baseline::{Baseline, Taking};
use verify::{Options, Report};

/// An archive with all a system was made from, signed.
fn archive_of(suite: &str, system: &DebianRoot, into: &Path) -> Option<Sealed> {
    let keyring =
        ["gpg", "pgp"].map(|ending| format!("/usr/share/keyrings/debian-archive-keyring.{ending}"));
    let Some(keyring) = keyring.iter().find_map(|path| std::fs::read(path).ok()) else {
        eprintln!("skipped: no debian-archive-keyring");
        return None;
    };
    let status = std::fs::read(system.root.join("var/lib/dpkg/status")).unwrap();
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
    let wanted: BTreeSet<Want> = archive::debian::database::parse_status(&status)
        .iter()
        .map(|one| Want::Exactly(text(&one.name), text(&one.version), text(&one.architecture)))
        .collect();
    let archive = Archive::init(into, "matrix").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let added = archive
        .add_mirror(&NewMirror {
            name: "debian",
            suites: &[suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")],
            components: &["main".to_owned()],
            architecture: "amd64",
            source: Source::Lists(system.lists.clone()),
            package_folders: std::slice::from_ref(&system.debs),
            keyring: &keyring,
            wanted: &wanted,
            captured_seconds: now.as_secs(),
        })
        .unwrap();
    assert!(added.foreign.is_empty() && added.packages == wanted.len(), "{added:?}");
    let begun = std::time::Instant::now();
    let made = archive.catalogue(&mut |_| {}).unwrap();
    eprintln!("{suite}: {made:?} in {:?}", begun.elapsed());
    let (listing, problems) = verify::manifest(&tree(&system.root), "fresh", Limits::default(), 2);
    assert!(problems.is_empty(), "{problems:?}");
    archive.add_golden("fresh", &listing).unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = TrustedKey::parse("own", &pair.pk.to_base64()).unwrap();
    archive
        .sign(&key, now.as_secs(), |bytes, comment| {
            minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None)
                .map(minisign::SignatureBox::into_string)
                .map_err(|error| error.to_string())
        })
        .unwrap();
    Some(Sealed::open(into, &key, 1).unwrap())
}

fn tree(root: &Path) -> Directory {
    Directory::new(std::fs::File::open(root).unwrap().into(), Mounts::Stay).unwrap()
}

fn compare(root: &Path, catalogue: &Catalogue, golden: Option<&Listing>) -> Report {
    let options = Options { golden, limits: Limits::default(), threads: 2, unreached: Vec::new() };
    verify::run(&tree(root), catalogue, &options).unwrap()
}

/// Rule and path of each finding.
fn told(report: &Report) -> BTreeSet<(String, String)> {
    let all = report.findings.iter();
    all.map(|one| (one.rule.to_owned(), one.path.to_string())).collect()
}

#[test]
fn pristine_systems_have_nothing_unexplained_and_every_change_is_told() {
    for suite in ["bookworm", "trixie"] {
        let Some(system) = debian(suite) else { return };
        let folder = tempfile::tempdir().unwrap();
        let Some(sealed) = archive_of(suite, &system, folder.path()) else { return };
        let catalogue = sealed.catalogue().unwrap();
        let begun = std::time::Instant::now();
        let report = compare(&system.root, &catalogue, None);
        eprintln!("{suite}: {:?} in {:?}", report.coverage, begun.elapsed());
        assert!(report.findings.is_empty(), "{suite}: {:#?}", told(&report));
        assert!(report.problems.is_empty(), "{suite}: {:#?}", report.problems);
        assert!(report.coverage.packaged > 10_000 && report.coverage.unexplained == 0);
        // With a fresh install's manifest the compiled Python is judged too.
        let golden = sealed.golden("fresh").unwrap();
        let report = compare(&system.root, &catalogue, Some(&golden));
        assert!(report.findings.is_empty(), "{suite}: {:#?}", told(&report));
        assert!(!report.coverage.not_judged.keys().any(|what| what.contains("Python")));
        if suite == "bookworm" {
            daily_use(&system, &catalogue);
            match debian_again(suite) {
                Some(other) => {
                    let golden = independent(&system, &other, &catalogue);
                    every_change(&system, &catalogue, &golden);
                }
                None => every_change(&system, &catalogue, &golden),
            }
        }
    }
}

/// The manifest of another install of the same packages leaves nothing unexplained and judges all it can; and what two
/// installs made apart from each other differ in is a handful of names.
fn independent(system: &DebianRoot, other: &DebianRoot, catalogue: &Catalogue) -> Listing {
    let (golden, problems) = verify::manifest(&tree(&other.root), "other", Limits::default(), 2);
    assert!(problems.is_empty(), "{problems:?}");
    let report = compare(&system.root, catalogue, Some(&golden));
    assert!(report.findings.is_empty() && report.problems.is_empty(), "{:#?}", told(&report));
    assert!(!report.coverage.not_judged.keys().any(|what| what.contains("Python")));
    let taking = Taking {
        name: "first",
        taken_seconds: 0,
        ports: None,
        limits: Limits::default(),
        threads: 2,
    };
    let (baseline, problems) = Baseline::take(&tree(&system.root), &taking).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let (facts, files) = baseline.to_files().unwrap();
    assert_eq!(Baseline::parse(&facts, &files).unwrap(), baseline);
    let options =
        Options { golden: None, limits: Limits::default(), threads: 2, unreached: Vec::new() };
    let report = baseline.compare(&tree(&other.root), None, &options).unwrap();
    let differs = |path: &str| {
        let keys = evidence::fs::glob::matches(b"/etc/ssh/ssh_host_*_key*", path.as_bytes());
        // Which of apt and root makes these depends on what ran first.
        keys || path.ends_with("/partial") || path == "/etc/apt/apt.conf.d/99mmdebstrap"
    };
    let strange: Vec<_> = told(&report).into_iter().filter(|(_, path)| !differs(path)).collect();
    assert!(strange.is_empty(), "{strange:#?}");
    eprintln!("two installs differ in {} of {} objects", report.findings.len(), golden.items.len());
    golden
}

/// A copy that may be changed.
fn copied(system: &DebianRoot, into: &Path) -> std::path::PathBuf {
    let root = into.join("root");
    let copied =
        Command::new("cp").arg("-a").arg("--reflink=auto").args([&system.root, &root]).status();
    assert!(copied.unwrap().success());
    root
}

/// What its owner does with a system leaves nothing unexplained but what `daily::KNOWN` names; and all of that is told.
fn daily_use(system: &DebianRoot, catalogue: &Catalogue) {
    let folder = tempfile::tempdir().unwrap();
    let root = copied(system, folder.path());
    daily::use_it(&root, &system.debs);
    let report = compare(&root, catalogue, None);
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    let told = told(&report);
    let is_known = |(rule, path): &(String, String)| {
        daily::KNOWN.iter().any(|(own, place)| own == rule && place == path)
    };
    let strange: Vec<_> = told.iter().filter(|one| !is_known(one)).collect();
    assert!(strange.is_empty(), "{strange:#?}");
    assert_eq!(told.len(), daily::KNOWN.len(), "{told:#?}");
    eprintln!("daily use: {} told, {:?}", told.len(), report.coverage);
}

fn every_change(system: &DebianRoot, catalogue: &Catalogue, golden: &Listing) {
    let folder = tempfile::tempdir().unwrap();
    let root = copied(system, folder.path());
    let done: Vec<tampers::Tamper> =
        tampers::all().into_iter().filter(|one| (one.make)(&root)).collect();
    let report = compare(&root, catalogue, None);
    let with_golden = compare(&root, catalogue, Some(golden));
    tampers::others(&system.root, &root, &done);
    tampers::clear(&root);
    let (plain, golden) = (told(&report), told(&with_golden));
    let mut expected = BTreeSet::new();
    let mut missed = Vec::new();
    for one in &done {
        let found = if one.needs_golden { &golden } else { &plain };
        for (rule, path) in one.expect {
            expected.insert(((*rule).to_owned(), (*path).to_owned()));
            let is_told = found.iter().any(|(own, place)| {
                own == rule && evidence::fs::glob::matches(path.as_bytes(), place.as_bytes())
            });
            if !is_told {
                missed.push(format!("{}: {rule} {path}", one.name));
            }
        }
    }
    assert!(missed.is_empty(), "missed of {}: {missed:#?}\ntold: {plain:#?}", done.len());
    let strange: Vec<_> = plain
        .iter()
        .filter(|(rule, path)| {
            !expected.iter().any(|(own, place)| {
                own == rule && evidence::fs::glob::matches(place.as_bytes(), path.as_bytes())
            })
        })
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
    eprintln!("{} changes, all told", done.len());
}
