//! Compressed extents. The kernel makes none that is longer than 128 KiB, packed or not; a longer one is refused.

use crate::bytes::{Fields, to_usize};
use crate::codec;
use crate::error::EvidenceError;

/// Longest compressed extent, in either form (`BTRFS_MAX_COMPRESSED`).
const MAX_BYTES: u64 = 128 << 10;

/// The name of a compression number; `None` for none.
pub(super) fn name(method: u8) -> Option<&'static str> {
    match method {
        0 => None,
        1 => Some("zlib"),
        2 => Some("lzo"),
        3 => Some("zstd"),
        _ => Some("unknown"),
    }
}

/// Refuses lengths no kernel writes, before anything is allocated for them.
pub(super) fn check_lengths(packed_bytes: u64, plain_bytes: u64) -> Result<(), EvidenceError> {
    if packed_bytes > MAX_BYTES || plain_bytes > MAX_BYTES {
        return Err(EvidenceError::corrupt(format!(
            "compressed extent of {packed_bytes} bytes for {plain_bytes}, of at most {MAX_BYTES}"
        )));
    }
    Ok(())
}

/// The `plain_bytes` that `packed` stands for.
pub(super) fn unpack(
    method: u8,
    packed: &[u8],
    plain_bytes: u64,
    sector_bytes: u32,
) -> Result<Vec<u8>, EvidenceError> {
    let wanted = to_usize(plain_bytes);
    let mut out = match method {
        1 => codec::zlib(packed, wanted),
        2 => lzo(packed, wanted, to_usize(u64::from(sector_bytes))),
        3 => codec::zstd(packed, wanted),
        _ => return Err(EvidenceError::unsupported(format!("Btrfs compression {method}"))),
    }
    .map_err(|error| EvidenceError::corrupt(format!("compressed extent: {error}")))?;
    // A file that ended inside the extent left zeros after its end, which were not always packed.
    out.resize(wanted, 0);
    Ok(out)
}

/// The total length, then segments of one sector each behind their length; no length crosses a sector (`fs/btrfs/lzo.c`).
fn lzo(packed: &[u8], wanted: usize, sector_bytes: usize) -> Result<Vec<u8>, codec::CodecError> {
    let fields = Fields(packed);
    let total = to_usize(u64::from(fields.le32(0))).min(packed.len());
    let mut out = Vec::new();
    let mut at = 4_usize;
    while at < total && out.len() < wanted {
        let left = sector_bytes.saturating_sub(at.checked_rem(sector_bytes).unwrap_or(0));
        if left < 4 {
            at = at.saturating_add(left);
        }
        let length = to_usize(u64::from(fields.le32(at)));
        at = at.saturating_add(4);
        let segment = fields.slice(at, length);
        if segment.is_empty() {
            break;
        }
        out.extend(codec::lzo1x(segment, sector_bytes)?);
        at = at.saturating_add(length);
    }
    Ok(out)
}
