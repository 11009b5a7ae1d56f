//! ext2/3/4 read by our own reader, judged by independent tools: the kernel's view of the source tree that `mke2fs -d`
//! copied, debugfs, e2fsck's replay of the journal, fls of The Sleuth Kit, and the `ext4-view` crate.

mod support;

use evidence::ext::Ext;
use evidence::fs::tree::{self, LastLink, Limits};
use evidence::fs::{FileKind, FileSystem, RawPath, View};
use evidence::{MemSource, ProblemKind, Source};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::population::{self, Abilities};
use support::{Random, blank, facts, hostile, open, run, text, tool};

/// A tree with what readers trip over: a hole, a large file, many names, long and odd names, links of both lengths.
fn plant(directory: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
    let tree = directory.join("tree");
    std::fs::create_dir_all(tree.join("etc/deep/er")).unwrap();
    std::fs::write(
        tree.join("etc/os-release"),
        "PRETTY_NAME=\"Test \\\"OS\\\"\"\nID=test\nVERSION_ID=\"7\"\n",
    )
    .unwrap();
    std::fs::write(tree.join("etc/hostname"), "zoo\n").unwrap();
    std::fs::write(tree.join("tiny"), "0123456789").unwrap();
    std::fs::write(tree.join("large"), Random(1).bytes(3_000_000)).unwrap();
    let sparse = std::fs::File::create(tree.join("sparse")).unwrap();
    sparse.write_at(b"end", 9_000_000).unwrap();
    sparse.write_at(b"middle", 5_000_000).unwrap();
    std::fs::create_dir(tree.join("many")).unwrap();
    for index in 0..2500 {
        std::fs::write(tree.join(format!("many/name-number-{index:05}")), format!("{index}"))
            .unwrap();
    }
    std::fs::write(tree.join(std::ffi::OsStr::from_bytes(b"odd \x1b[31m\xff ")), "odd").unwrap();
    symlink("tiny", tree.join("short-link")).unwrap();
    symlink("x".repeat(200), tree.join("long-link")).unwrap();
    symlink("/etc/../../../etc/hostname", tree.join("climbing-link")).unwrap();
    symlink("loop-b", tree.join("loop-a")).unwrap();
    symlink("loop-a", tree.join("loop-b")).unwrap();
    std::fs::set_permissions(tree.join("tiny"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    tree
}

fn image(directory: &Path, options: &[&str]) -> Option<PathBuf> {
    image_of(&plant(directory), directory, options)
}

fn image_of(tree: &Path, directory: &Path, options: &[&str]) -> Option<PathBuf> {
    let mke2fs = tool("mke2fs")?;
    let image = blank(directory, "image", 64 << 20);
    let mut all = vec!["-q", "-F", "-d", text(tree)];
    all.extend(options);
    all.push(text(&image));
    run(&mke2fs, &all, "");
    Some(image)
}

/// Every object below the root but `lost+found`, with its content.
fn contents(fs: &dyn FileSystem) -> BTreeMap<Vec<u8>, (FileKind, u32, u64, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let problems =
        tree::walk(fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
            let metadata = &visit.metadata;
            let body = match metadata.kind {
                FileKind::File => fs.read_head(metadata.node, usize::MAX).unwrap().0,
                FileKind::Symlink => fs.read_link(metadata.node).unwrap().0,
                _ => Vec::new(),
            };
            let size = if metadata.kind == FileKind::Directory { 0 } else { metadata.size_bytes };
            out.insert(visit.path.0, (metadata.kind, metadata.mode, size, body));
        });
    assert_eq!(problems, []);
    out.remove(&b"/lost+found"[..]);
    out
}

/// The same facts as the running kernel tells them about the planted tree.
fn kernel_contents(root: &Path) -> BTreeMap<Vec<u8>, (FileKind, u32, u64, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let mut out = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let (kind, size, body) = if metadata.is_dir() {
                pending.push(path.clone());
                (FileKind::Directory, 0, Vec::new())
            } else if metadata.is_symlink() {
                (
                    FileKind::Symlink,
                    metadata.len(),
                    std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
                )
            } else {
                (FileKind::File, metadata.len(), std::fs::read(&path).unwrap())
            };
            let name = [b"/", path.strip_prefix(root).unwrap().as_os_str().as_bytes()].concat();
            out.insert(name, (kind, metadata.mode() & 0o7777, size, body));
        }
    }
    out
}

#[test]
fn every_layout_reads_as_the_tree_it_was_made_from() {
    let planted = tempfile::tempdir().unwrap();
    let tree = plant(planted.path());
    let theirs = kernel_contents(&tree);
    for options in [
        &["-t", "ext2"][..],
        &["-t", "ext2", "-b", "1024"],
        &["-t", "ext3"],
        &["-t", "ext4"],
        &["-t", "ext4", "-b", "1024"],
        &["-t", "ext4", "-O", "^64bit,^metadata_csum"],
        &["-t", "ext4", "-O", "inline_data"],
        &["-t", "ext4", "-O", "^extent,^64bit"],
        &["-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"],
        &["-t", "ext4", "-O", "large_dir,ea_inode,mmp,encrypt,casefold"],
        &["-t", "ext4", "-I", "128"],
        &["-t", "ext4", "-O", "bigalloc", "-C", "16384"],
        &["-t", "ext4", "-O", "bigalloc", "-b", "4096", "-C", "16384"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image_of(&tree, directory.path(), options) else { return };
        let fs = Ext::open(open(&image)).unwrap();
        let ours = contents(&fs);
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
            "{options:?}"
        );
        for (path, facts) in &theirs {
            assert!(ours[path] == *facts, "{options:?}: {}", evidence::escape_bytes(path));
        }
        assert!(fs.problems().is_empty());
    }
}

#[test]
fn inode_facts_agree_with_debugfs() {
    let Some(debugfs) = tool("debugfs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4", "-L", "wurzel"]) else { return };
    let fs = Ext::open(open(&image)).unwrap();
    assert_eq!(fs.label().as_deref(), Some("wurzel"));
    for path in ["/tiny", "/etc/hostname", "/many/name-number-01234"] {
        let node = tree::resolve(&fs, path.as_bytes(), LastLink::Keep).unwrap();
        let metadata = fs.metadata(node).unwrap();
        let stat = run(&debugfs, &["-R", &format!("stat {path}"), text(&image)], "");
        assert!(stat.starts_with(&format!("Inode: {node} ")), "{stat}");
        for (key, time) in [
            ("ctime", metadata.changed.unwrap()),
            ("mtime", metadata.modified.unwrap()),
            ("crtime", metadata.born.unwrap()),
        ] {
            let extra = u64::from(time.nanoseconds) << 2;
            let line = format!("{key}: 0x{:08x}:{extra:08x}", time.seconds);
            assert!(stat.contains(&line), "{line}\n{stat}");
        }
    }
}

#[test]
fn attributes_agree_with_debugfs() {
    let (Some(debugfs), Some(mke2fs)) = (tool("debugfs"), tool("mke2fs")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "image", 8 << 20);
    run(&mke2fs, &["-q", "-F", "-t", "ext4", text(&image)], "");
    let big = directory.path().join("big");
    std::fs::write(&big, Random(2).bytes(900)).unwrap();
    let script = format!(
        "write {0} file\nea_set file user.note hello\nea_set -f {0} file user.big\n\
         ea_set file security.capability \"\\001\\000\\000\\002\\200\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\"\n",
        text(&big)
    );
    run(&debugfs, &["-w", "-f", "-", text(&image)], &script);
    let fs = Ext::open(open(&image)).unwrap();
    let node = tree::resolve(&fs, b"/file", LastLink::Keep).unwrap();
    let all = fs.xattrs(node).unwrap();
    let names: Vec<_> = all.iter().map(|attribute| attribute.name.to_string()).collect();
    assert_eq!(names, ["security.capability", "user.big", "user.note"]);
    assert_eq!(all[1].value, std::fs::read(&big).unwrap());
    assert_eq!(all[2].value, b"hello");
    let listed = run(&debugfs, &["-R", "ea_list file", text(&image)], "");
    assert!(listed.contains(&format!("security.capability ({})", all[0].value.len())), "{listed}");
}

/// The journal: debugfs writes transactions that are not yet in place, e2fsck replays them on a copy (independent tool),
/// and our view of the untouched image must equal our view of the replayed copy, and the view of `ext4-view`.
#[test]
fn a_dirty_journal_is_overlaid() {
    let (Some(debugfs), Some(e2fsck)) = (tool("debugfs"), tool("e2fsck")) else { return };
    for options in [
        &["-t", "ext4"][..],
        &["-t", "ext4", "-b", "1024"],
        &["-t", "ext3"],
        &["-t", "ext4", "-O", "^64bit,^metadata_csum"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = image(directory.path(), options) else { return };
        // Make the transaction: change /etc/hostname's block and lose a name, on a copy; then journal the blocks that differ.
        let changed = directory.path().join("changed");
        std::fs::copy(&image, &changed).unwrap();
        let hostname = directory.path().join("new");
        std::fs::write(&hostname, "intruder\n").unwrap();
        let script = format!(
            "rm /tiny\nrm /etc/hostname\nwrite {} /etc/hostname\ncd /etc\nwrite {0} hostname\n",
            text(&hostname)
        );
        run(&debugfs, &["-w", "-f", "-", text(&changed)], &script);
        let (before, after) = (std::fs::read(&image).unwrap(), std::fs::read(&changed).unwrap());
        let stats = run(&debugfs, &["-R", "stats", text(&image)], "");
        let block: usize = stats
            .lines()
            .find_map(|l| l.strip_prefix("Block size:"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let differing: Vec<usize> = (0..before.len() / block)
            .filter(|n| before[n * block..][..block] != after[n * block..][..block])
            .collect();
        let data = directory.path().join("blocks");
        let body: Vec<u8> =
            differing.iter().flat_map(|n| after[n * block..][..block].to_vec()).collect();
        std::fs::write(&data, body).unwrap();
        let list: Vec<String> =
            differing.iter().filter(|n| **n * block > 1024).map(ToString::to_string).collect();
        let kept: Vec<u8> = differing
            .iter()
            .filter(|n| **n * block > 1024)
            .flat_map(|n| after[n * block..][..block].to_vec())
            .collect();
        std::fs::write(&data, kept).unwrap();
        run(
            &debugfs,
            &["-w", "-f", "-", text(&image)],
            &format!("jo\njw -b {} {}\njc\n", list.join(","), text(&data)),
        );

        let fs = Ext::open(open(&image)).unwrap();
        assert!(
            fs.overlaid_blocks() > 0,
            "{options:?}: the journal must hold something, else this tests nothing"
        );
        assert!(fs.problems().is_empty(), "{:?}", fs.problems());
        assert_eq!(tree::read_file(&fs, b"/etc/hostname", 99).unwrap().0, b"intruder\n");
        assert!(tree::resolve(&fs, b"/tiny", LastLink::Keep).unwrap_err().is_not_found());

        let copy = directory.path().join("replayed");
        std::fs::copy(&image, &copy).unwrap();
        let _ = std::process::Command::new(&e2fsck)
            .args(["-y", "-E", "journal_only", text(&copy)])
            .output()
            .unwrap();
        let replayed = Ext::open(open(&copy)).unwrap();
        assert_eq!(replayed.overlaid_blocks(), 0);
        assert!(contents(&fs) == contents(&replayed), "{options:?}");

        match ext4_view::Ext4::load_from_path(&image) {
            Ok(other) => assert_eq!(other.read("/etc/hostname").unwrap(), b"intruder\n"),
            // It refuses journals without 64-bit tags and version 3 checksums, which is one reason for a reader of our own.
            Err(error) => eprintln!("ext4-view does not read {options:?}: {error}"),
        }
    }
}

#[test]
fn a_torn_journal_gives_what_was_committed() {
    let Some(debugfs) = tool("debugfs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4"]) else { return };
    let data = directory.path().join("block");
    std::fs::write(&data, vec![b'A'; 4096]).unwrap();
    let blocks = run(&debugfs, &["-R", "blocks /etc/hostname", text(&image)], "");
    let block = blocks.trim();
    run(
        &debugfs,
        &["-w", "-f", "-", text(&image)],
        &format!("jo -c\njw -b {block} {}\njc\n", text(&data)),
    );
    let fs = Ext::open(open(&image)).unwrap();
    assert_eq!(tree::read_file(&fs, b"/etc/hostname", 99).unwrap().0, b"AAAA");
    // Damage the commit block: then the transaction never happened.
    let mut bytes = std::fs::read(&image).unwrap();
    let magic = 0xc03b_3998_u32.to_be_bytes();
    let commit = (0..bytes.len() / 4096)
        .find(|n| {
            bytes[n * 4096..].starts_with(&magic)
                && bytes[n * 4096 + 4..].starts_with(&[0, 0, 0, 2])
        })
        .unwrap();
    bytes[commit * 4096 + 48] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    let fs = Ext::open(open(&image)).unwrap();
    assert_eq!(tree::read_file(&fs, b"/etc/hostname", 99).unwrap().0, b"zoo\n");
    assert!(fs.problems().iter().any(|p| p.kind == ProblemKind::Corrupt));
}

#[test]
fn links_stay_inside_the_root_and_loops_end() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4"]) else { return };
    let fs = Ext::open(open(&image)).unwrap();
    assert_eq!(tree::read_file(&fs, b"/climbing-link", 99).unwrap().0, b"zoo\n");
    assert_eq!(tree::read_file(&fs, b"/../../short-link", 99).unwrap().0, b"0123456789");
    assert_eq!(
        tree::resolve(&fs, b"/loop-a", LastLink::Follow).unwrap_err().kind(),
        ProblemKind::Refused
    );
    assert!(tree::resolve(&fs, b"/tiny/below", LastLink::Follow).unwrap_err().is_not_found());
}

#[test]
fn examine_finds_the_installed_system_behind_a_partition_table() {
    let Some(sfdisk) = tool("sfdisk") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = image(directory.path(), &["-t", "ext4"]) else { return };
    let disk = blank(directory.path(), "disk", 80 << 20);
    run(&sfdisk, &["--quiet", text(&disk)], "label: gpt\nstart=2048,size=131072\n");
    let mut bytes = std::fs::read(&disk).unwrap();
    bytes[1 << 20..(1 << 20) + (64 << 20)].copy_from_slice(&std::fs::read(&image).unwrap());
    let source: Arc<dyn Source> = Arc::new(MemSource::new(bytes));
    let view = evidence::examine(&source);
    let (volume, system) = view.systems().next().unwrap();
    assert_eq!(
        (volume.partition, system.id.as_deref(), system.hostname.as_deref()),
        (Some(1), Some("test"), Some("zoo"))
    );
    assert_eq!(view.problems().count(), 0);
    assert!(serde_json::to_string(&view).unwrap().contains("\"hostname\":\"zoo\""));
}

/// Vouched for by The Sleuth Kit's authors' format and by the project that published image and listing.
#[test]
fn published_image_agrees_with_its_published_listing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/dfvfs");
    let (Ok(mut bytes), Ok(rest)) = (
        std::fs::read(folder.join("ext2.splitraw.000")),
        std::fs::read(folder.join("ext2.splitraw.001")),
    ) else {
        eprintln!("skipped: no ../shared/testdata");
        return;
    };
    bytes.extend(rest);
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("ext2");
    std::fs::write(&image, &bytes).unwrap();
    let Some(fls) = tool("fls") else { return };
    let listing = run(&fls, &["-r", "-m", "/", text(&image)], "");
    let fs = Ext::open(open(&image)).unwrap();
    let mut count = 0;
    tree::walk(&fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
        let m = &visit.metadata;
        let times: Vec<String> = [m.accessed, m.modified, m.changed]
            .map(|time| time.unwrap().seconds.to_string())
            .to_vec();
        let times = times.join("|");
        let found = listing.lines().any(|line| {
            let fields: Vec<_> = line.split('|').collect();
            fields[1].split(" -> ").next() == Some(&visit.path.to_string())
                && fields[2] == m.node.to_string()
                && fields[6] == m.size_bytes.to_string()
                && fields[7..10].join("|") == times
        });
        assert!(found, "{} is not in\n{listing}", visit.path);
        count += 1;
    });
    let theirs = listing
        .lines()
        .filter(|line| !line.contains("$OrphanFiles") && !line.contains("(deleted"))
        .count();
    assert_eq!(count, theirs);
}

/// Bytes of every structure are changed at random: whatever happens must end, soon, without a panic.
#[test]
fn mutated_images_never_panic_or_hang() {
    support::bounded::bounded("ext4", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(mke2fs) = tool("mke2fs") else { return };
        let tree = directory.path().join("small");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/file"), Random(3).bytes(50_000)).unwrap();
        std::os::unix::fs::symlink("x".repeat(100), tree.join("link")).unwrap();
        for options in [
            &["-t", "ext4", "-b", "1024"][..],
            &["-t", "ext2", "-b", "1024"],
            &["-t", "ext4", "-O", "inline_data", "-b", "1024"],
        ] {
            let image = blank(directory.path(), "image", 2 << 20);
            let mut all = vec!["-q", "-F", "-d", text(&tree), "-N", "64"];
            all.extend(options);
            all.push(text(&image));
            run(&mke2fs, &all, "");
            let good = std::fs::read(&image).unwrap();
            let used: Vec<usize> = (0..good.len() / 64)
                .filter(|n| good[n * 64..][..64].iter().any(|b| *b != 0))
                .collect();
            let mut random = Random(0x5eed_0003);
            for round in 0..400 {
                let mut bytes = good.clone();
                for _ in 0..1 + random.below(30) {
                    let at = used[random.below(used.len())] * 64 + random.below(64);
                    bytes[at] = random.next() as u8;
                }
                if round % 2 == 0 {
                    bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
                    bytes[1024 + 0x60] |= 4;
                }
                let source: Arc<dyn Source> = Arc::new(MemSource::new(bytes));
                let Ok(fs) = Ext::open(Arc::clone(&source)) else { continue };
                let fs: &dyn FileSystem = &fs;
                tree::walk(
                    fs,
                    fs.root(),
                    &RawPath::from("/"),
                    Limits { depth: 20, entries: 500 },
                    &mut |visit| {
                        let _ = fs.read_head(visit.metadata.node, 1 << 20);
                        let _ = fs.read_link(visit.metadata.node);
                        let _ = fs.xattrs(visit.metadata.node);
                    },
                );
                let _ = evidence::examine(&source);
            }
        }
    });
}

/// A link that claims an absurd length: a reader that believes it would abort the whole program on allocation.
#[test]
fn a_link_of_four_gigabytes_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let Some(debugfs) = tool("debugfs") else { return };
    let Some(image) = image(directory.path(), &["-t", "ext4"]) else { return };
    run(&debugfs, &["-w", "-f", "-", text(&image)], "set_inode_field /long-link size 0xffffff00\n");
    let fs = Ext::open(open(&image)).unwrap();
    let node = tree::resolve(&fs, b"/long-link", LastLink::Keep).unwrap();
    assert_eq!(fs.read_link(node).unwrap_err().kind(), ProblemKind::Corrupt);
}

/// Independent tool: the running kernel's ext4, mounted from the same image.
#[test]
fn an_awkward_tree_is_shown_as_the_kernel_shows_it() {
    let Some(mkfs) = tool("mke2fs") else { return };
    let old = population::Abilities { times: (-(1 << 31), (1 << 31) - 1), ..Abilities::LINUX };
    // Without room in the inode, attributes share one block of the file system.
    let narrow = Abilities { xattr_bytes: 300, ..Abilities::LINUX };
    let small = Abilities { many: 300, ..old };
    for (options, abilities) in [
        (&["-t", "ext4", "-O", "inline_data,ea_inode"][..], Abilities::LINUX),
        (&["-t", "ext4", "-b", "1024", "-O", "ea_inode,large_dir,meta_bg,^resize_inode"], narrow),
        (&["-t", "ext4", "-b", "2048", "-I", "512", "-O", "^64bit"], narrow),
        (&["-t", "ext4", "-O", "bigalloc,^metadata_csum,uninit_bg", "-C", "65536"], narrow),
        (&["-t", "ext4", "-O", "^extent,^64bit,^flex_bg,^has_journal"], narrow),
        (&["-t", "ext3", "-I", "128"], Abilities { xattr_bytes: 300, ..small }),
        (&["-t", "ext2", "-b", "1024", "-I", "128"], Abilities { xattr_bytes: 0, ..small }),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let image = blank(directory.path(), "image", 96 << 20);
        run(&mkfs, &[&["-q", "-F", "-N", "8192"], options, &[text(&image)]].concat(), "");
        let Some(mounted) = support::kernel::mount(&image, "ext4", "rw") else { return };
        population::plant(mounted.root(), abilities);
        mounted.unmount();
        let Some(mounted) = support::kernel::mount(&image, "ext4", "ro,noatime") else { return };
        let theirs = facts::kernels(mounted.root());
        mounted.unmount();
        let fs = Ext::open(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        let (mut ours, problems) = facts::ours(&fs);
        assert_eq!(problems, [], "{options:?}");
        if options.contains(&"128") {
            // The kernel makes up no time of creation where there is none.
            assert!(ours.values_mut().all(|facts| facts.born.is_none()), "{options:?}");
        }
        facts::compare(&ours, &theirs, &format!("{options:?}"));
    }
}

/// Only us: whatever the bytes, every call ends, soon and within bounds. The images hold every structure there is.
#[test]
fn damaged_images_are_survived_by_every_call() {
    support::bounded::bounded("ext2 and ext4, every call", || {
        let (Some(mke2fs), Some(debugfs)) = (tool("mke2fs"), tool("debugfs")) else { return };
        for (number, options) in [
            &["-t", "ext4", "-b", "1024", "-O", "inline_data,ea_inode"][..],
            &["-t", "ext4", "-b", "1024", "-J", "size=1"],
            &["-t", "ext2", "-b", "1024"],
            &["-t", "ext4", "-b", "1024", "-O", "bigalloc,^has_journal", "-C", "4096"],
        ]
        .into_iter()
        .enumerate()
        {
            let directory = tempfile::tempdir().unwrap();
            let tree = directory.path().join("small");
            std::fs::create_dir_all(tree.join("a/b")).unwrap();
            std::fs::write(tree.join("a/file"), Random(3).bytes(300_000)).unwrap();
            for index in 0..40 {
                std::fs::write(tree.join(format!("a/b/name-number-{index}")), "x").unwrap();
            }
            std::os::unix::fs::symlink("x".repeat(100), tree.join("link")).unwrap();
            let image = blank(directory.path(), "image", 3 << 20);
            let planted = ["-q", "-F", "-N", "64", "-d", text(&tree)];
            run(&mke2fs, &[&planted, options, &[text(&image)]].concat(), "");
            let block = directory.path().join("block");
            std::fs::write(&block, vec![b'A'; 1024]).unwrap();
            let journal = format!("jo -c\njw -b 900 {}\njc\n", text(&block));
            let script =
                "ea_set a/file user.note hello\nrm a/b/name-number-7\nssv last_orphan 15\n";
            let journal = if options.contains(&"-J") { journal.as_str() } else { "" };
            run(&debugfs, &["-w", "-f", "-", text(&image)], &format!("{script}{journal}"));
            let image = std::fs::read(&image).unwrap();
            for view in [View::Recovered, View::Raw] {
                hostile::mutate(&image, 60, number as u64 + 1, &|source| {
                    evidence::ext::open(source, view)
                });
            }
        }
    });
}
