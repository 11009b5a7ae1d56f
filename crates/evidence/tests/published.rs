//! Published images read by us and by Dissect, an independent reader in another language by other people.
//!
//! `GLOVEBOX_PUBLISHED` is the folder of the unpacked source distributions, `GLOVEBOX_JUDGE_PYTHON` an interpreter that has
//! Dissect, `GLOVEBOX_JUDGE_WALK` the program that lists what it reads; the test command of the project sets all three.

mod support;

use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileKind, FileSystem, RawPath};
use evidence::stack::{Disk, Stack};
use evidence::{MemSource, View};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What both tell: mode with type, inode, size (of files and links), time of change in nanoseconds, content or target.
type Facts = (u32, u64, u64, Option<i128>, String);
type Listing = BTreeMap<String, Facts>;

/// Which of the facts the two readers count alike.
#[derive(Clone, Copy)]
struct Alike {
    /// Inode numbers; FAT has none, and nodes of Btrfs and squashfs hold more than them.
    nodes: bool,
    /// Modes; FAT and NTFS keep none and each reader makes up its own.
    modes: bool,
    /// Times; FAT's are local, and Dissect rounds some through floating point.
    times: bool,
}

const UNIX: Alike = Alike { nodes: true, modes: true, times: true };
const NUMBERED_OTHERWISE: Alike = Alike { nodes: false, modes: true, times: true };
const MADE_UP: Alike = Alike { nodes: false, modes: false, times: false };

struct Judge {
    folder: PathBuf,
    python: PathBuf,
    walk: PathBuf,
}

fn judge() -> Option<Judge> {
    let place = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        if found.is_none() {
            eprintln!("skipped: {name} is not set");
        }
        found
    };
    Some(Judge {
        folder: place("GLOVEBOX_PUBLISHED")?,
        python: place("GLOVEBOX_JUDGE_PYTHON")?,
        walk: place("GLOVEBOX_JUDGE_WALK")?,
    })
}

impl Judge {
    /// Files of one distribution whose names begin and end so, sorted.
    fn images(&self, package: &str, begins: &str, ends: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for distribution in std::fs::read_dir(&self.folder).expect("the folder of images") {
            let path = distribution.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with(package) {
                continue;
            }
            for data in ["tests/data", "tests/_data"] {
                let entries = std::fs::read_dir(path.join(data)).into_iter().flatten().flatten();
                found.extend(entries.map(|entry| entry.path()).filter(|path| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    name.starts_with(begins) && name.ends_with(ends)
                }));
            }
        }
        found.sort();
        assert!(!found.is_empty(), "{package} has no images {begins}*{ends}");
        found
    }

    /// What Dissect reads, and how many objects it could not.
    fn listing(&self, devices: &[PathBuf]) -> (Listing, usize) {
        let out =
            Command::new(&self.python).arg(&self.walk).args(devices).output().expect("the judge");
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{devices:?}: {errors}");
        let (mut listing, mut unread) = (Listing::new(), 0);
        for line in String::from_utf8_lossy(&out.stdout).lines() {
            let record: Value = serde_json::from_str(line).expect("a record");
            if !record["error"].is_null() {
                unread += 1;
                continue;
            }
            let number = |name: &str| record[name].as_u64().expect("a number");
            let content = record["sha256"].as_str().or(record["target"].as_str());
            let facts = (
                number("mode") as u32,
                number("inode"),
                number("size"),
                record["mtime_ns"].as_i64().map(i128::from),
                content.unwrap_or_default().to_owned(),
            );
            listing.insert(record["path"].as_str().expect("a path").to_owned(), facts);
        }
        (listing, unread)
    }
}

fn content(path: &Path) -> Vec<u8> {
    let raw = std::fs::read(path).expect("an image");
    if path.extension().is_none_or(|ending| ending != "gz") {
        return raw;
    }
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(&raw[..]).read_to_end(&mut unpacked).expect("gzip");
    unpacked
}

fn ours(devices: &[PathBuf]) -> Listing {
    let disks: Vec<Disk> = devices
        .iter()
        .enumerate()
        .map(|(number, path)| Disk {
            name: format!("disk{number}"),
            source: Arc::new(MemSource::new(content(path))),
        })
        .collect();
    let stack = Stack::examine(&disks, &[]);
    let id = stack.find("disk0", "0").expect("a volume");
    // The judge replays no journal, so the view without is what compares.
    let fs = stack.open(id, View::Raw).unwrap_or_else(|error| panic!("{devices:?}: {error}"));
    let mut listing = Listing::new();
    tree::walk(&*fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
        let path = String::from_utf8_lossy(&visit.path.0).into_owned();
        listing.insert(path, facts(&*fs, &visit.metadata));
    });
    listing
}

fn facts(fs: &dyn FileSystem, m: &evidence::fs::Metadata) -> Facts {
    let kind = match m.kind {
        FileKind::Directory => 0o040_000,
        FileKind::Symlink => 0o120_000,
        FileKind::BlockDevice => 0o060_000,
        FileKind::CharDevice => 0o020_000,
        FileKind::Fifo => 0o010_000,
        FileKind::Socket => 0o140_000,
        FileKind::File | FileKind::Unknown => 0o100_000,
    };
    let content = match m.kind {
        FileKind::File => {
            let algorithms = hashing::Algorithms::sha256();
            let digests = evidence::fs::digest::file(fs, m.node, m.size_bytes, &algorithms);
            digests.map_or_else(|error| error.to_string(), |(digests, _)| digests.sha256_hex())
        }
        FileKind::Symlink => fs.read_link(m.node).map_or_else(
            |error| error.to_string(),
            |target| String::from_utf8_lossy(&target.0).into_owned(),
        ),
        _ => String::new(),
    };
    let nanoseconds = m
        .modified
        .map(|time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds));
    (kind | m.mode, m.node, m.size_bytes, nanoseconds, content)
}

/// Compares both listings; `least` objects must have been compared, or the test has not tested.
fn compare(judge: &Judge, devices: &[PathBuf], alike: Alike, least: usize) {
    let (theirs, unread) = judge.listing(devices);
    let ours = ours(devices);
    let mut compared = 0;
    for (path, their) in &theirs {
        let Some(our) = ours.get(path) else {
            panic!("{devices:?}: {path} is missing among {:?}", ours.keys().collect::<Vec<_>>());
        };
        let is_directory = our.0 & 0o170_000 == 0o040_000;
        let same = (!alike.modes || our.0 == their.0)
            && (!alike.nodes || our.1 == their.1)
            && (is_directory || our.2 == their.2)
            && (!alike.times || our.3 == their.3)
            && our.4 == their.4;
        assert!(same, "{devices:?}: {path}\n  ours   {our:?}\n  theirs {their:?}");
        compared += 1;
    }
    eprintln!("{devices:?}: {compared} objects compared, {unread} the judge could not read");
    assert!(compared >= least, "{devices:?}: only {compared} objects were compared");
}

#[test]
fn ext4_and_xfs() {
    let Some(judge) = judge() else { return };
    for image in judge.images("dissect_extfs", "", ".gz") {
        compare(&judge, &[image], UNIX, 3);
    }
    for image in judge.images("dissect_xfs", "", ".gz") {
        compare(&judge, &[image], UNIX, 1);
    }
}

#[test]
fn squashfs_by_every_compressor() {
    let Some(judge) = judge() else { return };
    for image in judge.images("dissect_squashfs", "", ".sqfs") {
        compare(&judge, &[image], NUMBERED_OTHERWISE, 30);
    }
}

#[test]
fn fat_and_exfat() {
    let Some(judge) = judge() else { return };
    for image in judge.images("dissect_fat", "", ".bin") {
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Dissect lists the volume label of FAT as a file.
        if name.starts_with("exfat") {
            compare(&judge, &[image], MADE_UP, 2);
        }
    }
}

#[test]
fn btrfs_on_one_device_and_several() {
    let Some(judge) = judge() else { return };
    for name in ["default", "compression", "sparse", "subvolume", "subvolume-snapshot"] {
        let images = judge.images("dissect_btrfs", &format!("btrfs-{name}.bin"), ".gz");
        compare(&judge, &images, NUMBERED_OTHERWISE, 4);
    }
    for profile in ["dup", "raid0", "raid1", "raid1c3", "raid1c4", "raid10", "raid5", "raid6"] {
        let images = judge.images("dissect_btrfs", &format!("btrfs-{profile}-"), ".gz");
        compare(&judge, &images, NUMBERED_OTHERWISE, 1);
    }
}

#[test]
fn ntfs_of_real_windows() {
    let Some(judge) = judge() else { return };
    let images = judge.images("dissect_ntfs", "ntfs.bin", ".gz");
    compare(&judge, &images, MADE_UP, 20);
}
