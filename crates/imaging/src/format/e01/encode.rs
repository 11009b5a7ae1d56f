//! Chunks of an E01: zlib streams, or the bytes with a checksum where that is not longer.

use std::io;

use flate2::{Compress, FlushCompress, Status};

use super::super::probe::looks_random;
use super::CHUNK_BYTES;
use crate::deflate::{Deflate as Quick, adler32};
use crate::sink::is_zero;
use crate::{Compression, Encode, Encoded, Encoding, Piece, Stored};

/// Compresses chunks as the format wants them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deflate {
    pub(super) compression: Compression,
}

impl Encoding for Deflate {
    fn key(&self) -> String {
        format!("e01 {:?}", self.compression)
    }

    fn start(&self) -> Box<dyn Encode> {
        let chunk = usize::try_from(CHUNK_BYTES).unwrap_or(0);
        // Every chunk of zeros is the same stream: made once, and then as short as can be.
        let mut best = Codec::thorough(9, chunk);
        let mut zeros = Vec::new();
        if self.compression != Compression::None {
            let _as_they_are = best.deflate(&vec![0; chunk], &mut zeros);
        }
        let codec = match self.compression {
            Compression::None => Codec::Nothing,
            Compression::Zeros | Compression::Fast => Codec::Quick(Box::new(Quick::new())),
            Compression::Good => Codec::thorough(6, chunk),
            Compression::Best => best,
        };
        Box::new(Chunks { compression: self.compression, codec, zeros, chunk })
    }
}

/// Who compresses.
enum Codec {
    /// Nobody: everything is stored.
    Nothing,
    /// Our own, which is as fast as digests are.
    Quick(Box<Quick>),
    /// zlib-rs at one of its levels, and room for what it makes.
    Thorough(Compress, Vec<u8>),
}

impl Codec {
    fn thorough(level: u32, chunk: usize) -> Self {
        Self::Thorough(Compress::new(flate2::Compression::new(level), true), vec![0; chunk])
    }

    /// Appends the zlib stream of a chunk; `None`, and nothing appended, when it is not shorter than the chunk.
    fn deflate(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Nothing => None,
            Self::Quick(quick) => quick.zlib(chunk, out),
            Self::Thorough(codec, room) => {
                codec.reset();
                // With room for no more than the chunk, a stream that does not gain does not end.
                let room = room.get_mut(..chunk.len())?;
                match codec.compress(chunk, room, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => {
                        let length = usize::try_from(codec.total_out()).ok()?;
                        out.extend_from_slice(room.get(..length)?);
                        Some(())
                    }
                    _ => None,
                }
            }
        }
    }
}

struct Chunks {
    compression: Compression,
    codec: Codec,
    zeros: Vec<u8>,
    chunk: usize,
}

impl Chunks {
    /// Appends what a chunk becomes when it is compressed; `None`, and nothing appended, to store it.
    fn compressed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if self.compression == Compression::None {
            return None;
        }
        if is_zero(chunk) {
            if chunk.len() == self.chunk && !self.zeros.is_empty() {
                out.extend_from_slice(&self.zeros);
                return Some(());
            }
            return self.codec.deflate(chunk, out);
        }
        let is_not_tried = match self.compression {
            Compression::None | Compression::Zeros => true,
            Compression::Fast => looks_random(chunk),
            Compression::Good | Compression::Best => false,
        };
        if is_not_tried { None } else { self.codec.deflate(chunk, out) }
    }
}

impl Encode for Chunks {
    fn encode(&mut self, bytes: &[u8]) -> io::Result<Encoded> {
        // The most there can be, so that it is never moved: every chunk stored with its checksum.
        let chunks = bytes.len().div_ceil(self.chunk.max(1));
        let most = bytes.len().saturating_add(chunks.saturating_mul(4));
        let mut encoded =
            Encoded { bytes: Vec::with_capacity(most), pieces: Vec::with_capacity(chunks) };
        for chunk in bytes.chunks(self.chunk.max(1)) {
            let before = encoded.bytes.len();
            let stored = match self.compressed(chunk, &mut encoded.bytes) {
                Some(()) => Stored::Compressed,
                None => {
                    encoded.bytes.extend_from_slice(chunk);
                    encoded.bytes.extend(adler32(chunk).to_le_bytes());
                    Stored::Plain
                }
            };
            let length_bytes = encoded.bytes.len().saturating_sub(before);
            encoded.pieces.push(Piece { length_bytes, stored });
        }
        Ok(encoded)
    }
}

/// A whole zlib stream of a few hundred bytes: the facts of the case.
pub(super) fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}
