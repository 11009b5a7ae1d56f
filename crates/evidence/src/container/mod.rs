//! Disk images in files: raw, split raw, raw in Zstandard frames, E01, AFF4, qcow2, VMDK, VHD and VHDX, each shown as the disk it holds.
//!
//! An image may consist of several files, and names the others itself. Those names come from evidence, so opening them is
//! left to the caller's [`Siblings`], which gives out files of one folder only. A range that cannot be given (a corrupt
//! chunk, a missing part) is a read error of exactly that range: whoever reads makes a hole of it, and no zeros are made up.
//! The readers are our own: the published crates open paths, write, panic on bad input or leave checksums unread.

mod adler;
mod aff4;
mod below;
mod chunks;
mod ewf;
mod folder;
mod inflate;
mod joined;
mod mapped;
mod qcow2;
mod split;
mod tables;
mod vhd;
mod vhdx;
mod vmdk;
mod zstd;

use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::problem::Problem;
use crate::source::Source;
use folder::Folder;
use serde::Serialize;
use std::sync::Arc;

/// The other files of the folder an image lies in.
pub trait Siblings {
    /// Opens the file of this name read-only; `None` when there is none. A name with a separator is never opened.
    ///
    /// # Errors
    /// When it is there but cannot be opened.
    fn open(&self, name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>>;
}

/// No other files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSiblings;

impl Siblings for NoSiblings {
    fn open(&self, _name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        Ok(None)
    }
}

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the format's own name")]
pub enum Format {
    Raw,
    SplitRaw,
    Ewf,
    Qcow2,
    Vmdk,
    Vhd,
    Vhdx,
    Aff4,
    Zstd,
}

/// A digest of the whole disk that an image carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The algorithm's name in lower case: `md5`, `sha1`, `sha256` …
    pub algorithm: String,
    /// The digest in lower-case hexadecimal, as recorded; escaped, and not checked for its length.
    pub hex: String,
    /// What it counts where the disk could not be read.
    pub counted: Counted,
}

/// What a recorded digest counts where the disk could not be read at acquisition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// What the format shows there: [`Opened::as_digested`], or the disk itself where that is `None`.
    AsShown,
    /// Zeros, although the image has read errors there.
    AsZeros,
}

/// An image shown as a disk.
#[derive(Clone)]
pub struct Opened {
    /// The disk's content.
    pub source: Arc<dyn Source>,
    /// The format it was in.
    pub format: Format,
    /// Names of the files it consists of, escaped, in order.
    pub files: Vec<String>,
    /// What the format records about itself: name and value, escaped (case number, stored digests, creator …).
    pub facts: Vec<(String, String)>,
    /// Digests of the disk that the image carries.
    pub digests: Vec<Recorded>,
    /// The disk as those digests count it, where that differs from `source`: the AFF4 Standard has a text stand in the
    /// place of what could not be read.
    pub as_digested: Option<Arc<dyn Source>>,
    /// What is missing or contradicts the format.
    pub problems: Vec<Problem>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("format", &self.format)
            .field("size_bytes", &self.source.size_bytes())
            .field("files", &self.files)
            .field("facts", &self.facts)
            .field("digests", &self.digests)
            .field("problems", &self.problems)
            .finish()
    }
}

/// Opens an image by what its first file contains; a file of no known format is a raw image.
///
/// # Errors
/// When the format is known but needs something this version lacks, or cannot be read at all.
pub fn open(
    first: Arc<dyn Source>,
    name: &[u8],
    siblings: &dyn Siblings,
) -> Result<Opened, EvidenceError> {
    Folder::new(siblings).deeper(name, |folder| open_layer(first, name, folder))
}

/// Whether the file is a disk image although it looks like an archive: AFF4 is a ZIP file inside, and a disk may be packed
/// by Zstandard.
#[must_use]
pub fn is_image_like_an_archive(first: &Arc<dyn Source>) -> bool {
    let head = first.bytes_at(0, 512).unwrap_or_default();
    let head = Fields(&head);
    aff4::is_aff4(head, &**first) || (zstd::is_zstd(head) && zstd::is_image(first, b""))
}

/// One image of a chain of images.
fn open_layer(
    first: Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    // An unreadable first sector is a raw disk's own trouble: whoever reads it meets the error.
    let head = first.bytes_at(0, 512).unwrap_or_default();
    let head = Fields(&head);
    if aff4::is_aff4(head, &*first) {
        return aff4::open(&first, name, folder);
    }
    if ewf::is_ewf(head) {
        return ewf::open(&first, name, folder);
    }
    if qcow2::is_qcow2(head) {
        return qcow2::open(&first, name, folder);
    }
    if vmdk::is_vmdk(head) {
        return vmdk::open(&first, name, folder);
    }
    if vhd::is_dynamic(head) {
        return vhd::open(&first, name, folder);
    }
    if vhdx::is_vhdx(head) {
        return vhdx::open(&first, name, folder);
    }
    if zstd::is_zstd(head) {
        return zstd::open(&first, name, folder);
    }
    if let Some(opened) = split::open(&first, name, folder) {
        return Ok(opened);
    }
    if let Some(opened) = vhd::open_fixed(&first, name, folder) {
        return Ok(opened);
    }
    Ok(raw(first, name))
}

fn raw(source: Arc<dyn Source>, name: &[u8]) -> Opened {
    Opened {
        source,
        format: Format::Raw,
        files: vec![crate::escape_bytes(name)],
        facts: Vec::new(),
        digests: Vec::new(),
        as_digested: None,
        problems: Vec::new(),
    }
}
