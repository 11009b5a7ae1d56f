//! The fault table: a block device with unreadable sectors, imaged by us and, on request, by others.
//!
//! Vouched for by an independent path (the bytes of the source and the list of injected errors, both known here) and by
//! independent tools: `ewfexport`, `unzstd`, `ddrescuelog`.

mod names;
mod rig;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rig::{Rig, Shape, has};
use serde_json::Value;

fn eights(firsts: &[u64]) -> Vec<u64> {
    firsts.iter().flat_map(|first| *first..first + 8).collect()
}

/// The disk of the table: alone, in the middle, and the very last sectors.
fn table_disk() -> Shape {
    Shape { sectors: 32_768, bad: eights(&[1000, 5000, 9000, 32_760]), sector_bytes: 512 }
}

fn glovebox(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glovebox"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("starting glovebox")
}

/// Images into a new case; gives the exhibit's folder and the record.
fn image(folder: &Path, rig: &Rig, options: &[&str], code: i32) -> (PathBuf, Value) {
    let place = folder.to_string_lossy().into_owned();
    let made =
        glovebox(&["case", "create", "c", "--on", &place, "--examiner", "E", "--no-passphrase"]);
    assert!(made.status.success(), "{made:?}");
    let case = folder.join("c");
    let case_text = case.to_string_lossy().into_owned();
    let all = [&["image", &rig.device, "--label", "x", "--case", &case_text, "--json"], options];
    let out = glovebox(&all.concat());
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{said}");
    let text = String::from_utf8_lossy(&out.stdout);
    let mut records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let imaged = records.find(|record| record["type"] == "imaged");
    (case.join("exhibits/001-x"), imaged.expect("a record of the image"))
}

/// The sectors of 512 bytes that the record lists.
fn listed(record: &Value) -> BTreeSet<u64> {
    let runs = record["unreadable"].as_array().expect("a list").iter();
    let of = |run: &Value, name: &str| run[name].as_u64().expect("a number");
    runs.flat_map(|run| {
        let first = of(run, "offset_bytes") / 512;
        first..first + of(run, "length_bytes") / 512
    })
    .collect()
}

fn judged(program: &str, arguments: &[&str], folder: &Path) -> bool {
    if !has(program) {
        return false;
    }
    let out = Command::new(program).args(arguments).current_dir(folder).output().expect("running");
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&said));
    true
}

/// The list in the record and in the map is exactly what was injected; the sizes are the disk's.
fn exact(rig: &Rig, exhibit: &Path, record: &Value) {
    let bad: BTreeSet<u64> = rig.shape.bad.iter().copied().collect();
    assert_eq!(listed(record), bad);
    assert_eq!(record["size_bytes"], rig.bytes.len());
    assert_eq!(record["copied_bytes"], rig.bytes.len());
    let map = ["image.raw.map", "image.map"].map(|name| exhibit.join(name));
    let map = map.iter().find(|map| map.exists()).expect("a map");
    if has("ddrescuelog") {
        let out = Command::new("ddrescuelog")
            .args(["-b512", "--list-blocks=-"])
            .arg(map)
            .output()
            .expect("ddrescuelog");
        let text = String::from_utf8_lossy(&out.stdout);
        let ours: BTreeSet<u64> =
            text.lines().map(|line| line.trim().parse().expect("a number")).collect();
        assert_eq!(ours, bad);
    }
}

#[test]
fn every_format_has_all_but_the_bad_sectors() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(rig) = Rig::start(folder.path(), table_disk()) else { return };
    let (exhibit, record) = image(folder.path(), &rig, &["--format", "raw,e01,aff4,zst"], 3);
    let perfect = rig.perfect();
    exact(&rig, &exhibit, &record);
    let digest = hashing::digest_bytes(&perfect, &hashing::Algorithms::sha256());
    assert_eq!(record["digests"]["sha256"], digest.sha256_hex());
    assert!(fs::read(exhibit.join("image.raw")).expect("raw") == perfect);
    if judged("ewfexport", &["-q", "-u", "-f", "raw", "-t", "out", "image.E01"], &exhibit) {
        assert!(fs::read(exhibit.join("out.raw")).expect("out") == perfect, "E01");
    }
    if judged("unzstd", &["-q", "-o", "unpacked", "image.raw.zst"], &exhibit) {
        assert!(fs::read(exhibit.join("unpacked")).expect("unpacked") == perfect, "zst");
    }
    for name in ["image.aff4", "image.E01"] {
        let file = exhibit.join(name).to_string_lossy().into_owned();
        let out = glovebox(&["image", "cat", &file]);
        assert!(out.stdout == perfect, "{name}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn split_slow_odd_and_large_sectors_too() {
    let disks = [
        (Shape { bad: eights(&[32_760]), ..table_disk() }, vec!["--split", "5M"]),
        (table_disk(), vec!["--skip-slow", "--retries", "2"]),
        // The last page of FUSE is one sector long here.
        (
            Shape { sectors: 32_769, bad: vec![32_768], sector_bytes: 512 },
            vec!["--format", "raw,e01,zst"],
        ),
        (Shape { sector_bytes: 4096, ..table_disk() }, vec!["--format", "raw,e01,aff4"]),
    ];
    for (shape, options) in disks {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(rig) = Rig::start(folder.path(), shape) else { return };
        let (exhibit, record) = image(folder.path(), &rig, &options, 3);
        exact(&rig, &exhibit, &record);
        let whole = exhibit.join("image.raw");
        let parts: Vec<u8> = if whole.exists() {
            fs::read(whole).expect("raw")
        } else {
            let part = |number| fs::read(exhibit.join(format!("image.00{number}"))).expect("part");
            (1..=4).flat_map(part).collect()
        };
        assert!(parts == rig.perfect(), "{options:?}");
        if exhibit.join("image.E01").exists()
            && judged("ewfexport", &["-q", "-u", "-f", "raw", "-t", "out", "image.E01"], &exhibit)
        {
            assert!(fs::read(exhibit.join("out.raw")).expect("out") == rig.perfect());
        }
    }
}

#[test]
fn a_failing_place_harms_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(rig) = Rig::start(folder.path(), table_disk()) else { return };
    let small = folder.path().join("small");
    fs::create_dir(&small).expect("a folder");
    let place = small.to_string_lossy().into_owned();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none", &place]).status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("skipped: no tmpfs here");
        return;
    }
    let (exhibit, record) = image(folder.path(), &rig, &["--format", "raw,e01", "--to", &place], 3);
    let _unmounted = Command::new("umount").arg(&place).status();
    exact(&rig, &exhibit, &record);
    assert!(fs::read(exhibit.join("image.raw")).expect("raw") == rig.perfect());
    let whole: Vec<bool> = record["copies"]
        .as_array()
        .expect("copies")
        .iter()
        .map(|copy| copy["verified"] == true)
        .collect();
    assert_eq!(whole, [true, true, false, false]);
    judged("ewfverify", &["-q", "image.E01"], &exhibit);
}

/// The same disk by others: `GLOVEBOX_RIVALS=1` prints the table that stands in docs/benchmarks/faults.md.
#[test]
fn others_in_the_same_rig() {
    if std::env::var_os("GLOVEBOX_RIVALS").is_none() {
        println!("skipped: GLOVEBOX_RIVALS is not set");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let Some(rig) = Rig::start(folder.path(), table_disk()) else { return };
    let out = folder.path().join("out.raw");
    let case = folder.path().join("c");
    let made = format!(
        "{0} case create c --on {1} --examiner E --no-passphrase >/dev/null 2>&1",
        env!("CARGO_BIN_EXE_glovebox"),
        folder.path().display()
    );
    let prepared = Command::new("sh").args(["-c", &made]).status().expect("a case");
    assert!(prepared.success());
    let ours = format!(
        "{} image DEV --label x --case {case}; code=$?; mv {case}/exhibits/001-x/image.raw OUT; \
         exit $code",
        env!("CARGO_BIN_EXE_glovebox"),
        case = case.display()
    );
    let export = "ewfexport -q -u -f raw -t OUTX OUT.E01; mv OUTX.raw OUT";
    let rivals = [
        ("glovebox image", ours),
        ("dc3dd hash=sha256", "dc3dd if=DEV hash=sha256 of=OUT".to_owned()),
        ("ddrescue -d -r1", "ddrescue -d -r1 DEV OUT OUT.map".to_owned()),
        ("ddrescue", "ddrescue DEV OUT OUT.map2".to_owned()),
        ("dd bs=1M conv=noerror,sync", "dd if=DEV of=OUT bs=1M conv=noerror,sync".to_owned()),
        (
            "dcfldd bs=32K conv=noerror,sync",
            "ulimit -f 200000; dcfldd if=DEV of=OUT bs=32K conv=noerror,sync".to_owned(),
        ),
        (
            "ewfacquire -g 1 -w",
            format!("ewfacquire -q -u -g 1 -w -t OUT DEV; code=$?; {export}; exit $code"),
        ),
    ];
    println!("| program | exit code | size against the disk | readable sectors lost | wrong |");
    println!("|---|---|---|---|---|");
    for (name, line) in rivals {
        let line = line.replace("OUT", &out.to_string_lossy()).replace("DEV", &rig.device);
        let ended = Command::new("timeout")
            .args(["-k", "2", "90", "sh", "-c", &line])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("running");
        let found = fs::read(&out).unwrap_or_default();
        println!("| {name} | {} |{}", code(ended.code()), compared(&rig, &found));
        let _removed = fs::remove_file(&out);
    }
}

fn code(code: Option<i32>) -> String {
    match code {
        Some(124 | 137) | None => "ended after 90 s".to_owned(),
        Some(code) => code.to_string(),
    }
}

fn compared(rig: &Rig, found: &[u8]) -> String {
    let (mut lost, mut wrong) = (0, 0);
    let bad: BTreeSet<u64> = rig.shape.bad.iter().copied().collect();
    for (number, sector) in rig.bytes.chunks(512).enumerate() {
        if bad.contains(&(number as u64)) {
            continue;
        }
        match found.get(number * 512..number * 512 + 512) {
            Some(same) if same == sector => {}
            Some(zeros) if zeros.iter().all(|byte| *byte == 0) => lost += 1,
            _ => wrong += 1,
        }
    }
    let size =
        i128::try_from(found.len()).unwrap_or(0) - i128::try_from(rig.bytes.len()).unwrap_or(0);
    let size = if size == 0 { "equal".to_owned() } else { format!("{size:+} bytes") };
    format!(" {size} | {lost} | {wrong} |")
}
