//! Free space from `$Bitmap`, one bit for each cluster.

use super::Ntfs;
use super::object::Object;
use super::record::kind;
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use std::ops::Range;

const RECORD_BITMAP: u64 = 6;
/// Read at once.
const PIECE_BYTES: usize = 1 << 20;
/// Ranges told; a volume torn more than this is refused.
const MAX_RANGES: usize = 1 << 22;

/// Byte ranges no cluster of which is in use.
pub(super) fn free_ranges(ntfs: &Ntfs) -> Result<Vec<Range<u64>>, EvidenceError> {
    let object = Object::load(ntfs, RECORD_BITMAP)?;
    let bitmap = object
        .content(ntfs, kind::DATA, b"")?
        .ok_or_else(|| EvidenceError::corrupt("$Bitmap has no content"))?;
    let cluster_bytes = ntfs.geometry.cluster_bytes;
    let end = ntfs.source.size_bytes().div_ceil(cluster_bytes.max(1)).min(ntfs.geometry.clusters);
    let mut out = Vec::new();
    let mut free_from: Option<u64> = None;
    let mut buf = vec![0; to_usize(bitmap.size_bytes).min(PIECE_BYTES)];
    let mut close = |from: &mut Option<u64>, to: u64| -> Result<(), EvidenceError> {
        if let Some(from) = from.take().filter(|from| *from < to) {
            if out.len() >= MAX_RANGES {
                let what = format!("free space in more than {MAX_RANGES} ranges");
                return Err(EvidenceError::refused(what));
            }
            out.push(from.saturating_mul(cluster_bytes)..to.saturating_mul(cluster_bytes));
        }
        Ok(())
    };
    let mut at = 0_u64;
    loop {
        let got = ntfs.read_content(&bitmap, at, &mut buf)?;
        let first = at.saturating_mul(8);
        if got == 0 || first >= end {
            break;
        }
        for (index, byte) in buf.get(..got).unwrap_or(&[]).iter().enumerate() {
            let cluster = first.saturating_add(to_u64(index).saturating_mul(8));
            match byte {
                0 => free_from = free_from.or(Some(cluster)),
                0xff => close(&mut free_from, cluster.min(end))?,
                _ => {
                    for bit in 0..8_u64 {
                        let cluster = cluster.saturating_add(bit).min(end);
                        if byte >> bit & 1 == 0 {
                            free_from = free_from.or(Some(cluster));
                        } else {
                            close(&mut free_from, cluster)?;
                        }
                    }
                }
            }
        }
        at = at.saturating_add(to_u64(got));
    }
    close(&mut free_from, at.saturating_mul(8).min(end))?;
    Ok(out)
}

/// The whole bitmap for looking up single clusters, as far as `limit_bytes` reach.
pub(super) fn bitmap(ntfs: &Ntfs, limit_bytes: u64) -> Result<Vec<u8>, EvidenceError> {
    let object = Object::load(ntfs, RECORD_BITMAP)?;
    Ok(object.value(ntfs, kind::DATA, b"", limit_bytes)?.unwrap_or_default())
}
