//! Inodes of ext2/3/4 as The Sleuth Kit's istat and ils tell them: an independent reader of the same bytes.

mod support;

use evidence::ext::Ext;
use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileKind, FileSystem, Metadata, RawPath, Stored};
use evidence::{ProblemKind, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::population::{self, Abilities};
use support::{blank, open, run, text, tool};

const LAYOUTS: [&[&str]; 4] = [
    &["-t", "ext4", "-b", "4096"],
    &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"],
    &["-t", "ext3", "-b", "4096", "-I", "256"],
    &["-t", "ext2", "-b", "1024", "-I", "128"],
];
/// Files looked at with istat, one process each.
const SAMPLE: usize = 120;

/// The facts of one inode in istat's own words; times in seconds and nanoseconds, where it is right about them.
fn facts_told(told: &str) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for line in told.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let value = value.split(" (").next().unwrap_or(value);
        if matches!(
            key,
            "Generation Id"
                | "uid / gid"
                | "mode"
                | "size"
                | "num of links"
                | "Accessed"
                | "File Modified"
                | "Inode Modified"
                | "File Created"
        ) {
            facts.insert(key.to_owned(), value.to_owned());
        }
    }
    facts
}

fn time_told(time: Time, has_nanoseconds: bool) -> String {
    let shown = time.to_string();
    let (date, clock) = shown.trim_end_matches('Z').split_once('T').expect("a date and a time");
    let whole = clock.split('.').next().expect("seconds");
    match has_nanoseconds {
        true => format!("{date} {whole}.{:09}", time.nanoseconds),
        false => format!("{date} {whole}"),
    }
}

/// The letter of the type and the permissions, as `ls` writes them with the type said twice.
fn mode_told(metadata: &Metadata) -> String {
    let kind = match metadata.kind {
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 'h',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        _ => 'r',
    };
    let mut out = kind.to_string();
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = metadata.mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (metadata.mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

fn facts_ours(metadata: &Metadata, has_nanoseconds: bool) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut put = |key: &str, value: String| facts.insert(key.to_owned(), value);
    put("Generation Id", metadata.generation.expect("a generation").to_string());
    put("uid / gid", format!("{} / {}", metadata.uid, metadata.gid));
    put("mode", mode_told(metadata));
    put("size", metadata.size_bytes.to_string());
    put("num of links", metadata.links.to_string());
    for (key, time) in [
        ("Accessed", metadata.accessed),
        ("File Modified", metadata.modified),
        ("Inode Modified", metadata.changed),
        ("File Created", metadata.born),
    ] {
        if let Some(time) = time {
            put(key, time_told(time, has_nanoseconds));
        }
    }
    facts
}

/// Blocks that hold content, in order; istat counts unwritten ones as holes.
fn blocks_told(told: &str) -> Vec<u64> {
    let direct = told.split("Direct Blocks:").nth(1).unwrap_or("");
    let direct = direct.split("Indirect Blocks:").next().unwrap_or("");
    let numbers = direct.split_whitespace().map(|word| word.parse().expect("a block number"));
    numbers.filter(|block| *block != 0).collect()
}

fn blocks_ours(fs: &Ext, node: u64, block_bytes: u64) -> Vec<u64> {
    let mut blocks = Vec::new();
    for extent in fs.extents(node).unwrap() {
        if let Stored::At(start) = extent.stored {
            let count = extent.length_bytes.div_ceil(block_bytes);
            blocks.extend((start / block_bytes)..(start / block_bytes) + count);
        }
    }
    blocks
}

fn image(directory: &Path, options: &[&str]) -> Option<std::path::PathBuf> {
    let mkfs = tool("mke2fs")?;
    let image = blank(directory, "image", 48 << 20);
    run(&mkfs, &[&["-q", "-F", "-N", "4096"], options, &[text(&image)]].concat(), "");
    let mounted = support::kernel::mount(&image, "ext4", "rw")?;
    // istat knows neither years before 1970 nor those of the wider fields.
    let xattr_bytes = if options.contains(&"128") { 0 } else { 300 };
    let abilities =
        Abilities { many: 200, times: (1, (1 << 31) - 1), xattr_bytes, ..Abilities::LINUX };
    population::plant(mounted.root(), abilities);
    mounted.unmount();
    Some(image)
}

/// Vouched for by istat: every field of the inode, all four times, and every block.
#[test]
fn inodes_agree_with_istat() {
    let Some(istat) = tool("istat") else { return };
    for options in LAYOUTS {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let fs = Ext::open(open(&image)).unwrap();
        let block_bytes = if options.contains(&"1024") { 1024 } else { 4096 };
        let mut nodes = BTreeMap::new();
        tree::walk(&fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
            nodes.insert(visit.metadata.node, (visit.path.clone(), visit.metadata.clone()));
        });
        // One in many, so that every kind and every odd file is met but not each of two hundred alike.
        let step = nodes.len().div_ceil(SAMPLE);
        let mut compared = 0;
        for (node, (path, metadata)) in nodes.iter().step_by(step) {
            let told = run(&istat, &[text(&image), &node.to_string()], "");
            let mut theirs = facts_told(&told);
            // Of ext2 and ext3 it tells whole seconds and no creation, whatever the inode has.
            let is_ext4 = theirs.contains_key("File Created");
            let mut ours = facts_ours(metadata, is_ext4);
            if !is_ext4 {
                ours.remove("File Created");
            }
            if metadata.device.is_some() {
                // The size field of a device is not looked at by either.
                theirs.remove("size");
                ours.remove("size");
            }
            // Its mode is written with the type of the name and of the inode.
            let mode = theirs["mode"].clone();
            theirs.insert("mode".to_owned(), mode[mode.len() - 10..].to_owned());
            assert_eq!(ours, theirs, "{options:?} {path}\n{told}");
            if metadata.kind == FileKind::File {
                assert_eq!(
                    blocks_ours(&fs, *node, block_bytes),
                    blocks_told(&told),
                    "{options:?} {path}\n{told}"
                );
            }
            compared += 1;
        }
        assert!(compared >= 60, "{options:?}: only {compared} inodes were compared");
    }
}

/// Vouched for by ils: the inodes that were deleted, by number.
#[test]
fn deleted_inodes_agree_with_ils() {
    let (Some(ils), Some(debugfs)) = (tool("ils"), tool("debugfs")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4"]) else { return };
    let fs = Ext::open(open(&image)).unwrap();
    let mut victims = BTreeSet::new();
    let mut script = String::new();
    tree::walk(&fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
        let is_plain = visit.metadata.kind == FileKind::File && visit.metadata.links == 1;
        let path = visit.path.0.to_vec();
        let is_simple =
            path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/-._".contains(byte));
        if is_plain && is_simple && visit.metadata.node.is_multiple_of(7) {
            victims.insert(visit.metadata.node);
            script.push_str(&format!("rm {}\n", String::from_utf8(path).unwrap()));
        }
    });
    assert!(victims.len() > 5, "{}", victims.len());
    run(&debugfs, &["-w", "-f", "-", text(&image)], &script);
    let told = run(&ils, &["-r", text(&image)], "");
    let theirs: BTreeSet<u64> =
        told.lines().filter_map(|line| line.split('|').next()?.parse().ok()).collect();
    let fs = Ext::open(open(&image)).unwrap();
    let listing = fs.deleted(100_000);
    assert!(!listing.problems.iter().any(|problem| problem.kind == ProblemKind::Refused));
    let ours: BTreeSet<u64> = listing.entries.iter().filter_map(|entry| entry.node).collect();
    assert!(victims.is_subset(&theirs), "ils lacks {:?}", victims.difference(&theirs));
    assert!(theirs.is_subset(&ours), "we lack {:?}", theirs.difference(&ours));
}
