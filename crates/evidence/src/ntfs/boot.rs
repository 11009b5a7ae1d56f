//! The boot sector: sizes, and where the Master File Table begins. A copy stands in the last sector.

use crate::bytes::Fields;
use crate::error::EvidenceError;

/// What the boot sector fixes for the whole volume.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) cluster_bytes: u64,
    /// Clusters the volume claims.
    pub(super) clusters: u64,
    pub(super) record_bytes: u64,
    /// First cluster of the MFT and of the copy of its first records.
    pub(super) mft_cluster: u64,
    pub(super) mirror_cluster: u64,
    pub(super) serial: u64,
}

/// A boot sector that makes sense.
pub(super) fn parse(raw: &[u8]) -> Result<Geometry, EvidenceError> {
    let boot = Fields(raw);
    if !boot.has(3, b"NTFS    ") {
        return Err(EvidenceError::corrupt("no NTFS signature in the boot sector"));
    }
    let sector_bytes = u64::from(boot.le16(11));
    let sectors_per_cluster = match boot.u8(13) {
        // Clusters above 64 KiB: a negative power of two.
        shift @ 0xe1..=0xff => {
            1_u64.checked_shl(u32::from(shift.wrapping_neg())).unwrap_or(u64::MAX)
        }
        count => u64::from(count),
    };
    let cluster_bytes = sectors_per_cluster.saturating_mul(sector_bytes);
    if !sector_bytes.is_power_of_two()
        || !(256..=4096).contains(&sector_bytes)
        || !cluster_bytes.is_power_of_two()
        || cluster_bytes > 2 << 20
    {
        return Err(EvidenceError::corrupt(format!(
            "NTFS with sectors of {sector_bytes} bytes and clusters of {cluster_bytes}"
        )));
    }
    let record_bytes = size("MFT records", boot.u8(0x40), cluster_bytes)?;
    // Each directory repeats the size of its blocks; only nonsense here is of interest.
    size("index blocks", boot.u8(0x44), cluster_bytes)?;
    let sectors = boot.le64(0x28);
    Ok(Geometry {
        cluster_bytes,
        clusters: sectors.checked_div(sectors_per_cluster).unwrap_or(0),
        record_bytes,
        mft_cluster: boot.le64(0x30),
        mirror_cluster: boot.le64(0x38),
        serial: boot.le64(0x48),
    })
}

/// A size given as a number of clusters, or above 0x80 as a negative power of two in bytes.
fn size(what: &str, raw: u8, cluster_bytes: u64) -> Result<u64, EvidenceError> {
    let bytes = match raw {
        shift @ 0x81..=0xff => {
            1_u64.checked_shl(u32::from(shift.wrapping_neg())).unwrap_or(u64::MAX)
        }
        count => u64::from(count).saturating_mul(cluster_bytes),
    };
    if bytes.is_power_of_two() && (512..=65_536).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(EvidenceError::corrupt(format!("NTFS with {what} of {bytes} bytes")))
    }
}
