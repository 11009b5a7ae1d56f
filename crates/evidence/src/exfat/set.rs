//! The set of entries that describes one file: a file entry, a stream entry and the parts of its name.
//!
//! Specification: sections 6.3, 7.4 to 7.8. A set is given up by clearing one bit in each entry; everything else stays,
//! and the checksum still tells whether it is whole.

use crate::bytes::{Fields, to_usize};
use crate::fat::{ENTRY_BYTES, attributes, mode, moment};
use crate::fs::{FileKind, Metadata, Node};
use crate::time::Time;

/// The bit of the type byte that says an entry is in use.
pub(super) const IN_USE: u8 = 0x80;
/// Types without that bit.
pub(super) const FILE: u8 = 0x05;
const STREAM: u8 = 0x40;
const NAME: u8 = 0x41;
/// Most entries that follow the first.
pub(super) const MAX_FOLLOWING: usize = 18;
const DIRECTORY: u16 = 0x10;

/// A time as recorded: date and time of day, hundredths, zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    packed: u32,
    hundredths: u8,
    zone: u8,
}

impl Stamp {
    /// The moment in UTC where the zone is known, else as if local time were UTC.
    pub(super) fn moment(self) -> Option<Time> {
        let [a, b, c, d] = self.packed.to_le_bytes();
        let (time, date) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let mut moment = moment(date, time, self.hundredths)?;
        let quarters = self.quarters_east().unwrap_or(0);
        moment.seconds = moment.seconds.saturating_sub(quarters.saturating_mul(900));
        Some(moment)
    }

    /// Quarters of an hour east of UTC, where recorded: seven bits with a sign.
    pub(super) fn quarters_east(self) -> Option<i64> {
        let value = i64::from(self.zone & 0x7f);
        let signed = if value >= 64 { value.saturating_sub(128) } else { value };
        (self.zone & 0x80 != 0).then_some(signed)
    }

    pub(super) fn is_recorded(self) -> bool {
        self.packed != 0
    }

    /// The zone as text, or the raw numbers of an impossible time.
    pub(super) fn remark(self) -> Option<String> {
        if !self.is_recorded() {
            return None;
        }
        if self.moment().is_none() {
            let Self { packed, hundredths, zone } = self;
            return Some(format!(
                "impossible: {packed:#010x}, {hundredths} hundredths, zone {zone:#04x}"
            ));
        }
        Some(match self.quarters_east() {
            Some(quarters) => {
                let minutes = quarters.saturating_mul(15);
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                format!(
                    "zone {sign}{:02}:{:02}",
                    minutes / 60,
                    minutes.checked_rem(60).unwrap_or(0)
                )
            }
            None => "local time, zone not recorded".to_owned(),
        })
    }
}

/// A file or directory as its set describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSet {
    pub(super) is_live: bool,
    pub(super) attributes: u16,
    pub(super) created: Stamp,
    pub(super) modified: Stamp,
    pub(super) accessed: Stamp,
    /// Clusters follow each other and the table is not kept for them.
    pub(super) is_contiguous: bool,
    pub(super) cluster: u32,
    pub(super) size_bytes: u64,
    /// What was ever written; the rest reads as zeros.
    pub(super) valid_bytes: u64,
    /// The letters of the name, UTF-16LE.
    pub(super) name: Vec<u8>,
    /// Letters the stream entry claims.
    pub(super) name_letters: u8,
    pub(super) name_hash: u16,
    /// Checksum recorded and computed.
    pub(super) checksums: (u16, u16),
}

impl FileSet {
    /// Reads a set; `None` when it does not begin with a file and a stream entry.
    pub(super) fn parse(raw: &[u8]) -> Option<Self> {
        let mut entries = raw.chunks_exact(ENTRY_BYTES);
        let file = Fields(entries.next()?);
        let stream = Fields(entries.next()?);
        if file.u8(0) & !IN_USE != FILE || stream.u8(0) & !IN_USE != STREAM {
            return None;
        }
        let stamp = |packed, hundredths: Option<usize>, zone| Stamp {
            packed: file.le32(packed),
            hundredths: hundredths.map_or(0, |at| file.u8(at)),
            zone: file.u8(zone),
        };
        let name_letters = stream.u8(3);
        let mut name: Vec<u8> = entries
            .take_while(|entry| entry.first().is_some_and(|kind| kind & !IN_USE == NAME))
            .flat_map(|entry| entry.get(2..).unwrap_or(&[]))
            .copied()
            .collect();
        name.truncate(usize::from(name_letters).saturating_mul(2));
        let flags = stream.u8(1);
        let size_bytes = stream.le64(24);
        Some(Self {
            is_live: file.u8(0) & IN_USE != 0,
            attributes: file.le16(4),
            created: stamp(8, Some(20), 22),
            modified: stamp(12, Some(21), 23),
            accessed: stamp(16, None, 24),
            is_contiguous: flags & 2 != 0,
            cluster: stream.le32(20),
            size_bytes,
            valid_bytes: stream.le64(8).min(size_bytes),
            name,
            name_letters,
            name_hash: stream.le16(4),
            checksums: (file.le16(2), checksum(raw)),
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attributes & DIRECTORY != 0
    }

    pub(super) fn is_whole(&self) -> bool {
        self.checksums.0 == self.checksums.1
            && self.name.len() == usize::from(self.name_letters).saturating_mul(2)
    }

    pub(super) fn kind(&self) -> FileKind {
        if self.is_directory() { FileKind::Directory } else { FileKind::File }
    }

    pub(super) fn metadata(&self, node: Node) -> Metadata {
        let attributes = attributes(u32::from(self.attributes));
        Metadata {
            node,
            kind: self.kind(),
            mode: mode(attributes),
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes: self.size_bytes,
            accessed: self.accessed.moment(),
            modified: self.modified.moment(),
            changed: None,
            born: self.created.moment(),
            generation: None,
            attributes,
            device: None,
        }
    }
}

/// How many entries the set that begins with `first` has.
pub(super) fn entries_of(first: &[u8]) -> usize {
    usize::from(Fields(first).u8(1)).min(MAX_FOLLOWING).saturating_add(1)
}

/// The checksum of a set (section 6.3.3) as it was while in use, without the field that holds it.
pub(super) fn checksum(raw: &[u8]) -> u16 {
    raw.iter()
        .enumerate()
        .filter(|(index, _)| !matches!(index, 2 | 3))
        .map(|(index, byte)| if index & (ENTRY_BYTES - 1) == 0 { byte | IN_USE } else { *byte })
        .fold(0_u16, |sum, byte| sum.rotate_right(1).wrapping_add(u16::from(byte)))
}

/// The letters of a name as units, for its hash.
pub(super) fn units(name: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _) = name.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair))
}

/// The part of a set inside the first `available` bytes, if it crosses them.
pub(super) fn crossing(entries: usize, available: u64) -> Option<usize> {
    let length = entries.saturating_mul(ENTRY_BYTES);
    let available = to_usize(available);
    (length > available).then_some(available)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_move_times_to_utc() {
        // 2026-11-22 12:00:00 as packed date and time.
        let packed = ((46_u32 << 9 | 11 << 5 | 22) << 16) | 12 << 11;
        let shown = |zone| Stamp { packed, hundredths: 0, zone }.moment().unwrap().to_string();
        assert_eq!(shown(0), "2026-11-22T12:00:00Z");
        assert_eq!(shown(0x80), "2026-11-22T12:00:00Z");
        assert_eq!(shown(0x84), "2026-11-22T11:00:00Z");
        assert_eq!(shown(0xff), "2026-11-22T12:15:00Z");
        assert_eq!(Stamp { packed, hundredths: 0, zone: 0xec }.remark().unwrap(), "zone -05:00");
    }
}
