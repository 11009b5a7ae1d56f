//! Chunks of an E01: zlib streams, or the bytes with a checksum where that is not longer.

use std::io;

use flate2::{Compress, FlushCompress, Status};

use super::super::probe::looks_random;
use super::CHUNK_BYTES;
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
        let mut encoder = Chunks {
            compression: self.compression,
            codec: Compress::new(level(self.compression), true),
            room: vec![0; chunk],
            zeros: Vec::new(),
            chunk,
        };
        if self.compression != Compression::None {
            // Every chunk of zeros is the same stream: made once, and then as short as can be.
            encoder.codec = Compress::new(flate2::Compression::best(), true);
            encoder.zeros = encoder.deflate(&vec![0; chunk]).unwrap_or_default();
            encoder.codec = Compress::new(level(self.compression), true);
        }
        Box::new(encoder)
    }
}

fn level(compression: Compression) -> flate2::Compression {
    flate2::Compression::new(match compression {
        Compression::None | Compression::Zeros | Compression::Fast => 1,
        Compression::Good => 6,
        Compression::Best => 9,
    })
}

struct Chunks {
    compression: Compression,
    codec: Compress,
    room: Vec<u8>,
    zeros: Vec<u8>,
    chunk: usize,
}

impl Chunks {
    /// The zlib stream of a chunk; `None` when it is not shorter than the chunk.
    fn deflate(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        self.codec.reset();
        // With room for no more than the chunk, a stream that does not gain does not end.
        let room = self.room.get_mut(..chunk.len())?;
        match self.codec.compress(chunk, room, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => {
                let length = usize::try_from(self.codec.total_out()).ok()?;
                Some(room.get(..length)?.to_vec())
            }
            _ => None,
        }
    }

    /// What a chunk becomes when it is compressed; `None` to store it.
    fn compressed(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        if self.compression == Compression::None {
            return None;
        }
        if is_zero(chunk) {
            return if chunk.len() == self.chunk && !self.zeros.is_empty() {
                Some(self.zeros.clone())
            } else {
                self.deflate(chunk)
            };
        }
        let is_not_tried = match self.compression {
            Compression::None | Compression::Zeros => true,
            Compression::Fast => looks_random(chunk),
            Compression::Good | Compression::Best => false,
        };
        if is_not_tried { None } else { self.deflate(chunk) }
    }
}

impl Encode for Chunks {
    fn encode(&mut self, bytes: &[u8]) -> io::Result<Encoded> {
        let mut encoded =
            Encoded { bytes: Vec::with_capacity(bytes.len() / 2), pieces: Vec::new() };
        for chunk in bytes.chunks(self.chunk.max(1)) {
            let before = encoded.bytes.len();
            let stored = match self.compressed(chunk) {
                Some(stream) => {
                    encoded.bytes.extend(stream);
                    Stored::Compressed
                }
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

/// Adler-32 (RFC 1950, section 8.2).
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    /// Additions after which neither sum can have outgrown 32 bits.
    const STRETCH: usize = 5552;
    const MODULUS: u32 = 65_521;
    let (mut low, mut high) = (1u32, 0u32);
    for stretch in bytes.chunks(STRETCH) {
        // Sixteen at a time, which the compiler turns into wide sums: the high sum of a run is its
        // length times the low sum before it plus each byte times its distance from the end.
        let (runs, rest) = stretch.as_chunks::<16>();
        for run in runs {
            let (mut plain, mut weighted) = (0u32, 0u32);
            for (byte, weight) in run.iter().zip((1..=16u32).rev()) {
                plain = plain.wrapping_add(u32::from(*byte));
                weighted = weighted.wrapping_add(u32::from(*byte).wrapping_mul(weight));
            }
            high = high.wrapping_add(low.wrapping_mul(16)).wrapping_add(weighted);
            low = low.wrapping_add(plain);
        }
        for byte in rest {
            low = low.wrapping_add(u32::from(*byte));
            high = high.wrapping_add(low);
        }
        low %= MODULUS;
        high %= MODULUS;
    }
    (high << 16) | low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by zlib-rs, whose streams end in the same sum, big-endian (RFC 1950).
    #[test]
    fn the_sum_is_that_of_zlib() {
        for length in [0, 1, 15, 16, 17, 5551, 5552, 5553, 40_000] {
            for bytes in [vec![0xff; length], (0..length).map(|n| (n * 7) as u8).collect()] {
                let stream = zlib(&bytes).unwrap();
                let sum = u32::from_be_bytes(*stream.last_chunk().unwrap());
                assert_eq!(adler32(&bytes), sum, "{length}");
            }
        }
    }
}
