//! Btrfs where it is damaged, hostile, stale or free: what [`btrfs.rs`](./btrfs.rs) does not reach with healthy images.
//!
//! Each test says who vouches for it.

mod support;

use evidence::btrfs::Btrfs;
use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileKind, FileSystem, RawPath, Stored, View};
use evidence::{MemSource, ProblemKind, Source};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::kernel::{mount, snapshot};
use support::population::{self, Abilities};
use support::{Random, blank, facts, hostile, open, run, text, tool};

fn mkfs(directory: &Path, mebibytes: u64, options: &[&str]) -> Option<PathBuf> {
    let mkfs = tool("mkfs.btrfs")?;
    let image = blank(directory, "image", mebibytes << 20);
    let mut all = vec!["-q"];
    all.extend(options);
    all.push(text(&image));
    run(&mkfs, &all, "");
    Some(image)
}

fn view(images: &[&Path], view: View) -> Btrfs {
    Btrfs::open(images.iter().map(|image| open(image)).collect(), view).unwrap()
}

/// CRC-32C, bit by bit.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Makes the checksums of superblock and tree blocks of 4 KiB right again, as somebody who means harm would.
fn repair(bytes: &mut [u8]) {
    let Some(fsid) = bytes.get(65_536 + 0x20..65_536 + 0x30).map(<[u8]>::to_vec) else { return };
    for block in bytes.chunks_exact_mut(4096) {
        let is_superblock = block[0x40..0x48] == *b"_BHRfS_M";
        if is_superblock || block[0x20..0x30] == *fsid {
            let sum = crc32c(&block[32..]);
            block[..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

fn reopen(source: &Arc<dyn Source>) -> MemSource {
    let mut bytes = source.bytes_at(0, usize::MAX).unwrap();
    repair(&mut bytes);
    MemSource::new(bytes)
}

/// A small file system of mixed groups with everything in it, put away or left with a log.
fn small(directory: &Path, ending: Ending) -> Option<Vec<u8>> {
    let image = mkfs(directory, 16, &["-M", "-n", "4096", "-m", "single", "-d", "single"])?;
    let mounted = mount(&image, "btrfs", "rw,commit=3600,compress=lzo")?;
    let root = mounted.root();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/small"), "small").unwrap();
    std::fs::write(root.join("a/packed"), "again and again ".repeat(3000)).unwrap();
    std::fs::write(root.join("a/plain"), Random(5).bytes(20_000)).unwrap();
    std::os::unix::fs::symlink("small", root.join("a/link")).unwrap();
    for index in 0..60 {
        std::fs::write(root.join(format!("a/b/{index}")), "").unwrap();
    }
    let small = root.join("a/small");
    rustix::fs::setxattr(&small, "user.a", b"b", rustix::fs::XattrFlags::empty()).unwrap();
    let btrfs = tool("btrfs")?;
    run(&btrfs, &["subvolume", "create", text(&root.join("sub"))], "");
    run(&btrfs, &["subvolume", "snapshot", text(root), text(&root.join("snap"))], "");
    rustix::fs::syncfs(std::fs::File::open(root).unwrap()).unwrap();
    if ending == Ending::Log {
        std::fs::remove_file(root.join("a/b/7")).unwrap();
        std::fs::rename(root.join("a/b/8"), root.join("a/b/new")).unwrap();
        std::fs::write(root.join("a/plain"), Random(6).bytes(9000)).unwrap();
        for name in ["a/plain", "a/b", "a"] {
            std::fs::File::open(root.join(name)).unwrap().sync_all().unwrap();
        }
    }
    let copy = snapshot(&image, "copy");
    mounted.unmount();
    Some(std::fs::read(copy).unwrap())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Clean,
    Log,
}

/// Only us: whatever the bytes, with checksums that agree, a reader must end soon and without a panic.
#[test]
fn mutated_images_never_panic_or_hang() {
    support::bounded::bounded("Btrfs", || {
        for (ending, seed) in [(Ending::Clean, 1), (Ending::Log, 2)] {
            let directory = tempfile::tempdir().unwrap();
            let Some(image) = small(directory.path(), ending) else { return };
            let source: Arc<dyn Source> = Arc::new(MemSource::new(image.clone()));
            assert!(Btrfs::open(vec![Arc::new(reopen(&source))], View::Recovered).is_ok());
            let rounds = std::env::var("BTRFS_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
            hostile::mutate(&image, rounds, seed, &|source| {
                let device: Arc<dyn Source> = Arc::new(reopen(&source));
                let fs = Btrfs::open(vec![device], View::Recovered)?;
                let _ = (fs.subvolumes(), fs.block_groups());
                Ok(Box::new(fs))
            });
        }
    });
}

/// Two mirrors with a small tree, and what the kernel shows of it.
fn mirrored(directory: &Path) -> Option<([PathBuf; 2], facts::Tree)> {
    let mkfs = tool("mkfs.btrfs")?;
    let images = [blank(directory, "one", 200 << 20), blank(directory, "two", 200 << 20)];
    run(&mkfs, &["-q", "-m", "raid1", "-d", "raid1", text(&images[0]), text(&images[1])], "");
    let theirs = {
        let loops = [attach(&images[0])?, attach(&images[1])?];
        let options = format!("rw,device={},device={}", loops[0].0, loops[1].0);
        let folder = mount_device(&loops[0], &options)?;
        population::plant(folder.0.path(), Abilities { many: 200, ..Abilities::LINUX });
        drop(folder);
        let folder = mount_device(&loops[0], &options.replace("rw", "ro,noatime"))?;
        facts::kernels(folder.0.path())
    };
    Some((images, theirs))
}

/// A loop device, given back when dropped.
struct Loop(String);

fn attach(image: &Path) -> Option<Loop> {
    let losetup = tool("losetup")?;
    let made = Command::new(losetup).args(["--find", "--show"]).arg(image).output().unwrap();
    if !made.status.success() {
        eprintln!("skipped: no loop device");
        return None;
    }
    Some(Loop(String::from_utf8(made.stdout).unwrap().trim().to_owned()))
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

struct Folder(tempfile::TempDir);

fn mount_device(device: &Loop, options: &str) -> Option<Folder> {
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new("mount")
        .args(["-t", "btrfs", "-o", options, &device.0])
        .arg(folder.path())
        .output()
        .unwrap();
    if !done.status.success() {
        eprintln!("skipped: mount: {}", String::from_utf8_lossy(&done.stderr));
        return None;
    }
    Some(Folder(folder))
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn same_as(fs: &Btrfs, theirs: &facts::Tree, what: &str) -> usize {
    let (mut ours, problems) = facts::ours(fs);
    for our in ours.values_mut() {
        our.node &= (1 << 48) - 1;
    }
    facts::compare(&ours, theirs, what);
    fs.problems().len() + problems.len()
}

/// Vouched for by an independent tool: the kernel showed the tree before one mirror was damaged.
#[test]
fn a_damaged_mirror_is_read_around_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let Some((images, theirs)) = mirrored(directory.path()) else { return };
    let damaged = std::fs::OpenOptions::new().write(true).open(&images[0]).unwrap();
    // Every second 16 KiB of the first 120 MiB, but not the first superblock.
    for at in ((1_u64 << 20)..(120 << 20)).step_by(32 << 10) {
        damaged.write_all_at(&[0xa5; 16 << 10], at).unwrap();
    }
    let fs = view(&[&images[0], &images[1]], View::Recovered);
    assert!(same_as(&fs, &theirs, "one mirror damaged") > 0);
    // Alone, the damaged mirror gives errors and no wrong content.
    let device: Vec<Arc<dyn Source>> = vec![open(&images[0])];
    if let Ok(fs) = Btrfs::open(device, View::Recovered) {
        tree::walk(&fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
            if visit.metadata.kind == FileKind::File && visit.path.0 == b"/large" {
                let read = fs.read_at(visit.metadata.node, 0, &mut vec![0; 5_000_003]);
                assert_eq!(read.unwrap_err().kind(), ProblemKind::Corrupt);
            }
        });
    }
}

/// Vouched for by an independent tool: the kernel wrote to one mirror alone; the other holds what was before.
#[test]
fn a_stale_mirror_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let Some((images, _)) = mirrored(directory.path()) else { return };
    let theirs = {
        let Some(device) = attach(&images[0]) else { return };
        let Some(folder) = mount_device(&device, "rw,degraded") else { return };
        std::fs::write(folder.0.path().join("tiny"), "changed while alone").unwrap();
        std::fs::write(folder.0.path().join("block"), Random(31).bytes(4096)).unwrap();
        std::fs::remove_file(folder.0.path().join("odd")).unwrap();
        drop(folder);
        let Some(folder) = mount_device(&device, "ro,degraded,noatime") else { return };
        facts::kernels(folder.0.path())
    };
    for order in [[&*images[0], &*images[1]], [&*images[1], &*images[0]]] {
        let fs = view(&order, View::Recovered);
        assert!(
            fs.problems().iter().any(|problem| problem.text.contains("stale")),
            "{:?}",
            fs.problems()
        );
        same_as(&fs, &theirs, "one mirror stale");
    }
}

/// Vouched for by an independent tool: `btrfs subvolume list`.
#[test]
fn subvolumes_are_those_the_tool_lists() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = mkfs(directory.path(), 128, &[]) else { return };
    let Some(btrfs) = tool("btrfs") else { return };
    let Some(mounted) = mount(&image, "btrfs", "rw") else { return };
    let root = mounted.root();
    let act = |arguments: &[&str]| run(&btrfs, arguments, "");
    let path = |name: &str| text(&root.join(name)).to_owned();
    act(&["subvolume", "create", &path("home")]);
    std::fs::create_dir_all(root.join("home/deep/er")).unwrap();
    act(&["subvolume", "create", &path("home/deep/er/nested")]);
    act(&["subvolume", "snapshot", "-r", &path("home"), &path("home/backup")]);
    act(&["subvolume", "create", &path("gone")]);
    act(&["subvolume", "delete", &path("gone")]);
    act(&["subvolume", "set-default", "257", text(root)]);
    rustix::fs::syncfs(std::fs::File::open(root).unwrap()).unwrap();
    let listed = act(&["subvolume", "list", "-p", "-q", "-u", text(root)]);
    let copy = snapshot(&image, "copy");
    mounted.unmount();
    let fs = view(&[&copy], View::Raw);
    let ours: BTreeMap<u64, String> = fs
        .subvolumes()
        .into_iter()
        .filter(|known| known.id != 5 && !known.is_deleted)
        .map(|known| {
            let dash = |uuid: Option<String>| uuid.unwrap_or_else(|| "-".to_owned());
            let (id, generation) = (known.id, known.generation);
            let (parent, path) = (known.parent.unwrap(), known.path.unwrap().to_string());
            let line = format!(
                "ID {id} gen {generation} parent {parent} top level {parent} parent_uuid {} uuid {} path {}",
                dash(known.parent_uuid),
                dash(known.uuid),
                &path[1..]
            );
            assert_eq!(known.is_default, id == 257);
            assert_eq!(known.is_read_only, path.ends_with("backup"));
            assert!(known.created.is_some());
            (id, line)
        })
        .collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let theirs: Vec<String> = listed.lines().map(words).collect();
    assert_eq!(ours.into_values().collect::<Vec<_>>(), theirs);
}

/// Vouched for by independent tools: with every free byte overwritten, `btrfs check` finds nothing wrong with metadata and
/// content. The other side, that nothing free is left out, is in the counts of block groups in `btrfs.rs`. Content read at
/// the places of the extents is the content.
#[test]
fn extents_are_where_content_is_and_free_ranges_where_nothing_is() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = mkfs(directory.path(), 130, &[]) else { return };
    let Some(btrfs) = tool("btrfs") else { return };
    let Some(mounted) = mount(&image, "btrfs", "rw") else { return };
    population::plant(mounted.root(), Abilities { many: 500, ..Abilities::LINUX });
    std::fs::remove_file(mounted.root().join("large")).unwrap();
    mounted.unmount();
    let fs = view(&[&image], View::Recovered);
    let free = fs.free_ranges().unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&image).unwrap();
    let mut bytes = 0;
    for range in &free {
        let length = (range.end - range.start) as usize;
        file.write_all_at(&vec![0xee; length], range.start).unwrap();
        bytes += length;
    }
    assert!(free.windows(2).all(|pair| pair[0].end < pair[1].start));
    assert!(bytes > 60 << 20 && bytes < 130 << 20, "{bytes}");
    run(&btrfs, &["check", "--check-data-csum", text(&image)], "");
    let (mut plain, mut unwritten, mut holes) = (0, 0, 0);
    tree::walk(&fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
        if visit.metadata.kind != FileKind::File {
            return;
        }
        let mut next = 0;
        for extent in fs.extents(visit.metadata.node).unwrap() {
            assert_eq!(extent.logical_bytes, next, "{}", visit.path);
            next += extent.length_bytes;
            let mut wanted = vec![0; extent.length_bytes as usize];
            let got = fs.read_at(visit.metadata.node, extent.logical_bytes, &mut wanted).unwrap();
            let mut there = vec![0; got];
            match extent.stored {
                Stored::At(at) => {
                    file.read_exact_at(&mut there, at).unwrap();
                    plain += 1;
                }
                Stored::Unwritten(_) => unwritten += 1,
                Stored::Hole => holes += 1,
                Stored::Inline => continue,
                other => panic!("{}: {other:?}", visit.path),
            }
            assert!(wanted[..got] == there, "{}", visit.path);
        }
        assert!(next >= visit.metadata.size_bytes, "{}", visit.path);
    });
    assert!(plain > 100 && unwritten > 0 && holes > 60, "{plain} {unwritten} {holes}");
}
