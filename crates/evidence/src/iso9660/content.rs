//! Where content lies: the records of a directory, and the sections of a file that has more than one.

use super::record::Record;
use super::volume::SECTOR_BYTES;
use super::{Iso, MAX_PROBLEMS};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::problem::{Place, Problem, ProblemKind};

/// Longest directory read.
const MAX_DIRECTORY_BYTES: u64 = 64 << 20;
/// Most sections of one file: with 4 GiB each a file of 16 TiB.
const MAX_SECTIONS: usize = 4096;

/// A part of a file's content: first byte and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) at: u64,
    pub(super) length_bytes: u64,
}

impl Iso {
    /// The parts of a file, over the records that go on with it.
    pub(super) fn sections(&self, first: Record) -> Result<Vec<Section>, EvidenceError> {
        let mut out = Vec::new();
        let mut record = first;
        loop {
            if record.interleave != (0, 0) {
                let what = format!("the interleaved file at {}", record.node);
                return Err(EvidenceError::unsupported(what));
            }
            let (at, length_bytes) = (self.offset(record.block), record.size_bytes);
            out.push(Section { at, length_bytes });
            if !record.continues() {
                return Ok(out);
            }
            if out.len() >= MAX_SECTIONS {
                let what = format!("a file of more than {MAX_SECTIONS} sections");
                return Err(EvidenceError::refused(what));
            }
            let next = self.next_record(&record)?;
            if next.name != record.name {
                return Err(EvidenceError::corrupt(format!(
                    "the file at {} goes on in a record of another name",
                    record.node
                )));
            }
            record = next;
        }
    }

    fn next_record(&self, record: &Record) -> Result<Record, EvidenceError> {
        let next = record.node.saturating_add(to_u64(record.length));
        match self.record(next) {
            Ok(next) => Ok(next),
            // The rest of a sector is zeros where the next record does not fit.
            Err(_) => self.record(next.div_ceil(SECTOR_BYTES).saturating_mul(SECTOR_BYTES)),
        }
    }

    /// All records of a directory but its own and its parent's, each with the problems of reading it.
    pub(super) fn records(&self, directory: &Record) -> (Vec<Record>, Vec<Problem>) {
        let mut out = Vec::new();
        let mut problems = Vec::new();
        let mut note = |kind, node, text: String| {
            if problems.len() < MAX_PROBLEMS {
                problems.push(Problem::new(kind, Place::Node(node), text));
            }
        };
        let start = self.offset(directory.block);
        let length = directory.size_bytes.min(MAX_DIRECTORY_BYTES);
        if length < directory.size_bytes {
            let text = format!(
                "directory of {} bytes; the first {length} were read",
                directory.size_bytes
            );
            note(ProblemKind::Refused, directory.node, text);
        }
        // A record is kept whole, and its name again for the list.
        let mut room = Room::beside(size_of::<Record>().saturating_add(48));
        let mut at = 0_u64;
        let mut is_continued = false;
        while at < length && !room.is_full() {
            let wanted = to_usize(length.saturating_sub(at)).min(to_usize(SECTOR_BYTES));
            let from = start.saturating_add(at);
            let sector = match self.cached.bytes_at(from, wanted) {
                Ok(sector) if !sector.is_empty() => sector,
                Ok(_) => {
                    let text = "the directory goes on beyond the end of the source".to_owned();
                    note(ProblemKind::Corrupt, directory.node, text);
                    break;
                }
                Err(error) => {
                    note(ProblemKind::Io, directory.node, error.to_string());
                    Vec::new()
                }
            };
            let mut within = 0_usize;
            while let Some(raw) =
                sector.get(within..).filter(|raw| raw.first().is_some_and(|b| *b != 0))
            {
                let node = from.saturating_add(to_u64(within));
                let Some(record) = Record::parse(node, raw) else {
                    let text = "the bytes here are no directory record".to_owned();
                    note(ProblemKind::Corrupt, node, text);
                    break;
                };
                within = within.saturating_add(record.length);
                if let Some(text) = &record.disagreement {
                    note(ProblemKind::Corrupt, node, text.clone());
                }
                // Later sections of a file stand for nothing of their own.
                let is_first = !is_continued;
                is_continued = record.continues();
                let letters =
                    record.name.len().saturating_mul(2).saturating_add(record.system_use.len());
                if is_first && !record.is_dot() && room.takes(letters) {
                    out.push(record);
                }
            }
            at = at.saturating_add(SECTOR_BYTES);
        }
        problems.extend(room.problem(directory.node));
        (out, problems)
    }
}
