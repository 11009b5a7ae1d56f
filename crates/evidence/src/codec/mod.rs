//! The compressions file systems use, each with a bound on what comes out.
//!
//! A thin layer over kept libraries, all in safe Rust: one error type, and never more output than the caller allows.

mod lz4;
mod lznt1;
mod lzo;
mod packing;

pub(crate) use lz4::lz4_partial;
pub(crate) use lznt1::lznt1;
pub(crate) use lzo::lzo1x;
pub(crate) use packing::Packing;

use std::io::Read;

/// Why data did not decompress.
#[derive(Debug, thiserror::Error)]
#[error("{method} data: {what}")]
pub(crate) struct CodecError {
    pub(crate) method: &'static str,
    pub(crate) what: String,
}

impl CodecError {
    pub(crate) fn new(method: &'static str, what: impl std::fmt::Display) -> Self {
        Self { method, what: what.to_string() }
    }
}

/// Reads at most `limit_bytes` of what a decompressor gives; data after that is left alone.
fn bounded(
    method: &'static str,
    from: impl Read,
    limit_bytes: usize,
) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    from.take(limit).read_to_end(&mut out).map_err(|error| CodecError::new(method, error))?;
    Ok(out)
}

/// A zlib stream (RFC 1950).
pub(crate) fn zlib(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    bounded("zlib", flate2::read::ZlibDecoder::new(packed), limit_bytes)
}

/// A Zstandard frame (RFC 8878).
pub(crate) fn zstd(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed)
        .map_err(|error| CodecError::new("zstd", error))?;
    bounded("zstd", decoder, limit_bytes)
}
