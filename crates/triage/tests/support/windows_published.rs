//! Hives and event logs of real Windows, read by us and by Dissect.
//!
//! `GLOVEBOX_PUBLISHED` has the samples, `GLOVEBOX_JUDGE_PYTHON` an interpreter with Dissect (set by `cargo xtask test`);
//! others lie in `../shared/testdata`. What is missing is said.

use crate::hives;
use crate::support::MemFs;
use evidence::fs::FileKind;
use evidence::registry::Hive;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use triage::parse::evtx;

fn place(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not set");
    }
    found
}

fn theirs(what: &str, file: &Path) -> Option<Vec<Value>> {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/dissect_windows.py");
    let out = Command::new(place("GLOVEBOX_JUDGE_PYTHON")?)
        .arg(program)
        .arg(what)
        .arg(file)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// A file of an unpacked source distribution whose name begins so.
fn sample(package: &str, path: &str) -> Option<PathBuf> {
    let folder = place("GLOVEBOX_PUBLISHED")?;
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    let found = all.iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(package))
    });
    let found = found.map(|folder| folder.join(path)).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {path} of {package}");
    }
    found
}

fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata").join(path);
    if !found.exists() {
        eprintln!("skipped: no ../shared/testdata/{path}");
    }
    Some(found).filter(|path| path.exists())
}

/// Numbers, events and providers of every record are those Dissect reads.
#[test]
fn event_logs_read_as_dissect_reads_them() {
    let samples = [
        shared("plaso/evtx/System2.evtx"),
        sample("dissect_eventlog-", "tests/_data/TestLogX.evtx"),
    ];
    for path in samples.into_iter().flatten() {
        let Some(theirs) = theirs("events", &path) else { return };
        let raw = std::fs::read(&path).unwrap();
        let mut ours = Vec::new();
        let summary = evtx::read(&raw.as_slice(), &mut |record, fields| {
            assert!(fields.is_whole, "{} {}", path.display(), record.number);
            assert_eq!(record.hidden_at, None);
            let provider = fields.text("System/Provider@Name").unwrap_or_default();
            ours.push(serde_json::json!([record.number, fields.event(), provider]));
        })
        .unwrap();
        // One of them is cut short, inside a record.
        let is_cut = !raw.len().is_multiple_of(4096);
        assert_eq!(summary.broken.len(), usize::from(is_cut), "{:?}", summary.broken);
        let sorted = |mut all: Vec<Value>| {
            all.sort_by_key(|one| one[0].as_u64());
            all
        };
        let (mut ours, theirs) = (sorted(ours), sorted(theirs));
        assert!(!theirs.is_empty() && ours.len() >= theirs.len());
        // Dissect passes over a chunk that is cut; we read the records in front of the cut.
        ours.truncate(if is_cut { theirs.len() } else { ours.len() });
        assert_eq!(ours, theirs, "{}", path.display());
    }
}

/// The machine hive of a real Windows: services as Dissect reads them, and nothing above "info" in it.
#[test]
fn a_real_system_hive_reads_as_dissect_reads_it_and_is_clean() {
    let Some(packed) = sample("dissect_regf-", "tests/_data/SYSTEM.gz") else { return };
    let mut raw = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap())
        .read_to_end(&mut raw)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("SYSTEM");
    std::fs::write(&path, &raw).unwrap();
    let Some(theirs) = theirs("services", &path) else { return };
    let hive = Hive::from_bytes(raw.clone()).unwrap();
    let services = hive.key("ControlSet001\\Services").unwrap().unwrap().subkeys().unwrap().keys;
    let text = |key: &evidence::registry::Key<'_>, name: &str| {
        let found = key.value(name).ok().flatten().and_then(|value| value.text().ok().flatten());
        found.map_or(Value::Null, |text| Value::from(String::from_utf8(text.0).unwrap()))
    };
    let ours: Vec<Value> = services
        .iter()
        .map(|key| {
            let start = key.value("Start").unwrap().and_then(|value| value.number().unwrap());
            let below = key.subkey("Parameters").unwrap();
            let library = below.map_or(Value::Null, |key| text(&key, "ServiceDll"));
            serde_json::json!([key.name().to_string(), text(key, "ImagePath"), start, library])
        })
        .collect();
    assert!(ours.len() > 500, "{}", ours.len());
    assert_eq!(ours, theirs);
    let mut fs: MemFs = hives::files();
    fs.put("/Windows/System32/config/SYSTEM", FileKind::File, 0o644, &raw);
    let report = crate::run(&fs);
    assert_eq!(crate::above_info(&report), [""; 0]);
    assert!(report.problems.iter().any(|problem| problem.text.contains("no hive SOFTWARE")));
}
