//! Reading copies back from their media: the only way to the proof that gives a copy its name.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use hashing::{Algorithms, Digest, Digests};

use crate::acquire::acquire;
use crate::partial::Verified;
use crate::{Acquisition, Ending, Error, ImageFile, NullSink, Plan, Reached, Start, Tick};

/// Reads a copy back through a reader of its format, past what memory holds of it, and compares the disk it holds with
/// what was acquired: size and SHA-256.
///
/// # Errors
/// When the acquisition was not complete, the copy cannot be read to its end, or it differs.
pub fn verify_copy(
    copy: &dyn ImageFile,
    acquisition: &Acquisition,
    progress: &mut dyn FnMut(Tick),
    cancel: &AtomicBool,
) -> Result<Verified, Error> {
    let path = first_path(copy);
    let (size_bytes, copied_bytes) = (acquisition.size_bytes, acquisition.copied_bytes);
    if acquisition.ending != Ending::Complete {
        return Err(Error::Incomplete { path, copied_bytes, size_bytes });
    }
    let source = copy.read_back().map_err(Error::io("reading back", &path))?;
    // One digest is proof enough; the others were computed of the same bytes.
    let plan = Plan { algorithms: Algorithms::sha256(), retries: 0, ..Plan::default() };
    let read = acquire(&*source, &mut NullSink, &plan, progress, cancel)?;
    if read.ending != Ending::Complete || !read.bad.is_empty() {
        let offset_bytes = read.bad.iter().next().map_or(read.copied_bytes, |bad| bad.offset_bytes);
        return Err(Error::Unreadable { path, offset_bytes });
    }
    if read.size_bytes != size_bytes || !acquisition.digests.agrees_with(&read.digests) {
        let expected = acquisition.digests.clone();
        return Err(Error::Mismatch { path, expected, found: read.digests });
    }
    Ok(Verified::new(path, read.digests, size_bytes))
}

/// Gives the files of a verified copy their names; existing files are never replaced.
///
/// # Errors
/// When a name was taken meanwhile, the proof is of another copy, or renaming fails.
pub fn publish(copy: &mut dyn ImageFile, verified: &Verified) -> Result<Vec<PathBuf>, Error> {
    if verified.path() != first_path(copy) {
        return Err(Error::Exists { path: verified.path().to_path_buf() });
    }
    copy.parts_mut().publish()
}

/// Reads what an interrupted copy holds, to go on with the digests where they stood; compares it with the journal.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub fn read_prefix(
    copy: &dyn ImageFile,
    reached: &Reached,
    plan: &Plan,
    progress: &mut dyn FnMut(Tick),
    cancel: &AtomicBool,
) -> Result<Start, Error> {
    let path = first_path(copy);
    let mut start = Start::new(plan);
    start.bad = reached.bad.clone();
    start.offset_bytes = reached.position_bytes;
    if reached.position_bytes == 0 {
        return Ok(start);
    }
    let source = copy.read_back().map_err(Error::io("reading back", &path))?;
    let mut buffer = vec![0; plan.chunk_bytes];
    let mut offset = 0u64;
    while offset < reached.position_bytes {
        if cancel.load(std::sync::atomic::Ordering::Relaxed) {
            let (copied_bytes, size_bytes) = (reached.position_bytes, source.size_bytes());
            return Err(Error::Incomplete { path, copied_bytes, size_bytes });
        }
        let left = usize::try_from(reached.position_bytes.saturating_sub(offset));
        let wanted = left.unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let count = match source.read_at(offset, part) {
            Ok(0) => return Err(Error::Unreadable { path, offset_bytes: offset }),
            Ok(count) => count,
            Err(error) => return Err(Error::io("reading back", &path)(error)),
        };
        let bytes = part.get(..count).unwrap_or_default();
        start.hasher.update(bytes);
        start.pieces.update(bytes);
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let total_bytes = reached.position_bytes;
        progress(Tick { done_bytes: offset, total_bytes, bad_bytes: 0 });
    }
    if same(&start.hasher.clone().finish(), &reached.digests) {
        return Ok(start);
    }
    Err(Error::Changed { copy: copy.name(), position_bytes: reached.position_bytes })
}

/// Whether both hold the same digests, not only common ones.
fn same(found: &Digests, expected: &Digests) -> bool {
    found.iter().map(Digest::to_hex).eq(expected.iter().map(Digest::to_hex))
}

fn first_path(copy: &dyn ImageFile) -> PathBuf {
    copy.parts().paths().into_iter().next().unwrap_or_default()
}
