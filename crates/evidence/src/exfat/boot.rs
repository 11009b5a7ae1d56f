//! The boot sector of exFAT: where the table, the clusters and the root directory lie.
//!
//! Specification: Microsoft "exFAT file system specification" 1.00, section 3.

use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fat::{Heap, Width};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// Sectors of the boot region; the last holds the checksum of the others, and a copy of the region follows it.
const REGION_SECTORS: u64 = 12;

/// What the boot sector says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) heap: Heap,
    /// First byte of every copy of the table, the one in use first.
    pub(super) tables: Vec<u64>,
    pub(super) table_bytes: u64,
    pub(super) root_cluster: u32,
    pub(super) total_bytes: u64,
    pub(super) sector_bytes: u64,
    pub(super) serial: String,
    /// Bit 0: second table in use; 1: volume dirty; 2: media failed.
    pub(super) flags: u16,
    pub(super) revision: u16,
    pub(super) percent_in_use: u8,
}

impl Boot {
    /// The boot sector or, where it makes no sense, that of the copy of the boot region, which is told.
    pub(super) fn read(source: &dyn Source) -> Result<(Self, Option<Problem>), EvidenceError> {
        let at = |at: u64| {
            source
                .bytes_at(at, 512)
                .map_err(EvidenceError::read("the exFAT boot sector"))
                .and_then(|raw| Self::parse(&raw, source.size_bytes()))
        };
        let error = match at(0) {
            Ok(boot) => return Ok((boot, None)),
            Err(error) => error,
        };
        for sector_bytes in [512, 4096, 1024, 2048] {
            let place = REGION_SECTORS.saturating_mul(sector_bytes);
            if let Ok(boot) = at(place).and_then(|boot| boot.of_sectors(sector_bytes)) {
                let text = format!("{error}; its copy at {place} is used");
                let problem = Problem::new(error.kind(), Place::OffsetBytes(0), text);
                return Ok((boot, Some(problem)));
            }
        }
        Err(error)
    }

    /// Itself, if its sectors have this size.
    fn of_sectors(self, sector_bytes: u64) -> Result<Self, EvidenceError> {
        if self.sector_bytes == sector_bytes {
            return Ok(self);
        }
        Err(EvidenceError::corrupt("a copy of the boot sector that stands in the wrong place"))
    }

    pub(super) fn parse(raw: &[u8], source_bytes: u64) -> Result<Self, EvidenceError> {
        let boot = Fields(raw);
        if !boot.has(3, b"EXFAT   ") {
            return Err(EvidenceError::corrupt("there is no exFAT boot sector"));
        }
        let (sector_shift, cluster_shift) = (u32::from(boot.u8(108)), u32::from(boot.u8(109)));
        if !(9..=12).contains(&sector_shift) || cluster_shift > 25_u32.saturating_sub(sector_shift)
        {
            return Err(EvidenceError::corrupt(format!(
                "the exFAT boot sector gives sectors of 2^{sector_shift} bytes and clusters of 2^{cluster_shift} sectors"
            )));
        }
        let revision = boot.le16(104);
        if revision >> 8 != 1 {
            let (major, minor) = (revision >> 8, revision & 0xff);
            return Err(EvidenceError::unsupported(format!("exFAT revision {major}.{minor}")));
        }
        let sector_bytes = 1_u64 << sector_shift;
        let in_bytes = |sectors: u32| u64::from(sectors).saturating_mul(sector_bytes);
        let table_bytes = in_bytes(boot.le32(84));
        let first_table = in_bytes(boot.le32(80));
        let copies = boot.u8(110);
        if !matches!(copies, 1 | 2) {
            return Err(EvidenceError::corrupt(format!(
                "the exFAT boot sector gives {copies} tables"
            )));
        }
        let mut tables = vec![first_table];
        if copies == 2 {
            tables.push(first_table.saturating_add(table_bytes));
        }
        let flags = boot.le16(106);
        if copies == 2 && flags & 1 != 0 {
            tables.reverse();
        }
        let described = table_bytes.min(source_bytes.saturating_sub(first_table));
        let serial = boot.le32(100);
        Ok(Self {
            heap: Heap {
                start_bytes: in_bytes(boot.le32(88)),
                cluster_bytes: sector_bytes << cluster_shift,
                clusters: Width::Bits32.reachable(u64::from(boot.le32(92)), described),
            },
            tables,
            table_bytes,
            root_cluster: boot.le32(96),
            total_bytes: boot.le64(72).saturating_mul(sector_bytes),
            sector_bytes,
            serial: format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff),
            flags,
            revision,
            percent_in_use: boot.u8(112),
        })
    }

    /// Problems of the boot region: its checksum, and the copy behind it.
    pub(super) fn check(&self, source: &Arc<dyn Source>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let length = crate::bytes::to_usize(REGION_SECTORS.saturating_mul(self.sector_bytes));
        let mut region = |number: u64, what: &str| {
            let at = number.saturating_mul(REGION_SECTORS).saturating_mul(self.sector_bytes);
            let place = Place::OffsetBytes(at);
            match source.bytes_at(at, length) {
                Ok(raw) => {
                    let body = raw.len().saturating_sub(crate::bytes::to_usize(self.sector_bytes));
                    let (expected, found) =
                        (sum(raw.get(..body).unwrap_or(&[])), Fields(&raw).le32(body));
                    if expected != found {
                        let text = format!(
                            "the checksum of {what} is {found:08x}, expected {expected:08x}"
                        );
                        problems.push(Problem::new(ProblemKind::Corrupt, place, text));
                    }
                    raw
                }
                Err(error) => {
                    problems.push(EvidenceError::read(what)(error).to_problem(place));
                    Vec::new()
                }
            }
        };
        let (main, copy) = (region(0, "the boot region"), region(1, "the copy of the boot region"));
        // Marks and fill level (bytes 106, 107, 112) change in the first only.
        let described = |raw: &[u8]| {
            (raw.get(..106).map(<[u8]>::to_vec), raw.get(108..112).map(<[u8]>::to_vec))
        };
        if !main.is_empty() && !copy.is_empty() && described(&main) != described(&copy) {
            let text = "the boot sector and its copy describe different volumes";
            problems.push(Problem::new(ProblemKind::Corrupt, Place::OffsetBytes(0), text));
        }
        problems
    }
}

/// The checksum of a boot region (section 3.4), which leaves out what changes while the volume is in use.
fn sum(raw: &[u8]) -> u32 {
    let changing = |index: usize| matches!(index, 106 | 107 | 112);
    raw.iter()
        .enumerate()
        .filter(|(index, _)| !changing(*index))
        .fold(0_u32, |sum, (_, byte)| sum.rotate_right(1).wrapping_add(u32::from(*byte)))
}
