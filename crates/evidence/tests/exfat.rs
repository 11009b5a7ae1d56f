//! exFAT against exfatprogs, exfat-fuse and The Sleuth Kit.

mod support;

use evidence::exfat::ExFat;
use evidence::fs::tree::{self, LastLink, Limits};
use evidence::fs::{FileKind, Stored};
use evidence::{FileSystem, MemSource, ProblemKind, RawPath, Source, Time};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::population::{self, Abilities};
use support::{Random, blank, facts, hostile, open, run, text, tool, unmount};

/// What exFAT can hold: dates from 1980 on, names that are text. The judge takes 2100 for a leap year, so dates end there.
const ABILITIES: Abilities = Abilities {
    many: 400,
    any_bytes: false,
    unix: false,
    xattr_bytes: 0,
    times: (315_532_800, 4_107_542_398),
};

/// An empty file system.
fn formatted(directory: &Path, options: &[&str], size: u64) -> Option<PathBuf> {
    let mkfs = tool("mkfs.exfat")?;
    let image = blank(directory, "image", size);
    let mut all = vec!["-L", "Glove bäx"];
    all.extend(options);
    all.push(text(&image));
    run(&mkfs, &all, "");
    Some(image)
}

/// A file system mounted by exfat-fuse through a loop device.
struct Mounted {
    directory: tempfile::TempDir,
    device: String,
}

impl Mounted {
    fn new(image: &Path, options: &str) -> Option<Self> {
        let (mount, losetup) = (tool("mount.exfat-fuse")?, tool("losetup")?);
        if !Path::new("/dev/fuse").exists() || !rustix::process::geteuid().is_root() {
            eprintln!("skipped: no /dev/fuse, or not root");
            return None;
        }
        let device = run(&losetup, &["--find", "--show", text(image)], "").trim().to_owned();
        let mounted = Self { directory: tempfile::tempdir().unwrap(), device };
        let done = Command::new(mount)
            .args(["-o", options, &mounted.device, text(mounted.root())])
            .env("TZ", "UTC")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(mounted)
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The daemon writes after umount(8) returned; the loop device is free when it has ended.
        unmount(self.directory.path());
        for _ in 0..200 {
            let _ = Command::new("losetup").args(["-d", &self.device]).output();
            let listed = Command::new("losetup").arg(&self.device).output().unwrap();
            if !listed.status.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        eprintln!("{} stays in use", self.device);
    }
}

/// Fields of a body file that fls and we both tell: path, node, size, times accessed, modified, born.
type Line = (String, u64, u64, [i64; 3]);

/// What fls tells.
fn fls(image: &Path) -> Option<Vec<Line>> {
    let out = run(&tool("fls")?, &["-r", "-m", "/", text(image)], "");
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let number = |index: usize| fields[index].parse::<i64>().unwrap();
        let times = [number(7), number(8), number(10)];
        (fields[1].to_owned(), number(2) as u64, number(6) as u64, times)
    };
    Some(out.lines().map(parse).collect())
}

/// Vouched for by exfat-fuse (names, content, times), by fls (nodes), by dump.exfat (free clusters), by fsck.exfat.
#[test]
fn an_awkward_tree_is_shown_as_others_show_it() {
    let directory = tempfile::tempdir().unwrap();
    for (options, size) in
        [(&["-c", "512"][..], 40 << 20), (&["-c", "4096"], 48 << 20), (&["-c", "128K"], 512 << 20)]
    {
        let Some(image) = formatted(directory.path(), options, size) else { return };
        let Some(mounted) = Mounted::new(&image, "rw") else { return };
        population::plant(mounted.root(), ABILITIES);
        for name in ["UPPER.TXT", "Mixed.Case", "\u{e4}\u{df}\u{3c3}", "  spaces  ", "dots.."] {
            std::fs::write(mounted.root().join(name), name).unwrap();
        }
        std::fs::write(mounted.root().join("ü".repeat(255)), "longest").unwrap();
        drop(mounted);
        let Some(mounted) = Mounted::new(&image, "ro,noatime") else { return };
        let mut theirs = facts::kernels(mounted.root());
        drop(mounted);

        let fs = ExFat::open(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        assert_eq!(fs.label().as_deref(), Some("Glove bäx"));
        let (mut ours, problems) = facts::ours(&fs);
        assert_eq!(problems, []);
        let nodes: Vec<u64> = ours.values().map(|facts| facts.node).collect();
        for tree in [&mut ours, &mut theirs] {
            for facts in tree.values_mut() {
                (facts.mode, facts.links, facts.node, facts.uid, facts.gid) = (0, 0, 0, 0, 0);
                // exfat-fuse tells no creation, shows the change of content as that of the inode, and whole seconds.
                (facts.changed, facts.born) = (None, None);
                for time in [&mut facts.modified, &mut facts.accessed].into_iter().flatten() {
                    *time = Time { seconds: time.seconds, nanoseconds: 0 };
                }
                if facts.kind == FileKind::Directory {
                    facts.size_bytes = 0;
                }
            }
        }
        facts::compare(&ours, &theirs, "exfat");

        let Some(listed) = fls(&image) else { return };
        for node in nodes {
            assert!(listed.iter().any(|line| line.1 == node), "node {node} is not in fls");
        }
        let Some(dump) = tool("dump.exfat") else { return };
        let out = run(&dump, &[text(&image)], "");
        let field = |name: &str| -> u64 {
            let line = out.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit('\t').next().unwrap().trim().parse().unwrap()
        };
        let free: u64 = fs.free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
        assert_eq!(free, field("Free Clusters:") * field("Cluster size:"));
    }
}

/// Vouched for by fls and icat, and by what was written.
#[test]
fn deleted_files_are_found_with_their_content() {
    let Some(icat) = tool("icat") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = formatted(directory.path(), &["-c", "4096"], 16 << 20) else { return };
    let Some(mounted) = Mounted::new(&image, "rw") else { return };
    let mut random = Random(21);
    let mut written: Vec<(String, Vec<u8>)> = Vec::new();
    std::fs::create_dir_all(mounted.root().join("gone/deeper")).unwrap();
    let names =
        ["one", "a name of more than fifteen letters", "empty", "gone/two", "gone/deeper/x"];
    for (index, name) in names.into_iter().enumerate() {
        let content = if name == "empty" { Vec::new() } else { random.bytes(5000 + 9000 * index) };
        std::fs::write(mounted.root().join(name), &content).unwrap();
        written.push((format!("/{name}"), content));
    }
    std::fs::write(mounted.root().join("kept"), "kept").unwrap();
    drop(mounted);
    let Some(mounted) = Mounted::new(&image, "rw") else { return };
    for name in names {
        std::fs::remove_file(mounted.root().join(name)).unwrap();
    }
    std::fs::remove_dir(mounted.root().join("gone/deeper")).unwrap();
    std::fs::remove_dir(mounted.root().join("gone")).unwrap();
    drop(mounted);
    let fs = ExFat::open(open(&image)).unwrap();
    assert_eq!(fs.problems(), []);
    let deleted = fs.deleted(100);
    assert_eq!(deleted.problems, []);
    let listed = fls(&image).unwrap();
    for (path, content) in &written {
        let entry = deleted.entries.iter().find(|entry| entry.path.to_string() == *path);
        let entry = entry.unwrap_or_else(|| panic!("{path} is not in {:?}", deleted.entries));
        let node = entry.node.unwrap();
        assert!(!entry.is_reused, "{path}");
        assert!(listed.iter().any(|line| line.1 == node && line.0.starts_with(path.as_str())));
        let fs: &dyn FileSystem = &fs;
        let (ours, is_whole) = fs.read_head(node, 1 << 20).unwrap();
        assert!(is_whole && ours == *content, "{path}");
        let out = Command::new(&icat).args(["-r", text(&image), &node.to_string()]).output();
        assert!(ours == out.unwrap().stdout, "{path}");
    }
    assert_eq!(deleted.entries.len(), written.len() + 2, "{:?}", deleted.entries);
}

/// A small image with a file in a directory, and its bytes.
fn small(directory: &Path) -> Option<Vec<u8>> {
    let image = formatted(directory, &["-c", "512", "-b", "4K"], 1 << 20)?;
    let mounted = Mounted::new(&image, "rw")?;
    std::fs::create_dir(mounted.root().join("sub")).unwrap();
    std::fs::write(mounted.root().join("sub/a file with a name.bin"), Random(5).bytes(2500))
        .unwrap();
    std::fs::write(mounted.root().join("other"), Random(6).bytes(700)).unwrap();
    std::fs::write(mounted.root().join("gone"), Random(7).bytes(700)).unwrap();
    std::fs::remove_file(mounted.root().join("gone")).unwrap();
    drop(mounted);
    Some(std::fs::read(&image).unwrap())
}

fn mem(bytes: Vec<u8>) -> Arc<dyn Source> {
    Arc::new(MemSource::new(bytes))
}

/// The checksum of a set as the specification gives it, to keep damage apart from what it should not touch.
fn seal(bytes: &mut [u8], at: usize) {
    let length = 32 * (1 + usize::from(bytes[at + 1]));
    let mut sum = 0_u16;
    for (index, byte) in bytes[at..at + length].iter().enumerate() {
        if index != 2 && index != 3 {
            sum = sum.rotate_right(1).wrapping_add(u16::from(*byte));
        }
    }
    bytes[at + 2..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Only us: the damage is made by hand, after the specification.
#[test]
fn contradictions_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let Some(good) = small(directory.path()) else { return };
    let fs = ExFat::open(mem(good.clone())).unwrap();
    let path = b"/sub/a file with a name.bin";
    let node = tree::resolve(&fs, path, LastLink::Keep).unwrap();
    let heap = u32::from_le_bytes(good[88..92].try_into().unwrap()) as usize * 512;
    let place = heap + (node as usize - 3) * 32;
    assert_eq!(good[place], 0x85);
    let parent = tree::resolve(&fs, b"/sub", LastLink::Keep).unwrap();
    let problems_of =
        |bytes: &[u8]| ExFat::open(mem(bytes.to_vec())).unwrap().read_dir(parent).unwrap().problems;
    assert_eq!(problems_of(&good), []);

    // Half of the content was never written: the rest reads as zeros, whatever stands there.
    let mut bytes = good.clone();
    bytes[place + 40..place + 48].copy_from_slice(&1000_u64.to_le_bytes());
    seal(&mut bytes, place);
    assert_eq!(problems_of(&bytes), []);
    let fs = ExFat::open(mem(bytes)).unwrap();
    let (content, _) = (&fs as &dyn FileSystem).read_head(node, 4096).unwrap();
    assert_eq!(content[..1000], Random(5).bytes(2500)[..1000]);
    assert!(content.len() == 2500 && content[1000..].iter().all(|byte| *byte == 0));
    let extents = fs.extents(node).unwrap();
    assert!(matches!(extents.last().unwrap().stored, Stored::Unwritten(_)), "{extents:?}");

    // A zone: nine hours and three quarters east.
    let mut bytes = good.clone();
    bytes[place + 23] = 0x80 | 39;
    seal(&mut bytes, place);
    let moved = ExFat::open(mem(bytes)).unwrap().metadata(node).unwrap().modified.unwrap();
    bytes = good.clone();
    bytes[place + 23] = 0x80;
    seal(&mut bytes, place);
    let utc = ExFat::open(mem(bytes)).unwrap().metadata(node).unwrap().modified.unwrap();
    assert_eq!(utc.seconds - moved.seconds, 39 * 900);

    // A changed byte breaks the checksum; a changed letter the hash as well.
    let mut bytes = good.clone();
    bytes[place + 8] ^= 1;
    assert!(problems_of(&bytes)[0].text.contains("checksum of the set"));
    let mut bytes = good.clone();
    bytes[place + 66] ^= 1;
    seal(&mut bytes, place);
    assert!(problems_of(&bytes)[0].text.contains("do not find it"), "{:?}", problems_of(&bytes));
    let mut bytes = good.clone();
    bytes[place + 66..place + 68].copy_from_slice(&[b'/', 0]);
    seal(&mut bytes, place);
    assert!(problems_of(&bytes).iter().any(|p| p.text.contains("change its path")));

    // The boot region, its copy, the up-case table.
    let mut bytes = good.clone();
    bytes[200] ^= 1;
    let text = ExFat::open(mem(bytes)).unwrap().problems()[0].text.clone();
    assert!(text.contains("checksum of the boot region"), "{text}");
    let mut bytes = good.clone();
    bytes[12 * 512 + 92] ^= 1;
    assert_eq!(ExFat::open(mem(bytes)).unwrap().problems().len(), 2);

    // A file outside the volume.
    let mut bytes = good.clone();
    bytes[place + 52..place + 56].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    seal(&mut bytes, place);
    let fs = ExFat::open(mem(bytes)).unwrap();
    assert_eq!(fs.read_at(node, 0, &mut [0; 10]).unwrap_err().kind(), ProblemKind::Corrupt);
    let limits = Limits::default();
    let problems = tree::walk(&fs, fs.root(), &RawPath::from("/"), limits, &mut |_| {});
    assert_eq!(problems, []);
}

#[test]
fn mutated_images_never_panic_or_hang() {
    support::bounded::bounded("exFAT", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(bytes) = small(directory.path()) else { return };
        hostile::mutate(&bytes, 200, 8, &|source| {
            evidence::exfat::open(source, Default::default())
        });
    });
}
