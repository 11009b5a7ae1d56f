//! Logs of a hive (`NAME.LOG1`, `NAME.LOG2`, formerly `NAME.LOG`): what Windows had changed but not yet written into it.
//!
//! Since Windows 8.1 a hive is written rarely and its logs often, so a running or crashed system's newest keys are in them
//! alone. The pages are laid over the hive while it is read; nothing is written. Two formats: a bit for each dirty sector
//! of the whole hive (`DIRT`), and entries with a number and a digest each (`HvLE`). After M. Suhanov's specification of
//! the format, "Format of transaction log files" and "Dirty state of a hive".

use super::hive::{BASE_BYTES, checksum};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::collections::BTreeMap;

/// Unit of what is laid over a hive.
const SECTOR: usize = 512;
/// Where entries, and the map of the older format, begin.
const ENTRIES_AT: usize = 512;
/// What Windows seeds its digest of log entries with.
const SEED: u64 = 0x82ef_4d88_7a4e_55c5;
/// Largest hive of Windows.
const MAX_HIVE_BYTES: u64 = 2 << 30;

/// A log file's name and content.
pub type LogFile = (String, Vec<u8>);

/// What was taken from logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Entries applied; of the older format, which has none, one for the whole log.
    pub entries: usize,
    /// Sectors of 512 bytes that were laid over the hive.
    pub sectors: usize,
    /// The logs they came from.
    pub logs: Vec<String>,
}

/// A hive with sectors of its logs laid over it.
pub(super) struct Patched<S> {
    pub(super) inner: S,
    pub(super) sectors: BTreeMap<u64, [u8; SECTOR]>,
    pub(super) size_bytes: u64,
}

impl<S: Source> Source for Patched<S> {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let available = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let Some(buf) = buf.get_mut(..available) else { return Ok(0) };
        if offset_bytes < self.inner.size_bytes() {
            let got = self.inner.read_at(offset_bytes, buf)?;
            buf.iter_mut().skip(got).for_each(|byte| *byte = 0);
        } else {
            buf.fill(0);
        }
        let sector_bytes = to_u64(SECTOR);
        let first = offset_bytes.checked_div(sector_bytes).unwrap_or(0);
        let end = offset_bytes.saturating_add(to_u64(available));
        for (number, sector) in self.sectors.range(first..) {
            let start = number.saturating_mul(sector_bytes);
            if start >= end {
                break;
            }
            for (at, byte) in sector.iter().enumerate() {
                let place = start.saturating_add(to_u64(at)).checked_sub(offset_bytes);
                if let Some(slot) = place.and_then(|place| buf.get_mut(to_usize(place))) {
                    *slot = *byte;
                }
            }
        }
        Ok(available)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// What the logs have for a hive whose secondary sequence number is this.
pub(super) fn gather(
    logs: &[LogFile],
    secondary: u32,
) -> (Replay, BTreeMap<u64, [u8; SECTOR]>, u64) {
    let mut replay = Replay::default();
    let mut sectors = BTreeMap::new();
    let mut size_bytes = 0;
    let mut runs: Vec<(&LogFile, Vec<Entry<'_>>)> = logs
        .iter()
        .map(|log| (log, entries(&log.1)))
        .filter(|(_, entries)| !entries.is_empty())
        .collect();
    runs.sort_by_key(|(_, entries)| entries.first().map(|entry| entry.sequence));
    let mut expected: Option<u32> = None;
    for (log, entries) in &runs {
        for entry in entries.iter().filter(|entry| entry.sequence >= secondary) {
            if expected.is_some_and(|expected| entry.sequence != expected) {
                continue;
            }
            expected = Some(entry.sequence.wrapping_add(1));
            entry.lay_over(&mut sectors);
            size_bytes = entry.hive_bytes;
            replay.entries = replay.entries.saturating_add(1);
            if replay.logs.last() != Some(&log.0) {
                replay.logs.push(log.0.clone());
            }
        }
    }
    if replay.entries == 0 {
        let old = logs.iter().filter_map(|log| Some((old_sequence(&log.1)?, log)));
        let newest = old.filter(|(sequence, _)| *sequence >= secondary).max_by_key(|(n, _)| *n);
        if let Some((_, log)) = newest
            && let Some(bytes) = old_format(&log.1, &mut sectors)
        {
            size_bytes = bytes;
            replay.entries = 1;
            replay.logs.push(log.0.clone());
        }
    }
    replay.sectors = sectors.len();
    (replay, sectors, size_bytes.saturating_add(BASE_BYTES).min(MAX_HIVE_BYTES))
}

/// An entry whose digests hold.
struct Entry<'a> {
    sequence: u32,
    /// Bytes of the hive behind its base block, once this is applied.
    hive_bytes: u64,
    pages: Vec<(u64, &'a [u8])>,
}

impl Entry<'_> {
    fn lay_over(&self, sectors: &mut BTreeMap<u64, [u8; SECTOR]>) {
        for (offset, page) in &self.pages {
            lay(sectors, *offset, page);
        }
    }
}

/// Lays bytes at `offset` behind the base block; both are whole sectors.
fn lay(sectors: &mut BTreeMap<u64, [u8; SECTOR]>, offset: u64, page: &[u8]) {
    let first = offset.saturating_add(BASE_BYTES).checked_div(to_u64(SECTOR)).unwrap_or(0);
    for (number, sector) in (first..).zip(page.as_chunks::<SECTOR>().0) {
        sectors.insert(number, *sector);
    }
}

/// Whether a log's base block is whole, and of which type it is.
fn kind(log: &[u8]) -> Option<u32> {
    let base = Fields(log);
    let is_whole = base.has(0, b"regf")
        && log.len() > ENTRIES_AT
        && checksum(log) == base.le32(508)
        && base.le32(4) == base.le32(8);
    is_whole.then(|| base.le32(28))
}

/// The entries of a log in the new format, as far as their digests hold and their numbers go on by one.
fn entries(log: &[u8]) -> Vec<Entry<'_>> {
    let mut out: Vec<Entry<'_>> = Vec::new();
    if kind(log) != Some(6) {
        return out;
    }
    let mut at = ENTRIES_AT;
    while let Some(entry) = log.get(at..) {
        let fields = Fields(entry);
        let size = to_usize(u64::from(fields.le32(4)));
        let Some(raw) = entry.get(..size).filter(|_| fields.has(0, b"HvLE") && size >= SECTOR)
        else {
            break;
        };
        let is_sound = size.is_multiple_of(SECTOR)
            && fields.le64(24) == marvin(raw.get(40..).unwrap_or(&[]))
            && fields.le64(32) == marvin(raw.get(..32).unwrap_or(&[]));
        let sequence = fields.le32(12);
        let follows = out.last().is_none_or(|last| last.sequence.wrapping_add(1) == sequence);
        let Some(pages) = pages(raw).filter(|_| is_sound && follows) else { break };
        out.push(Entry { sequence, hive_bytes: u64::from(fields.le32(16)), pages });
        at = at.saturating_add(size);
    }
    out
}

/// The pages of an entry; `None` when they do not fit into it.
fn pages(raw: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let fields = Fields(raw);
    let count = to_usize(u64::from(fields.le32(20)));
    let references = raw.get(40..)?.get(..count.checked_mul(8)?)?;
    let mut at = count.checked_mul(8)?.checked_add(40)?;
    let mut out = Vec::new();
    for reference in references.as_chunks::<8>().0 {
        let reference = Fields(reference);
        let (offset, length) = (reference.le32(0), to_usize(u64::from(reference.le32(4))));
        let end = at.checked_add(length)?;
        let page = raw.get(at..end).filter(|_| {
            length.is_multiple_of(SECTOR) && to_usize(u64::from(offset)).is_multiple_of(SECTOR)
        })?;
        out.push((u64::from(offset), page));
        at = end;
    }
    Some(out)
}

fn old_sequence(log: &[u8]) -> Option<u32> {
    let is_old = matches!(kind(log), Some(1 | 2)) && Fields(log).has(ENTRIES_AT, b"DIRT");
    is_old.then(|| Fields(log).le32(4))
}

/// Lays the sectors of a log in the older format; the size of the hive behind its base block.
fn old_format(log: &[u8], sectors: &mut BTreeMap<u64, [u8; SECTOR]>) -> Option<u64> {
    let hive_bytes = u64::from(Fields(log).le32(40));
    let bits = to_usize(hive_bytes).checked_div(SECTOR)?;
    let map_at = ENTRIES_AT.checked_add(4)?;
    let map = log.get(map_at..)?.get(..bits.div_ceil(8))?;
    let mut at = map_at.checked_add(map.len())?.checked_next_multiple_of(SECTOR)?;
    for number in 0..bits {
        let (byte, bit) = (number.checked_div(8)?, number.checked_rem(8)?);
        if map.get(byte)? & 1_u8.checked_shl(u32::try_from(bit).ok()?)? == 0 {
            continue;
        }
        let sector = log.get(at..)?.get(..SECTOR)?;
        lay(sectors, to_u64(number.checked_mul(SECTOR)?), sector);
        at = at.checked_add(SECTOR)?;
    }
    Some(hive_bytes)
}

/// Marvin32, the keyed digest Windows protects entries with; here its key is known and it only finds torn writes.
fn marvin(bytes: &[u8]) -> u64 {
    let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
    let (mut p0, mut p1) = (low(SEED), low(SEED >> 32));
    let mut mix = |word: u32| {
        p0 = p0.wrapping_add(word);
        p1 ^= p0;
        p0 = p0.rotate_left(20).wrapping_add(p1);
        p1 = p1.rotate_left(9) ^ p0;
        p0 = p0.rotate_left(27).wrapping_add(p1);
        p1 = p1.rotate_left(19);
        (p0, p1)
    };
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        mix(u32::from_le_bytes(*word));
    }
    let mut last = [0; 4];
    for (slot, byte) in last.iter_mut().zip(rest.iter().chain(std::iter::once(&0x80))) {
        *slot = *byte;
    }
    mix(u32::from_le_bytes(last));
    let (p0, p1) = mix(0);
    u64::from(p1) << 32 | u64::from(p0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;

    /// A log of one entry that lays `page` at `offset`, in the new format.
    fn log(sequence: u32, offset: u32, page: &[u8; SECTOR]) -> Vec<u8> {
        let mut base = vec![0; SECTOR];
        base[..4].copy_from_slice(b"regf");
        base[28] = 6;
        let sum = checksum(&base);
        base[508..].copy_from_slice(&sum.to_le_bytes());
        let mut entry = vec![0; 40];
        entry[..4].copy_from_slice(b"HvLE");
        for (at, value) in [(4, 1024), (12, sequence), (16, 8192), (20, 1)] {
            entry[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        entry.extend(offset.to_le_bytes());
        entry.extend(512_u32.to_le_bytes());
        entry.extend(page);
        entry.resize(1024, 0);
        let first = marvin(&entry[40..]);
        entry[24..32].copy_from_slice(&first.to_le_bytes());
        let second = marvin(&entry[..32]);
        entry[32..40].copy_from_slice(&second.to_le_bytes());
        base.extend(entry);
        base
    }

    /// Only we vouch here; logs of real Windows are judged in `tests/windows.rs`.
    #[test]
    fn entries_apply_in_the_order_of_their_numbers_and_torn_ones_end_it() {
        let logs = [
            ("b".to_owned(), log(8, 512, &[2; SECTOR])),
            ("a".to_owned(), log(7, 512, &[1; SECTOR])),
        ];
        let (replay, sectors, size) = gather(&logs, 7);
        assert_eq!((replay.entries, replay.sectors, size), (2, 1, 8192 + 4096));
        assert_eq!(replay.logs, ["a", "b"]);
        assert_eq!(sectors[&9], [2; SECTOR]);
        let source = Patched { inner: MemSource::new(vec![7; 4096]), sectors, size_bytes: 12_288 };
        let mut raw = vec![9; 600];
        assert_eq!(source.read_at(4090, &mut raw).unwrap(), 600);
        assert_eq!((raw[0], raw[6], raw[517], raw[518], raw[599]), (7, 0, 0, 2, 2));
        // What is older than the hive is stale.
        assert_eq!(gather(&logs, 9).0.entries, 0);
        let mut torn = logs.clone();
        torn[1].1[1100] ^= 1;
        assert_eq!(gather(&torn, 7).0.logs, ["b"]);
        for cut in 0..logs[0].1.len() {
            let _ = gather(&[("c".to_owned(), logs[0].1[..cut].to_vec())], 0);
        }
    }
}
