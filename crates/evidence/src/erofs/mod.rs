//! EROFS, read only.

use crate::error::EvidenceError;
use crate::fs::{FileSystem, View};
use crate::source::Source;
use std::sync::Arc;

/// Opens the file system that begins at the start of `source`.
///
/// # Errors
/// Always `Unsupported`: this reader is being written.
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = (source, view);
    Err(EvidenceError::unsupported("EROFS"))
}
