//! ISO 9660 against xorriso, genisoimage and isoinfo, and against the folders the images are made from.

mod support;

use evidence::fs::tree::{self, LastLink, Limits};
use evidence::fs::{FileKind, Stored};
use evidence::iso9660::Iso;
use evidence::{FileSystem, MemSource, RawPath, Source, Time};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::facts::{self, Tree};
use support::population::{self, Abilities};
use support::{Random, hostile, open, run, text, tool};

/// What Rock Ridge can hold: everything but extended attributes; dates from 1900 to 2155, names up to 255 bytes.
const ABILITIES: Abilities = Abilities {
    many: 600,
    any_bytes: true,
    unix: true,
    xattr_bytes: 0,
    times: (-(1 << 31), 4_354_819_198),
};

fn mem(bytes: Vec<u8>) -> Arc<dyn Source> {
    Arc::new(MemSource::new(bytes))
}

/// The image one of the two writers makes of a folder.
fn written(directory: &Path, folder: &Path, writer: &str, options: &[&str]) -> Option<PathBuf> {
    let program = tool(writer)?;
    let image = directory.join("image.iso");
    let _ = std::fs::remove_file(&image);
    let mut all = if writer == "xorriso" { vec!["-as", "mkisofs"] } else { Vec::new() };
    all.extend(["-quiet", "-V", "GLOVEBOX"]);
    all.extend(options);
    all.extend(["-o", text(&image), text(folder)]);
    run(&program, &all, "");
    Some(image)
}

/// Makes equal what a disc does not keep, or keeps of its own.
fn comparable(tree: &mut Tree) {
    for facts in tree.values_mut() {
        (facts.node, facts.links) = (0, 0);
        // Reading a file to put it on the disc changes the time of access of the file.
        (facts.accessed, facts.born) = (None, None);
        for time in [&mut facts.modified, &mut facts.changed].into_iter().flatten() {
            *time = Time { seconds: time.seconds, nanoseconds: 0 };
        }
        if facts.kind == FileKind::Directory {
            facts.size_bytes = 0;
        }
        facts.xattrs.clear();
    }
}

/// Vouched for by the folder itself; two independent programs wrote the image, one of them moves deep directories.
#[test]
fn rock_ridge_gives_back_the_folder() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    population::plant(&folder, ABILITIES);
    // xorriso breaks down over components of more than 255 bytes and refuses targets of more than 1024.
    for name in ["long-link", "longest-link"] {
        std::fs::remove_file(folder.join(name)).unwrap();
        let part = format!("/{}", "z".repeat(if name == "long-link" { 3 } else { 248 }));
        std::os::unix::fs::symlink(part.repeat(1000 / part.len()), folder.join(name)).unwrap();
    }
    for (writer, options) in [
        ("xorriso", &["-R", "-iso-level", "3"][..]),
        ("xorriso", &["-R", "-J", "-joliet-long"]),
        ("genisoimage", &["-R"]),
    ] {
        if writer == "genisoimage" {
            // It never ends over the awkward tree; what only it does is to move deep directories.
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::create_dir_all(folder.join("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"))
                .unwrap();
            std::fs::write(folder.join("1/2/3/4/5/6/7/8/9/10/file"), Random(1).bytes(9000))
                .unwrap();
            std::fs::write(folder.join("1/2/3/4/5/6/7/8/other"), Random(2).bytes(3)).unwrap();
            std::fs::write(folder.join("n".repeat(200)), "long").unwrap();
            std::os::unix::fs::symlink("/a/../b/./c", folder.join("link")).unwrap();
        }
        if options.contains(&"-J") {
            // xorriso itself breaks down over Joliet names that are no text.
            let is_text = |entry: &std::fs::DirEntry| entry.file_name().to_str().is_some();
            let all = std::fs::read_dir(&folder).unwrap().map(Result::unwrap);
            all.filter(|entry| !is_text(entry))
                .for_each(|entry| std::fs::remove_file(entry.path()).unwrap());
        }
        let Some(image) = written(directory.path(), &folder, writer, options) else { return };
        let fs = Iso::open(open(&image)).unwrap();
        assert_eq!(fs.problems(), [], "{writer}");
        assert_eq!(fs.label().as_deref(), Some("GLOVEBOX"));
        let details = fs.details(fs.root()).unwrap();
        assert!(details.iter().any(|d| d.name == "tree shown" && d.value == "Rock Ridge"));
        let (mut ours, problems) = facts::ours(&fs);
        assert_eq!(problems, [], "{writer}");
        let mut theirs = facts::kernels(&folder);
        comparable(&mut ours);
        comparable(&mut theirs);
        if writer == "genisoimage" {
            ours.retain(|path, _| path != b"/rr_moved");
        }
        facts::compare(&ours, &theirs, writer);
    }
}

/// Vouched for by the folder itself for Joliet, and by isoinfo for the plain tree.
#[test]
fn joliet_and_plain_names_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir_all(folder.join("a directory/below")).unwrap();
    for name in ["näme with ünicode \u{1f512}", "UPPER.TXT", "a.b.c", "a directory/below/file", "x"]
    {
        std::fs::write(folder.join(name), Random(name.len() as u64).bytes(5000)).unwrap();
    }
    let joliet = &["-J", "-input-charset", "utf-8"];
    let Some(image) = written(directory.path(), &folder, "genisoimage", joliet) else { return };
    let fs = Iso::open(open(&image)).unwrap();
    assert_eq!(fs.problems(), []);
    let details = fs.details(fs.root()).unwrap();
    assert!(details.iter().any(|d| d.name == "tree shown" && d.value == "Joliet"));
    let (mut ours, problems) = facts::ours(&fs);
    assert_eq!(problems, []);
    let mut theirs = facts::kernels(&folder);
    for tree in [&mut ours, &mut theirs] {
        comparable(tree);
        for facts in tree.values_mut() {
            (facts.mode, facts.uid, facts.gid, facts.changed) = (0, 0, 0, None);
        }
    }
    // genisoimage knows no letters beyond sixteen bits.
    let lock = |path: &[u8]| path.starts_with("/näme with".as_bytes());
    let content = |tree: &Tree| {
        tree.iter().find(|(path, _)| lock(path)).map(|(_, facts)| facts.content.clone())
    };
    assert_eq!(content(&ours), content(&theirs));
    ours.retain(|path, _| !lock(path));
    theirs.retain(|path, _| !lock(path));
    facts::compare(&ours, &theirs, "joliet");

    std::fs::remove_file(folder.join("näme with ünicode \u{1f512}")).unwrap();
    let Some(image) = written(directory.path(), &folder, "genisoimage", &[]) else { return };
    let Some(isoinfo) = tool("isoinfo") else { return };
    let fs = Iso::open(open(&image)).unwrap();
    let mut names = Vec::new();
    let limits = Limits::default();
    let problems = tree::walk(&fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
        names.push(visit.path.to_string());
    });
    assert_eq!(problems, []);
    let listed = run(&isoinfo, &["-f", "-i", text(&image)], "");
    let mut theirs: Vec<String> = listed
        .lines()
        .map(|line| line.trim_end_matches(";1").trim_end_matches('.').to_owned())
        .collect();
    names.sort();
    theirs.sort();
    assert_eq!(names, theirs);
}

/// Vouched for by the writer's own option: it leaves a file out of one tree.
#[test]
fn what_only_another_tree_names_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("sub/secret.bin"), Random(1).bytes(5000)).unwrap();
    std::fs::write(folder.join("open"), "open").unwrap();
    let options = &["-R", "-J", "-hide", "secret.bin"];
    let Some(image) = written(directory.path(), &folder, "genisoimage", options) else { return };
    let fs = Iso::open(open(&image)).unwrap();
    assert!(tree::resolve(&fs, b"/sub/secret.bin", LastLink::Keep).is_err());
    let [problem] = fs.problems() else { panic!("{:?}", fs.problems()) };
    assert!(problem.text.starts_with("/sub/secret.bin of 5000 bytes"), "{problem}");
    let evidence::Place::Node(node) = problem.place else { panic!("{problem}") };
    let (content, whole) = (&fs as &dyn FileSystem).read_head(node, 1 << 20).unwrap();
    assert!(whole && content == Random(1).bytes(5000));
}

/// Vouched for by xorriso's own report of what it wrote.
#[test]
fn boot_images_and_sessions_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("boot.img"), Random(2).bytes(8192)).unwrap();
    let options =
        &["-R", "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4", "-c", "boot.cat"];
    let Some(image) = written(directory.path(), &folder, "xorriso", options) else { return };
    let fs = Iso::open(open(&image)).unwrap();
    let details = fs.details(fs.root()).unwrap();
    let boot = details.iter().find(|detail| detail.name == "boot image").unwrap();
    let node = tree::resolve(&fs, b"/boot.img", LastLink::Keep).unwrap();
    let Stored::At(at) = fs.extents(node).unwrap()[0].stored else { panic!() };
    let block = at / 2048;
    let expected =
        format!("BIOS, no emulation, bootable, block {block}, 4 sectors of 512 bytes loaded");
    assert_eq!(boot.value, expected);
    let report =
        run(&tool("xorriso").unwrap(), &["-indev", text(&image), "-report_el_torito", "plain"], "");
    assert!(report.lines().any(|line| line.starts_with("El Torito boot img")
        && line.split_whitespace().last() == Some(&block.to_string())));

    // A second image behind the first, as a further session begins.
    let mut bytes = std::fs::read(&image).unwrap();
    let second = bytes[32_768..].to_vec();
    bytes.extend(second);
    let fs = Iso::open(mem(bytes)).unwrap();
    assert!(fs.details(fs.root()).unwrap().iter().any(|detail| detail.name == "later session"));
}

/// Only us: records are changed by hand, after ECMA-119.
#[test]
fn sections_are_joined_and_contradictions_told() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("FILEA"), Random(1).bytes(4096)).unwrap();
    std::fs::write(folder.join("FILEB"), Random(2).bytes(3000)).unwrap();
    let Some(image) = written(directory.path(), &folder, "genisoimage", &[]) else { return };
    let good = std::fs::read(&image).unwrap();
    let fs = Iso::open(mem(good.clone())).unwrap();
    let of = |name: &str| tree::resolve(&fs, name.as_bytes(), LastLink::Keep).unwrap();
    let (a, b) = (of("/FILEA"), of("/FILEB"));

    let mut bytes = good.clone();
    bytes[a as usize + 25] |= 0x80;
    bytes[b as usize + 37] = b'A';
    let fs = Iso::open(mem(bytes)).unwrap();
    assert_eq!(fs.read_dir(fs.root()).unwrap().entries.len(), 1);
    let (content, _) = (&fs as &dyn FileSystem).read_head(a, 1 << 20).unwrap();
    assert_eq!(content, [Random(1).bytes(4096), Random(2).bytes(3000)].concat());
    assert_eq!(fs.extents(a).unwrap().len(), 2);
    let mut part = [0; 100];
    assert_eq!(fs.read_at(a, 4090, &mut part).unwrap(), 100);
    assert_eq!(part[..6], content[4090..4096]);
    assert_eq!(part[6..], content[4096..4190]);

    let mut bytes = good.clone();
    bytes[a as usize + 25] |= 0x80;
    let fs = Iso::open(mem(bytes)).unwrap();
    assert!(fs.read_at(a, 0, &mut part).unwrap_err().to_string().contains("another name"));

    let mut bytes = good.clone();
    bytes[a as usize + 17] ^= 1;
    let fs = Iso::open(mem(bytes)).unwrap();
    let problems = fs.read_dir(fs.root()).unwrap().problems;
    assert!(problems[0].text.contains("byte order"), "{problems:?}");

    let mut bytes = good.clone();
    bytes[a as usize + 26] = 1;
    let fs = Iso::open(mem(bytes)).unwrap();
    let error = fs.read_at(a, 0, &mut part).unwrap_err();
    assert_eq!(error.kind(), evidence::ProblemKind::Unsupported);

    let mut bytes = good.clone();
    bytes[a as usize + 33] = b'/';
    let fs = Iso::open(mem(bytes)).unwrap();
    let listing = fs.read_dir(fs.root()).unwrap();
    assert_eq!(listing.entries[0].name.0, b"_ILEA");
    assert!(listing.problems[0].text.contains("change its path"));
}

/// Vouched for by the project that published the image, through isoinfo.
#[test]
fn published_image_agrees_with_isoinfo() {
    let image =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/plaso/iso9660.raw");
    if !image.exists() {
        eprintln!("skipped: no ../shared/testdata");
        return;
    }
    let Some(isoinfo) = tool("isoinfo") else { return };
    let fs = Iso::open(open(&image)).unwrap();
    assert_eq!(fs.problems(), []);
    let (ours, problems) = facts::ours(&fs);
    assert_eq!(problems, []);
    let listed = run(&isoinfo, &["-R", "-f", "-i", text(&image)], "");
    // Without Rock Ridge, isoinfo shows version and empty extension, which we do not (ECMA-119, 7.5).
    let mut theirs: Vec<&[u8]> = listed
        .lines()
        .map(|line| line.strip_suffix(";1").unwrap_or(line))
        .map(|line| line.strip_suffix('.').unwrap_or(line).as_bytes())
        .collect();
    theirs.sort();
    assert_eq!(ours.keys().map(Vec::as_slice).collect::<Vec<_>>(), theirs);
}

#[test]
fn mutated_images_never_panic_or_hang() {
    support::bounded::bounded("ISO 9660", || {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir_all(folder.join("1/2/3/4/5/6/7/8/9/10")).unwrap();
        std::fs::write(folder.join("1/2/3/4/5/6/7/8/9/10/file"), Random(1).bytes(9000)).unwrap();
        std::fs::write(folder.join("n".repeat(250)), "long").unwrap();
        std::os::unix::fs::symlink("x/".repeat(300), folder.join("link")).unwrap();
        for (writer, options, rounds) in [
            ("xorriso", &["-R", "-J", "-joliet-long", "-b", "boot", "-no-emul-boot"][..], 150),
            ("genisoimage", &["-R"], 150),
            ("genisoimage", &["-J", "-iso-level", "4"], 100),
        ] {
            std::fs::write(folder.join("boot"), Random(2).bytes(2048)).unwrap();
            let Some(image) = written(directory.path(), &folder, writer, options) else { return };
            let bytes = std::fs::read(&image).unwrap();
            let open = |source| evidence::iso9660::open(source, Default::default());
            hostile::mutate(&bytes, rounds, 9, &open);
        }
    });
}
