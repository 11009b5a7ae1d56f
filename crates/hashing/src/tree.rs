//! Digests of every file below a directory, several files at a time.
//!
//! A tree under examination may be hostile: links are recorded and never followed, pipes and
//! devices are recorded and never opened, and whatever cannot be read is a problem beside the rest
//! of the list instead of the end of it. Access times stay as they are where the kernel allows it.

use std::fs::{self, File, Metadata};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};

use crate::{Algorithms, Content, Entry, Error, Manifest, SpecialKind, digest_reader, escape_name};

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
#[derive(Debug)]
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
    /// What could not be read, sorted by path.
    pub problems: Vec<Problem>,
}

struct Job {
    path: PathBuf,
    relative: Vec<u8>,
}

/// Lists and digests everything below `root`; paths in the report are relative to it.
///
/// Where `root` is itself a file, the report holds that file under its own name.
///
/// # Errors
/// Only when `root` itself cannot be examined. Everything below becomes an entry or a problem.
pub fn digest_tree(root: &Path, options: &TreeOptions) -> Result<TreeReport, Error> {
    let failed = |action, source| Error::Io { action, path: root.to_path_buf(), source };
    let metadata = fs::symlink_metadata(root).map_err(|source| failed("examining", source))?;
    let mut report = TreeReport::default();
    let mut jobs = Vec::new();
    if metadata.is_dir() {
        let first = fs::read_dir(root).map_err(|source| failed("listing", source))?;
        list(root, first, metadata.dev(), options.boundary, &mut jobs, &mut report);
    } else {
        let relative = root.file_name().unwrap_or(root.as_os_str()).as_bytes().to_vec();
        note(root.to_path_buf(), relative, &metadata, &mut jobs, &mut report);
    }
    jobs.sort_by(|a, b| a.relative.cmp(&b.relative));
    digest_files(&jobs, options, &mut report);
    report.problems.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
    Ok(report)
}

fn list(
    root: &Path,
    first: fs::ReadDir,
    device: u64,
    boundary: Boundary,
    jobs: &mut Vec<Job>,
    report: &mut TreeReport,
) {
    // A stack of paths, not recursion: depth is the evidence's choice.
    let mut waiting: Vec<PathBuf> = Vec::new();
    let mut current = Some((root.to_path_buf(), Ok(first)));
    while let Some((directory, listing)) = current.take() {
        match listing {
            Ok(entries) => {
                for entry in entries {
                    let found = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)));
                    match found {
                        Ok((path, metadata)) => {
                            let below = metadata.is_dir()
                                && (boundary == Boundary::AnyFileSystem
                                    || metadata.dev() == device);
                            if below {
                                waiting.push(path.clone());
                            }
                            let name = relative_to(root, &path);
                            note(path, name, &metadata, jobs, report);
                        }
                        Err(error) => report.problem(root, &directory, "listing", &error),
                    }
                }
            }
            Err(error) => report.problem(root, &directory, "listing", &error),
        }
        current = waiting.pop().map(|path| {
            let listing = fs::read_dir(&path);
            (path, listing)
        });
    }
}

fn relative_to(root: &Path, path: &Path) -> Vec<u8> {
    path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes().to_vec()
}

impl TreeReport {
    fn problem(&mut self, root: &Path, path: &Path, action: &str, error: &io::Error) {
        let path = relative_to(root, path);
        self.problems.push(Problem { path, reason: format!("{action}: {error}") });
    }
}

fn note(
    path: PathBuf,
    relative: Vec<u8>,
    metadata: &Metadata,
    jobs: &mut Vec<Job>,
    report: &mut TreeReport,
) {
    let kind = metadata.file_type();
    let content = if kind.is_file() {
        jobs.push(Job { path, relative });
        return;
    } else if kind.is_dir() {
        Content::Directory
    } else if kind.is_symlink() {
        match fs::read_link(&path) {
            Ok(target) => Content::Symlink { target: target.into_os_string().into_encoded_bytes() },
            Err(error) => {
                let reason = format!("reading link: {error}");
                report.problems.push(Problem { path: relative, reason });
                return;
            }
        }
    } else {
        Content::Special(if kind.is_block_device() {
            SpecialKind::BlockDevice
        } else if kind.is_char_device() {
            SpecialKind::CharacterDevice
        } else if kind.is_fifo() {
            SpecialKind::Fifo
        } else if kind.is_socket() {
            SpecialKind::Socket
        } else {
            SpecialKind::Other
        })
    };
    report.manifest.insert(Entry { path: relative, content });
}

fn digest_files(jobs: &[Job], options: &TreeOptions, report: &mut TreeReport) {
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.threads.get().min(jobs.len()) {
            scope.spawn(|| {
                let (mut entries, mut problems) = (Vec::new(), Vec::new());
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    digest_job(job, &options.algorithms, &mut entries, &mut problems);
                }
                // A poisoned lock would mean that another worker panicked; its lists are whole.
                let mut all = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                all.0.append(&mut entries);
                all.1.append(&mut problems);
            });
        }
    });
    let (entries, mut problems) =
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for entry in entries {
        report.manifest.insert(entry);
    }
    report.problems.append(&mut problems);
}

fn digest_job(
    job: &Job,
    algorithms: &Algorithms,
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Problem>,
) {
    let mut problem =
        |reason: String| problems.push(Problem { path: job.relative.clone(), reason });
    let (file, listed_bytes) = match open_regular(&job.path) {
        Ok(opened) => opened,
        Err(error) => return problem(format!("opening: {error}")),
    };
    match digest_reader(file, algorithms) {
        Ok((digests, size_bytes)) => {
            if size_bytes != listed_bytes {
                problem(format!(
                    "size was {listed_bytes} bytes when opened, {size_bytes} bytes were read"
                ));
            }
            let content = Content::File { size_bytes: Some(size_bytes), digests };
            entries.push(Entry { path: job.relative.clone(), content });
        }
        Err(Error::Read { offset_bytes, source }) => {
            problem(format!("reading at byte {offset_bytes}: {source}"));
        }
        Err(other) => problem(escape_name(other.to_string().as_bytes())),
    }
}

/// Opens without following a link, without waiting on a pipe that took the file's place since it
/// was listed, and, where we own the file, without touching its access time.
fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| rustix::fs::open(path, flags, Mode::empty()))?;
    let file = File::from(opened);
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(io::Error::other("no longer a regular file"))
    }
}
