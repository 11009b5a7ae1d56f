//! `bench verify`: an installed Debian system compared with its archive, the archive's catalogue, and large archives.
//!
//! The system is that of the tests (`tests/support/debian_root.rs`), put onto ext4 through the kernel; the archive is made of
//! the very packages it was installed from. Others get the disk mounted anew each time, as an examiner would have to.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, evidence, released};
use crate::host::{self, Tool};
use crate::{cache, files};

#[path = "../../../tests/support/debian_root.rs"]
mod debian_root;

use debian_root::DebianRoot;

const SUITE: &str = "bookworm";
/// Packages of a large archive: about what a Debian release has.
const MANY_PACKAGES: u64 = 60_000;
/// First line of a catalogue's index.
const INDEX_HEAD: &str = "glovebox-catalogue\t1\tname\tversion\tarchitecture\tmulti-arch\tsource\tsource-version\tfile\tfile-bytes\tfile-sha256\tlisting-bytes\tlisting-sha256\n";
/// What AIDE is asked to compare: what we compare, but for package knowledge.
const AIDE_RULES: &str = "/ p+u+g+n+s+ftype+l+acl+xattrs+sha256\n";

/// Everything the contests are about.
struct Bench {
    ours: PathBuf,
    system: DebianRoot,
    /// The archive of the system's packages, signed, and the `.pub` file of its key.
    archive: PathBuf,
    trust: PathBuf,
    at: PathBuf,
    work: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Oracles, Tool::Benchmarks, Tool::E2fsprogs, Tool::Mmdebstrap])?;
    ensure!((1..=100).contains(&args.percent), "--percent must be 1 to 100");
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package glovebox").run()?;
    let folder = cache::folder("bench")?;
    let _alone = cache::lock("bench")?;
    let (mount_point, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let bench = Bench::new(&sh, released(&root, "glovebox"), mount_point.path(), work.path())?;
    let names = 10_000 * args.percent;
    let server = bench.image(&sh, &folder, 0)?;
    let contests = [
        bench.installed(&sh, &server)?,
        bench.catalogue()?,
        bench.million(&bench.image(&sh, &folder, names)?, names),
        bench.listed(&sh, MANY_PACKAGES * args.percent / 100)?,
    ];
    let mut text = String::new();
    for contest in contests.iter().filter(|contest| contest.what.contains(&args.only)) {
        text.push_str(&contest.table(&contest.hold(args.turns)?));
    }
    let about = "Contestants took turns, the disks lay in\nthe page cache. What is told of each change: `verify.md`.";
    args.tell(&root, &Page { name: "verify-speed", title: "Verify and archive", about }, &text)
}

impl Bench {
    /// Makes the archive by the program's own commands.
    fn new(sh: &Shell, ours: PathBuf, at: &Path, work: &Path) -> Result<Self> {
        ensure!(ours.exists(), "{} was not built", ours.display());
        let system = debian_root::debian(SUITE).context("no Debian root can be made here")?;
        let archive = work.join("archive");
        let (key, trust) = (work.join("key"), work.join("key.pub"));
        let status = system.root.join("var/lib/dpkg/status");
        let (lists, debs) = (&system.lists, &system.debs);
        let keyring = ["gpg", "pgp"]
            .map(|ending| format!("/usr/share/keyrings/debian-archive-keyring.{ending}"))
            .into_iter()
            .find(|path| Path::new(path).exists())
            .context("looking for the keyring of Debian's archive")?;
        let suites: Vec<String> = ["", "-updates", "-security"]
            .iter()
            .flat_map(|ending| ["--suite".to_owned(), format!("{SUITE}{ending}")])
            .collect();
        cmd!(sh, "{ours} keys new {key} --dangerously-no-passphrase").run()?;
        cmd!(sh, "{ours} archive init {archive} --name bench").run()?;
        cmd!(
            sh,
            "{ours} archive add-mirror {archive} --name debian --lists {lists} --debs {debs}
             --keyring {keyring} {suites...} --packages-of {status}"
        )
        .run()?;
        cmd!(sh, "{ours} archive catalogue {archive}").run()?;
        cmd!(sh, "{ours} archive sign {archive} --key {key}").run()?;
        let (at, work) = (at.to_owned(), work.to_owned());
        Ok(Self { ours, system, archive, trust, at, work })
    }

    /// The system on ext4, beside it `names` empty files in deep directories; made once.
    fn image(&self, sh: &Shell, folder: &Path, names: u64) -> Result<PathBuf> {
        let image = folder.join(format!("verify-{SUITE}-{names}.ext4"));
        // The kept system may be a newer one than the image was made of.
        let made = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        let is_kept = made(&image).zip(made(&self.system.root)).is_some_and(|(a, b)| a > b);
        if is_kept {
            return Ok(image);
        }
        let partial = folder.join("verify.partial");
        let _absent = std::fs::remove_file(&partial);
        cmd!(sh, "truncate -s 6G {partial}").run()?;
        let nodes = (names + 200_000).to_string();
        cmd!(sh, "mkfs.ext4 -q -F -N {nodes} {partial}").run()?;
        let (at, root) = (&self.at, self.system.root.join("."));
        cmd!(sh, "mount -t ext4 -o loop {partial} {at}").run()?;
        let recipe = evidence::PLANT_NAMES;
        let (place, folders) = (at.join("srv"), names.div_ceil(1000).to_string());
        let planted = cmd!(sh, "cp -a {root} {at}").run().and_then(|()| match names {
            0 => Ok(()),
            _ => cmd!(sh, "python3 -c {recipe} {place} {folders}").quiet().run(),
        });
        let unmounted = cmd!(sh, "umount {at}").run();
        planted?;
        unmounted?;
        std::fs::rename(&partial, &image)?;
        Ok(image)
    }

    /// Ours on an image; it must find nothing, as the system is as it was installed.
    fn verify(&self, image: &Path) -> Rival {
        let (ours, archive, trust) =
            (self.ours.display(), self.archive.display(), self.trust.display());
        let line = format!(
            "{ours} verify {} --archive {archive} --trust {trust} --seen {}/seen",
            image.display(),
            self.work.display()
        );
        Rival { name: "glovebox verify", line }
    }

    /// A line that mounts an image without its journal, does `line` and unmounts it again.
    fn mounted(&self, image: &Path, line: &str) -> String {
        let (image, at) = (image.display(), self.at.display());
        format!("mount -t ext4 -o loop,ro,noload {image} {at} && {{ {line}; umount {at}; }}")
    }

    fn installed(&self, sh: &Shell, image: &Path) -> Result<Contest> {
        let (at, work) = (self.at.display(), self.work.display());
        let settings = format!(
            "database_in=file:{work}/aide.db\ndatabase_out=file:{work}/aide.db\nroot_prefix={at}\n{AIDE_RULES}"
        );
        let config = self.work.join("aide.conf");
        std::fs::write(&config, settings)?;
        let init = self.mounted(image, &format!("aide --init -c {} >&2", config.display()));
        cmd!(sh, "sh -c {init}").quiet().run()?;
        let root = &self.system.root;
        let used = cmd!(sh, "du -sm {root}").read()?;
        let mebibytes = used.split_whitespace().next().unwrap_or_default();
        let rival = |name, line: &str| Rival { name, line: self.mounted(image, line) };
        Ok(Contest {
            what: format!("an installed Debian 12 of {mebibytes} MiB on an ext4 disk"),
            aim: "a third of debsums' time, with SHA-256 in the place of MD5",
            rivals: vec![
                self.verify(image),
                rival("mount + debsums -a -s", &format!("debsums -a -s --root={at}")),
                rival("mount + dpkg --verify", &format!("dpkg --verify --root={at}")),
                rival("mount + aide --check", &format!("aide --check -c {}", config.display())),
                rival(
                    "mount + sha256sum of every file",
                    &format!("find {at} -xdev -type f -print0 | xargs -0 sha256sum >/dev/null"),
                ),
            ],
        })
    }

    fn catalogue(&self) -> Result<Contest> {
        let debs = self.archive.join("debian/debian/pool");
        let index = std::fs::read_to_string(self.archive.join("catalogue/index.tsv"))?;
        let count = index.lines().count().saturating_sub(1);
        let each = format!(
            "find {} -name '*.deb' -exec sh -c 'dpkg-deb --fsys-tarfile \"$1\" | sha256sum' x {{}} \\;",
            debs.display()
        );
        Ok(Contest {
            what: format!("the catalogue of {count} packages"),
            aim: "under 15 s of processor time",
            rivals: vec![
                Rival {
                    name: "glovebox archive catalogue",
                    line: format!(
                        "{} archive catalogue {}",
                        self.ours.display(),
                        self.archive.display()
                    ),
                },
                Rival { name: "dpkg-deb | sha256sum of each, whole", line: each },
            ],
        })
    }

    fn million(&self, image: &Path, names: u64) -> Contest {
        let at = self.at.display();
        let rival = |name, line: &str| Rival { name, line: self.mounted(image, line) };
        Contest {
            what: format!("the same system with {names} further files"),
            aim: "under 10 minutes and 500 MiB",
            rivals: vec![
                self.verify(image),
                rival("mount + debsums -a -s", &format!("debsums -a -s --root={at}")),
                rival("mount + find -printf", &format!("find {at} -printf '%p|%M|%U|%G|%s\\n'")),
            ],
        }
    }

    /// An archive with an index of `count` made-up packages and nothing else.
    fn listed(&self, sh: &Shell, count: u64) -> Result<Contest> {
        let archive = self.work.join("many");
        let (ours, key) = (&self.ours, self.work.join("key"));
        cmd!(sh, "{ours} archive init {archive} --name many").run()?;
        let mut index = INDEX_HEAD.to_owned();
        for number in 0..count {
            let (name, digest) = (format!("package{number:06}"), format!("{number:064x}"));
            writeln!(
                index,
                "{name}\t1.{number}-1\tamd64\t-\t{name}\t1.{number}-1\tdebian/many/pool/{name}_1.{number}-1_amd64.deb\t1000\t{digest}\t100\t{digest}"
            )?;
        }
        std::fs::create_dir(archive.join("catalogue"))?;
        let file = archive.join("catalogue/index.tsv");
        std::fs::write(&file, index)?;
        cmd!(sh, "{ours} archive sign {archive} --key {key}").run()?;
        let list = |text: &str| {
            let (ours, archive) = (ours.display(), archive.display());
            let (trust, work) = (self.trust.display(), self.work.display());
            format!("{ours} archive list {archive} {text} --trust {trust} --seen {work}/seen")
        };
        let wanted = format!("package{:06}", count / 2);
        Ok(Contest {
            what: format!("an archive of {count} packages listed"),
            aim: "under 1 s",
            rivals: vec![
                Rival { name: "glovebox archive list", line: list("") },
                Rival { name: "glovebox archive list, one looked up", line: list(&wanted) },
                Rival {
                    name: "sha256sum of the index",
                    line: format!("sha256sum {}", file.display()),
                },
            ],
        })
    }
}
