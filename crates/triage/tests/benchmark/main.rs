//! The benchmark: every way to stay on a Linux system that the catalogue of techniques knows, each planted alone on a real,
//! clean Debian root, gives its findings and no other; all together give all; the clean roots give nothing above "info".
//!
//! Vouched for by an independent path: mmdebstrap and dpkg made the roots, `techniques.toml` says what is planted where,
//! with the default paths of public collections. Debian only: roots of other families are not made here.
//! Needs root, mmdebstrap and a Debian mirror the first time; says "skipped" without them.

mod made;
mod overlay;
mod plants;
#[path = "../../../../tests/support/debian_root.rs"]
mod roots;

use overlay::{Base, Overlay};
use plants::{Technique, techniques};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use triage::{Activation, Digests, Options, Report, Severity};

/// Rule and path of each finding above "info".
type Told = BTreeSet<(String, String)>;

fn told(report: &Report) -> Told {
    let above = report.findings.iter().filter(|finding| finding.severity != Severity::Info);
    above.map(|finding| (finding.rule.clone(), finding.path.to_string())).collect()
}

fn options(digests: Digests) -> Options {
    Options { digests, unreached: Some(Vec::new()), ..Options::default() }
}

/// Plants one technique alone and says what is wrong with what is told, if anything.
fn alone(base: &Base, technique: &Technique) -> Option<String> {
    let mut fs = Overlay::new(base);
    technique.plant(&mut fs);
    let digests = if technique.digests { Digests::Compare } else { Digests::Skip };
    let found = told(&triage::run(&fs, &options(digests)));
    let rules: BTreeSet<&str> = found.iter().map(|(rule, _)| rule.as_str()).collect();
    let expected: BTreeSet<&str> = technique.expect.iter().map(String::as_str).collect();
    let elsewhere = found.iter().any(|(_, path)| !technique.touches(path));
    (rules != expected || elsewhere).then(|| {
        format!("{} {}: expected {expected:?}, told {found:?}", technique.row, technique.name)
    })
}

#[test]
fn clean_roots_are_clean_and_each_technique_is_told_alone_and_with_all_others() {
    let techniques = techniques();
    let rows: BTreeSet<&str> = techniques.iter().map(|one| one.row.as_str()).collect();
    assert_eq!(rows.len(), techniques.len(), "a row is there twice");
    let mut was_made = false;
    for suite in ["bookworm", "trixie"] {
        let Some(root) = roots::debian(suite) else { continue };
        was_made = true;
        let base = Base::read(&root.root);
        let clean = triage::run(&Overlay::new(&base), &options(Digests::Compare));
        let above: Vec<_> = clean
            .findings
            .iter()
            .filter(|one| one.severity != Severity::Info)
            .map(|one| (&one.rule, one.path.to_string(), &one.excerpt, &one.detail))
            .collect();
        assert!(above.is_empty(), "{suite}: {above:#?}");
        assert!(clean.problems.is_empty(), "{suite}: {:?}", clean.problems);
        assert!(clean.coverage.digests_compared > 5000, "{:?}", clean.coverage);
        if suite == "bookworm" {
            each_alone(&base, &techniques);
        }
        all_together(&base, &techniques, suite);
    }
    if !was_made {
        eprintln!("skipped: no Debian root");
    }
}

fn each_alone(base: &Base, techniques: &[Technique]) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(technique) = techniques.get(next.fetch_add(1, Ordering::Relaxed)) {
                    wrong.lock().unwrap().extend(alone(base, technique));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), techniques.len(), wrong.join("\n"));
}

fn all_together(base: &Base, techniques: &[Technique], suite: &str) {
    let mut fs = Overlay::new(base);
    // Those that replace what another changes stand last and would hide it.
    let together = techniques.iter().filter(|one| !one.alone);
    together.clone().for_each(|technique| technique.plant(&mut fs));
    let report = triage::run(&fs, &options(Digests::Compare));
    let found = told(&report);
    let missed: Vec<&str> = together
        .filter(|one| {
            !one.expect
                .iter()
                .all(|rule| found.iter().any(|(told, path)| told == rule && one.touches(path)))
        })
        .map(|one| one.row.as_str())
        .collect();
    assert!(missed.is_empty(), "{suite}: {missed:?}");
    let strange: Vec<_> =
        found.iter().filter(|(_, path)| !techniques.iter().any(|one| one.touches(path))).collect();
    assert!(strange.is_empty(), "{suite}: {strange:?}");
}

#[test]
fn who_when_and_what_are_told() {
    let Some(root) = roots::debian("bookworm") else { return };
    let base = Base::read(&root.root);
    let run = |row: &str| {
        let mut fs = Overlay::new(&base);
        techniques().iter().find(|one| one.row == row).unwrap().plant(&mut fs);
        let report = triage::run(&fs, &options(Digests::Skip));
        let above = report.findings.into_iter().filter(|one| one.severity != Severity::Info);
        above.collect::<Vec<_>>()
    };
    let service = run("P34").into_iter().find(|one| one.path.0.ends_with(b".service")).unwrap();
    assert_eq!(service.activation, Activation::Active);
    assert_eq!(service.who_runs.as_deref(), Some("root"));
    assert!(service.when_runs.as_deref().unwrap().contains("OnCalendar=*:*:00"), "{service:?}");
    assert_eq!(service.what_runs.as_deref(), Some("/opt/x"));
    let job = &run("P01")[0];
    assert_eq!(job.who_runs.as_deref(), Some("uid 0"));
    // Minute 0x01b2c3d4 of the epoch, as `date -u -d @$((0x01b2c3d4 * 60))` gives it.
    assert_eq!(job.when_runs.as_deref(), Some("once, at 2024-03-04T15:16:00Z"));
    let container = &run("P17")[0];
    assert_eq!(container.when_runs.as_deref(), Some("when the container engine starts"));
    assert_eq!(container.what_runs.as_deref(), Some("/bin/sh -c /opt/x"));
}

/// Names of the real boot image as bsdtar lists them.
#[test]
fn a_real_boot_image_is_read_whole() {
    let Some(root) = roots::debian("bookworm") else { return };
    let mut boot =
        std::fs::read_dir(root.root.join("boot")).unwrap().map(|entry| entry.unwrap().path());
    let is_image = |path: &std::path::PathBuf| path.to_str().unwrap().contains("initrd.img-");
    let image = boot.find(is_image).expect("the kernel's package made one");
    let Ok(out) = std::process::Command::new("bsdtar").arg("-tf").arg(&image).output() else {
        eprintln!("skipped: no bsdtar");
        return;
    };
    assert!(out.status.success());
    let listed = String::from_utf8(out.stdout).unwrap();
    let mut theirs: Vec<&str> = listed.lines().map(|line| line.trim_end_matches('/')).collect();
    let mut ours = Vec::new();
    let raw = std::fs::read(&image).unwrap();
    let result = triage::parse::initramfs::for_each(&raw.as_slice(), &mut |member| {
        ours.push(String::from_utf8(member.name).unwrap());
    });
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(result, Ok(()));
    assert!(theirs.len() > 300, "{}", theirs.len());
    assert!(ours == theirs, "{} names, bsdtar has {}", ours.len(), theirs.len());
}
