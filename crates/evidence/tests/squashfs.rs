//! squashfs read by our own reader, judged by independent tools: the running kernel's squashfs, `unsquashfs` where the
//! kernel lacks a compression, and the images of another project's reader.

mod support;

use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileKind, FileSystem, Stored};
use evidence::squashfs::{self, Squash};
use evidence::{MemSource, ProblemKind, Source, View};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::facts::{self, Tree};
use support::population::{self, Abilities};
use support::{Random, kernel, open, run, text, tool};

/// The awkward tree, with the times squashfs can record.
fn planted(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    std::fs::create_dir(&tree).unwrap();
    let abilities = Abilities { times: (0, (1 << 32) - 1), ..Abilities::LINUX };
    population::plant(&tree, abilities);
    // Two files with the same large value: it is kept once and referred to.
    for name in ["shares-a", "shares-b"] {
        let path = tree.join(name);
        std::fs::write(&path, name).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        let value = Random(77).bytes(2000);
        rustix::fs::lsetxattr(&path, "user.shared", &value, flags).unwrap();
        rustix::fs::lsetxattr(&path, format!("user.{name}"), b"own", flags).unwrap();
    }
    tree
}

fn image(tree: &Path, name: &str, options: &[&str]) -> Option<PathBuf> {
    let mksquashfs = tool("mksquashfs")?;
    let image = tree.with_file_name(name);
    let mut all = vec![text(tree), text(&image), "-quiet", "-no-progress", "-noappend"];
    all.extend(options);
    run(&mksquashfs, &all, "");
    Some(image)
}

/// Our view with what the kernel adds: inode numbers for references, the one time recorded for all three.
fn ours(fs: &dyn FileSystem) -> Tree {
    let (mut tree, problems) = facts::ours(fs);
    assert_eq!(problems, []);
    for facts in tree.values_mut() {
        facts.node = fs.node_name(facts.node).parse().unwrap();
        (facts.accessed, facts.changed) = (facts.modified, facts.modified);
    }
    tree
}

/// Independent tool: the kernel.
#[test]
fn every_compression_reads_as_the_kernel_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    for options in [
        &["-comp", "gzip"][..],
        &["-comp", "xz", "-Xbcj", "x86,arm"],
        &["-comp", "lzo"],
        &["-comp", "lzo", "-Xalgorithm", "lzo1x_1"],
        &["-comp", "lz4"],
        &["-comp", "lz4", "-Xhc", "-b", "1M"],
        &["-comp", "zstd"],
        &["-noI", "-noD", "-noF", "-noX"],
        &["-b", "4096", "-always-use-fragments"],
        &["-no-fragments", "-no-sparse", "-no-exports", "-no-duplicates"],
        &["-no-xattrs", "-b", "1M"],
    ] {
        let Some(image) = image(&tree, "image", options) else { return };
        let Some(mounted) = kernel::mount(&image, "squashfs", "ro") else { return };
        let theirs = facts::kernels(mounted.root());
        mounted.unmount();
        let fs = squashfs::open(open(&image), View::Recovered).unwrap();
        facts::compare(&ours(&*fs), &theirs, &format!("{options:?}"));
        assert_eq!(fs.problems(), []);
    }
}

/// Independent tool: `unsquashfs`, for the form of LZMA that the kernel never took.
#[test]
fn the_old_lzma_reads_as_unsquashfs_reads_it() {
    let Some(unsquashfs) = tool("unsquashfs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    let Some(image) = image(&tree, "image", &["-comp", "lzma"]) else { return };
    let out = directory.path().join("out");
    run(&unsquashfs, &["-no-progress", "-quiet", "-d", text(&out), text(&image)], "");
    let fs = Squash::open(open(&image)).unwrap();
    let (mut ours, mut theirs) = (ours(&fs), facts::kernels(&out));
    for facts in ours.values_mut().chain(theirs.values_mut()) {
        (facts.accessed, facts.changed, facts.born, facts.node) = (None, None, None, 0);
        if facts.kind == FileKind::Directory {
            facts.size_bytes = 0;
        }
    }
    facts::compare(&ours, &theirs, "lzma");
}

/// Independent path: what the extents say is read without the reader, and must be the content.
#[test]
fn extents_lead_to_the_content() {
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    let Some(image) = image(&tree, "image", &["-noD", "-noF"]) else { return };
    let bytes = std::fs::read(&image).unwrap();
    let fs = Squash::open(open(&image)).unwrap();
    for name in ["large", "sparse", "odd", "tiny", "hole", "empty"] {
        let content = std::fs::read(tree.join(name)).unwrap();
        let node = tree::resolve(&fs, name.as_bytes(), LastLink::Keep).unwrap();
        let mut found = Vec::new();
        for extent in fs.extents(node).unwrap() {
            assert_eq!(extent.logical_bytes, found.len() as u64, "{name}");
            let length = extent.length_bytes as usize;
            match extent.stored {
                Stored::At(at) => found.extend(&bytes[at as usize..at as usize + length]),
                Stored::Hole => found.resize(found.len() + length, 0),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(found == content, "{name}");
    }
    let node = tree::resolve(&fs, b"/sparse", LastLink::Keep).unwrap();
    assert!(fs.extents(node).unwrap().iter().any(|extent| extent.stored == Stored::Hole));
    assert!(fs.details(fs.root()).unwrap().iter().any(|detail| detail.name == "compression"));
}

/// Only us: a count in the superblock that nothing backs, and versions that are not read.
#[test]
fn what_is_not_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), Random(5).bytes(300_000)).unwrap();
    let Some(image) = image(&tree, "image", &[]) else { return };
    let good = std::fs::read(&image).unwrap();
    let with = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        Squash::open(Arc::new(MemSource::new(bytes))).err().map(|error| error.to_string())
    };
    assert_eq!(with(28, &[3, 0, 1, 0]).unwrap(), "squashfs version 3.1 is not supported");
    assert_eq!(
        with(0, b"sqsh").unwrap(),
        "squashfs version 1024.0 in big-endian order is not supported"
    );
    assert_eq!(with(20, &[9, 0]).unwrap(), "squashfs compression 9 is not supported");
    assert!(with(12, &[1, 2, 3, 0]).unwrap().contains("block size"));
    assert_eq!(with(4, &[255; 4]), None);

    // A file system cut short says so, and what is left reads.
    let cut = Squash::open(Arc::new(MemSource::new(good[..good.len() - 4096].to_vec()))).unwrap();
    assert!(cut.problems().iter().any(|problem| problem.kind == ProblemKind::Corrupt));
}

#[test]
fn damaged_images_never_panic_or_hang() {
    support::bounded::bounded("squashfs", || {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/text"), "the same line again\n".repeat(2000)).unwrap();
        std::fs::write(tree.join("a/random"), Random(3).bytes(9000)).unwrap();
        std::os::unix::fs::symlink("x".repeat(100), tree.join("link")).unwrap();
        for index in 0..40 {
            std::fs::write(tree.join(format!("a/b/name-{index}")), format!("{index}")).unwrap();
        }
        let flags = rustix::fs::XattrFlags::empty();
        for name in ["a/text", "link/../a/random"] {
            let _ = rustix::fs::lsetxattr(tree.join(name), "user.note", &[7; 900], flags);
        }
        for options in [
            &["-b", "4096"][..],
            &["-noI", "-noId", "-noD", "-noX", "-b", "4096"],
            &["-comp", "zstd"],
        ] {
            let Some(image) = image(&tree, "image", options) else { return };
            let good = std::fs::read(&image).unwrap();
            support::hostile::mutate(&good, 250, 1, &|source: Arc<dyn Source>| {
                squashfs::open(source, View::Recovered)
            });
        }
    });
}
