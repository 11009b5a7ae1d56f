//! File systems whose first structures are damaged are read by the copies the format keeps, and that is said.
//!
//! Vouched for by independent tools: mkfs and the kernel make the images, and the walk of the undamaged image, which other
//! tests compare with the kernel's, is what the damaged one must still show.

mod support;

use evidence::{FileSystem, MemSource, Problem, Source, View};
use std::path::Path;
use std::sync::Arc;
use support::facts::{self, Tree};
use support::{Random, blank, kernel, run, text, tool};

type Opened = Result<Box<dyn FileSystem>, evidence::EvidenceError>;
type Opener = fn(Arc<dyn Source>, View) -> Opened;

fn tree_of(opened: Opened) -> (Tree, Vec<Problem>) {
    let fs = opened.unwrap_or_else(|error| panic!("{error}"));
    let (tree, walked) = facts::ours(&*fs);
    assert_eq!(walked, []);
    (tree, fs.problems().to_vec())
}

/// Zeros, or rubbish, over parts of an image; the walk must stay the same and the first problem say `expected`.
fn survives(what: &str, good: &[u8], damage: &[(u64, usize)], open: Opener, expected: &str) {
    let source = |bytes: Vec<u8>| -> Arc<dyn Source> { Arc::new(MemSource::new(bytes)) };
    let (mut before, problems) = tree_of(open(source(good.to_vec()), View::Recovered));
    // What is damaged is a file of its own on NTFS.
    let own = [&b"/$Boot"[..], b"/$MFT", b"/$MFTMirr"];
    before.retain(|path, _| !own.contains(&&**path));
    assert_eq!(problems, [], "{what}");
    assert!(before.len() > 20, "{what}: {}", before.len());
    for rubbish in [vec![0; 8192], Random(99).bytes(8192)] {
        let mut bytes = good.to_vec();
        for (at, length) in damage {
            bytes[*at as usize..][..*length].copy_from_slice(&rubbish[..*length]);
        }
        let (mut after, problems) = tree_of(open(source(bytes), View::Recovered));
        after.retain(|path, _| !own.contains(&&**path));
        facts::compare(&after, &before, what);
        let told: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
        assert!(told.iter().any(|text| text.contains(expected)), "{what}: {told:?}");
    }
}

/// A small tree in a folder.
fn folder(directory: &Path) -> std::path::PathBuf {
    let folder = directory.join("folder");
    plant(&folder);
    folder
}

fn plant(folder: &Path) {
    std::fs::create_dir_all(folder.join("a/b")).unwrap();
    std::fs::write(folder.join("a/file"), Random(3).bytes(70_000)).unwrap();
    std::fs::write(folder.join("a/other"), "other").unwrap();
    for index in 0..30 {
        std::fs::write(folder.join(format!("a/b/name-{index}")), format!("{index}")).unwrap();
    }
}

#[test]
fn ext_by_copies_of_superblock_and_descriptors() {
    let Some(mke2fs) = tool("mke2fs") else { return };
    for (options, size, copy) in [
        (&["-t", "ext4", "-b", "1024"][..], 24_u64 << 20, 8193 * 1024_u64),
        (&["-t", "ext2", "-b", "1024"], 24 << 20, 8193 * 1024),
        (&["-t", "ext3", "-b", "2048"], 64 << 20, 16_384 * 2048),
        (&["-t", "ext4", "-b", "4096"], 160 << 20, 32_768 * 4096),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(directory.path());
        let image = blank(directory.path(), "image", size);
        let planted = ["-q", "-F", "-d", text(&folder)];
        run(&mke2fs, &[&planted[..], options, &[text(&image)]].concat(), "");
        let good = std::fs::read(&image).unwrap();
        let what = options.join(" ");
        let open = evidence::ext::open;
        let expected = format!("the copy at {copy} (block group 1) is used");
        survives(&what, &good, &[(1024, 1024)], open, &expected);
        let block: u64 = options[3].parse().unwrap();
        let table = if block == 1024 { 2048 } else { block };
        survives(&what, &good, &[(1024, 1024), (table, 1024)], open, &expected);
        survives(&what, &good, &[(table, 32)], open, "copies behind the superblock of group 1");
    }
}

/// A changed size that the checksum gives away.
#[test]
fn ext_with_a_superblock_that_contradicts_its_copy() {
    let Some(mke2fs) = tool("mke2fs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let folder = folder(directory.path());
    let image = blank(directory.path(), "image", 24 << 20);
    run(&mke2fs, &["-q", "-F", "-t", "ext4", "-b", "1024", "-d", text(&folder), text(&image)], "");
    let mut bytes = std::fs::read(&image).unwrap();
    let before = tree_of(evidence::ext::open(Arc::new(MemSource::new(bytes.clone())), View::Raw)).0;
    bytes[1024 + 0x28] ^= 0x10;
    let source = Arc::new(MemSource::new(bytes));
    let (after, problems) = tree_of(evidence::ext::open(source, View::Raw));
    facts::compare(&after, &before, "ext4 with other inodes in a group");
    assert!(problems[0].text.contains("sizes differ from its copy"), "{problems:?}");
}

#[test]
fn xfs_by_the_superblock_of_another_group() {
    let Some(mkfs) = tool("mkfs.xfs") else { return };
    // mkfs wants a log of 64 MiB, which must fit into one group.
    for (groups, size_mib) in [("agcount=4", 320), ("agcount=5", 400)] {
        let directory = tempfile::tempdir().unwrap();
        let image = blank(directory.path(), "image", size_mib << 20);
        run(&mkfs, &["-q", "-f", "-d", groups, text(&image)], "");
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { continue };
        plant(mounted.root());
        mounted.unmount();
        let good = std::fs::read(&image).unwrap();
        let what = format!("XFS {groups}");
        survives(&what, &good, &[(0, 512)], evidence::xfs::open, "allocation groups");
    }
}

#[test]
fn btrfs_by_its_mirror_and_by_an_older_root() {
    let Some(mkfs) = tool("mkfs.btrfs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "image", 128 << 20);
    run(&mkfs, &["-q", "-m", "single", "-d", "single", text(&image)], "");
    let Some(mounted) = kernel::mount(&image, "btrfs", "rw,noatime") else { return };
    plant(mounted.root());
    let sync = || rustix::fs::syncfs(std::fs::File::open(mounted.root()).unwrap()).unwrap();
    sync();
    // Two more transactions: the backup roots are those of the last four.
    for round in 0..2 {
        std::fs::write(mounted.root().join("a/b/changing"), format!("{round}")).unwrap();
        sync();
    }
    mounted.unmount();
    let good = std::fs::read(&image).unwrap();
    let open: Opener = |source, view| evidence::btrfs::open(vec![source], view);
    survives("Btrfs", &good, &[(65_536, 4096)], open, "magic is missing");

    let root = &good[65_536 + 0x50..][..8];
    let mut bytes = good.clone();
    let block = (0..good.len()).step_by(4096).find(|at| {
        good[at + 32..at + 48] == good[65_536 + 32..65_536 + 48] && &good[at + 48..at + 56] == root
    });
    let block = block.expect("the tree of roots is somewhere");
    bytes[block + 100..block + 200].fill(0xee);
    let before = tree_of(open(Arc::new(MemSource::new(good)), View::Recovered)).0;
    let (after, problems) = tree_of(open(Arc::new(MemSource::new(bytes)), View::Recovered));
    let told: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
    assert!(told.iter().any(|text| text.contains("backup root")), "{told:?}");
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
    assert_eq!(after[&b"/a/file"[..]].content, before[&b"/a/file"[..]].content);
}

#[test]
fn ntfs_by_its_last_sector_and_the_mirror_of_its_table() {
    let (Some(mkntfs), Some(ntfs_3g)) = (tool("mkntfs"), tool("ntfs-3g")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "image", 16 << 20);
    run(&mkntfs, &["-q", "-F", "-f", text(&image)], "");
    if !Path::new("/dev/fuse").exists() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: no /dev/fuse, or not root");
        return;
    }
    let folder = directory.path().join("mounted");
    std::fs::create_dir(&folder).unwrap();
    run(&ntfs_3g, &[text(&image), text(&folder)], "");
    plant(&folder);
    run(&tool("umount").unwrap(), &[text(&folder)], "");
    let good = std::fs::read(&image).unwrap();
    let last = good.len() - 512;
    let open = evidence::ntfs::open;
    survives("NTFS boot", &good, &[(0, 512)], open, &format!("its copy at {last} is used"));
    let table = u64::from_le_bytes(good[0x30..0x38].try_into().unwrap()) * 4096;
    survives("NTFS table", &good, &[(table, 4096)], open, "its copy in $MFTMirr is used");
}

#[test]
fn fat32_and_exfat_by_the_copies_of_their_boot_sectors() {
    let directory = tempfile::tempdir().unwrap();
    let folder = folder(directory.path());
    if let (Some(mkfs), Some(mcopy)) = (tool("mkfs.fat"), tool("mcopy")) {
        for (sector, at) in [("512", 6 * 512), ("4096", 6 * 4096)] {
            let image =
                blank(directory.path(), "fat", if sector == "512" { 34 << 20 } else { 280 << 20 });
            run(&mkfs, &["-F", "32", "-s", "1", "-S", sector, text(&image)], "");
            run(&mcopy, &["-s", "-m", "-i", text(&image), text(&folder.join("a")), "::/"], "");
            let good = std::fs::read(&image).unwrap();
            let expected = format!("its copy at {at} is used");
            survives("FAT32", &good, &[(0, 512)], evidence::fat::open, &expected);
        }
    }
    let (Some(mkfs), Some(mount)) = (tool("mkfs.exfat"), tool("mount.exfat-fuse")) else { return };
    let image = blank(directory.path(), "exfat", 8 << 20);
    run(&mkfs, &["-c", "4096", text(&image)], "");
    if !Path::new("/dev/fuse").exists() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: no /dev/fuse, or not root");
        return;
    }
    let losetup = tool("losetup").unwrap();
    let device = run(&losetup, &["--find", "--show", text(&image)], "").trim().to_owned();
    let mounted = directory.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    run(&mount, &[&device, text(&mounted)], "");
    plant(&mounted);
    run(&tool("umount").unwrap(), &[text(&mounted)], "");
    for _ in 0..200 {
        let _ = std::process::Command::new(&losetup).args(["-d", &device]).output();
        if !std::process::Command::new(&losetup).arg(&device).output().unwrap().status.success() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let good = std::fs::read(&image).unwrap();
    survives("exFAT", &good, &[(0, 512)], evidence::exfat::open, "its copy at 6144 is used");
}

/// The probe names what stands behind a wiped start.
#[test]
fn a_wiped_start_is_still_recognised() {
    let Some(mke2fs) = tool("mke2fs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let folder = folder(directory.path());
    let image = blank(directory.path(), "image", 24 << 20);
    run(&mke2fs, &["-q", "-F", "-t", "ext4", "-b", "1024", "-d", text(&folder), text(&image)], "");
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[..4096].fill(0);
    let found = evidence::probe::probe(&MemSource::new(bytes));
    assert_eq!(found.contents.len(), 1, "{found:?}");
    assert_eq!(found.contents[0].kind, evidence::probe::ContentKind::Ext4);
    assert!(found.contents[0].notes.iter().any(|note| note.contains("copy")), "{found:?}");
}
