//! `glovebox image --to s3://…`, run as a person runs it, against an object store that somebody else wrote.
//!
//! Vouched for by moto (the store; it checks every signature with botocore's code) and boto3 (the client that looks what
//! is there). Without their interpreter (`GLOVEBOX_STORE_PYTHON`, set by `cargo xtask test`) the tests are skipped. The formats
//! are judged by who judges them in files: what boto3 fetches goes to `ewfverify`, `zstd`, pyaff4 and a comparison.
#![cfg(feature = "bucket")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&[out.stdout.as_slice(), &out.stderr].concat()).into_owned()
}

fn judge() -> Option<Command> {
    let Some(python) = std::env::var_os("GLOVEBOX_STORE_PYTHON") else {
        println!("skipped: no moto");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/object_store.py"));
    Some(command)
}

/// A store, and a case to image into.
struct Bench {
    folder: tempfile::TempDir,
    store: Child,
    bytes: Vec<u8>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.store.kill();
        let _ = self.store.wait();
    }
}

fn bench(size_bytes: usize) -> Option<Bench> {
    let mut command = judge()?;
    let folder = tempfile::tempdir().expect("a folder");
    command.arg("serve").arg(folder.path());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut store = pipes.spawn().expect("starting the store");
    let mut line = String::new();
    let out = store.stdout.take().expect("its output");
    BufReader::new(out).read_line(&mut line).expect("its first line");
    assert_eq!(line.trim(), "ready");
    let mut state = 88_172_645_463_325_252u64;
    let bytes: Vec<u8> = (0..size_bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    let bench = Bench { folder, store, bytes };
    std::fs::write(bench.path("disk.img"), &bench.bytes).expect("a source");
    let place = text(bench.folder.path());
    let create = ["case", "create", "c", "--on", &place, "--examiner", "E", "--no-passphrase"];
    let made = program().args(create).output().expect("starting glovebox");
    assert!(made.status.success(), "{}", said(&made));
    Some(bench)
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    command.stdin(Stdio::null());
    command
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self, to: &str, more: &[&str]) -> Command {
        let (case, source) = (text(&self.path("c")), text(&self.path("disk.img")));
        let mut command = program();
        command.args(["image", &source, "--case", &case, "--json", "--to", to]).args(more);
        command
    }

    fn imaged(out: &Output) -> Value {
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut records =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records.find(|one| one["type"] == "imaged").unwrap_or_else(|| panic!("{}", said(out)))
    }

    fn client(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = judge().expect("it was there");
        let (verb, rest) = arguments.split_first().expect("a verb");
        let out = command.arg(verb).arg(self.path("keys")).args(rest).output().expect("boto3");
        assert!(out.status.success(), "{}", said(&out));
        out.stdout
    }

    fn last_act(&self) -> Value {
        let acts = std::fs::read_to_string(self.path("c/acts.jsonl")).expect("acts");
        let last = acts.lines().last().expect("an act");
        serde_json::from_str::<Value>(last).expect("JSON")["act"].clone()
    }

    fn verify_case(&self) {
        let case = text(&self.path("c"));
        let out = program().args(["case", "verify", "--case", &case]).output().expect("starting");
        assert!(out.status.success(), "{}", said(&out));
    }
}

#[test]
fn an_image_goes_into_a_bucket_and_is_read_back() {
    // Three parts, the last one short and of odd length.
    let Some(bench) = bench((33 << 20) + 513) else { return };
    let keys = text(&bench.path("keys"));
    let to = "s3://cases/2026 ü/7";
    let out = bench.image(to, &["--store-keys", &keys]).output().expect("starting glovebox");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    let record = Bench::imaged(&out);
    assert_eq!(record["verified"], true, "{record}");
    let key = "2026 ü/7/001-disk/image.raw";
    assert_eq!(record["copies"][1]["elsewhere"]["key"], key, "{record}");
    assert!(bench.client(&["get", key]) == bench.bytes);
    let sha256 = hashing::digest_bytes(&bench.bytes, &hashing::Algorithms::sha256()).sha256_hex();
    let proof = bench.client(&["get", &format!("{key}.verified.json")]);
    let proof: Value = serde_json::from_slice(&proof).expect("JSON");
    assert_eq!(proof["sha256"], sha256.as_str(), "{proof}");
    // The record has the copy and no key of the store; nothing is left beside the image.
    let act = bench.last_act();
    assert_eq!(act["outputs"][1]["digests"]["sha256"], sha256.as_str(), "{act}");
    let secret = std::fs::read_to_string(bench.path("keys")).expect("the keys");
    let secret = secret.lines().find_map(|line| line.strip_prefix("aws_secret_access_key = "));
    let acts = std::fs::read_to_string(bench.path("c/acts.jsonl")).expect("acts");
    assert!(!acts.contains(secret.expect("a secret")));
    let kept = std::fs::read_dir(bench.path("c/exhibits/001-disk")).expect("the exhibit");
    let kept: Vec<_> = kept.flatten().map(|entry| entry.file_name()).collect();
    assert!(kept.iter().all(|name| !name.to_string_lossy().starts_with("store-")), "{kept:?}");
    let listed = String::from_utf8(bench.client(&["list"])).expect("text");
    assert!(!listed.contains("upload "), "{listed}");
    bench.verify_case();
}

/// Waits until the journal has more lines than so many.
fn noted(exhibit: &Path, lines: usize) -> usize {
    for _ in 0..12_000 {
        let journal = std::fs::read(exhibit.join("image.journal")).unwrap_or_default();
        let found = journal.iter().filter(|byte| **byte == b'\n').count();
        if found > lines {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nothing was noted");
}

#[test]
fn stopped_and_killed_it_goes_on_with_the_parts_that_are_there() {
    let Some(bench) = bench(200 << 20) else { return };
    let keys = text(&bench.path("keys"));
    let exhibit = bench.path("c/exhibits/001-disk");
    let mut first = bench.image("s3://cases", &["--store-keys", &keys]);
    let child = first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starting");
    // Stopped behind the first checkpoint, in the midst of a part; then killed behind the second.
    noted(&exhibit, 1);
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(stopped.expect("kill").success());
    let out = child.wait_with_output().expect("waiting");
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(!exhibit.join("image.raw").exists(), "it was too fast to be interrupted");
    let listed = String::from_utf8(bench.client(&["list"])).expect("text");
    assert!(listed.contains("upload 001-disk/image.raw"), "{listed}");
    assert!(!listed.contains("object "), "nothing is there to be taken for whole: {listed}");
    let case = text(&bench.path("c"));
    let resume = ["image", "resume", "1", "--case", &case, "--json", "--store-keys", &keys];
    let lines = noted(&exhibit, 1);
    let mut child = program().args(resume).stdout(Stdio::null()).spawn().expect("starting");
    noted(&exhibit, lines);
    child.kill().expect("killing");
    let _ended = child.wait().expect("waiting");
    assert!(!exhibit.join("image.raw").exists(), "it was too fast to be killed");
    let out = program().args(resume).output().expect("starting glovebox");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    assert_eq!(Bench::imaged(&out)["verified"], true);
    assert!(bench.client(&["get", "001-disk/image.raw"]) == bench.bytes);
    assert!(std::fs::read(exhibit.join("image.raw")).expect("the other copy") == bench.bytes);
    let inputs = bench.last_act()["inputs"].as_array().expect("inputs").clone();
    let from_byte = inputs.iter().find_map(|input| input["facts"]["from_byte"].as_u64());
    assert!(from_byte >= Some(128 << 20), "what was there was not sent again: {from_byte:?}");
    let kept = std::fs::read_dir(&exhibit).expect("the exhibit").flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
    assert!(kept.iter().all(|name| !name.to_string_lossy().starts_with("store-")), "{kept:?}");
    bench.verify_case();
}

/// Whether a program of others is there; says so when it is not.
fn tool(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output();
    let is_there = found.is_ok_and(|out| out.status.success());
    if !is_there {
        println!("skipped: no {name}");
    }
    is_there
}

impl Bench {
    /// What the store has: objects, and uploads that are not finished.
    fn listed(&self) -> (Vec<String>, Vec<String>) {
        let text = String::from_utf8(self.client(&["list"])).expect("text");
        let of = |kind: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
            let names = lines.filter_map(|line| line.split(' ').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        (of("object "), of("upload "))
    }

    /// Fetches the objects of one exhibit into a folder.
    fn fetched(&self, prefix: &str, folder: &str) -> PathBuf {
        let folder = self.path(folder);
        std::fs::create_dir(&folder).expect("a folder");
        for key in self.listed().0 {
            let Some(name) = key.strip_prefix(prefix) else { continue };
            std::fs::write(folder.join(name), self.client(&["get", &key])).expect("written");
        }
        folder
    }

    /// Every format of the exhibit as others see it.
    fn judge_fetched(&self, folder: &Path, names: &[&str]) {
        let run = |program: &str, arguments: &[&str]| {
            let out = Command::new(program).args(arguments).current_dir(folder).output();
            let out = out.expect("starting");
            assert!(out.status.success(), "{program} {arguments:?}: {}", said(&out));
            out.stdout
        };
        let sha256 =
            hashing::digest_bytes(&self.bytes, &hashing::Algorithms::sha256()).sha256_hex();
        for name in names {
            match *name {
                "image.raw" => assert!(std::fs::read(folder.join(name)).expect("it") == self.bytes),
                "image.001" => assert!(run("sh", &["-c", "cat image.0[0-9][0-9]"]) == self.bytes),
                "image.E01" if tool("ewfverify") => {
                    let said = run("ewfverify", &["-q", "-d", "sha256", "image.E01"]);
                    let said = String::from_utf8_lossy(&said).into_owned();
                    assert!(said.contains("SUCCESS") && said.contains(&sha256), "{said}");
                }
                "image.raw.zst" if tool("zstd") => {
                    assert!(run("zstd", &["-dcq", "image.raw.zst"]) == self.bytes);
                }
                "image.aff4" => match std::env::var("GLOVEBOX_AFF4_PYTHON") {
                    Ok(python) => {
                        let judge = concat!(
                            env!("CARGO_MANIFEST_DIR"),
                            "/../../tests/fixtures/aff4_judge.py"
                        );
                        let said = run(&python, &[judge, "read", "image.aff4"]);
                        let said = String::from_utf8_lossy(&said).into_owned();
                        assert!(said.contains(&format!("sha256 {sha256}\n")), "{said}");
                    }
                    Err(_) => println!("skipped: GLOVEBOX_AFF4_PYTHON is not set"),
                },
                _ => {}
            }
        }
    }

    /// The same from the store itself, by ranges: the bytes, and what is recorded of them.
    fn judge_stored(&self, to: &str, names: &[&str]) {
        let keys = text(&self.path("keys"));
        for name in names {
            let place = format!("{to}/{name}");
            let read = |verb: &str| {
                let mut command = program();
                command.args(["image", verb, &place, "--store-keys", &keys]);
                command.output().expect("starting glovebox")
            };
            let out = read("cat");
            assert!(out.status.success() && out.stdout == self.bytes, "{name}: {:?}", out.stderr);
            for verb in ["verify", "info"] {
                let out = read(verb);
                assert_eq!(out.status.code(), Some(0), "{verb} {name}: {}", said(&out));
            }
        }
    }
}

#[test]
fn every_format_goes_into_a_bucket_and_is_read_by_others() {
    // Segments of more than one part; the last of them is short.
    let Some(mut bench) = bench((37 << 20) + 512) else { return };
    bench.bytes[5 << 20..9 << 20].fill(0);
    bench.bytes[9 << 20..12 << 20].fill(b'x');
    std::fs::write(bench.path("disk.img"), &bench.bytes).expect("a source");
    let keys = text(&bench.path("keys"));
    let to = "s3://cases/all";
    for (formats, more, names) in [
        ("raw,e01", &["--split", "18M"][..], &["image.001", "image.E01"][..]),
        ("zst,aff4", &[], &["image.raw.zst", "image.aff4"]),
    ] {
        let options = [&["--store-keys", &keys, "--format", formats], more].concat();
        let out = bench.image(to, &options).output().expect("starting glovebox");
        assert_eq!(out.status.code(), Some(0), "{}", said(&out));
        let record = Bench::imaged(&out);
        assert_eq!(record["verified"], true, "{record}");
        assert_eq!(record["copies"].as_array().map(Vec::len), Some(4), "{record}");
        let exhibit = record["exhibit"].as_str().expect("its exhibit").to_owned();
        let folder = bench.fetched(&format!("all/{exhibit}/"), &exhibit);
        bench.judge_fetched(&folder, names);
        bench.judge_stored(&format!("{to}/{exhibit}"), names);
        for name in names {
            let proof = std::fs::read(folder.join(format!("{name}.verified.json")));
            let proof: Value = serde_json::from_slice(&proof.expect("a proof")).expect("JSON");
            let objects = proof["objects"].as_array().expect("objects");
            assert_eq!(objects.len() > 1, formats == "raw,e01", "{proof}");
            for object in objects {
                let key = object["key"].as_str().and_then(|key| key.rsplit('/').next());
                let file = folder.join(key.expect("a key"));
                let length = std::fs::metadata(file).expect("the object").len();
                assert_eq!(object["size_bytes"].as_u64(), Some(length), "{proof}");
            }
        }
        let kept = std::fs::read_dir(bench.path("c/exhibits").join(&exhibit)).expect("the exhibit");
        let kept: Vec<_> = kept.flatten().map(|entry| entry.file_name()).collect();
        assert!(kept.iter().all(|one| !one.to_string_lossy().starts_with("store-")), "{kept:?}");
    }
    assert_eq!(bench.listed().1, Vec::<String>::new());
    // Out of the store into another format, and what is not there or changed there.
    let converted = text(&bench.path("again"));
    let from = format!("{to}/001-disk/image.E01");
    let convert = ["image", "convert", &from, "--format", "raw", "--to", &converted];
    let out = program().args(convert).args(["--store-keys", &keys]).output().expect("starting");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    assert!(std::fs::read(bench.path("again.raw")).expect("the image") == bench.bytes);
    let verify = |name: &str| {
        let place = format!("{to}/{name}");
        let verify = ["image", "verify", &place, "--store-keys", &keys];
        program().args(verify).output().expect("starting glovebox")
    };
    assert!(said(&verify("001-disk/none")).contains("no such object"));
    bench.client(&["put", "all/001-disk/image.002"]);
    assert_ne!(verify("001-disk/image.001").status.code(), Some(0));
    bench.verify_case();
}

#[test]
fn formats_that_look_themselves_up_go_on_after_a_kill() {
    // What these two look up in their own files, they find nowhere: it was sent. More than one bevy, and a checkpoint.
    let Some(bench) = bench(80 << 20) else { return };
    let keys = text(&bench.path("keys"));
    let exhibit = bench.path("c/exhibits/001-disk");
    let mut first = bench.image("s3://cases", &["--store-keys", &keys, "--format", "zst,aff4"]);
    let mut child = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starting");
    noted(&exhibit, 1);
    assert!(child.try_wait().expect("its state").is_none(), "it was too fast to be killed");
    child.kill().expect("killing");
    let _ended = child.wait().expect("waiting");
    let case = text(&bench.path("c"));
    let resume = ["image", "resume", "1", "--case", &case, "--json", "--store-keys", &keys];
    let out = program().args(resume).output().expect("starting glovebox");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    let (objects, uploads) = bench.listed();
    assert_eq!(objects.len(), 4, "{objects:?}");
    assert_eq!(uploads, Vec::<String>::new());
    let folder = bench.fetched("001-disk/", "fetched");
    bench.judge_fetched(&folder, &["image.raw.zst", "image.aff4"]);
    let kept = std::fs::read_dir(&exhibit).expect("the exhibit").flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
    assert!(kept.iter().all(|name| !name.to_string_lossy().starts_with("store-")), "{kept:?}");
    bench.verify_case();
}

#[test]
fn a_store_that_says_no_is_named_and_harms_nothing() {
    let Some(bench) = bench(2 << 20) else { return };
    let keys = std::fs::read_to_string(bench.path("keys")).expect("the keys");
    // Wrong secret: the judge checks what we sign.
    let wrong: String = keys
        .lines()
        .map(|line| match line.strip_prefix("aws_secret_access_key") {
            Some(_) => "aws_secret_access_key = wrong\n".to_owned(),
            None => format!("{line}\n"),
        })
        .collect();
    std::fs::write(bench.path("wrong"), wrong).expect("other keys");
    for (keys, expected) in [("wrong", "403"), ("none", "none")] {
        let keys = text(&bench.path(keys));
        let out = bench.image("s3://cases", &["--store-keys", &keys]).output().expect("starting");
        assert_eq!(out.status.code(), Some(2), "{}", said(&out));
        assert!(said(&out).contains(expected), "{}", said(&out));
    }
    // Neither file nor variables, and words that name no place.
    let mut command = bench.image("s3://cases", &[]);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    let out = command.output().expect("starting glovebox");
    assert!(said(&out).contains("AWS_ACCESS_KEY_ID"), "{}", said(&out));
    let good = text(&bench.path("keys"));
    for word in ["s3://", "s3://Cases/x", "s3://cases/../x"] {
        let out = bench.image(word, &["--store-keys", &good]).output().expect("starting");
        assert_eq!(out.status.code(), Some(2), "{word}: {}", said(&out));
    }
    // An object that is there is never written over.
    let exhibits = std::fs::read_dir(bench.path("c/exhibits")).expect("exhibits").count();
    let key = format!("{:03}-disk/image.raw", exhibits + 1);
    bench.client(&["put", &key]);
    let out = bench.image("s3://cases", &["--store-keys", &good]).output().expect("starting");
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(said(&out).contains("already"), "{}", said(&out));
    assert_eq!(bench.client(&["get", &key]), b"another");
    bench.verify_case();
}
