//! A directory of a hundred thousand names in every format that can be given one here.
//!
//! Independent tools write the images (the kernel, ntfs-3g, exfat-fuse, mksquashfs, mkfs.erofs, genisoimage); the names planted
//! are what must be listed, and where the running kernel reads the format it is asked for the same list. Directories of
//! this size are kept in other forms than small ones: hashed trees, B+trees with several levels, tables of many blocks.
//! FAT cannot hold so many in one directory.

mod support;

use evidence::fs::tree::{self, LastLink};
use evidence::{FileSystem, Source, View};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use support::{blank, kernel, open, run, text, tool};

type Opened = Result<Box<dyn FileSystem>, evidence::EvidenceError>;

const MANY: usize = 100_000;

fn name(index: usize) -> String {
    format!("a name among many others, number {index:06}")
}

/// A folder with `many/` and that many empty files in it.
fn planted(directory: &Path, count: usize) -> PathBuf {
    let folder = directory.join("folder");
    fill(&folder, count);
    folder
}

fn fill(folder: &Path, count: usize) {
    let many = folder.join("many");
    std::fs::create_dir_all(&many).unwrap();
    for index in 0..count {
        std::fs::File::create(many.join(name(index))).unwrap();
    }
}

/// Our list against what was planted, and a few names looked up by their path.
fn check(what: &str, opened: Opened, count: usize, begun: Instant) {
    let fs = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let made = begun.elapsed();
    let node = tree::resolve(&*fs, b"/many", LastLink::Keep).unwrap();
    let listing = fs.read_dir(node).unwrap();
    assert_eq!(listing.problems, [], "{what}");
    assert_eq!(listing.entries.len(), count, "{what}");
    let ours: BTreeSet<Vec<u8>> = listing.entries.into_iter().map(|entry| entry.name.0).collect();
    let planted: BTreeSet<Vec<u8>> = (0..count).map(|index| name(index).into_bytes()).collect();
    assert!(ours == planted, "{what}: {:?}", ours.symmetric_difference(&planted).next());
    for index in [0, count / 2, count - 1] {
        let path = format!("/many/{}", name(index));
        let node = tree::resolve(&*fs, path.as_bytes(), LastLink::Keep).unwrap();
        assert_eq!(fs.metadata(node).unwrap().size_bytes, 0, "{what}");
    }
    eprintln!("{what}: {count} names, made in {made:?}, in all {:?}", begun.elapsed());
}

/// The kernel's own list of the same image.
fn kernel_agrees(image: &Path, kind: &str) {
    let options = if kind == "xfs" { "ro,norecovery" } else { "ro" };
    let Some(mounted) = kernel::mount(image, kind, options) else { return };
    let theirs = std::fs::read_dir(mounted.root().join("many")).unwrap().count();
    assert_eq!(theirs, MANY, "{kind} as the kernel lists it");
}

#[test]
fn ext4_filled_by_the_kernel() {
    filled_by_the_kernel(
        "ext4",
        96 << 20,
        &["mke2fs", "-q", "-F", "-t", "ext4", "-N", "110000"],
        &|image| evidence::ext::open(open(image), View::Recovered),
    );
}

#[test]
fn xfs_filled_by_the_kernel() {
    filled_by_the_kernel("xfs", 320 << 20, &["mkfs.xfs", "-q"], &|image| {
        evidence::xfs::open(open(image), View::Recovered)
    });
}

#[test]
fn btrfs_filled_by_the_kernel() {
    filled_by_the_kernel("btrfs", 512 << 20, &["mkfs.btrfs", "-q"], &|image| {
        evidence::btrfs::open(vec![open(image)], View::Recovered)
    });
}

fn filled_by_the_kernel(
    kind: &str,
    size_bytes: u64,
    mkfs: &[&str],
    opened: &dyn Fn(&Path) -> Opened,
) {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let (program, options) = mkfs.split_first().unwrap();
    let Some(program) = tool(program) else { return };
    let image = blank(directory.path(), kind, size_bytes);
    run(&program, &[options, &[text(&image)]].concat(), "");
    let Some(mounted) = kernel::mount(&image, kind, "rw") else { return };
    fill(mounted.root(), MANY);
    mounted.unmount();
    check(kind, opened(&image), MANY, begun);
    kernel_agrees(&image, kind);
}

#[test]
fn media_that_are_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let folder = planted(directory.path(), MANY);
    let image = |name: &str| directory.path().join(name);
    let begun = Instant::now();
    if let Some(writer) = tool("mksquashfs") {
        let image = image("squashfs");
        run(&writer, &[text(&folder), text(&image), "-quiet", "-no-progress"], "");
        check("squashfs", evidence::squashfs::open(open(&image), View::Recovered), MANY, begun);
        kernel_agrees(&image, "squashfs");
    }
    let begun = Instant::now();
    if let Some(writer) = tool("mkfs.erofs") {
        let image = image("erofs");
        run(&writer, &["--quiet", text(&image), text(&folder)], "");
        check("erofs", evidence::erofs::open(open(&image), View::Recovered), MANY, begun);
        kernel_agrees(&image, "erofs");
    }
    let begun = Instant::now();
    if let Some(writer) = tool("genisoimage") {
        let image = image("iso");
        run(&writer, &["-quiet", "-iso-level", "4", "-R", "-o", text(&image), text(&folder)], "");
        check("ISO 9660", evidence::iso9660::open(open(&image), View::Recovered), MANY, begun);
    }
}

#[test]
fn ntfs_filled_by_ntfs_3g() {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let (Some(mkntfs), Some(ntfs_3g)) = (tool("mkntfs"), tool("ntfs-3g")) else { return };
    let image = blank(directory.path(), "ntfs", 256 << 20);
    run(&mkntfs, &["-q", "-F", "-f", text(&image)], "");
    let Some(folder) = fuse(&ntfs_3g, &[text(&image)], directory.path()) else { return };
    fill(&folder, MANY);
    let source: Arc<dyn Source> = unmounted(&folder, &image);
    check("NTFS", evidence::ntfs::open(source, View::Recovered), MANY, begun);
}

#[test]
fn exfat_filled_by_exfat_fuse() {
    // Its program looks at all names for each new one: as many as take seconds.
    let count = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let (Some(mkfs), Some(mount)) = (tool("mkfs.exfat"), tool("mount.exfat-fuse")) else { return };
    let Some(losetup) = tool("losetup") else { return };
    let image = blank(directory.path(), "exfat", 64 << 20);
    run(&mkfs, &[text(&image)], "");
    let device = run(&losetup, &["--find", "--show", text(&image)], "").trim().to_owned();
    let folder = fuse(&mount, &[&device], directory.path());
    if let Some(folder) = &folder {
        fill(folder, count);
        run(&tool("umount").unwrap(), &[text(folder)], "");
    }
    // The daemon writes after umount returned; the device is free when it has ended.
    run(&losetup, &["--detach", &device], "");
    while std::process::Command::new(&losetup).arg(&device).output().unwrap().status.success() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    if folder.is_some() {
        check("exFAT", evidence::exfat::open(open(&image), View::Recovered), count, begun);
    }
}

/// A mount by a program, below `directory`; `None`, said, where that is not possible here.
fn fuse(program: &Path, arguments: &[&str], directory: &Path) -> Option<PathBuf> {
    if !Path::new("/dev/fuse").exists() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: no /dev/fuse, or not root");
        return None;
    }
    let folder = directory.join("mounted");
    std::fs::create_dir(&folder).unwrap();
    run(program, &[arguments, &[text(&folder)]].concat(), "");
    Some(folder)
}

fn unmounted(folder: &Path, image: &Path) -> Arc<dyn Source> {
    run(&tool("umount").unwrap(), &[text(folder)], "");
    open(image)
}
