//! Filling in the holes of copies, and reading such a copy back: its digest cannot come from the one read of the source.
//!
//! Two things are proved first, of the same bytes that are digested: with the late chunks taken as zeros, the copy has the
//! SHA-256 that was computed while the source was read; and each late chunk has the SHA-256 of what the source gave for it.
//! Then every byte of the copy is one that was read from the source, and its digests are those of the image.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use hashing::{Algorithms, Digests, MultiHasher};

use crate::pipeline::Copied;
use crate::reader::wide;
use crate::rescue::{Late, Patched, Rescue, sha256};
use crate::{
    Acquisition, Destination, Ending, Error, ImageFile, Journal, PieceDigest, Pieces, ReadAt, Tick,
    Verified,
};

/// What filling in needs beside the copies.
pub(crate) struct FillingIn<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) retries: u8,
    pub(crate) journal: &'a mut Journal,
    pub(crate) journal_failure: Option<io::Error>,
    pub(crate) cancel: &'a AtomicBool,
}

impl FillingIn<'_> {
    /// Fills in the holes of every copy that has not failed; says how it ended, and what became of the journal.
    pub(crate) fn run(
        self,
        copies: &mut [Copied<Box<dyn Destination>>],
        late: &mut Late,
        progress: &mut dyn FnMut(u64),
    ) -> (Ending, Option<io::Error>) {
        let (mut patched, mut whose) = (Vec::new(), Vec::new());
        for copy in copies.iter_mut().filter(|copy| copy.failure.is_none()) {
            match copy.writer.file().map_or(Ok(None), ImageFile::patch) {
                Ok(Some(patch)) => {
                    patched.push(Patched { patch, failure: None });
                    whose.push(copy);
                }
                Ok(None) => {
                    copy.failure = Some(io::Error::other("its holes cannot be filled in later"));
                }
                Err(problem) => copy.failure = Some(problem),
            }
        }
        let Self { source, retries, journal, journal_failure, cancel } = self;
        let copies = &mut patched;
        let mut rescue = Rescue { source, retries, copies, journal, journal_failure, cancel };
        let ending = rescue.run(late, progress);
        let journal_failure = rescue.journal_failure.take();
        for (copy, patched) in whose.into_iter().zip(patched) {
            copy.failure = patched.failure;
        }
        (ending, journal_failure)
    }
}

/// What reading back gave.
pub(crate) struct ReadLate {
    pub(crate) verified: Verified,
    pub(crate) digests: Digests,
    pub(crate) pieces: Vec<PieceDigest>,
}

/// How the copy is read back.
pub(crate) struct Wanted<'a> {
    pub(crate) algorithms: &'a Algorithms,
    pub(crate) piece_bytes: Option<u64>,
    pub(crate) chunk_bytes: u64,
}

/// Reads a copy back past what memory holds of it, and proves it chunk by chunk.
///
/// `acquisition` has the digests of the disk with holes where `late` says.
///
/// # Errors
/// When the copy cannot be read to its end, or differs.
pub(crate) fn verify_late(
    copy: &dyn ImageFile,
    acquisition: &Acquisition,
    late: &Late,
    wanted: &Wanted<'_>,
    progress: &mut dyn FnMut(Tick),
    cancel: &AtomicBool,
) -> Result<ReadLate, Error> {
    let path = copy.parts().paths().into_iter().next().unwrap_or_default();
    let source = copy.read_back().map_err(Error::io("reading back", &path))?;
    let size_bytes = acquisition.size_bytes;
    let mut holes = MultiHasher::new(&Algorithms::sha256());
    let mut whole = MultiHasher::new(wanted.algorithms);
    let mut pieces = Pieces::new(wanted.piece_bytes);
    let length = usize::try_from(wanted.chunk_bytes).unwrap_or(1 << 20);
    let mut memory = vec![0_u8; length];
    let mut offset_bytes = 0_u64;
    while offset_bytes < size_bytes {
        let left = usize::try_from(size_bytes.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
        let chunk = memory.get_mut(..length.min(left)).unwrap_or_default();
        let stopped = cancel.load(Ordering::Relaxed);
        if stopped || read_all(&*source, offset_bytes, chunk).is_err() {
            return Err(Error::Unreadable { path, offset_bytes });
        }
        whole.update(chunk);
        pieces.update(chunk);
        if let Some(expected) = late.at(offset_bytes).and_then(|late| late.late_sha256.clone()) {
            if sha256(chunk) != expected {
                return Err(Error::Unreadable { path, offset_bytes });
            }
            chunk.fill(0);
        }
        holes.update(chunk);
        offset_bytes = offset_bytes.saturating_add(wide(chunk.len()));
        let bad_bytes = acquisition.bad.total_bytes();
        progress(Tick { done_bytes: offset_bytes, total_bytes: size_bytes, bad_bytes });
    }
    let (found, expected) = (holes.finish(), acquisition.digests.clone());
    if source.size_bytes() != size_bytes || !expected.agrees_with(&found) {
        return Err(Error::Mismatch { path, expected, found });
    }
    let digests = whole.finish();
    Ok(ReadLate { verified: proof(path, &digests, size_bytes), digests, pieces: pieces.finish() })
}

fn proof(path: PathBuf, digests: &Digests, size_bytes: u64) -> Verified {
    Verified::new(path, digests.clone(), size_bytes)
}

fn read_all(source: &dyn ReadAt, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut done = 0_usize;
    while done < buffer.len() {
        let rest = buffer.get_mut(done..).unwrap_or_default();
        match source.read_at(offset_bytes.saturating_add(wide(done)), rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done = done.saturating_add(count),
        }
    }
    Ok(())
}
