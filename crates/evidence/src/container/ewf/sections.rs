//! The chain of sections that makes up a segment file.
//!
//! Every section names the place of the next. The chain only goes forward, so it ends whatever the file claims.

use crate::bytes::{Fields, to_usize};
use crate::container::adler::adler32;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Source, SourceError};

/// Length of a segment's own header, behind which the first section stands.
const FILE_HEADER_BYTES: u64 = 13;

/// Length of a section's header.
const DESCRIPTOR_BYTES: u64 = 76;

/// One section.
pub(super) struct Section {
    name: [u8; 16],
    /// Where it begins.
    pub(super) at_bytes: u64,
    /// Where it ends.
    pub(super) end_bytes: u64,
}

impl Section {
    /// What it is, as the file names it.
    pub(super) fn kind(&self) -> &[u8] {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        self.name.get(..end).unwrap_or(&[])
    }

    /// Where its data begins.
    pub(super) fn data_at(&self) -> u64 {
        self.at_bytes.saturating_add(DESCRIPTOR_BYTES)
    }

    /// How much data it has.
    pub(super) fn data_bytes(&self) -> u64 {
        self.end_bytes.saturating_sub(self.data_at())
    }

    /// Its data, at most `limit_bytes` of it.
    pub(super) fn data(
        &self,
        source: &dyn Source,
        limit_bytes: usize,
    ) -> Result<Vec<u8>, SourceError> {
        source.bytes_at(self.data_at(), to_usize(self.data_bytes()).min(limit_bytes))
    }
}

/// The sections of a segment.
pub(super) struct Walk {
    /// In order.
    pub(super) sections: Vec<Section>,
    /// Whether the last one says that no segment follows.
    pub(super) is_last: bool,
    /// What is wrong with the chain.
    pub(super) problems: Vec<Problem>,
}

/// Follows the chain; `budget` is what all segments together may still have.
pub(super) fn walk(source: &dyn Source, name: &str, budget: &mut u32) -> Walk {
    let mut walk = Walk { sections: Vec::new(), is_last: false, problems: Vec::new() };
    let size = source.size_bytes();
    let mut at = FILE_HEADER_BYTES;
    let broken = loop {
        let Some(left) = budget.checked_sub(1) else {
            break Some((ProblemKind::Refused, "too many sections".to_owned()));
        };
        *budget = left;
        let raw = match source.bytes_at(at, to_usize(DESCRIPTOR_BYTES)) {
            Ok(raw) if raw.len() == to_usize(DESCRIPTOR_BYTES) => raw,
            Ok(_) => {
                let text = format!("its sections end at {at} of {size} bytes without a last one");
                break Some((ProblemKind::Corrupt, text));
            }
            Err(error) => break Some((ProblemKind::Io, format!("section: {error}"))),
        };
        let fields = Fields(&raw);
        let (expected, found) = (fields.le32(72), adler32(1, fields.slice(0, 72)));
        if expected != found {
            let text =
                format!("section header at {at}: checksum is {found:08x}, recorded {expected:08x}");
            walk.problems.push(problem(ProblemKind::Corrupt, name, &text));
        }
        let (next, length) = (fields.le64(16), fields.le64(24));
        let mut section = Section { name: fields.array(0), at_bytes: at, end_bytes: 0 };
        match section.kind() {
            b"done" => {
                walk.is_last = true;
                break None;
            }
            b"next" => break None,
            _ => {}
        }
        // A data section of an interrupted acquisition has length 0; then the chain tells where it ends.
        let end = at.saturating_add(length).min(size);
        section.end_bytes = if length > DESCRIPTOR_BYTES { end } else { next.min(size) };
        walk.sections.push(section);
        if next <= at {
            let text = format!("the section at {at} names {next} as the next");
            break Some((ProblemKind::Corrupt, text));
        }
        at = next;
    };
    if let Some((kind, text)) = broken {
        walk.problems.push(problem(kind, name, &text));
    }
    walk
}

fn problem(kind: ProblemKind, name: &str, text: &str) -> Problem {
    Problem::new(kind, Place::Source, format!("segment \"{name}\": {text}"))
}
