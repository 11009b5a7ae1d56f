//! File systems whose headers are hostile.

use super::support::bounded::bounded;
use super::support::nasty::{Nasty, Order};
use super::support::pages::Pages;
use super::support::{blank, run, text, tool};
use super::{Opener, all_of, crc32c, made, tree, unsealed};
use std::ops::Range;

/// A file system of little endian fields no checksum guards.
fn little(what: &str, image: &Pages, spots: Vec<Range<u64>>, open: Opener) {
    // Opening a large image takes longer.
    let cases = if image.size_bytes > 16 << 20 { 60 } else { 300 };
    let nasty = Nasty {
        what,
        image,
        spots,
        order: Order::Little,
        cases,
        seal: &unsealed,
        exercise: &all_of(open),
    };
    nasty.run();
}

#[test]
fn ext() {
    bounded("ext headers", || {
        for options in [
            &["-t", "ext4", "-b", "1024", "-J", "size=1"][..],
            &["-t", "ext4", "-b", "1024", "-O", "^has_journal,meta_bg,^resize_inode,64bit"],
            &["-t", "ext2", "-b", "1024"],
        ] {
            let directory = tempfile::tempdir().unwrap();
            let tree = tree(directory.path());
            let all = [&["-q", "-F", "-N", "64", "-d", text(&tree)], options].concat();
            let Some(image) = made(directory.path(), "mke2fs", &all, 3 << 20) else { return };
            let table = u64::from(image.le32(2048 + 8)) * 1024;
            let inode_bytes = u64::from(image.le32(1024 + 88) & 0xffff);
            let mut spots = vec![1024..1024 + 0x180, 2048..2048 + 64];
            // The root, the journal, and the first of ours.
            for number in [2, 8, 12, 13] {
                let at = table + (number - 1) * inode_bytes;
                spots.push(at..at + 128);
            }
            let magic =
                image.used().into_iter().find(|at| image.at(*at, 4) == [0xc0, 0x3b, 0x39, 0x98]);
            little(&options.join(" "), &image, spots, evidence::ext::open);
            if let Some(journal) = magic {
                let nasty = Nasty {
                    what: "the journal's superblock",
                    image: &image,
                    spots: vec![journal..journal + 0x60],
                    order: Order::Big,
                    cases: 100,
                    seal: &|image| image.put(1024 + 0x60, &[image.at(1024 + 0x60, 1)[0] | 4]),
                    exercise: &all_of(evidence::ext::open),
                };
                nasty.run();
            }
        }
    });
}

#[test]
fn xfs() {
    bounded("XFS headers", || {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("prototype");
        let files: String = (0..20).map(|n| format!("n{n} ---644 0 0 /dev/null\n")).collect();
        let text_of = format!(
            "none\n0 0\nd--755 0 0\nfile ---644 0 0 /etc/passwd\nd d--755 0 0\n{files}$\n$\n"
        );
        std::fs::write(&list, text_of).unwrap();
        let options =
            ["-q", "-f", "--unsupported", "-d", "agcount=1", "-l", "size=1400b", "-p", text(&list)];
        let Some(image) = made(directory.path(), "mkfs.xfs", &options, 24 << 20) else { return };
        let root = 64 * 512; // Inode 64 of 512 bytes where the group is one.
        let mut spots = vec![0..272, 512..512 + 64, 1024..1024 + 64];
        let node = u64::from_be_bytes(image.at(56, 8).try_into().unwrap());
        assert!(node < 1 << 20, "{root}");
        spots.push(node * 512..node * 512 + 256);
        spots.push((node + 3) * 512..(node + 3) * 512 + 256);
        let nasty = Nasty {
            what: "XFS",
            image: &image,
            spots,
            order: Order::Big,
            cases: 800,
            seal: &unsealed,
            exercise: &all_of(evidence::xfs::open),
        };
        nasty.run();
    });
}

/// Puts the checksums of the superblock and of the tree blocks right.
fn seal_btrfs(image: &mut Pages) {
    for at in image.altered() {
        let length = if at == 65_536 { 4096 } else { 4096.max(image.le32(65_536 + 0x94) as usize) };
        let length = if length.is_power_of_two() && length <= 65_536 { length } else { 4096 };
        let start = if at == 65_536 { at } else { at / length as u64 * length as u64 };
        let bytes = image.at(start, length);
        if start == 65_536 || bytes[32..48] == image.at(65_536 + 32, 16) {
            let sum = !crc32c(u32::MAX, &bytes[32..]);
            image.put(start, &sum.to_le_bytes());
        }
    }
}

#[test]
fn btrfs() {
    bounded("Btrfs headers", || {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(directory.path());
        let options = ["-q", "-M", "-n", "4096", "--rootdir", text(&tree)];
        let Some(image) = made(directory.path(), "mkfs.btrfs", &options, 16 << 20) else { return };
        let fsid = image.at(65_536 + 32, 16);
        let mut spots = vec![65_536 + 32..65_536 + 0x400];
        // Headers, keys and items at both ends of each tree block.
        for block in image.used().into_iter().filter(|at| at % 4096 == 0 && *at != 65_536) {
            if image.at(block + 32, 16) == fsid {
                spots.extend([block + 48..block + 200, block + 3800..block + 4096]);
            }
        }
        let nasty = Nasty {
            what: "Btrfs",
            image: &image,
            spots,
            order: Order::Little,
            cases: 800,
            seal: &seal_btrfs,
            exercise: &all_of(|source, view| evidence::btrfs::open(vec![source], view)),
        };
        nasty.run();
    });
}

#[test]
fn ntfs() {
    bounded("NTFS headers", || {
        let directory = tempfile::tempdir().unwrap();
        let options = ["-q", "-F", "-f", "-c", "4096"];
        let Some(image) = made(directory.path(), "mkntfs", &options, 4 << 20) else { return };
        let table = image.le64(0x30) * 4096;
        // The boot sector and the records of the system's files; not the words their sectors end with.
        let mut spots = vec![0..0x60];
        for number in 0..12 {
            let at = table + number * 1024;
            spots.extend([at + 0x10..at + 0x30, at + 0x38..at + 510]);
        }
        little("NTFS", &image, spots, evidence::ntfs::open);
    });
}

#[test]
fn fat() {
    bounded("FAT headers", || {
        for (options, size) in [
            (&["-F", "12"][..], 1 << 20),
            (&["-F", "16", "-s", "1"], 5 << 20),
            (&["-F", "32", "-s", "1"], 34 << 20),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let tree = tree(directory.path());
            let (Some(mkfs), Some(mcopy)) = (tool("mkfs.fat"), tool("mcopy")) else { return };
            let path = blank(directory.path(), "image", size);
            run(&mkfs, &[options, &[text(&path)]].concat(), "");
            run(&mcopy, &["-s", "-i", text(&path), text(&tree.join("a")), "::/"], "");
            let image = Pages::read(&path);
            let root = image.used().into_iter().find(|at| image.at(*at, 11) == *b"A          ");
            let mut spots = vec![0..90, 512..1024];
            spots.extend(root.map(|at| at..at + 96));
            little(&options.join(" "), &image, spots, evidence::fat::open);
        }
    });
}

#[test]
fn exfat() {
    bounded("exFAT headers", || {
        let directory = tempfile::tempdir().unwrap();
        let options = ["-c", "512", "-b", "4K"];
        let Some(image) = made(directory.path(), "mkfs.exfat", &options, 1 << 20) else { return };
        let at = |field: u64| u64::from(image.le32(field));
        let root = (at(88) + at(96) - 2) * 512;
        let spots = vec![64..120, at(80) * 512..at(80) * 512 + 64, root..root + 128];
        little("exFAT", &image, spots, evidence::exfat::open);
    });
}

#[test]
fn iso9660() {
    bounded("ISO 9660 headers", || {
        for options in [&["-R", "-J"][..], &["-R", "-b", "boot", "-no-emul-boot"]] {
            let directory = tempfile::tempdir().unwrap();
            let tree = tree(directory.path());
            std::fs::write(tree.join("boot"), vec![7; 2048]).unwrap();
            let Some(writer) = tool("genisoimage") else { return };
            let path = directory.path().join("image");
            let all = [&["-quiet"], options, &["-o", text(&path), text(&tree)]].concat();
            run(&writer, &all, "");
            let image = Pages::read(&path);
            let mut spots = vec![0x8000..0x8000 + 200, 0x8800..0x8800 + 200, 0x9000..0x9000 + 200];
            let root = u64::from(image.le32(0x8000 + 158)) * 2048;
            spots.push(root..root + 512);
            little("ISO 9660", &image, spots, evidence::iso9660::open);
        }
    });
}

#[test]
fn squashfs() {
    bounded("squashfs headers", || {
        let Some(writer) = tool("mksquashfs") else { return };
        for options in [&["-noI", "-noId", "-noD", "-noF", "-noX"][..], &["-comp", "xz"]] {
            let directory = tempfile::tempdir().unwrap();
            let tree = tree(directory.path());
            let path = directory.path().join("image");
            let all =
                [&[text(&tree), text(&path), "-quiet", "-no-progress", "-b", "4096"], options];
            run(&writer, &all.concat(), "");
            let image = Pages::read(&path);
            // Inodes, directories and the tables behind them stand at the end.
            let inodes = image.le64(64);
            let end = image.le64(40);
            let spots = vec![0..96, inodes..end.min(inodes + 3000), end.saturating_sub(200)..end];
            little(&options.join(" "), &image, spots, evidence::squashfs::open);
        }
    });
}

#[test]
fn erofs() {
    bounded("EROFS headers", || {
        let Some(writer) = tool("mkfs.erofs") else { return };
        for options in [&[][..], &["-zlz4hc", "-C16384", "-Efragments,dedupe"]] {
            let directory = tempfile::tempdir().unwrap();
            let tree = tree(directory.path());
            let path = directory.path().join("image");
            run(&writer, &[&["--quiet"], options, &[text(&path), text(&tree)]].concat(), "");
            let image = Pages::read(&path);
            let root = u64::from(image.le32(1024 + 14) & 0xffff) * 32
                + u64::from(image.le32(1024 + 40)) * 4096;
            let spots = vec![1024..1024 + 128, root..root + 700];
            little(&options.join(" "), &image, spots, evidence::erofs::open);
        }
    });
}
