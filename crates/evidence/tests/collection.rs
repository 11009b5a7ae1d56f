//! Directories, tar archives and what collectors make of them, judged by independent tools: the running kernel's view of
//! the same tree, GNU tar and Python's `tarfile` as writers.

mod support;

use evidence::collection::{self, Collection, Directory, Layout, Mounts, Tar};
use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileKind, FileSystem, Stored};
use evidence::{MemSource, ProblemKind, Source, os};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::facts::{self, Tree};
use support::population::{self, Abilities};
use support::{Random, open, run, text, tool};

fn planted(directory: &Path, many: usize) -> PathBuf {
    let tree = directory.join("tree");
    std::fs::create_dir(&tree).unwrap();
    population::plant(&tree, Abilities { many, ..Abilities::LINUX });
    tree
}

fn directory(path: &Path, mounts: Mounts) -> Directory {
    Directory::new(std::fs::File::open(path).unwrap().into(), mounts).unwrap()
}

/// Independent path: the kernel's own calls on the same tree, by path and with everything std does.
#[test]
fn a_directory_is_shown_as_the_kernel_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    // A file changed in the future would get a new access time with each look.
    let root = folder.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    population::plant(
        &root,
        Abilities { many: 1000, times: (-(1 << 31), 1_500_000_000), ..Abilities::LINUX },
    );
    // Reading sets access times once; the second look finds them as they stay.
    facts::kernels(&root);
    let theirs = facts::kernels(&root);
    let fs = directory(&root, Mounts::Stay);
    let (ours, problems) = facts::ours(&fs);
    assert_eq!(problems, []);
    facts::compare(&ours, &theirs, "directory");
    facts::compare(&facts::kernels(&root), &theirs, "the directory after it was read");
}

/// Independent path: the kernel. Nothing outside is opened, no pipe waited for, no mount entered.
#[test]
fn a_directory_is_never_left() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(folder.path().join("secret"), "outside").unwrap();
    std::os::unix::fs::symlink("../../secret", root.join("etc/out")).unwrap();
    std::os::unix::fs::symlink(folder.path(), root.join("etc/absolute")).unwrap();
    let mode = 0o600.into();
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), pipe, mode, 0).unwrap();
    std::fs::write(root.join("gone"), "soon").unwrap();
    std::fs::write(root.join("swapped"), "before").unwrap();
    let fs = directory(&root, Mounts::Stay);
    for path in ["/etc/out", "/etc/absolute/secret", "/../secret"] {
        assert!(tree::resolve(&fs, path.as_bytes(), LastLink::Follow).unwrap_err().is_not_found());
    }
    let pipe = tree::resolve(&fs, b"/pipe", LastLink::Keep).unwrap();
    assert_eq!(fs.read_at(pipe, 0, &mut [0; 9]).unwrap_err().kind(), ProblemKind::Refused);

    let node = |name: &[u8]| tree::resolve(&fs, name, LastLink::Keep).unwrap();
    let (gone, swapped) = (node(b"/gone"), node(b"/swapped"));
    std::fs::remove_file(root.join("gone")).unwrap();
    std::fs::rename(folder.path().join("secret"), root.join("swapped")).unwrap();
    assert_eq!(fs.read_at(gone, 0, &mut [0; 9]).unwrap_err().kind(), ProblemKind::Io);
    let error = fs.read_at(swapped, 0, &mut [0; 9]).unwrap_err();
    assert!(error.to_string().contains("was replaced"), "{error}");
    // A folder that becomes a link to the outside is not followed.
    std::fs::create_dir(root.join("folder")).unwrap();
    let inner = node(b"/folder");
    std::fs::remove_dir(root.join("folder")).unwrap();
    std::os::unix::fs::symlink("/", root.join("folder")).unwrap();
    assert!(fs.read_dir(inner).is_err());

    std::fs::create_dir(root.join("mounted")).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(root.join("mounted"))
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mount");
        return;
    }
    std::fs::write(root.join("mounted/file"), "there").unwrap();
    let listing = fs.read_dir(fs.root()).unwrap();
    let stay = tree::read_file(&fs, b"/mounted/file", 9);
    let cross = directory(&root, Mounts::Cross);
    let found = tree::read_file(&cross, b"/mounted/file", 9);
    drop((fs, cross));
    std::process::Command::new("umount").arg(root.join("mounted")).status().unwrap();
    assert!(listing.problems.iter().any(|problem| problem.text.contains("is mounted here")));
    assert_eq!(stay.unwrap_err().kind(), ProblemKind::Refused);
    assert_eq!(found.unwrap().0, b"there");
}

/// Only us: a path longer than the kernel takes at once.
#[test]
fn a_deep_directory_is_walked_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let mut here =
        rustix::fs::open(folder.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
            .unwrap();
    let name = "d".repeat(200);
    for _ in 0..50 {
        rustix::fs::mkdirat(&here, &*name, 0o755.into()).unwrap();
        let flags = rustix::fs::OFlags::PATH;
        here = rustix::fs::openat(&here, &*name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let fs = directory(folder.path(), Mounts::Stay);
    let (ours, problems) = facts::ours(&fs);
    assert_eq!((ours.len(), problems.len()), (50, 0));
}

/// What a tar keeps of a tree: no sockets, no link counts of folders, no numbers of its own.
fn kept_by_tar(tree: &mut Tree, whole_seconds: bool, has_xattrs: bool) {
    tree.retain(|_, facts| facts.kind != FileKind::Socket);
    for facts in tree.values_mut() {
        (facts.accessed, facts.changed, facts.born, facts.node) = (None, None, None, 0);
        if facts.kind == FileKind::Directory {
            (facts.links, facts.size_bytes) = (1, 0);
        }
        if whole_seconds {
            facts.modified.as_mut().unwrap().nanoseconds = 0;
        }
        if !has_xattrs {
            facts.xattrs.clear();
        }
        // Access lists are kept as text, under another name.
        facts.xattrs.retain(|(name, _)| !name.starts_with(b"system."));
    }
}

/// Independent tools: GNU tar writes, the kernel shows the source.
#[test]
fn archives_of_gnu_tar_read_as_their_source() {
    let Some(tar) = tool("tar") else { return };
    let folder = tempfile::tempdir().unwrap();
    let tree = planted(folder.path(), 300);
    let theirs = facts::kernels(&tree);
    let xattrs = &["--xattrs", "--xattrs-include=*"][..];
    for (options, whole_seconds, has_xattrs) in [
        (&["--format=gnu", "--sparse"][..], true, false),
        (&["--format=oldgnu", "-b1"], true, false),
        (&["--format=posix", "--sparse", "--sparse-version=0.0"], false, true),
        (&["--format=posix", "--sparse", "--sparse-version=0.1"], false, true),
        (&["--format=posix", "--sparse", "--sparse-version=1.0", "--acls"], false, true),
        (&["--format=posix", "--gzip"], false, true),
    ] {
        let archive = folder.path().join("archive");
        let mut all = options.to_vec();
        if has_xattrs {
            all.extend(xattrs);
        }
        all.extend(["-cf", text(&archive), "-C", text(&tree), "."]);
        run(&tar, &all, "");
        let fs = Tar::open(open(&archive)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        let (mut ours, problems) = facts::ours(&fs);
        assert_eq!(problems, []);
        let mut theirs = theirs.clone();
        kept_by_tar(&mut ours, whole_seconds, has_xattrs);
        kept_by_tar(&mut theirs, whole_seconds, has_xattrs);
        facts::compare(&ours, &theirs, &format!("{options:?}"));
        if options.contains(&"--gzip") {
            continue;
        }
        let node = tree::resolve(&fs, b"/odd", LastLink::Keep).unwrap();
        let [extent] = fs.extents(node).unwrap()[..] else { panic!("one extent") };
        let Stored::At(at) = extent.stored else { panic!("{extent:?}") };
        let bytes = std::fs::read(&archive).unwrap();
        assert!(bytes[at as usize..][..70_001] == std::fs::read(tree.join("odd")).unwrap());
    }
}

/// Independent tool: Python's tarfile, as another writer.
#[test]
fn archives_of_python_read_as_their_source() {
    let Some(python) = tool("python3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let tree = planted(folder.path(), 50);
    let theirs = facts::kernels(&tree);
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let archive = folder.path().join("archive");
        let script = format!(
            "import tarfile\nwith tarfile.open('{}', 'w', format=tarfile.{format}, errors='surrogateescape', encoding='utf-8') as t: t.add('{}', arcname='top')\n",
            text(&archive),
            text(&tree)
        );
        run(&python, &["-"], &script);
        let fs = Tar::open(open(&archive)).unwrap();
        assert_eq!(fs.problems(), []);
        let (mut ours, _) = facts::ours(&fs);
        let mut theirs: Tree = theirs
            .iter()
            .map(|(path, facts)| ([b"/top", &path[..]].concat(), facts.clone()))
            .collect();
        ours.remove(&b"/top"[..]).unwrap();
        kept_by_tar(&mut ours, true, false);
        kept_by_tar(&mut theirs, true, false);
        // Python keeps a time as a floating number, so parts of a second are near, and before 1970 rounded.
        ours.values_mut().chain(theirs.values_mut()).for_each(|facts| facts.modified = None);
        facts::compare(&ours, &theirs, format);
    }
}

/// Independent tool: GNU tar appends; the earlier version is still there. Then damage, which hides nothing behind it.
#[test]
fn what_was_replaced_or_stands_behind_damage_is_shown() {
    let Some(tar) = tool("tar") else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    for name in ["a", "b", "c"] {
        std::fs::write(folder.path().join(name), format!("first {name}")).unwrap();
    }
    run(&tar, &["-cf", text(&archive), "-C", text(folder.path()), "a", "b", "c"], "");
    std::fs::write(folder.path().join("a"), "second").unwrap();
    run(&tar, &["-rf", text(&archive), "-C", text(folder.path()), "a"], "");
    let fs = Tar::open(open(&archive)).unwrap();
    assert_eq!(tree::read_file(&fs, b"/a", 99).unwrap().0, b"second");
    let deleted = fs.deleted(10).entries;
    assert_eq!((deleted.len(), deleted[0].path.to_string().as_str()), (1, "/a"));
    let mut earlier = [0; 7];
    fs.read_at(deleted[0].node.unwrap(), 0, &mut earlier).unwrap();
    assert_eq!(&earlier, b"first a");

    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[1024 + 10] ^= 1;
    let fs = Tar::open(Arc::new(MemSource::new(bytes.clone()))).unwrap();
    assert_eq!(fs.problems()[0].kind, ProblemKind::Corrupt);
    assert_eq!(tree::read_file(&fs, b"/c", 99).unwrap().0, b"first c");
    assert!(tree::resolve(&fs, b"/b", LastLink::Keep).unwrap_err().is_not_found());

    let cut = Tar::open(Arc::new(MemSource::new(bytes[..2 * 1024 + 512].to_vec()))).unwrap();
    assert!(cut.problems().iter().any(|problem| problem.text.contains("are there")));
}

/// Made by hand after the layouts the collectors document.
#[test]
fn systems_inside_a_collection_are_found() {
    let Some(tar) = tool("tar") else { return };
    let release = "ID=test\nPRETTY_NAME=\"Test\"\n";
    let cases: [(&[&str], Layout, &[&str]); 4] = [
        (
            &["[root]/etc/os-release", "uac.log", "bodyfile/bodyfile.txt", "live_response/a"],
            Layout::Uac,
            &["/[root]"],
        ),
        (
            &["uac-host-linux/[root]/etc/os-release", "uac-host-linux/uac.log"],
            Layout::Uac,
            &["/uac-host-linux/[root]"],
        ),
        (
            &["fs/$fs$/fs0/etc/os-release", "fs/$rootfs$/etc/os-release"],
            Layout::Acquire,
            &["/fs/$fs$/fs0", "/fs/$rootfs$"],
        ),
        (&["etc/os-release", "home/x"], Layout::Plain, &["/"]),
    ];
    for (files, layout, roots) in cases {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        for file in files {
            let path = tree.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, release).unwrap();
        }
        // An absolute link must end in the system's own root.
        let etc = tree.join(files[0]).parent().unwrap().to_path_buf();
        std::os::unix::fs::symlink("/etc/os-release", etc.join("link")).unwrap();
        let archive = folder.path().join("archive.tar.gz");
        run(&tar, &["-czf", text(&archive), "-C", text(&tree), "."], "");
        let packed = collection::open(open(&archive)).unwrap();
        let plain = Collection::new(Arc::new(directory(&tree, Mounts::Stay)));
        for collection in [packed, plain] {
            assert_eq!(collection.layout, layout);
            let systems = collection.systems();
            let paths: Vec<String> = systems.iter().map(|system| system.path.to_string()).collect();
            assert_eq!(paths, roots);
            for system in &systems {
                assert_eq!(os::find(&*system.files).unwrap().id.as_deref(), Some("test"));
            }
            let first = &systems[0].files;
            assert_eq!(tree::read_file(&**first, b"/etc/link", 99).unwrap().0, release.as_bytes());
        }
    }
}

/// Only us: other packings are named with the way out, and what is no archive is refused soon.
#[test]
fn what_is_not_read_is_named() {
    let opened = |head: &[u8]| {
        let mut bytes = vec![1; 4 << 20];
        bytes[..head.len()].copy_from_slice(head);
        collection::open(Arc::new(MemSource::new(bytes))).err().unwrap()
    };
    assert!(opened(b"PK\x03\x04").to_string().contains("unpack it"));
    assert_eq!(opened(b"\xfd7zXZ\0").kind(), ProblemKind::Unsupported);
    assert_eq!(opened(b"no archive").kind(), ProblemKind::Corrupt);
}

#[test]
fn damaged_archives_never_panic_or_hang() {
    support::bounded::bounded("tar", || {
        let Some(tar) = tool("tar") else { return };
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/random"), Random(3).bytes(9000)).unwrap();
        std::fs::write(tree.join("n".repeat(200)), "long").unwrap();
        std::os::unix::fs::symlink("x".repeat(150), tree.join("link")).unwrap();
        std::fs::hard_link(tree.join("a/random"), tree.join("a/b/again")).unwrap();
        let sparse = std::fs::File::create(tree.join("sparse")).unwrap();
        std::os::unix::fs::FileExt::write_at(&sparse, b"end", 1 << 20).unwrap();
        for options in
            [&["--format=gnu", "--sparse"][..], &["--format=posix", "--sparse"], &["--gzip"]]
        {
            let archive = folder.path().join("archive");
            let mut all = options.to_vec();
            all.extend(["-cf", text(&archive), "-C", text(&tree), "."]);
            run(&tar, &all, "");
            let good = std::fs::read(&archive).unwrap();
            support::hostile::mutate(&good, 100, 1, &|source: Arc<dyn Source>| {
                Ok(Box::new(Tar::open(source)?))
            });
        }
    });
}
