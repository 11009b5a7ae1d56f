//! `glovebox image`, run as a person runs it: copies, the act, going on after a kill.
//!
//! Vouched for by `ewfverify` and `unzstd` where they are there, and by the bytes of the source.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct Bench {
    folder: tempfile::TempDir,
    source: PathBuf,
    bytes: Vec<u8>,
}

fn bench(megabytes: usize) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let mut state = 88_172_645_463_325_252u64;
    let bytes: Vec<u8> = (0..megabytes << 20)
        .map(|index| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (index >> 18) % 2 == 0 { 0 } else { state.to_le_bytes()[0] & 15 }
        })
        .collect();
    let source = folder.path().join("disk.img");
    std::fs::write(&source, &bytes).expect("a source");
    let bench = Bench { folder, source, bytes };
    let place = bench.folder.path().to_string_lossy().into_owned();
    let create = ["case", "create", "c", "--on", &place, "--examiner", "E", "--no-passphrase"];
    let made = glovebox(&create);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    bench
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    command.stdin(Stdio::null());
    command
}

fn glovebox(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("starting glovebox")
}

impl Bench {
    fn case(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    fn image(&self, options: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let (case, source) = (self.case(), self.source.to_string_lossy().into_owned());
        let case = case.to_string_lossy().into_owned();
        let all =
            [&["image", source.as_str(), "--case", case.as_str(), "--json"], options].concat();
        answers(&glovebox(&all))
    }

    fn verify_case(&self) {
        let case = self.case().to_string_lossy().into_owned();
        let out = glovebox(&["case", "verify", "--case", &case]);
        assert!(
            out.status.success(),
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

fn answers(out: &Output) -> (Option<i32>, Vec<Value>, String) {
    let lines = String::from_utf8_lossy(&out.stdout);
    let records = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (out.status.code(), records, String::from_utf8_lossy(&out.stderr).into_owned())
}

fn imaged(records: &[Value]) -> &Value {
    records.iter().find(|record| record["type"] == "imaged").expect("a record of the image")
}

fn judged(program: &str, arguments: &[&str], folder: &Path) {
    match Command::new(program).args(arguments).current_dir(folder).output() {
        Ok(out) => {
            let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
            assert!(out.status.success(), "{program}: {said}");
        }
        Err(_) => println!("skipped: no {program}"),
    }
}

#[test]
fn one_read_makes_copies_in_two_places() {
    let bench = bench(3);
    let second = bench.folder.path().join("second");
    std::fs::create_dir(&second).expect("a folder");
    let to = second.to_string_lossy().into_owned();
    let options =
        ["--format", "raw,e01,zst,aff4", "--to", &to, "--digests", "md5,sha1", "--pieces=1M"];
    let (code, records, said) = bench.image(&options);
    assert_eq!(code, Some(0), "{said}");
    let record = imaged(&records);
    assert_eq!(record["verified"], true);
    assert_eq!(record["copies"].as_array().map(Vec::len), Some(8), "{record}");
    assert_eq!(record["file"], "exhibits/001-disk/image.raw");
    for folder in [bench.case().join("exhibits/001-disk"), second.join("001-disk")] {
        assert!(std::fs::read(folder.join("image.raw")).expect("raw") == bench.bytes);
        judged("ewfverify", &["-q", "image.E01"], &folder);
        judged("unzstd", &["-q", "-o", "unpacked", "image.raw.zst"], &folder);
        assert!(!folder.join("image.journal").exists());
        if folder.join("unpacked").exists() {
            std::fs::remove_file(folder.join("unpacked")).expect("removing");
        }
    }
    let exhibit = bench.case().join("exhibits/001-disk");
    let pieces = std::fs::read_to_string(exhibit.join("image.pieces")).expect("pieces");
    assert_eq!(pieces.lines().count(), 4, "{pieces}");
    assert!(exhibit.join("image.raw.map").exists());
    bench.verify_case();
}

#[test]
fn killed_it_goes_on_and_the_case_holds() {
    let bench = bench(192);
    let case = bench.case().to_string_lossy().into_owned();
    let source = bench.source.to_string_lossy().into_owned();
    let mut child = program()
        .args(["image", &source, "--case", &case, "--format", "raw,e01"])
        .spawn()
        .expect("starting glovebox");
    let exhibit = bench.case().join("exhibits/001-disk");
    // Killed as soon as the first checkpoint is noted.
    let journal = exhibit.join("image.journal");
    for _ in 0..6000 {
        let lines =
            std::fs::read(&journal).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
        if lines > 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().expect("killing");
    let _ended = child.wait().expect("waiting");
    assert!(!exhibit.join("image.raw").exists(), "it was too fast to be interrupted");
    let out = glovebox(&["image", "resume", "1", "--case", &case, "--json"]);
    let (code, records, said) = answers(&out);
    assert_eq!(code, Some(0), "{said}");
    assert!(std::fs::read(exhibit.join("image.raw")).expect("raw") == bench.bytes);
    let expected = hashing::digest_bytes(&bench.bytes, &hashing::Algorithms::sha256());
    assert_eq!(imaged(&records)["digests"]["sha256"], expected.sha256_hex());
    judged("ewfverify", &["-q", "image.E01"], &exhibit);
    bench.verify_case();
    let again = glovebox(&["image", "resume", "1", "--case", &case]);
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn a_full_second_place_is_named_and_the_first_copy_is_whole() {
    let bench = bench(3);
    let small = bench.folder.path().join("small");
    std::fs::create_dir(&small).expect("a folder");
    let place = small.to_string_lossy().into_owned();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none", &place]).output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        println!("skipped: no tmpfs here");
        return;
    }
    let (code, records, said) = bench.image(&["--to", &place]);
    // With room made, the line that was named makes the copy that failed.
    let remount = ["-o", "remount,size=16m", &place];
    let _more = Command::new("mount").args(remount).output();
    let way_out = records.iter().find(|record| record["type"] == "imaged");
    let way_out = way_out.map_or(String::new(), |record| {
        record["copies"][1]["way_out"].as_str().unwrap_or_default().to_owned()
    });
    let line = way_out.replacen("glovebox", env!("CARGO_BIN_EXE_glovebox"), 1);
    let made = Command::new("sh").args(["-c", &line]).output().expect("running it");
    let again = std::fs::read(small.join("001-disk/image-again.raw"));
    let _unmounted = Command::new("umount").arg(&place).output();
    assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
    assert!(again.expect("the copy made again") == bench.bytes);
    assert_eq!(code, Some(3), "{said}");
    let record = imaged(&records);
    assert_eq!(record["copies"][0]["verified"], true, "{record}");
    assert_eq!(record["copies"][1]["whole"], false, "{record}");
    let problem = record["copies"][1]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("space") && problem.contains(&place), "{problem}");
    bench.verify_case();
}

#[test]
fn what_cannot_be_is_said_before_reading() {
    let bench = bench(1);
    let (code, _, said) = bench.image(&["--format", "raw,zst", "--split", "1M"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("zst is always one file"), "{said}");
    let (code, _, said) = bench.image(&["--format", "e01", "--split", "10K"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("segments"), "{said}");
    let (code, _, said) = bench.image(&["--format", "raw,aff4", "--skip-slow"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("aff4") && said.contains("image convert"), "{said}");
    let exhibit = bench.case().join("exhibits/001-disk");
    assert_eq!(std::fs::read_dir(exhibit).expect("the exhibit").count(), 0);
    let (code, records, said) = bench.image(&["--skip-slow=5", "--read-timeout", "60"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = hashing::digest_bytes(&bench.bytes, &hashing::Algorithms::sha256());
    assert_eq!(imaged(&records)["digests"]["sha256"], expected.sha256_hex());
}

/// Vouched for by the bytes of the source: an image alone cannot say that it was exchanged, the act of its case can.
#[test]
fn an_image_in_a_case_is_compared_with_its_act() {
    let bench = bench(2);
    let (code, records, said) = bench.image(&["--format", "raw,e01"]);
    assert_eq!(code, Some(0), "{said}");
    let raw = bench.case().join(imaged(&records)["file"].as_str().expect("a file"));
    let verify = |file: &Path| {
        let file = file.to_str().expect("test paths are UTF-8");
        answers(&glovebox(&["image", "verify", file, "--json"]))
    };
    for file in [raw.clone(), raw.with_extension("E01")] {
        let (code, records, said) = verify(&file);
        assert_eq!(code, Some(0), "{said}");
        let digests = records[0]["digests"].as_array().expect("digests");
        let by_act: Vec<&Value> = digests.iter().filter(|one| one["act"].is_u64()).collect();
        assert!(by_act.iter().any(|one| one["algorithm"] == "sha256"), "{records:?}");
        assert!(by_act.iter().all(|one| one["verdict"] == "same"), "{records:?}");
    }
    let mut bytes = bench.bytes.clone();
    bytes[70_000] ^= 1;
    std::fs::remove_file(&raw).expect("the image goes");
    std::fs::write(&raw, &bytes).expect("another image in its place");
    let (code, records, _) = verify(&raw);
    assert_eq!(code, Some(1), "{records:?}");
    assert!(records[0]["digests"].to_string().contains("differs"), "{records:?}");
    // The same bytes outside a case: nothing to compare with.
    assert_eq!(verify(&bench.source).0, Some(3));
}

fn acts(bench: &Bench) -> Vec<Value> {
    let text = std::fs::read_to_string(bench.case().join("acts.jsonl")).expect("acts");
    let acts = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    acts.map(|line| line["act"].clone()).collect()
}

/// Two partitions on the bench's disk, made by `sfdisk`; gives the bytes of the second, which has so many sectors.
fn partitioned(bench: &Bench, sectors: usize) -> Option<Vec<u8>> {
    let table =
        format!("label: dos\nstart=2048,size=4096,type=83\nstart=6144,size={sectors},type=83\n");
    let mut child = Command::new("sfdisk")
        .args(["-q", &bench.source.to_string_lossy()])
        .stdin(Stdio::piped())
        .spawn()
        .inspect_err(|_| println!("skipped: no sfdisk"))
        .ok()?;
    let mut input = child.stdin.take().expect("its input");
    std::io::Write::write_all(&mut input, table.as_bytes()).expect("a table");
    drop(input);
    assert!(child.wait().expect("sfdisk").success());
    let bytes = std::fs::read(&bench.source).expect("the disk");
    Some(bytes[6144 * 512..][..sectors * 512].to_vec())
}

/// Vouched for by `sfdisk`, which made the partition, and by the bytes of the disk.
#[test]
fn a_volume_is_imaged_by_its_address() {
    let bench = bench(12);
    let Some(second) = partitioned(&bench, 8192) else { return };
    let case = bench.case().to_string_lossy().into_owned();
    let volume = format!("{}:2", bench.source.display());
    let image = |word: &str, more: &[&str]| {
        let words = [&["image", word, "--case", case.as_str(), "--json"], more].concat();
        answers(&glovebox(&words))
    };
    let (code, records, said) = image(&volume, &["--format", "raw,e01"]);
    assert_eq!(code, Some(0), "{said}");
    let exhibit = bench.case().join("exhibits/001-disk-2");
    assert!(std::fs::read(exhibit.join("image.raw")).expect("raw") == second);
    judged("ewfverify", &["-q", "image.E01"], &exhibit);
    let expected = hashing::digest_bytes(&second, &hashing::Algorithms::sha256()).sha256_hex();
    assert_eq!(imaged(&records)["digests"]["sha256"], expected);
    // The record says which bytes of what, and gives digests to the volume alone.
    let act = acts(&bench).pop().expect("an act");
    let inputs = act["inputs"].as_array().expect("inputs").clone();
    let read = inputs.iter().rfind(|one| one["name"] == volume.as_str()).expect("the volume");
    assert_eq!(read["facts"]["first_byte"], 6144 * 512, "{act}");
    assert_eq!(read["facts"]["length_bytes"], 8192 * 512, "{act}");
    assert_eq!(read["digests"]["sha256"], expected, "{act}");
    let around = inputs.iter().find(|one| one["facts"]["only"] == volume.as_str());
    assert!(
        around
            .is_some_and(|disk| disk["digests"].as_object().is_none_or(serde_json::Map::is_empty))
    );
    // It verifies as other images do, and can be imaged again out of the image of the disk.
    let e01 = exhibit.join("image.E01").to_string_lossy().into_owned();
    assert_eq!(glovebox(&["image", "verify", &e01]).status.code(), Some(0));
    let (code, _, said) = bench.image(&["--format", "e01", "--label", "whole"]);
    assert_eq!(code, Some(0), "{said}");
    let whole = bench.case().join("exhibits/002-whole/image.E01");
    let (code, _, said) = image(&format!("{}:2", whole.display()), &["--label", "again"]);
    assert_eq!(code, Some(0), "{said}");
    let again = std::fs::read(bench.case().join("exhibits/003-again/image.raw"));
    assert!(again.expect("raw") == second);
    // What is not there, and what is no volume.
    for (word, expected) in [(":7", "no volume"), (":2:/etc/passwd", "glovebox cp")] {
        let word = format!("{}{word}", bench.source.display());
        let (code, _, said) = image(&word, &[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    bench.verify_case();
}

#[test]
fn a_volume_goes_on_and_only_the_same_one() {
    let bench = bench(84);
    let sectors = 80 << 11;
    let Some(second) = partitioned(&bench, sectors) else { return };
    let case = bench.case().to_string_lossy().into_owned();
    let volume = format!("{}:2", bench.source.display());
    let words = ["image", &volume, "--case", &case];
    let mut child = program().args(words).spawn().expect("starting glovebox");
    let exhibit = bench.case().join("exhibits/001-disk-2");
    for _ in 0..6000 {
        let journal = std::fs::read(exhibit.join("image.journal")).unwrap_or_default();
        if journal.iter().filter(|byte| **byte == b'\n').count() > 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("killing");
    let _ended = child.wait().expect("waiting");
    assert!(!exhibit.join("image.raw").exists(), "it was too fast to be interrupted");
    let resume = ["image", "resume", "1", "--case", &case, "--json"];
    // With another table the address means other bytes: refused before a byte.
    let bytes = std::fs::read(&bench.source).expect("the disk");
    let mut other = bytes.clone();
    other[446 + 16 + 8..][..4].copy_from_slice(&6145u32.to_le_bytes());
    std::fs::write(&bench.source, &other).expect("another table");
    let (code, _, said) = answers(&glovebox(&resume));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("volume"), "{said}");
    std::fs::write(&bench.source, &bytes).expect("the table as it was");
    let (code, records, said) = answers(&glovebox(&resume));
    assert_eq!(code, Some(0), "{said}");
    assert!(std::fs::read(exhibit.join("image.raw")).expect("raw") == second);
    let expected = hashing::digest_bytes(&second, &hashing::Algorithms::sha256()).sha256_hex();
    assert_eq!(imaged(&records)["digests"]["sha256"], expected);
    bench.verify_case();
}

/// As above, from a disk: `losetup` gives one.
#[test]
fn a_partition_is_read_from_the_disk_itself() {
    let bench = bench(12);
    let Some(second) = partitioned(&bench, 8192) else { return };
    let source = bench.source.to_string_lossy().into_owned();
    let made = Command::new("losetup").args(["--find", "--show", &source]).output();
    let Some(made) = made.ok().filter(|out| out.status.success()) else {
        println!("skipped: no loop devices");
        return;
    };
    let device = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let case = bench.case().to_string_lossy().into_owned();
    let word = format!("{}:2", device.trim_start_matches("/dev/"));
    let out = glovebox(&["image", &word, "--case", &case, "--json", "--label", "p"]);
    let _ = Command::new("losetup").args(["--detach", &device]).status();
    let (code, _, said) = answers(&out);
    assert_eq!(code, Some(0), "{said}");
    let copied = std::fs::read(bench.case().join("exhibits/001-p/image.raw")).expect("raw");
    assert!(copied == second);
    let act = acts(&bench).pop().expect("an act");
    let inputs = act["inputs"].as_array().expect("inputs").clone();
    let read = inputs.iter().find(|one| one["name"] == word.as_str()).expect("the volume");
    assert_eq!(read["facts"]["read"], "from the disk", "{act}");
    bench.verify_case();
}

/// Vouched for by the bytes of the source.
#[test]
fn a_conversion_is_an_act() {
    let bench = bench(2);
    let (code, _, said) = bench.image(&[]);
    assert_eq!(code, Some(0), "{said}");
    let case = bench.case().to_string_lossy().into_owned();
    let exhibit = bench.case().join("exhibits/001-disk");
    let raw = exhibit.join("image.raw").to_string_lossy().into_owned();
    let expected = hashing::digest_bytes(&bench.bytes, &hashing::Algorithms::sha256()).sha256_hex();
    let elsewhere = bench.folder.path().join("converted");
    for (to, name) in [
        (exhibit.join("again"), "exhibits/001-disk/again.E01".to_owned()),
        (elsewhere.clone(), format!("{}.E01", elsewhere.display())),
    ] {
        let to = to.to_string_lossy().into_owned();
        let words = ["image", "convert", &raw, "--format", "e01", "--to", &to, "--case", &case];
        let out = glovebox(&words);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let act = acts(&bench).pop().expect("an act");
        assert_eq!(act["verb"], "image convert", "{act}");
        assert_eq!(act["inputs"][0]["digests"]["sha256"], expected, "{act}");
        let output = &act["outputs"][0];
        assert_eq!(output["name"], name.as_str(), "{act}");
        assert_eq!(output["facts"]["image_digests"]["sha256"], expected, "{act}");
        let file = std::fs::read(format!("{to}.E01")).expect("the new image");
        let file = hashing::digest_bytes(&file, &hashing::Algorithms::sha256());
        assert_eq!(output["digests"]["sha256"], file.sha256_hex(), "{act}");
        bench.verify_case();
    }
    // What the act recorded of the new image is what it is compared with later.
    let e01 = exhibit.join("again.E01").to_string_lossy().into_owned();
    let (code, records, said) = answers(&glovebox(&["image", "verify", &e01, "--json"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(records[0]["digests"].to_string().contains("\"act\":"), "{records:?}");
}
