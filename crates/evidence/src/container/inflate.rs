//! Inflating a chunk straight into where it is wanted.
//!
//! The working memory of a decompressor is larger than most chunks, so each thread keeps one.

use crate::bytes::to_usize;
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;
use std::io;

/// What surrounds the deflate data.
#[derive(Clone, Copy)]
pub(super) enum Wrapping {
    /// RFC 1950, with an Adler-32 that is checked.
    Zlib,
    /// Nothing.
    Bare,
}

thread_local! {
    static INFLATE: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// Fills all of `out` from `packed`; what follows the compressed data is left alone.
pub(super) fn inflate(wrapping: Wrapping, packed: &[u8], out: &mut [u8]) -> io::Result<()> {
    let with_header = matches!(wrapping, Wrapping::Zlib);
    INFLATE.with_borrow_mut(|kept| {
        let inflate = kept.get_or_insert_with(|| Decompress::new(with_header));
        inflate.reset(with_header);
        let wanted = out.len();
        let status = inflate
            .decompress(packed, out, FlushDecompress::Finish)
            .map_err(|error| corrupt(format!("deflate data: {error}")))?;
        let got = to_usize(inflate.total_out());
        // The checksum of zlib stands behind the last byte: only the end of the stream says that it was right.
        if got != wanted || (with_header && status != Status::StreamEnd) {
            return Err(corrupt(format!("deflate data: {got} of {wanted} bytes, {status:?}")));
        }
        Ok(())
    })
}

/// Like [`inflate`] for zlib, where writers may fill the disk's last chunk up to the full length of a chunk; only what
/// belongs to the disk counts.
pub(super) fn inflate_chunk(packed: &[u8], out: &mut [u8], full_bytes: usize) -> io::Result<()> {
    let exact = inflate(Wrapping::Zlib, packed, out);
    if exact.is_ok() || out.len() >= full_bytes {
        return exact;
    }
    let mut whole = vec![0; full_bytes];
    inflate(Wrapping::Zlib, packed, &mut whole)?;
    let from = whole.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
    out.copy_from_slice(from);
    Ok(())
}

/// Bytes that contradict their format, as what a [`crate::SourceError`] carries.
pub(super) fn corrupt(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
