//! Decompression straight into the caller's buffer, by a method chosen at run time.
//!
//! Reading a large file must not allocate for each block of it: the block is decompressed where it is wanted.

use super::{CodecError, lz4_partial, lzo1x};
use flate2::{Decompress, FlushDecompress, Status};
use std::io::Read;

/// A dictionary a hostile stream may make a decoder allocate, in KiB: the largest any block of a file system needs is 8 MiB.
const MAX_DECODER_KIB: u32 = 32 * 1024;

/// A compression method of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// RFC 1950.
    Zlib,
    /// RFC 1951, without a frame.
    Deflate,
    /// LZO1X.
    Lzo,
    /// An xz stream.
    Xz,
    /// The older `.lzma` form: properties, dictionary, length, data.
    LzmaAlone,
    /// LZMA without header, its first byte the inverted properties (EROFS).
    MicroLzma,
    /// One LZ4 block.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Packing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
            Self::Lzo => "lzo",
            Self::Xz => "xz",
            Self::LzmaAlone => "lzma",
            Self::MicroLzma => "MicroLZMA",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    fn error(self, what: impl std::fmt::Display) -> CodecError {
        CodecError::new(self.name(), what)
    }

    /// Fills `out` from the start of what `packed` holds; fewer bytes than that only when there are no more.
    ///
    /// What `packed` holds beyond the length of `out` is left alone.
    pub(crate) fn unpack_into(self, packed: &[u8], out: &mut [u8]) -> Result<usize, CodecError> {
        match self {
            Self::Zlib => self.inflate(Decompress::new(true), packed, out),
            Self::Deflate => self.inflate(Decompress::new(false), packed, out),
            Self::Lzo => {
                let all = lzo1x(packed, out.len())?;
                let count = all.len().min(out.len());
                if let (Some(to), Some(from)) = (out.get_mut(..count), all.get(..count)) {
                    to.copy_from_slice(from);
                }
                Ok(count)
            }
            Self::Xz => {
                self.fill(lzma_rust2::XzReader::new_mem_limit(packed, false, MAX_DECODER_KIB), out)
            }
            Self::LzmaAlone => {
                let reader = lzma_rust2::LzmaReader::new_mem_limit(packed, MAX_DECODER_KIB, None)
                    .map_err(|error| self.error(error))?;
                self.fill(reader, out)
            }
            Self::MicroLzma => self.micro_lzma(packed, out),
            // The kept crate is the faster one, but wants both ends to meet.
            Self::Lz4 => {
                lz4_flex::block::decompress_into(packed, out).or_else(|_| lz4_partial(packed, out))
            }
            Self::Zstd => {
                let reader = ruzstd::decoding::StreamingDecoder::new(packed)
                    .map_err(|error| self.error(error))?;
                self.fill(reader, out)
            }
        }
    }

    /// What `packed` holds, at most `limit_bytes`.
    pub(crate) fn unpack(self, packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
        let mut out = vec![0; limit_bytes];
        let got = self.unpack_into(packed, &mut out)?;
        out.truncate(got);
        Ok(out)
    }

    fn inflate(
        self,
        mut decoder: Decompress,
        packed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CodecError> {
        let status = decoder
            .decompress(packed, out, FlushDecompress::Finish)
            .map_err(|error| self.error(error))?;
        let got = usize::try_from(decoder.total_out()).unwrap_or(usize::MAX);
        if status != Status::StreamEnd && got < out.len() {
            return Err(self.error(format!("the stream ends after {got} bytes")));
        }
        Ok(got)
    }

    /// The stream of XZ Embedded's MicroLZMA: the range coder's first byte, always 0, gives its place to the inverted
    /// properties, and there is no end marker.
    fn micro_lzma(self, packed: &[u8], out: &mut [u8]) -> Result<usize, CodecError> {
        let (first, rest) = packed.split_first().ok_or_else(|| self.error("no data"))?;
        let length = u64::try_from(out.len()).unwrap_or(u64::MAX);
        // No match reaches further back than the output is long.
        let window = u32::try_from(out.len()).unwrap_or(u32::MAX).max(4096);
        let stream = (&[0_u8][..]).chain(rest);
        let mut reader =
            lzma_rust2::LzmaReader::new_with_props(stream, length, !first, window, None)
                .map_err(|error| self.error(error))?;
        // A caller that wants less than all may stop inside a match, which the decoder reports behind the last byte.
        reader.set_defer_errors(true);
        self.fill(reader, out)
    }

    fn fill(self, mut from: impl Read, out: &mut [u8]) -> Result<usize, CodecError> {
        let mut done = 0_usize;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match from.read(rest) {
                Ok(0) => break,
                Ok(count) => done = done.saturating_add(count),
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by the encoders of the kept crates, which are other code than their decoders.
    #[test]
    fn more_or_less_than_wanted() {
        use std::io::Write;
        let text = "the same line again\n".repeat(500).into_bytes();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let zlib = zlib.finish().unwrap();
        let lz4 = lz4_flex::block::compress(&text);
        for (method, packed) in [(Packing::Zlib, zlib), (Packing::Lz4, lz4)] {
            assert_eq!(method.unpack(&packed, text.len()).unwrap(), text);
            assert_eq!(method.unpack(&packed, text.len() + 100).unwrap(), text);
            assert_eq!(method.unpack(&packed, 777).unwrap(), text[..777]);
            assert!(method.unpack(&packed[..packed.len() / 2], text.len()).is_err());
        }
        assert!(Packing::MicroLzma.unpack(&[], 10).is_err());
        assert!(Packing::Xz.unpack(b"no xz", 10).is_err());
        assert!(Packing::Zstd.unpack(b"no zstd", 10).is_err());
    }
}
