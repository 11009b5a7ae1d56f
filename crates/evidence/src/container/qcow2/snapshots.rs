//! The list of internal snapshots. Their content is not shown; that they exist is a fact an examiner wants.

use super::header::Header;
use crate::bytes::{Fields, to_usize};
use crate::container::below::Notes;
use crate::escape_bytes;
use crate::problem::ProblemKind;
use crate::source::Source;
use crate::time::Time;

/// How many are listed.
const MAX_LISTED: u32 = 256;

/// Length of an entry before its variable parts.
const FIXED_BYTES: usize = 40;

pub(super) fn list(source: &dyn Source, header: &Header, notes: &mut Notes) {
    let mut at = header.snapshots_at;
    for number in 0..header.snapshot_count.min(MAX_LISTED) {
        let fixed = source.bytes_at(at, FIXED_BYTES).unwrap_or_default();
        if fixed.len() < FIXED_BYTES {
            let text = format!("snapshot {number} of {} is not readable", header.snapshot_count);
            return notes.problem(ProblemKind::Corrupt, text);
        }
        let fields = Fields(&fixed);
        let (id, name) = (usize::from(fields.be16(12)), usize::from(fields.be16(14)));
        let extra = to_usize(u64::from(fields.be32(36)));
        // What follows the fixed part: further fields of later versions, the identifier, the name.
        let texts_at = at.saturating_add(40).saturating_add(u64::from(fields.be32(36)));
        let texts = source.bytes_at(texts_at, id.saturating_add(name)).unwrap_or_default();
        let (id_text, name_text) = texts.split_at_checked(id).unwrap_or((&texts, &[]));
        let time = Time { seconds: i64::from(fields.be32(16)), nanoseconds: fields.be32(20) };
        notes.fact(
            "snapshot",
            format!(
                "{} \"{}\", taken {time}, VM state {} bytes",
                escape_bytes(id_text),
                escape_bytes(name_text),
                fields.be32(32)
            ),
        );
        let length = [FIXED_BYTES, extra, id, name]
            .iter()
            .fold(0, |sum: usize, part| sum.saturating_add(*part));
        let padded = u64::try_from(length.div_ceil(8).saturating_mul(8)).unwrap_or(u64::MAX);
        at = at.saturating_add(padded);
    }
    if header.snapshot_count > MAX_LISTED {
        let text = format!("{} snapshots, {MAX_LISTED} of them listed", header.snapshot_count);
        notes.problem(ProblemKind::Refused, text);
    }
}
