//! E01, the Expert Witness Compression Format, in the flavour of EnCase 6.
//!
//! After Joachim Metz, "Expert Witness Compression Format" (libewf documentation). The digests of record are not in the
//! file: SHA-256 has no place in this format that older programs accept (libewf 20140813 refuses an `xhash` section). The
//! MD5, and the SHA-1 if it was computed, stand in `hash` and `digest`.
//!
//! Every checkpoint closes a table, so that a file cut off there is a chain of whole sections.

mod about;
mod encode;
mod names;
mod sections;

use std::io;
use std::sync::Arc;

use evidence::container;
use evidence::source::Source;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Again, Begin, Compression, Medium, Request, parsed, shown};
use crate::{
    About, Acquisition, Checkpoint, Encoding, Error, ImageFile, ImageWriter, Part, Parts, ReadAt,
    Stored,
};
use encode::Deflate;
use names::{MAX_SEGMENTS, segment_name};
use sections::Geometry;

/// Bytes of the disk in a chunk: what every program expects.
const CHUNK_BYTES: u64 = 32 * 1024;

/// Entries of a table: older readers take no more.
const MAX_ENTRIES: usize = 16_375;

/// Offsets in a table have 31 bits; a group ends well before.
const MAX_GROUP_BYTES: u64 = (1 << 31) - (1 << 20);

/// What is written when nothing else is asked for: what fits the file systems and programs of today.
const DEFAULT_SEGMENT_BYTES: u64 = 2 << 30;

/// Below this a segment would be mostly tables.
const MIN_SEGMENT_BYTES: u64 = 1 << 20;

/// Room kept at the end of a segment for the sections behind the last table, the list of read errors apart.
const END_BYTES: u64 = 4096;

/// An E01 image being written.
pub struct E01Image {
    parts: Parts,
    stem: String,
    segment_bytes: u64,
    geometry: Geometry,
    compression: Compression,
    /// Offsets of the group under way, relative to its `sectors` section; the highest bit says "compressed".
    entries: Vec<u32>,
    /// Where the `sectors` section under way begins.
    group_at: Option<u64>,
    is_complete: bool,
}

#[derive(Serialize, Deserialize)]
struct State {
    names: Vec<String>,
    at_bytes: u64,
    is_complete: bool,
}

impl E01Image {
    /// Begins an image: the first segment with the facts of the case.
    ///
    /// # Errors
    /// When the source has no whole sectors or would take too many segments, or the first file cannot be made.
    pub(crate) fn create(
        request: &Request,
        medium: &Medium,
        begin: Begin<'_>,
    ) -> Result<Self, Error> {
        let geometry = geometry(request, medium)?;
        let segment_bytes = request.split_bytes.unwrap_or(DEFAULT_SEGMENT_BYTES);
        check_segments(segment_bytes, medium.size_bytes)?;
        let first = segment_name(&request.stem, 1).unwrap_or_default();
        let parts = begin(&first)?;
        let mut image = Self::new(request, geometry, parts);
        let begun = image.begin_first(&request.about).and_then(|()| image.parts.settle_all());
        begun.map_err(Error::io("writing", &request.folder.join(&first)))?;
        Ok(image)
    }

    /// Goes on with one.
    ///
    /// # Errors
    /// When its files are not there or shorter than they were.
    pub(crate) fn reopen(
        request: &Request,
        medium: &Medium,
        state: &Value,
        again: Again<'_>,
    ) -> Result<Self, Error> {
        let state: State = parsed(state, &request.folder)?;
        let geometry = geometry(request, medium)?;
        let parts = again(state.names, state.at_bytes)?;
        let mut image = Self::new(request, geometry, parts);
        image.is_complete = state.is_complete;
        Ok(image)
    }

    fn new(request: &Request, geometry: Geometry, parts: Parts) -> Self {
        Self {
            parts,
            stem: request.stem.clone(),
            segment_bytes: request.split_bytes.unwrap_or(DEFAULT_SEGMENT_BYTES),
            geometry,
            compression: request.compression,
            entries: Vec::new(),
            group_at: None,
            is_complete: false,
        }
    }

    fn begin_first(&mut self, about: &About) -> io::Result<()> {
        self.parts.append(&sections::file_header(1))?;
        let header2 = encode::zlib(&about::header2(about))?;
        self.section(b"header2", &header2)?;
        self.section(b"header2", &header2)?;
        let header = encode::zlib(&about::header(about))?;
        self.section(b"header", &header)?;
        self.section(b"volume", &self.geometry.volume())
    }

    /// Writes a section whose content is known.
    fn section(&mut self, kind: &[u8], content: &[u8]) -> io::Result<()> {
        let at = self.parts.position_bytes();
        self.parts.append(&sections::descriptor(kind, at, content.len()))?;
        self.parts.append(content)
    }

    /// Puts one stored chunk behind the others.
    fn chunk(&mut self, bytes: &[u8], stored: Stored) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.entries.len() >= MAX_ENTRIES || self.group_bytes() > MAX_GROUP_BYTES {
            self.end_group()?;
        }
        let tables = sections::table_bytes(self.entries.len().saturating_add(1)).saturating_mul(2);
        let needed = length.saturating_add(tables).saturating_add(END_BYTES);
        if self.parts.position_bytes().saturating_add(needed) > self.segment_bytes {
            self.next_segment()?;
        }
        let group_at = match self.group_at {
            Some(group_at) => group_at,
            None => {
                let at = self.parts.position_bytes();
                // The length is not known yet; the end of the group puts it in.
                self.parts.append(&sections::descriptor(b"sectors", at, 0))?;
                *self.group_at.insert(at)
            }
        };
        let offset = self.parts.position_bytes().saturating_sub(group_at);
        let offset = u32::try_from(offset).map_err(io::Error::other)?;
        let flag = if stored == Stored::Compressed { 1 << 31 } else { 0 };
        self.parts.append(bytes)?;
        self.entries.push(offset | flag);
        Ok(())
    }

    fn group_bytes(&self) -> u64 {
        self.group_at.map_or(0, |at| self.parts.position_bytes().saturating_sub(at))
    }

    /// Closes the group of chunks under way: its length, and its table twice.
    fn end_group(&mut self) -> io::Result<()> {
        let Some(group_at) = self.group_at.take() else { return Ok(()) };
        let length = self.parts.position_bytes().saturating_sub(group_at);
        let content = usize::try_from(length.saturating_sub(sections::DESCRIPTOR_BYTES));
        let descriptor = sections::descriptor(b"sectors", group_at, content.unwrap_or(0));
        self.parts.overwrite(group_at, &descriptor)?;
        let table = sections::table(group_at, &self.entries);
        self.entries.clear();
        self.section(b"table", &table)?;
        self.section(b"table2", &table)?;
        self.parts.settle_all()
    }

    fn next_segment(&mut self) -> io::Result<()> {
        self.end_group()?;
        let at = self.parts.position_bytes();
        self.parts.append(&sections::last_descriptor(b"next", at))?;
        let number = self.parts.names().len().saturating_add(1);
        let full = || io::Error::other(format!("{number} segments are more than the format has"));
        let name = segment_name(&self.stem, number).ok_or_else(full)?;
        self.parts.next(&name)?;
        let number = u16::try_from(number).map_err(io::Error::other)?;
        self.parts.append(&sections::file_header(number))?;
        self.section(b"data", &self.geometry.volume())
    }
}

/// A length that no segment passes, in bytes: the list of read errors may come on top of what it was to have.
#[cfg(feature = "bucket")]
pub(super) fn most_bytes(request: &Request) -> u64 {
    request.split_bytes.unwrap_or(DEFAULT_SEGMENT_BYTES).saturating_add(16 << 20)
}

fn geometry(request: &Request, medium: &Medium) -> Result<Geometry, Error> {
    let refuse = |reason: String| Err(Error::Format { format: "E01", reason });
    let (size, sector) = (medium.size_bytes, u64::from(medium.sector_bytes));
    if size == 0 || size.checked_rem(sector) != Some(0) {
        return refuse(format!(
            "it holds whole sectors of {sector} bytes, and the source has {size} bytes; raw takes it"
        ));
    }
    if !medium.chunk_bytes.is_multiple_of(CHUNK_BYTES) {
        return refuse(format!("reads of {} bytes are not made of its chunks", medium.chunk_bytes));
    }
    let Ok(chunks) = u32::try_from(size.div_ceil(CHUNK_BYTES)) else {
        return refuse(format!("{size} bytes are more chunks than it can count; raw takes them"));
    };
    Ok(Geometry {
        chunks,
        chunk_sectors: u32::try_from(CHUNK_BYTES.checked_div(sector).unwrap_or(0)).unwrap_or(0),
        sector_bytes: medium.sector_bytes,
        sectors: size.checked_div(sector).unwrap_or(0),
        compression: request.compression,
        set_identifier: request.about.set_identifier,
        is_disk: request.about.is_disk,
    })
}

/// Refuses now what would end after hours: more segments than there are names for.
fn check_segments(segment_bytes: u64, size_bytes: u64) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Format { format: "E01", reason });
    if segment_bytes < MIN_SEGMENT_BYTES {
        return refuse(format!("segments of {segment_bytes} bytes; at least {MIN_SEGMENT_BYTES}"));
    }
    // Nothing compresses: a checksum for each chunk, twice an entry, and what a segment has beside its chunks.
    let worst = size_bytes.saturating_add(size_bytes.div_ceil(CHUNK_BYTES).saturating_mul(16));
    let used = segment_bytes.saturating_sub(64 << 10);
    let segments = worst.div_ceil(used.max(1));
    if segments > u64::from(MAX_SEGMENTS) {
        let least = worst.div_ceil(u64::from(MAX_SEGMENTS)).saturating_add(128 << 10);
        return refuse(format!(
            "it would take up to {segments} segments and libewf reads {MAX_SEGMENTS}; \
             choose segments of at least {least} bytes"
        ));
    }
    Ok(())
}

impl ImageWriter for E01Image {
    fn name(&self) -> String {
        shown(&self.parts)
    }

    fn encoding(&self) -> Option<Arc<dyn Encoding>> {
        Some(Arc::new(Deflate { compression: self.compression }))
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let encoded = part.encoded.ok_or_else(|| io::Error::other("the chunk was not encoded"))?;
        let mut rest = encoded.bytes.as_slice();
        for piece in &encoded.pieces {
            let split = rest.split_at_checked(piece.length_bytes);
            let (bytes, later) = split.ok_or_else(|| io::Error::other("a chunk is cut off"))?;
            self.chunk(bytes, piece.stored)?;
            rest = later;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        self.end_group()?;
        let flush = self.parts.to_flush()?;
        let state = json!(State {
            names: self.parts.names().to_vec(),
            at_bytes: self.parts.position_bytes(),
            is_complete: self.is_complete,
        });
        Ok(Checkpoint { flush, state })
    }

    fn complete(&mut self, acquisition: &Acquisition) -> io::Result<()> {
        self.end_group()?;
        if self.parts.names().len() == 1 {
            self.section(b"data", &self.geometry.volume())?;
        }
        if let Some(errors) = sections::errors(acquisition) {
            self.section(b"error2", &errors)?;
        }
        if let Some(digest) = sections::digest(&acquisition.digests) {
            self.section(b"digest", &digest)?;
        }
        if let Some(hash) = sections::hash(&acquisition.digests) {
            self.section(b"hash", &hash)?;
        }
        let at = self.parts.position_bytes();
        self.parts.append(&sections::last_descriptor(b"done", at))?;
        self.is_complete = true;
        self.parts.finish()
    }
}

impl ImageFile for E01Image {
    fn read_back(&self) -> io::Result<Box<dyn ReadAt>> {
        let name = self.parts.names().first().cloned().unwrap_or_default();
        let first = self.parts.source(&name)?;
        let opened =
            container::open(first, name.as_bytes(), &self.parts).map_err(io::Error::other)?;
        Ok(Box::new(Decoded(opened.source)))
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    fn parts_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

/// A disk as the evidence layer shows it, for the acquisition's reader.
struct Decoded(Arc<dyn Source>);

impl ReadAt for Decoded {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset_bytes, buffer).map_err(io::Error::other)
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.0.sector_bytes()
    }
}
