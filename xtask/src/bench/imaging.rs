//! `bench imaging`: our copies beside dc3dd, dcfldd, ewfacquire and `dd | tee | openssl`, of one generated file.
//!
//! The file lies in the page cache and the copies go to memory, so that programs are compared and not disks. Nobody but us
//! reads back, so ours does not either, except where the table says so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::Args;
use super::contest::{Contest, Rival};
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
    let out = tempfile::tempdir_in("/dev/shm").context("making a folder in memory")?;
    let ours = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("release/glovebox");
    let mut text = String::new();
    for contest in contests(&ours, &source, out.path()) {
        if contest.what.contains(&args.only) {
            text.push_str(&contest.table(&contest.hold(args.turns)?));
        }
    }
    text.push_str(&sizes(&sh, &ours, &source, out.path())?);
    println!("{text}");
    if args.record {
        ensure!(args.percent == 100 && args.only.is_empty(), "only the whole is recorded");
        let cores = std::thread::available_parallelism()?;
        let head = format!(
            "# Imaging\n\nMade by `cargo xtask bench imaging --turns {} --percent {} --record` on {cores} cores: one file of {megabytes} MiB (40 % of\ntar, 30 % zeros, 30 % noise) in the page cache, copies into memory; contestants took turns. Only the ratios of one run count.\n",
            args.turns, args.percent
        );
        let path = root.join("docs/benchmarks/imaging.md");
        std::fs::create_dir_all(root.join("docs/benchmarks"))?;
        std::fs::write(&path, head + &text)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
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

/// The line that images with ours into a new case.
fn image(ours: &Path, source: &Path, out: &Path, options: &str) -> String {
    let (ours, source, out) = (ours.display(), source.display(), out.display());
    // Not read back counts as done in part: exit code 3.
    format!(
        "rm -rf {out}/*; {ours} case create c --on {out} --examiner E --no-passphrase >&2 && \
         {{ {ours} image {source} --case {out}/c {options} >&2; code=$?; [ $code -eq 0 ] || [ $code -eq 3 ]; }}"
    )
}

fn contests(ours: &Path, source: &Path, out: &Path) -> Vec<Contest> {
    let mine = |options: &str| image(ours, source, out, options);
    let (from, to) = (source.display(), out.display());
    let fresh = |line: String| format!("rm -rf {to}/*; {line}");
    let tee = format!("dd if={from} bs=1M 2>/dev/null | tee {to}/x.raw | openssl dgst -sha256");
    let raw = Contest {
        what: "raw and SHA-256".to_owned(),
        aim: "at most 1.10 of openssl alone; a third of dc3dd, a quarter of dcfldd",
        rivals: vec![
            Rival { name: "glovebox image", line: mine("--dangerously-no-verify") },
            Rival { name: "openssl dgst (no copy)", line: format!("openssl dgst -sha256 {from}") },
            Rival { name: "dd, tee, openssl", line: fresh(tee) },
            Rival {
                name: "dc3dd",
                line: fresh(format!("dc3dd if={from} of={to}/x.raw hash=sha256 log={to}/log")),
            },
            Rival {
                name: "dcfldd",
                line: fresh(format!("dcfldd if={from} of={to}/x.raw bs=1M hash=sha256")),
            },
        ],
    };
    let both = Contest {
        what: "raw, MD5 and SHA-256".to_owned(),
        aim: "at most 1.10 of openssl's MD5 alone; 1/1.7 of dc3dd, a third of dcfldd",
        rivals: vec![
            Rival { name: "glovebox image", line: mine("--digests md5 --dangerously-no-verify") },
            Rival {
                name: "openssl dgst -md5 (no copy)",
                line: format!("openssl dgst -md5 {from}"),
            },
            Rival {
                name: "dc3dd",
                line: fresh(format!(
                    "dc3dd if={from} of={to}/x.raw hash=md5 hash=sha256 log={to}/log"
                )),
            },
            Rival {
                name: "dcfldd",
                line: fresh(format!("dcfldd if={from} of={to}/x.raw bs=1M hash=md5,sha256")),
            },
        ],
    };
    let verified = Contest {
        what: "raw and SHA-256, read back".to_owned(),
        aim: "half of dc3dd, which reads back too",
        rivals: vec![
            Rival { name: "glovebox image", line: mine("") },
            Rival {
                name: "dc3dd hof=",
                line: fresh(format!("dc3dd if={from} hof={to}/x.raw hash=sha256 log={to}/log")),
            },
        ],
    };
    let e01 = Contest {
        what: "E01, MD5 and SHA-256".to_owned(),
        aim: "a quarter of ewfacquire",
        rivals: vec![
            Rival { name: "glovebox image", line: mine("--format e01 --dangerously-no-verify") },
            Rival { name: "ewfacquire -c fast", line: fresh(ewfacquire(source, out, "fast")) },
            Rival {
                name: "glovebox image, zeros only",
                line: mine("--format e01 --compression zeros --dangerously-no-verify"),
            },
            Rival {
                name: "ewfacquire -c empty-block",
                line: fresh(ewfacquire(source, out, "empty-block")),
            },
            Rival { name: "glovebox image, read back", line: mine("--format e01") },
        ],
    };
    let all = Contest {
        what: "raw, E01 and zstd from one read".to_owned(),
        aim: "less than the three one after the other",
        rivals: vec![
            Rival {
                name: "glovebox image raw,e01,zst",
                line: mine("--format raw,e01,zst --dangerously-no-verify"),
            },
            Rival {
                name: "glovebox image zst",
                line: mine("--format zst --dangerously-no-verify"),
            },
        ],
    };
    vec![raw, both, verified, e01, all]
}

fn ewfacquire(source: &Path, out: &Path, level: &str) -> String {
    let (from, to) = (source.display(), out.display());
    format!("ewfacquire -u -q -d sha256 -c {level} -t {to}/x {from}")
}

/// How large the E01 are, which is the other half of a fair comparison.
fn sizes(sh: &Shell, ours: &Path, source: &Path, out: &Path) -> Result<String> {
    let total = |line: &str| -> Result<u64> {
        cmd!(sh, "sh -c {line}").quiet().ignore_stdout().ignore_stderr().run()?;
        let mut bytes = 0;
        let mut folders = vec![out.to_path_buf()];
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
    let mine = total(&image(ours, source, out, "--format e01"))?;
    let to = out.display();
    let theirs = total(&format!("rm -rf {to}/*; {}", ewfacquire(source, out, "fast")))?;
    Ok(format!(
        "\nThe E01 is {:.3} of the size of ewfacquire's with `-c fast` ({mine} and {theirs} bytes).\n",
        mine as f64 / theirs.max(1) as f64
    ))
}
