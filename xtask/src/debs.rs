//! The pinned Debian packages, fetched, checked and unpacked; and pinned tools run from them.
//!
//! A tool from a package runs through the loader and libraries of the pinned packages, so that the
//! bytes it makes do not depend on what the build machine has installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::apt::Apt;
use crate::config::Debian;
use crate::lock::{Lock, Package, Use};
use crate::{cache, files};

/// What to do when a pinned version cannot be had any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pinning {
    /// Take the newest of the suite, say what changed, rewrite the lock.
    Renew,
    /// Refuse.
    Locked,
}

/// All pinned packages, unpacked.
pub(crate) struct Debs {
    lock: Lock,
    folder: PathBuf,
    tools: PathBuf,
}

/// Fetches what the description names, in the versions the lock file pins.
pub(crate) fn fetch(
    debian: &Debian,
    lock_path: &Path,
    pinning: Pinning,
    mirror: Option<&str>,
) -> Result<Debs> {
    let folder = cache::folder("debs")?;
    let _alone = cache::lock("debs")?;
    let mut lock = Lock::read(lock_path)?;
    let mut apt = None;
    let complete = covers(&lock, debian);
    if !complete && pinning == Pinning::Locked {
        bail!("{} does not list every package of the description", lock_path.display());
    }
    let missing = |lock: &Lock| -> Vec<Package> {
        lock.package.iter().filter(|package| !cached(&folder, package)).cloned().collect()
    };
    if !complete || !missing(&lock).is_empty() {
        let opened = Apt::configure(debian, mirror)?;
        opened.update()?;
        let gone: Vec<String> = missing(&lock)
            .iter()
            .filter(|package| !opened.has(package))
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        if !gone.is_empty() {
            eprintln!("no longer on the mirror as pinned: {}", gone.join(", "));
            if pinning == Pinning::Locked {
                bail!("pinned packages are gone and --locked forbids taking newer ones");
            }
        }
        if !complete || !gone.is_empty() {
            lock = write_newest(debian, &opened, &lock, lock_path)?;
        }
        apt = Some(opened);
    }
    for package in missing(&lock) {
        let apt = apt.as_ref().context("opening the archive")?;
        let deb = apt.download(&package)?;
        let bytes = files::read(&deb)?;
        let found = files::sha256(&bytes);
        if found != package.sha256 || bytes.len() as u64 != package.size_bytes {
            bail!(
                "package {} {} has SHA-256 {found}, expected {}",
                package.name,
                package.version,
                package.sha256
            );
        }
        files::write(&deb_path(&folder, &package), &bytes, 0o644)?;
    }
    for package in lock.package.iter().filter(|package| package.purpose != Use::Tool) {
        unpack(&folder, &folder.join(&package.sha256), &[package])?;
    }
    // The tools share one root, as they would on a system: one library folder, short commands.
    let tools: Vec<&Package> = lock.of(Use::Tool).collect();
    let digests: String = tools.iter().map(|package| package.sha256.as_str()).collect();
    let root = folder.join(format!("tools-{}", &files::sha256(digests.as_bytes())[..16]));
    unpack(&folder, &root, &tools)?;
    Ok(Debs { lock, folder, tools: root })
}

/// Takes the newest versions whatever is pinned, and rewrites the lock.
pub(crate) fn renew(debian: &Debian, lock_path: &Path, mirror: Option<&str>) -> Result<()> {
    let _alone = cache::lock("debs")?;
    let apt = Apt::configure(debian, mirror)?;
    apt.update()?;
    write_newest(debian, &apt, &Lock::read(lock_path)?, lock_path).map(drop)
}

fn write_newest(debian: &Debian, apt: &Apt, old: &Lock, lock_path: &Path) -> Result<Lock> {
    let newer = newest(debian, apt)?;
    for line in old.differences(&newer) {
        eprintln!("  {line}");
    }
    newer.write(lock_path)?;
    Ok(newer)
}

/// Whether the lock names every package of the description, and a kernel.
fn covers(lock: &Lock, debian: &Debian) -> bool {
    let has = |purpose, name: &String| lock.of(purpose).any(|package| &package.name == name);
    lock.of(Use::Kernel).count() == 1
        && debian.boot.iter().all(|name| has(Use::Boot, name))
        && debian.tool.iter().all(|name| has(Use::Tool, name))
}

fn newest(debian: &Debian, apt: &Apt) -> Result<Lock> {
    let meta = apt.newest(std::slice::from_ref(&debian.kernel))?;
    let kernel = meta
        .first()
        .and_then(|record| {
            let names = record.depends.split([',', ' ']).map(str::trim);
            names.into_iter().find(|name| name.starts_with("linux-image-")).map(str::to_owned)
        })
        .with_context(|| format!("looking for the kernel that {} names", debian.kernel))?;
    let mut lock = Lock::default();
    let groups = [
        (Use::Kernel, std::slice::from_ref(&kernel)),
        (Use::Boot, debian.boot.as_slice()),
        (Use::Tool, debian.tool.as_slice()),
    ];
    for (purpose, names) in groups {
        lock.package.extend(apt.newest(names)?.into_iter().map(|record| record.pin(purpose)));
    }
    Ok(lock)
}

fn deb_path(folder: &Path, package: &Package) -> PathBuf {
    folder.join(format!("{}.deb", package.sha256))
}

fn cached(folder: &Path, package: &Package) -> bool {
    files::sha256_file(&deb_path(folder, package)).is_ok_and(|found| found == package.sha256)
}

/// Unpacks packages into one root.
fn unpack(folder: &Path, target: &Path, packages: &[&Package]) -> Result<()> {
    if target.is_dir() {
        return Ok(());
    }
    // Renamed into place, so that a build that was cut short leaves no half root behind.
    let partial = folder.join("partial");
    files::remove_folder(&partial)?;
    let sh = Shell::new()?;
    for package in packages {
        let deb = deb_path(folder, package);
        cmd!(sh, "dpkg-deb --extract {deb} {partial}").run()?;
    }
    std::fs::rename(&partial, target).with_context(|| format!("keeping {}", target.display()))
}

impl Debs {
    /// The pinned packages.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Where a package that is not a tool is unpacked.
    pub(crate) fn root(&self, name: &str) -> Result<PathBuf> {
        let package = self
            .lock
            .package
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("looking for package {name} in the lock"))?;
        Ok(self.folder.join(&package.sha256))
    }

    /// Where the kernel package is unpacked, and the kernel's release name.
    pub(crate) fn kernel(&self) -> Result<(PathBuf, String)> {
        let package = self.lock.of(Use::Kernel).next().context("looking for a kernel")?;
        let release = package.name.trim_start_matches("linux-image-").to_owned();
        Ok((self.root(&package.name)?, release))
    }

    /// A command running program `path` of the pinned tools, with the pinned libraries alone.
    pub(crate) fn tool<'a>(&self, sh: &'a Shell, path: &str) -> Result<Cmd<'a>> {
        let loader = self.tools.join("usr/lib64/ld-linux-x86-64.so.2");
        let libraries = self.tools.join("usr/lib/x86_64-linux-gnu");
        let program = self.tools.join(path);
        Ok(cmd!(sh, "{loader} --inhibit-cache --library-path {libraries} {program}")
            .env("LC_ALL", "C")
            .env("TZ", "UTC"))
    }
}
