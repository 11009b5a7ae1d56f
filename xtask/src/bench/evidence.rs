//! `bench evidence`: our reader beside the kernel's mount and The Sleuth Kit, on ext4, XFS and Btrfs.
//!
//! All read the same image file through the page cache; the kernel's contestants mount it anew each time, because that is
//! what an examiner would have to do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, released};
use crate::host::{self, Tool};
use crate::{cache, files};

/// How a kind of file system is made.
struct Kind {
    name: &'static str,
    mkfs: &'static [&'static str],
}

static KINDS: [Kind; 3] = [
    Kind { name: "ext4", mkfs: &["mkfs.ext4", "-q", "-F", "-N", "200000"] },
    Kind { name: "xfs", mkfs: &["mkfs.xfs", "-q", "-f"] },
    Kind { name: "btrfs", mkfs: &["mkfs.btrfs", "-q", "-f"] },
];

/// As above, with room for a million files.
static MANY: Kind = Kind { name: "ext4", mkfs: &["mkfs.ext4", "-q", "-F", "-N", "1100000"] };

/// Files of 0 to 120 kB, fifty in each of `count` directories, and one of `mebibytes`. A fixed recipe: the same names and
/// sizes each time.
const PLANT: &str = r#"
import os, random, sys
root, count, mebibytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(7)
noise = random.randbytes(1 << 20)
for d in range(count):
    folder = os.path.join(root, f"tree/{d % 50:02}/{d:04}")
    os.makedirs(folder)
    for f in range(50):
        length = random.choice([0, 100, 900, 4096, 6000, 16000, 40000, 120000])
        at = random.randrange(0, (1 << 20) - length)
        with open(os.path.join(folder, f"file-{f:02}.bin"), "wb") as out:
            out.write(noise[at:at + length])
with open(os.path.join(root, "big"), "wb") as out:
    for i in range(mebibytes):
        out.write(noise[i % 4096:] + noise[:i % 4096])
"#;

/// Names without content, a thousand in each of `count` directories, each directory inside the one before, twenty deep.
pub(super) const PLANT_NAMES: &str = r#"
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
folder = root
for d in range(count):
    folder = os.path.join(root if d % 20 == 0 else folder, f"{d:04}")
    os.mkdir(folder)
    for f in range(1000):
        os.close(os.open(os.path.join(folder, f"an-ordinary-name-{f:06}"), os.O_CREAT | os.O_WRONLY))
"#;

/// An image: which file system, what is planted on it.
struct Image {
    kind: &'static Kind,
    what: &'static str,
    bytes: &'static str,
    recipe: &'static str,
    counts: [u64; 2],
}

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[
        Tool::Oracles,
        Tool::E2fsprogs,
        Tool::Xfsprogs,
        Tool::BtrfsProgs,
        Tool::Benchmarks,
    ])?;
    ensure!((1..=100).contains(&args.percent), "--percent must be 1 to 100");
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let ours = built(&sh)?;
    let folder = cache::folder("bench")?;
    let _alone = cache::lock("bench")?;
    let mount_point = tempfile::tempdir()?;
    let at = mount_point.path();
    let part = |whole: u64| (whole * args.percent).div_ceil(100);
    let mut text = String::new();
    let mut hold = |contest: Contest| -> Result<()> {
        if contest.what.contains(&args.only) {
            text.push_str(&contest.table(&contest.hold(args.turns)?));
        }
        Ok(())
    };
    for kind in &KINDS {
        let counts = [part(2000), part(4096)];
        let image = Image { kind, what: "tree", bytes: "16G", recipe: PLANT, counts };
        let image = image.made(&sh, &folder)?;
        let mut metadata = walk(kind, &format!("{} files", part(2000) * 50), &ours, &image, at);
        // The Sleuth Kit of Debian reads neither XFS nor Btrfs.
        if kind.name == "ext4" {
            let line = format!("fls -r -m / {}", image.display());
            metadata.rivals.push(Rival { name: "fls -r -m /", line });
        }
        hold(metadata)?;
        hold(digests(kind, &ours, &image, at))?;
        hold(stream(kind, part(4096), &ours, &image, at))?;
    }
    let image = many_names(&sh, &folder, args.percent)?;
    let names = format!("{} files in deep directories", part(1000) * 1000);
    let mut million = walk(&MANY, &names, &ours, &image, at);
    million.aim = "less than 300 MiB at the peak";
    hold(million)?;
    let about = "Contestants took turns, the image lay in\nthe page cache. Only the ratios of one run count.";
    args.tell(&root, &Page { name: "evidence", title: "Reading evidence", about }, &text)
}

/// An ext4 image with a million names, or the part of them that was asked for.
pub(super) fn many_names(sh: &Shell, folder: &Path, percent: u64) -> Result<PathBuf> {
    let counts = [(1000 * percent).div_ceil(100), 0];
    let (what, bytes, recipe) = ("names", "4G", PLANT_NAMES);
    Image { kind: &MANY, what, bytes, recipe, counts }.made(sh, folder)
}

/// Our program as released, built where cargo puts it.
fn built(sh: &Shell) -> Result<PathBuf> {
    cmd!(sh, "cargo build --release --package glovebox").run()?;
    let ours = released(&sh.current_dir(), "glovebox");
    ensure!(ours.exists(), "{} was not built", ours.display());
    Ok(ours)
}

impl Image {
    /// The image, made once for each recipe: planted through the kernel, then unmounted.
    fn made(&self, sh: &Shell, folder: &Path) -> Result<PathBuf> {
        let Self { kind, what, bytes, recipe, counts: [first, second] } = self;
        let (program, options) = kind.mkfs.split_first().context("a command")?;
        let whole = format!("{:?} {bytes} {recipe} {first} {second}", kind.mkfs);
        let digest: String =
            Sha256::digest(whole).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let type_name = kind.name;
        let image = folder.join(format!("{what}-{digest}.{type_name}"));
        if image.exists() {
            return Ok(image);
        }
        let partial = folder.join(format!("{what}.{type_name}.partial"));
        let _absent = std::fs::remove_file(&partial);
        cmd!(sh, "truncate -s {bytes} {partial}").run()?;
        cmd!(sh, "{program} {options...} {partial}").run()?;
        let mounted = tempfile::tempdir()?;
        let at = mounted.path();
        cmd!(sh, "mount -t {type_name} -o loop {partial} {at}").run()?;
        let (first, second) = (first.to_string(), second.to_string());
        let planted = cmd!(sh, "python3 -c {recipe} {at} {first} {second}").quiet().run();
        let unmounted = cmd!(sh, "umount {at}").run();
        planted?;
        unmounted?;
        std::fs::rename(&partial, &image)?;
        Ok(image)
    }
}

/// A line that mounts the image, does `line` and unmounts it again.
fn mounted(kind: &Kind, image: &Path, at: &Path, line: &str) -> String {
    format!(
        "mount -t {} -o loop,ro {} {at} && {{ {line}; code=$?; umount {at}; exit $code; }}",
        kind.name,
        image.display(),
        at = at.display()
    )
}

fn walk(kind: &Kind, what: &str, ours: &Path, image: &Path, at: &Path) -> Contest {
    let find = format!("find {} -printf '%p|%i|%M|%U|%G|%s|%A@|%T@|%C@\\n'", at.display());
    Contest {
        what: format!("metadata of {what} on {}", kind.name),
        aim: "no more time than the kernel's mount, a tenth of fls",
        rivals: vec![
            Rival {
                name: "glovebox bodyfile",
                line: format!("{} bodyfile --no-deleted {}:0:/", ours.display(), image.display()),
            },
            Rival { name: "mount + find -printf", line: mounted(kind, image, at, &find) },
        ],
    }
}

fn digests(kind: &Kind, ours: &Path, image: &Path, at: &Path) -> Contest {
    let find = format!("find {}/tree -type f -print0 | xargs -0", at.display());
    let (one, two) = (format!("{find} sha256sum"), format!("{find} -n 500 -P 2 sha256sum"));
    Contest {
        what: format!("SHA-256 of every file of the tree on {}", kind.name),
        aim: "less time than the kernel's mount and sha256sum",
        rivals: vec![
            Rival {
                name: "glovebox hash",
                line: format!("{} hash {}:0:/tree", ours.display(), image.display()),
            },
            Rival { name: "mount + sha256sum", line: mounted(kind, image, at, &one) },
            Rival {
                name: "mount + sha256sum, two at a time",
                line: mounted(kind, image, at, &two),
            },
        ],
    }
}

fn stream(kind: &Kind, mebibytes: u64, ours: &Path, image: &Path, at: &Path) -> Contest {
    Contest {
        what: format!("streaming one file of {mebibytes} MiB on {}", kind.name),
        aim: "at most 1.11 of the time of cat from the kernel's mount",
        rivals: vec![
            Rival {
                name: "glovebox cat",
                line: format!("{} cat {}:0:/big", ours.display(), image.display()),
            },
            Rival {
                name: "mount + cat",
                line: mounted(kind, image, at, &format!("cat {}/big", at.display())),
            },
        ],
    }
}
