//! Digests of every file below a directory, several files at a time.
//!
//! A tree under examination may be hostile: links are recorded and never followed, pipes and
//! devices are recorded and never opened, and whatever cannot be read is a problem beside the rest
//! of the list instead of the end of it. Access times stay as they are where the kernel allows it;
//! how often it did not is part of the report. One thread lists while the others read; files are
//! opened below the directory that was listed, whatever has taken its name since.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use crate::large::{self, Wanted};
use crate::{Algorithms, Content, Entry, Error, Manifest, PieceDigests, SpecialKind, escape_name};

/// How a tree is to be read.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// The digests wanted of each file.
    pub algorithms: Algorithms,
    /// How many files are read at the same time; one on a spinning disk.
    pub threads: NonZeroUsize,
    /// Whether directories on other file systems than the root's are entered.
    pub boundary: Boundary,
}

/// Whether mount points are crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Directories on other file systems are listed and not entered.
    SameFileSystem,
    /// Every directory is entered.
    AnyFileSystem,
}

/// Something in a tree that could not be read as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path relative to the root of the tree, as raw bytes.
    pub path: Vec<u8>,
    /// What happened, safe to print.
    pub reason: String,
}

/// What was found below a root.
#[derive(Debug, Default)]
pub struct TreeReport {
    /// Everything found; files that could not be read are not in it.
    pub manifest: Manifest,
    /// Digests of the pieces of each file, if they were asked for.
    pub pieces: BTreeMap<Vec<u8>, Vec<PieceDigests>>,
    /// What could not be read, sorted by path.
    pub problems: Vec<Problem>,
    /// Files and directories whose access time the kernel did not let alone: they belong to somebody
    /// else, and the file system may have noted that they were read.
    pub access_times_at_risk: u64,
}

/// Files handed to a reader at once.
const BATCH: usize = 64;

/// Batches that may wait; with them goes the number of directories held open.
const WAITING_BATCHES: usize = 16;

/// An open directory and its path below the root; empty for the root itself.
struct Directory {
    descriptor: OwnedFd,
    relative: Vec<u8>,
}

/// Files of one directory.
struct Batch {
    directory: Arc<Directory>,
    names: Vec<CString>,
}

/// Lists and digests everything below `root`; paths in the report are relative to it.
///
/// Where `root` is itself a file, the report holds that file under its own name.
///
/// # Errors
/// Only when `root` itself cannot be examined. Everything below becomes an entry or a problem.
pub fn digest_tree(root: &Path, options: &TreeOptions) -> Result<TreeReport, Error> {
    digest_tree_told(root, options, None, &|_, _| {})
}

/// As [`digest_tree`], with digests of the pieces of each file too.
///
/// # Errors
/// As [`digest_tree`].
pub fn digest_tree_in_pieces(
    root: &Path,
    options: &TreeOptions,
    piece_bytes: NonZeroU64,
) -> Result<TreeReport, Error> {
    digest_tree_told(root, options, Some(piece_bytes), &|_, _| {})
}

/// Is told of each file when it was read: its path below the root, its digests. By several threads.
pub type Told<'a> = &'a (dyn Fn(&[u8], &Content) + Sync);

/// Digests what a list names, each path taken from `base`; what is not there is left out of the report.
///
/// Links are recorded and not followed, as in a tree.
///
/// # Errors
/// Only when `base` cannot be opened.
pub fn digest_paths<'a>(
    base: &Path,
    paths: impl IntoIterator<Item = &'a [u8]>,
    options: &TreeOptions,
) -> Result<TreeReport, Error> {
    let failed = |source: Errno| Error::Io {
        action: "opening",
        path: base.to_path_buf(),
        source: source.into(),
    };
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, base, flags, Mode::empty()).map_err(failed)?;
    let directory = Arc::new(Directory { descriptor, relative: Vec::new() });
    let wanted =
        Wanted { algorithms: &options.algorithms, piece_bytes: None, threads: options.threads };
    let work = Work { wanted, told: &|_, _| {} };
    let mut lister =
        Lister { root: base.to_path_buf(), device: None, report: TreeReport::default() };
    lister.read_beside(&work, |lister, batches| {
        let mut names = Vec::new();
        for path in paths {
            let Ok(name) = CString::new(path) else {
                lister.problem(path.to_vec(), "naming", Errno::INVAL);
                continue;
            };
            match examine(&directory, &name).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::RegularFile) => names.push(name),
                Ok(kind) => lister.note(&directory, &name, kind),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => lister.problem(path.to_vec(), "examining", error),
            }
            if names.len() >= BATCH {
                let names = std::mem::take(&mut names);
                let _ended = batches.send(Batch { directory: Arc::clone(&directory), names });
            }
        }
        let _ended = batches.send(Batch { directory: Arc::clone(&directory), names });
    });
    Ok(lister.into_report())
}

/// As [`digest_tree`], with pieces if they are asked for; `told` hears of each file meanwhile, so that what was
/// computed is not lost with what comes after it.
///
/// # Errors
/// As [`digest_tree`].
pub fn digest_tree_told(
    root: &Path,
    options: &TreeOptions,
    piece_bytes: Option<NonZeroU64>,
    told: Told<'_>,
) -> Result<TreeReport, Error> {
    let failed = |action, source: Errno| Error::Io {
        action,
        path: root.to_path_buf(),
        source: source.into(),
    };
    let stat = rustix::fs::statat(CWD, root, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|source| failed("examining", source))?;
    let wanted = Wanted { algorithms: &options.algorithms, piece_bytes, threads: options.threads };
    let work = Work { wanted, told };
    let mut lister = Lister {
        root: root.to_path_buf(),
        device: (options.boundary == Boundary::SameFileSystem).then_some(stat.st_dev),
        report: TreeReport::default(),
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let first = open_directory(root).map_err(|source| failed("listing", source))?;
        lister.read_beside(&work, |lister, batches| lister.walk(first, batches));
    } else {
        let name = root.file_name().unwrap_or(root.as_os_str());
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        // This one may be named through a link, and is not listed.
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let parent = parent.unwrap_or(Path::new("."));
        let descriptor = rustix::fs::openat(CWD, parent, flags, Mode::empty())
            .map_err(|source| failed("opening the directory of", source))?;
        let directory = Arc::new(Directory { descriptor, relative: Vec::new() });
        let name = CString::new(name.as_bytes()).map_err(|_| failed("naming", Errno::INVAL))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let mut read = ReadFiles::default();
                let mut buffer = large::buffer();
                read.file(&directory, &name, &work, &mut buffer);
                read.add_to(&mut lister.report);
            }
            kind => lister.note(&directory, &name, kind),
        }
    }
    Ok(lister.into_report())
}

/// What readers do with each file.
struct Work<'a> {
    wanted: Wanted<'a>,
    told: Told<'a>,
}

/// Walks the tree, notes what is no file, hands files on.
struct Lister {
    root: PathBuf,
    /// The device to stay on.
    device: Option<u64>,
    report: TreeReport,
}

impl Lister {
    /// Lists on this thread while others read the files that are handed on.
    fn read_beside(&mut self, work: &Work<'_>, list: impl FnOnce(&mut Self, &SyncSender<Batch>)) {
        let (batches, queue) = sync_channel(WAITING_BATCHES);
        let queue = Mutex::new(queue);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..work.wanted.threads.get())
                .map(|_| scope.spawn(|| read_batches(&queue, work)))
                .collect();
            list(self, &batches);
            drop(batches);
            for reader in readers {
                let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                read.add_to(&mut self.report);
            }
        });
    }

    fn into_report(self) -> TreeReport {
        let mut report = self.report;
        report.problems.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
        report
    }

    fn walk(&mut self, first: (OwnedFd, Noted), batches: &SyncSender<Batch>) {
        // A stack of paths, not recursion: depth is the evidence's choice.
        let mut waiting: Vec<Vec<u8>> = Vec::new();
        let mut current = Some((Vec::new(), Ok(first)));
        while let Some((relative, opened)) = current.take() {
            match opened {
                Ok((descriptor, noted)) => {
                    self.count(noted);
                    let directory = Arc::new(Directory { descriptor, relative });
                    self.list(&directory, &mut waiting, batches);
                }
                Err(error) => self.problem(relative, "listing", error),
            }
            current = waiting.pop().map(|relative| {
                let path = self.root.join(OsStr::from_bytes(&relative));
                let opened = open_directory(&path);
                (relative, opened)
            });
        }
    }

    fn list(
        &mut self,
        directory: &Arc<Directory>,
        waiting: &mut Vec<Vec<u8>>,
        batches: &SyncSender<Batch>,
    ) {
        let mut names = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&directory.descriptor, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.problem(directory.relative.clone(), "listing", error);
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut kind = entry.file_type();
            // Directories must be asked for their device, and some file systems do not tell the type.
            if matches!(kind, FileType::Directory | FileType::Unknown) {
                match examine(directory, name) {
                    Ok(stat) => {
                        kind = FileType::from_raw_mode(stat.st_mode);
                        let stays = self.device.is_none_or(|device| device == stat.st_dev);
                        if kind == FileType::Directory && stays {
                            waiting.push(directory.below(name));
                        }
                    }
                    Err(error) => {
                        self.problem(directory.below(name), "examining", error);
                        continue;
                    }
                }
            }
            if kind == FileType::RegularFile {
                names.push(name.to_owned());
                if names.len() >= BATCH {
                    let names = std::mem::take(&mut names);
                    // Readers end before the queue only by a fault of ours, which their join passes on.
                    let _ended = batches.send(Batch { directory: Arc::clone(directory), names });
                }
            } else {
                self.note(directory, name, kind);
            }
        }
        if !names.is_empty() {
            let _ended = batches.send(Batch { directory: Arc::clone(directory), names });
        }
    }

    /// Enters what is no regular file.
    fn note(&mut self, directory: &Directory, name: &CStr, kind: FileType) {
        let content = match kind {
            FileType::Directory => Content::Directory,
            FileType::Symlink => {
                match rustix::fs::readlinkat(&directory.descriptor, name, Vec::new()) {
                    Ok(target) => Content::Symlink { target: target.into_bytes() },
                    Err(error) => {
                        return self.problem(directory.below(name), "reading link", error);
                    }
                }
            }
            FileType::BlockDevice => Content::Special(SpecialKind::BlockDevice),
            FileType::CharacterDevice => Content::Special(SpecialKind::CharacterDevice),
            FileType::Fifo => Content::Special(SpecialKind::Fifo),
            FileType::Socket => Content::Special(SpecialKind::Socket),
            _ => Content::Special(SpecialKind::Other),
        };
        self.report.manifest.insert(Entry { path: directory.below(name), content });
    }

    fn problem(&mut self, path: Vec<u8>, action: &str, error: Errno) {
        let reason = format!("{action}: {}", io::Error::from(error));
        self.report.problems.push(Problem { path, reason });
    }

    fn count(&mut self, noted: Noted) {
        if noted == Noted::Perhaps {
            self.report.access_times_at_risk = self.report.access_times_at_risk.saturating_add(1);
        }
    }
}

impl Directory {
    fn below(&self, name: &CStr) -> Vec<u8> {
        if self.relative.is_empty() {
            return name.to_bytes().to_vec();
        }
        [self.relative.as_slice(), b"/", name.to_bytes()].concat()
    }
}

fn examine(directory: &Directory, name: &CStr) -> Result<Stat, Errno> {
    rustix::fs::statat(
        &directory.descriptor,
        name,
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
    )
}

/// Whether reading may have been noted as an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    No,
    Perhaps,
}

/// Opens without touching the access time where the kernel allows that: for the owner and for root.
fn open_quietly(
    directory: impl std::os::fd::AsFd,
    name: impl rustix::path::Arg + Copy,
    flags: OFlags,
) -> Result<(OwnedFd, Noted), Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Ok(opened) => Ok((opened, Noted::No)),
        Err(Errno::PERM) => {
            let opened = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
            Ok((opened, Noted::Perhaps))
        }
        Err(error) => Err(error),
    }
}

fn open_directory(path: &Path) -> Result<(OwnedFd, Noted), Errno> {
    open_quietly(CWD, path, OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

/// What one reader found.
#[derive(Default)]
struct ReadFiles {
    entries: Vec<Entry>,
    pieces: Vec<(Vec<u8>, Vec<PieceDigests>)>,
    problems: Vec<Problem>,
    access_times_at_risk: u64,
}

fn read_batches(queue: &Mutex<Receiver<Batch>>, work: &Work<'_>) -> ReadFiles {
    let mut read = ReadFiles::default();
    let mut buffer = large::buffer();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = next else { return read };
        for name in &batch.names {
            read.file(&batch.directory, name, work, &mut buffer);
        }
    }
}

impl ReadFiles {
    fn file(&mut self, directory: &Directory, name: &CStr, work: &Work<'_>, buffer: &mut [u8]) {
        let wanted = &work.wanted;
        // Without following a link and without waiting on a pipe that took the file's place since it was listed.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = open_quietly(&directory.descriptor, name, flags)
            .and_then(|(opened, noted)| Ok((rustix::fs::fstat(&opened)?, opened, noted)));
        let (stat, opened, noted) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let reason = format!("opening: {}", io::Error::from(error));
                return self.problem(directory.below(name), reason);
            }
        };
        if noted == Noted::Perhaps {
            self.access_times_at_risk = self.access_times_at_risk.saturating_add(1);
        }
        let path = directory.below(name);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return self.problem(path, "opening: no longer a regular file".to_owned());
        }
        let listed_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        match large::digest(&File::from(opened), listed_bytes, wanted, buffer) {
            Ok(found) => {
                let size_bytes = found.size_bytes;
                if size_bytes != listed_bytes {
                    let reason = format!(
                        "size was {listed_bytes} bytes when opened, {size_bytes} bytes were read"
                    );
                    self.problem(path.clone(), reason);
                }
                if wanted.piece_bytes.is_some() {
                    self.pieces.push((path.clone(), found.pieces));
                }
                let content =
                    Content::File { size_bytes: Some(size_bytes), digests: found.digests };
                (work.told)(&path, &content);
                self.entries.push(Entry { path, content });
            }
            Err(Error::Read { offset_bytes, source }) => {
                self.problem(path, format!("reading at byte {offset_bytes}: {source}"));
            }
            Err(other) => self.problem(path, escape_name(other.to_string().as_bytes())),
        }
    }

    fn problem(&mut self, path: Vec<u8>, reason: String) {
        self.problems.push(Problem { path, reason });
    }

    fn add_to(self, report: &mut TreeReport) {
        for entry in self.entries {
            report.manifest.insert(entry);
        }
        report.pieces.extend(self.pieces);
        report.problems.extend(self.problems);
        report.access_times_at_risk =
            report.access_times_at_risk.saturating_add(self.access_times_at_risk);
    }
}
