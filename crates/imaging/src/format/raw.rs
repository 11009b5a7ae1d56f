//! Raw images: the bytes of the disk and nothing else, in one file (`.raw`) or in parts of equal length (`.001`, `.002` …).
//!
//! The parts put behind one another are the disk; every program knows them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Again, Begin, Medium, Request, parsed, shown};
use crate::{Acquisition, Checkpoint, Error, ImageFile, ImageWriter, Part, Parts, Patch, ReadAt};

/// From `.1000` on, names no longer sort as the parts follow one another.
const MAX_PARTS: u64 = 999;

/// A raw image being written.
#[derive(Debug)]
pub struct RawImage {
    parts: Parts,
    stem: String,
    split_bytes: Option<u64>,
    sector_bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct State {
    names: Vec<String>,
    at_bytes: u64,
}

impl RawImage {
    /// Begins an image.
    ///
    /// # Errors
    /// When it would take too many parts, or the first file cannot be made.
    pub(crate) fn create(
        request: &Request,
        medium: &Medium,
        begin: Begin<'_>,
    ) -> Result<Self, Error> {
        if let Some(split_bytes) = request.split_bytes {
            let parts = medium.size_bytes.div_ceil(split_bytes.max(1));
            if split_bytes == 0 || parts > MAX_PARTS {
                let least = medium.size_bytes.div_ceil(MAX_PARTS);
                let reason = format!("{parts} parts; choose parts of at least {least} bytes");
                return Err(Error::Format { format: "split raw", reason });
            }
        }
        let parts = begin(&name(request, 1))?;
        Ok(Self::new(request, medium, parts))
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
        let parts = again(state.names, state.at_bytes)?;
        Ok(Self::new(request, medium, parts))
    }

    fn new(request: &Request, medium: &Medium, parts: Parts) -> Self {
        Self {
            parts,
            stem: request.stem.clone(),
            split_bytes: request.split_bytes,
            sector_bytes: medium.sector_bytes,
        }
    }
}

impl RawImage {
    fn joined(&self, open: impl Fn(&str) -> io::Result<File>) -> io::Result<Joined> {
        let mut joined =
            Joined { files: Vec::new(), size_bytes: 0, sector_bytes: self.sector_bytes };
        for name in self.parts.names() {
            let file = open(name)?;
            let end_bytes = joined.size_bytes.saturating_add(file.metadata()?.len());
            joined.files.push((joined.size_bytes, end_bytes, file));
            joined.size_bytes = end_bytes;
        }
        Ok(joined)
    }
}

pub(super) fn name(request: &Request, number: usize) -> String {
    match request.split_bytes {
        None => format!("{}.raw", request.stem),
        Some(_) => part_name(&request.stem, number),
    }
}

fn part_name(stem: &str, number: usize) -> String {
    format!("{stem}.{number:03}")
}

impl ImageWriter for RawImage {
    fn name(&self) -> String {
        shown(&self.parts)
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let Some(split_bytes) = self.split_bytes else {
            self.parts.append(part.bytes)?;
            return self.parts.settle_all();
        };
        let mut rest = part.bytes;
        while !rest.is_empty() {
            let mut room = split_bytes.saturating_sub(self.parts.position_bytes());
            if room == 0 {
                let number = self.parts.names().len().saturating_add(1);
                self.parts.next(&part_name(&self.stem, number))?;
                room = split_bytes;
            }
            let now = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let (bytes, later) = rest.split_at_checked(now).unwrap_or((rest, &[]));
            self.parts.append(bytes)?;
            self.parts.settle_all()?;
            rest = later;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        let flush = self.parts.to_flush()?;
        let state = json!(State {
            names: self.parts.names().to_vec(),
            at_bytes: self.parts.position_bytes(),
        });
        Ok(Checkpoint { flush, state })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        self.parts.finish()
    }
}

impl ImageFile for RawImage {
    fn read_back(&self) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(self.joined(|name| self.parts.open(name))?))
    }

    fn patch(&self) -> io::Result<Option<Box<dyn Patch>>> {
        Ok(Some(Box::new(self.joined(|name| self.parts.open_to_patch(name))?)))
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    fn parts_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

/// Files behind one another, as one source.
struct Joined {
    /// Begin and end of each on the disk.
    files: Vec<(u64, u64, File)>,
    size_bytes: u64,
    sector_bytes: u32,
}

impl Joined {
    /// The file that holds this place, the place in it, and how many bytes of `length` lie in it.
    fn file_at(&self, offset_bytes: u64, length: usize) -> io::Result<(&File, u64, usize)> {
        let index = self.files.partition_point(|(_, end, _)| *end <= offset_bytes);
        let (start, end, file) = self.files.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
        let left = usize::try_from(end.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
        Ok((file, offset_bytes.saturating_sub(*start), length.min(left)))
    }
}

impl Patch for Joined {
    fn read_all_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (mut offset, mut rest) = (offset_bytes, buffer);
        while !rest.is_empty() {
            let (file, inside, length) = self.file_at(offset, rest.len())?;
            let (now, later) = rest.split_at_mut_checked(length).unwrap_or_default();
            file.read_exact_at(now, inside)?;
            offset = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            rest = later;
        }
        Ok(())
    }

    fn write_all_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut offset, mut rest) = (offset_bytes, bytes);
        while !rest.is_empty() {
            let (file, inside, length) = self.file_at(offset, rest.len())?;
            let (now, later) = rest.split_at_checked(length).unwrap_or_default();
            file.write_all_at(now, inside)?;
            offset = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            rest = later;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|(.., file)| file.sync_data())
    }
}

impl ReadAt for Joined {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let index = self.files.partition_point(|(_, end, _)| *end <= offset_bytes);
        let Some((start, end, file)) = self.files.get(index) else { return Ok(0) };
        let left = usize::try_from(end.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        file.read_at(
            buffer.get_mut(..length).unwrap_or_default(),
            offset_bytes.saturating_sub(*start),
        )
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}
