//! A plain directory somebody opened for us, shown as a file system: an examined root mounted elsewhere, an unpacked
//! collection, or the machine's own.
//!
//! Nothing is opened but beneath that directory (`openat2` with `RESOLVE_BENEATH` and without links), read-only, and only
//! regular files and directories: opening a device or a pipe could do something. Access times are left alone where the
//! system lets us. The tree may be changing: what vanishes or is replaced meanwhile is an error of that object alone.
//!
//! Nodes are inode numbers; an object of another device gets a number above 2^63. What a node means is its parent and
//! name, as seen when its directory was read, checked by device and inode when it is opened again.

use crate::bytes::to_u64;
use crate::error::EvidenceError;
use crate::fs::{
    Attribute, Attributes, Entry, FileKind, FileSystem, Listing, Metadata, Node, RawPath, Xattr,
};
use crate::kept::Recent;
use crate::problem::{Place, Problem, ProblemKind};
use crate::time::Time;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp,
    fgetxattr, flistxattr, openat2, readlinkat, statx,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether other file systems mounted below are entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounts {
    /// They are shown, but not entered.
    #[default]
    Stay,
    /// They belong to the tree.
    Cross,
}

/// Names of one directory read.
const MAX_NAMES: usize = 4_000_000;
/// Problems recorded for one directory.
const MAX_PROBLEMS: usize = 64;
/// Path bytes handed to the system at once; its own limit is 4096.
const MAX_STEP_BYTES: usize = 3500;
/// Directories between the root and an object.
const MAX_DEPTH: usize = 4096;
/// What the system lets an attribute, or the list of their names, be.
const MAX_XATTR_BYTES: usize = 64 * 1024;
/// Records kept between a directory's reading and the question for its entries.
const MAX_FRESH: usize = 1 << 16;
/// Nodes of other devices count from here.
const FOREIGN: Node = 1 << 63;

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// The marks of `stx_attributes`.
const ATTRIBUTES: [(u32, Attribute); 6] = [
    (0x4, Attribute::Compressed),
    (0x10, Attribute::Immutable),
    (0x20, Attribute::AppendOnly),
    (0x40, Attribute::NoDump),
    (0x800, Attribute::Encrypted),
    (0x10_0000, Attribute::Verity),
];

/// A directory opened for reading.
pub struct Directory {
    root: OwnedFd,
    root_node: Node,
    root_device: Device,
    mounts: Mounts,
    known: Mutex<Known>,
    files: Recent<Arc<File>>,
}

type Device = (u32, u32);
type Names = Vec<Box<[u8]>>;
/// Asks for the value of an attribute.
type ValueOf<'a> = &'a dyn Fn(&std::ffi::OsStr, &mut [u8]) -> Result<usize, Errno>;

/// What has been seen so far.
#[derive(Default)]
struct Known {
    places: HashMap<Node, Seen>,
    foreign: HashMap<(Device, u64), Node>,
    fresh: HashMap<Node, Metadata>,
}

/// Where an object was seen.
#[derive(Clone)]
struct Seen {
    parent: Node,
    name: Box<[u8]>,
    device: Device,
    inode: u64,
}

fn system(what: String) -> impl FnOnce(Errno) -> EvidenceError {
    move |error| EvidenceError::System { what, source: error.into() }
}

impl Directory {
    /// Shows the directory behind a descriptor that somebody else opened.
    ///
    /// # Errors
    /// When it is no directory, or the system does not tell about it.
    pub fn new(root: OwnedFd, mounts: Mounts) -> Result<Self, EvidenceError> {
        let found = statx(&root, "", AtFlags::EMPTY_PATH, WANTED)
            .map_err(system("the directory handed over".into()))?;
        if FileType::from_raw_mode(u32::from(found.stx_mode)) != FileType::Directory {
            return Err(EvidenceError::refused("what was handed over is not a directory"));
        }
        Ok(Self {
            root,
            root_node: found.stx_ino,
            root_device: device(&found),
            mounts,
            known: Mutex::default(),
            files: Recent::new(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names from the root to the node, in order.
    fn names(&self, node: Node) -> Result<(Names, Option<Seen>), EvidenceError> {
        let known = self.known();
        let unknown =
            || EvidenceError::refused(format!("node {node} was not seen in any directory"));
        let mut names = Vec::new();
        let mut here = node;
        let mut last = None;
        while here != self.root_node {
            let seen = known.places.get(&here).ok_or_else(unknown)?;
            last = last.or_else(|| Some(seen.clone()));
            names.push(seen.name.clone());
            here = seen.parent;
            if names.len() > MAX_DEPTH {
                return Err(EvidenceError::refused(format!(
                    "node {node} lies more than {MAX_DEPTH} deep"
                )));
            }
        }
        names.reverse();
        Ok((names, last))
    }

    /// Opens a node with these flags, and makes sure it is still the same object.
    fn open(&self, node: Node, flags: OFlags) -> Result<(OwnedFd, Statx, String), EvidenceError> {
        let (names, seen) = self.names(node)?;
        let whole: Vec<u8> = names.join(&b"/"[..]);
        let shown = if whole.is_empty() { "/".to_owned() } else { crate::escape_bytes(&whole) };
        let mut from: Option<OwnedFd> = None;
        let mut step: Vec<u8> = Vec::new();
        let mut left = names.iter().peekable();
        while let Some(name) = left.next() {
            if !step.is_empty() {
                step.push(b'/');
            }
            step.extend_from_slice(name);
            // A deep path is walked in pieces, each below the one before.
            let next = left.peek().map_or(0, |next| next.len());
            if left.peek().is_some() && step.len().saturating_add(next) > MAX_STEP_BYTES {
                let over = OFlags::PATH | OFlags::DIRECTORY;
                from =
                    Some(self.beneath(from.as_ref(), &step, over).map_err(system(shown.clone()))?);
                step.clear();
            }
        }
        let path = if step.is_empty() { &b"."[..] } else { &step };
        let opened = self.beneath(from.as_ref(), path, flags);
        let opened = match opened {
            // Only the owner may leave the access time alone.
            Err(Errno::PERM) if flags.contains(OFlags::NOATIME) => {
                self.beneath(from.as_ref(), path, flags.difference(OFlags::NOATIME))
            }
            other => other,
        };
        let opened = opened.map_err(|error| match error {
            Errno::XDEV => EvidenceError::refused(format!(
                "{shown} lies on another file system, which is not entered"
            )),
            other => system(shown.clone())(other),
        })?;
        let found =
            statx(&opened, "", AtFlags::EMPTY_PATH, WANTED).map_err(system(shown.clone()))?;
        if seen.is_some_and(|seen| (seen.device, seen.inode) != (device(&found), found.stx_ino)) {
            return Err(EvidenceError::refused(format!(
                "{shown} was replaced while it was examined"
            )));
        }
        Ok((opened, found, shown))
    }

    fn beneath(
        &self,
        from: Option<&OwnedFd>,
        path: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let from = from.unwrap_or(&self.root).as_fd();
        let mut resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if self.mounts == Mounts::Stay {
            resolve |= ResolveFlags::NO_XDEV;
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // A rename elsewhere makes the system ask for another try.
        for _ in 0..16 {
            match openat2(from, std::ffi::OsStr::from_bytes(path), flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// A regular file or directory opened for reading its content; never anything else.
    fn readable(&self, node: Node, kind: FileKind) -> Result<(OwnedFd, String), EvidenceError> {
        let (_, found, shown) = self.open(node, OFlags::PATH)?;
        if kind_of(&found) != kind {
            return Err(EvidenceError::refused(format!("{shown} is not a {kind:?}")));
        }
        let reading = OFlags::RDONLY | OFlags::NOATIME | OFlags::NONBLOCK | OFlags::NOCTTY;
        let (opened, found, shown) = self.open(node, reading)?;
        if kind_of(&found) != kind {
            return Err(EvidenceError::refused(format!("{shown} is not a {kind:?} any more")));
        }
        Ok((opened, shown))
    }

    /// The node of an object just seen.
    fn note(&self, parent: Node, name: &[u8], found: &Statx) -> Node {
        let device = device(found);
        let mut known = self.known();
        let node = if device == self.root_device && found.stx_ino < FOREIGN {
            found.stx_ino
        } else {
            let next = FOREIGN.saturating_add(to_u64(known.foreign.len()));
            *known.foreign.entry((device, found.stx_ino)).or_insert(next)
        };
        // The first name seen stays unless the inode has become another object.
        let seen = Seen { parent, name: name.into(), device, inode: found.stx_ino };
        if node != self.root_node {
            known.places.entry(node).or_insert(seen);
        }
        if known.fresh.len() >= MAX_FRESH {
            known.fresh.clear();
        }
        known.fresh.insert(node, metadata(node, found));
        node
    }

    fn foreign_mount(&self, found: &Statx) -> bool {
        self.mounts == Mounts::Stay && device(found) != self.root_device
    }
}

fn device(found: &Statx) -> Device {
    (found.stx_dev_major, found.stx_dev_minor)
}

fn kind_of(found: &Statx) -> FileKind {
    match FileType::from_raw_mode(u32::from(found.stx_mode)) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        _ => FileKind::Unknown,
    }
}

fn metadata(node: Node, found: &Statx) -> Metadata {
    let kind = kind_of(found);
    let time = |flag: StatxFlags, at: &StatxTimestamp| {
        let is_told = found.stx_mask & flag.bits() != 0;
        is_told.then_some(Time { seconds: at.tv_sec, nanoseconds: at.tv_nsec })
    };
    let marks = u32::try_from(found.stx_attributes.bits() & 0xffff_ffff).unwrap_or(0);
    let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
    Metadata {
        node,
        kind,
        mode: u32::from(found.stx_mode & 0o7777),
        uid: found.stx_uid,
        gid: found.stx_gid,
        links: found.stx_nlink,
        size_bytes: found.stx_size,
        accessed: time(StatxFlags::ATIME, &found.stx_atime),
        modified: time(StatxFlags::MTIME, &found.stx_mtime),
        changed: time(StatxFlags::CTIME, &found.stx_ctime),
        born: time(StatxFlags::BTIME, &found.stx_btime),
        generation: None,
        attributes: Attributes::from_flags(marks, &ATTRIBUTES),
        device: is_device.then_some((found.stx_rdev_major, found.stx_rdev_minor)),
    }
}

impl FileSystem for Directory {
    fn kind(&self) -> &'static str {
        "directory"
    }

    fn label(&self) -> Option<String> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn problems(&self) -> &[Problem] {
        &[]
    }

    fn root(&self) -> Node {
        self.root_node
    }

    /// What was recorded when the directory was read, the first time; then what is recorded now.
    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        if let Some(fresh) = self.known().fresh.remove(&node) {
            return Ok(fresh);
        }
        let (_, found, _) = self.open(node, OFlags::PATH)?;
        Ok(metadata(node, &found))
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let (opened, shown) = self.readable(node, FileKind::Directory)?;
        let mut listing = Listing::default();
        let (names, _) = self.names(node)?;
        let path = names.iter().fold(RawPath::from("/"), |path, name| path.join(name));
        let directory = Dir::read_from(&opened).map_err(system(shown.clone()))?;
        for entry in directory {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let error = system(shown.clone())(error);
                    listing.problems.push(error.to_problem(Place::Path(path.clone())));
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if listing.entries.len() >= MAX_NAMES || listing.problems.len() >= MAX_PROBLEMS {
                let text = format!(
                    "more than {MAX_NAMES} names or {MAX_PROBLEMS} problems; the rest was left"
                );
                listing.problems.push(Problem::new(ProblemKind::Refused, Place::Path(path), text));
                break;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            match statx(&opened, entry.file_name(), flags, WANTED) {
                Ok(found) => {
                    if self.foreign_mount(&found) {
                        let text = "another file system is mounted here, which is not entered";
                        let place = Place::Path(path.join(name));
                        listing.problems.push(Problem::new(ProblemKind::Refused, place, text));
                    }
                    let node = self.note(node, name, &found);
                    listing.entries.push(Entry { name: RawPath(name.to_vec()), node });
                }
                Err(error) => {
                    // In a tree that lives, a name may go between its listing and the question for it.
                    let error = system(crate::escape_bytes(name))(error);
                    listing.problems.push(error.to_problem(Place::Path(path.join(name))));
                }
            }
        }
        Ok(listing)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let (opened, found, shown) = self.open(node, OFlags::PATH)?;
        if kind_of(&found) != FileKind::Symlink {
            return Err(EvidenceError::refused(format!("{shown} is not a symbolic link")));
        }
        let target = readlinkat(&opened, "", Vec::new()).map_err(system(shown))?;
        Ok(RawPath(target.into_bytes()))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let file = match self.files.find(node) {
            Some(file) => file,
            None => {
                let (opened, _) = self.readable(node, FileKind::File)?;
                let file = Arc::new(File::from(opened));
                self.files.keep(node, Arc::clone(&file));
                file
            }
        };
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset_bytes.saturating_add(to_u64(done))) {
                Ok(0) => break,
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let what = format!("node {node} at byte {offset_bytes}");
                    return Err(EvidenceError::System { what, source });
                }
            }
        }
        Ok(done)
    }

    /// Of files and directories by their descriptor; of others by the one the system keeps for them below `/proc`.
    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let (opened, found, shown) = self.open(node, OFlags::PATH)?;
        let kind = kind_of(&found);
        if !matches!(kind, FileKind::File | FileKind::Directory) {
            return special_xattrs(&opened, &shown);
        }
        drop(opened);
        let (opened, shown) = self.readable(node, kind)?;
        let mut names = vec![0; MAX_XATTR_BYTES];
        let length = match flistxattr(&opened, &mut names[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(error) => return Err(system(format!("the attributes of {shown}"))(error)),
        };
        collect(&names, length, &shown, &|name, value| fgetxattr(&opened, name, value))
    }
}

/// Attributes of what must not be opened.
fn special_xattrs(opened: &OwnedFd, shown: &str) -> Result<Vec<Xattr>, EvidenceError> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let mut names = vec![0; MAX_XATTR_BYTES];
    let length = match rustix::fs::listxattr(&*path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(system(format!("the attributes of {shown}"))(error)),
    };
    collect(&names, length, shown, &|name, value| rustix::fs::getxattr(&*path, name, value))
}

fn collect(
    names: &[u8],
    length: usize,
    shown: &str,
    value_of: ValueOf<'_>,
) -> Result<Vec<Xattr>, EvidenceError> {
    let mut out = Vec::new();
    let mut value = vec![0; MAX_XATTR_BYTES];
    for name in names.get(..length).unwrap_or(&[]).split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        match value_of(std::ffi::OsStr::from_bytes(name), &mut value) {
            Ok(count) => {
                let value = value.get(..count).unwrap_or(&[]).to_vec();
                out.push(Xattr { name: RawPath(name.to_vec()), value });
            }
            // It was removed meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => {
                let name = crate::escape_bytes(name);
                return Err(system(format!("the attribute {name} of {shown}"))(error));
            }
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}
