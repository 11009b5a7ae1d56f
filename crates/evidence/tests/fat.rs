//! FAT12, FAT16 and FAT32 against mtools, dosfstools and The Sleuth Kit.

mod support;

use evidence::fat::Fat;
use evidence::fs::tree::{self, LastLink, Limits};
use evidence::fs::{Attribute, Stored};
use evidence::{FileSystem, MemSource, ProblemKind, RawPath, Source};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::population::{self, Abilities};
use support::{Random, blank, facts, hostile, open, run, text, tool};

/// What FAT can hold: dates from 1980 to 2107, names that are text.
const ABILITIES: Abilities = Abilities {
    many: 400,
    any_bytes: false,
    unix: false,
    xattr_bytes: 0,
    times: (315_532_800, 4_354_819_198),
};

/// The options of mkfs.fat for one image of each kind and size of cluster, with the size of the image.
const KINDS: [(&str, &[&str], u64); 4] = [
    ("fat12", &["-F", "12", "-s", "16"], 30 << 20),
    ("fat16", &["-F", "16", "-s", "4"], 64 << 20),
    ("fat32", &["-F", "32", "-s", "1"], 48 << 20),
    ("fat32", &["-F", "32", "-s", "1", "-S", "4096"], 300 << 20),
];

/// An empty file system.
fn formatted(directory: &Path, options: &[&str], size: u64) -> Option<PathBuf> {
    let mkfs = tool("mkfs.fat")?;
    let image = blank(directory, "image", size);
    let mut all = vec!["-n", "GLOVEBOX", "-i", "1234abcd"];
    all.extend(options);
    all.push(text(&image));
    run(&mkfs, &all, "");
    Some(image)
}

/// Copies the content of a folder into the image, with its times.
fn planted(image: &Path, folder: &Path) -> Option<()> {
    let mcopy = tool("mcopy")?;
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut all = vec!["-i", text(image), "-s", "-m", "-Q", "-o"];
    all.extend(names.iter().map(|path| text(path)));
    all.push("::/");
    run(&mcopy, &all, "");
    Some(())
}

/// One line of a body file: path, node, size, and the times accessed, modified and born.
type Line = (String, u64, u64, [i64; 3]);

/// fls cuts very long names, and knows no time after 2037.
fn shortened(path: &str) -> String {
    path.chars().take(200).collect()
}

/// What fls tells, without the volume label and its own virtual files.
fn fls(image: &Path) -> Option<BTreeSet<Line>> {
    let out = run(&tool("fls")?, &["-r", "-m", "/", text(image)], "");
    let lines = out.lines().filter(|line| {
        !line.contains("(Volume Label Entry)") && !line.contains("|v/v") && !line.contains("|V/V")
    });
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let number = |index: usize| fields[index].parse::<i64>().unwrap();
        let times = [number(7), number(8), number(10)];
        (shortened(fields[1]), number(2) as u64, number(6) as u64, times)
    };
    Some(lines.map(parse).collect())
}

/// The same from our reader; `deleted` adds what is given up.
fn body(fs: &dyn FileSystem) -> BTreeSet<Line> {
    let mut out = BTreeSet::new();
    let line = |path: String, m: &evidence::fs::Metadata| {
        let known = |time: evidence::Time| Some(time.seconds).filter(|time| *time < 2_145_916_800);
        let times = [m.accessed, m.modified, m.born].map(|time| time.and_then(known).unwrap_or(0));
        (shortened(&path), m.node, m.size_bytes, times)
    };
    let limits = Limits::default();
    let problems = tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
        let path = String::from_utf8(visit.path.0.clone()).unwrap();
        out.insert(line(path, &visit.metadata));
    });
    assert_eq!(problems, []);
    let deleted = fs.deleted(100_000);
    assert_eq!(deleted.problems, []);
    for entry in deleted.entries {
        let path = format!("{} (deleted)", String::from_utf8(entry.path.0).unwrap());
        out.insert(line(path, &entry.metadata.unwrap()));
    }
    out
}

fn same(ours: &BTreeSet<Line>, theirs: &BTreeSet<Line>, what: &str) {
    let missing: Vec<_> = theirs.difference(ours).take(5).collect();
    let surplus: Vec<_> = ours.difference(theirs).take(5).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}:\n-{missing:#?}\n+{surplus:#?}");
}

/// Vouched for by the folder itself (mtools wrote the copy), by fls for nodes, sizes and times, by fsck.fat for free space.
#[test]
fn an_awkward_tree_is_shown_as_others_show_it() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    population::plant(&folder, ABILITIES);
    for name in ["UPPER.TXT", "lower.txt", "Mixed.Case", "LOW.ext", "a.b.c.d", "no dots in it"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    std::fs::write(folder.join("x".repeat(250)), "longest").unwrap();
    for (kind, options, size) in KINDS {
        let Some(image) = formatted(directory.path(), options, size) else { return };
        let Some(()) = planted(&image, &folder) else { return };
        let fs = Fat::open(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{options:?}");
        assert_eq!((fs.kind(), fs.label().as_deref()), (kind, Some("GLOVEBOX")));
        assert_eq!(fs.uuid().as_deref(), Some("1234-ABCD"));
        let Some(theirs) = fls(&image) else { return };
        assert!(theirs.len() > 400);
        same(&body(&fs), &theirs, kind);

        let (mut ours, problems) = facts::ours(&fs);
        assert_eq!(problems, []);
        let mut theirs = facts::kernels(&folder);
        // mtools keeps the lower sixteen bits of a letter only.
        let cut = "/näme with ünicode \u{f512}".as_bytes().to_vec();
        let whole = theirs.remove("/näme with ünicode \u{1f512}".as_bytes()).unwrap();
        theirs.insert(cut, whole);
        for tree in [&mut ours, &mut theirs] {
            for facts in tree.values_mut() {
                let is_file = facts.kind == evidence::fs::FileKind::File;
                (facts.mode, facts.links, facts.node) = (0, 0, 0);
                (facts.uid, facts.gid) = (0, 0);
                (facts.accessed, facts.changed, facts.born) = (None, None, None);
                facts.size_bytes = if is_file { facts.size_bytes } else { 0 };
                // Two-second steps; mtools keeps the times of files only.
                facts.modified = facts.modified.filter(|_| is_file).map(|mut time| {
                    (time.seconds, time.nanoseconds) = (time.seconds & !1, 0);
                    time
                });
                let first = evidence::Time { seconds: ABILITIES.times.0, nanoseconds: 0 };
                facts.modified = facts.modified.filter(|time| *time > first);
            }
        }
        facts::compare(&ours, &theirs, kind);

        let Some(fsck) = tool("fsck.fat") else { return };
        let out = run(&fsck, &["-n", text(&image)], "");
        // "image: 412 files, 1234/4321 clusters"
        let counts = out.lines().last().unwrap().rsplit(' ').nth(1).unwrap().to_owned();
        let (used, total) = counts.split_once('/').unwrap();
        let (used, total): (u64, u64) = (used.parse().unwrap(), total.parse().unwrap());
        let free: u64 = fs.free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
        let details = fs.details(fs.root()).unwrap();
        let cluster = details.iter().find(|detail| detail.name == "cluster bytes").unwrap();
        // fsck counts the root directory of FAT32 among the used ones, as the table does.
        assert_eq!(free, (total - used) * cluster.value.parse::<u64>().unwrap(), "{out}");
    }
}

/// Vouched for by fls and icat: names, nodes and recovered content of deleted files.
#[test]
fn deleted_files_are_found_as_the_sleuth_kit_finds_them() {
    let (Some(mdel), Some(mdeltree), Some(icat), Some(mcopy)) =
        (tool("mdel"), tool("mdeltree"), tool("icat"), tool("mcopy"))
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir_all(folder.join("gone/deeper")).unwrap();
    std::fs::create_dir_all(folder.join("kept")).unwrap();
    let mut random = Random(11);
    for (name, length) in [
        ("SHORT.TXT", 3000),
        ("a long name that is given up.bin", 70_000),
        ("kept/exactly 26 letters long..", 9000),
        ("kept/stays", 40_000),
        ("empty", 0),
        ("gone/one", 5000),
        ("gone/deeper/two with a long name", 5001),
        ("z", 12_000),
    ] {
        std::fs::write(folder.join(name), random.bytes(length)).unwrap();
    }
    for (kind, options, size) in &KINDS[..3] {
        let Some(image) = formatted(directory.path(), options, *size) else { return };
        let Some(()) = planted(&image, &folder) else { return };
        let erase = |name: &str| run(&mdel, &["-i", text(&image), name], "");
        for name in ["SHORT.TXT", "a long name that is given up.bin", "empty", "z"] {
            erase(&format!("::/{name}"));
        }
        erase("::/kept/exactly 26 letters long..");
        run(&mdeltree, &["-i", text(&image), "::/gone"], "");
        let fs = Fat::open(open(&image)).unwrap();
        assert_eq!(fs.problems(), []);
        let deleted = fs.deleted(1000);
        assert_eq!(deleted.problems, []);
        let names: Vec<String> = deleted.entries.iter().map(|e| e.path.to_string()).collect();
        // The first letter is lost where there was no long name.
        let written = [
            ("/_", "z"),
            ("/_HORT.TXT", "SHORT.TXT"),
            ("/_mpty", "empty"),
            ("/_one", "gone"),
            ("/_one/_eeper", "gone/deeper"),
            ("/_one/_eeper/two with a long name", "gone/deeper/two with a long name"),
            ("/_one/_ne", "gone/one"),
            ("/a long name that is given up.bin", "a long name that is given up.bin"),
            ("/kept/exactly 26 letters long..", "kept/exactly 26 letters long.."),
        ];
        assert_eq!(names, written.map(|pair| pair.0.to_owned()), "{kind}");
        let Some(theirs) = fls(&image) else { return };
        for (entry, (_, written)) in deleted.entries.iter().zip(written) {
            let node = entry.node.unwrap();
            assert!(!entry.is_reused, "{}", entry.path);
            let theirs = theirs.iter().find(|line| line.1 == node);
            let theirs = theirs.unwrap_or_else(|| panic!("{} is not in fls", entry.path));
            assert_eq!(theirs.0, format!("{} (deleted)", entry.path));
            let m = entry.metadata.as_ref().unwrap();
            if m.kind != evidence::fs::FileKind::File {
                continue;
            }
            assert_eq!(theirs.2, m.size_bytes, "{}", entry.path);
            let out = std::process::Command::new(&icat)
                .args(["-r", text(&image), &node.to_string()])
                .output()
                .unwrap();
            let fs: &dyn FileSystem = &fs;
            let (ours, is_whole) = fs.read_head(node, 1 << 20).unwrap();
            assert!(is_whole && ours == out.stdout, "{kind} {}", entry.path);
            assert!(ours == std::fs::read(folder.join(written)).unwrap(), "{kind} {}", entry.path);
        }
        // New files take the clusters: what was there is known to be lost.
        run(&mcopy, &["-i", text(&image), text(&folder.join("kept/stays")), "::/new"], "");
        let fs = Fat::open(open(&image)).unwrap();
        let deleted = fs.deleted(1000);
        let reused = deleted.entries.iter().find(|entry| entry.is_reused);
        if let Some(reused) = reused {
            let error = fs.read_at(reused.node.unwrap(), 0, &mut [0; 16]).unwrap_err();
            assert_eq!(error.kind(), ProblemKind::Corrupt);
        }
        assert_eq!(fs.deleted(2).entries.len(), 2);
        assert!(fs.deleted(2).problems.iter().any(|p| p.kind == ProblemKind::Refused));
    }
}

/// A small FAT16 with one file of five clusters in fragments and its bytes.
fn small(directory: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let image = formatted(directory, &["-F", "16", "-s", "1"], 4 << 20)?;
    let folder = directory.join("small");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("FILE.BIN"), Random(5).bytes(2500)).unwrap();
    std::fs::write(folder.join("a rather long name.txt"), "long").unwrap();
    std::fs::write(folder.join("sub/inner name.txt"), "inner").unwrap();
    planted(&image, &folder)?;
    let bytes = std::fs::read(&image).unwrap();
    Some((image, bytes))
}

fn mem(bytes: Vec<u8>) -> Arc<dyn Source> {
    Arc::new(MemSource::new(bytes))
}

fn node_of(fs: &dyn FileSystem, path: &str) -> u64 {
    tree::resolve(fs, path.as_bytes(), LastLink::Keep).unwrap()
}

/// Only us: the damage is made by hand, after the specification.
#[test]
fn contradictions_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let Some((_, good)) = small(directory.path()) else { return };
    let fs = Fat::open(mem(good.clone())).unwrap();
    let file = node_of(&fs, "/FILE.BIN");
    let extents = fs.extents(file).unwrap();
    let Stored::At(start) = extents[0].stored else { panic!("{extents:?}") };
    assert_eq!((extents.len(), extents[0].length_bytes), (1, 2560));
    assert_eq!(good[start as usize..][..2500], Random(5).bytes(2500));
    let reserved = u16::from_le_bytes([good[14], good[15]]) as usize * 512;
    let table_bytes = u16::from_le_bytes([good[22], good[23]]) as usize * 512;
    let cluster: usize = fs
        .details(file)
        .unwrap()
        .iter()
        .find(|detail| detail.name == "first cluster")
        .unwrap()
        .value
        .parse()
        .unwrap();
    let link = |bytes: &mut Vec<u8>, from: usize, to: u16| {
        for copy in 0..2 {
            let at = reserved + copy * table_bytes + from * 2;
            bytes[at..at + 2].copy_from_slice(&to.to_le_bytes());
        }
    };

    // A loop: the third cluster leads back to the first.
    let mut bytes = good.clone();
    link(&mut bytes, cluster + 2, cluster as u16);
    let fs = Fat::open(mem(bytes)).unwrap();
    let mut buf = vec![0; 2500];
    assert_eq!(fs.read_at(file, 0, &mut buf).unwrap(), 3 * 512);
    let error = fs.read_at(file, 3 * 512, &mut buf).unwrap_err().to_string();
    assert!(error.contains("returns from cluster"), "{error}");

    // Cut short, led into free space, led out of the volume.
    for (to, words) in [(0xffff, "the chain ends"), (0, "marked free"), (0xfff0, "is not one of")] {
        let mut bytes = good.clone();
        link(&mut bytes, cluster + 1, to);
        let fs = Fat::open(mem(bytes)).unwrap();
        let error = fs.read_at(file, 2400, &mut buf).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    // One table says something else than the other.
    let mut bytes = good.clone();
    bytes[reserved + table_bytes + cluster * 2] ^= 1;
    let fs = Fat::open(mem(bytes)).unwrap();
    assert!(fs.problems()[0].text.contains("differ in 1 bytes"), "{:?}", fs.problems());

    // A long name whose checksum fits no file: the file keeps its short name, the long one is told.
    let root = reserved + 2 * table_bytes;
    let long = (0..512)
        .map(|slot| root + slot * 32)
        .find(|at| good[at + 11] == 0x0f && good[at + 1] == b'a')
        .unwrap();
    let mut bytes = good.clone();
    bytes[long + 13] ^= 0xff;
    let fs = Fat::open(mem(bytes)).unwrap();
    let listing = fs.read_dir(fs.root()).unwrap();
    assert!(listing.entries.iter().any(|entry| entry.name.0 == b"ARATHE~1.TXT"));
    assert!(listing.problems.iter().any(|p| p.text.contains("without its file")));

    // A slash in a name must not lead anywhere else.
    let mut bytes = good.clone();
    bytes[long + 1] = b'/';
    let fs = Fat::open(mem(bytes)).unwrap();
    let listing = fs.read_dir(fs.root()).unwrap();
    assert!(listing.entries.iter().any(|entry| entry.name.0 == b"_ rather long name.txt"));
    assert_eq!(listing.problems.len(), 1);

    // An entry behind the end of the directory is hidden from Windows.
    let mut bytes = good.clone();
    let end = (0..512).map(|slot| root + slot * 32).find(|at| good[*at] == 0).unwrap();
    let entry = good[root..end].chunks(32).find(|e| e.starts_with(b"FILE")).unwrap().to_vec();
    bytes[end + 64..end + 96].copy_from_slice(&entry);
    bytes[end + 64..end + 68].copy_from_slice(b"HIDE");
    let fs = Fat::open(mem(bytes)).unwrap();
    let listing = fs.read_dir(fs.root()).unwrap();
    assert!(listing.problems[0].text.contains("behind the end"), "{:?}", listing.problems);
    let hidden = fs.deleted(10).entries;
    assert_eq!(hidden[0].path.to_string(), "/HIDE.BIN");
    assert!(fs.read_at(hidden[0].node.unwrap(), 0, &mut buf).unwrap() > 0);

    // A source that ends too soon.
    let fs = Fat::open(mem(good[..start as usize + 600].to_vec())).unwrap();
    assert!(fs.problems()[0].text.contains("the volume claims"));
    assert_eq!(fs.read_at(file, 0, &mut buf).unwrap(), 600);
    assert!(fs.read_at(file, 600, &mut buf).is_err());
}

/// Vouched for by mattrib and by the times this test gives mcopy.
#[test]
fn attributes_and_times_are_told() {
    let Some(mattrib) = tool("mattrib") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some((image, _)) = small(directory.path()) else { return };
    run(&mattrib, &["-i", text(&image), "+r", "+h", "+s", "-a", "::/FILE.BIN"], "");
    let fs = Fat::open(open(&image)).unwrap();
    let m = fs.metadata(node_of(&fs, "/FILE.BIN")).unwrap();
    let marks = [Attribute::Hidden, Attribute::System, Attribute::ReadOnly];
    assert_eq!(m.attributes.iter().collect::<Vec<_>>(), marks);
    assert_eq!(m.mode, 0o555);
    let clean = fs.details(fs.root()).unwrap();
    assert!(clean.iter().any(|d| d.name == "shut down cleanly" && d.value == "yes"));
    assert_eq!(serde_json::to_value(fs.conventions()).unwrap()["clock"], "local_unknown");
}

#[test]
fn mutated_images_never_panic_or_hang() {
    support::bounded::bounded("FAT", || {
        let directory = tempfile::tempdir().unwrap();
        // mtools wants as many clusters in a FAT32 as the specification does.
        for (options, size, rounds) in [
            (&["-F", "12"][..], 1 << 20, 150),
            (&["-F", "16", "-s", "1"], 3 << 20, 150),
            (&["-F", "32", "-s", "1"], 34 << 20, 30),
        ] {
            let Some(image) = formatted(directory.path(), options, size) else { return };
            let folder = directory.path().join("mutated");
            std::fs::create_dir_all(folder.join("sub/deeper")).unwrap();
            std::fs::write(folder.join("a file with a long name"), Random(5).bytes(9000)).unwrap();
            std::fs::write(folder.join("sub/deeper/FILE"), Random(6).bytes(20_000)).unwrap();
            let Some(()) = planted(&image, &folder) else { return };
            let Some(mdel) = tool("mdel") else { return };
            run(&mdel, &["-i", text(&image), "::/a file with a long name"], "");
            let bytes = std::fs::read(&image).unwrap();
            let open = |source| evidence::fat::open(source, Default::default());
            hostile::mutate(&bytes, rounds, 7, &open);
        }
    });
}
