//! XFS read by our own reader, judged by independent tools: the running kernel on a mounted image, `xfs_db`, the tree
//! that `mkfs.xfs` copied, and the kernel's own recovery of a dirty log.

#[path = "xfs/log.rs"]
mod log;
mod support;

use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileKind, FileSystem, Node, Stored};
use evidence::{EvidenceError, ProblemKind, Source, View, xfs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::facts::{self, Tree};
use support::population::{self, Abilities};
use support::{Random, blank, hostile, kernel, open, run, text, tool};

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

/// What `xfs_db` answers to each command.
fn ask(image: &Path, commands: &[&str]) -> Option<String> {
    let db = tool("xfs_db")?;
    let mut all = vec!["-r"];
    all.extend(commands.iter().flat_map(|command| ["-c", command]));
    all.push(text(image));
    Some(run(&db, &all, ""))
}

/// The value of a field `xfs_db` prints as `name = value`.
fn field(image: &Path, commands: &[&str], name: &str) -> Option<u64> {
    let said = ask(image, commands)?;
    let line = said.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
    Some(line.unwrap_or_else(|| panic!("no {name} in {said}")).parse().unwrap())
}

fn node(fs: &dyn FileSystem, path: &str) -> Node {
    tree::resolve(fs, path.as_bytes(), LastLink::Keep).unwrap()
}

/// Version 4, which current kernels no longer mount: mkfs copies a tree, `xfs_db` sets attributes. Vouched for by the
/// tree itself and by `xfs_db`.
#[test]
fn version_4_reads_as_the_tree_it_was_made_from() {
    for options in [
        &["-m", "crc=0,finobt=0"][..],
        &["-m", "crc=0,finobt=0", "-b", "size=512", "-n", "ftype=0", "-i", "size=256"],
        &["-m", "crc=0,finobt=0", "-b", "size=1024", "-n", "size=16384,ftype=1"],
    ] {
        let (Some(mkfs), Some(db)) = (tool("mkfs.xfs"), tool("xfs_db")) else { return };
        let directory = tempfile::tempdir().unwrap();
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut prototype = String::from("none\n0 0\nd--755 0 0\n");
        for (name, length) in [("empty", 0), ("tiny", 10), ("large", 3_000_001)] {
            let body = Random(length + 7).bytes(length as usize);
            let path = directory.path().join(name);
            std::fs::write(&path, &body).unwrap();
            prototype += &format!("{name} -u-644 70000 7 {}\n", text(&path));
            files.insert(format!("/{name}"), body);
        }
        let targets = ["tiny".to_owned(), "x".repeat(300), "y".repeat(1023)];
        for (index, target) in targets.iter().enumerate() {
            prototype += &format!("link-{index} l--777 0 0 {target}\n");
        }
        prototype += "disk b--640 0 0 8 17\npipe p--600 0 0\nmany d-g750 1 2\n";
        let tiny = directory.path().join("tiny");
        let many = 6000;
        for index in 0..many {
            prototype += &format!("name-number-{index:06} ---600 0 0 {}\n", text(&tiny));
            files.insert(format!("/many/name-number-{index:06}"), files["/tiny"].clone());
        }
        prototype += "$\nsome d--755 0 0\na ---644 0 0 /dev/null\n$\n$\n";
        files.insert("/some/a".to_owned(), Vec::new());
        let list = directory.path().join("prototype");
        std::fs::write(&list, prototype).unwrap();
        let image = blank(directory.path(), "image", IMAGE_BYTES);
        let mut all = vec!["-q", "-f", "--unsupported", "-L", "old", "-p", text(&list)];
        all.extend(options);
        all.push(text(&image));
        run(&mkfs, &all, "");
        let fs = recovered(open(&image)).unwrap();
        let tiny = node(&*fs, "/tiny");
        let mut commands = vec!["attr_set -r -v 9000 large".to_owned()];
        commands.push("attr_set -s -v 3 capability".to_owned());
        commands.extend((1..=60).map(|i| format!("attr_set -u -v {i} number-{i:03}")));
        let inode = format!("inode {tiny}");
        let mut all = vec!["-x", "-c", &inode];
        all.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
        all.push(text(&image));
        run(&db, &all, "");

        let fs = recovered(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        assert_eq!(fs.label().as_deref(), Some("old"));
        let (ours, problems) = facts::ours(&*fs);
        assert_eq!(problems, []);
        assert_eq!(ours.len(), files.len() + 3 + 2 + 2, "{options:?}");
        for (path, body) in &files {
            let found = &ours[path.as_bytes()];
            assert_eq!(found.size_bytes, body.len() as u64, "{path}");
            let head = fs.read_head(found.node, usize::MAX).unwrap();
            assert!(head == (body.clone(), true), "{options:?} {path}");
        }
        let large = &ours[&b"/large"[..]];
        assert_eq!((large.mode, large.uid, large.gid), (0o4644, 70000, 7));
        assert_eq!(ours[&b"/disk"[..]].device, Some((8, 17)));
        assert_eq!(ours[&b"/pipe"[..]].kind, FileKind::Fifo);
        for (index, target) in targets.iter().enumerate() {
            assert_eq!(ours[format!("/link-{index}").as_bytes()].content, *target);
        }
        let xattrs = &ours[&b"/tiny"[..]].xattrs;
        assert_eq!(xattrs.len(), 62, "{options:?}");
        assert!(xattrs.contains(&(b"security.capability".to_vec(), vec![b'v'; 3])));
        let large = xattrs.iter().find(|(name, _)| name == b"trusted.large").unwrap();
        assert_eq!(large.1, vec![b'v'; 9000]);
        for index in 1..=60_usize {
            let name = format!("user.number-{index:03}");
            let found = xattrs.iter().find(|(found, _)| found == name.as_bytes()).unwrap();
            assert_eq!(found.1, vec![b'v'; index], "{name}");
        }
        let said = ask(&image, &[&format!("inode {tiny}"), "p core"]).unwrap();
        let m = fs.metadata(tiny).unwrap();
        for line in [
            format!("core.gen = {}", m.generation.unwrap()),
            format!("core.nlinkv2 = {}", m.links),
            format!("core.size = {}", m.size_bytes),
        ] {
            assert!(said.contains(&line), "{line}\n{said}");
        }
        assert_eq!(m.born, None);
        space_agrees(&image, &*fs);
    }
}

/// Free space against `xfs_db freesp`, which also lists blocks a group holds back for itself, one by one.
fn space_agrees(image: &Path, fs: &dyn FileSystem) {
    let said = ask(image, &["freesp -d"]).unwrap();
    let get = |name| field(image, &["sb 0", &format!("p {name}")], name).unwrap();
    let (group_blocks, block_bytes) = (get("agblocks"), get("blocksize"));
    let theirs: BTreeSet<(u64, u64)> = said
        .lines()
        .filter_map(|line| {
            let numbers: Vec<u64> =
                line.split_whitespace().map_while(|word| word.parse().ok()).collect();
            let [group, block, length] = numbers[..] else { return None };
            Some(((group * group_blocks + block) * block_bytes, length * block_bytes))
        })
        .collect();
    let ranges = fs.free_ranges().unwrap();
    let ours: BTreeSet<(u64, u64)> =
        ranges.iter().map(|range| (range.start, range.end - range.start)).collect();
    assert!(!ours.is_empty());
    assert_eq!(ours.difference(&theirs).next(), None);
    assert!(theirs.difference(&ours).all(|(_, length)| *length == block_bytes));
    assert!(ranges.array_windows::<2>().all(|[a, b]| a.end <= b.start));
}

/// Vouched for by `xfs_db bmap` and `freesp`.
#[test]
fn extents_and_free_space_agree_with_xfs_db() {
    for options in [&["-m", "rmapbt=1"][..], &["-b", "size=1024", "-d", "agcount=5"]] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = make(directory.path(), options) else { return };
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
        plant(mounted.root(), Abilities { many: 500, ..Abilities::LINUX });
        mounted.unmount();
        let fs = recovered(open(&image)).unwrap();
        let get = |name| field(&image, &["sb 0", &format!("p {name}")], name).unwrap();
        let (group_blocks, block_bytes) = (get("agblocks"), get("blocksize"));
        for path in ["/large", "/sparse", "/torn-a", "/pieces", "/preallocated", "/shared", "/hole"]
        {
            let node = node(&*fs, path);
            let said = ask(&image, &[&format!("inode {node}"), "bmap"]).unwrap();
            let theirs: Vec<(u64, u64, u64, bool)> = said
                .lines()
                .filter(|line| line.starts_with("data offset"))
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    let place = words[5].trim_matches(['(', ')']);
                    let (group, block) = place.split_once('/').unwrap();
                    let at = group.parse::<u64>().unwrap() * group_blocks
                        + block.parse::<u64>().unwrap();
                    (
                        words[2].parse::<u64>().unwrap() * block_bytes,
                        words[7].parse::<u64>().unwrap() * block_bytes,
                        at * block_bytes,
                        words[9] == "1",
                    )
                })
                .collect();
            let extents = fs.extents(node).unwrap();
            let ours: Vec<(u64, u64, u64, bool)> = extents
                .iter()
                .filter_map(|extent| match extent.stored {
                    Stored::At(at) => Some((extent.logical_bytes, extent.length_bytes, at, false)),
                    Stored::Unwritten(at) => {
                        Some((extent.logical_bytes, extent.length_bytes, at, true))
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(ours, theirs, "{options:?} {path}");
            let mut next = 0;
            for extent in &extents {
                assert_eq!(extent.logical_bytes, next, "{path}");
                next += extent.length_bytes;
            }
            assert!(next >= fs.metadata(node).unwrap().size_bytes, "{path}");
        }
        space_agrees(&image, &*fs);
    }
}

/// A directory of 40,000 names, in blocks, leaves and nodes of the smallest and the largest size. Vouched for by the
/// running kernel.
#[test]
fn a_large_directory_has_every_name() {
    for options in [&["-b", "size=1024"][..], &["-n", "size=65536"]] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = make(directory.path(), options) else { return };
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
        let many = mounted.root().join("many");
        std::fs::create_dir(&many).unwrap();
        let first = many.join("name-number-0-with-something-to-make-it-longer");
        std::fs::write(&first, "").unwrap();
        for index in 1..40_000 {
            let name = format!("name-number-{index}-with-something-to-make-it-longer");
            std::fs::hard_link(&first, many.join(name)).unwrap();
        }
        for index in (5..40_000).step_by(3) {
            let name = format!("name-number-{index}-with-something-to-make-it-longer");
            std::fs::remove_file(many.join(name)).unwrap();
        }
        let theirs: BTreeSet<String> = std::fs::read_dir(&many)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        mounted.unmount();
        let fs = recovered(open(&image)).unwrap();
        let listing = fs.read_dir(node(&*fs, "/many")).unwrap();
        assert_eq!(listing.problems, []);
        let ours: BTreeSet<String> =
            listing.entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(listing.entries.len(), ours.len());
        assert_eq!(ours, theirs);
    }
}

/// Names and inodes that were removed. What is listed must have been removed (vouched for by the test, which removed
/// it), and no name in use may be listed.
#[test]
fn removed_names_are_listed_with_their_inodes() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = make(directory.path(), &[]) else { return };
    let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
    use std::os::unix::fs::MetadataExt;
    let root = mounted.root().join("folder");
    std::fs::create_dir(&root).unwrap();
    let mut removed = BTreeMap::new();
    let body = Random(11).bytes(20_000);
    for index in 0..400 {
        std::fs::write(root.join(format!("file-{index:03}")), &body).unwrap();
    }
    // What was only ever in the log leaves nothing behind; so all is put in place first.
    mounted.unmount();
    let mounted = kernel::mount(&image, "xfs", "rw").unwrap();
    let root = mounted.root().join("folder");
    for index in (3..400).step_by(9) {
        let path = root.join(format!("file-{index:03}"));
        removed.insert(format!("/folder/file-{index:03}"), std::fs::metadata(&path).unwrap().ino());
        std::fs::remove_file(path).unwrap();
    }
    // One more is removed while it is open, and its disk pulled out.
    let held = std::fs::File::open(root.join("file-001")).unwrap();
    let held_node = held.metadata().unwrap().ino();
    std::fs::remove_file(root.join("file-001")).unwrap();
    removed.insert("/folder/file-001".to_owned(), held_node);
    run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
    let pulled = kernel::snapshot(&image, "pulled");
    drop(held);
    mounted.unmount();

    // What a freed inode still names can be read, in whole blocks, once its removal has reached the disk.
    let fs = recovered(open(&image)).unwrap();
    let mut whole = 0;
    for entry in fs.deleted(10_000).entries.iter().filter(|entry| !entry.is_reused) {
        let mut content = vec![0; 40_000];
        let got = fs.read_at(entry.node.unwrap(), 0, &mut content).unwrap();
        assert!(got == 20_480 && content[..20_000] == body, "{} has {got} bytes", entry.path);
        whole += 1;
    }
    assert_eq!(whole, removed.len());

    let fs = recovered(open(&pulled)).unwrap();
    let listing = fs.deleted(10_000);
    assert_eq!(listing.problems, []);
    let mut named = 0;
    for entry in &listing.entries {
        let path = entry.path.to_string();
        if path.starts_with("/$OrphanFiles/") {
            assert!(removed.values().any(|node| Some(*node) == entry.node), "{path}");
            continue;
        }
        assert_eq!(entry.node, removed.get(&path).copied(), "{path}");
        assert!(entry.node == Some(held_node) || !entry.is_reused, "{path}");
        assert!(entry.deleted.is_some(), "{path}");
        named += 1;
    }
    assert_eq!(named, removed.len());
    let held = listing.entries.iter().find(|entry| entry.node == Some(held_node)).unwrap();
    assert_eq!(held.metadata.as_ref().unwrap().size_bytes, 20_000);
    assert!(fs.read_head(held_node, usize::MAX).unwrap().0 == body);
    assert_eq!(fs.deleted(5).entries.len(), 5);
    assert_eq!(fs.deleted(5).problems.len(), 1);
}

/// Damage that only a checksum shows is told, and what stands there is shown. Only us: the damage is ours.
#[test]
fn a_checksum_that_does_not_match_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = make(directory.path(), &[]) else { return };
    let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
    for index in 0..100 {
        std::fs::write(mounted.root().join(format!("file-{index:03}")), "content").unwrap();
    }
    mounted.unmount();
    let fs = recovered(open(&image)).unwrap();
    let (root, file) = (fs.root(), node(&*fs, "/file-050"));
    let good = std::fs::read(&image).unwrap();
    let block = match fs.extents(root).unwrap()[0].stored {
        Stored::At(at) => at as usize,
        ref other => panic!("{other:?}"),
    };
    let name = good[block..].windows(8).position(|window| window == b"file-070").unwrap();
    let inode = good.windows(10).position(|raw| raw[..2] == *b"IN" && raw[4] == 3).unwrap();
    let inode = inode + (file - root) as usize * 512;
    let cases = [
        (block + name, "checksum of directory block"),
        (inode + 8, "checksum of inode"),
        (108, "checksum of superblock"),
        (512 + 60, "checksum of AGF"),
        (1024 + 60, "checksum of AGI"),
    ];
    for (at, expected) in cases {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let fs = recovered(Arc::new(evidence::MemSource::new(bytes))).unwrap();
        let listing = fs.read_dir(root).unwrap();
        assert_eq!(listing.entries.len(), 100, "{expected}");
        let problems = [fs.problems(), &listing.problems].concat();
        assert_eq!(problems.len(), 1, "{expected}: {problems:?}");
        assert_eq!(problems[0].kind, ProblemKind::Corrupt);
        assert!(problems[0].text.starts_with(expected), "{problems:?}");
        if expected.ends_with("inode") {
            let details = fs.details(file).unwrap();
            assert!(details.iter().any(|detail| detail.name == "doubt"), "{details:?}");
        }
    }
}

/// Whatever the bytes, reading ends soon and without a panic: a clean disk, one with a log to replay, and version 4.
#[test]
fn damaged_images_never_panic_or_hang() {
    support::bounded::bounded("XFS", || {
        let directory = tempfile::tempdir().unwrap();
        let (Some(mkfs), Some(_)) = (tool("mkfs.xfs"), tool("mount")) else { return };
        let small = |name: &str, options: &[&str]| {
            let image = blank(directory.path(), name, 24 << 20);
            let mut all = vec!["-q", "-f", "--unsupported", "-d", "agcount=1", "-l", "size=1400b"];
            all.extend(options);
            all.push(text(&image));
            run(&mkfs, &all, "");
            image
        };
        let image = small("five", &[]);
        if let Some(mounted) = kernel::mount(&image, "xfs", "rw") {
            let times = (-(1 << 31), (1 << 31) - 1);
            let abilities = Abilities { times, many: 300, xattr_bytes: 9000, ..Abilities::LINUX };
            population::plant(mounted.root(), abilities);
            run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
            let pulled = std::fs::read(kernel::snapshot(&image, "pulled")).unwrap();
            mounted.unmount();
            let clean = std::fs::read(&image).unwrap();
            hostile::mutate(&clean, 40, 1, &recovered);
            hostile::mutate(&pulled, 40, 2, &recovered);
            hostile::mutate(&pulled, 10, 3, &|source| xfs::open(source, View::Raw));
        }
        let list = directory.path().join("prototype");
        let prototype = "none\n0 0\nd--755 0 0\nfile ---644 0 0 /etc/passwd\nd d--755 0 0\na ---644 0 0 /dev/null\n$\n$\n";
        std::fs::write(&list, prototype).unwrap();
        let image = small("four", &["-m", "crc=0,finobt=0", "-p", text(&list)]);
        hostile::mutate(&std::fs::read(&image).unwrap(), 40, 4, &recovered);
    });
}

/// Parent pointers, which newer kernels keep among the attributes. Only us: no tool here makes them, so an ordinary
/// attribute is given their flag.
#[test]
fn parent_pointers_are_named_and_are_no_attributes() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = make(directory.path(), &[]) else { return };
    let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
    let file = mounted.root().join("file");
    std::fs::write(&file, "x").unwrap();
    let value = [0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 7];
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(&file, "user.name-in-parent", &value, flags).unwrap();
    mounted.unmount();
    let mut bytes = std::fs::read(&image).unwrap();
    let pattern = [b"\0name-in-parent", &value[..]].concat();
    // The log has a copy; the one in place comes first.
    let at = bytes.windows(pattern.len()).position(|window| window == pattern).unwrap();
    bytes[at] = 8;
    let fs = recovered(Arc::new(evidence::MemSource::new(bytes))).unwrap();
    let node = node(&*fs, "/file");
    assert_eq!(fs.xattrs(node).unwrap(), []);
    let details = fs.details(node).unwrap();
    let parent = details.iter().find(|detail| detail.name == "parent").unwrap();
    assert_eq!(parent.value, "inode 128 generation 7 name name-in-parent");
}
