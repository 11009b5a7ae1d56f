//! A directory of a hundred thousand names, kept in another form than small ones: a B+tree with several levels.
//!
//! Independent tool: the running kernel writes it; the names planted are what must be listed, and the kernel is asked for
//! the same list.

mod support;

use evidence::fs::tree::{self, LastLink};
use evidence::{FileSystem, View};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;
use support::{blank, kernel, open, run, text, tool};

type Opened = Result<Box<dyn FileSystem>, evidence::EvidenceError>;

const MANY: usize = 100_000;

fn name(index: usize) -> String {
    format!("a name among many others, number {index:06}")
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
fn xfs_filled_by_the_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let Some(mkfs) = tool("mkfs.xfs") else { return };
    let image = blank(directory.path(), "xfs", 320 << 20);
    run(&mkfs, &["-q", text(&image)], "");
    let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
    fill(mounted.root(), MANY);
    mounted.unmount();
    check("xfs", evidence::xfs::open(open(&image), View::Recovered), MANY, begun);
    kernel_agrees(&image, "xfs");
}
