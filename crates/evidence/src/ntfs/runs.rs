//! Data runs: from a cluster of a stream to a cluster of the volume.
//!
//! Each run is a byte of two lengths, a count and a signed distance from the run before. Counts and places come from the
//! disk: a run may not leave the volume, a stream may not have more clusters than a file can, and the list is bounded.

use crate::bytes::to_u64;
use crate::error::EvidenceError;

/// Runs of one stream; a file of 8 TiB in clusters of 4 KiB that is torn into runs of 1,024 clusters has as many.
const MAX_RUNS: usize = 1 << 21;
/// No stream is longer than 2^63 bytes, whatever the size of clusters.
const MAX_CLUSTER: u64 = 1 << 54;

/// A run of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First cluster within the stream.
    pub(super) logical: u64,
    /// Number of clusters.
    pub(super) length: u64,
    pub(super) place: Place,
}

impl Run {
    /// The first cluster after it.
    pub(super) fn end(&self) -> u64 {
        self.logical.saturating_add(self.length)
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From this cluster of the volume on.
    At(u64),
    /// Nowhere: zeros.
    Hole,
    /// The record that told it could not be read.
    Lost,
}

/// Appends the runs of one piece that begins at cluster `first` of its stream.
pub(super) fn decode(
    raw: &[u8],
    first: u64,
    volume_clusters: u64,
    out: &mut Vec<Run>,
) -> Result<(), EvidenceError> {
    let mut logical = out.last().map_or(0, Run::end);
    if first < logical || first > MAX_CLUSTER {
        return Err(EvidenceError::corrupt(format!(
            "runs continue at cluster {first} of a stream that reached {logical}"
        )));
    }
    if first > logical {
        out.push(Run { logical, length: first.saturating_sub(logical), place: Place::Lost });
        logical = first;
    }
    let mut rest = raw;
    let mut cluster = 0_i64;
    while let Some((head, body)) = rest.split_first() {
        let (length_bytes, delta_bytes) = (usize::from(head & 15), usize::from(head >> 4));
        if *head == 0 {
            return Ok(());
        }
        let (length, after) = body
            .split_at_checked(length_bytes)
            .ok_or_else(|| EvidenceError::corrupt("runs end inside a length"))?;
        let (delta, after) = after
            .split_at_checked(delta_bytes)
            .ok_or_else(|| EvidenceError::corrupt("runs end inside a place"))?;
        rest = after;
        let length = signed(length).and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        let end = logical.saturating_add(length);
        if length == 0 || end > MAX_CLUSTER {
            return Err(EvidenceError::corrupt(format!("a run of {length} clusters at {logical}")));
        }
        let place = if delta_bytes == 0 {
            Place::Hole
        } else {
            let delta = signed(delta)
                .ok_or_else(|| EvidenceError::corrupt("a place of more than eight bytes"))?;
            cluster = cluster.saturating_add(delta);
            let start = u64::try_from(cluster).unwrap_or(u64::MAX);
            if start.saturating_add(length) > volume_clusters {
                return Err(EvidenceError::corrupt(format!(
                    "a run of {length} clusters at {cluster} of a volume of {volume_clusters}"
                )));
            }
            Place::At(start)
        };
        if out.len() >= MAX_RUNS {
            return Err(EvidenceError::refused(format!("a stream of more than {MAX_RUNS} runs")));
        }
        out.push(Run { logical, length, place });
        logical = end;
    }
    // Without an end mark the attribute itself ended the list, which old versions of Windows allow.
    Ok(())
}

/// A little-endian signed number of up to eight bytes.
fn signed(raw: &[u8]) -> Option<i64> {
    let fill = if raw.last()? & 0x80 != 0 { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole.get_mut(..raw.len())?.copy_from_slice(raw);
    Some(i64::from_le_bytes(whole))
}

/// The runs from the one that holds cluster `logical` on.
pub(super) fn from(runs: &[Run], logical: u64) -> &[Run] {
    let index = runs.partition_point(|run| run.end() <= logical);
    runs.get(index..).unwrap_or(&[])
}

/// Memory a list of runs takes.
pub(super) fn memory_bytes(runs: &[Run]) -> u64 {
    to_u64(size_of_val(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only we vouch: worked out by hand from the format.
    #[test]
    fn distances_are_signed_and_holes_have_none() {
        let raw = [0x21, 0x10, 0x00, 0x01, 0x11, 0x08, 0xf0, 0x01, 0x20, 0x11, 0x01, 0x01, 0];
        let mut runs = Vec::new();
        decode(&raw, 0, 1000, &mut runs).unwrap();
        let told: Vec<_> = runs.iter().map(|run| (run.logical, run.length, run.place)).collect();
        assert_eq!(
            told,
            [
                (0, 16, Place::At(256)),
                (16, 8, Place::At(240)),
                (24, 32, Place::Hole),
                (56, 1, Place::At(241))
            ]
        );
        assert_eq!(from(&runs, 23)[0].logical, 16);
        assert!(from(&runs, 57).is_empty());
    }

    #[test]
    fn impossible_runs_are_refused() {
        for raw in [
            &[0x11, 0x08, 0xf0, 0][..],
            &[0x11, 0, 1, 0],
            &[0x11, 0xff, 1, 0],
            &[0x21, 1],
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0],
            &[0xf1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        ] {
            assert!(decode(raw, 0, 1000, &mut Vec::new()).is_err(), "{raw:x?}");
        }
    }
}
