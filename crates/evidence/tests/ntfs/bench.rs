//! Volumes made and mounted by ntfs-3g, and both readers' facts made comparable.

use super::support::facts::{self, Tree};
use super::support::population::{self, Abilities};
use super::support::{Random, blank, run, text, tool, unmount};
use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileKind, FileSystem};
use evidence::ntfs::Ntfs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What ntfs-3g can store; times as far as both it and the kernel carry them.
pub(crate) const ABILITIES: Abilities = Abilities {
    many: 3000,
    any_bytes: false,
    unix: false,
    xattr_bytes: 0,
    times: (-11_000_000_000, 200_000_000_000),
};

/// A volume mounted by ntfs-3g; unmounted when dropped.
pub(crate) struct Mounted {
    directory: tempfile::TempDir,
}

impl Mounted {
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(unmount(self.directory.path()) || std::thread::panicking());
    }
}

/// A volume of `size` bytes made with `options`, mounted for writing.
pub(crate) fn volume(directory: &Path, size: u64, options: &[&str]) -> Option<(PathBuf, Mounted)> {
    let mkntfs = tool("mkntfs")?;
    let image = blank(directory, "image", size);
    let mut all = vec!["-q", "-F", "-f", "-L", "Label \u{e4}"];
    all.extend(options);
    all.push(text(&image));
    run(&mkntfs, &all, "");
    let mounted = mount(&image, "compression")?;
    Some((image, mounted))
}

pub(crate) fn mount(image: &Path, options: &str) -> Option<Mounted> {
    let ntfs_3g = tool("ntfs-3g")?;
    let directory = tempfile::tempdir().unwrap();
    let out = Command::new(ntfs_3g)
        .args(["-o", options])
        .args([image, directory.path()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        let is_able = Path::new("/dev/fuse").exists() && rustix::process::geteuid().is_root();
        assert!(!is_able, "ntfs-3g does not mount: {why}");
        eprintln!("skipped: ntfs-3g: {why}");
        return None;
    }
    Some(Mounted { directory })
}

pub(crate) fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty())
        .unwrap_or_else(|error| panic!("{name} of {}: {error}", path.display()));
}

/// Our tree in the terms of ntfs-3g: no owners, numbers without sequence, streams as `user.` attributes.
pub(crate) fn ours(fs: &Ntfs) -> Tree {
    let (mut tree, problems) = facts::ours(fs);
    assert_eq!(problems, []);
    // ntfs-3g hides the system's own files.
    tree.retain(|path, facts| {
        facts.node & 0xffff_ffff_ffff >= 16 && !path.starts_with(b"/$Extend/")
    });
    for facts in tree.values_mut() {
        let mut found = std::mem::take(&mut facts.xattrs);
        for stream in fs.streams(facts.node).unwrap() {
            let mut value = vec![0; stream.size_bytes as usize];
            assert_eq!(
                fs.read_stream_at(facts.node, &stream.name.0, 0, &mut value).unwrap(),
                value.len()
            );
            found.push(([b"user.", &stream.name.0[..]].concat(), value));
        }
        found.sort();
        facts.xattrs = found;
        // ntfs-3g counts DOS names as links, which we do not: they only repeat a name.
        let details = fs.details(facts.node).unwrap();
        let dos =
            |d: &&evidence::fs::Detail| d.name == "$FILE_NAME" && d.value.contains(" (DOS) in ");
        facts.links += details.iter().filter(dos).count() as u32;
        facts.node &= 0xffff_ffff_ffff;
        // Before 1970 it rounds fractions of a second towards 1970 and drops them.
        for time in [&mut facts.modified, &mut facts.accessed, &mut facts.changed] {
            if let Some(time) = time.as_mut().filter(|t| t.seconds < 0 && t.nanoseconds != 0) {
                *time = evidence::Time { seconds: time.seconds + 1, nanoseconds: 0 };
            }
        }
        common(facts);
    }
    tree
}

pub(crate) fn theirs(root: &Path) -> Tree {
    let mut tree = facts::kernels(root);
    tree.values_mut().for_each(common);
    tree
}

pub(crate) fn common(facts: &mut facts::Facts) {
    (facts.mode, facts.uid, facts.gid, facts.born) = (0, 0, 0, None);
    if facts.kind == FileKind::Directory {
        (facts.size_bytes, facts.links) = (0, 1);
    }
}

pub(crate) fn node(fs: &Ntfs, path: &str) -> u64 {
    tree::resolve(fs, path.as_bytes(), LastLink::Keep).unwrap()
}

/// Everything NTFS adds: streams, DOS names, compression, many links, odd names.
pub(crate) fn plant(mounted: &Mounted, many: usize) {
    population::plant(mounted.root(), Abilities { many, ..ABILITIES });
    let streams = mounted.at("streams");
    std::fs::write(&streams, "main").unwrap();
    set(&streams, "user.small", b"value");
    set(&streams, "user.large", &Random(9).bytes(50_000));
    set(&streams, "user.n\u{e4}me with space", b"");
    let directory = mounted.at("directory with stream");
    std::fs::create_dir(&directory).unwrap();
    set(&directory, "user.Zone.Identifier", b"[ZoneTransfer]");
    for (name, short) in
        [("a long name of a file.text", "ALONGN~1.TEX"), ("other.longtext", "OTHER~1.LON")]
    {
        std::fs::write(mounted.at(name), name).unwrap();
        set(&mounted.at(name), "system.ntfs_dos_name", short.as_bytes());
    }
    for name in ["Case", "case", "con", "ends with dot.", "ends with blank ", "colon:and\\back?"] {
        std::fs::write(mounted.at(name), name).unwrap();
    }
    std::fs::write(mounted.at(&"\u{1f512}".repeat(60)), "locks").unwrap();
    std::fs::create_dir(mounted.at("links")).unwrap();
    for index in 0..200 {
        let link = mounted.at(&format!("links/{index:03}-{}", "long name ".repeat(15).trim()));
        std::fs::hard_link(mounted.at("tiny"), link).unwrap();
    }
    std::os::unix::fs::symlink("tiny", mounted.at("interix link")).unwrap();
    let packed = mounted.at("packed");
    std::fs::create_dir(&packed).unwrap();
    set(&packed, "system.ntfs_attrib_be", &[0, 0, 8, 0]);
    let mixed: Vec<u8> = (0..40_u64)
        .flat_map(|piece| match piece % 4 {
            0 => Random(piece + 1).bytes(30_000),
            1 => vec![0; 100_000],
            _ => b"compressible text, again and again. ".repeat(1000),
        })
        .collect();
    std::fs::write(packed.join("mixed"), &mixed).unwrap();
    std::fs::write(packed.join("text"), "the same line again\n".repeat(70_000)).unwrap();
    std::fs::write(packed.join("noise"), Random(5).bytes(400_000)).unwrap();
    std::fs::write(packed.join("tiny"), "tiny").unwrap();
    let holes = std::fs::File::create(packed.join("holes")).unwrap();
    for offset in [0_u64, 200_000, 1_000_000] {
        std::os::unix::fs::FileExt::write_at(&holes, &b"x".repeat(70_000), offset).unwrap();
    }
}
