//! The three copies of a volume's metadata and where the boot sector says they are.

use super::datum::{self, Datum};
use super::progress::Progress;
use crate::bytes::{Fields, to_usize, utf16_text};
use crate::crc::crc32;
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// Precedes the offsets of the metadata in the boot sector: 4967d63b-2e29-4ad8-8399-f6a339e3d001.
const OFFSETS: [u8; 16] = [
    0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01,
];
/// The same where encryption on write is in use: 92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8.
const OFFSETS_ON_WRITE: [u8; 16] = [
    0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8,
];

/// How far encryption is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Decrypted,
    Encrypted,
    Switching(u16),
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Decrypted => "decrypted",
            Self::Encrypted => "encrypted",
            Self::Switching(3) => "encryption or decryption is paused",
            Self::Switching(_) => "encryption or decryption is under way",
        }
    }
}

/// A copy of the metadata whose checksum is right.
pub(super) struct Information {
    pub(super) version: u16,
    pub(super) sector_bytes: u32,
    pub(super) cluster_bytes: u64,
    pub(super) state: State,
    /// Up to where a volume on the way is encrypted; 0 when not used.
    pub(super) state_offset_bytes: u64,
    pub(super) state_bytes: u64,
    /// Bytes of the volume's start that were moved, and where to.
    pub(super) moved_bytes: u64,
    pub(super) moved_to_bytes: u64,
    pub(super) copies: [u64; 3],
    pub(super) identifier: [u8; 16],
    pub(super) method: u16,
    pub(super) progress: Option<Progress>,
    datums: Vec<u8>,
    pub(super) problems: Vec<Problem>,
}

impl Information {
    pub(super) fn protectors(&self) -> impl Iterator<Item = Datum<'_>> {
        datum::all(&self.datums).filter(|one| one.role == 2 && one.kind == datum::PROTECTOR)
    }

    /// The boxed key of the volume.
    pub(super) fn volume_key(&self) -> Option<Datum<'_>> {
        datum::all(&self.datums).find(|one| one.role == 3 && one.kind == datum::ENCRYPTED_KEY)
    }

    pub(super) fn description(&self) -> Option<String> {
        let mut all = datum::all(&self.datums);
        utf16_text(all.find(|one| one.role == 7 && one.kind == datum::TEXT)?.body())
    }
}

/// The first good copy; the others' faults become problems.
pub(super) fn read(source: &Arc<dyn Source>) -> Result<Information, EvidenceError> {
    let boot = source.bytes_at(0, 512).map_err(EvidenceError::read("the BitLocker boot sector"))?;
    let fields = Fields(&boot);
    let sector_bytes = u32::from(fields.le16(11));
    if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
        return Err(EvidenceError::corrupt(format!(
            "the BitLocker boot sector claims sectors of {sector_bytes} bytes"
        )));
    }
    let cluster_bytes = u64::from(sector_bytes).saturating_mul(u64::from(fields.u8(13)));
    let find = |guid: &[u8; 16]| boot.windows(16).position(|window| window == guid);
    let word = |at: usize, index: usize| fields.le64(at.saturating_add(index.saturating_mul(8)));
    let mut on_write = Vec::new();
    let offsets = if let Some(at) = find(&OFFSETS_ON_WRITE) {
        on_write = vec![word(at, 5), word(at, 6)];
        vec![word(at, 2), word(at, 3), word(at, 4)]
    } else if let Some(at) = find(&OFFSETS) {
        vec![word(at, 2), word(at, 3), word(at, 4)]
    } else if fields.has(3, b"-FVE-FS-") {
        // Windows Vista: a cluster's number where NTFS has that of its second table.
        vec![fields.le64(0x38).saturating_mul(cluster_bytes)]
    } else {
        return Err(EvidenceError::corrupt("the boot sector is not one of BitLocker"));
    };
    let mut problems = Vec::new();
    let mut found = None;
    for offset in offsets {
        match copy(source, offset) {
            Ok(copy) => {
                found.get_or_insert(copy);
            }
            Err(error) => problems.push(error.to_problem(Place::OffsetBytes(offset))),
        }
    }
    let Some(mut information) = found else {
        let told: Vec<String> = problems.iter().map(|problem| problem.text.clone()).collect();
        return Err(EvidenceError::corrupt(format!(
            "no good copy of the BitLocker metadata: {}",
            told.join("; ")
        )));
    };
    information.sector_bytes = sector_bytes;
    information.cluster_bytes = cluster_bytes;
    information.moved_bytes = information.moved_bytes.saturating_mul(u64::from(sector_bytes));
    information.problems = problems;
    if !on_write.is_empty() {
        information.progress = on_write.iter().find_map(|at| Progress::read(source, *at));
        if information.progress.is_none() {
            information.problems.push(Problem::new(
                ProblemKind::Corrupt,
                Place::Source,
                "the record of which parts are encrypted is not readable: all are taken as encrypted",
            ));
        }
    }
    Ok(information)
}

fn copy(source: &Arc<dyn Source>, at: u64) -> Result<Information, EvidenceError> {
    let what = "BitLocker metadata";
    let head = source.bytes_at(at, 112).map_err(EvidenceError::read(what))?;
    let fields = Fields(&head);
    if !fields.has(0, b"-FVE-FS-") {
        return Err(EvidenceError::corrupt("the BitLocker metadata has no signature"));
    }
    let version = fields.le16(10);
    // Since version 2 the size counts 16 bytes.
    let size = usize::from(fields.le16(8)).saturating_mul(if version >= 2 { 16 } else { 1 });
    let raw = source.bytes_at(at, size.saturating_add(8)).map_err(EvidenceError::read(what))?;
    let all = raw.get(..size).unwrap_or(&[]);
    let (found, expected) = (crc32(all), Fields(&raw).le32(size.saturating_add(4)));
    if found != expected {
        return Err(EvidenceError::corrupt(format!(
            "the BitLocker metadata checksum is {found:08x}, expected {expected:08x}"
        )));
    }
    let set = Fields(all.get(64..).unwrap_or(&[]));
    let (start, end) = (set.le32(8), set.le32(12));
    let range = to_usize(u64::from(start))..to_usize(u64::from(end));
    let state = match fields.le16(12) {
        1 => State::Decrypted,
        4 => State::Encrypted,
        other => State::Switching(other),
    };
    Ok(Information {
        version,
        sector_bytes: 512,
        cluster_bytes: 0,
        state,
        state_offset_bytes: fields.le64(16),
        state_bytes: u64::from(fields.le32(24)),
        moved_bytes: u64::from(fields.le32(28)),
        moved_to_bytes: fields.le64(56),
        copies: [fields.le64(32), fields.le64(40), fields.le64(48)],
        identifier: set.array(16),
        method: set.le16(36),
        progress: None,
        datums: set.0.get(range).unwrap_or(&[]).to_vec(),
        problems: Vec::new(),
    })
}
