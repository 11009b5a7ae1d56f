//! The two views of an ext file system that was in use when its copy was taken.
//!
//! Vouched for by an independent tool throughout: the recovered view by the running kernel, which mounts another copy and
//! replays it by writing; the raw view by debugfs, which replays nothing.

mod support;

use evidence::ext::Ext;
use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileKind, FileSystem, View};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use support::facts::{self, Tree};
use support::kernel::{self, Mounted};
use support::{Random, blank, open, run, text, tool};

/// A small file system with some files, put away cleanly.
fn image(directory: &Path, options: &[&str]) -> Option<PathBuf> {
    let mkfs = tool("mke2fs")?;
    let image = blank(directory, "image", 64 << 20);
    run(&mkfs, &[&["-q", "-F"], options, &[text(&image)]].concat(), "");
    let mounted = kernel::mount(&image, "ext4", "rw")?;
    let root = mounted.root();
    std::fs::create_dir_all(root.join("etc/deep")).unwrap();
    for index in 0..300 {
        let content = Random(index + 1).bytes(index as usize * 37);
        std::fs::write(root.join(format!("etc/file-{index:03}")), content).unwrap();
    }
    for name in ["open", "open-long", "cut", "appended", "holes", "renamed", "linked", "unlinked"] {
        std::fs::write(root.join(name), Random(77).bytes(300_000)).unwrap();
    }
    mounted.unmount();
    Some(image)
}

fn sync(file: &std::fs::File) {
    file.sync_all().unwrap();
}

fn sync_directory(path: &Path) {
    sync(&std::fs::File::open(path).unwrap());
}

/// Compares the recovered view of `snapshot` with what the kernel shows after it mounted a copy read-write.
///
/// `settle` makes equal what neither side can know.
fn judge(snapshot: &Path, what: &str, settle: &dyn Fn(&mut Tree)) -> Ext {
    // A name of its own: a mount that lingers must not be met again.
    let name = format!("{}-replayed", text(Path::new(snapshot.file_name().unwrap())));
    let copy = kernel::snapshot(snapshot, &name);
    let fs = Ext::open(open(snapshot)).unwrap();
    assert_eq!(fs.problems(), [], "{what}");
    let (mut ours, problems) = facts::ours(&fs);
    assert_eq!(problems, [], "{what}");
    let mounted = kernel::mount(&copy, "ext4", "rw,noatime").expect("it was mounted before");
    let mut theirs = facts::kernels(mounted.root());
    settle(&mut ours);
    settle(&mut theirs);
    facts::compare(&ours, &theirs, what);
    mounted.unmount();
    // Afterwards nothing is left to recover: both views of the copy are one.
    let raw = Ext::open_view(open(&copy), View::Raw).unwrap();
    let (mut after, problems) = facts::ours(&raw);
    assert_eq!(problems, [], "{what}");
    settle(&mut after);
    facts::compare(&after, &theirs, what);
    assert_eq!(fs.free_ranges().unwrap(), raw.free_ranges().unwrap(), "{what}: free space");
    std::fs::remove_file(copy).unwrap();
    fs
}

/// Files of all sorts are changed, and the whole file system is synchronised in between.
fn change(root: &Path) -> Vec<std::fs::File> {
    let mut kept = Vec::new();
    std::fs::write(root.join("new"), Random(5).bytes(70_000)).unwrap();
    std::fs::create_dir(root.join("new-directory")).unwrap();
    std::fs::write(root.join("new-directory/inside"), "inside").unwrap();
    symlink("short", root.join("new-directory/link")).unwrap();
    symlink("l".repeat(200), root.join("long-link")).unwrap();
    std::fs::rename(root.join("renamed"), root.join("etc/renamed-to")).unwrap();
    std::fs::hard_link(root.join("linked"), root.join("etc/second-name")).unwrap();
    std::fs::remove_file(root.join("unlinked")).unwrap();
    for index in (0..300).step_by(3) {
        std::fs::remove_file(root.join(format!("etc/file-{index:03}"))).unwrap();
    }
    let mut appended =
        std::fs::OpenOptions::new().append(true).open(root.join("appended")).unwrap();
    appended.write_all(&Random(6).bytes(100_000)).unwrap();
    let cut = std::fs::OpenOptions::new().write(true).open(root.join("cut")).unwrap();
    cut.set_len(5_000).unwrap();
    let mut holes = std::fs::OpenOptions::new().write(true).open(root.join("holes")).unwrap();
    holes.seek(SeekFrom::Start(2_000_000)).unwrap();
    holes.write_all(b"far").unwrap();
    // Files without a name that are still open: orphans.
    for name in ["open", "open-long"] {
        kept.push(std::fs::File::open(root.join(name)).unwrap());
        std::fs::remove_file(root.join(name)).unwrap();
    }
    kept
}

#[test]
fn a_journal_and_its_orphans_are_recovered_as_the_kernel_does() {
    for (options, mount) in [
        (&["-t", "ext4"][..], "rw"),
        (&["-t", "ext4", "-b", "1024"], "rw,data=journal"),
        (&["-t", "ext4", "-O", "^metadata_csum,^64bit"], "rw,journal_checksum"),
        (&["-t", "ext4", "-O", "^metadata_csum"], "rw,journal_async_commit,data=writeback"),
        (&["-t", "ext3"], "rw"),
        (&["-t", "ext4", "-O", "orphan_file"], "rw"),
        (&["-t", "ext4", "-O", "bigalloc,inline_data", "-C", "16384"], "rw"),
    ] {
        let what = format!("{options:?} {mount}");
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let Some(mounted) = kernel::mount(&image, "ext4", mount) else { return };
        let before = facts::kernels(mounted.root());
        let kept = change(mounted.root());
        sync_filesystem(mounted.root());
        let orphans: Vec<u64> = kept.iter().map(|file| file.metadata().unwrap().ino()).collect();
        let snapshot = kernel::snapshot(&image, "snapshot");
        drop(kept);
        mounted.unmount();
        let fs = judge(&snapshot, &what, &|_| {});
        assert!(fs.overlaid_blocks() > 0, "{what}: the journal must hold something");
        let deleted = fs.deleted(10_000);
        for node in orphans {
            let found = deleted.entries.iter().find(|entry| entry.node == Some(node));
            let found = found.unwrap_or_else(|| panic!("{what}: orphan {node} is not told"));
            assert!(!found.is_reused && found.deleted.is_none(), "{what}: {found:?}");
            // Its content is still whole.
            let (content, whole) = (&fs as &dyn FileSystem).read_head(node, 1 << 20).unwrap();
            assert!(whole && content == Random(77).bytes(300_000), "{what}");
        }
        raw_view(&snapshot, &what, &before);
    }
}

/// The raw view equals what debugfs shows of the same image.
fn raw_view(snapshot: &Path, what: &str, before: &Tree) {
    let Some(debugfs) = tool("debugfs") else { return };
    let raw = Ext::open_view(open(snapshot), View::Raw).unwrap();
    let node = tree::resolve(&raw, b"/etc", LastLink::Keep).unwrap();
    for (path, node) in [("/", 2), ("/etc", node)] {
        let mut ours: Vec<String> = raw
            .read_dir(node)
            .unwrap()
            .entries
            .iter()
            .map(|entry| format!("{} {}", entry.node, entry.name))
            .collect();
        let listed = run(&debugfs, &["-R", &format!("ls -p {path}"), text(snapshot)], "");
        let mut theirs: Vec<String> = listed
            .lines()
            .map(|line| line.split('/').collect::<Vec<_>>())
            .filter(|fields| fields.len() > 5 && !matches!(fields[5], "" | "." | ".."))
            .map(|fields| format!("{} {}", fields[1], fields[5]))
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{what}");
    }
    assert!(before.len() > 300);
    assert_eq!(raw.overlaid_blocks() + raw.changed_inodes(), 0);
}

/// syncfs(2) on the mounted file system.
fn sync_filesystem(root: &Path) {
    rustix::fs::syncfs(std::fs::File::open(root).unwrap()).unwrap();
}

/// A fast commit tells nothing of the directory inodes: the kernel stamps them with the time of the replay, we keep what
/// was recorded. Both are made equal; links of a directory, too, which the kernel's replay counts in its own way.
fn without_directory_times(tree: &mut Tree) {
    for facts in tree.values_mut().filter(|facts| facts.kind == FileKind::Directory) {
        (facts.modified, facts.changed, facts.accessed) = (None, None, None);
    }
}

fn fast(directory: &Path) -> Option<(PathBuf, Mounted)> {
    let image = image(directory, &["-t", "ext4", "-O", "fast_commit"])?;
    let mounted = kernel::mount(&image, "ext4", "rw,commit=300")?;
    // One full commit, so that the journal is in use.
    std::fs::write(mounted.root().join("begin"), "begin").unwrap();
    sync_filesystem(mounted.root());
    Some((image, mounted))
}

#[test]
fn fast_commits_are_replayed_as_the_kernel_does() {
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = fast(directory.path()) else { return };
    let root = mounted.root();
    let path = |name: &str| root.join(name);
    let mut number = 0;
    let mut step = |what: &str, file: &Path| {
        sync(&std::fs::File::open(file).unwrap());
        number += 1;
        let snapshot = kernel::snapshot(&image, &format!("snapshot-{number}"));
        let fs = judge(&snapshot, what, &without_directory_times);
        let count = fs.changed_inodes();
        eprintln!("{what}: {count} inodes changed by fast commits");
        let _ = std::fs::remove_file(snapshot);
        count
    };
    let mut changed = 0;
    std::fs::write(path("fast-1"), Random(8).bytes(50_000)).unwrap();
    changed += step("create", &path("fast-1"));
    std::fs::OpenOptions::new()
        .append(true)
        .open(path("fast-1"))
        .and_then(|mut file| file.write_all(b"more"))
        .unwrap();
    changed += step("append", &path("fast-1"));
    std::fs::rename(path("renamed"), path("etc/renamed-to")).unwrap();
    changed += step("rename", &path("etc/renamed-to"));
    std::fs::hard_link(path("linked"), path("etc/second-name")).unwrap();
    changed += step("link", &path("linked"));
    std::fs::remove_file(path("unlinked")).unwrap();
    std::fs::write(path("fast-1"), "rewritten, shorter").unwrap();
    changed += step("unlink and rewrite", &path("fast-1"));
    let cut = std::fs::OpenOptions::new().write(true).open(path("cut")).unwrap();
    cut.set_len(5_000).unwrap();
    changed += step("truncate", &path("cut"));
    let holes = std::fs::OpenOptions::new().write(true).open(path("holes")).unwrap();
    holes.write_at(b"far", 2_000_000).unwrap();
    changed += step("far write", &path("holes"));
    let punched = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&holes, punched, 40_960, 81_920).unwrap();
    changed += step("punched hole", &path("holes"));
    rustix::fs::fallocate(&holes, rustix::fs::FallocateFlags::empty(), 3_000_000, 500_000).unwrap();
    changed += step("preallocation", &path("holes"));
    std::fs::remove_file(path("fast-1")).unwrap();
    std::fs::write(path("fast-1"), "another of the same name").unwrap();
    changed += step("unlink and create", &path("fast-1"));
    symlink("short", path("etc/short-link")).unwrap();
    symlink("l".repeat(200), path("etc/long-link")).unwrap();
    std::fs::write(path("etc/after"), "after the links").unwrap();
    changed += step("links", &path("etc/after"));
    std::fs::create_dir(path("fast-directory")).unwrap();
    std::fs::write(path("fast-directory/inside"), "inside").unwrap();
    sync_directory(&path("fast-directory"));
    changed += step("directory", &path("fast-directory/inside"));
    assert!(changed > 0, "no fast commit was met, so this tested nothing");
    mounted.unmount();
}

/// A file that was being cut short: its size is small already, its blocks are still there, and the orphan list names it.
#[test]
fn a_truncate_in_flight_is_finished_as_the_kernel_does() {
    let Some(debugfs) = tool("debugfs") else { return };
    for options in [&["-t", "ext4"][..], &["-t", "ext3"], &["-t", "ext4", "-O", "bigalloc"]] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let node = {
            let fs = Ext::open(open(&image)).unwrap();
            assert_eq!(fs.changed_inodes(), 0);
            tree::resolve(&fs, b"/cut", LastLink::Keep).unwrap()
        };
        let script = format!("sif /cut size 5000\nsif /cut dtime 0\nssv last_orphan {node}\n");
        run(&debugfs, &["-w", "-f", "-", text(&image)], &script);
        let raw = Ext::open_view(open(&image), View::Raw).unwrap();
        // The kernel stamps the file with the time of the replay; we keep what was recorded.
        let fs = judge(&image, &format!("{options:?}"), &|tree| {
            let cut = tree.get_mut(&b"/cut"[..]).unwrap();
            (cut.modified, cut.changed) = (None, None);
        });
        let length = |fs: &Ext| -> u64 {
            fs.extents(node).unwrap().iter().map(|extent| extent.length_bytes).sum()
        };
        assert!(length(&raw) >= 300_000 && length(&fs) < 10_000, "{options:?}");
    }
}

/// All three generations of journal checksums; a copy whose checksum is wrong is not shown.
#[test]
fn journals_of_every_generation_are_replayed() {
    let Some(debugfs) = tool("debugfs") else { return };
    // Damage to one copy: without checksums it is shown, the first kind voids the transaction, later ones the copy.
    for (options, version, left) in [
        (&["-t", "ext4", "-O", "^metadata_csum"][..], "jo", 3),
        (&["-t", "ext4", "-O", "^metadata_csum,^64bit"], "jo -c", 0),
        (&["-t", "ext4", "-O", "^64bit"], "jo -c -v 2", 2),
        (&["-t", "ext4", "-O", "64bit"], "jo -c -v 2", 2),
        (&["-t", "ext4", "-O", "^64bit"], "jo -c -v 3", 2),
        (&["-t", "ext4"], "jo -c -v 3", 2),
    ] {
        let what = format!("{options:?} {version}");
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let blocks = run(&debugfs, &["-R", "blocks /etc/file-200", text(&image)], "");
        let numbers: Vec<&str> = blocks.split_whitespace().take(3).collect();
        // The second block begins with the journal's own magic number, which must be escaped there.
        let mut body = vec![b'A'; 3072];
        body[1024..1028].copy_from_slice(&0xc03b_3998_u32.to_be_bytes());
        let data = directory.path().join("body");
        std::fs::write(&data, &body).unwrap();
        let script = format!("{version}\njw -b {} {}\njc\n", numbers.join(","), text(&data));
        run(&debugfs, &["-w", "-f", "-", text(&image)], &script);
        let fs = judge(&image, &what, &|_| {});
        assert_eq!(fs.overlaid_blocks(), 3, "{what}");
        assert_eq!(tree::read_file(&fs, b"/etc/file-200", 3072).unwrap().0, body, "{what}");
        let mut bytes = std::fs::read(&image).unwrap();
        let copy = bytes.chunks(1024).rposition(|block| block == &body[2048..]).unwrap();
        bytes[copy * 1024 + 500] ^= 1;
        std::fs::write(&image, bytes).unwrap();
        let fs = Ext::open(open(&image)).unwrap();
        assert_eq!(fs.overlaid_blocks(), left, "{what}: {:?}", fs.problems());
        assert_eq!(fs.problems().len(), usize::from(left < 3), "{what}");
    }
}

#[test]
fn a_journal_on_another_device_is_named() {
    let Some(debugfs) = tool("debugfs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4"]) else { return };
    let script = "feature needs_recovery\nssv journal_inum 0\nssv journal_dev 0x801\n";
    run(&debugfs, &["-w", "-f", "-", text(&image)], script);
    let fs = Ext::open(open(&image)).unwrap();
    assert_eq!(fs.problems().len(), 1);
    assert!(fs.problems()[0].text.contains("another device"), "{:?}", fs.problems());
    assert!(facts::ours(&fs).0.len() > 300);
}

/// Only us: fast commits whose checksum fits and whose content is hostile.
#[test]
fn hostile_fast_commits_are_survived() {
    support::bounded::bounded("ext4 fast commits", || {
        let directory = tempfile::tempdir().unwrap();
        let Some((image, mounted)) = fast(directory.path()) else { return };
        std::fs::write(mounted.root().join("fast-1"), Random(8).bytes(50_000)).unwrap();
        std::fs::rename(mounted.root().join("renamed"), mounted.root().join("moved")).unwrap();
        std::fs::remove_file(mounted.root().join("unlinked")).unwrap();
        sync(&std::fs::File::open(mounted.root().join("fast-1")).unwrap());
        let snapshot = kernel::snapshot(&image, "snapshot");
        mounted.unmount();
        let good = std::fs::read(snapshot).unwrap();
        // The head: tag 9 of eight bytes without features.
        let head = [9, 0, 8, 0, 0, 0, 0, 0];
        let begin = good.chunks(1024).position(|block| block.starts_with(&head)).unwrap() * 1024;
        let mut replayed = 0;
        for round in 0..40 {
            let mut random = Random(round + 1);
            let mut bytes = good.clone();
            let (mut at, mut sum) = (begin, 0);
            loop {
                let kind = bytes[at];
                let length = usize::from(u16::from_le_bytes([bytes[at + 2], bytes[at + 3]]));
                if kind == 8 {
                    let sum = crc32c(sum, &bytes[at..at + 8]);
                    bytes[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
                    break;
                }
                if kind != 9 {
                    for _ in 0..random.below(3) {
                        let place = at + 4 + random.below(length.min(24));
                        bytes[place] = [0, 0xff, 1 << random.below(8)][random.below(3)];
                    }
                }
                sum = crc32c(sum, &bytes[at..at + 4 + length]);
                at += 4 + length;
            }
            let source = std::sync::Arc::new(evidence::MemSource::new(bytes));
            let Ok(fs) = Ext::open(source) else { continue };
            replayed += fs.changed_inodes();
            support::hostile::exercise(Ok(Box::new(fs)));
        }
        assert!(replayed > 40, "the checksums must fit, else this tests nothing");
    });
}

fn crc32c(seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}
