//! What an ext file system keeps beside its tree: deleted objects, free space, extents and further facts.
//!
//! Vouched for by independent tools: The Sleuth Kit (`fls`, `icat`) for what was deleted, debugfs and dumpe2fs for
//! allocation.

mod support;

use evidence::ext::Ext;
use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileSystem, Stored};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use support::{Random, blank, kernel, open, run, text, tool};

/// A file system in which the kernel made and removed things.
fn image(directory: &Path, options: &[&str]) -> Option<PathBuf> {
    let mkfs = tool("mke2fs")?;
    let image = blank(directory, "image", 24 << 20);
    run(&mkfs, &[&["-q", "-F"], options, &[text(&image)]].concat(), "");
    let mounted = kernel::mount(&image, "ext4", "rw")?;
    let root = mounted.root();
    std::fs::create_dir_all(root.join("kept/below")).unwrap();
    std::fs::create_dir_all(root.join("gone/below")).unwrap();
    for index in 0..40 {
        let content = Random(index + 1).bytes(2_000 + index as usize * 100);
        for folder in ["kept", "kept/below", "gone", "gone/below"] {
            std::fs::write(root.join(format!("{folder}/file-{index:02}")), &content).unwrap();
        }
    }
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, &[7; 100_000], 300_000).unwrap();
    drop(sparse);
    mounted.unmount();
    // Mounted again, so that inodes are truly written before they are given back.
    let mounted = kernel::mount(&image, "ext4", "rw")?;
    let root = mounted.root();
    for index in (1..40).step_by(4) {
        std::fs::remove_file(root.join(format!("kept/file-{index:02}"))).unwrap();
        std::fs::remove_file(root.join(format!("kept/below/file-{index:02}"))).unwrap();
    }
    std::fs::remove_dir_all(root.join("gone/below")).unwrap();
    std::fs::rename(root.join("kept/file-02"), root.join("kept/moved")).unwrap();
    rustix::fs::syncfs(std::fs::File::open(root).unwrap()).unwrap();
    std::fs::write(root.join("kept/reuses-an-inode"), "new").unwrap();
    mounted.unmount();
    // debugfs leaves the map of what it removes in place, as the driver of ext2 did.
    let debugfs = tool("debugfs")?;
    let script: String = (3..40).step_by(4).map(|n| format!("rm /kept/file-{n:02}\n")).collect();
    run(&debugfs, &["-w", "-f", "-", text(&image)], &script);
    Some(image)
}

/// The lines of `fls -rdp`: path, inode, and whether the inode belongs to another file by now.
fn by_fls(image: &Path) -> Option<BTreeSet<(String, u64, bool)>> {
    let fls = tool("fls")?;
    let mut out = BTreeSet::new();
    for line in run(&fls, &["-r", "-d", "-p", text(image)], "").lines() {
        let (head, path) = line.split_once('\t').unwrap();
        let number = head.rsplit(' ').next().unwrap().trim_end_matches(':');
        let (number, is_reused) = match number.strip_suffix("(realloc)") {
            Some(number) => (number, true),
            None => (number, false),
        };
        out.insert((format!("/{path}"), number.parse().unwrap(), is_reused));
    }
    Some(out)
}

#[test]
fn deleted_objects_are_those_the_sleuth_kit_shows() {
    for options in [
        &["-t", "ext2", "-b", "1024"][..],
        &["-t", "ext2", "-b", "4096"],
        &["-t", "ext3", "-b", "1024"],
        &["-t", "ext4", "-b", "1024"],
        &["-t", "ext4", "-b", "4096"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let Some(theirs) = by_fls(&image) else { return };
        let fs = Ext::open(open(&image)).unwrap();
        let found = fs.deleted(100_000);
        assert_eq!(found.problems, [], "{options:?}");
        let ours: BTreeSet<_> = found
            .entries
            .iter()
            .map(|entry| (entry.path.to_string(), entry.node.unwrap_or(0), entry.is_reused))
            .collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        let more: Vec<_> = ours.difference(&theirs).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{options:?}\nmissing {missing:?}\nmore {more:?}"
        );
        assert!(theirs.len() > 40, "{options:?}");
        // Content where the format keeps the map: as icat shows it.
        let Some(icat) = tool("icat") else { return };
        let mut compared = 0;
        for entry in &found.entries {
            let (Some(node), Some(metadata)) = (entry.node, &entry.metadata) else { continue };
            if metadata.kind != evidence::fs::FileKind::File || metadata.size_bytes == 0 {
                continue;
            }
            assert!(entry.deleted.is_some(), "{options:?}: {}", entry.path);
            let content = (&fs as &dyn FileSystem).read_head(node, 1 << 20).unwrap().0;
            let out = std::process::Command::new(&icat)
                .args(["-r", text(&image), &node.to_string()])
                .output()
                .unwrap();
            assert!(content == out.stdout, "{options:?}: {}", entry.path);
            compared += 1;
        }
        eprintln!("{options:?}: {} deleted, content of {compared} compared", theirs.len());
        assert!(compared >= 10, "{options:?}");
        let few = fs.deleted(3);
        assert_eq!((few.entries.len(), few.problems.len()), (3, 1));
    }
}

/// dumpe2fs lists the free blocks of each group.
#[test]
fn free_space_is_what_dumpe2fs_lists() {
    let Some(dumpe2fs) = tool("dumpe2fs") else { return };
    for (options, block_bytes, cluster_bytes) in [
        (&["-t", "ext4", "-b", "1024"][..], 1024, 1024),
        (&["-t", "ext4", "-b", "4096", "-E", "resize=4G"], 4096, 4096),
        (&["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"], 1024, 1024),
        (&["-t", "ext4", "-b", "1024", "-O", "^flex_bg"], 1024, 1024),
        (&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"], 1024, 1024),
        (&["-t", "ext4", "-b", "1024", "-O", "sparse_super2"], 1024, 1024),
        (&["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384"], 4096, 16_384),
        (&["-t", "ext2", "-b", "2048"], 2048, 2048),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let fs = Ext::open(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        let mut theirs: Vec<std::ops::Range<u64>> = Vec::new();
        for line in run(&dumpe2fs, &[text(&image)], "").lines() {
            let Some(list) = line.strip_prefix("  Free blocks: ") else { continue };
            for part in list.split(", ").filter(|part| !part.is_empty()) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
                // With clusters, both ends are first blocks of one.
                let range = first * block_bytes..last * block_bytes + cluster_bytes;
                match theirs.last_mut() {
                    Some(before) if before.end == range.start => before.end = range.end,
                    _ => theirs.push(range),
                }
            }
        }
        assert_eq!(fs.free_ranges().unwrap(), theirs, "{options:?}");
        assert!(!theirs.is_empty());
    }
}

#[test]
fn extents_and_details_are_those_of_debugfs() {
    let Some(debugfs) = tool("debugfs") else { return };
    for options in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext2", "-b", "1024"]] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        let fs = Ext::open(open(&image)).unwrap();
        let node = tree::resolve(&fs, b"/sparse", LastLink::Keep).unwrap();
        let mut ours = Vec::new();
        let mut end = 0;
        for extent in fs.extents(node).unwrap() {
            assert_eq!(extent.logical_bytes, end);
            end += extent.length_bytes;
            if let Stored::At(at) = extent.stored {
                ours.extend((0..extent.length_bytes / 1024).map(|n| (at / 1024 + n).to_string()));
            }
        }
        assert_eq!(end, 400_384);
        // "blocks" also names the blocks of the map itself, each before those it leads to.
        let listed = run(&debugfs, &["-R", "blocks /sparse", text(&image)], "");
        let theirs: BTreeSet<&str> = listed.split_whitespace().collect();
        assert!(ours.iter().all(|block| theirs.contains(block.as_str())), "{options:?}");
        assert!(theirs.len() - ours.len() <= 2, "{options:?}: {} {}", theirs.len(), ours.len());
        let details = fs.details(node).unwrap();
        let value = |name: &str| {
            details.iter().find(|detail| detail.name == name).map(|detail| detail.value.clone())
        };
        let stat = run(&debugfs, &["-R", "stat /sparse", text(&image)], "");
        let sectors = value("sectors of 512 bytes").unwrap();
        assert!(stat.contains(&format!("Blockcount: {sectors}\n")), "{stat}");
        assert_eq!(value("is allocated").as_deref(), Some("true"));
        if options.contains(&"ext4") {
            assert_eq!(value("checksum").as_deref(), Some("fits"));
            assert_eq!(value("flags").as_deref(), Some("0x80000 e"));
        }
    }
}

/// Damage to what only checksums tell is a problem, and the rest is still shown.
#[test]
fn wrong_checksums_are_told_and_hide_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4", "-b", "1024"]) else { return };
    let good = std::fs::read(&image).unwrap();
    let fs = Ext::open(open(&image)).unwrap();
    let kept = tree::resolve(&fs, b"/kept", LastLink::Keep).unwrap();
    let names = fs.read_dir(kept).unwrap();
    assert_eq!(names.problems, []);
    let Stored::At(block) = fs.extents(kept).unwrap()[0].stored else { panic!("no block") };
    let mut bytes = good;
    // The superblock's time of the last write, a descriptor's count of free blocks, and a letter of a name.
    bytes[1024 + 0x30] ^= 1;
    bytes[2048 + 0xc] ^= 1;
    let at = block as usize + 24;
    let place = at + bytes[at..at + 1000].windows(5).position(|part| part == b"file-").unwrap();
    bytes[place] = b'F';
    std::fs::write(&image, bytes).unwrap();
    let fs = Ext::open(open(&image)).unwrap();
    let texts: Vec<_> = fs.problems().iter().map(|problem| problem.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "the checksum of the ext superblock does not fit",
            "the checksum of group descriptor 0 does not fit"
        ]
    );
    let damaged = fs.read_dir(kept).unwrap();
    assert_eq!((damaged.entries.len(), damaged.problems.len()), (names.entries.len(), 1));
}

/// Flags set by debugfs stand for what only a kernel with the key or the hash tree could make.
#[test]
fn encryption_and_verity_are_marked_and_named() {
    use evidence::ProblemKind;
    use evidence::fs::Attribute;
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4", "-O", "encrypt,verity"]) else {
        return;
    };
    let Some(debugfs) = tool("debugfs") else { return };
    let script = "sif /sparse flags 0x180000\nsif /kept/moved flags 0x80800\n\
                  sif /kept/below flags 0x80800\nsif /kept/file-00 flags 0x80030\n";
    run(&debugfs, &["-w", "-f", "-", text(&image)], script);
    let fs = Ext::open(open(&image)).unwrap();
    let node = |path: &str| tree::resolve(&fs, path.as_bytes(), LastLink::Keep).unwrap();
    let has = |path: &str, attribute| fs.metadata(node(path)).unwrap().attributes.has(attribute);
    assert!(has("/sparse", Attribute::Verity) && !has("/sparse", Attribute::Encrypted));
    assert!(has("/kept/moved", Attribute::Encrypted) && has("/kept/below", Attribute::Encrypted));
    assert!(has("/kept/file-00", Attribute::Immutable));
    assert!(has("/kept/file-00", Attribute::AppendOnly));
    let error = fs.read_at(node("/kept/moved"), 0, &mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ProblemKind::Unsupported);
    let listing = fs.read_dir(node("/kept/below")).unwrap();
    assert!(!listing.entries.is_empty());
    assert_eq!(listing.problems[0].kind, ProblemKind::Unsupported);
}
