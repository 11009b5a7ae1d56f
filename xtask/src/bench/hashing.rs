//! `bench hashing`: our digests beside openssl, coreutils, hashdeep and b3sum, on one large file and on a tree of small ones.
//!
//! All read through the page cache. Aims are targets T1, T2 and T5 of the research on imaging.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, released};
use crate::host::{self, Tool};
use crate::{cache, files};

/// 4 GiB in stretches of 1 to 32 MiB, text, zeros and noise by turns; then 50,000 files, half below 1.4 kB, some of 1 MiB.
const PLANT: &str = r#"
import os, random, sys
root, size_mib, folders = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(11)
noise = random.randbytes(1 << 20)
text = b"".join(b"%08d an ordinary line of a log\n" % i for i in range(28000))[:1 << 20]
with open(os.path.join(root, "mixed"), "wb") as out:
    left = size_mib
    while left:
        length = min(left, random.randint(1, 32))
        what = random.choice([noise, text, text, bytes(1 << 20)])
        for _ in range(length):
            at = random.randrange(0, 1 << 20)
            out.write(what[at:] + what[:at])
        left -= length
for d in range(folders):
    folder = os.path.join(root, f"tree/{d % 40:02}/{d:04}")
    os.makedirs(folder)
    for f in range(50):
        length = random.choices([300, 1400, 5000, 20000, 1000000], [25, 30, 25, 17, 3])[0]
        at = random.randrange(0, (1 << 20) - length)
        with open(os.path.join(folder, f"file-{f:02}.bin"), "wb") as out:
            out.write(noise[at:at + length])
"#;

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Oracles, Tool::Benchmarks])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package glovebox").run()?;
    let ours = released(&root, "glovebox");
    let folder = planted(&sh, args.percent)?;
    let b3sum = b3sum(&sh)?;
    let mut text = String::new();
    for contest in contests(&ours, &folder, b3sum.as_deref(), args.percent)
        .into_iter()
        .filter(|contest| contest.what.contains(&args.only))
    {
        text.push_str(&contest.table(&contest.hold(args.turns)?));
    }
    let about = "Contestants took turns, all of it lay in the\npage cache. Only the ratios of one run count.";
    args.tell(&root, &Page { name: "hashing", title: "Hashing", about }, &text)
}

/// The files, made once.
fn planted(sh: &Shell, percent: u64) -> Result<std::path::PathBuf> {
    let folder = cache::folder("bench")?.join(format!("hashing-{percent}"));
    let size_mib = (4096 * percent / 100).max(1).to_string();
    let folders = (1000 * percent / 100).max(1).to_string();
    if folder.exists() {
        return Ok(folder);
    }
    let partial = folder.with_extension("partial");
    let _absent = std::fs::remove_dir_all(&partial);
    std::fs::create_dir_all(&partial)?;
    cmd!(sh, "python3 -c {PLANT} {partial} {size_mib} {folders}").quiet().run()?;
    std::fs::rename(&partial, &folder)?;
    Ok(folder)
}

/// The program of BLAKE3's authors, built once; `None` where the registry does not give it.
fn b3sum(sh: &Shell) -> Result<Option<std::path::PathBuf>> {
    let at = cache::folder("bench")?.join("b3sum");
    let program = at.join("bin/b3sum");
    if !program.exists()
        && cmd!(sh, "cargo install --quiet --locked --root {at} b3sum").run().is_err()
    {
        eprintln!("b3sum could not be built: the tables do without it");
        return Ok(None);
    }
    Ok(Some(program))
}

fn contests(ours: &Path, folder: &Path, b3sum: Option<&Path>, percent: u64) -> Vec<Contest> {
    let (ours, folder) = (ours.display(), folder.display());
    let (mixed, tree) = (format!("{folder}/mixed"), format!("{folder}/tree"));
    let one = format!("one file of {} MiB", 4096 * percent / 100);
    let many = format!("{} files", 50_000 * percent / 100);
    let rival = |name, line: String| Rival { name, line };
    let every = |line: &str| format!("find {tree} -type f -print0 | xargs -0 {line}");
    let mut contests = vec![
        Contest {
            what: format!("SHA-256 of {one}"),
            aim: "at most 1.10 of the time of openssl (T1)",
            rivals: vec![
                rival("glovebox hash", format!("{ours} hash {mixed}")),
                rival("openssl dgst -sha256", format!("openssl dgst -sha256 {mixed}")),
                rival("sha256sum", format!("sha256sum {mixed}")),
                rival("hashdeep -c sha256", format!("hashdeep -c sha256 {mixed}")),
            ],
        },
        Contest {
            what: format!("MD5 and SHA-256 of {one}"),
            aim: "at most 1.10 of the time of openssl's MD5 alone (T2)",
            rivals: vec![
                rival("glovebox hash --with md5", format!("{ours} hash --with md5 {mixed}")),
                rival("openssl dgst -md5 (MD5 alone)", format!("openssl dgst -md5 {mixed}")),
                rival("hashdeep -c md5,sha256", format!("hashdeep -c md5,sha256 {mixed}")),
            ],
        },
        Contest {
            what: format!("SHA-256 of {many}"),
            aim: "1.5 times as fast as openssl on two processes, 8 times hashdeep (T5)",
            rivals: vec![
                rival("glovebox hash", format!("{ours} hash {tree}")),
                rival("xargs -P2 openssl", every("-P2 -n256 openssl dgst -sha256")),
                rival("xargs -P2 sha256sum", every("-P2 -n256 sha256sum")),
                rival("hashdeep -r -c sha256", format!("hashdeep -r -c sha256 {tree}")),
            ],
        },
    ];
    let mut large = Contest {
        what: format!("BLAKE3 of {one}"),
        aim: "no more time than b3sum, without its mapping of the file",
        rivals: vec![rival(
            "glovebox hash --only blake3",
            format!("{ours} hash --only blake3 {mixed}"),
        )],
    };
    let mut small = Contest {
        what: format!("BLAKE3 of {many}"),
        aim: "1.8 times as fast as b3sum (T5)",
        rivals: vec![rival(
            "glovebox hash --only blake3",
            format!("{ours} hash --only blake3 {tree}"),
        )],
    };
    if let Some(b3sum) = b3sum {
        let b3sum = b3sum.display();
        large.rivals.push(rival("b3sum", format!("{b3sum} {mixed}")));
        large.rivals.push(rival("b3sum --no-mmap", format!("{b3sum} --no-mmap {mixed}")));
        small.rivals.push(rival("xargs b3sum", every(&format!("{b3sum}"))));
    }
    contests.extend([large, small]);
    contests
}
