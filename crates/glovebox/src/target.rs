//! What a person names on the command line: a disk by its kernel name, or an image file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::source::{FileSource, Source};
use guard::{Disk, DiskName, Guard};

use crate::failure::Failure;

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

/// Opens what the word names.
///
/// # Errors
/// If there is no such disk or file, or the broker refuses.
pub(crate) fn open(word: &str, guard: &Guard) -> Result<Target, Failure> {
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
