//! Raw and compressed: Zstandard frames (RFC 8878) of one chunk each, with the seek table of the seekable format.
//!
//! Any `zstd` unpacks it to the disk: the table is a skippable frame at the end (Zstandard repository, contrib/seekable_format,
//! version 0.1.0). The compressor is `ruzstd`, in Rust throughout; it knows one level, which costs size and not correctness.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use evidence::source::{FileSource, Source};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::probe::looks_random;
use super::{Again, Begin, Compression, Medium, Request, parsed, shown};
use crate::sink::is_zero;
use crate::{
    Acquisition, Checkpoint, Encode, Encoded, Encoding, Error, ImageFile, ImageWriter, Part, Parts,
    Piece, ReadAt, Stored,
};

const FRAME_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
const SKIPPABLE_MAGIC: [u8; 4] = 0x184d_2a5e_u32.to_le_bytes();
const TABLE_MAGIC: [u8; 4] = 0x8f92_eab1_u32.to_le_bytes();
const FOOTER_BYTES: u64 = 9;
/// The seekable format allows no more.
const MAX_FRAMES: u64 = 0x0800_0000;
/// Longest frame content read; ours have a chunk.
const MAX_CONTENT_BYTES: u64 = 64 << 20;

/// A compressed raw image being written.
pub struct ZstImage {
    parts: Parts,
    compression: Compression,
    /// Packed length of each frame.
    frames: Vec<u32>,
    /// Frames of which the lengths were noted.
    noted: usize,
    is_complete: bool,
    chunk_bytes: u64,
    size_bytes: u64,
    sector_bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct State {
    names: Vec<String>,
    at_bytes: u64,
    frames: u64,
    #[serde(default)]
    is_complete: bool,
}

impl ZstImage {
    /// Begins an image.
    ///
    /// # Errors
    /// When it would have too many frames, is to be split, or the file cannot be made.
    pub(crate) fn create(
        request: &Request,
        medium: &Medium,
        begin: Begin<'_>,
    ) -> Result<Self, Error> {
        let frames = medium.size_bytes.div_ceil(medium.chunk_bytes.max(1));
        if frames > MAX_FRAMES {
            let reason = format!("{frames} frames, and its table has {MAX_FRAMES}");
            return Err(Error::Format { format: "raw+zstd", reason });
        }
        let parts = begin(&format!("{}.raw.zst", request.stem))?;
        Ok(Self::new(request, medium, parts, Vec::new()))
    }

    /// Goes on with one. Frames are found again by their own headers.
    ///
    /// # Errors
    /// When the file is not there, or is not made of whole frames up to where it was.
    pub(crate) fn reopen(
        request: &Request,
        medium: &Medium,
        state: &Value,
        again: Again<'_>,
    ) -> Result<Self, Error> {
        let state: State = parsed(state, &request.folder)?;
        let mut parts = again(state.names, state.at_bytes)?;
        let path = parts.paths().into_iter().next().unwrap_or_default();
        let wanted = state.frames.min(MAX_FRAMES);
        let frames = match parts.notes() {
            // Behind the frames lies the table: there is nothing to add, only to read back.
            _ if state.is_complete => Vec::new(),
            None => frames_of(&path, wanted)?,
            Some(notes) => {
                let frames: Vec<Vec<u32>> =
                    notes.into_iter().map(|note| parsed(&note, &path)).collect::<Result<_, _>>()?;
                let frames = frames.concat();
                if u64::try_from(frames.len()).ok() != Some(wanted) {
                    let reason = "the lengths of its frames were not all noted";
                    return Err(Error::Journal { path, reason });
                }
                frames
            }
        };
        let mut image = Self::new(request, medium, parts, frames);
        image.is_complete = state.is_complete;
        Ok(image)
    }

    fn new(request: &Request, medium: &Medium, parts: Parts, frames: Vec<u32>) -> Self {
        Self {
            parts,
            compression: request.compression,
            noted: frames.len(),
            is_complete: false,
            frames,
            chunk_bytes: medium.chunk_bytes,
            size_bytes: medium.size_bytes,
            sector_bytes: medium.sector_bytes,
        }
    }

    /// The seek table: a skippable frame with the lengths of all frames.
    fn table(&self) -> io::Result<Vec<u8>> {
        let entries = self.frames.len().saturating_mul(8);
        let content = entries.saturating_add(usize::try_from(FOOTER_BYTES).unwrap_or(9));
        let mut out = Vec::with_capacity(content.saturating_add(8));
        out.extend(SKIPPABLE_MAGIC);
        out.extend(u32::try_from(content).map_err(io::Error::other)?.to_le_bytes());
        let mut left = self.size_bytes;
        for packed in &self.frames {
            let content = left.min(self.chunk_bytes);
            left = left.saturating_sub(content);
            out.extend(packed.to_le_bytes());
            out.extend(u32::try_from(content).map_err(io::Error::other)?.to_le_bytes());
        }
        out.extend(u32::try_from(self.frames.len()).map_err(io::Error::other)?.to_le_bytes());
        // No checksums in the table: every frame has its own.
        out.push(0);
        out.extend(TABLE_MAGIC);
        Ok(out)
    }
}

impl ImageWriter for ZstImage {
    fn name(&self) -> String {
        shown(&self.parts)
    }

    fn encoding(&self) -> Option<Arc<dyn Encoding>> {
        Some(Arc::new(Frames { compression: self.compression }))
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let encoded = part.encoded.ok_or_else(|| io::Error::other("the chunk was not encoded"))?;
        self.parts.append(&encoded.bytes)?;
        self.frames.push(u32::try_from(encoded.bytes.len()).map_err(io::Error::other)?);
        self.parts.settle_all()
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        let new = self.frames.get(self.noted..).unwrap_or_default();
        self.parts.note(|| json!(new))?;
        self.noted = self.frames.len();
        let flush = self.parts.to_flush()?;
        let state = json!(State {
            names: self.parts.names().to_vec(),
            at_bytes: self.parts.position_bytes(),
            frames: u64::try_from(self.frames.len()).unwrap_or(u64::MAX),
            is_complete: self.is_complete,
        });
        Ok(Checkpoint { flush, state })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        let table = self.table()?;
        self.parts.append(&table)?;
        self.is_complete = true;
        self.parts.finish()
    }
}

impl ImageFile for ZstImage {
    fn read_back(&self) -> io::Result<Box<dyn ReadAt>> {
        let name = self.parts.names().first().cloned().unwrap_or_default();
        Ok(Box::new(ZstSource::of(self.parts.source(&name)?, self.sector_bytes)?))
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    fn parts_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

/// How chunks become frames.
#[derive(Debug, Clone, Copy)]
struct Frames {
    compression: Compression,
}

impl Encoding for Frames {
    fn key(&self) -> String {
        format!("zst {:?}", self.compression)
    }

    fn start(&self) -> Box<dyn Encode> {
        Box::new(Framer { compression: self.compression, zeros: (0, Vec::new()) })
    }
}

struct Framer {
    compression: Compression,
    /// The frame of so many zeros.
    zeros: (usize, Vec<u8>),
}

impl Encode for Framer {
    fn encode(&mut self, bytes: &[u8]) -> io::Result<Encoded> {
        let frame = if self.compression == Compression::None {
            compress_to_vec(bytes, CompressionLevel::Uncompressed)
        } else if is_zero(bytes) {
            if self.zeros.0 != bytes.len() {
                self.zeros = (bytes.len(), compress_to_vec(bytes, CompressionLevel::Fastest));
            }
            self.zeros.1.clone()
        } else if self.compression == Compression::Zeros || looks_random(bytes) {
            compress_to_vec(bytes, CompressionLevel::Uncompressed)
        } else {
            compress_to_vec(bytes, CompressionLevel::Fastest)
        };
        let pieces = vec![Piece { length_bytes: frame.len(), stored: Stored::Compressed }];
        Ok(Encoded { bytes: frame, pieces })
    }
}

fn corrupt(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// The lengths of so many frames from the beginning of a file, by their own headers.
fn frames_of(path: &Path, wanted: u64) -> Result<Vec<u32>, Error> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    let mut frames = Vec::new();
    let mut at = 0_u64;
    while u64::try_from(frames.len()).unwrap_or(u64::MAX) < wanted {
        let length = frame_bytes(&file, at).map_err(Error::io("reading", path))?;
        at = at.saturating_add(u64::from(length));
        frames.push(length);
    }
    Ok(frames)
}

/// Length of the frame at an offset, by its own headers (RFC 8878, section 3.1.1); nothing is unpacked.
fn frame_bytes(file: &File, start: u64) -> io::Result<u32> {
    let mut head = [0; 5];
    file.read_exact_at(&mut head, start)?;
    let [a, b, c, d, flags] = head;
    if [a, b, c, d] != FRAME_MAGIC {
        return Err(corrupt(format!("no Zstandard frame begins at {start}")));
    }
    let is_single = flags >> 5 & 1 == 1;
    let size_field = match (flags >> 6, is_single) {
        (0, true) => 1,
        (0, false) => 0,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8_u64,
    };
    let dictionary = match flags & 3 {
        3 => 4,
        other => u64::from(other),
    };
    let window = u64::from(!is_single);
    let mut at = start.saturating_add(5);
    at = at.saturating_add(window).saturating_add(dictionary).saturating_add(size_field);
    loop {
        let mut block = [0; 3];
        file.read_exact_at(&mut block, at)?;
        let [low, middle, high] = block;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
        let content = if kind == 1 { 1 } else { u64::from(size) };
        at = at.saturating_add(3).saturating_add(content);
        if is_last {
            break;
        }
    }
    let checksum = if flags >> 2 & 1 == 1 { 4 } else { 0 };
    let length = at.saturating_add(checksum).saturating_sub(start);
    u32::try_from(length).map_err(|_error| corrupt(format!("the frame at {start} is too long")))
}

/// A disk in a file of this form, unpacked frame by frame.
pub struct ZstSource {
    file: Arc<dyn Source>,
    /// Where each frame begins, and where the last one ends.
    starts: Vec<u64>,
    content_bytes: u64,
    size_bytes: u64,
    sector_bytes: u32,
    /// The frame unpacked last.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl ZstSource {
    /// Opens a file by its seek table.
    ///
    /// # Errors
    /// When it has none, or one whose frames do not fill the file or are not of equal content.
    pub fn open(file: File, sector_bytes: u32) -> io::Result<Self> {
        let file = FileSource::new(file, 512).map_err(io::Error::other)?;
        Self::of(Arc::new(file), sector_bytes)
    }

    fn of(file: Arc<dyn Source>, sector_bytes: u32) -> io::Result<Self> {
        let length = file.size_bytes();
        let mut footer = [0; 9];
        let footer_at = length.checked_sub(FOOTER_BYTES).ok_or_else(|| corrupt("too short"))?;
        fill(&*file, &mut footer, footer_at)?;
        let [a, b, c, d, flags, magic @ ..] = footer;
        if magic != TABLE_MAGIC {
            return Err(corrupt("no seek table at the end"));
        }
        let frames = u64::from(u32::from_le_bytes([a, b, c, d]));
        let entry_bytes = if flags >> 7 == 1 { 12 } else { 8_u64 };
        let table_bytes = frames.saturating_mul(entry_bytes);
        let table_at = footer_at.checked_sub(table_bytes).filter(|_| frames <= MAX_FRAMES);
        let table_at = table_at.ok_or_else(|| corrupt(format!("{frames} frames do not fit")))?;
        let mut starts = vec![0];
        let (mut at, mut size_bytes, mut content_bytes) = (0u64, 0u64, 0u64);
        for index in 0..frames {
            let mut entry = [0; 8];
            let entry_at = table_at.saturating_add(index.saturating_mul(entry_bytes));
            fill(&*file, &mut entry, entry_at)?;
            let [a, b, c, d, e, f, g, h] = entry;
            at = at.saturating_add(u64::from(u32::from_le_bytes([a, b, c, d])));
            let content = u64::from(u32::from_le_bytes([e, f, g, h]));
            if index == 0 {
                content_bytes = content;
            }
            let is_last = index.saturating_add(1) == frames;
            if content > content_bytes || (content < content_bytes && !is_last) || content == 0 {
                return Err(corrupt(format!("frame {index} has {content} bytes of content")));
            }
            size_bytes = size_bytes.saturating_add(content);
            starts.push(at);
        }
        let skippable_at = table_at.checked_sub(8);
        if skippable_at != Some(at) || content_bytes > MAX_CONTENT_BYTES {
            return Err(corrupt(format!("the frames end at {at}, the table begins at {table_at}")));
        }
        let last = Mutex::new(None);
        Ok(Self { file, starts, content_bytes, size_bytes, sector_bytes, last })
    }

    fn frame(&self, index: usize) -> io::Result<Arc<Vec<u8>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, content)) = &*last
            && *known == index
        {
            return Ok(Arc::clone(content));
        }
        let missing = || corrupt(format!("there is no frame {index}"));
        let start = self.starts.get(index).ok_or_else(missing)?;
        let end = self.starts.get(index.saturating_add(1)).ok_or_else(missing)?;
        let length = end.saturating_sub(*start);
        if length > MAX_CONTENT_BYTES.saturating_mul(2) {
            return Err(corrupt(format!("frame {index} has {length} bytes")));
        }
        let mut packed = vec![0; usize::try_from(length).unwrap_or(0)];
        fill(&*self.file, &mut packed, *start)?;
        let decoder = StreamingDecoder::new(packed.as_slice())
            .map_err(|error| corrupt(format!("frame {index}: {error}")))?;
        let disk_at = self.content_bytes.saturating_mul(u64::try_from(index).unwrap_or(u64::MAX));
        let wanted = self.size_bytes.saturating_sub(disk_at).min(self.content_bytes);
        let mut content = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        let read = decoder.take(wanted.saturating_add(1)).read_to_end(&mut content)?;
        if u64::try_from(read).ok() != Some(wanted) {
            return Err(corrupt(format!("frame {index} holds {read} bytes, expected {wanted}")));
        }
        let content = Arc::new(content);
        *last = Some((index, Arc::clone(&content)));
        Ok(content)
    }
}

fn fill(file: &dyn Source, buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.fill(at, buffer).map_err(io::Error::other)
}

impl ReadAt for ZstSource {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset_bytes >= self.size_bytes {
            return Ok(0);
        }
        let index = offset_bytes.checked_div(self.content_bytes).unwrap_or(0);
        let within = offset_bytes.checked_rem(self.content_bytes).unwrap_or(0);
        let content = self.frame(usize::try_from(index).unwrap_or(usize::MAX))?;
        let rest = content.get(usize::try_from(within).unwrap_or(usize::MAX)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}
