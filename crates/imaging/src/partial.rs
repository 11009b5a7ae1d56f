//! A copy on the examiner's medium that cannot pass for finished before it is.
//!
//! It is written as `NAME.partial`. Only [`PartialFile::verify`], which reads the copy back from the
//! medium, makes the value that [`PartialFile::publish`] needs to give it its name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use hashing::{Algorithms, Digests, escape_name};
use rustix::fs::{Advice, fadvise};

use crate::parts::rename_new;
use crate::{Acquisition, Ending, Error, FileSource, NullSink, Plan, Sink, Tick, acquire};

/// Proof that a file was read back and has these digests. Only reading back makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    path: PathBuf,
    digests: Digests,
    size_bytes: u64,
}

impl Verified {
    pub(crate) fn new(path: PathBuf, digests: Digests, size_bytes: u64) -> Self {
        Self { path, digests, size_bytes }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The digests read back.
    #[must_use]
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// The size read back, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// A copy being made.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    partial: PathBuf,
    target: PathBuf,
}

impl PartialFile {
    /// Makes `target` + `.partial`, new and empty.
    ///
    /// # Errors
    /// When either name is taken, or the medium does not take the file.
    pub fn create(target: &Path) -> Result<Self, Error> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        if fs::symlink_metadata(target).is_ok() {
            return Err(Error::Exists { path: target.to_path_buf() });
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&partial)
            .map_err(Error::io("creating", &partial))?;
        Ok(Self { file, partial, target: target.to_path_buf() })
    }

    /// Where it lies until it is published.
    #[must_use]
    pub fn partial_path(&self) -> &Path {
        &self.partial
    }

    /// Reads the copy back from the medium and compares it with what was acquired.
    ///
    /// # Errors
    /// When the acquisition was not complete, the copy cannot be read to its end, or it differs.
    pub fn verify(
        &self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error> {
        acquisition.ensure_complete(&self.partial)?;
        verify(&self.partial, acquisition.size_bytes, &acquisition.digests, progress, cancel)
    }

    /// Gives the verified copy its name; an existing file is never replaced.
    ///
    /// # Errors
    /// When the name was taken meanwhile, the proof is of another file, or renaming fails.
    pub fn publish(self, verified: &Verified) -> Result<PathBuf, Error> {
        if verified.path != self.partial {
            return Err(Error::Exists { path: verified.path.clone() });
        }
        rename_new(&self.partial, &self.target)?;
        // A name that is not flushed can go back to .partial in a power cut, which is safe; a file
        // system that cannot flush a directory must not make the copy fail.
        if let Some(dir) = self.target.parent() {
            let _ = File::open(dir).and_then(|dir| dir.sync_all());
        }
        Ok(self.target)
    }
}

impl Sink for PartialFile {
    fn name(&self) -> String {
        escape_name(self.partial.as_os_str().as_encoded_bytes())
    }

    fn write_all_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset_bytes)
    }

    fn complete(&mut self, size_bytes: u64) -> io::Result<()> {
        if self.file.metadata()?.len() != size_bytes {
            self.file.set_len(size_bytes)?;
        }
        self.file.sync_all()
    }
}

/// Reads the file at `path` from the medium, past what memory holds of it, and compares it.
///
/// # Errors
/// When it cannot be opened or read to its end, or when size or digests differ.
pub fn verify(
    path: &Path,
    size_bytes: u64,
    expected: &Digests,
    progress: &mut dyn FnMut(Tick),
    cancel: &AtomicBool,
) -> Result<Verified, Error> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    // Only clean pages can be dropped, so whatever is still in memory goes to the medium first.
    file.sync_all().map_err(Error::io("flushing", path))?;
    fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(|error| Error::io("dropping the cache of", path)(error.into()))?;
    let source = FileSource::new(file, 512).map_err(Error::io("reading", path))?;
    let algorithms: Algorithms = expected.iter().map(hashing::Digest::algorithm).collect();
    let plan = Plan { algorithms, retries: 0, ..Plan::default() };
    let read = acquire(&source, &mut NullSink, &plan, progress, cancel)?;
    if read.ending != Ending::Complete || !read.bad.is_empty() {
        let offset_bytes = read.bad.iter().next().map_or(read.copied_bytes, |bad| bad.offset_bytes);
        return Err(Error::Unreadable { path: path.to_path_buf(), offset_bytes });
    }
    if read.size_bytes != size_bytes || !expected.agrees_with(&read.digests) {
        return Err(Error::Mismatch {
            path: path.to_path_buf(),
            expected: expected.clone(),
            found: read.digests,
        });
    }
    Ok(Verified { path: path.to_path_buf(), digests: read.digests, size_bytes })
}
