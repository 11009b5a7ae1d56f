//! Reading a host without leaving a trace: pseudo files as they are, real files without a time of access, bounded.
//!
//! A new instance of procfs, mounted nowhere, shows processes as the kernel knows them even where somebody mounted something
//! over `/proc/PID`. It is made by fsopen(2) and lives as long as a descriptor of ours: no mount of the host changes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Largest pseudo file that is read, in bytes.
const PSEUDO_BYTES_AT_MOST: usize = 16 << 20;

/// Where a host's state is read from.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    proc: PathBuf,
    sys: PathBuf,
    tracing: Option<PathBuf>,
    /// Instances of our own, kept open.
    own: Vec<OwnedFd>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The running machine, through a procfs of our own.
    Running,
    /// The running machine, through its own `/proc`.
    RunningAsShown,
    /// A folder that looks like one.
    Folder,
}

impl Host {
    /// The machine this runs on.
    #[must_use]
    pub fn running() -> Self {
        let mut host = Self {
            root: PathBuf::from("/"),
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            tracing: None,
            own: Vec::new(),
            kind: Kind::RunningAsShown,
        };
        if let Ok(own) = own_instance("proc") {
            let path = PathBuf::from(format!("/proc/self/fd/{}", own.as_raw_fd()));
            // One that does not show ourselves is of no use.
            if path.join("self/stat").exists() {
                host.proc = path;
                host.own.push(own);
                host.kind = Kind::Running;
            }
        }
        // Asked for only if the kernel has it: else it would start modprobe to look for it.
        let known = host.pseudo_text(Path::new("/proc/filesystems"));
        let known = known.lines().any(|line| line.split_whitespace().last() == Some("tracefs"));
        if let Some(own) = known.then(|| own_instance("tracefs").ok()).flatten() {
            host.tracing = Some(PathBuf::from(format!("/proc/self/fd/{}", own.as_raw_fd())));
            host.own.push(own);
        }
        host
    }

    /// A folder with the `proc`, `sys` and files of a host: what asks the kernel directly is left out.
    #[must_use]
    pub fn folder(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            proc: root.join("proc"),
            sys: root.join("sys"),
            tracing: Some(root.join("sys/kernel/tracing")),
            own: Vec::new(),
            kind: Kind::Folder,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.kind != Kind::Folder
    }

    /// How processes are seen, in words for the coverage.
    pub(crate) fn view(&self) -> &'static str {
        match self.kind {
            Kind::Running => "a new instance of procfs",
            Kind::RunningAsShown => "the host's own /proc",
            Kind::Folder => "a folder",
        }
    }

    /// A name below the procfs that processes are read from.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        self.proc.join(name)
    }

    /// A name below `/proc` as the host's own programs see it.
    pub(crate) fn shown_proc(&self, name: &str) -> PathBuf {
        self.root.join("proc").join(name)
    }

    pub(crate) fn sys(&self, name: &str) -> PathBuf {
        self.sys.join(name)
    }

    pub(crate) fn tracing(&self, name: &str) -> Option<PathBuf> {
        Some(self.tracing.as_ref()?.join(name))
    }

    /// An absolute path of the host.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A pseudo file, of which nothing remembers that it was read.
    pub(crate) fn pseudo(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.pseudo_up_to(path, PSEUDO_BYTES_AT_MOST)
    }

    pub(crate) fn pseudo_up_to(&self, path: &Path, most_bytes: usize) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
        let mut bytes = Vec::new();
        let most = u64::try_from(most_bytes).unwrap_or(u64::MAX);
        match file.take(most).read_to_end(&mut bytes) {
            // What was given before a process ended is worth having.
            Err(_) if !bytes.is_empty() => Ok(bytes),
            Err(error) => Err(error),
            Ok(_) => Ok(bytes),
        }
    }

    /// The text of a small pseudo file without the blank at its end; empty if there is none.
    pub(crate) fn pseudo_text(&self, path: &Path) -> String {
        let bytes = self.pseudo(path).unwrap_or_default();
        String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
    }

    /// Opens a regular file without leaving a time of access.
    ///
    /// # Errors
    /// If it is no regular file, or the kernel does not let us read it without a trace.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        // Looked at before it is opened: opening a device can act.
        let found = rustix::fs::statat(CWD, path, rustix::fs::AtFlags::empty())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = if self.is_running() { flags | OFlags::NOATIME } else { flags };
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::PERM) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it cannot be read without changing its time of access",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The beginning of a regular file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn file(&self, path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(most_bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Names in a folder, sorted; at most so many. Its time of access stays as it is.
    ///
    /// # Errors
    /// If it cannot be listed, or not without a trace.
    pub(crate) fn list(&self, path: &Path, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let plain = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let flags = if self.is_running() { plain | OFlags::NOATIME } else { plain };
        let folder = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        names(folder, most)
    }

    /// Names in a pseudo folder.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(crate) fn list_pseudo(&self, path: &Path) -> io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        names(rustix::fs::openat(CWD, path, flags, Mode::empty())?, usize::MAX)
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// If it is none, or not for us to see.
    pub(crate) fn link(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(std::fs::read_link(path)?.into_os_string().into_vec())
    }

    /// Process numbers in a folder: `/proc` or a folder of tasks.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(crate) fn numbers(&self, path: &Path) -> io::Result<Vec<u32>> {
        let names = self.list_pseudo(path)?;
        let mut numbers: Vec<u32> = names
            .iter()
            .filter_map(|name| number(name))
            .filter_map(|n| n.try_into().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn names(folder: OwnedFd, most: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for entry in Dir::new(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            all.push(name);
        }
        if all.len() >= most {
            break;
        }
    }
    all.sort();
    Ok(all)
}

/// An instance of a pseudo file system that is mounted nowhere.
fn own_instance(kind: &str) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A name of digits only, as a number.
pub(crate) fn number(name: &[u8]) -> Option<u64> {
    let digits = !name.is_empty() && name.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(name).ok()?.parse().ok()).flatten()
}

/// Bytes of the host as text that cannot act.
pub(crate) fn shown(bytes: &[u8]) -> String {
    hashing::escape_name(bytes)
}

/// A path of bytes.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
