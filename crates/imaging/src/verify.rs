//! Reading copies back from their media: the only way to the proof that gives a copy its name.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use hashing::Algorithms;

use crate::acquire::acquire;
use crate::partial::Verified;
use crate::{Acquisition, Ending, Error, ImageFile, NullSink, Plan, Spread, Tick};

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
    acquisition.ensure_complete(&path)?;
    let size_bytes = acquisition.size_bytes;
    let source = copy.read_back().map_err(Error::io("reading back", &path))?;
    // One digest is proof enough; the others were computed of the same bytes.
    let plan = Plan { algorithms: Algorithms::sha256(), retries: 0, ..Plan::reading() };
    // A plain copy is read in order, as its medium likes it best.
    let spread = match copy.encoding() {
        Some(_) => Spread::over_processors(&*source),
        None => Spread::new(&*source, NonZeroUsize::MIN),
    };
    let read = acquire(&spread, &mut NullSink, &plan, progress, cancel)?;
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

fn first_path(copy: &dyn ImageFile) -> PathBuf {
    copy.parts().paths().into_iter().next().unwrap_or_default()
}
