//! E01, the Expert Witness Compression Format in EnCase's and SMART's dialects: an acquired disk in chunks, with case facts.
//!
//! Read from Joachim Metz, "Expert Witness Compression Format" (libewf documentation). Our own reader: the crate `ewf` checks
//! neither the table's nor a stored chunk's checksum, has no way to the second table, and brings 37 packages along.
//! Tables are checked once when opening and read again a few entries at a time, so that a disk of many TB costs no memory.

mod chunks;
mod facts;
mod sections;
mod segments;
mod tables;

use super::folder::Folder;
use super::mapped::Mapped;
use super::tables::Tables;
use super::{Format, Opened};
use crate::bytes::{Fields, to_u64};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use chunks::Chunked;
use facts::Media;
use sections::Section;
use segments::Segment;
use std::sync::Arc;
use tables::{Table, TableSet};

const EVF: &[u8] = b"EVF\x09\x0d\x0a\xff\x00";
const OTHERS: [(&[u8], &str); 3] = [
    (b"LVF\x09\x0d\x0a\xff\x00", "an EWF logical evidence file (L01)"),
    (b"EVF2\x0d\x0a\x81\x00", "EWF version 2 (Ex01)"),
    (b"LEF2\x0d\x0a\x81\x00", "an EWF version 2 logical evidence file (Lx01)"),
];

/// Sections one image may have: a segment of the smallest size has about ten for each MiB.
const MAX_SECTIONS: u32 = 1 << 20;

/// Sectors that could not be read at acquisition, as problems of their own.
const MAX_ERROR_PROBLEMS: usize = 1000;

pub(super) fn is_ewf(head: Fields<'_>) -> bool {
    head.has(0, EVF) || OTHERS.iter().any(|(signature, _)| head.has(0, signature))
}

/// Opens an image by any of its segments.
pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let head = first.bytes_at(0, 16).map_err(EvidenceError::read("the EWF file header"))?;
    if let Some((_, what)) = OTHERS.iter().find(|(signature, _)| Fields(&head).has(0, signature)) {
        return Err(EvidenceError::unsupported(*what));
    }
    let mut reading = Reading { sections: MAX_SECTIONS, ..Reading::default() };
    let mut place = segments::Place::of(first, name);
    while let Some(segment) = place.next(folder, &mut reading.problems) {
        if let Some(missing) = segment.missing_before {
            reading.gap(missing, &segment);
        }
        if reading.segment(segment, folder) == Last::Yes {
            break;
        }
    }
    reading.problems.extend(place.problems());
    reading.finish(folder)
}

/// Whether a segment said that none follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

/// An image being read, segment by segment.
#[derive(Default)]
struct Reading {
    segments: Vec<Tables>,
    sources: Vec<Arc<dyn Source>>,
    files: Vec<String>,
    media: Option<Media>,
    facts: facts::Facts,
    tables: TableSet,
    sections: u32,
    problems: Vec<Problem>,
}

impl Reading {
    /// Notes that segments are missing in front of this one.
    fn gap(&mut self, missing: u16, segment: &Segment) {
        let text = if missing == 1 {
            format!("the segment before \"{}\" is missing", segment.name)
        } else {
            format!("{missing} segments before \"{}\" are missing", segment.name)
        };
        self.problem(ProblemKind::Io, text);
        self.tables.gap();
    }

    fn problem(&mut self, kind: ProblemKind, text: impl Into<String>) {
        self.problems.push(Problem::new(kind, Place::Source, text));
    }

    /// Reads the sections of one segment.
    fn segment(&mut self, segment: Segment, folder: &mut Folder<'_>) -> Last {
        let number = self.segments.len();
        // Tables are looked up a few bytes at a time and lie apart from the data.
        let meta = folder.tables(&segment.source);
        self.sources.push(Arc::clone(&segment.source));
        let found = sections::walk(&meta, &segment.name, &mut self.sections);
        self.segments.push(meta);
        self.tables.begin_segment(number, &found.sections);
        for section in &found.sections {
            self.section(&segment, number, section);
        }
        let last = if found.is_last { Last::Yes } else { Last::No };
        self.problems.extend(found.problems);
        self.files.push(segment.name);
        last
    }

    fn section(&mut self, segment: &Segment, number: usize, section: &Section) {
        let source: &dyn Source = &*segment.source;
        match section.kind() {
            b"header" | b"header2" => {
                if let Err(what) = self.facts.header(source, section) {
                    let text = format!("the case facts of \"{}\": {what}", segment.name);
                    self.problem(ProblemKind::Corrupt, text);
                }
            }
            b"volume" | b"disk" | b"data" => match Media::read(source, section) {
                Ok(media) => self.media(media, &segment.name),
                Err(what) => self.problem(
                    ProblemKind::Corrupt,
                    format!("the volume of \"{}\": {what}", segment.name),
                ),
            },
            b"table" | b"table2" => {
                let read = Table::read(source, number, section);
                if let Some(text) =
                    self.tables.add(read, section.kind() == b"table2", &segment.name)
                {
                    self.problem(ProblemKind::Corrupt, text);
                }
            }
            b"hash" | b"digest" => {
                if let Err(what) = self.facts.digests(source, section) {
                    let text = format!("the stored digests of \"{}\": {what}", segment.name);
                    self.problem(ProblemKind::Corrupt, text);
                }
            }
            b"error2" => match facts::read_errors(source, section) {
                Ok(ranges) => self.facts.unread.extend(ranges),
                Err(what) => {
                    let text = format!("the list of read errors of \"{}\": {what}", segment.name);
                    self.problem(ProblemKind::Corrupt, text);
                }
            },
            _ => {}
        }
    }

    /// The first volume section counts; later ones have to agree.
    fn media(&mut self, media: Media, name: &str) {
        match &self.media {
            None => self.media = Some(media),
            Some(first) if first.set != media.set => {
                self.problem(
                    ProblemKind::Corrupt,
                    format!("\"{name}\" belongs to another set of segments"),
                );
            }
            Some(_) => {}
        }
    }

    fn finish(mut self, folder: &mut Folder<'_>) -> Result<Opened, EvidenceError> {
        let media = self.media.take().ok_or_else(|| {
            EvidenceError::corrupt("the EWF image has no readable volume section")
        })?;
        let chunk_bytes = media.chunk_bytes()?;
        let wanted = media.size_bytes().div_ceil(chunk_bytes.max(1));
        self.tables.close_gap(wanted);
        let listed = self.tables.chunks();
        let mut size_bytes = media.size_bytes();
        if size_bytes == 0 {
            // An acquisition that was cut off leaves the counts at zero.
            size_bytes = listed.saturating_mul(chunk_bytes);
            let text = format!("the volume section has no size; the tables have {listed} chunks");
            self.problem(ProblemKind::Corrupt, text);
        } else if listed < wanted {
            let place = Place::OffsetBytes(listed.saturating_mul(chunk_bytes));
            let text =
                format!("the tables have {listed} chunks of {wanted}: the rest cannot be read");
            self.problems.push(Problem::new(ProblemKind::Corrupt, place, text));
        }
        self.unread_sectors(&media);
        let digests = self.facts.recorded();
        let mut facts = self.facts.list();
        facts.extend(media.facts());
        let layout = Chunked {
            size_bytes,
            chunk_bytes,
            sector_bytes: media.sector_bytes,
            tables: self.tables,
            meta: self.segments,
            sources: self.sources,
        };
        let source = Arc::new(Mapped::new(layout, folder.chunks()));
        Ok(Opened {
            source,
            format: Format::Ewf,
            files: self.files,
            facts,
            digests,
            as_digested: None,
            problems: self.problems,
        })
    }

    /// What the acquisition could not read is zeros in the image: that has to be said.
    fn unread_sectors(&mut self, media: &Media) {
        let unread = std::mem::take(&mut self.facts.unread);
        for (first, count) in unread.iter().take(MAX_ERROR_PROBLEMS) {
            let place = Place::OffsetBytes(first.saturating_mul(u64::from(media.sector_bytes)));
            let text =
                format!("{count} sectors from sector {first} could not be read at acquisition");
            self.problems.push(Problem::new(ProblemKind::Io, place, text));
        }
        let more = unread.len().saturating_sub(MAX_ERROR_PROBLEMS);
        if more != 0 {
            let sectors = unread.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
            let text = format!(
                "{more} more such ranges; {sectors} sectors in all {}",
                to_u64(unread.len())
            );
            self.problem(ProblemKind::Io, text);
        }
    }
}
