//! AFF4: physical images by the Standard v1.0, in one file.
//!
//! Chunks of 32 KiB, compressed by LZ4 (the Standard knows snappy, LZ4 and deflate; a chunk that does not shrink is stored), in
//! bevies of 2048. The stream is addressed as the disk is, so that nothing but the map's end depends on the map: a bevy of
//! zeros is left out, a chunk of zeros in another is stored once for the bevy. Runs of zeros lead to `aff4:Zero`, what could
//! not be read to `aff4:UnreadableData`. A volume without its end shows where it stood, so an interrupted one can go on.

mod about;
mod map;
mod unfinished;
mod zip;

use std::io;
use std::sync::Arc;

use evidence::container;
use flate2::Crc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{About, Again, Begin, Compression, Medium, Request, parsed, shown};
use crate::sink::is_zero;
use crate::{
    Acquisition, Checkpoint, Encode, Encoded, Encoding, Error, Extent, Extents, ImageFile,
    ImageWriter, Part, Parts, Piece, ReadAt, Run, Stored, Unread,
};
use map::Zeros;
use zip::{Member, Name};

const CHUNK_BYTES: u64 = 32 << 10;
const BEVY_CHUNKS: u64 = 2048;

/// Compressing must save this much, or the chunk is stored (Standard, 3.2).
const LEAST_SAVED_BYTES: usize = 16;

/// The first member, so that a volume shows what it is by its first bytes.
const DESCRIPTION: Name = Name::Single("container.description");

/// An AFF4 image being written.
pub struct Aff4Image {
    parts: Parts,
    stem: String,
    about: About,
    compression: Compression,
    sector_bytes: u32,
    size_bytes: u64,
    /// Chunks written, counted from the start of the disk.
    chunks: u64,
    bevy: Option<Bevy>,
    members: Vec<Member>,
    /// Members that were noted.
    noted: usize,
    zeros: Zeros,
    zero_block: Vec<u8>,
    /// What could not be read, once the image is complete.
    complete: Option<Extents>,
}

/// A bevy being written.
struct Bevy {
    number: u64,
    header_at: u64,
    /// Stored length of each chunk; 0 is the chunk of zeros.
    lengths: Vec<u32>,
    /// Where the chunk of zeros is in the bevy.
    zero_at: Option<u64>,
    length_bytes: u64,
    crc: Crc,
}

#[derive(Serialize, Deserialize)]
struct State {
    name: String,
    at_bytes: u64,
    chunks: u64,
    bevy: Option<BevyState>,
    /// Offset and length of what could not be read; only once everything behind the data was written too.
    #[serde(default)]
    complete: Option<Vec<(u64, u64)>>,
}

#[derive(Serialize, Deserialize)]
struct BevyState {
    header_at: u64,
    lengths: Vec<u32>,
    zero_at: Option<u64>,
}

impl Aff4Image {
    /// Begins an image.
    ///
    /// # Errors
    /// When it shall be split, which the format has no way for, or the file cannot be made.
    pub(crate) fn create(
        request: &Request,
        medium: &Medium,
        begin: Begin<'_>,
    ) -> Result<Self, Error> {
        let refused = |reason: String| Err(Error::Format { format: "AFF4", reason });
        if request.split_bytes.is_some() {
            return refused("an AFF4 image is one file; choose raw or e01 to split".to_owned());
        }
        if !medium.chunk_bytes.is_multiple_of(CHUNK_BYTES) {
            let chunk = medium.chunk_bytes;
            return refused(format!(
                "reading {chunk} bytes at once; it takes multiples of {CHUNK_BYTES}"
            ));
        }
        let parts = begin(&format!("{}.aff4", request.stem))?;
        let mut image = Self::new(request, medium, parts);
        let written = image.member(DESCRIPTION, &[b' '; about::URN_BYTES]);
        written.map_err(Error::io("writing", &request.folder))?;
        Ok(image)
    }

    /// Goes on with one.
    ///
    /// # Errors
    /// When its file is not there, shorter than it was, or not the one described.
    pub(crate) fn reopen(
        request: &Request,
        medium: &Medium,
        state: &Value,
        again: Again<'_>,
    ) -> Result<Self, Error> {
        let state: State = parsed(state, &request.folder)?;
        let parts = again(vec![state.name.clone()], state.at_bytes)?;
        let mut image = Self::new(request, medium, parts);
        if let Some(bad) = &state.complete {
            // Behind the members lies the directory: there is nothing to take up, only to read back.
            let mut extents = Extents::default();
            for (offset_bytes, length_bytes) in bad.iter().copied() {
                let extent = Extent { offset_bytes, length_bytes };
                extents.add(Run { extent, why: Unread::Bad });
            }
            (image.complete, image.chunks) = (Some(extents), state.chunks);
            return Ok(image);
        }
        let path = request.folder.join(&state.name);
        image.take_up(state).map_err(Error::io("taking up", &path))?;
        Ok(image)
    }

    fn new(request: &Request, medium: &Medium, parts: Parts) -> Self {
        let zeros = vec![0; to_usize(CHUNK_BYTES)];
        Self {
            parts,
            stem: request.stem.clone(),
            about: request.about.clone(),
            compression: request.compression,
            sector_bytes: medium.sector_bytes,
            size_bytes: medium.size_bytes,
            chunks: 0,
            bevy: None,
            members: Vec::new(),
            noted: 0,
            zeros: Zeros::default(),
            zero_block: lz4_flex::block::compress(&zeros),
            complete: None,
        }
    }

    /// Finds the members again by their own headers.
    fn take_up(&mut self, state: State) -> io::Result<()> {
        self.members = match self.parts.notes() {
            Some(notes) => unfinished::noted(&notes)?,
            None => {
                let end = state.bevy.as_ref().map_or(state.at_bytes, |bevy| bevy.header_at);
                unfinished::members(&self.parts.open(&state.name)?, end)?
            }
        };
        self.noted = self.members.len();
        self.chunks = state.chunks;
        let Some(bevy) = state.bevy else { return Ok(()) };
        let number = state.chunks.saturating_sub(1) / BEVY_CHUNKS;
        let data_at = data_at(number, bevy.header_at);
        let length_bytes = state.at_bytes.saturating_sub(data_at);
        let crc = unfinished::crc(&self.parts, data_at, length_bytes)?;
        let (header_at, lengths, zero_at) = (bevy.header_at, bevy.lengths, bevy.zero_at);
        self.bevy = Some(Bevy { number, header_at, lengths, zero_at, length_bytes, crc });
        Ok(())
    }

    /// Writes a whole member.
    fn member(&mut self, name: Name, content: &[u8]) -> io::Result<()> {
        let mut crc = Crc::new();
        crc.update(content);
        let size_bytes = to_u64(content.len());
        let header_at = self.parts.position_bytes();
        let member = Member { name, header_at, size_bytes, crc: crc.sum() };
        self.parts.append(&member.local())?;
        self.parts.append(content)?;
        self.members.push(member);
        Ok(())
    }

    /// One chunk of the stream: `stored` is empty for zeros.
    fn chunk(&mut self, stored: &[u8]) -> io::Result<()> {
        let number = self.chunks / BEVY_CHUNKS;
        let within = self.chunks % BEVY_CHUNKS;
        let is_zero = stored.is_empty();
        if is_zero {
            let at = self.chunks.saturating_mul(CHUNK_BYTES);
            self.zeros.add(at, CHUNK_BYTES.min(self.size_bytes.saturating_sub(at)));
        }
        // pyaff4 opens the first bevy whatever it reads, so that one is always there.
        if self.bevy.is_none() && (!is_zero || number == 0) {
            self.begin(number)?;
            for _ in 0..within {
                self.put(&[])?;
            }
        }
        if self.bevy.is_some() {
            self.put(stored)?;
        }
        self.chunks = self.chunks.saturating_add(1);
        if self.chunks.is_multiple_of(BEVY_CHUNKS) {
            self.end_bevy()?;
        }
        Ok(())
    }

    fn begin(&mut self, number: u64) -> io::Result<()> {
        let header_at = self.parts.position_bytes();
        let member = Member { name: Name::Bevy(number), header_at, size_bytes: 0, crc: 0 };
        self.parts.append(&member.local())?;
        self.bevy = Some(Bevy {
            number,
            header_at,
            lengths: Vec::new(),
            zero_at: None,
            length_bytes: 0,
            crc: Crc::new(),
        });
        Ok(())
    }

    fn put(&mut self, stored: &[u8]) -> io::Result<()> {
        let Some(bevy) = self.bevy.as_mut() else { return Ok(()) };
        let is_zero = stored.is_empty();
        let bytes = match (is_zero, bevy.zero_at) {
            (true, Some(_)) => &[][..],
            (true, None) => {
                bevy.zero_at = Some(bevy.length_bytes);
                &self.zero_block[..]
            }
            (false, _) => stored,
        };
        self.parts.append(bytes)?;
        bevy.crc.update(bytes);
        bevy.length_bytes = bevy.length_bytes.saturating_add(to_u64(bytes.len()));
        bevy.lengths.push(u32::try_from(stored.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Writes the lengths into the header of the bevy, and its index behind it.
    fn end_bevy(&mut self) -> io::Result<()> {
        let Some(bevy) = self.bevy.take() else { return Ok(()) };
        let member = Member {
            name: Name::Bevy(bevy.number),
            header_at: bevy.header_at,
            size_bytes: bevy.length_bytes,
            crc: bevy.crc.sum(),
        };
        self.parts.overwrite(bevy.header_at, &member.local())?;
        self.members.push(member);
        let mut index = Vec::with_capacity(bevy.lengths.len().saturating_mul(12));
        for (offset, length) in places(&bevy.lengths, bevy.zero_at, &self.zero_block) {
            index.extend(offset.to_le_bytes());
            index.extend(length.to_le_bytes());
        }
        self.member(Name::Index(bevy.number), &index)?;
        // The description at the beginning gets its content last.
        let kept = self
            .members
            .first()
            .map_or(0, |first| first.data_at().saturating_add(first.size_bytes));
        self.parts.settle(kept..self.parts.position_bytes())
    }

    /// The metadata, the map, and the directory behind everything.
    fn end(&mut self, acquisition: &Acquisition) -> io::Result<()> {
        self.end_bevy()?;
        let urn = about::urn(acquisition, &self.about, &self.stem);
        let entries = map::entries(self.size_bytes, &self.zeros.0, &acquisition.bad);
        let mut targets = format!("{urn}/stream\n");
        for name in map::SYMBOLIC {
            targets.push_str(name);
            targets.push('\n');
        }
        self.member(Name::Single("map/idx"), targets.as_bytes())?;
        self.member(Name::Single("map/map"), &map::stored(&entries))?;
        self.member(Name::Single("version.txt"), about::version(&self.about).as_bytes())?;
        let turtle = about::turtle(&urn, acquisition, &self.about);
        self.member(Name::Single("information.turtle"), turtle.as_bytes())?;
        self.describe(&urn)?;
        let directory = zip::directory(&self.members, self.parts.position_bytes(), &urn);
        self.parts.append(&directory)?;
        self.parts.settle_all()
    }

    /// Puts the name of the volume where room was left for it.
    fn describe(&mut self, urn: &str) -> io::Result<()> {
        let Some(first) = self.members.iter_mut().find(|member| member.name == DESCRIPTION) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut crc = Crc::new();
        crc.update(urn.as_bytes());
        first.crc = crc.sum();
        let (header, data_at) = (first.local(), first.data_at());
        self.parts.overwrite(first.header_at, &header)?;
        self.parts.overwrite(data_at, urn.as_bytes())
    }
}

/// Where a bevy's chunks begin.
fn data_at(number: u64, header_at: u64) -> u64 {
    Member { name: Name::Bevy(number), header_at, size_bytes: 0, crc: 0 }.data_at()
}

/// Offset and length of each chunk of a bevy.
fn places<'a>(
    lengths: &'a [u32],
    zero_at: Option<u64>,
    zero_block: &'a [u8],
) -> impl Iterator<Item = (u64, u32)> + 'a {
    let zero_bytes = u32::try_from(zero_block.len()).unwrap_or(u32::MAX);
    let mut next = 0_u64;
    lengths.iter().map(move |length| {
        if *length == 0 {
            let at = zero_at.unwrap_or(0);
            if at == next {
                next = next.saturating_add(u64::from(zero_bytes));
            }
            return (at, zero_bytes);
        }
        let at = next;
        next = next.saturating_add(u64::from(*length));
        (at, *length)
    })
}

/// LZ4 in chunks of 32 KiB.
///
/// The codec has one level: every wish to compress is met by it.
struct Lz4 {
    compression: Compression,
}

impl Lz4 {
    fn compresses(&self) -> bool {
        !matches!(self.compression, Compression::None | Compression::Zeros)
    }
}

impl Encoding for Lz4 {
    fn key(&self) -> String {
        let method = if self.compresses() { "lz4" } else { "stored" };
        format!("aff4 {method} 32 KiB")
    }

    fn start(&self) -> Box<dyn Encode> {
        let most = lz4_flex::block::get_maximum_output_size(to_usize(CHUNK_BYTES));
        let room = if self.compresses() { vec![0; most] } else { Vec::new() };
        Box::new(Lz4Chunks { room })
    }
}

struct Lz4Chunks {
    /// What a chunk is compressed into; empty when chunks are stored.
    room: Vec<u8>,
}

impl Encode for Lz4Chunks {
    /// A piece without bytes is a chunk of zeros; the last chunk of the disk is filled up with zeros (Standard, 3.2).
    fn encode(&mut self, bytes: &[u8]) -> io::Result<Encoded> {
        let full = to_usize(CHUNK_BYTES);
        let mut encoded = Encoded::default();
        let mut last = Vec::new();
        for chunk in bytes.chunks(full) {
            let mut chunk = chunk;
            if chunk.len() < full {
                last.extend_from_slice(chunk);
                last.resize(full, 0);
                chunk = &last;
            }
            if is_zero(chunk) {
                encoded.pieces.push(Piece { length_bytes: 0, stored: Stored::Compressed });
                continue;
            }
            let packed = match self.room.is_empty() {
                true => usize::MAX,
                false => lz4_flex::block::compress_into(chunk, &mut self.room)
                    .map_err(io::Error::other)?,
            };
            let (kept, stored) = match self.room.get(..packed) {
                Some(packed) if packed.len() < full.saturating_sub(LEAST_SAVED_BYTES) => {
                    (packed, Stored::Compressed)
                }
                _ => (chunk, Stored::Plain),
            };
            encoded.bytes.extend_from_slice(kept);
            encoded.pieces.push(Piece { length_bytes: kept.len(), stored });
        }
        Ok(encoded)
    }
}

impl ImageWriter for Aff4Image {
    fn name(&self) -> String {
        shown(&self.parts)
    }

    fn encoding(&self) -> Option<Arc<dyn Encoding>> {
        Some(Arc::new(Lz4 { compression: self.compression }))
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let encoded = part.encoded.ok_or(io::ErrorKind::InvalidInput)?;
        let mut rest = encoded.bytes.as_slice();
        for piece in &encoded.pieces {
            let (stored, later) =
                rest.split_at_checked(piece.length_bytes).ok_or(io::ErrorKind::InvalidInput)?;
            self.chunk(stored)?;
            rest = later;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        let new = self.members.get(self.noted..).unwrap_or_default();
        self.parts.note(|| unfinished::note(new))?;
        self.noted = self.members.len();
        let flush = self.parts.to_flush()?;
        let state = json!(State {
            name: self.parts.names().first().cloned().unwrap_or_default(),
            at_bytes: self.parts.position_bytes(),
            chunks: self.chunks,
            bevy: self.bevy.as_ref().map(|bevy| BevyState {
                header_at: bevy.header_at,
                lengths: bevy.lengths.clone(),
                zero_at: bevy.zero_at,
            }),
            complete: self.complete.as_ref().map(|bad| {
                bad.iter().map(|extent| (extent.offset_bytes, extent.length_bytes)).collect()
            }),
        });
        Ok(Checkpoint { flush, state })
    }

    fn complete(&mut self, acquisition: &Acquisition) -> io::Result<()> {
        self.end(acquisition)?;
        self.complete = Some(acquisition.bad.clone());
        self.parts.finish()
    }
}

impl ImageFile for Aff4Image {
    fn read_back(&self) -> io::Result<Box<dyn ReadAt>> {
        let name = self.parts.names().first().cloned().unwrap_or_default();
        let Some(bad) = &self.complete else {
            let file = self.parts.open(&name)?;
            let bevy = self.bevy.as_ref().map(|bevy| {
                let places = places(&bevy.lengths, bevy.zero_at, &self.zero_block).collect();
                (bevy.number, data_at(bevy.number, bevy.header_at), places)
            });
            let members = &self.members;
            let (size, sector) = (self.size_bytes, self.sector_bytes);
            return Ok(Box::new(unfinished::Disk::new(file, members, bevy, size, sector)));
        };
        let source = self.parts.source(&name)?;
        let opened = container::open(source, name.as_bytes(), &container::NoSiblings)
            .map_err(io::Error::other)?;
        let bad = bad.clone();
        Ok(Box::new(unfinished::Finished { source: opened.source, bad }))
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    fn parts_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
