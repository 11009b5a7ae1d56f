//! What a person names on the command line: a disk by its kernel name, or an image file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::address::Address;
use evidence::collection::{self, Collection, Directory, Mounts};
use evidence::container::{self, Siblings};
use evidence::source::{FileSource, Source};
use evidence::stack;
use guard::{Disk, DiskName, Guard, LockState};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::failure::Failure;
use crate::output::{Colour, paint, say};

/// A disk or an image, opened for reading.
#[derive(Debug)]
pub(crate) struct Target {
    /// How it is named in records: the disk's name or the path of the image.
    pub(crate) name: String,
    /// The open descriptor.
    pub(crate) file: File,
    /// Logical sector size in bytes.
    pub(crate) sector_bytes: u32,
    /// What is known of it, if it is a disk.
    pub(crate) disk: Option<Disk>,
}

/// What a word means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A disk of this machine.
    Disk(DiskName),
    /// A file or folder.
    Path(PathBuf),
}

/// Tells a disk's name from a path: a word with a slash is a path (but `/dev/x` is a disk), a word
/// that names an attached disk is that disk.
pub(crate) fn meaning(word: &str, guard: &Guard) -> Meaning {
    let path = || Meaning::Path(PathBuf::from(word));
    let Ok(name) = word.parse::<DiskName>() else { return path() };
    if word.starts_with("/dev/") && !Path::new(word).is_file() || guard.disk(&name).is_ok() {
        Meaning::Disk(name)
    } else if !word.contains('/') && !Path::new(word).exists() {
        // Neither: the error about a missing disk says more than one about a missing file.
        Meaning::Disk(name)
    } else {
        path()
    }
}

/// Opens what the word names: a disk also as `serial=…`.
///
/// # Errors
/// If there is no such disk or file, no or more than one disk has the serial number, or the broker refuses.
pub(crate) fn open(word: &str, guard: &Guard) -> Result<Target, Failure> {
    let word = &*by_serial(word, guard)?;
    match meaning(word, guard) {
        Meaning::Disk(name) => {
            let opened = guard.open(&name).map_err(|problem| {
                Failure::from(problem).hint("glovebox guard status lists the disks")
            })?;
            Ok(Target {
                name: name.to_string(),
                file: opened.file,
                sector_bytes: opened.disk.logical_block_bytes,
                disk: Some(opened.disk),
            })
        }
        Meaning::Path(path) => {
            let file = File::open(&path).map_err(|problem| {
                Failure::from(problem).while_doing(format!("opening {}", path.display()))
            })?;
            Ok(Target { name: path.display().to_string(), file, sector_bytes: 512, disk: None })
        }
    }
}

/// Takes apart what was typed; a source that is a file may hold colons.
pub(crate) fn address(word: &str) -> Address {
    let exists = |name: &[u8]| Path::new(OsStr::from_bytes(name)).exists();
    Address::parse(word.as_bytes(), &exists)
}

/// The disk, or the image in a file of any format.
///
/// # Errors
/// As [`open`].
pub(crate) fn disk_source(word: &str, guard: &Guard) -> Result<stack::Disk, Failure> {
    let target = open(word, guard)?;
    let source = target.source()?;
    if target.disk.is_some() {
        return Ok(stack::Disk { name: target.name, source });
    }
    let image = of_file(source, &target.name)?;
    for problem in &image.problems {
        say(&paint(&format!("problem: {}: {problem}", target.name), Colour::Yellow));
    }
    if image.files.len() > 1 {
        say(&format!("{} is an image of {} files", target.name, image.files.len()));
    }
    Ok(stack::Disk { source: image.source, name: target.name })
}

/// The image in a file of any format, with what it says about itself.
///
/// # Errors
/// If there is no such file, or it cannot be opened as an image.
pub(crate) fn image(path: &str) -> Result<container::Opened, Failure> {
    let doing = |failure: Failure| failure.while_doing(format!("opening {path}"));
    let file = File::open(path).map_err(|problem| doing(problem.into()))?;
    let source = FileSource::new(file, 512).map_err(|problem| doing(problem.into()))?;
    of_file(Arc::new(source), path)
}

fn of_file(source: Arc<dyn Source>, path: &str) -> Result<container::Opened, Failure> {
    let file = Path::new(path);
    let name = file.file_name().map_or(&[][..], OsStrExt::as_bytes);
    allow_many_files();
    let folder = Folder { path: file.parent().unwrap_or(Path::new("")).to_owned() };
    container::open(source, name, &folder)
        .map_err(|error| Failure::from(error).while_doing(format!("opening the image {path}")))
}

/// An image in thousands of segments needs as many descriptors; the system allows them when asked.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, opening a segment will say what is missing.
    let _refused = setrlimit(Resource::Nofile, limit);
}

/// The folder of an image that consists of several files. Their names come from the image itself, so only plain names of
/// regular files in this very folder are opened.
struct Folder {
    path: PathBuf,
}

impl Siblings for Folder {
    fn open(&self, name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        if name.is_empty() || name == b".." || name == b"." || name.contains(&b'/') {
            return Ok(None);
        }
        let path = self.path.join(OsStr::from_bytes(name));
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(None),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(problem) => return Err(problem),
        }
        let source = FileSource::new(File::open(&path)?, 512).map_err(std::io::Error::other)?;
        Ok(Some(Arc::new(source)))
    }
}

/// The files in a folder, or in an archive a collector made; `None` for a disk or an image of one.
///
/// # Errors
/// If it is a folder or an archive and cannot be read.
pub(crate) fn collection(word: &str, guard: &Guard) -> Result<Option<Collection>, Failure> {
    let Meaning::Path(path) = meaning(word, guard) else { return Ok(None) };
    let doing = |failure: Failure| failure.while_doing(format!("opening {}", path.display()));
    if path.is_dir() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|problem| doing(std::io::Error::from(problem).into()))?;
        let files =
            Directory::new(folder, Mounts::Stay).map_err(|problem| doing(problem.into()))?;
        return Ok(Some(Collection::new(Arc::new(files))));
    }
    let mut head = [0; 512];
    let read = File::open(&path).and_then(|file| file.read_at(&mut head, 0)).unwrap_or(0);
    let head = head.get(..read).unwrap_or(&[]);
    let packed = [&b"\x1f\x8b"[..], b"PK\x03\x04", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh"];
    let is_tar = head.get(257..262) == Some(b"ustar");
    if !is_tar && !packed.iter().any(|magic| head.starts_with(magic)) {
        return Ok(None);
    }
    let source = open(word, guard)?.source()?;
    if container::is_image_like_an_archive(&source) {
        return Ok(None);
    }
    let found = collection::open(source).map_err(|problem| doing(problem.into()))?;
    Ok(Some(found))
}

/// What is known of the disk with this name, if it is one.
pub(crate) fn known_disk(name: &str, guard: &Guard) -> Option<Disk> {
    guard.disk(&name.parse().ok()?).ok()
}

/// On the booted stick, every locked disk that is not among `known`: a volume may spread over it.
///
/// # Errors
/// If the disks cannot be listed. One that does not open is passed over: it was not asked for.
pub(crate) fn other_disks(
    guard: &Guard,
    known: &[stack::Disk],
) -> Result<Vec<stack::Disk>, Failure> {
    if !guard.brokered() {
        return Ok(Vec::new());
    }
    let mut others = Vec::new();
    for disk in guard.status()?.disks {
        let name = disk.name.to_string();
        if disk.lock == LockState::Locked && !known.iter().any(|one| one.name == name) {
            others.extend(disk_source(&name, guard).ok());
        }
    }
    Ok(others)
}

/// The name of the disk with a serial number, for a word that says `serial=…`; else the word.
fn by_serial(word: &str, guard: &Guard) -> Result<String, Failure> {
    let Some(serial) = word.strip_prefix("serial=") else { return Ok(word.to_owned()) };
    let disks = guard.status()?.disks;
    let fits: Vec<&Disk> = disks.iter().filter(|disk| disk.serial == serial).collect();
    match fits.as_slice() {
        [disk] => Ok(disk.name.to_string()),
        [] => Err(Failure::new(format!("no disk has the serial number {serial}"))
            .hint("glovebox guard status lists the disks")),
        several => Err(Failure::new(format!(
            "{} disks have the serial number {serial}; name one",
            several.len()
        ))),
    }
}

impl Target {
    /// The reader the evidence layer works on.
    ///
    /// # Errors
    /// If the size of the source cannot be found out.
    pub(crate) fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        let file = self.file.try_clone()?;
        Ok(Arc::new(FileSource::new(file, self.sector_bytes)?))
    }
}
