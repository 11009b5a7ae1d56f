//! NTFS judged by ntfs-3g (another implementation: it writes the volumes and shows them mounted), The Sleuth Kit and
//! Dissect (independent readers), and volumes of real Windows where they are at hand.

#[path = "ntfs/bench.rs"]
mod bench;
#[path = "ntfs/damage.rs"]
mod damage;
mod support;

use bench::{ABILITIES, mount, node, ours, plant, set, theirs, volume};

use evidence::ProblemKind;
use evidence::fs::tree::{self, Limits};
use evidence::fs::{Attribute, FileKind, FileSystem, Names, Owners, RawPath, Stored};
use evidence::ntfs::Ntfs;
use std::collections::BTreeMap;
use std::process::Command;
use support::facts::{self};
use support::population::{self, Abilities};
use support::{Random, open, run, text, tool};

#[test]
fn every_layout_reads_as_ntfs_3g_shows_it() {
    for options in
        [&[][..], &["-c", "512"], &["-c", "65536"], &["-c", "1024", "-s", "1024"], &["-s", "4096"]]
    {
        let directory = tempfile::tempdir().unwrap();
        let Some((image, mounted)) = volume(directory.path(), 96 << 20, options) else { return };
        plant(&mounted, if options.is_empty() { 3000 } else { 400 });
        drop(mounted);
        let Some(mounted) = mount(&image, "ro") else { return };
        let shown = theirs(mounted.root());
        let fs = Ntfs::open(open(&image)).unwrap();
        facts::compare(&ours(&fs), &shown, &format!("{options:?}"));
        assert_eq!(fs.problems(), []);
        assert_eq!(fs.label().as_deref(), Some("Label \u{e4}"));
        assert_eq!(
            (fs.conventions().owners, fs.conventions().names),
            (Owners::None, Names::CaseFolded)
        );
    }
}

/// One line of a bodyfile by its path: number, size, and the four times in seconds.
fn bodyfile(listing: &str) -> BTreeMap<String, (String, String, Vec<String>)> {
    let mut out = BTreeMap::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        if fields.len() == 11 && !fields[1].contains("($FILE_NAME)") {
            let times = fields[7..11].iter().map(ToString::to_string).collect();
            out.insert(fields[1].to_owned(), (fields[2].to_owned(), fields[6].to_owned(), times));
        }
    }
    out
}

fn seconds(metadata: &evidence::fs::Metadata) -> Vec<String> {
    [metadata.accessed, metadata.modified, metadata.changed, metadata.born]
        .map(|time| time.map_or(0, |time| time.seconds).to_string())
        .to_vec()
}

/// Vouched for by The Sleuth Kit: system files, streams, numbers, sizes and all four times.
#[test]
fn names_and_times_agree_with_fls() {
    let Some(fls) = tool("fls") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 96 << 20, &[]) else { return };
    let abilities = Abilities { many: 300, times: (-1, 1 << 31), ..ABILITIES };
    population::plant(mounted.root(), abilities);
    std::fs::write(mounted.at("streams"), "main").unwrap();
    set(&mounted.at("streams"), "user.first", b"value");
    set(&mounted.at("streams"), "user.second", &Random(1).bytes(9000));
    drop(mounted);
    let theirs = bodyfile(&run(&fls, &["-u", "-r", "-m", "/", text(&image)], ""));
    let fs = Ntfs::open(open(&image)).unwrap();
    let mut seen = 0;
    let problems =
        tree::walk(&fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
            let path = String::from_utf8(visit.path.0.clone()).unwrap();
            let m = &visit.metadata;
            // fls shows index files only by the names of their indexes, and $MFT with times of its own.
            if let Some((number, size, times)) = theirs.get(&path) {
                assert_eq!(*number, fs.node_name(m.node), "{path}");
                if m.kind != FileKind::Directory {
                    assert_eq!(*size, m.size_bytes.to_string(), "{path}");
                }
                // Its years before 1970 wrap to the far future.
                if m.modified.is_some_and(|time| time.seconds >= 0) {
                    assert_eq!(*times, seconds(m), "{path}");
                }
                seen += 1;
            }
            for stream in fs.streams(m.node).unwrap() {
                let (_, size, _) = &theirs[&format!("{path}:{}", stream.name)];
                assert_eq!(*size, stream.size_bytes.to_string(), "{path}:{}", stream.name);
                seen += 1;
            }
        });
    assert_eq!(problems, []);
    let indexes = theirs.keys().filter(|path| {
        path.contains(":$")
            && !path.ends_with("$Bad")
            && !path.ends_with("$SDS")
            && !path.ends_with("$Info")
    });
    let expected = theirs.len()
        - indexes.count()
        - theirs.keys().filter(|path| path.contains("$OrphanFiles")).count();
    assert_eq!(seen, expected);
}

/// Vouched for by The Sleuth Kit, which knows deleted records by the same rules.
#[test]
fn deleted_records_agree_with_fls() {
    let (Some(fls), Some(icat)) = (tool("fls"), tool("icat")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 32 << 20, &[]) else { return };
    let content = Random(7).bytes(300_000);
    std::fs::create_dir_all(mounted.at("kept/lost/deeper")).unwrap();
    for name in ["gone", "kept/gone", "kept/lost/large", "kept/lost/deeper/small"] {
        let size = if name.ends_with("large") { content.len() } else { 20 };
        std::fs::write(mounted.at(name), &content[..size]).unwrap();
    }
    drop(mounted);
    // Later, so that no number of a record is taken again.
    let Some(mounted) = mount(&image, "rw") else { return };
    std::fs::remove_dir_all(mounted.at("kept/lost")).unwrap();
    std::fs::remove_file(mounted.at("gone")).unwrap();
    std::fs::remove_file(mounted.at("kept/gone")).unwrap();
    drop(mounted);
    let theirs = bodyfile(&run(&fls, &["-r", "-d", "-m", "/", text(&image)], ""));
    let theirs: BTreeMap<_, _> = theirs
        .into_iter()
        // Records kept in reserve, which never had a name.
        .filter(|(path, _)| !path.contains("OrphanFile-"))
        .collect();
    let fs = Ntfs::open(open(&image)).unwrap();
    let found = fs.deleted(1000);
    assert_eq!(found.problems, []);
    let ours: BTreeMap<_, _> = found
        .entries
        .iter()
        .map(|entry| {
            let m = entry.metadata.as_ref().unwrap();
            let name = format!("{} (deleted)", entry.path);
            let size = if m.kind == FileKind::Directory { 48 } else { m.size_bytes };
            (name, (fs.node_name(entry.node.unwrap()), size.to_string(), seconds(m)))
        })
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 6);
    let large = found.entries.iter().find(|entry| entry.path.name() == b"large").unwrap();
    assert!(!large.is_reused);
    let mut left = vec![0; content.len()];
    assert_eq!(fs.read_at(large.node.unwrap(), 0, &mut left).unwrap(), content.len());
    assert!(left == content);
    let number = fs.node_name(large.node.unwrap());
    let out = Command::new(icat).args([text(&image), &number]).output().unwrap();
    assert!(out.stdout == content);
    assert_eq!(fs.deleted(2).entries.len(), 2);
    assert_eq!(fs.deleted(2).problems[0].kind, ProblemKind::Refused);
}

/// Clusters agree with istat of The Sleuth Kit; free space with ntfsinfo and with what files take.
#[test]
fn extents_and_free_space_agree_with_istat_and_ntfsinfo() {
    let (Some(istat), Some(ntfsinfo)) = (tool("istat"), tool("ntfsinfo")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 64 << 20, &[]) else { return };
    plant(&mounted, 100);
    drop(mounted);
    let bytes = std::fs::read(&image).unwrap();
    let fs = Ntfs::open(open(&image)).unwrap();
    let free = fs.free_ranges().unwrap();
    let info = run(&ntfsinfo, &["-m", "-f", text(&image)], "");
    let clusters: u64 = free.iter().map(|range| (range.end - range.start) / 4096).sum();
    assert!(info.contains(&format!("Free Clusters: {clusters} (")), "{clusters} in {info}");
    assert!(free.windows(2).all(|pair| pair[0].end < pair[1].start));
    for path in [
        "large",
        "sparse",
        "hole",
        "torn-a",
        "preallocated",
        "packed/mixed",
        "packed/holes",
        "packed/noise",
        "tiny",
    ] {
        let node = node(&fs, &format!("/{path}"));
        let size = fs.metadata(node).unwrap().size_bytes;
        let extents = fs.extents(node).unwrap();
        let mut at = 0;
        let mut ours = Vec::new();
        for extent in &extents {
            assert_eq!(extent.logical_bytes, at, "{path}");
            at += extent.length_bytes;
            let (start, length) = match extent.stored {
                Stored::At(start) => (start, extent.length_bytes),
                Stored::Unwritten(start) => (start, extent.length_bytes),
                Stored::Packed { at, length_bytes } => (at, length_bytes),
                _ => continue,
            };
            ours.extend((start / 4096)..(start + length) / 4096);
            assert!(!free.iter().any(|range| range.contains(&start)), "{path} lies in free space");
            if let Stored::At(start) = extent.stored {
                let length = length.min(size - extent.logical_bytes) as usize;
                let mut read = vec![0; length];
                fs.read_at(node, extent.logical_bytes, &mut read).unwrap();
                assert!(read == bytes[start as usize..][..length], "{path}");
            }
        }
        assert!(at >= size, "{path}");
        let told = run(&istat, &[text(&image), &fs.node_name(node)], "");
        let data = told.split("Type: $DATA").nth(1).unwrap();
        // Zero stands for a cluster of a hole.
        let theirs: Vec<u64> = data
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with("Type"))
            .flat_map(str::split_whitespace)
            .map(|number| number.parse().unwrap())
            .filter(|number| *number != 0)
            .collect();
        assert_eq!(ours, theirs, "{path}\n{told}");
    }
    let kinds = |path: &str| -> Vec<Stored> {
        fs.extents(node(&fs, path)).unwrap().iter().map(|extent| extent.stored).collect()
    };
    assert!(kinds("/packed/text").iter().all(|s| matches!(s, Stored::Packed { .. })));
    assert!(kinds("/packed/mixed").iter().any(|s| matches!(s, Stored::Hole)));
    assert_eq!(kinds("/tiny"), [Stored::Inline]);
    let packed = fs.metadata(node(&fs, "/packed/text")).unwrap();
    assert!(packed.attributes.has(Attribute::Compressed));
}

/// A full volume leaves the MFT no room to grow in one piece: its later runs are told by its own earlier records.
/// Vouched for by ntfs-3g and istat.
#[test]
fn a_torn_table_is_read_through_its_own_records() {
    let Some(istat) = tool("istat") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 8 << 20, &["-c", "512"]) else { return };
    let body = Random(3).bytes(700);
    let full = |prefix: &str, body: &[u8]| {
        (0..20_000)
            .take_while(|n| std::fs::write(mounted.at(&format!("{prefix}-{n}")), body).is_ok())
            .count()
    };
    let filled = full("fill", &body);
    for number in (0..=filled).step_by(2) {
        let _ = std::fs::remove_file(mounted.at(&format!("fill-{number}")));
    }
    full("new", b"x");
    drop(mounted);
    let told = run(&istat, &[text(&image), "0"], "");
    assert!(
        told.contains("$ATTRIBUTE_LIST"),
        "the table must be torn, else this tests nothing: {told}"
    );
    let Some(mounted) = mount(&image, "ro") else { return };
    let fs = Ntfs::open(open(&image)).unwrap();
    assert_eq!(fs.problems(), []);
    let tree = ours(&fs);
    facts::compare(&tree, &theirs(mounted.root()), "torn table");
    assert!(tree.len() > 3000);
}

/// Reparse data as Windows makes it ([MS-FSCC] 2.1.2.4), given to ntfs-3g to store.
fn reparse(tag: u32, target: &str, shown: &str) -> Vec<u8> {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let (target, shown) = (utf16(target), utf16(shown));
    let mut body = Vec::new();
    let (length, rest) = (target.len() as u16, shown.len() as u16);
    for number in [0, length, length, rest] {
        body.extend(number.to_le_bytes());
    }
    if tag == 0xa000_000c {
        body.extend([0; 4]);
    }
    body.extend(target);
    body.extend(shown);
    let mut out = tag.to_le_bytes().to_vec();
    out.extend((body.len() as u16).to_le_bytes());
    out.extend([0; 2]);
    out.extend(body);
    out
}

fn details(fs: &Ntfs, path: &str) -> Vec<(&'static str, String)> {
    let details = fs.details(node(fs, path)).unwrap();
    details.into_iter().map(|detail| (detail.name, detail.value)).collect()
}

/// Only we vouch for the targets; that they are reparse points, ntfs-3g checks when it stores them.
#[test]
fn reparse_points_are_links_or_said_not_to_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 16 << 20, &[]) else { return };
    let put = |name: &str, data: &[u8]| set(&mounted.at(name), "system.ntfs_reparse_data", data);
    for name in ["link", "overlay", "linux", "dedup"] {
        std::fs::write(mounted.at(name), "").unwrap();
    }
    std::fs::create_dir(mounted.at("junction")).unwrap();
    put("link", &reparse(0xa000_000c, r"\??\C:\Users\ä", r"C:\Users\ä"));
    put("junction", &reparse(0xa000_0003, r"\??\Volume{1}\", ""));
    let mut overlay = 0x8000_0017_u32.to_le_bytes().to_vec();
    overlay.extend([16, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
    put("overlay", &overlay);
    let mut linux = 0xa000_001d_u32.to_le_bytes().to_vec();
    linux.extend([12, 0, 0, 0, 2, 0, 0, 0]);
    linux.extend(b"../where");
    put("linux", &linux);
    let mut dedup = 0x8000_0013_u32.to_le_bytes().to_vec();
    dedup.extend([8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    put("dedup", &dedup);
    drop(mounted);
    let fs = Ntfs::open(open(&image)).unwrap();
    for (path, target) in
        [("/link", r"\??\C:\Users\ä"), ("/junction", r"\??\Volume{1}\"), ("/linux", "../where")]
    {
        let node = node(&fs, path);
        let metadata = fs.metadata(node).unwrap();
        assert_eq!((metadata.kind, metadata.size_bytes), (FileKind::Symlink, target.len() as u64));
        assert!(metadata.attributes.has(Attribute::Reparse));
        assert_eq!(fs.read_link(node).unwrap().0, target.as_bytes());
        assert_eq!(fs.read_at(node, 0, &mut [0; 4]).unwrap_err().kind(), ProblemKind::Refused);
    }
    assert!(
        details(&fs, "/link")
            .contains(&("shown target", evidence::escape_bytes(r"C:\Users\ä".as_bytes())))
    );
    for (path, what) in [("/overlay", "Overlay"), ("/dedup", "deduplicated")] {
        let error = fs.read_at(node(&fs, path), 0, &mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ProblemKind::Unsupported);
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(fs.read_link(node(&fs, "/overlay")).is_err());
}

/// Owners by number in `$Secure`, vouched for by istat.
#[test]
fn owners_agree_with_istat() {
    let Some(istat) = tool("istat") else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 16 << 20, &[]) else { return };
    drop(mounted);
    let Some(mounted) = mount(&image, "permissions") else { return };
    for index in 0..40_u32 {
        let path = mounted.at(&format!("file-{index}"));
        std::fs::write(&path, "x").unwrap();
        std::os::unix::fs::chown(&path, Some(1000 + index), Some(2000)).unwrap();
    }
    drop(mounted);
    let fs = Ntfs::open(open(&image)).unwrap();
    let mut checked = 0;
    for index in 0..40 {
        let path = format!("/file-{index}");
        let details = details(&fs, &path);
        let owner = details.iter().find(|(name, _)| *name == "owner").unwrap().1.clone();
        let number = details.iter().find(|(name, _)| *name == "security number").unwrap().1.clone();
        let told = run(&istat, &[text(&image), &fs.node_name(node(&fs, &path))], "");
        // It does not find those whose index has grown beyond the record.
        assert!(told.contains(&format!("Security ID: {number}  (")), "{number} in {told}");
        if !told.contains(&format!("Security ID: {number}  ()")) {
            assert!(told.contains(&format!("  ({owner})")), "{owner} in {told}");
            checked += 1;
        }
        assert!(
            details
                .iter()
                .any(|(name, value)| *name == "access list" && value.contains("allow S-1-"))
        );
    }
    assert!(checked >= 5, "{checked}");
}
