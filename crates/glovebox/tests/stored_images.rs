//! `glovebox image verify|info|convert|cat`, run as a person runs them, on images made by others and by us.
//!
//! Vouched for by libewf (`ewfacquirestream` makes, `ewfverify` judges), qemu-img and `unzstd` where they are there, and by the
//! bytes that went in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn glovebox(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    command.stdin(Stdio::null()).args(arguments).output().expect("starting glovebox")
}

/// Exit code, the one record of the answer, and what was said beside it.
fn answer(arguments: &[&str]) -> (i32, Value, String) {
    let output = glovebox(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let record = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().expect("an exit code"), record, said)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn tool(name: &str) -> bool {
    let found = Command::new(name).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("skipped: no {name}");
    }
    found.is_ok()
}

fn disk() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let noise = (0..2_100_224usize).map(|index| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if (index >> 17) % 3 == 0 { 0 } else { state.to_le_bytes()[0] & 31 }
    });
    noise.collect()
}

struct Bench {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    raw: PathBuf,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let (bytes, raw) = (disk(), folder.path().join("source.raw"));
    std::fs::write(&raw, &bytes).expect("a source");
    Bench { folder, bytes, raw }
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Converts; the new image's path.
    fn convert(&self, from: &Path, format: &str, stem: &str, ending: &str) -> PathBuf {
        let to = self.path(stem);
        let arguments = ["image", "convert", text(from), "--format", format, "--to", text(&to)];
        let (code, record, said) = answer(&arguments);
        assert_eq!(code, 0, "{record} {said}");
        let made = self.path(&format!("{stem}{ending}"));
        assert_eq!(record["files"][0].as_str(), Some(text(&made)), "{record}");
        made
    }

    fn assert_cat(&self, image: &Path) {
        let output = glovebox(&["image", "cat", text(image)]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == self.bytes, "{}", image.display());
        let part = ["image", "cat", text(image), "--offset", "140001", "--length", "70003"];
        assert!(glovebox(&part).stdout == self.bytes[140_001..][..70_003], "{}", image.display());
    }

    fn ewf(&self) -> Option<PathBuf> {
        if !tool("ewfacquirestream") {
            return None;
        }
        let target = self.path("theirs");
        let made = Command::new("ewfacquirestream")
            .args([
                "-q",
                "-c",
                "fast",
                "-d",
                "sha1",
                "-C",
                "case 7",
                "-e",
                "E",
                "-t",
                text(&target),
            ])
            .stdin(std::fs::File::open(&self.raw).expect("the source"))
            .stdout(Stdio::null())
            .output()
            .expect("ewfacquirestream");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(self.path("theirs.E01"))
    }
}

#[test]
fn every_format_converts_into_every_other_and_verifies() {
    let bench = bench();
    let aff4 = bench.convert(&bench.raw, "aff4", "one", ".aff4");
    let e01 = bench.convert(&aff4, "e01", "two", ".E01");
    let zst = bench.convert(&e01, "zst", "three", ".raw.zst");
    let raw = bench.convert(&zst, "raw", "four", ".raw");
    assert!(std::fs::read(&raw).expect("the copy") == bench.bytes);
    for (image, format, code) in
        [(&aff4, "aff4", 0), (&e01, "ewf", 0), (&zst, "zstd", 3), (&raw, "raw", 3)]
    {
        bench.assert_cat(image);
        let (found, record, said) = answer(&["image", "verify", text(image)]);
        assert_eq!((found, record["format"].as_str()), (code, Some(format)), "{record} {said}");
        let (found, record, said) = answer(&["image", "info", text(image)]);
        assert_eq!(
            (found, record["size_bytes"].as_u64()),
            (0, Some(bench.bytes.len() as u64)),
            "{said}"
        );
    }
    if tool("ewfverify") {
        let judged =
            Command::new("ewfverify").args(["-q", text(&e01)]).output().expect("ewfverify");
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    }
    // A name that is taken stays what it is.
    let (code, _, said) = answer(&[
        "image",
        "convert",
        text(&raw),
        "--format",
        "aff4",
        "--to",
        text(&bench.path("one")),
    ]);
    assert_eq!(code, 2);
    assert!(said.contains("one.aff4"), "{said}");
}

#[test]
fn images_by_others_are_verified_and_told() {
    let bench = bench();
    if let Some(e01) = bench.ewf() {
        let (code, record, said) = answer(&["image", "verify", text(&e01)]);
        assert_eq!(code, 0, "{record} {said}");
        let (_, record, _) = answer(&["image", "info", text(&e01)]);
        assert!(record["facts"].to_string().contains("case 7"), "{record}");
        bench.assert_cat(&e01);
        bench.convert(&e01, "aff4", "again", ".aff4");
    }
    if tool("qemu-img") {
        let qcow2 = bench.path("disk.qcow2");
        let arguments =
            ["convert", "-f", "raw", "-O", "qcow2", "-c", text(&bench.raw), text(&qcow2)];
        assert!(Command::new("qemu-img").args(arguments).status().expect("qemu-img").success());
        bench.assert_cat(&qcow2);
        let (code, record, _) = answer(&["image", "verify", text(&qcow2)]);
        assert_eq!((code, record["digests"].as_array().map(Vec::len)), (3, Some(0)), "{record}");
    }
}

#[test]
fn damage_is_found_and_placed() {
    let bench = bench();
    let aff4 = bench.convert(&bench.raw, "aff4", "one", ".aff4");
    let whole = std::fs::read(&aff4).expect("the image");
    // In the data of a chunk: compressed data that decodes otherwise or not at all.
    let damaged = bench.path("damaged.aff4");
    let mut bytes = whole.clone();
    let at = bytes.len() / 2;
    bytes[at..at + 8].fill(0xff);
    std::fs::write(&damaged, &bytes).expect("a damaged image");
    let (code, record, said) = answer(&["image", "verify", text(&damaged)]);
    assert_eq!(code, 1, "{record} {said}");
    let differs = record["digests"].to_string().contains("differs");
    assert!(differs, "{record}");
    if let Some(e01) = bench.ewf() {
        let mut bytes = std::fs::read(&e01).expect("the image");
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&e01, &bytes).expect("a damaged image");
        let (code, record, said) = answer(&["image", "verify", text(&e01)]);
        assert_eq!(code, 1, "{record} {said}");
        assert!(record["damaged"][0]["offset_bytes"].is_u64(), "{record}");
    }
    let (code, _, said) = answer(&["image", "verify", text(&bench.path("nothing"))]);
    assert_eq!(code, 2);
    assert!(said.contains("nothing"), "{said}");
}
