//! LUKS1 and LUKS2, opened in memory with a key the examiner gives.

use super::Key;
use crate::error::EvidenceError;
use crate::source::Source;
use std::sync::Arc;

/// The clear content of the volume `source`, opened by the first of `keys` that fits.
///
/// # Errors
/// `Refused` when no key fits, `Unsupported` naming a cipher or kind of key this version lacks, else as reading.
pub fn unlock(source: Arc<dyn Source>, keys: &[Key]) -> Result<Arc<dyn Source>, EvidenceError> {
    let _ = (source, keys);
    Err(EvidenceError::unsupported("LUKS1 and LUKS2"))
}
