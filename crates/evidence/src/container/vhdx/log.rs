//! The log: changes to the file's structures that were decided on but perhaps not yet made ([MS-VHDX] 2.3).
//!
//! Replayed in memory, as Hyper-V would do on the file. Among all entries that are whole, the newest chain counts.

use super::header::{Header, checksum};
use super::patched::Patched;
use crate::bytes::{Fields, guid_text, to_u64, to_usize};
use crate::container::below::Notes;
use crate::problem::ProblemKind;
use crate::source::Source;
use std::collections::BTreeMap;
use std::sync::Arc;

const SECTOR: usize = 4096;
const ENTRY_HEADER: usize = 64;
const DESCRIPTOR: usize = 32;

/// Hyper-V and QEMU make logs of 1 MiB; this bounds both the memory and the search.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// Bytes summed while searching, as a multiple of the log: entries of an honest log do not overlap.
const MAX_PASSES: u64 = 4;

/// An entry whose checksum is right.
struct Entry {
    sequence: u64,
    /// Where the oldest entry is that was still needed when this one was written.
    tail: usize,
    raw: Vec<u8>,
    last_file_bytes: u64,
}

/// The file as it is with the log replayed.
pub(super) fn replay(
    first: &Arc<dyn Source>,
    header: &Header,
    notes: &mut Notes,
) -> Arc<dyn Source> {
    let unchanged = Arc::clone(first);
    if header.log_bytes > MAX_LOG_BYTES {
        let text = format!("the log of {} bytes is not replayed", header.log_bytes);
        notes.problem(ProblemKind::Refused, text);
        return unchanged;
    }
    let log = match first.bytes_at(header.log_at, to_usize(header.log_bytes)) {
        Ok(log) if to_u64(log.len()) == header.log_bytes && log.len().is_multiple_of(SECTOR) => log,
        Ok(log) => {
            let text = format!("the log has {} bytes of {}", log.len(), header.log_bytes);
            notes.problem(ProblemKind::Corrupt, text);
            return unchanged;
        }
        Err(error) => {
            notes.problem(ProblemKind::Io, format!("the log is not replayed: {error}"));
            return unchanged;
        }
    };
    let entries = entries(&log, &header.log_id);
    let Some(chain) = active(&entries, log.len()) else {
        notes.problem(ProblemKind::Corrupt, "the log is in use but has no whole entry");
        return unchanged;
    };
    let mut patched = Patched::new(Arc::clone(first));
    let mut wanted_bytes = 0;
    for at in &chain {
        let Some(entry) = entries.get(at) else { continue };
        wanted_bytes = entry.last_file_bytes;
        if let Err(what) = apply(entry, &mut patched) {
            let text = format!("log entry {} at {at}: {what}", entry.sequence);
            notes.problem(ProblemKind::Corrupt, text);
        }
    }
    if patched.size_bytes() < wanted_bytes {
        let text =
            format!("the file has {} bytes of {wanted_bytes} by its log", patched.size_bytes());
        notes.problem(ProblemKind::Corrupt, text);
    }
    notes.fact("log", format!("not empty: {} entries replayed in memory", chain.len()));
    Arc::new(patched)
}

/// Every whole entry, by its place.
fn entries(log: &[u8], log_id: &str) -> BTreeMap<usize, Entry> {
    let mut out = BTreeMap::new();
    let mut budget = to_u64(log.len()).saturating_mul(MAX_PASSES);
    for at in (0..log.len()).step_by(SECTOR) {
        let fields = Fields(log.get(at..).unwrap_or(&[]));
        let length = to_usize(u64::from(fields.le32(8)));
        let is_possible = fields.has(0, b"loge")
            && length >= SECTOR
            && length <= log.len()
            && length.is_multiple_of(SECTOR)
            && guid_text(fields.array(32)) == log_id
            && fields.le64(16) != 0;
        if !is_possible {
            continue;
        }
        let Some(left) = budget.checked_sub(to_u64(length)) else { break };
        budget = left;
        // The log is a ring: an entry may go on at its beginning.
        let raw: Vec<u8> = log.iter().cycle().skip(at).take(length).copied().collect();
        if fields.le32(4) != checksum(&raw) {
            continue;
        }
        let entry = Entry {
            sequence: fields.le64(16),
            tail: to_usize(u64::from(fields.le32(12))),
            last_file_bytes: fields.le64(56),
            raw,
        };
        out.insert(at, entry);
    }
    out
}

/// The places of the newest chain: from the tail of its last entry, each entry follows the one before.
fn active(entries: &BTreeMap<usize, Entry>, log_bytes: usize) -> Option<Vec<usize>> {
    let mut heads: Vec<(u64, usize)> =
        entries.iter().map(|(at, entry)| (entry.sequence, *at)).collect();
    heads.sort_unstable();
    heads.iter().rev().find_map(|(_, head)| chain(entries, *head, log_bytes))
}

fn chain(entries: &BTreeMap<usize, Entry>, head: usize, log_bytes: usize) -> Option<Vec<usize>> {
    let mut at = entries.get(&head)?.tail;
    let mut chain = vec![at];
    let mut entry = entries.get(&at)?;
    while at != head {
        at = at.checked_add(entry.raw.len())?.checked_rem(log_bytes)?;
        let next = entries.get(&at)?;
        if next.sequence != entry.sequence.checked_add(1)? {
            return None;
        }
        entry = next;
        chain.push(at);
    }
    Some(chain)
}

/// Lays the changes of one entry over the file.
fn apply(entry: &Entry, patched: &mut Patched) -> Result<(), String> {
    let fields = Fields(&entry.raw);
    let count = to_usize(u64::from(fields.le32(24)));
    let described = count.saturating_mul(DESCRIPTOR).saturating_add(ENTRY_HEADER);
    if described > entry.raw.len() {
        return Err(format!("{count} descriptors in {} bytes", entry.raw.len()));
    }
    let mut data_at = described.next_multiple_of(SECTOR);
    for index in 0..count {
        let at = index.saturating_mul(DESCRIPTOR).saturating_add(ENTRY_HEADER);
        let descriptor = Fields(fields.slice(at, DESCRIPTOR));
        let (file_at, sequence) = (descriptor.le64(16), descriptor.le64(24));
        if sequence != entry.sequence {
            return Err(format!("descriptor {index} has the number {sequence}"));
        }
        if descriptor.has(0, b"zero") {
            patched.zeros(file_at, descriptor.le64(8));
        } else if descriptor.has(0, b"desc") {
            let sector = Fields(fields.slice(data_at, SECTOR));
            let number = u64::from(sector.le32(4)) << 32 | u64::from(sector.le32(4092));
            if !sector.has(0, b"data") || number != entry.sequence {
                return Err(format!("data sector of descriptor {index} has the number {number}"));
            }
            // The first eight and the last four bytes gave way to the sector's own marks.
            let content = [descriptor.slice(8, 8), sector.slice(8, 4084), descriptor.slice(4, 4)];
            patched.bytes(file_at, content.concat().into());
            data_at = data_at.saturating_add(SECTOR);
        } else {
            return Err(format!("descriptor {index} is of no known kind"));
        }
    }
    Ok(())
}
