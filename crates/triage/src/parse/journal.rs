//! A journal of systemd ("Journal File Format"), as far as gaps in it can be told: the number and the times of each entry.
//!
//! Entries are found by walking over the objects from the first to the last one, so that a broken index hides none.

use super::bytes::{Bytes, le64};

/// Objects of one file that are walked.
const MAX_OBJECTS: usize = 40_000_000;
/// Type of an object that is an entry.
const ENTRY: u8 = 3;
/// The largest type there is.
const LAST_TYPE: u8 = 7;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the sequence.
    pub number: u64,
    /// When it was written, in microseconds since 1970.
    pub microseconds: u64,
    /// The start of the system it was written in.
    pub boot: [u8; 16],
    /// Where it lies in the file, in bytes.
    pub offset_bytes: u64,
}

/// What a file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Which sequence its numbers belong to.
    pub sequence: [u8; 16],
    /// The machine it was written on.
    pub machine: [u8; 16],
    /// First and last number its header claims.
    pub claimed: (u64, u64),
    /// How many entries its header claims.
    pub claimed_entries: u64,
    /// The entries in the order of the file.
    pub entries: Vec<Entry>,
    /// Where the walk stopped, if before the end, in bytes.
    pub broken_at: Option<u64>,
}

/// Reads a file; `None` if it is no journal.
#[must_use]
pub fn read(file: &dyn Bytes) -> Option<Journal> {
    let head = file.exactly(0, 240.min(usize::try_from(file.size_bytes()).ok()?))?;
    if !head.starts_with(b"LPKSHHRH") {
        return None;
    }
    let id = |at: usize| head.get(at..)?.first_chunk::<16>().copied();
    let header_bytes = le64(&head, 88)?;
    let mut journal = Journal {
        machine: id(40)?,
        sequence: id(72)?,
        claimed: (le64(&head, 168)?, le64(&head, 160)?),
        claimed_entries: le64(&head, 152)?,
        entries: Vec::new(),
        broken_at: None,
    };
    let tail = le64(&head, 136)?;
    let mut at = header_bytes;
    for _ in 0..MAX_OBJECTS {
        if at > tail || tail == 0 {
            return Some(journal);
        }
        let object = file.exactly(at, 16);
        let length = object.as_deref().and_then(|raw| le64(raw, 8)).unwrap_or(0);
        let kind = object.as_deref().and_then(|raw| raw.first().copied()).unwrap_or(0);
        let next = length.checked_next_multiple_of(8).and_then(|length| at.checked_add(length));
        let next = next.filter(|_| length >= 16 && (1..=LAST_TYPE).contains(&kind));
        let Some(next) = next else {
            journal.broken_at = Some(at);
            return Some(journal);
        };
        if kind == ENTRY
            && let Some(entry) = file.exactly(at, 64).as_deref().and_then(|raw| entry(raw, at))
        {
            journal.entries.push(entry);
        }
        at = next;
    }
    journal.broken_at = Some(at);
    Some(journal)
}

fn entry(raw: &[u8], at: u64) -> Option<Entry> {
    Some(Entry {
        number: le64(raw, 16)?,
        microseconds: le64(raw, 24)?,
        boot: *raw.get(40..)?.first_chunk()?,
        offset_bytes: at,
    })
}
