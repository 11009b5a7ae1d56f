//! The two headers and the two region tables ([MS-VHDX] 2.2).

use crate::bytes::{Fields, guid_text, to_usize};
use crate::container::below::Notes;
use crate::crc::crc32c;
use crate::error::EvidenceError;
use crate::problem::ProblemKind;
use crate::source::Source;

const HEADERS_AT: [u64; 2] = [64 << 10, 128 << 10];
const HEADER_BYTES: usize = 4096;
const REGIONS_AT: [u64; 2] = [192 << 10, 256 << 10];
const REGIONS_BYTES: usize = 64 << 10;

/// Entries a region table has room for.
const MAX_REGIONS: u32 = 2047;

const TABLE: &str = "2dc27766-f623-4200-9d64-115e9bfd4a08";
const METADATA: &str = "8b7ca206-4790-4b9a-b8fe-575f050f886e";

/// The header in force.
pub(super) struct Header {
    sequence: u64,
    pub(super) data_id: String,
    pub(super) log_id: String,
    pub(super) log_at: u64,
    pub(super) log_bytes: u64,
}

/// A part of the file.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) at_bytes: u64,
    pub(super) length_bytes: u64,
}

/// The parts every image has.
pub(super) struct Regions {
    pub(super) table: Region,
    pub(super) metadata: Region,
}

/// CRC-32C of a structure whose own checksum at byte 4 counts as zeros.
pub(super) fn checksum(raw: &[u8]) -> u32 {
    let (front, rest) = raw.split_at_checked(4).unwrap_or((raw, &[]));
    let crc = crc32c(crc32c(u32::MAX, front), &[0; 4]);
    !crc32c(crc, rest.get(4..).unwrap_or(&[]))
}

/// The structure at `at`, when its signature and checksum are right.
fn checked(source: &dyn Source, at: u64, length: usize, signature: &[u8]) -> Option<Vec<u8>> {
    let raw = source.bytes_at(at, length).ok()?;
    let fields = Fields(&raw);
    let is_good =
        raw.len() == length && fields.has(0, signature) && fields.le32(4) == checksum(&raw);
    is_good.then_some(raw)
}

/// The valid header with the higher number.
pub(super) fn read(source: &dyn Source, notes: &mut Notes) -> Result<Header, EvidenceError> {
    let mut best: Option<Header> = None;
    for (number, at) in HEADERS_AT.into_iter().enumerate() {
        let Some(raw) = checked(source, at, HEADER_BYTES, b"head") else {
            // A writer that was stopped leaves one of them half written; that is what the other is for.
            notes.problem(ProblemKind::Corrupt, format!("VHDX header {number} is damaged"));
            continue;
        };
        let fields = Fields(&raw);
        let header = Header {
            sequence: fields.le64(8),
            data_id: guid_text(fields.array(32)),
            log_id: guid_text(fields.array(48)),
            log_at: fields.le64(72),
            log_bytes: u64::from(fields.le32(68)),
        };
        if fields.le16(66) != 1 {
            let version = fields.le16(66);
            return Err(EvidenceError::unsupported(format!("VHDX version {version}")));
        }
        if best.as_ref().is_none_or(|best| best.sequence < header.sequence) {
            best = Some(header);
        }
    }
    best.ok_or_else(|| EvidenceError::corrupt("both VHDX headers are damaged"))
}

/// The regions, from the first table that is good.
pub(super) fn regions(source: &dyn Source, notes: &mut Notes) -> Result<Regions, EvidenceError> {
    let mut good = None;
    for (number, at) in REGIONS_AT.into_iter().enumerate() {
        match checked(source, at, REGIONS_BYTES, b"regi") {
            Some(raw) => {
                good.get_or_insert(raw);
            }
            None => {
                notes.problem(
                    ProblemKind::Corrupt,
                    format!("VHDX region table {number} is damaged"),
                );
            }
        }
    }
    let raw = good.ok_or_else(|| EvidenceError::corrupt("both VHDX region tables are damaged"))?;
    let count = to_usize(u64::from(Fields(&raw).le32(8).min(MAX_REGIONS)));
    let (mut table, mut metadata) = (None, None);
    for entry in raw.get(16..).unwrap_or(&[]).chunks_exact(32).take(count) {
        let entry = Fields(entry);
        let region = Region { at_bytes: entry.le64(16), length_bytes: u64::from(entry.le32(24)) };
        match &*guid_text(entry.array(0)) {
            TABLE => table = Some(region),
            METADATA => metadata = Some(region),
            other if entry.le32(28) & 1 == 1 => {
                return Err(EvidenceError::unsupported(format!("VHDX with the region {other}")));
            }
            _ => {}
        }
    }
    match (table, metadata) {
        (Some(table), Some(metadata)) => Ok(Regions { table, metadata }),
        _ => Err(EvidenceError::corrupt("the VHDX has no block table or no metadata region")),
    }
}
