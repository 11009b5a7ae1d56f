//! Btrfs, read only.

use crate::error::EvidenceError;
use crate::fs::{FileSystem, View};
use crate::source::Source;
use std::sync::Arc;

/// Opens the file system whose devices are `devices`, in any order; some may be missing.
///
/// # Errors
/// Always `Unsupported`: this reader is being written.
pub fn open(
    devices: Vec<Arc<dyn Source>>,
    view: View,
) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = (devices, view);
    Err(EvidenceError::unsupported("Btrfs"))
}
