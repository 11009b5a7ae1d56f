//! XFS read by our own reader, judged by independent tools: the running kernel on a mounted image, `xfs_db`, the tree
//! that `mkfs.xfs` copied, and the kernel's own recovery of a dirty log.

mod support;

use evidence::fs::FileSystem;
use evidence::{EvidenceError, Source, View, xfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::facts::{self, Tree};
use support::population::{self, Abilities};
use support::{Random, blank, kernel, open, run, text, tool};

/// Smallest image this mkfs makes without being told that it is for tests.
const IMAGE_BYTES: u64 = 320 << 20;

fn make(directory: &Path, options: &[&str]) -> Option<PathBuf> {
    let mkfs = tool("mkfs.xfs")?;
    let image = blank(directory, "image", IMAGE_BYTES);
    let mut all = vec!["-q", "-f", "--unsupported"];
    all.extend(options);
    all.push(text(&image));
    run(&mkfs, &all, "");
    Some(image)
}

fn recovered(source: Arc<dyn Source>) -> Result<Box<dyn FileSystem>, EvidenceError> {
    xfs::open(source, View::Recovered)
}

/// The kernel lists an access list under two names; ours knows the one programs use.
fn kernels(root: &Path) -> Tree {
    let mut tree = facts::kernels(root);
    for facts in tree.values_mut() {
        facts.xattrs.retain(|(name, _)| !name.starts_with(b"trusted.SGI_ACL_"));
    }
    tree
}

/// What only XFS does: shared blocks, attributes in index blocks, a file of many extents, room behind the end.
fn plant(root: &Path, abilities: Abilities) {
    population::plant(root, abilities);
    let _ = std::process::Command::new("cp")
        .args(["--reflink=always", text(&root.join("large")), text(&root.join("shared"))])
        .output();
    use std::os::unix::fs::FileExt;
    let pieces = std::fs::File::create(root.join("pieces")).unwrap();
    let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
    for piece in 0..1200_u64 {
        rustix::fs::fallocate(&pieces, flags, piece * 131_072, 4096).unwrap();
        if piece % 3 == 0 {
            pieces.write_at(&piece.to_le_bytes(), piece * 131_072 + 100).unwrap();
        }
    }
    let file = root.join("many-attributes");
    std::fs::write(&file, "x").unwrap();
    for index in 0..600_u32 {
        let value = Random(u64::from(index) + 1).bytes(index as usize % 200);
        let name = format!("user.attribute-{index:04}");
        rustix::fs::lsetxattr(&file, name.as_str(), &value, rustix::fs::XattrFlags::empty())
            .unwrap();
    }
}

/// Vouched for by the running kernel: everything it shows, of every layout it can mount.
#[test]
fn every_layout_reads_as_the_kernel_shows_it() {
    for (options, times) in [
        (&[][..], Abilities::LINUX.times),
        (&["-m", "bigtime=0,inobtcount=0,reflink=0,finobt=0"], (-(1 << 31), (1 << 31) - 1)),
        (&["-m", "rmapbt=1,reflink=1", "-i", "nrext64=1"], Abilities::LINUX.times),
        (&["-b", "size=1024", "-i", "sparse=0"], Abilities::LINUX.times),
        (&["-n", "size=65536", "-i", "size=1024"], Abilities::LINUX.times),
        (&["-s", "size=4096", "-i", "size=2048", "-d", "agcount=9"], Abilities::LINUX.times),
        (&["-b", "size=2048", "-n", "size=8192", "-L", "wurzel"], Abilities::LINUX.times),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = make(directory.path(), options) else { return };
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
        plant(mounted.root(), Abilities { times, xattr_bytes: 60_000, ..Abilities::LINUX });
        mounted.unmount();
        let fs = recovered(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        let (ours, problems) = facts::ours(&*fs);
        assert_eq!(problems, [], "{options:?}");
        let mounted = kernel::mount(&image, "xfs", "ro").unwrap();
        facts::compare(&ours, &kernels(mounted.root()), &format!("{options:?}"));
    }
}

/// Vouched for by the running kernel: it recovers a copy of a disk pulled out in use, and shows then what our view of
/// the disk as it was shows without writing.
#[test]
fn a_dirty_log_is_replayed_as_the_kernel_does() {
    for options in [
        &[][..],
        &["-m", "bigtime=0,reflink=0", "-b", "size=1024"],
        &["-m", "rmapbt=1", "-i", "nrext64=1", "-l", "su=65536"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = make(directory.path(), options) else { return };
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
        let times = (-(1 << 31), (1 << 31) - 1);
        for (round, name) in ["first", "second"].into_iter().enumerate() {
            let root = mounted.root().join(name);
            std::fs::create_dir(&root).unwrap();
            plant(&root, Abilities { times, many: 2000, xattr_bytes: 20_000, ..Abilities::LINUX });
            if round == 1 {
                std::fs::remove_dir_all(mounted.root().join("first/many")).unwrap();
                std::fs::remove_file(mounted.root().join("first/pieces")).unwrap();
                std::fs::remove_file(mounted.root().join("first/many-attributes")).unwrap();
                std::fs::rename(mounted.root().join("first/deep"), mounted.root().join("moved"))
                    .unwrap();
            }
            run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
            let pulled = kernel::snapshot(&image, "pulled");
            let raw = xfs::open(open(&pulled), View::Raw).unwrap();
            let said: Vec<_> = raw.problems().iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|text| text.contains("log not replayed")), "{said:?}");
            let fs = recovered(open(&pulled)).unwrap();
            eprintln!("{options:?} round {round}: {said:?}, then {:?}", fs.problems());
            let (ours, problems) = facts::ours(&*fs);
            assert_eq!(problems, [], "{options:?}");
            let replayed = kernel::snapshot(&pulled, "replayed");
            let theirs = kernel::mount(&replayed, "xfs", "rw,noatime,nouuid").unwrap();
            facts::compare(&ours, &kernels(theirs.root()), &format!("{options:?} round {round}"));
            theirs.unmount();
            std::fs::remove_file(replayed).unwrap();
        }
    }
}
