//! LZO1X, as Btrfs and squashfs use it.

use super::CodecError;

/// One LZO1X block of at most `limit_bytes` when decompressed.
pub(crate) fn lzo1x(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let _ = (packed, limit_bytes);
    Err(CodecError::new("lzo", "not read yet"))
}
