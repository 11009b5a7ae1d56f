//! The files of a copy: numbered or one alone, and all of them `….partial` until the copy was read back.
//!
//! Names are given from the last file to the first, so that the first name of an image (the one people and programs open)
//! appears when everything behind it is in place, wherever the power goes.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::container::Siblings;
use evidence::source::{FileSource, Source};
use hashing::escape_name;
use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};
use serde_json::Value;

use crate::carrier::Carrier;
use crate::{Error, Flush};

/// What the name of an unfinished file ends in.
pub(crate) const PARTIAL: &str = ".partial";

/// The files of one copy, written one after the other.
pub struct Parts {
    names: Vec<String>,
    at_bytes: u64,
    place: Place,
}

/// Where they are.
#[cfg_attr(
    not(feature = "bucket"),
    allow(dead_code, reason = "only the desk's program carries files elsewhere")
)]
enum Place {
    Folder(Folder),
    Elsewhere(Box<dyn Carrier>),
}

/// Files here.
struct Folder {
    path: PathBuf,
    current: File,
    unflushed: Vec<File>,
    has_new_names: bool,
}

impl fmt::Debug for Parts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Parts").field("paths", &self.paths()).finish_non_exhaustive()
    }
}

impl Parts {
    /// Begins a copy whose first file will be `name` in `folder`.
    ///
    /// # Errors
    /// When the name is taken, finished or not, or the medium does not take the file.
    pub fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        let target = folder.join(name);
        if fs::symlink_metadata(&target).is_ok() {
            return Err(Error::Exists { path: target });
        }
        let current = create_partial(folder, name)?;
        let path = folder.to_path_buf();
        let folder = Folder { path, current, unflushed: Vec::new(), has_new_names: true };
        Ok(Self { names: vec![name.to_owned()], at_bytes: 0, place: Place::Folder(folder) })
    }

    /// Goes on with the files of an unfinished copy; what lies behind `at_bytes` of the last one is cut off.
    ///
    /// # Errors
    /// When one of them is missing or the last is shorter than that.
    pub fn reopen(folder: &Path, names: Vec<String>, at_bytes: u64) -> Result<Self, Error> {
        for name in &names {
            let path = existing(folder, name);
            fs::symlink_metadata(&path).map_err(Error::io("looking for", &path))?;
        }
        let last = names.last().cloned().unwrap_or_default();
        let path = existing(folder, &last);
        let current = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let length = current.metadata().map_err(Error::io("opening", &path))?.len();
        if length < at_bytes {
            return Err(Error::Unreadable { path, offset_bytes: length });
        }
        if length > at_bytes {
            current.set_len(at_bytes).map_err(Error::io("cutting back", &path))?;
        }
        let path = folder.to_path_buf();
        let folder = Folder { path, current, unflushed: Vec::new(), has_new_names: false };
        Ok(Self { names, at_bytes, place: Place::Folder(folder) })
    }

    /// The files that a carrier has begun or gone on with: of the last one, `at_bytes` are written.
    #[cfg_attr(
        not(feature = "bucket"),
        allow(dead_code, reason = "only the desk's program carries files elsewhere")
    )]
    pub(crate) fn elsewhere(carrier: Box<dyn Carrier>, names: Vec<String>, at_bytes: u64) -> Self {
        Self { names, at_bytes, place: Place::Elsewhere(carrier) }
    }

    /// Begins the next file. One that an interrupted session left is taken over empty.
    ///
    /// # Errors
    /// When a finished file has the name, or the medium does not take it.
    pub fn next(&mut self, name: &str) -> io::Result<()> {
        match &mut self.place {
            Place::Folder(folder) => folder.next(name)?,
            Place::Elsewhere(carrier) => carrier.next(name)?,
        }
        self.names.push(name.to_owned());
        self.at_bytes = 0;
        Ok(())
    }

    /// Adds bytes to the current file.
    ///
    /// # Errors
    /// When the medium does not take all of them.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Folder(folder) => folder.current.write_all_at(bytes, self.at_bytes)?,
            Place::Elsewhere(carrier) => carrier.append(bytes)?,
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.at_bytes = self.at_bytes.saturating_add(length);
        Ok(())
    }

    /// Overwrites bytes of the current file, for a format that has to name later what it knows later. They were not
    /// settled.
    ///
    /// # Errors
    /// When the medium does not take all of them.
    pub fn overwrite(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Folder(folder) => folder.current.write_all_at(bytes, offset_bytes),
            Place::Elsewhere(carrier) => carrier.overwrite(offset_bytes, bytes),
        }
    }

    /// Says that bytes of the current file will not be overwritten: they may be sent away.
    ///
    /// # Errors
    /// When they cannot be.
    pub fn settle(&mut self, range: Range<u64>) -> io::Result<()> {
        match &mut self.place {
            Place::Folder(_) => Ok(()),
            Place::Elsewhere(carrier) => carrier.settle(range),
        }
    }

    /// The same of all that was written.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn settle_all(&mut self) -> io::Result<()> {
        self.settle(0..self.at_bytes)
    }

    /// Keeps what a format could not find again after an interruption, where files cannot be read before they are whole.
    /// `note` is only made where it is needed.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn note(&mut self, note: impl FnOnce() -> Value) -> io::Result<()> {
        match &mut self.place {
            Place::Folder(_) => Ok(()),
            Place::Elsewhere(carrier) => carrier.note(note()),
        }
    }

    /// What was noted before an interruption; `None` where files can be read.
    pub fn notes(&mut self) -> Option<Vec<Value>> {
        match &mut self.place {
            Place::Folder(_) => None,
            Place::Elsewhere(carrier) => Some(carrier.notes()),
        }
    }

    /// Reads what was written of the current file and not settled.
    ///
    /// # Errors
    /// When the medium does not give all of it.
    pub fn read_held_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.place {
            Place::Folder(folder) => folder.current.read_exact_at(buffer, offset_bytes),
            Place::Elsewhere(carrier) => carrier.read_held_at(offset_bytes, buffer),
        }
    }

    /// Length of the current file in bytes.
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        self.at_bytes
    }

    /// The names of the files as they will be, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where each file lies now, with or without the ending `.partial`.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let path = |name: &String| match &self.place {
            Place::Folder(folder) => existing(&folder.path, name),
            Place::Elsewhere(carrier) => carrier.place(name),
        };
        self.names.iter().map(path).collect()
    }

    /// What was written since the last time and has to reach the medium.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn to_flush(&mut self) -> io::Result<Flush> {
        match &mut self.place {
            Place::Folder(folder) => folder.unflushed(),
            Place::Elsewhere(carrier) => carrier.to_flush(),
        }
    }

    /// Everything is written: waits until it is on the medium.
    ///
    /// # Errors
    /// When the medium does not take it.
    pub fn finish(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Folder(folder) => {
                (&folder.current).flush()?;
                folder.unflushed()?.flush()
            }
            Place::Elsewhere(carrier) => carrier.finish(),
        }
    }

    /// One of the files for reading, past what memory holds of it.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file of this machine.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let file = File::open(existing(&self.folder()?.path, name))?;
        // Only clean pages can be dropped, so whatever is still in memory goes to the medium first.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(file)
    }

    /// The same wherever it is, once the copy is finished.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn source(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        match &self.place {
            Place::Folder(_) => {
                let file = FileSource::new(self.open(name)?, 512).map_err(io::Error::other)?;
                Ok(Arc::new(file))
            }
            Place::Elsewhere(carrier) => carrier.source(name),
        }
    }

    /// One of the files for filling in what was left out of it.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file of this machine.
    pub fn open_to_patch(&self, name: &str) -> io::Result<File> {
        File::options().read(true).write(true).open(existing(&self.folder()?.path, name))
    }

    /// Gives the files their names. Only called with the proof that they were read back.
    pub(crate) fn publish(&mut self) -> Result<Vec<PathBuf>, Error> {
        // Elsewhere they have their names as soon as they are whole.
        let Place::Folder(Folder { path: folder, .. }) = &self.place else {
            return Ok(self.paths());
        };
        for name in self.names.iter().rev() {
            let (from, to) = (partial(folder, name), folder.join(name));
            if fs::symlink_metadata(&from).is_err() && fs::symlink_metadata(&to).is_ok() {
                // Named before an interruption.
                continue;
            }
            rename_new(&from, &to)?;
        }
        // A name that is not flushed can go back to .partial in a power cut, which is safe.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(self.names.iter().map(|name| folder.join(name)).collect())
    }

    /// Who carries the files elsewhere.
    #[cfg_attr(
        not(feature = "bucket"),
        allow(dead_code, reason = "only the desk's program carries files elsewhere")
    )]
    pub(crate) fn carrier(&mut self) -> Option<&mut dyn Carrier> {
        match &mut self.place {
            Place::Folder(_) => None,
            Place::Elsewhere(carrier) => Some(&mut **carrier),
        }
    }

    /// What the record should know of files elsewhere; null of those here.
    #[cfg_attr(
        not(feature = "bucket"),
        allow(dead_code, reason = "only the desk's program carries files elsewhere")
    )]
    pub(crate) fn facts(&self) -> Value {
        match &self.place {
            Place::Folder(_) => Value::Null,
            Place::Elsewhere(carrier) => carrier.facts(),
        }
    }

    fn folder(&self) -> io::Result<&Folder> {
        match &self.place {
            Place::Folder(folder) => Ok(folder),
            Place::Elsewhere(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Folder {
    fn next(&mut self, name: &str) -> io::Result<()> {
        if fs::symlink_metadata(self.path.join(name)).is_ok() {
            let name = escape_name(name.as_bytes());
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{name} exists already"),
            ));
        }
        let path = partial(&self.path, name);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        self.unflushed.push(std::mem::replace(&mut self.current, file));
        self.has_new_names = true;
        Ok(())
    }

    fn unflushed(&mut self) -> io::Result<Flush> {
        let mut files = std::mem::take(&mut self.unflushed);
        files.push(self.current.try_clone()?);
        let is_new = std::mem::take(&mut self.has_new_names);
        let folders = if is_new { vec![self.path.clone()] } else { Vec::new() };
        Ok(Flush { files, folders, obsolete: Vec::new() })
    }
}

/// The files of a copy, for a reader that looks for them under their final names.
impl Siblings for Parts {
    fn open(&self, name: &[u8]) -> io::Result<Option<Arc<dyn Source>>> {
        let Some(name) = self.names.iter().find(|known| known.as_bytes() == name) else {
            return Ok(None);
        };
        self.source(name).map(Some)
    }
}

fn create_partial(folder: &Path, name: &str) -> Result<File, Error> {
    let path = partial(folder, name);
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(Error::io("creating", &path))
}

fn partial(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{PARTIAL}"))
}

/// The unfinished file of this name if there is one, else the finished one.
fn existing(folder: &Path, name: &str) -> PathBuf {
    let unfinished = partial(folder, name);
    if fs::symlink_metadata(&unfinished).is_ok() { unfinished } else { folder.join(name) }
}

/// Renames and never replaces, and waits until the file is whole under its new name.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<(), Error> {
    rename_only(from, to)?;
    // FAT keeps size and place of a file in the directory entry, and Linux writes those of the new
    // entry later, with the file and not with the directory: until then a power cut leaves nothing.
    File::open(to).and_then(|file| file.sync_all()).map_err(Error::io("flushing", to))
}

fn rename_only(from: &Path, to: &Path) -> Result<(), Error> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(Error::Exists { path: to.to_path_buf() }),
        // exFAT and some others do not know the flag; there the check comes first.
        Err(rustix::io::Errno::INVAL) if fs::symlink_metadata(to).is_err() => {
            fs::rename(from, to).map_err(Error::io("renaming", from))
        }
        Err(error) => Err(Error::io("renaming", from)(error.into())),
    }
}
