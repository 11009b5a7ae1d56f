//! EROFS read by our own reader, judged by independent tools: the running kernel's EROFS, and `fsck.erofs`.
//!
//! What the installed mkfs.erofs cannot make is skipped by name; `GLOVEBOX_MKFS_EROFS` names a newer one.

mod support;

use evidence::erofs::{self, Erofs};
use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileKind, FileSystem, Stored};
use evidence::{MemSource, Problem, ProblemKind, Source, View};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::facts::{self, Tree};
use support::population::{self, Abilities};
use support::{Random, kernel, open, run, text, tool};

fn mkfs() -> Option<PathBuf> {
    std::env::var_os("GLOVEBOX_MKFS_EROFS").map(PathBuf::from).or_else(|| tool("mkfs.erofs"))
}

/// The awkward tree, without what only takes time, and what EROFS has forms of its own for.
fn planted(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    std::fs::create_dir(&tree).unwrap();
    population::plant(
        &tree,
        Abilities { many: 500, times: (0, (1 << 33) - 1), ..Abilities::LINUX },
    );
    std::fs::OpenOptions::new()
        .write(true)
        .open(tree.join("large"))
        .unwrap()
        .set_len(700_001)
        .unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(tree.join("sparse"))
        .unwrap()
        .set_len(5_000_003)
        .unwrap();
    // mkfs.erofs 1.5 stumbles over names of 255 bytes; a test of its own has them.
    for name in [[b'n'; 255], [0xc3; 255]] {
        let name = std::ffi::OsStr::from_bytes(&name);
        let shorter = std::ffi::OsStr::from_bytes(&name.as_bytes()[1..]);
        std::fs::rename(tree.join(name), tree.join(shorter)).unwrap();
    }
    let flags = rustix::fs::XattrFlags::empty();
    for index in 0..20 {
        // The same attribute on many files becomes a shared one.
        let path = tree.join(format!("shares-{index}"));
        std::fs::write(&path, "x".repeat(index * 400)).unwrap();
        rustix::fs::lsetxattr(&path, "user.shared", &[5; 300], flags).unwrap();
        rustix::fs::lsetxattr(&path, "user.glovebox.long.prefix.own", &[index as u8], flags)
            .unwrap();
    }
    // Something that packs well, badly, and not at all, in turns; and twice the same.
    let mut mixed = Vec::new();
    for piece in 0..30_u64 {
        match piece % 3 {
            0 => mixed.extend(Random(piece + 1).bytes(20_000)),
            1 => mixed.extend(format!("line {piece} of many\n").repeat(3000).into_bytes()),
            _ => mixed.extend(vec![piece as u8; 30_000]),
        }
    }
    std::fs::write(tree.join("mixed"), &mixed).unwrap();
    mixed.extend_from_within(1000..400_000);
    std::fs::write(tree.join("repeated"), &mixed).unwrap();
    let words: Vec<u8> = (0..200_000_u64)
        .map(|n| b"abcdefgh \n"[(Random(n / 7 + 1).next() % 10) as usize])
        .collect();
    std::fs::write(tree.join("words"), words).unwrap();
    tree
}

/// An image, or `None`, said, where the tool does not know an option.
fn image(tree: &Path, options: &[&str]) -> Option<PathBuf> {
    let image = tree.with_file_name("image");
    let _ = std::fs::remove_file(&image);
    let out = Command::new(mkfs()?)
        .args(["-d0", "-x1"])
        .args(options)
        .args([&image, tree])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if out.status.success() {
        return Some(image);
    }
    let why = String::from_utf8_lossy(&out.stderr);
    let why = why.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    eprintln!("skipped: mkfs.erofs {options:?}: {}: {why}", out.status);
    None
}

/// Our view with what the kernel adds: the number it shows, the one time recorded for all three.
fn ours(fs: &dyn FileSystem) -> Tree {
    let (mut tree, problems) = facts::ours(fs);
    assert_eq!(problems, []);
    for facts in tree.values_mut() {
        // The kernel has a number of its own for what stands in the metadata box.
        facts.node = fs.node_name(facts.node).parse().unwrap_or(0);
        let time = facts.modified.or(facts.changed);
        (facts.accessed, facts.modified, facts.changed) = (time, time, time);
    }
    tree
}

fn judge(tree: &Path, variants: &[&[&str]]) -> usize {
    let mut judged = 0;
    for options in variants {
        let Some(image) = image(tree, options) else { continue };
        let fs = erofs::open(open(&image), View::Recovered).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        let ours = ours(&*fs);
        let Some(mounted) = kernel::mount(&image, "erofs", "ro") else { continue };
        let mut theirs = facts::kernels(mounted.root());
        mounted.unmount();
        for (path, facts) in &mut theirs {
            if ours.get(path).is_some_and(|our| our.node == 0) {
                facts.node = 0;
            }
        }
        facts::compare(&ours, &theirs, &format!("{options:?}"));
        judged += 1;
    }
    judged
}

/// Independent tool: the kernel.
#[test]
fn plain_layouts_read_as_the_kernel_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    judge(
        &tree,
        &[
            &[],
            &["-Eforce-inode-compact", "-T1700000000", "--all-root"],
            &["-Eforce-inode-extended,noinline_data"],
            &["--chunksize=4096"],
            &["--chunksize=65536", "-Eforce-chunk-indexes"],
            &["-E48bit"],
            &["-b1024"],
            &["--xattr-prefix=user.glovebox.long."],
            &["--xattr-prefix=user.glovebox.long.", "-Eplain-xattr-prefixes"],
            &["-E^dot-omitted"],
        ],
    );
}

/// Independent tool: the kernel.
#[test]
fn compressed_layouts_read_as_the_kernel_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    judge(
        &tree,
        &[
            &["-zlz4"],
            &["-zlz4hc,9", "-Elegacy-compress"],
            &["-zlz4hc", "-C65536"],
            &["-zlz4hc", "-C1048576", "-Eall-fragments,dedupe"],
            &["-zlz4", "-Eztailpacking"],
            &["-zlz4", "-C65536", "-Elegacy-compress,ztailpacking"],
            &["-zlz4", "-Efragments"],
            &["-zlz4", "-C32768", "-Efragments,dedupe,ztailpacking"],
            &["-zlz4", "-C16384", "-Elegacy-compress,dedupe,fragments"],
            &["-zlz4hc", "--max-extent-bytes=65536", "-C65536"],
        ],
    );
}

/// Independent tool: the kernel, where it has these methods.
#[test]
fn other_methods_read_as_the_kernel_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    judge(
        &tree,
        &[
            &["-zlzma"],
            &["-zlzma", "-C65536", "-Efragments,dedupe"],
            &["-zlzma", "-Eztailpacking"],
            &["-zdeflate", "-C65536"],
            &["-zdeflate", "-Eztailpacking"],
            &["-zzstd", "-C65536"],
            &["-zzstd", "-C131072", "-Eall-fragments"],
            &["-zlz4:zstd", "-C65536", "-Efragments"],
            &["-zlz4", "-C65536", "-E48bit"],
            &["-zzstd", "-C65536", "-E48bit,fragments,dedupe"],
            &["-zlz4", "-E48bit,legacy-compress"],
            &["-zzstd", "-C65536", "--zD"],
            &["-zlz4", "-m4096"],
            &["-zlz4", "-C65536", "-m65536:zstd", "--MZ=id", "--zD"],
        ],
    );
}

/// Independent tool: the kernel.
#[test]
fn the_longest_names_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for byte in [b'n', 0xc3, b'z'] {
        std::fs::write(tree.join(std::ffi::OsStr::from_bytes(&[byte; 255])), "long").unwrap();
    }
    judge(&tree, &[&[], &["-b1024"]]);
}

/// Independent path: what the extents say is read without the reader, and must be the content.
#[test]
fn extents_lead_to_the_content() {
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    for options in [&["-Enoinline_data"][..], &["--chunksize=4096"]] {
        let Some(image) = image(&tree, options) else { return };
        let bytes = std::fs::read(&image).unwrap();
        let fs = Erofs::open(open(&image), Vec::new()).unwrap();
        for name in ["large", "sparse", "odd", "empty", "mixed"] {
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
    }
}

/// Independent tool: the source tree as the kernel shows it; the second device is another file.
#[test]
fn a_further_device_is_named_when_missing_and_read_when_given() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let content = Random(8).bytes(200_000);
    std::fs::write(tree.join("file"), &content).unwrap();
    let blob = directory.path().join("blob");
    let option = format!("--blobdev={}", text(&blob));
    let Some(image) = image(&tree, &["--chunksize=4096", &option]) else { return };
    let fs = Erofs::open(open(&image), Vec::new()).unwrap();
    assert_eq!(fs.problems()[0].kind, ProblemKind::Unsupported);
    let error = tree::read_file(&fs, b"/file", 10).unwrap_err();
    assert!(error.to_string().contains("further EROFS device 1"), "{error}");
    let fs = Erofs::open(open(&image), vec![open(&blob)]).unwrap();
    assert_eq!(fs.problems(), Vec::<Problem>::new());
    assert!(tree::read_file(&fs, b"/file", 1 << 20).unwrap() == (content, true));
}

/// Only us; that the sums of good images are right is vouched for by every other test here.
#[test]
fn a_damaged_superblock_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), "content").unwrap();
    let Some(image) = image(&tree, &[]) else { return };
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[1024 + 64] ^= 0x20;
    std::fs::write(&image, &bytes).unwrap();
    let fs = Erofs::open(open(&image), Vec::new()).unwrap();
    assert!(fs.problems()[0].text.contains("checksum"), "{:?}", fs.problems());
    assert_eq!(tree::read_file(&fs, b"/file", 99).unwrap().0, b"content");
    bytes[1024 + 83] = 0x80;
    let error = Erofs::open(Arc::new(MemSource::new(bytes)), Vec::new()).err().unwrap();
    assert_eq!(error.to_string(), "EROFS with feature bits 80000000 is not supported");
}

/// Independent tool: `dump.erofs` names the inode and its size.
#[test]
fn inode_numbers_are_those_of_dump_erofs() {
    let Some(dump) = tool("dump.erofs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = planted(directory.path());
    let Some(image) = image(&tree, &["-zlz4"]) else { return };
    let fs = Erofs::open(open(&image), Vec::new()).unwrap();
    for name in ["large", "tiny", "deep", "short-link"] {
        let node = tree::resolve(&fs, name.as_bytes(), LastLink::Keep).unwrap();
        let told = run(&dump, &[&format!("--path=/{name}"), text(&image)], "");
        let metadata = fs.metadata(node).unwrap();
        assert!(told.contains(&format!("NID: {node}")), "{told}");
        assert!(told.contains(&format!("Size: {} ", metadata.size_bytes)), "{told}");
        assert_eq!(metadata.kind == FileKind::Directory, told.contains("directory"), "{told}");
    }
}

#[test]
fn damaged_images_never_panic_or_hang() {
    support::bounded::bounded("EROFS", || {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/text"), "the same line again\n".repeat(4000)).unwrap();
        std::fs::write(tree.join("a/random"), Random(3).bytes(9000)).unwrap();
        std::os::unix::fs::symlink("x".repeat(100), tree.join("link")).unwrap();
        for index in 0..40 {
            std::fs::write(tree.join(format!("a/b/name-{index}")), format!("{index}")).unwrap();
        }
        let flags = rustix::fs::XattrFlags::empty();
        let _ = rustix::fs::lsetxattr(tree.join("a/text"), "user.note", &[7; 900], flags);
        for options in [
            &[][..],
            &["--chunksize=4096"],
            &["-zlz4hc", "-C16384", "-Efragments,dedupe"],
            &["-zlz4", "-Eztailpacking,legacy-compress"],
            &["-zlzma", "-C16384"],
            &["-zzstd", "-C16384", "-E48bit", "-m4096"],
        ] {
            let Some(image) = image(&tree, options) else { continue };
            let good = std::fs::read(&image).unwrap();
            support::hostile::mutate(&good, 150, 1, &|source: Arc<dyn Source>| {
                erofs::open(source, View::Recovered)
            });
        }
    });
}
