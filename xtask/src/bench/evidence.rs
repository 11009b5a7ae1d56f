//! `bench evidence`: our reader beside the kernel's mount and The Sleuth Kit, on ext4, XFS and Btrfs.
//!
//! All read the same image file through the page cache; the kernel's contestants mount it anew each time, because that is
//! what an examiner would have to do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::Args;
use super::contest::{Contest, Rival};
use crate::host::{self, Tool};
use crate::{cache, files};

/// How a kind of file system is made.
struct Kind {
    name: &'static str,
    mkfs: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind { name: "ext4", mkfs: &["mkfs.ext4", "-q", "-F", "-N", "200000"] },
    Kind { name: "xfs", mkfs: &["mkfs.xfs", "-q", "-f"] },
    Kind { name: "btrfs", mkfs: &["mkfs.btrfs", "-q", "-f"] },
];

/// 100,000 files of 0 to 16 KiB in 2,000 directories, and one of 4 GiB. A fixed recipe: the same names and sizes.
const PLANT: &str = r#"
import os, random, sys
root = sys.argv[1]
random.seed(7)
noise = random.randbytes(1 << 20)
for d in range(2000):
    folder = os.path.join(root, f"usr/{d % 50:02}/{d:04}")
    os.makedirs(folder)
    for f in range(50):
        length = random.choice([0, 100, 900, 4096, 6000, 16000])
        at = random.randrange(0, (1 << 20) - length)
        with open(os.path.join(folder, f"file-{f:02}.bin"), "wb") as out:
            out.write(noise[at:at + length])
with open(os.path.join(root, "big"), "wb") as out:
    for i in range(4096):
        out.write(noise[i % 4096:] + noise[:i % 4096])
"#;

/// A million names in a thousand directories.
const PLANT_MILLION: &str = r#"
import os, sys
root = sys.argv[1]
for d in range(1000):
    folder = os.path.join(root, f"{d:04}")
    os.mkdir(folder)
    for f in range(1000):
        os.close(os.open(os.path.join(folder, f"an-ordinary-name-{f:06}"), os.O_CREAT | os.O_WRONLY))
"#;

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[
        Tool::Oracles,
        Tool::E2fsprogs,
        Tool::Xfsprogs,
        Tool::BtrfsProgs,
        Tool::Benchmarks,
    ])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package glovebox").run()?;
    let ours = root.join("target/release/glovebox");
    let folder = cache::folder("bench")?;
    let mount_point = tempfile::tempdir()?;
    let mut text = String::new();
    for kind in &KINDS {
        let image = image(&sh, &folder, kind, "tree", "16G", PLANT)?;
        for contest in contests(kind, &ours, &image, mount_point.path()) {
            text.push_str(&contest.table(&contest.hold(args.turns)?));
        }
    }
    let million = Kind { name: "ext4", mkfs: &["mkfs.ext4", "-q", "-F", "-N", "1100000"] };
    let image = image(&sh, &folder, &million, "million", "2G", PLANT_MILLION)?;
    let contest =
        walk(&million, "metadata of 1,000,000 files on", &ours, &image, mount_point.path());
    text.push_str(&contest.table(&contest.hold(1)?));
    println!("{text}");
    if args.record {
        let cores = std::thread::available_parallelism()?;
        let head = format!(
            "# Reading evidence\n\nMade by `cargo xtask bench evidence --turns {} --record` on {cores} cores; contestants took turns, the image lay in\nthe page cache. Only the ratios of one run count.\n",
            args.turns
        );
        let path = root.join("docs/benchmarks/evidence.md");
        std::fs::create_dir_all(root.join("docs/benchmarks"))?;
        std::fs::write(&path, head + &text)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The image, made once: planted through the kernel, then unmounted.
fn image(
    sh: &Shell,
    folder: &Path,
    kind: &Kind,
    what: &str,
    size: &str,
    plant: &str,
) -> Result<PathBuf> {
    let image = folder.join(format!("{what}.{}", kind.name));
    if image.exists() {
        return Ok(image);
    }
    let partial = folder.join(format!("{what}.{}.partial", kind.name));
    let _absent = std::fs::remove_file(&partial);
    cmd!(sh, "truncate -s {size} {partial}").run()?;
    let (program, options) = kind.mkfs.split_first().context("a command")?;
    cmd!(sh, "{program} {options...} {partial}").run()?;
    let mounted = tempfile::tempdir()?;
    let at = mounted.path();
    let type_name = kind.name;
    cmd!(sh, "mount -t {type_name} -o loop {partial} {at}").run()?;
    let planted = cmd!(sh, "python3 -c {plant} {at}").quiet().run();
    let unmounted = cmd!(sh, "umount {at}").run();
    planted?;
    unmounted?;
    std::fs::rename(&partial, &image)?;
    ensure!(image.exists(), "the image {} was not made", image.display());
    Ok(image)
}

fn contests(kind: &Kind, ours: &Path, image: &Path, at: &Path) -> Vec<Contest> {
    let (ours_text, image_text, at_text) = (ours.display(), image.display(), at.display());
    let mounted = |line: &str| {
        format!(
            "mount -t {} -o loop,ro {image_text} {at_text} && {{ {line}; code=$?; umount {at_text}; exit $code; }}",
            kind.name
        )
    };
    let mut metadata = walk(kind, "metadata of 100,000 files on", ours, image, at);
    // The Sleuth Kit of Debian reads neither XFS nor Btrfs.
    if kind.name == "ext4" {
        metadata
            .rivals
            .push(Rival { name: "fls -r -m /", line: format!("fls -r -m / {image_text}") });
    }
    let content = Contest {
        what: format!("SHA-256 of every file on {}", kind.name),
        aim: "less time than the kernel's mount and sha256sum",
        rivals: vec![
            Rival { name: "glovebox hash", line: format!("{ours_text} hash {image_text}:0:/") },
            Rival {
                name: "mount + sha256sum",
                line: mounted(&format!("find {at_text} -type f -print0 | xargs -0 sha256sum")),
            },
            Rival {
                name: "mount + sha256sum, two at a time",
                line: mounted(&format!(
                    "find {at_text} -type f -print0 | xargs -0 -n 500 -P 2 sha256sum"
                )),
            },
        ],
    };
    let stream = Contest {
        what: format!("streaming one file of 4 GiB on {}", kind.name),
        aim: "at most 1.11 of the time of cat from the kernel's mount",
        rivals: vec![
            Rival { name: "glovebox cat", line: format!("{ours_text} cat {image_text}:0:/big") },
            Rival { name: "mount + cat", line: mounted(&format!("cat {at_text}/big")) },
        ],
    };
    vec![metadata, content, stream]
}

fn walk(kind: &Kind, what: &str, ours: &Path, image: &Path, at: &Path) -> Contest {
    let (ours, image, at) = (ours.display(), image.display(), at.display());
    Contest {
        what: format!("{what} {}", kind.name),
        aim: "no more time than the kernel's mount, a tenth of fls",
        rivals: vec![
            Rival {
                name: "glovebox bodyfile",
                line: format!("{ours} bodyfile --no-deleted {image}:0:/"),
            },
            Rival {
                name: "mount + find -printf",
                line: format!(
                    "mount -t {} -o loop,ro {image} {at} && {{ find {at} -printf '%p|%i|%M|%U|%G|%s|%A@|%T@|%C@\\n'; code=$?; umount {at}; exit $code; }}",
                    kind.name
                ),
            },
        ],
    }
}
