//! The GUID partition table (UEFI specification 2.10, section 5.3), primary and backup.

use super::{Partition, PartitionType, Scheme, Table, mbr, types};
use crate::bytes::{Fields, guid_text, to_u64, to_usize, utf16_text};
use crate::crc::crc32;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;

/// Entries read at most; the usual table has 128.
const MAX_ENTRIES: u32 = 1024;
/// Largest entry read; the specification's is 128 bytes.
const MAX_ENTRY_BYTES: u32 = 4096;

#[derive(Clone)]
struct Header {
    this_sector: u64,
    other_sector: u64,
    disk_guid: [u8; 16],
    entries_sector: u64,
    entry_count: u32,
    entry_bytes: u32,
    entries_crc: u32,
}

impl Header {
    /// Notes the sectors of the header and of its entries.
    fn note(&self, table: &mut Table, sector: u64) {
        let (header, entries) = if self.this_sector == 1 {
            ("GPT header", "GPT entries")
        } else {
            ("backup GPT header", "backup GPT entries")
        };
        table.structure(self.this_sector.saturating_mul(sector), sector, header);
        let count = u64::from(self.entry_count.min(MAX_ENTRIES));
        let length = count.saturating_mul(u64::from(self.entry_bytes.min(MAX_ENTRY_BYTES)));
        table.structure(self.entries_sector.saturating_mul(sector), length, entries);
    }
}

/// Reads a GPT with sectors of `sector_bytes`; `None` when neither header carries the signature.
pub(super) fn read(
    source: &dyn Source,
    sector_bytes: u32,
    problems: &mut Vec<Problem>,
) -> Option<Table> {
    let sector = u64::from(sector_bytes);
    let last_sector = source.size_bytes().checked_div(sector).unwrap_or(0).saturating_sub(1);
    let mut notes = Vec::new();
    let primary = header(source, 1, sector_bytes, "primary", &mut notes);
    // A disk that was enlarged keeps its backup where the primary says, not at the new end.
    let at_end = header(source, last_sector, sector_bytes, "backup", &mut notes);
    let backup = match (&at_end, &primary) {
        (None, Some(first)) if first.other_sector != last_sector && first.other_sector > 1 => {
            let found = header(source, first.other_sector, sector_bytes, "backup", &mut notes);
            if found.is_some() {
                let text = format!(
                    "the backup GPT is at sector {}, not at the last, {last_sector}",
                    first.other_sector
                );
                notes.push(Problem::new(ProblemKind::Corrupt, Place::OffsetBytes(0), text));
            }
            found
        }
        _ => at_end,
    };
    let (chosen, spare) = match (primary, backup) {
        (None, None) => {
            problems.extend(notes);
            return None;
        }
        (Some(first), second) => (first, second),
        (None, Some(second)) => {
            let text = "no valid primary GPT header; the backup was used";
            notes.push(Problem::new(ProblemKind::Corrupt, Place::OffsetBytes(sector), text));
            (second, None)
        }
    };
    if spare.is_none() && chosen.this_sector == 1 {
        let text = "no valid backup GPT header";
        notes.push(Problem::new(
            ProblemKind::Corrupt,
            Place::OffsetBytes(last_sector.saturating_mul(sector)),
            text,
        ));
    }
    let mut table = Table::empty(Scheme::Gpt, sector_bytes);
    table.disk_id = Some(guid_text(chosen.disk_guid));
    let headers: Vec<Header> =
        [Some(&chosen), spare.as_ref()].into_iter().flatten().cloned().collect();
    let (mut partitions, crc_ok) = entries(source, &chosen, sector_bytes, &mut notes);
    if let Some(spare) = spare {
        let (others, other_ok) = entries(source, &spare, sector_bytes, &mut notes);
        if others != partitions {
            let text = "primary and backup GPT list different partitions";
            notes.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
            if other_ok && !crc_ok {
                partitions = others;
            }
        }
    }
    table.partitions = partitions;
    table.problems = notes;
    table.structure(0, sector, "protective MBR");
    for header in headers {
        header.note(&mut table, sector);
    }
    note_mbr(source, &mut table);
    Some(table)
}

/// A protective MBR has one entry of type 0xEE; anything else beside it is a hybrid.
fn note_mbr(source: &dyn Source, table: &mut Table) {
    let raw = source.bytes_at(0, 512).ok().as_deref().and_then(mbr::entries);
    match raw {
        None => {
            let text = "a GPT without a protective MBR";
            table.problems.push(Problem::new(ProblemKind::Corrupt, Place::OffsetBytes(0), text));
        }
        Some(raw) if raw.iter().any(|entry| !matches!(entry.kind, 0 | 0xee)) => {
            table.scheme = Scheme::GptHybrid;
        }
        Some(_) => {}
    }
}

fn header(
    source: &dyn Source,
    at_sector: u64,
    sector_bytes: u32,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<Header> {
    let offset = at_sector.checked_mul(u64::from(sector_bytes))?;
    let mut complain = |kind, text: String| {
        problems.push(Problem::new(kind, Place::OffsetBytes(offset), text));
        None
    };
    let raw = match source.bytes_at(offset, to_usize(u64::from(sector_bytes))) {
        Ok(raw) => raw,
        Err(error) => {
            return complain(ProblemKind::Io, format!("reading the {name} GPT header: {error}"));
        }
    };
    let fields = Fields(&raw);
    if !fields.has(0, b"EFI PART") {
        return None;
    }
    let header_bytes = fields.le32(12);
    if !(92..=sector_bytes).contains(&header_bytes) {
        return complain(
            ProblemKind::Corrupt,
            format!("{name} GPT header says it is {header_bytes} bytes long"),
        );
    }
    let mut summed = fields.slice(0, to_usize(u64::from(header_bytes))).to_vec();
    if let Some(field) = summed.get_mut(16..20) {
        field.fill(0);
    }
    let (expected, actual) = (fields.le32(16), crc32(&summed));
    if expected != actual {
        let text = format!("{name} GPT header checksum is {actual:08x}, expected {expected:08x}");
        return complain(ProblemKind::Corrupt, text);
    }
    Some(Header {
        this_sector: at_sector,
        other_sector: fields.le64(32),
        disk_guid: fields.array(56),
        entries_sector: fields.le64(72),
        entry_count: fields.le32(80),
        entry_bytes: fields.le32(84),
        entries_crc: fields.le32(88),
    })
}

/// The used entries, and whether their checksum held.
fn entries(
    source: &dyn Source,
    header: &Header,
    sector_bytes: u32,
    problems: &mut Vec<Problem>,
) -> (Vec<Partition>, bool) {
    let offset = header.entries_sector.saturating_mul(u64::from(sector_bytes));
    let mut complain =
        |kind, text: String| problems.push(Problem::new(kind, Place::OffsetBytes(offset), text));
    if !(128..=MAX_ENTRY_BYTES).contains(&header.entry_bytes)
        || !header.entry_bytes.is_multiple_of(8)
    {
        complain(
            ProblemKind::Corrupt,
            format!("GPT entries are said to be {} bytes long", header.entry_bytes),
        );
        return (Vec::new(), false);
    }
    let count = header.entry_count.min(MAX_ENTRIES);
    if count < header.entry_count {
        let text =
            format!("GPT claims {} entries; the first {MAX_ENTRIES} were read", header.entry_count);
        complain(ProblemKind::Refused, text);
    }
    let length = to_usize(u64::from(count).saturating_mul(u64::from(header.entry_bytes)));
    let raw = match source.bytes_at(offset, length) {
        Ok(raw) => raw,
        Err(error) => {
            complain(ProblemKind::Io, format!("reading GPT entries: {error}"));
            return (Vec::new(), false);
        }
    };
    let actual = crc32(&raw);
    let crc_ok = actual == header.entries_crc && count == header.entry_count;
    if !crc_ok && count == header.entry_count {
        let text =
            format!("GPT entries' checksum is {actual:08x}, expected {:08x}", header.entries_crc);
        complain(ProblemKind::Corrupt, text);
    }
    let chunks = raw.chunks_exact(to_usize(u64::from(header.entry_bytes)));
    let partitions = (1_u32..).zip(chunks).filter_map(|(number, entry)| {
        let fields = Fields(entry);
        if fields.array::<16>(0) == [0; 16] {
            return None;
        }
        let (first, last) = (fields.le64(32), fields.le64(40));
        if last < first {
            complain(
                ProblemKind::Corrupt,
                format!("GPT entry {number} ends at sector {last}, before its start {first}"),
            );
        }
        let length_sectors =
            if last < first { 0 } else { last.saturating_sub(first).saturating_add(1) };
        let kind = guid_text(fields.array(0));
        Some(Partition {
            number,
            start_sectors: first,
            length_sectors,
            start_bytes: first.saturating_mul(u64::from(sector_bytes)),
            length_bytes: length_sectors.saturating_mul(u64::from(sector_bytes)),
            kind_name: types::guid_name(&kind),
            kind: PartitionType::Guid(kind),
            label: utf16_text(fields.slice(56, entry.len().min(128).saturating_sub(56))),
            unique_id: Some(guid_text(fields.array(16))),
            is_container: false,
            is_bootable: fields.le64(48) & 4 != 0,
        })
    });
    let partitions: Vec<Partition> = partitions.collect();
    debug_assert!(to_u64(partitions.len()) <= u64::from(MAX_ENTRIES), "entries are bounded");
    (partitions, crc_ok)
}
