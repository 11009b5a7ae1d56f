//! The formats images are written in. To add one: a module with an [`ImageFile`], an entry in [`Format`], and a line each
//! in [`create`] and [`reopen`].

pub mod raw;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ImageFile};

/// A format images are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes of the disk, in one file or in numbered parts.
    Raw,
}

/// What is known of the source before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its logical sector size in bytes.
    pub sector_bytes: u32,
    /// Bytes in a chunk of the plan.
    pub chunk_bytes: u64,
}

/// A copy that is wanted. All of it goes into the journal, so that the copy can be continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// In which format.
    pub format: Format,
    /// In which folder.
    pub folder: PathBuf,
    /// The name without any extension; the format adds its own.
    pub stem: String,
    /// The largest file made, in bytes; `None` for the format's own choice.
    pub split_bytes: Option<u64>,
}

/// Begins a copy.
///
/// # Errors
/// When the format cannot hold the source, or the files cannot be made.
pub fn create(request: &Request, medium: &Medium) -> Result<Box<dyn ImageFile>, Error> {
    match request.format {
        Format::Raw => Ok(Box::new(raw::RawImage::create(request, medium)?)),
    }
}

/// Goes on with a copy from what its last checkpoint said.
///
/// # Errors
/// When the files are not what the state says, or the state is not one of this format.
pub fn reopen(
    request: &Request,
    medium: &Medium,
    state: &Value,
) -> Result<Box<dyn ImageFile>, Error> {
    match request.format {
        Format::Raw => Ok(Box::new(raw::RawImage::reopen(request, medium, state)?)),
    }
}

/// What a format reads from the journal.
pub(crate) fn parsed<T: for<'de> Deserialize<'de>>(
    state: &Value,
    folder: &Path,
) -> Result<T, Error> {
    T::deserialize(state).map_err(|_error| Error::Journal {
        path: folder.to_path_buf(),
        reason: "the state of a copy is not of its format",
    })
}
