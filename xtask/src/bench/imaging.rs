//! `bench imaging`: our copies beside dc3dd, dcfldd, ewfacquire and `dd | tee | openssl`, of one generated file.
//!
//! The file lies in the page cache and the copies go to memory, so that programs are compared and not disks. Not timed, for
//! anybody: taking away the copy before, and for ours making the case. A case is made once for an investigation, however
//! many disks are imaged into it, and nobody else has one; opening it, the act and its signature are timed. Nobody but us
//! reads back, so ours does not either, except where the table says so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, libewf, released};
use crate::host::{self, Tool};
use crate::{cache, files};

/// 40 % programs and texts as tar packs them, 30 % zeros, 30 % noise, in stretches of 1 to 32 MiB. A fixed recipe; only the
/// programs differ from machine to machine.
const PLANT: &str = r#"
import random, subprocess, sys
path, size = sys.argv[1], int(sys.argv[2])
random.seed(7)
tar = subprocess.Popen(["tar", "-cf", "-", "/usr/lib", "/usr/share"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
left, kept = size, b""
with open(path, "wb") as out:
    while left:
        length = min(left, random.randrange(1, 33) << 20)
        kind = random.random()
        if kind < 0.4:
            piece = tar.stdout.read(length)
            kept = kept if len(kept) == 32 << 20 else (kept + piece)[:32 << 20]
            while len(piece) < length:
                piece += (kept or bytes(1 << 20))[:length - len(piece)]
        elif kind < 0.7:
            piece = bytes(length)
        else:
            piece = random.randbytes(length)
        out.write(piece)
        left -= length
tar.kill()
"#;

/// What everything is done with.
struct Rig {
    ours: PathBuf,
    source: PathBuf,
    /// In memory; emptied before each run.
    out: PathBuf,
    /// In memory; what is verified.
    kept: PathBuf,
    /// The tools of a newer libewf than Debian's, where they could be built.
    newer: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Oracles, Tool::Benchmarks, Tool::Imagers])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package glovebox").run()?;
    let folder = cache::folder("bench")?;
    let _alone = cache::lock("bench")?;
    let megabytes = (4096 * args.percent / 100).max(16);
    let source = source(&sh, &folder, megabytes)?;
    let memory = || tempfile::tempdir_in("/dev/shm").context("making a folder in memory");
    let (out, kept) = (memory()?, memory()?);
    let rig = Rig {
        ours: released(&root, "glovebox"),
        source,
        out: out.path().to_path_buf(),
        kept: kept.path().to_path_buf(),
        newer: libewf::tools(&sh)?,
    };
    let mut text = String::new();
    for contest in rig.contests() {
        if contest.what.contains(&args.only) {
            text.push_str(&contest.table(&contest.hold_after(args.turns, &rig.before())?));
        }
    }
    let verifying = rig.verifying();
    if verifying.what.contains(&args.only) {
        let line = rig.image_to_verify();
        cmd!(sh, "sh -c {line}").quiet().ignore_stdout().run()?;
        text.push_str(&verifying.table(&verifying.hold(args.turns)?));
        std::fs::remove_file(rig.kept.join("x.E01"))?;
    }
    text.push_str(&rig.sizes(&sh)?);
    let about = format!(
        "One file of {megabytes} MiB (40 % of\ntar, 30 % zeros, 30 % noise) in the page cache, copies into memory; contestants took turns. The case was made before,\noutside the time. Only the ratios of one run count.",
    );
    args.tell(&root, &Page { name: "imaging", title: "Imaging", about: &about }, &text)
}

/// The file to image, made once for each size.
fn source(sh: &Shell, folder: &Path, megabytes: u64) -> Result<PathBuf> {
    let source = folder.join(format!("mixed-{megabytes}.img"));
    if source.exists() {
        return Ok(source);
    }
    let partial = folder.join(format!("mixed-{megabytes}.partial"));
    let bytes = (megabytes << 20).to_string();
    cmd!(sh, "python3 -c {PLANT} {partial} {bytes}").quiet().run()?;
    std::fs::rename(&partial, &source)?;
    Ok(source)
}

impl Rig {
    /// Before each run, untimed: an empty folder, and in it an empty case.
    fn before(&self) -> String {
        let (ours, out) = (self.ours.display(), self.out.display());
        format!("rm -rf {out}/* && {ours} case create c --on {out} --examiner E --no-passphrase")
    }

    /// The line that images with ours into the case.
    fn image(&self, options: &str) -> String {
        let (ours, source, out) = (self.ours.display(), self.source.display(), self.out.display());
        // Not read back counts as done in part: exit code 3.
        let image = format!("{ours} image {source} --case {out}/c {options}");
        if options.contains("no-verify") { format!("{image}; [ $? -eq 3 ]") } else { image }
    }

    fn contests(&self) -> Vec<Contest> {
        let (from, to) = (self.source.display(), self.out.display());
        let rival = |name, line: String| Rival { name, line };
        let quick = |options: &str| self.image(&format!("{options} --dangerously-no-verify"));
        let dc3dd = |hashes: &str, output: &str| {
            format!("dc3dd if={from} {output}={to}/x.raw {hashes} log={to}/log")
        };
        let dcfldd = |hashes: &str| format!("dcfldd if={from} of={to}/x.raw bs=1M hash={hashes}");
        let tee = format!("dd if={from} bs=1M 2>/dev/null | tee {to}/x.raw | openssl dgst -sha256");
        let raw = Contest {
            what: "raw and SHA-256".to_owned(),
            aim: "at most 1.10 of openssl alone, 1/3.5 of dc3dd, a quarter of dcfldd (T1)",
            rivals: vec![
                rival("glovebox image", quick("")),
                rival("openssl dgst -sha256 (no copy)", format!("openssl dgst -sha256 {from}")),
                rival("dd, tee, openssl", tee),
                rival("dc3dd", dc3dd("hash=sha256", "of")),
                rival("dcfldd", dcfldd("sha256")),
            ],
        };
        let both = Contest {
            what: "raw, MD5 and SHA-256".to_owned(),
            aim: "at most 1.10 of openssl's MD5 alone, 1/1.7 of dc3dd, a third of dcfldd (T2)",
            rivals: vec![
                rival("glovebox image", quick("--digests md5")),
                rival("openssl dgst -md5 (no copy)", format!("openssl dgst -md5 {from}")),
                rival("dc3dd", dc3dd("hash=md5 hash=sha256", "of")),
                rival("dcfldd", dcfldd("md5,sha256")),
            ],
        };
        let verified = Contest {
            what: "raw and SHA-256, read back".to_owned(),
            aim: "half of dc3dd, which reads back too",
            rivals: vec![
                rival("glovebox image", self.image("")),
                rival("dc3dd hof=", dc3dd("hash=sha256", "hof")),
            ],
        };
        let mut e01 = Contest {
            what: "E01, MD5 and SHA-256".to_owned(),
            aim: "a quarter of the newer ewfacquire, 1/4.5 of Debian's, 0.35 of its processor time (T3)",
            rivals: vec![
                rival("glovebox image", quick("--format e01")),
                rival("ewfacquire -c fast", self.ewfacquire("ewfacquire", "fast")),
                rival("glovebox image, zeros only", quick("--format e01 --compression zeros")),
                rival("ewfacquire -c empty-block", self.ewfacquire("ewfacquire", "empty-block")),
                rival("glovebox image, read back", self.image("--format e01")),
            ],
        };
        if let Some(newer) = self.newer("ewfacquire") {
            e01.rivals
                .push(rival("newer ewfacquire -c fast -j 4", self.ewfacquire(&newer, "fast")));
        }
        let all = Contest {
            what: "raw, E01, AFF4 and zstd from one read".to_owned(),
            aim: "less than one after the other; 64 MiB at most (T7)",
            rivals: vec![
                rival("glovebox image raw,e01,aff4,zst", quick("--format raw,e01,aff4,zst")),
                rival("glovebox image aff4", quick("--format aff4")),
                rival("glovebox image zst", quick("--format zst")),
            ],
        };
        vec![raw, both, verified, e01, all]
    }

    /// Verifying one E01, made by ewfacquire.
    fn verifying(&self) -> Contest {
        let (ours, image) = (self.ours.display(), self.kept.join("x.E01"));
        let image = image.display();
        let verify = |program: &str| format!("{program} -q -d sha256 {image}");
        let mut rivals = vec![
            Rival { name: "glovebox image verify", line: format!("{ours} image verify {image}") },
            Rival { name: "ewfverify -d sha256", line: verify("ewfverify") },
        ];
        if let Some(newer) = self.newer("ewfverify") {
            rivals.push(Rival { name: "newer ewfverify -d sha256", line: verify(&newer) });
        }
        Contest {
            what: "verifying an E01, MD5 and SHA-256".to_owned(),
            aim: "1/1.5 of the newer ewfverify (T6)",
            rivals,
        }
    }

    fn image_to_verify(&self) -> String {
        let (from, to) = (self.source.display(), self.kept.display());
        format!("ewfacquire -u -q -S 8EiB -c fast -t {to}/x {from}")
    }

    fn newer(&self, program: &str) -> Option<String> {
        self.newer.as_ref().map(|folder| folder.join(program).display().to_string())
    }

    fn ewfacquire(&self, program: &str, level: &str) -> String {
        let (from, to) = (self.source.display(), self.out.display());
        format!("{program} -u -q -d sha256 -c {level} -t {to}/x {from}")
    }

    /// How large the E01 are, which is the other half of a fair comparison.
    fn sizes(&self, sh: &Shell) -> Result<String> {
        let total = |line: &str| -> Result<u64> {
            let line = format!("{} >&2 && {line}", self.before());
            cmd!(sh, "sh -c {line}").quiet().ignore_stdout().ignore_stderr().run()?;
            let mut bytes = 0;
            let mut folders = vec![self.out.clone()];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(&folder)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        folders.push(entry.path());
                    } else if entry.file_name().to_string_lossy().contains(".E") {
                        bytes += entry.metadata()?.len();
                    }
                }
            }
            Ok(bytes)
        };
        let mine = total(&self.image("--format e01"))?;
        let theirs = total(&self.ewfacquire("ewfacquire", "fast"))?;
        Ok(format!(
            "\nThe E01 is {:.3} of the size of ewfacquire's with `-c fast` ({mine} and {theirs} bytes); at most 1.01 is aimed at (T3).\n",
            mine as f64 / theirs.max(1) as f64
        ))
    }
}
