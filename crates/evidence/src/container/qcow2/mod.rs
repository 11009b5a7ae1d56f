//! qcow2, the disk image of QEMU, versions 2 and 3.
//!
//! Read from QEMU's docs/interop/qcow2.txt. Our own reader: the crate `qcow2-rs` is an asynchronous writer with 90 packages
//! and unsafe code. Reference counts are never read: they matter to writers only.

mod clusters;
mod header;
mod snapshots;

use super::below::{Below, Notes, ReadAs};
use super::folder::Folder;
use super::mapped::Mapped;
use super::{Format, Opened};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::problem::ProblemKind;
use crate::source::Source;
use clusters::Clusters;
use header::{Compression, Header};
use std::sync::Arc;

/// The longest name of a backing file that QEMU accepts.
const MAX_NAME_BYTES: u32 = 1023;

pub(super) fn is_qcow2(head: Fields<'_>) -> bool {
    head.has(0, header::MAGIC)
}

pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let header = Header::read(&**first)?;
    let mut notes = Notes::of(name);
    notes.fact("version", header.version);
    notes.fact("cluster bytes", header.cluster_bytes());
    if header.compression == Compression::Zstd {
        notes.fact("compression", "zstd");
    }
    if header.has_extended_l2 {
        notes.fact("subclusters", "32");
    }
    if header.is_dirty {
        notes.problem(ProblemKind::Corrupt, "the image was not closed by its writer (dirty bit)");
    }
    if header.is_corrupt {
        notes.problem(ProblemKind::Corrupt, "the image is marked as corrupt by its writer");
    }
    let reach = header.reach_bytes();
    if reach < header.size_bytes {
        let text = format!("the L1 table reaches to {reach} of {} bytes", header.size_bytes);
        notes.problem(ProblemKind::Corrupt, text);
    }
    snapshots::list(&**first, &header, &mut notes);
    let data = data_file(first, &header, folder, &mut notes);
    let below = backing_file(&**first, &header, folder, &mut notes)?;
    let meta = folder.tables(first);
    let clusters = Clusters { header, meta, file: Arc::clone(first), data, below };
    let source = Arc::new(Mapped::new(clusters, folder.chunks()));
    Ok(notes.opened(source, Format::Qcow2))
}

/// Where uncompressed clusters are: this file, or one of their own.
fn data_file(
    first: &Arc<dyn Source>,
    header: &Header,
    folder: &mut Folder<'_>,
    notes: &mut Notes,
) -> Option<Arc<dyn Source>> {
    if !header.has_data_file {
        return Some(Arc::clone(first));
    }
    let recorded = header.data_file.as_deref().unwrap_or(&[]);
    notes.fact("data file", escape_bytes(recorded));
    let data = folder.file(recorded, &mut notes.problems);
    if data.is_some() {
        notes.files.push(escape_bytes(super::folder::plain_name(recorded)));
    } else {
        let text = format!("the data file \"{}\" is missing", escape_bytes(recorded));
        notes.problem(ProblemKind::Io, text);
    }
    data
}

fn backing_file(
    first: &dyn Source,
    header: &Header,
    folder: &mut Folder<'_>,
    notes: &mut Notes,
) -> Result<Below, EvidenceError> {
    if header.backing_at == 0 || header.backing_length == 0 {
        return Ok(Below::Nothing);
    }
    if header.backing_length > MAX_NAME_BYTES {
        let text = format!("the backing file's name has {} bytes", header.backing_length);
        return Err(EvidenceError::corrupt(text));
    }
    let length = to_usize(u64::from(header.backing_length));
    let recorded = first
        .bytes_at(header.backing_at, length)
        .map_err(EvidenceError::read("the backing file's name"))?;
    notes.fact("backing file", escape_bytes(&recorded));
    let read_as = match header.backing_format.as_deref() {
        Some(b"raw" | b"host_device") => ReadAs::Raw,
        _ => ReadAs::Content,
    };
    if let Some(format) = &header.backing_format {
        notes.fact("backing format", escape_bytes(format));
    }
    Ok(Below::open(&recorded, read_as, folder, notes).0)
}
