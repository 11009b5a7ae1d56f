//! Everything two readers of one tree can be compared by.
//!
//! [`ours`] walks with our reader, [`kernels`] with the running kernel; [`compare`] names the first differences.

use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileKind, FileSystem, RawPath};
use evidence::{Problem, Time};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What is compared about one object; a field that one side does not tell is made equal before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) node: u64,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<Time>,
    pub(crate) accessed: Option<Time>,
    pub(crate) changed: Option<Time>,
    pub(crate) born: Option<Time>,
    pub(crate) device: Option<(u32, u32)>,
    /// SHA-256 of the content, or the target of a link, in hexadecimal or as text.
    pub(crate) content: String,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A tree by its paths (`/a/b`), without its root.
pub(crate) type Tree = BTreeMap<Vec<u8>, Facts>;

/// The tree as our reader shows it, and the problems of the walk.
pub(crate) fn ours(fs: &dyn FileSystem) -> (Tree, Vec<Problem>) {
    let mut out = Tree::new();
    let problems =
        tree::walk(fs, fs.root(), &RawPath::from("/"), Limits::default(), &mut |visit| {
            let m = &visit.metadata;
            let shown = visit.path.to_string();
            let content = match m.kind {
                FileKind::File => digest(fs, m.node, m.size_bytes, &shown),
                FileKind::Symlink => match fs.read_link(m.node) {
                    Ok(target) => evidence::escape_bytes(&target.0),
                    Err(error) => panic!("{shown}: {error}"),
                },
                _ => String::new(),
            };
            let xattrs = fs.xattrs(m.node).unwrap_or_else(|error| panic!("{shown}: {error}"));
            let facts = Facts {
                kind: m.kind,
                mode: m.mode,
                uid: m.uid,
                gid: m.gid,
                links: m.links,
                node: m.node,
                size_bytes: m.size_bytes,
                modified: m.modified,
                accessed: m.accessed,
                changed: m.changed,
                born: m.born,
                device: m.device,
                content,
                xattrs: xattrs.into_iter().map(|x| (x.name.0, x.value)).collect(),
            };
            out.insert(visit.path.0, facts);
        });
    (out, problems)
}

/// SHA-256 of a file, read in pieces that fit no block size.
fn digest(fs: &dyn FileSystem, node: u64, size_bytes: u64, shown: &str) -> String {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1_000_003];
    let mut offset = 0;
    while offset < size_bytes {
        let got = match fs.read_at(node, offset, &mut buf) {
            Ok(got) => got,
            Err(error) => panic!("{shown} at {offset}: {error}"),
        };
        assert_ne!(got, 0, "{shown} ends at {offset} of {size_bytes}");
        hash.update(&buf[..got]);
        offset += got as u64;
    }
    assert_eq!(offset, size_bytes, "{shown}");
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree as the kernel shows it below `root`.
pub(crate) fn kernels(root: &Path) -> Tree {
    let mut out = Tree::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let m = std::fs::symlink_metadata(&path).unwrap();
            let kind = kind_of(m.file_type());
            if kind == FileKind::Directory {
                pending.push(path.clone());
            }
            let content = match kind {
                FileKind::File => hex(&Sha256::digest(std::fs::read(&path).unwrap())),
                FileKind::Symlink => {
                    let target = std::fs::read_link(&path).unwrap();
                    evidence::escape_bytes(target.as_os_str().as_bytes())
                }
                _ => String::new(),
            };
            let time = |seconds: i64, nanoseconds: i64| {
                Some(Time { seconds, nanoseconds: nanoseconds as u32 })
            };
            let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
            let facts = Facts {
                kind,
                mode: m.mode() & 0o7777,
                uid: m.uid(),
                gid: m.gid(),
                links: m.nlink() as u32,
                node: m.ino(),
                size_bytes: m.size(),
                modified: time(m.mtime(), m.mtime_nsec()),
                accessed: time(m.atime(), m.atime_nsec()),
                changed: time(m.ctime(), m.ctime_nsec()),
                born: born(&path),
                device: is_device
                    .then(|| (rustix::fs::major(m.rdev()), rustix::fs::minor(m.rdev()))),
                content,
                xattrs: xattrs(&path),
            };
            let name = [b"/", path.strip_prefix(root).unwrap().as_os_str().as_bytes()].concat();
            out.insert(name, facts);
        }
    }
    out
}

fn kind_of(kind: std::fs::FileType) -> FileKind {
    if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_file() {
        FileKind::File
    } else if kind.is_block_device() {
        FileKind::BlockDevice
    } else if kind.is_char_device() {
        FileKind::CharDevice
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Socket
    }
}

/// The time of creation by statx(2), where the file system tells.
fn born(path: &Path) -> Option<Time> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME).unwrap();
    let has = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    has.then_some(Time { seconds: found.stx_btime.tv_sec, nanoseconds: found.stx_btime.tv_nsec })
}

/// All attributes the kernel lists, sorted by name.
fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 1 << 16];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else { return Vec::new() };
    let mut out: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let text = std::str::from_utf8(name).unwrap();
            let length = rustix::fs::lgetxattr(path, text, &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect();
    out.sort();
    out
}

/// Fails with the first differences, if there are any.
pub(crate) fn compare(ours: &Tree, theirs: &Tree, what: &str) {
    let mut differences = Vec::new();
    for path in theirs.keys().filter(|path| !ours.contains_key(*path)) {
        differences.push(format!("{} is missing", evidence::escape_bytes(path)));
    }
    for path in ours.keys().filter(|path| !theirs.contains_key(*path)) {
        differences.push(format!("{} is too much", evidence::escape_bytes(path)));
    }
    for (path, facts) in theirs {
        if let Some(our) = ours.get(path).filter(|our| *our != facts) {
            differences.push(format!(
                "{}:\n  ours   {our:?}\n  theirs {facts:?}",
                evidence::escape_bytes(path)
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "{what}: {} differences, the first:\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    );
}
