//! Volumes made of several disks by the kernel itself: the judge of the readers that assemble them in memory.
//!
//! One guest makes them all on the partitions of six disks, fills each with noise and prints its SHA-256 as the kernel's
//! own drivers read it back. The disks and those sums are kept; the host needs neither md nor device mapper.

mod crypt;
mod lvm;
mod md;

use crate::disk::{Bus, Disk};
use crate::error::{Doing, Result, machine};
use crate::workshop::Workshop;
use crate::{cache, digest};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
/// Serial numbers of the disks; a script finds its part of each in the variables of this name.
pub const DISKS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// One volume or group of volumes; it has a partition of its own on every disk.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Name, and the sum's first word unless the script prints others.
    pub name: &'static str,
    /// Size in MiB of the partition on each disk.
    pub sizes_mib: [u64; 6],
    /// Lines for the guest's shell; `$A` to `$F` are the partitions.
    pub script: &'static str,
}

/// What the kernel said one volume holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Name of the recipe.
    pub recipe: String,
    /// Name of the volume.
    pub volume: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// Functions every script may use: noise in and a sum out, both through the kernel's block layer.
const FUNCTIONS: &str = r#"
    fill() { dd if=/dev/urandom of=$1 bs=64k oflag=direct status=none ${2:+count=$2} ${3:+seek=$3} 2>/dev/null; sync $1; }
    sum() { sync; blockdev --flushbufs $2; echo "SUM $1 $(sha256sum <$2 | cut -c-64) $(blockdev --getsize64 $2)"; }
    array() { n=$1; shift; mdadm --create /dev/md$n --run --assume-clean --homehost=zoo --name=$n "$@" 2>&1 && echo 0 >/sys/block/md$n/md/safe_mode_delay; }
    close() { mdadm --stop /dev/md$1 2>&1; }
    modprobe -a raid0 raid1 raid10 raid456 dm-mod dm-raid dm-mirror dm-snapshot dm-thin-pool dm-crypt dm-cache-smq xts essiv; true
"#;

/// All recipes; the number of its partition is its place, from 1.
#[must_use]
pub fn recipes() -> Vec<Recipe> {
    [md::RECIPES, lvm::RECIPES, crypt::RECIPES].concat()
}

/// The folder with `A.img` to `F.img` and `sums`, made when it is not there.
///
/// # Errors
/// [`crate::Error::Machine`] when the guest fails.
pub fn folder() -> Result<PathBuf> {
    let key = format!("{:?} {FUNCTIONS}", recipes());
    cache::folder("volumes", &key, make)
}

/// Reads the sums of [`folder`].
///
/// # Errors
/// [`crate::Error::File`] when they cannot be read.
pub fn sums(folder: &Path) -> Result<Vec<Sum>> {
    let path = folder.join("sums");
    let text = std::fs::read_to_string(&path).doing("reading", &path)?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().map(str::to_owned);
            let (recipe, volume, sha256) = (word()?, word()?, word()?);
            Some(Sum { recipe, volume, sha256, size_bytes: word()?.parse().ok()? })
        })
        .collect())
}

fn make(folder: &Path) -> Result<()> {
    let recipes = recipes();
    let mut disks = Vec::new();
    for (index, name) in DISKS.iter().enumerate() {
        let file = folder.join(format!("{name}.img"));
        let size: u64 = recipes.iter().map(|recipe| recipe.sizes_mib[index] + 1).sum();
        digest::sparse(&file, (size + 4) * MIB)?;
        disks.push(Disk::new(name, &file, Bus::VirtioBlk));
    }
    let mut workshop = Workshop::start(&folder.join("log"), &disks)?;
    for (index, name) in DISKS.iter().enumerate() {
        let mut table = "label: gpt\\n".to_owned();
        for recipe in &recipes {
            table.push_str(&format!("size={}M,name={}\\n", recipe.sizes_mib[index], recipe.name));
        }
        // In parts, because a serial line takes 4095 letters at once.
        workshop.run(&format!(": >/tmp/table; {name}_DISK=$(disk {name})"))?;
        for part in table.as_bytes().chunks(1000) {
            workshop
                .run(&format!("printf '%b' '{}' >>/tmp/table", String::from_utf8_lossy(part)))?;
        }
        workshop.run(&format!("printf '%b' \"$(cat /tmp/table)\" | sfdisk -q ${name}_DISK"))?;
    }
    workshop.run(FUNCTIONS)?;
    let mut sums = String::new();
    let mut failures = Vec::new();
    for (index, recipe) in recipes.iter().enumerate() {
        let started = std::time::Instant::now();
        let number = index + 1;
        let set: Vec<String> =
            DISKS.iter().map(|name| format!("{name}=${{{name}_DISK}}{number}")).collect();
        workshop.run(&set.join("; "))?;
        let said = match workshop.run(recipe.script) {
            Ok(said) => said,
            // The others are made all the same, so that one run tells everything that is wrong.
            Err(error) => {
                failures.push(format!("{}: {}", recipe.name, error.chain()));
                continue;
            }
        };
        let found: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("SUM ")).collect();
        if found.is_empty() {
            return machine(format!("the recipe {} printed no sum but {said}", recipe.name));
        }
        for sum in found {
            sums.push_str(&format!("{} {}\n", recipe.name, sum.trim()));
        }
        eprintln!("{} after {:?}", recipe.name, started.elapsed());
    }
    if !failures.is_empty() {
        return machine(failures.join("\n"));
    }
    workshop.run("sync")?;
    workshop.cut()?;
    let path = folder.join("sums");
    std::fs::write(&path, sums).doing("writing", &path)
}
