//! Partition tables: MBR with logical partitions, GPT with its backup, and the gaps between partitions.
//!
//! Own parsers, because the table of a hostile disk is the first thing read: sizes and counts are bounded, chains are
//! followed only forwards, and a contradiction is recorded while the rest is still shown.

mod gpt;
mod mbr;
mod types;

use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use serde::Serialize;

/// What kind of table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// No table: the whole source is one volume, or empty.
    None,
    /// A classic master boot record.
    Mbr,
    /// A GUID partition table with a protective MBR (or none).
    Gpt,
    /// A GUID partition table whose MBR also names real partitions.
    GptHybrid,
}

/// The type a table gives to a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionType {
    /// The type byte of an MBR entry.
    Byte(u8),
    /// The type GUID of a GPT entry, in lower case.
    Guid(String),
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its number as Linux counts: 1 to 4 primary, from 5 logical; the entry's place in a GPT.
    pub number: u32,
    /// First sector.
    pub start_sectors: u64,
    /// Length in sectors.
    pub length_sectors: u64,
    /// First byte.
    pub start_bytes: u64,
    /// Length in bytes, as the table claims (it may reach past the end of the source).
    pub length_bytes: u64,
    /// The type as stored.
    pub kind: PartitionType,
    /// The usual name of that type, where it is well known.
    pub kind_name: Option<&'static str>,
    /// The GPT label, escaped.
    pub label: Option<String>,
    /// The GPT unique GUID, or disk signature and number for MBR, as Linux writes PARTUUID.
    pub unique_id: Option<String>,
    /// Whether it only holds logical partitions and no content of its own.
    pub is_container: bool,
    /// The MBR boot mark or the GPT "legacy BIOS bootable" attribute.
    pub is_bootable: bool,
}

/// A range that belongs to no partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First byte.
    pub start_bytes: u64,
    /// Length in bytes.
    pub length_bytes: u64,
}

/// Sectors that belong to the table itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Structure {
    /// First byte.
    pub start_bytes: u64,
    /// Length in bytes.
    pub length_bytes: u64,
    /// What they hold.
    pub what: &'static str,
}

/// A partition table as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What kind of table.
    pub scheme: Scheme,
    /// The sector size the table was read with, in bytes; may differ from what the source reports (an image of a 4Kn disk).
    pub sector_bytes: u32,
    /// The disk GUID or the MBR disk signature.
    pub disk_id: Option<String>,
    /// Partitions in the order of the table.
    pub partitions: Vec<Partition>,
    /// Ranges no partition covers, in order of place.
    pub gaps: Vec<Gap>,
    /// The sectors of the table itself; they lie in gaps, or in the container of logical partitions.
    pub structures: Vec<Structure>,
    /// What was wrong with the table.
    pub problems: Vec<Problem>,
}

/// Reads whatever table `source` has. Never fails: trouble is in [`Table::problems`].
#[must_use]
pub fn read_table(source: &dyn Source) -> Table {
    let reported = if source.sector_bytes() == 0 { 512 } else { source.sector_bytes() };
    let mut problems = Vec::new();
    let table = gpt::read(source, reported, &mut problems).or_else(|| {
        let other = if reported == 512 { 4096 } else { 512 };
        gpt::read(source, other, &mut Vec::new())
    });
    let mut table = table
        .or_else(|| mbr::read(source, reported, &mut problems))
        .unwrap_or_else(|| Table::empty(Scheme::None, reported));
    table.problems.extend(problems);
    finish(&mut table, source.size_bytes());
    table
}

impl Table {
    fn empty(scheme: Scheme, sector_bytes: u32) -> Self {
        Self {
            scheme,
            sector_bytes,
            disk_id: None,
            partitions: Vec::new(),
            gaps: Vec::new(),
            structures: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl Table {
    /// Notes sectors as the table's own.
    fn structure(&mut self, start_bytes: u64, length_bytes: u64, what: &'static str) {
        self.structures.push(Structure { start_bytes, length_bytes, what });
    }
}

/// Schemes that are told but not read: by MBR type byte.
fn unread_scheme(kind: &PartitionType) -> Option<&'static str> {
    match kind {
        PartitionType::Byte(0xa5 | 0xa6 | 0xa9) => Some("the BSD label inside the partition"),
        PartitionType::Byte(0x42) => Some("the dynamic volumes (LDM) of the disk"),
        PartitionType::Byte(0x82 | 0xbf) => None,
        PartitionType::Guid(guid) if guid == "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3" => {
            Some("the dynamic volumes (LDM) of the disk")
        }
        _ => None,
    }
}

/// Notes overlaps and overruns and works out the gaps.
fn finish(table: &mut Table, size_bytes: u64) {
    let mut ranges: Vec<(u64, u64, u32)> = table
        .partitions
        .iter()
        .filter(|partition| !partition.is_container)
        .map(|p| (p.start_bytes, p.start_bytes.saturating_add(p.length_bytes), p.number))
        .collect();
    ranges.sort_unstable();
    for partition in &table.partitions {
        if let Some(what) = unread_scheme(&partition.kind) {
            table.problems.push(Problem::new(
                ProblemKind::Unsupported,
                Place::Partition(partition.number),
                format!("{what} is not read"),
            ));
        }
        let end = partition.start_bytes.saturating_add(partition.length_bytes);
        if end > size_bytes {
            let text = format!("partition ends at byte {end}, the source has {size_bytes}");
            table.problems.push(Problem::new(
                ProblemKind::Corrupt,
                Place::Partition(partition.number),
                text,
            ));
        }
    }
    let mut covered = 0_u64;
    for (start, end, number) in ranges {
        if start < covered {
            let text =
                format!("partition begins at byte {start}, inside another that ends at {covered}");
            table.problems.push(Problem::new(ProblemKind::Corrupt, Place::Partition(number), text));
        } else if start > covered {
            let length_bytes = start.min(size_bytes).saturating_sub(covered);
            if length_bytes > 0 {
                table.gaps.push(Gap { start_bytes: covered, length_bytes });
            }
        }
        covered = covered.max(end);
    }
    if table.scheme != Scheme::None && covered < size_bytes {
        table
            .gaps
            .push(Gap { start_bytes: covered, length_bytes: size_bytes.saturating_sub(covered) });
    }
}
