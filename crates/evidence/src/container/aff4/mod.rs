//! AFF4, the Advanced Forensics Format 4: physical images by the Standard v1.0, in one file or striped over several.
//!
//! Read from the AFF4 Standard v1.0a and its reference images, which win where the two differ. Our own reader: the crates
//! `aff4` and `aff4-image` keep whole bevies and maps in memory, open paths themselves and read no striped images. Images
//! of files (AFF4-L), encrypted streams and what was written before the Standard are named and left alone.

mod facts;
mod map;
mod snappy;
mod stream;
mod turtle;
mod volume;
mod zip;

use super::below::Notes;
use super::folder::Folder;
use super::mapped::Mapped;
use super::{Format, Opened};
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use map::{Disk, Entries, Hole, Show, Target};
use std::sync::Arc;
use stream::ImageStream;
use volume::{Volume, is_volume};

/// Files one striped image may consist of.
const MAX_STRIPES: u32 = 64;

/// Unreadable stretches that become problems of their own.
const MAX_HOLE_PROBLEMS: usize = 1000;

pub(super) fn is_aff4(head: Fields<'_>, file: &dyn Source) -> bool {
    is_volume(head, file)
}

pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let volume = Arc::new(Volume::open(first, name, folder)?);
    let mut notes = Notes::of(name);
    for text in &volume.problems {
        notes.problem(ProblemKind::Corrupt, format!("the AFF4 volume \"{}\": {text}", volume.name));
    }
    let image = choose(&volume, &mut notes)?;
    facts::of(&volume, &image.urn, &mut notes);
    let opening = Opening { volumes: vec![volume], others: Others::of(name), folder, notes };
    opening.finish(&image)
}

/// The image of a volume that is shown.
struct Image {
    urn: String,
    data: String,
}

/// The first image with a stream of data; the text says what the volume holds instead.
fn choose(volume: &Volume, notes: &mut Notes) -> Result<Image, EvidenceError> {
    let mut images = volume.graph.subjects().filter_map(|subject| {
        let is_image =
            ["Image", "DiskImage", "ContiguousImage", "DiscontiguousImage", "MemoryImage"]
                .iter()
                .any(|kind| volume.is_a(subject, kind));
        let data = volume.property(subject, "dataStream").filter(|_| is_image)?;
        Some(Image { urn: subject.to_owned(), data: data.text().to_owned() })
    });
    if let Some(image) = images.next() {
        let more = images.count();
        if more != 0 {
            notes.problem(
                ProblemKind::Unsupported,
                format!("the volume holds {more} more images; only the first is shown"),
            );
        }
        return Ok(image);
    }
    let has = |kind: &str| volume.graph.subjects().any(|subject| volume.is_a(subject, kind));
    // Volumes written for a map or a stream alone: shown, if there is just one.
    for kind in ["Map", "ImageStream"] {
        let mut streams = volume.graph.subjects().filter(|subject| volume.is_a(subject, kind));
        if let (Some(only), None) = (streams.next(), streams.next())
            && !has("FileImage")
        {
            let text = format!("the volume describes no image; its only {kind} is shown");
            notes.problem(ProblemKind::Corrupt, text);
            return Ok(Image { urn: only.to_owned(), data: only.to_owned() });
        }
    }
    Err(if has("FileImage") || has("FolderImage") || has("Folder") {
        EvidenceError::unsupported("an AFF4 logical image (AFF4-L: files, not a disk)")
    } else if has("EncryptedStream") {
        EvidenceError::unsupported("an encrypted AFF4 image")
    } else if volume.graph.subjects().next().is_none() {
        EvidenceError::corrupt("the AFF4 volume's information.turtle says nothing")
    } else {
        EvidenceError::unsupported("an AFF4 volume without an image by the Standard v1.0")
    })
}

/// An image while it is put together.
struct Opening<'a, 'f> {
    volumes: Vec<Arc<Volume>>,
    others: Others,
    folder: &'a mut Folder<'f>,
    notes: Notes,
}

impl Opening<'_, '_> {
    fn finish(mut self, image: &Image) -> Result<Opened, EvidenceError> {
        let volume =
            Arc::clone(self.volumes.first().ok_or_else(|| EvidenceError::corrupt("no volume"))?);
        let (urn, data) = (&image.urn, &image.data);
        let sector_bytes =
            volume.number(urn, "blockSize").and_then(|bytes| u32::try_from(bytes).ok());
        let sector_bytes = sector_bytes.filter(|bytes| *bytes != 0).unwrap_or(512);
        if volume.is_a(data, "ImageStream") {
            return self.stream_alone(&volume, data);
        }
        if !volume.is_a(data, "Map") {
            let data = escape_bytes(data.as_bytes());
            let text =
                format!("an AFF4 image whose data \"{data}\" is neither Map nor ImageStream");
            return Err(EvidenceError::unsupported(text));
        }
        let shown = escape_bytes(data.as_bytes());
        let entries = Entries::read(&volume, data)
            .map_err(|what| EvidenceError::corrupt(format!("the AFF4 map {shown}: {what}")))?;
        for what in &entries.problems {
            self.notes.problem(ProblemKind::Corrupt, format!("the AFF4 map {shown}: {what}"));
        }
        let gaps = volume.property(data, "mapGapDefaultStream").map_or(Target::Zeros, |value| {
            Target::symbolic(value.text()).unwrap_or_else(|| {
                let name = escape_bytes(value.text().as_bytes());
                Target::Missing(format!(
                    "gaps of the map are filled from \"{name}\", which is not read"
                ))
            })
        });
        let targets = entries.targets.clone();
        let targets = targets.iter().map(|name| self.target(name)).collect();
        let mapped = entries.end_bytes();
        let mut disk = Disk::new(Arc::new(entries.list), targets, gaps);
        disk.sector_bytes = sector_bytes;
        disk.size_bytes = self.size(&volume, image, mapped);
        self.holes(&disk);
        let source = Mapped::new(disk.shown(Show::Errors), self.folder.chunks());
        let has_holes =
            !disk.holes(Hole::Unreadable).is_empty() || !disk.holes(Hole::Unknown).is_empty();
        let mut opened = self.notes.opened(Arc::new(source), Format::Aff4);
        if has_holes {
            let marked = Mapped::new(disk.shown(Show::Text), self.folder.chunks());
            opened.as_digested = Some(Arc::new(marked));
        }
        Ok(opened)
    }

    fn stream_alone(mut self, volume: &Arc<Volume>, urn: &str) -> Result<Opened, EvidenceError> {
        let stream = ImageStream::open(volume, urn).map_err(EvidenceError::unsupported)?;
        self.notes.fact("compression", stream.compression());
        let source = Arc::new(Mapped::new(stream, self.folder.chunks()));
        Ok(self.notes.opened(source, Format::Aff4))
    }

    /// The size of the disk: what the image says, or the map, or its entries.
    fn size(&mut self, volume: &Volume, image: &Image, mapped: u64) -> u64 {
        let said = volume.number(&image.urn, "size");
        let by_map = volume.number(&image.data, "size");
        let size = said.or(by_map).unwrap_or(mapped);
        if let (Some(said), Some(by_map)) = (said, by_map)
            && said != by_map
        {
            let text = format!("the image has {said} bytes, its map {by_map}: the first counts");
            self.notes.problem(ProblemKind::Corrupt, text);
        }
        if mapped > size {
            let text = format!("the map reaches to {mapped}, past the image's {size} bytes");
            self.notes.problem(ProblemKind::Corrupt, text);
        }
        size
    }

    /// A stream the map names, looked for in the files of the image.
    fn target(&mut self, name: &str) -> Target {
        if let Some(target) = Target::symbolic(name) {
            return target;
        }
        let Some(volume) = self.holder(name) else {
            let name = escape_bytes(name.as_bytes());
            let text = format!("the stream {name} is missing: the image has further files");
            self.notes.problem(ProblemKind::Io, text.clone());
            return Target::Missing(text);
        };
        match ImageStream::open(&volume, name) {
            Ok(stream) => {
                if self.notes.facts.iter().all(|(name, _)| name != "compression") {
                    self.notes.fact("compression", stream.compression());
                    self.notes.fact("chunk bytes", stream.chunk_bytes);
                }
                Target::Stream(Arc::new(Mapped::new(stream, self.folder.chunks())))
            }
            Err(what) => {
                let text = format!("the stream {}: {what}", escape_bytes(name.as_bytes()));
                self.notes.problem(ProblemKind::Unsupported, text.clone());
                Target::Missing(text)
            }
        }
    }

    /// The volume that has the bevies of a stream; other files of the folder are opened until it is found.
    fn holder(&mut self, name: &str) -> Option<Arc<Volume>> {
        // Each volume describes all streams, and may keep the digests of all: only the bevies tell.
        let holds = |volume: &Arc<Volume>| {
            let has_bevies = volume.parts(name).is_some_and(|parts| !parts.bevies.is_empty());
            volume.is_a(name, "ImageStream")
                && (has_bevies || volume.number(name, "size") == Some(0))
        };
        if let Some(found) = self.volumes.iter().find(|volume| holds(volume)) {
            return Some(Arc::clone(found));
        }
        while let Some(file) = self.others.next() {
            let Some(source) = self.folder.file(&file, &mut self.notes.problems) else { continue };
            let head = source.bytes_at(0, 512).unwrap_or_default();
            if !is_volume(Fields(&head), &*source) {
                continue;
            }
            let Ok(volume) = Volume::open(&source, &file, self.folder) else { continue };
            let volume = Arc::new(volume);
            self.notes.files.push(escape_bytes(&file));
            self.volumes.push(Arc::clone(&volume));
            if holds(&volume) {
                return Some(volume);
            }
        }
        None
    }

    /// Says what of the disk is not there.
    fn holes(&mut self, disk: &Disk) {
        let sector = u64::from(disk.sector_bytes);
        let unread = disk.holes(Hole::Unreadable);
        let sectors = |bytes: u64| bytes.checked_div(sector).unwrap_or(0);
        for (start, end) in unread.iter().take(MAX_HOLE_PROBLEMS) {
            let (first, count) = (sectors(*start), sectors(end.saturating_sub(*start)));
            let text =
                format!("{count} sectors from sector {first} could not be read at acquisition");
            self.notes.problems.push(Problem::new(
                ProblemKind::Io,
                Place::OffsetBytes(*start),
                text,
            ));
        }
        let total = |holes: &[(u64, u64)]| {
            holes
                .iter()
                .fold(0_u64, |sum, (start, end)| sum.saturating_add(end.saturating_sub(*start)))
        };
        if unread.len() > MAX_HOLE_PROBLEMS {
            let more = unread.len().saturating_sub(MAX_HOLE_PROBLEMS);
            let text = format!(
                "{more} more such ranges; {} sectors in all {}",
                sectors(total(&unread)),
                unread.len()
            );
            self.notes.problem(ProblemKind::Io, text);
        }
        let unknown = disk.holes(Hole::Unknown);
        if !unknown.is_empty() {
            let text = format!(
                "{} bytes in {} ranges were not acquired, the first at {}",
                total(&unknown),
                unknown.len(),
                unknown.first().map_or(0, |(start, _)| *start)
            );
            self.notes.problem(ProblemKind::Io, text);
        }
    }
}

/// Names the other files of a striped image may have: `disk_1.aff4` beside `disk_2.aff4`.
struct Others {
    stem: Vec<u8>,
    ending: Vec<u8>,
    own: Vec<u8>,
    next: u32,
}

impl Others {
    fn of(name: &[u8]) -> Self {
        let plain = super::folder::plain_name(name);
        let dot = plain.iter().rposition(|byte| *byte == b'.').unwrap_or(plain.len());
        let (stem, ending) = plain.split_at_checked(dot).unwrap_or((plain, &[]));
        let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let stem = stem.get(..stem.len().saturating_sub(digits)).unwrap_or(stem);
        let next = if digits == 0 { MAX_STRIPES } else { 0 };
        Self { stem: stem.to_vec(), ending: ending.to_vec(), own: plain.to_vec(), next }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        while self.next < MAX_STRIPES {
            let mut name = self.stem.clone();
            name.extend(self.next.to_string().bytes());
            name.extend(&self.ending);
            self.next = self.next.saturating_add(1);
            if name != self.own {
                return Some(name);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_are_numbered_before_the_ending() {
        let mut others = Others::of(b"disk_2.aff4");
        let names: Vec<Vec<u8>> = std::iter::from_fn(|| others.next()).take(3).collect();
        assert_eq!(names, [&b"disk_0.aff4"[..], b"disk_1.aff4", b"disk_3.aff4"]);
        assert!(Others::of(b"disk.aff4").next().is_none());
    }
}
