//! The formats images are written in. To add one: a module with an [`ImageFile`], an entry in [`Format`], and a line each
//! in [`create`] and [`reopen`].

pub mod aff4;
pub mod e01;
mod probe;
pub mod raw;
pub mod zst;

use std::path::{Path, PathBuf};

use hashing::escape_name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ImageFile, Parts};

/// A format images are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes of the disk, in one file or in numbered parts.
    Raw,
    /// The Expert Witness Compression Format as EnCase 6 writes it.
    E01,
    /// The Advanced Forensics Format 4 by its Standard v1.0.
    Aff4,
    /// The bytes of the disk in Zstandard frames that can be read one by one.
    Zst,
}

impl Format {
    /// Its name for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::E01 => "E01",
            Self::Aff4 => "AFF4",
            Self::Zst => "zst",
        }
    }
}

/// How hard a format that compresses tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Only what is all zeros.
    Zeros,
    /// As fast as reading; what looks random is stored.
    #[default]
    Fast,
    /// The usual level of the codec.
    Good,
    /// The highest level of the codec.
    Best,
}

/// What is told about the source in formats that have a place for it. Texts may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Number of the case.
    pub case: String,
    /// Number of the exhibit.
    pub exhibit: String,
    /// What the source is.
    pub description: String,
    /// Who acquires.
    pub examiner: String,
    /// Anything else.
    pub notes: String,
    /// Model of the disk.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Program and version.
    pub software: String,
    /// The system it runs on.
    pub platform: String,
    /// When the acquisition began, in seconds since 1970 in UTC.
    pub begun_unix_seconds: u64,
    /// A random number that ties the files of an image together.
    pub set_identifier: [u8; 16],
    /// Whether a physical disk is read.
    pub is_disk: bool,
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
    /// How hard to compress.
    pub compression: Compression,
    /// What to tell about the source.
    pub about: About,
}

/// Makes the first file of a copy, of this name.
pub(crate) type Begin<'a> = &'a mut dyn FnMut(&str) -> Result<Parts, Error>;

/// Opens the files of a copy again, of these names; so many bytes of the last one count.
pub(crate) type Again<'a> = &'a mut dyn FnMut(Vec<String>, u64) -> Result<Parts, Error>;

/// Begins a copy.
///
/// # Errors
/// When the format cannot hold the source, or the files cannot be made.
pub fn create(request: &Request, medium: &Medium) -> Result<Box<dyn ImageFile>, Error> {
    create_by(request, medium, &mut |name| Parts::create(&request.folder, name))
}

/// The same with files that somebody else makes.
pub(crate) fn create_by(
    request: &Request,
    medium: &Medium,
    begin: Begin<'_>,
) -> Result<Box<dyn ImageFile>, Error> {
    match request.format {
        Format::Raw => Ok(Box::new(raw::RawImage::create(request, medium, begin)?)),
        Format::E01 => Ok(Box::new(e01::E01Image::create(request, medium, begin)?)),
        Format::Aff4 => Ok(Box::new(aff4::Aff4Image::create(request, medium, begin)?)),
        Format::Zst => Ok(Box::new(zst::ZstImage::create(request, medium, begin)?)),
    }
}

/// A length that no file of a copy passes, in bytes.
#[cfg(feature = "bucket")]
pub(crate) fn most_bytes(request: &Request, medium: &Medium) -> u64 {
    let disk = medium.size_bytes;
    match request.format {
        Format::Raw => request.split_bytes.map_or(disk, |split| split.min(disk)),
        Format::E01 => e01::most_bytes(request),
        // Chunks that do not shrink are stored; indexes and maps take less than what is added here.
        Format::Aff4 | Format::Zst => disk.saturating_add(disk / 32).saturating_add(64 << 20),
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
    let again = &mut |names, at_bytes| Parts::reopen(&request.folder, names, at_bytes);
    reopen_by(request, medium, state, again)
}

/// The same with files that somebody else opens.
pub(crate) fn reopen_by(
    request: &Request,
    medium: &Medium,
    state: &Value,
    again: Again<'_>,
) -> Result<Box<dyn ImageFile>, Error> {
    match request.format {
        Format::Raw => Ok(Box::new(raw::RawImage::reopen(request, medium, state, again)?)),
        Format::E01 => Ok(Box::new(e01::E01Image::reopen(request, medium, state, again)?)),
        Format::Aff4 => Ok(Box::new(aff4::Aff4Image::reopen(request, medium, state, again)?)),
        Format::Zst => Ok(Box::new(zst::ZstImage::reopen(request, medium, state, again)?)),
    }
}

/// The name of a copy's first file, when it is finished.
pub(crate) fn first_name(request: &Request) -> String {
    match request.format {
        Format::Raw => raw::name(request, 1),
        Format::E01 => format!("{}.E01", request.stem),
        Format::Zst => format!("{}.raw.zst", request.stem),
        Format::Aff4 => format!("{}.aff4", request.stem),
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

/// The name of a copy for messages: where its first file lies.
pub(crate) fn shown(parts: &Parts) -> String {
    let path = parts.paths().into_iter().next().unwrap_or_default();
    escape_name(path.as_os_str().as_encoded_bytes())
}
