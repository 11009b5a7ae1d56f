//! Image streams: chunks in bevies, each bevy with an index (Standard, section 3).

use super::snappy::snappy;
use super::turtle::Value;
use super::volume::Volume;
use super::zip::{Member, STORED};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::codec::Packing;
use crate::container::chunks::MAX_CHUNK_BYTES;
use crate::container::inflate::corrupt;
use crate::container::mapped::{Chunk, Layout, Piece, Stored, wrap};
use crate::source::Source;
use std::io;
use std::sync::Arc;

/// Bytes of an index entry: offset and length.
const ENTRY_BYTES: u64 = 12;

/// What a chunk may be longer than its content when compressing made it so.
const SLACK_BYTES: u64 = 4096;

/// Chunks a bevy may have; 2048 is usual.
const MAX_BEVY_CHUNKS: u64 = 1 << 24;

const PLAIN: u8 = 0;
const PACKED: u8 = 1;

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Stored,
    Snappy,
    /// Without the exception for chunks that are stored: written before the Standard.
    SnappyAlways,
    Lz4,
    Zlib,
    Deflate,
}

impl Method {
    fn of(name: Option<&str>) -> Result<Self, String> {
        let Some(name) = name else { return Ok(Self::Stored) };
        // With and without TLS, and with or without the last slash: all are written.
        let plain = name.split_once("://").map_or(name, |(_, rest)| rest).trim_end_matches('/');
        Ok(match plain {
            "code.google.com/p/snappy" => Self::Snappy,
            "github.com/google/snappy" => Self::SnappyAlways,
            "code.google.com/p/lz4" => Self::Lz4,
            "tools.ietf.org/html/rfc1951" | "www.ietf.org/rfc/rfc1951.txt" => Self::Deflate,
            "tools.ietf.org/html/rfc1950" | "www.ietf.org/rfc/rfc1950.txt" => Self::Zlib,
            "aff4.org/Schema#NullCompressor" | "aff4.org/Schema#compression/stored" => Self::Stored,
            _ => {
                let name = crate::escape_bytes(name.as_bytes());
                return Err(format!("chunks compressed by \"{name}\" are not read"));
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Stored => "none",
            Self::Snappy | Self::SnappyAlways => "snappy",
            Self::Lz4 => "lz4",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
        }
    }
}

/// A stream of chunks.
pub(super) struct ImageStream {
    volume: Arc<Volume>,
    urn: String,
    pub(super) size_bytes: u64,
    pub(super) chunk_bytes: u64,
    bevy_chunks: u64,
    method: Method,
}

impl ImageStream {
    /// By what the volume says about it; the text says why it cannot be read.
    pub(super) fn open(volume: &Arc<Volume>, urn: &str) -> Result<Self, String> {
        let number = |name| volume.number(urn, name);
        let chunk_bytes = number("chunkSize").ok_or("no chunk size is recorded")?;
        let bevy_chunks = number("chunksInSegment").unwrap_or(2048);
        if chunk_bytes == 0 || chunk_bytes > MAX_CHUNK_BYTES {
            return Err(format!("chunks of {chunk_bytes} bytes; {MAX_CHUNK_BYTES} is the limit"));
        }
        if bevy_chunks == 0 || bevy_chunks > MAX_BEVY_CHUNKS {
            return Err(format!("{bevy_chunks} chunks in a bevy; {MAX_BEVY_CHUNKS} is the limit"));
        }
        let method = volume.property(urn, "compressionMethod").map(Value::text);
        let listed = volume.parts(urn).and_then(|parts| parts.bevies.keys().next_back());
        let most = listed.map_or(0, |last| {
            last.saturating_add(1).saturating_mul(bevy_chunks).saturating_mul(chunk_bytes)
        });
        Ok(Self {
            volume: Arc::clone(volume),
            urn: urn.to_owned(),
            size_bytes: number("size").unwrap_or(most),
            chunk_bytes,
            bevy_chunks,
            method: Method::of(method)?,
        })
    }

    /// How it is compressed.
    pub(super) fn compression(&self) -> &'static str {
        self.method.name()
    }

    fn bevy(&self, number: u64) -> io::Result<(Member, Member)> {
        let missing = |what: &str| {
            let text = format!("the volume has no {what} {number:08} of {}", self.shown());
            io::Error::new(io::ErrorKind::NotFound, text)
        };
        let parts = self.volume.parts(&self.urn).ok_or_else(|| missing("bevy"))?;
        let (data, index) = parts.bevies.get(&number).ok_or_else(|| missing("bevy"))?;
        let data = data.ok_or_else(|| missing("bevy"))?;
        let index = index.ok_or_else(|| missing("index of the bevy"))?;
        if data.method != STORED || index.method != STORED {
            return Err(corrupt(format!(
                "bevy {number:08} of {} is a packed member",
                self.shown()
            )));
        }
        Ok((data, index))
    }

    fn shown(&self) -> String {
        crate::escape_bytes(self.urn.as_bytes())
    }

    fn chunk(&self, number: u64) -> io::Result<Chunk> {
        let bevy = number.checked_div(self.bevy_chunks).unwrap_or(0);
        let within = number.checked_rem(self.bevy_chunks).unwrap_or(0);
        let (data, index) = self.bevy(bevy)?;
        let at = within.saturating_mul(ENTRY_BYTES);
        if at.saturating_add(ENTRY_BYTES) > index.stored_bytes {
            return Err(corrupt(format!("the index of bevy {bevy:08} has no chunk {within}")));
        }
        let tables = &self.volume.tables;
        let mut raw = [0; 12];
        let dynamic: &dyn Source = tables;
        let index_at = index.data_at(tables).map_err(corrupt)?;
        dynamic.fill(index_at.saturating_add(at), &mut raw).map_err(wrap)?;
        let (offset, length) = (Fields(&raw).le64(0), u64::from(Fields(&raw).le32(8)));
        if length == 0
            || length > self.chunk_bytes.saturating_add(SLACK_BYTES)
            || offset.saturating_add(length) > data.stored_bytes
        {
            return Err(corrupt(format!(
                "chunk {within} of bevy {bevy:08}: {length} bytes at {offset} of {}",
                data.stored_bytes
            )));
        }
        let start_bytes = number.saturating_mul(self.chunk_bytes);
        let is_plain = match self.method {
            Method::Stored => true,
            Method::SnappyAlways => false,
            _ => length == self.chunk_bytes,
        };
        Ok(Chunk {
            start_bytes,
            length_bytes: to_usize(
                self.size_bytes.saturating_sub(start_bytes).min(self.chunk_bytes),
            ),
            file: 0,
            at_bytes: data.data_at(tables).map_err(corrupt)?.saturating_add(offset),
            stored_bytes: to_usize(length),
            method: if is_plain { PLAIN } else { PACKED },
        })
    }

    /// Decodes into `out`, which has the length of a whole chunk or, for the last, of what counts of it.
    fn decode(&self, packed: &[u8], out: &mut [u8]) -> io::Result<()> {
        let limit = to_usize(self.chunk_bytes);
        let failed = |error: &dyn std::fmt::Display| corrupt(error.to_string());
        let whole = match self.method {
            Method::Stored => packed.to_vec(),
            Method::Snappy | Method::SnappyAlways => snappy(packed, limit)?,
            Method::Lz4 => lz4(packed, limit)?,
            Method::Zlib => crate::codec::zlib(packed, limit).map_err(|error| failed(&error))?,
            // pyaff4 and others put zlib's frame around what they name deflate.
            Method::Deflate => Packing::Deflate
                .unpack(packed, limit)
                .or_else(|_| crate::codec::zlib(packed, limit))
                .map_err(|error| failed(&error))?,
        };
        let from = whole
            .get(..out.len())
            .ok_or_else(|| corrupt(format!("{} of {} bytes", whole.len(), out.len())))?;
        out.copy_from_slice(from);
        Ok(())
    }
}

/// An LZ4 block; some writers put its decoded length before it.
fn lz4(packed: &[u8], limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; limit_bytes];
    let bare = lz4_flex::block::decompress_into(packed, &mut out);
    let got = bare.or_else(|error| {
        let named = to_usize(u64::from(Fields(packed).le32(0)));
        let block = packed.get(4..).filter(|_| named != 0 && named <= limit_bytes);
        let got = block.and_then(|block| lz4_flex::block::decompress_into(block, &mut out).ok());
        got.filter(|got| *got == named).ok_or(error)
    });
    out.truncate(got.map_err(|error| corrupt(format!("LZ4 data: {error}")))?);
    Ok(out)
}

impl Layout for ImageStream {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn piece(&self, offset_bytes: u64, _most_bytes: u64) -> Piece<'_> {
        let number = offset_bytes.checked_div(self.chunk_bytes).unwrap_or(0);
        let end = number.saturating_add(1).saturating_mul(self.chunk_bytes).min(self.size_bytes);
        let stored = match self.chunk(number) {
            Ok(chunk) => Stored::Packed(chunk),
            Err(error) => Stored::Missing(error),
        };
        Piece { stored, length_bytes: end.saturating_sub(offset_bytes) }
    }

    fn unpack(&self, chunk: &Chunk, out: &mut [u8]) -> io::Result<()> {
        let file = &self.volume.file;
        if chunk.method == PLAIN {
            let length = out.len().min(chunk.stored_bytes);
            if length < out.len() {
                return Err(corrupt(format!(
                    "chunk at {}: {length} of {} bytes",
                    chunk.at_bytes,
                    out.len()
                )));
            }
            return file.fill(chunk.at_bytes, out).map_err(wrap);
        }
        let packed = file.bytes_at(chunk.at_bytes, chunk.stored_bytes).map_err(wrap)?;
        if packed.len() != chunk.stored_bytes {
            let (at, got, wanted) = (chunk.at_bytes, to_u64(packed.len()), chunk.stored_bytes);
            return Err(corrupt(format!("chunk at {at}: the file has {got} of {wanted} bytes")));
        }
        self.decode(&packed, out)
            .map_err(|error| corrupt(format!("chunk at {}: {error}", chunk.at_bytes)))
    }
}
