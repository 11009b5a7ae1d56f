//! Event logs of Windows (EVTX): chunks of 64 KiB with numbered records, each a binary form of XML.
//!
//! Chunks stand for themselves: one that is broken costs its own records and no others. Own reader, not the crate `evtx`
//! (0.15.1): of its 5,000 lines and thirty crates triage needs the numbers, the times and a few fields, and what lies inside
//! a record that nothing points to, which readers for people pass over. Dissect judges it in the tests. After the format
//! documentation of libyal's libevtx.

pub mod binxml;

use super::bytes::{Bytes, le16, le32, le64, size};
use binxml::Fields;

/// Size of a chunk, and where the first begins.
const CHUNK_BYTES: usize = 64 << 10;
const FIRST_CHUNK: u64 = 4096;
/// Where records begin in a chunk.
const FIRST_RECORD: usize = 512;
/// What a record begins with.
const MAGIC: &[u8] = b"**\0\0";
/// Bytes of a record in front of its XML, and behind it.
const HEADER_BYTES: usize = 24;
/// Chunks read of one log: four gigabytes, the most Windows lets a log grow to.
const MAX_CHUNKS: u64 = 1 << 16;

/// What the head of a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number; a log counts without gaps.
    pub number: u64,
    /// When it was written, in units of 100 ns since 1601.
    pub filetime: u64,
    /// Its place in the file, in bytes.
    pub offset_bytes: u64,
    /// Where another record lies inside it that nothing points to, in bytes of the file.
    pub hidden_at: Option<u64>,
}

/// What there is to say of a log beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Chunks with records.
    pub chunks: usize,
    /// Records read.
    pub records: usize,
    /// What is broken, with its place.
    pub broken: Vec<(u64, String)>,
}

/// Gives each record of a log with its fields to `visit`, in the order of the file; `None` when it is no such log.
pub fn read(log: &dyn Bytes, visit: &mut dyn FnMut(&Record, &Fields)) -> Option<Summary> {
    let mut head = vec![0; 128];
    let got = log.read_at(0, &mut head);
    if got < head.len() || !head.starts_with(b"ElfFile\0") {
        return None;
    }
    let mut summary = Summary::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    for number in 0..MAX_CHUNKS {
        let at = number.checked_mul(65_536)?.checked_add(FIRST_CHUNK)?;
        if at >= log.size_bytes() {
            break;
        }
        let got = log.read_at(at, &mut chunk);
        let there = chunk.get(..got).unwrap_or(&[]);
        if there.iter().all(|byte| *byte == 0) {
            continue;
        }
        if !there.starts_with(b"ElfChnk\0") {
            tell(&mut summary, at, "a chunk does not begin as one");
            continue;
        }
        summary.chunks = summary.chunks.saturating_add(1);
        chunk_records(there, at, &mut summary, visit);
    }
    Some(summary)
}

fn tell(summary: &mut Summary, at: u64, text: &str) {
    if summary.broken.len() < 64 {
        summary.broken.push((at, text.to_owned()));
    }
}

fn chunk_records(
    chunk: &[u8],
    chunk_at: u64,
    summary: &mut Summary,
    visit: &mut dyn FnMut(&Record, &Fields),
) {
    let place = |at: usize| chunk_at.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
    let end = le32(chunk, 48).map_or(chunk.len(), size).min(chunk.len());
    let mut at = FIRST_RECORD;
    let mut last = None;
    while let Some(raw) = chunk.get(at..).filter(|raw| raw.len() > HEADER_BYTES) {
        let length = le32(raw, 4).map_or(0, size);
        let number = le64(raw, 8).unwrap_or(0);
        let record = raw.get(..length).filter(|record| is_record(record));
        // The header of a chunk may be older than its records: what goes on with the next number still counts.
        let follows = last.is_some_and(|last: u64| last.checked_add(1) == Some(number));
        if at >= end && !(record.is_some() && follows) {
            return;
        }
        let Some(record) = record else {
            tell(summary, place(at), "a record does not begin or end as one");
            let rest = raw.get(8..end.saturating_sub(at).min(raw.len())).unwrap_or(&[]);
            // Records lie on multiples of eight bytes.
            let next = (0..rest.len()).step_by(8).find(|next| {
                let there = rest.get(*next..).unwrap_or(&[]);
                let length = le32(there, 4).map_or(0, size);
                there.starts_with(MAGIC) && there.get(..length).is_some_and(is_record)
            });
            let Some(next) = next else { return };
            at = at.saturating_add(8).saturating_add(next);
            continue;
        };
        let head = Record {
            number,
            filetime: le64(record, 16).unwrap_or(0),
            offset_bytes: place(at),
            hidden_at: hidden(record).map(|inside| place(at.saturating_add(inside))),
        };
        let fields =
            binxml::read(chunk, at.saturating_add(HEADER_BYTES), at.saturating_add(length));
        summary.records = summary.records.saturating_add(1);
        visit(&head, &fields);
        last = Some(number);
        at = at.saturating_add(length);
    }
}

/// Whether bytes begin and end as a record of their length does.
fn is_record(record: &[u8]) -> bool {
    record.len() > HEADER_BYTES.saturating_add(4)
        && record.starts_with(MAGIC)
        && record.len().checked_sub(4).and_then(|at| le32(record, at)).map(size)
            == Some(record.len())
}

/// Where a whole record lies inside another one: what is left when the one in front was made longer to hide it.
fn hidden(record: &[u8]) -> Option<usize> {
    let inside = record.get(HEADER_BYTES..)?;
    let found = inside.windows(MAGIC.len()).enumerate().filter(|(_, four)| *four == MAGIC);
    let mut starts = found.map(|(at, _)| at.saturating_add(HEADER_BYTES));
    starts.find(|at| {
        let rest = record.get(*at..).unwrap_or(&[]);
        let length = le32(rest, 4).map_or(0, size);
        // Records lie on multiples of eight bytes; the XML of each begins with a fragment of version 1.1.
        at.is_multiple_of(8)
            && rest.get(..length).is_some_and(is_record)
            && le16(rest, HEADER_BYTES) == Some(0x010f)
    })
}
