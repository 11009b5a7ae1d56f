//! The boot sector of FAT: where the tables, the root directory and the clusters lie.
//!
//! Its numbers are a suspect's: each is bounded here, once, so that nothing behind it needs to doubt them.
//! Specification: Microsoft FAT 1.03, chapters "Boot Sector and BPB" and "FAT Data Structure".

use super::runs::Heap;
use super::table::Width;
use crate::bytes::{Fields, padded_text};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem};
use crate::source::Source;

/// Where the root directory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// Between the tables and the clusters (FAT12, FAT16): first byte and length.
    Fixed(u64, u64),
    /// In a chain of clusters (FAT32).
    Chain(u32),
}

/// What the boot sector says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) width: Width,
    pub(super) heap: Heap,
    pub(super) root: Root,
    /// First byte of every copy of the table, the one in use first.
    pub(super) tables: Vec<u64>,
    pub(super) table_bytes: u64,
    /// First byte that can hold a directory entry: the fixed root directory, else the first cluster.
    pub(super) data_start_bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) sector_bytes: u64,
    pub(super) label: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) system: Option<String>,
    /// The mark Windows and Linux set while the volume is in use.
    pub(super) is_marked_dirty: bool,
    /// Byte offsets of the copy of the boot sector and of the sector with the free count (FAT32).
    pub(super) backup_at: Option<u64>,
    pub(super) info_at: Option<u64>,
    /// Whether changes go to every copy of the table; FAT32 can switch that off.
    pub(super) are_tables_mirrored: bool,
}

/// Sector of the copy that every formatting tool keeps on FAT32.
const BACKUP_SECTOR: u64 = 6;

impl Boot {
    /// The boot sector and its bytes or, where it makes no sense, the copy FAT32 keeps of it, which is told.
    pub(super) fn read(
        source: &dyn Source,
    ) -> Result<(Self, Vec<u8>, Option<Problem>), EvidenceError> {
        let at = |at: u64| {
            source
                .bytes_at(at, 512)
                .map_err(EvidenceError::read("the FAT boot sector"))
                .and_then(|raw| Ok((Self::parse(&raw, source.size_bytes())?, raw)))
        };
        let error = match at(0) {
            Ok((boot, raw)) => return Ok((boot, raw, None)),
            Err(error) => error,
        };
        for sector_bytes in [512, 4096, 1024, 2048] {
            let place = BACKUP_SECTOR.saturating_mul(sector_bytes);
            if let Ok((boot, raw)) = at(place)
                && boot.sector_bytes == sector_bytes
                && boot.backup_at == Some(place)
                && raw.ends_with(&[0x55, 0xaa])
            {
                let text = format!("{error}; its copy at {place} is used");
                let problem = Problem::new(error.kind(), Place::OffsetBytes(0), text);
                return Ok((boot, raw, Some(problem)));
            }
        }
        Err(error)
    }

    pub(super) fn parse(raw: &[u8], source_bytes: u64) -> Result<Self, EvidenceError> {
        let boot = Fields(raw);
        let sector_bytes = u64::from(boot.le16(11));
        let cluster_sectors = u64::from(boot.u8(13));
        let reserved = u64::from(boot.le16(14));
        let copies = u64::from(boot.u8(16));
        let root_entries = u64::from(boot.le16(17));
        let either = |short: u16, long: u32| match short {
            0 => u64::from(long),
            short => u64::from(short),
        };
        let total = either(boot.le16(19), boot.le32(32));
        let table_sectors = either(boot.le16(22), boot.le32(36));
        if !sector_bytes.is_power_of_two() || !(128..=4096).contains(&sector_bytes) {
            return Err(EvidenceError::corrupt(format!(
                "the FAT boot sector gives sectors of {sector_bytes} bytes"
            )));
        }
        if !cluster_sectors.is_power_of_two() {
            return Err(EvidenceError::corrupt(format!(
                "the FAT boot sector gives clusters of {cluster_sectors} sectors"
            )));
        }
        if copies == 0 || table_sectors == 0 || reserved == 0 {
            return Err(EvidenceError::corrupt(format!(
                "the FAT boot sector gives {copies} tables of {table_sectors} sectors after {reserved}"
            )));
        }
        let root_start = reserved.saturating_add(copies.saturating_mul(table_sectors));
        let root_bytes = root_entries.saturating_mul(32);
        let first = root_start.saturating_add(root_bytes.div_ceil(sector_bytes));
        if total <= first {
            return Err(EvidenceError::corrupt(format!(
                "the FAT boot sector gives {total} sectors, of which {first} are not for files"
            )));
        }
        let clusters = total.saturating_sub(first).checked_div(cluster_sectors).unwrap_or(0);
        let width = match clusters {
            _ if boot.le16(22) == 0 => Width::Bits28,
            0..=4084 => Width::Bits12,
            _ => Width::Bits16,
        };
        let table_bytes = table_sectors.saturating_mul(sector_bytes);
        // The table may be too short for the clusters; what it does not describe cannot be reached.
        let table_start = reserved.saturating_mul(sector_bytes);
        let clusters =
            width.reachable(clusters, table_bytes.min(source_bytes.saturating_sub(table_start)));
        let is_wide = width == Width::Bits28;
        // FAT32 only: bit 7 switches mirroring off, the low four bits then name the copy in use.
        let flags = if is_wide { boot.le16(40) } else { 0 };
        let active = if flags & 0x80 != 0 { u64::from(flags & 0xf) } else { 0 };
        let start_of = |copy: u64| {
            reserved.saturating_add(copy.saturating_mul(table_sectors)).saturating_mul(sector_bytes)
        };
        let mut tables: Vec<u64> = (0..copies).map(start_of).collect();
        if active < copies {
            tables.sort_by_key(|start| *start != start_of(active));
        }
        let heap_start = first.saturating_mul(sector_bytes);
        let root_start = root_start.saturating_mul(sector_bytes);
        let (serial_at, label_at, dirty_at): (usize, usize, usize) =
            if is_wide { (67, 71, 65) } else { (39, 43, 37) };
        let is_extended = matches!(boot.u8(serial_at.saturating_sub(1)), 0x28 | 0x29);
        let in_sectors = |at: usize| {
            let sector = u64::from(boot.le16(at));
            (is_wide && sector != 0 && sector < reserved)
                .then(|| sector.saturating_mul(sector_bytes))
        };
        let value = boot.le32(serial_at);
        Ok(Self {
            width,
            heap: Heap {
                start_bytes: heap_start,
                cluster_bytes: cluster_sectors.saturating_mul(sector_bytes),
                clusters,
            },
            root: if is_wide {
                Root::Chain(boot.le32(44))
            } else {
                Root::Fixed(root_start, root_bytes)
            },
            tables,
            table_bytes,
            data_start_bytes: if is_wide { heap_start } else { root_start },
            total_bytes: total.saturating_mul(sector_bytes),
            sector_bytes,
            label: is_extended
                .then(|| padded_text(boot.slice(label_at, 11)))
                .flatten()
                .filter(|label| label != "NO NAME"),
            serial: is_extended.then(|| format!("{:04X}-{:04X}", value >> 16, value & 0xffff)),
            system: padded_text(boot.slice(3, 8)),
            is_marked_dirty: is_extended && boot.u8(dirty_at) & 1 != 0,
            backup_at: in_sectors(50),
            info_at: in_sectors(48),
            are_tables_mirrored: flags & 0x80 == 0,
        })
    }

    /// Type in lower case.
    pub(super) fn kind(&self) -> &'static str {
        match self.width {
            Width::Bits12 => "fat12",
            Width::Bits16 => "fat16",
            Width::Bits28 | Width::Bits32 => "fat32",
        }
    }
}
