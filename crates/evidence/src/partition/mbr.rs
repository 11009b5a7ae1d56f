//! The master boot record and the chain of extended boot records behind it.

use super::{Partition, PartitionType, Scheme, Table, types};
use crate::bytes::Fields;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::collections::BTreeSet;

/// More logical partitions than Linux would name; also the bound of the chain.
const MAX_LOGICAL: u32 = 128;

#[derive(Clone, Copy)]
pub(super) struct Raw {
    boot: u8,
    pub(super) kind: u8,
    pub(super) start: u32,
    pub(super) length: u32,
}

/// The four entries of a boot record, or `None` without the 0x55AA mark.
pub(super) fn entries(sector: &[u8]) -> Option<[Raw; 4]> {
    let fields = Fields(sector);
    if !fields.has(510, &[0x55, 0xaa]) {
        return None;
    }
    Some([446, 462, 478, 494].map(|at| {
        let raw = Fields(fields.slice(at, 16));
        Raw { boot: raw.u8(0), kind: raw.u8(4), start: raw.le32(8), length: raw.le32(12) }
    }))
}

fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0f | 0x85)
}

/// Reads an MBR. A boot sector of a file system also ends in 0x55AA, so entries must make sense before they count.
pub(super) fn read(
    source: &dyn Source,
    sector_bytes: u32,
    problems: &mut Vec<Problem>,
) -> Option<Table> {
    let sector = match source.bytes_at(0, 512) {
        Ok(sector) => sector,
        Err(error) => {
            problems.push(Problem::new(
                ProblemKind::Io,
                Place::OffsetBytes(0),
                format!("reading the MBR: {error}"),
            ));
            return None;
        }
    };
    let raw = entries(&sector)?;
    let used = raw.iter().filter(|entry| entry.kind != 0 && entry.length != 0).count();
    let sane = raw
        .iter()
        .all(|entry| matches!(entry.boot, 0 | 0x80) && (entry.kind == 0 || entry.start != 0));
    if used == 0 || !sane || is_boot_sector_of_volume(&sector) {
        return None;
    }
    let signature = Fields(&sector).le32(440);
    let mut table = Table::empty(Scheme::Mbr, sector_bytes);
    table.structure(0, u64::from(sector_bytes), "MBR");
    table.disk_id = Some(format!("{signature:08x}"));
    for (number, entry) in (1_u32..).zip(raw) {
        if entry.kind != 0 && entry.length != 0 {
            table.partitions.push(partition(number, entry, 0, sector_bytes, signature));
        }
    }
    for container in raw.iter().filter(|entry| is_extended(entry.kind) && entry.length != 0) {
        read_logical(source, *container, signature, &mut table);
    }
    Some(table)
}

/// FAT, exFAT, NTFS and BitLocker volumes say so right behind the jump instruction; then the four entries are code.
fn is_boot_sector_of_volume(sector: &[u8]) -> bool {
    let fields = Fields(sector);
    let named = [&b"NTFS    "[..], b"EXFAT   ", b"-FVE-FS-"].iter().any(|name| fields.has(3, name));
    named || fields.has(54, b"FAT1") || fields.has(82, b"FAT32")
}

fn partition(
    number: u32,
    raw: Raw,
    base_sectors: u64,
    sector_bytes: u32,
    signature: u32,
) -> Partition {
    let start_sectors = base_sectors.saturating_add(u64::from(raw.start));
    let length_sectors = u64::from(raw.length);
    Partition {
        number,
        start_sectors,
        length_sectors,
        start_bytes: start_sectors.saturating_mul(u64::from(sector_bytes)),
        length_bytes: length_sectors.saturating_mul(u64::from(sector_bytes)),
        kind: PartitionType::Byte(raw.kind),
        kind_name: types::byte_name(raw.kind),
        label: None,
        unique_id: Some(format!("{signature:08x}-{number:02x}")),
        is_container: is_extended(raw.kind),
        is_bootable: raw.boot == 0x80,
    }
}

/// Follows the chain of extended boot records: first entry a logical partition (relative to its record), second the next
/// record (relative to the container).
fn read_logical(source: &dyn Source, container: Raw, signature: u32, table: &mut Table) {
    let base = u64::from(container.start);
    let mut record = base;
    let mut visited = BTreeSet::new();
    let mut number =
        table.partitions.iter().map(|p| p.number.saturating_add(1)).max().unwrap_or(5).max(5);
    let sector_bytes = u64::from(table.sector_bytes);
    let complain = |table: &mut Table, record: u64, kind, text: String| {
        let place = Place::OffsetBytes(record.saturating_mul(sector_bytes));
        table.problems.push(Problem::new(kind, place, text));
    };
    for _ in 0..MAX_LOGICAL {
        if !visited.insert(record) {
            return complain(
                table,
                record,
                ProblemKind::Corrupt,
                "the chain of logical partitions runs in a circle".into(),
            );
        }
        let sector = match source.bytes_at(record.saturating_mul(sector_bytes), 512) {
            Ok(sector) => sector,
            Err(error) => {
                return complain(
                    table,
                    record,
                    ProblemKind::Io,
                    format!("reading a logical partition's record: {error}"),
                );
            }
        };
        let Some([logical, next, ..]) = entries(&sector) else {
            let text = "the record of a logical partition lacks its 0x55aa mark".into();
            return complain(table, record, ProblemKind::Corrupt, text);
        };
        let at = record.saturating_mul(sector_bytes);
        table.structure(at, sector_bytes, "extended boot record");
        if logical.kind != 0 && logical.length != 0 {
            table.partitions.push(partition(
                number,
                logical,
                record,
                table.sector_bytes,
                signature,
            ));
            number = number.saturating_add(1);
        }
        if !is_extended(next.kind) || next.length == 0 {
            return;
        }
        record = base.saturating_add(u64::from(next.start));
    }
    complain(
        table,
        record,
        ProblemKind::Refused,
        format!("more than {MAX_LOGICAL} logical partitions"),
    );
}
