//! The binary part of LUKS2: two headers with checksums, of which the newest good one counts (LUKS2 specification, 2).

use super::Header;
use super::kdf::Hash;
use super::luks2_json;
use crate::bytes::{Fields, padded_text, to_usize};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// Where a second header may stand: each size the specification allows for the first.
const SECOND_OFFSETS: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

/// A header whose checksum is right.
struct Good {
    sequence: u64,
    size_bytes: u64,
    uuid: Option<String>,
    label: Option<String>,
    json: Vec<u8>,
}

pub(super) fn read(source: &Arc<dyn Source>) -> Result<Header, EvidenceError> {
    let mut problems: Vec<Problem> = Vec::new();
    let first = keep(one(source, 0, b"LUKS\xba\xbe"), 0, &mut problems);
    let mut second = None;
    match &first {
        Some(good) => {
            let at = good.size_bytes;
            second = keep(one(source, at, b"SKUL\xba\xbe"), at, &mut problems);
        }
        // Without the first its size is unknown: the second stands at one of nine places.
        None => {
            for at in SECOND_OFFSETS {
                if let Ok(good) = one(source, at, b"SKUL\xba\xbe") {
                    second = Some(good);
                    break;
                }
            }
        }
    }
    if let (Some(first), Some(second)) = (&first, &second)
        && first.sequence != second.sequence
    {
        problems.push(Problem::new(
            ProblemKind::Corrupt,
            Place::Source,
            format!(
                "the LUKS2 headers have sequence numbers {} and {}, the higher is used",
                first.sequence, second.sequence
            ),
        ));
    }
    let newest = [first, second]
        .into_iter()
        .flatten()
        .reduce(|a, b| if b.sequence > a.sequence { b } else { a });
    let Some(good) = newest else {
        let told: Vec<String> = problems.iter().map(|problem| problem.text.clone()).collect();
        return Err(EvidenceError::corrupt(format!("no good LUKS2 header: {}", told.join("; "))));
    };
    let mut header = luks2_json::read(&good.json)?;
    header.description.uuid = good.uuid;
    header.description.label = good.label;
    header.description.problems.extend(problems);
    Ok(header)
}

fn keep(found: Result<Good, EvidenceError>, at: u64, problems: &mut Vec<Problem>) -> Option<Good> {
    found.map_err(|error| problems.push(error.to_problem(Place::OffsetBytes(at)))).ok()
}

fn one(source: &Arc<dyn Source>, at: u64, magic: &[u8]) -> Result<Good, EvidenceError> {
    let which = format!("the LUKS2 header at offset {at}");
    let binary = source.bytes_at(at, 4096).map_err(EvidenceError::read(which.as_str()))?;
    let fields = Fields(&binary);
    if !fields.has(0, magic) || fields.be16(6) != 2 {
        return Err(EvidenceError::corrupt(format!("{which} has no signature")));
    }
    let (size_bytes, own_offset) = (fields.be64(8), fields.be64(256));
    if !SECOND_OFFSETS.contains(&size_bytes) || own_offset != at {
        return Err(EvidenceError::corrupt(format!(
            "{which} claims offset {own_offset} and {size_bytes} bytes"
        )));
    }
    let mut all =
        source.bytes_at(at, to_usize(size_bytes)).map_err(EvidenceError::read(which.as_str()))?;
    let expected = fields.slice(448, 64).to_vec();
    if let Some(checksum) = all.get_mut(448..512) {
        checksum.fill(0);
    }
    let name = padded_text(fields.slice(72, 32)).unwrap_or_default();
    let found = Hash::named(&name)?.of(&[&all]);
    if expected.get(..found.len()) != Some(&**found) {
        let hex = |bytes: &[u8]| -> String {
            bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
        };
        return Err(EvidenceError::corrupt(format!(
            "checksum of {which} is {}…, expected {}…",
            hex(&found),
            hex(&expected)
        )));
    }
    let json = all.get(4096..).unwrap_or(&[]);
    let end = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    Ok(Good {
        sequence: fields.be64(16),
        size_bytes,
        uuid: padded_text(fields.slice(168, 40)),
        label: padded_text(fields.slice(24, 48)),
        json: json.get(..end).unwrap_or(json).to_vec(),
    })
}
