//! Transactions out of the log: two passes over its records, as a mount makes them.
//!
//! The first pass learns which buffers were given up later (their older changes must not come back) and counts; the
//! second hands every change to [`super::items`] in the order it was made. Nothing is written: changes go over the
//! metadata in memory.

use super::log::{Log, Record, State};
use super::{Xfs, items};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::View;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::{BTreeMap, HashMap};

/// Bytes of transactions that have begun and not ended.
const MAX_PENDING_BYTES: usize = 48 << 20;
/// What an operation costs beside its bytes, about.
const PENDING_BYTES: usize = 64;
/// Length of the header every transaction begins with.
const HEADER_BYTES: usize = 16;

const FLAG_START: u8 = 0x01;
const FLAG_COMMIT: u8 = 0x02;
const FLAG_CONTINUES: u8 = 0x08;
const FLAG_UNMOUNT: u8 = 0x20;

/// One change: its description and the bytes that belong to it.
#[derive(Default)]
pub(super) struct Item {
    pub(super) regions: Vec<Vec<u8>>,
}

impl Item {
    fn format(&self) -> Fields<'_> {
        Fields(self.regions.first().map_or(&[], Vec::as_slice))
    }

    pub(super) fn kind(&self) -> u16 {
        self.format().le16(0)
    }

    /// Whether all regions the description announces are there.
    fn is_whole(&self) -> bool {
        self.regions.len() >= usize::from(self.format().le16(2))
    }
}

/// A transaction whose commit has not been met yet.
#[derive(Default)]
struct Pending {
    lsn: u64,
    /// The sixteen bytes every transaction begins with; they say nothing that is needed.
    header: Vec<u8>,
    items: Vec<Item>,
    bytes: usize,
}

/// All transactions whose commit has not been met, and the memory they take.
#[derive(Default)]
struct Open {
    by_id: HashMap<u32, Pending>,
    bytes: usize,
}

/// Looks at the log and, in the recovered view, replays it; trouble becomes a problem and leaves the blocks as they are.
pub(super) fn run(xfs: &mut Xfs, view: View) -> Vec<Problem> {
    if xfs.superblock.log_start == 0 {
        let text = "the log is on another device; whether it holds changes not yet in place cannot be told";
        return vec![Problem::new(ProblemKind::Unsupported, Place::Source, text)];
    }
    let place = xfs
        .superblock
        .block_offset(xfs.superblock.log_start, 1)
        .map_or(Place::Source, Place::OffsetBytes);
    let seen = Log::new(xfs).and_then(|log| match log.state()? {
        State::Clean => Ok(None),
        State::Dirty(records) => first_pass(&log, &records).map(|summary| Some((records, summary))),
    });
    let (records, summary) = match seen {
        Ok(None) => return Vec::new(),
        Ok(Some(seen)) => seen,
        Err(error) => {
            let mut problem = error.to_problem(place);
            problem
                .text
                .push_str("; the log was not used and files are shown as their blocks stand");
            return vec![problem];
        }
    };
    if view == View::Raw {
        if summary.transactions == 0 {
            return Vec::new();
        }
        let text = format!(
            "log not replayed: {} transactions in {} records may not be in place yet",
            summary.transactions,
            records.len()
        );
        return vec![Problem::new(ProblemKind::Refused, place, text)];
    }
    match second_pass(xfs, &records, summary.cancelled) {
        Ok(()) => unfinished(&summary.intents, &place),
        Err(error) => {
            xfs.store.drop_overlay();
            let mut problem = error.to_problem(place);
            problem
                .text
                .push_str("; the log was not used and files are shown as their blocks stand");
            vec![problem]
        }
    }
}

/// What the first pass learns.
#[derive(Default)]
struct Summary {
    transactions: u64,
    /// Buffers given up, by first sector and number of sectors, and how often.
    cancelled: HashMap<(u64, u64), u32>,
    /// Work announced and not reported as done: kind by id.
    intents: BTreeMap<u64, u16>,
}

fn first_pass(log: &Log<'_>, records: &[Record]) -> Result<Summary, EvidenceError> {
    let mut summary = Summary::default();
    transactions(log, records, &mut |_, items| {
        summary.transactions = summary.transactions.saturating_add(1);
        for item in &items {
            if let Some(buffer) = items::cancelled(item) {
                let count = summary.cancelled.entry(buffer).or_default();
                *count = count.saturating_add(1);
            }
            match item.kind() {
                // Announced and done by turns; both keep the id in the same place.
                kind @ (0x1236 | 0x1240 | 0x1242 | 0x1244 | 0x1246 | 0x1248 | 0x124a | 0x124c
                | 0x124e) => {
                    summary.intents.insert(item.format().le64(8), kind);
                }
                0x1237 | 0x1241 | 0x1243 | 0x1245 | 0x1247 | 0x1249 | 0x124b | 0x124d | 0x124f => {
                    summary.intents.remove(&item.format().le64(8));
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok(summary)
}

fn second_pass(
    xfs: &mut Xfs,
    records: &[Record],
    cancelled: HashMap<(u64, u64), u32>,
) -> Result<(), EvidenceError> {
    // The log is read beside the changes that are made, one record's transactions at a time.
    let mut replay = items::Replay { cancelled };
    let mut done: Vec<(u64, Vec<Item>)> = Vec::new();
    let mut open = Open::default();
    for record in records {
        let log = Log::new(xfs)?;
        one_record(&log, record, &mut open, &mut |lsn, items| {
            done.push((lsn, items));
            Ok(())
        })?;
        for (lsn, items) in done.drain(..) {
            replay.transaction(xfs, lsn, items)?;
        }
    }
    Ok(())
}

fn unfinished(intents: &BTreeMap<u64, u16>, place: &Place) -> Vec<Problem> {
    if intents.is_empty() {
        return Vec::new();
    }
    // Freeing, reverse mappings and reference counts touch only the account of space; the others touch content.
    let touching =
        intents.values().filter(|kind| matches!(**kind, 0x1244 | 0x1246 | 0x1248)).count();
    let text = format!(
        "{} steps of work were announced in the log and not finished, {touching} of them on content or attributes; a mount would finish them, this view does not",
        intents.len()
    );
    vec![Problem::new(ProblemKind::Unsupported, place.clone(), text)]
}

type Each<'a> = dyn FnMut(u64, Vec<Item>) -> Result<(), EvidenceError> + 'a;

fn transactions(
    log: &Log<'_>,
    records: &[Record],
    each: &mut Each<'_>,
) -> Result<(), EvidenceError> {
    let mut open = Open::default();
    for record in records {
        one_record(log, record, &mut open, each)?;
    }
    Ok(())
}

/// Takes the operations of one record apart; a transaction counts when its commit is met.
fn one_record(
    log: &Log<'_>,
    record: &Record,
    open: &mut Open,
    each: &mut Each<'_>,
) -> Result<(), EvidenceError> {
    let raw = log.content(record)?;
    let f = Fields(&raw);
    let mut at = 0_usize;
    for _ in 0..record.operations {
        if at.saturating_add(12) > raw.len() {
            return Err(EvidenceError::corrupt(format!(
                "record of the log at {} has {} bytes for {} operations",
                record.block,
                raw.len(),
                record.operations
            )));
        }
        let id = f.be32(at);
        let length = to_usize(u64::from(f.be32(at.saturating_add(4))));
        let flags = f.u8(at.saturating_add(9));
        let body_at = at.saturating_add(12);
        let end = body_at.saturating_add(length);
        let Some(body) = raw.get(body_at..end) else {
            return Err(EvidenceError::corrupt(format!(
                "operation of {length} bytes at {at} of the record of the log at {}, which has {}",
                record.block,
                raw.len()
            )));
        };
        at = end;
        if flags & FLAG_START != 0 {
            open.bytes = open.bytes.saturating_add(PENDING_BYTES);
            let begun = Pending { lsn: record.lsn, bytes: PENDING_BYTES, ..Pending::default() };
            if let Some(lost) = open.by_id.insert(id, begun) {
                open.bytes = open.bytes.saturating_sub(lost.bytes);
            }
        } else if flags & FLAG_COMMIT != 0 {
            if let Some(transaction) = open.by_id.remove(&id) {
                open.bytes = open.bytes.saturating_sub(transaction.bytes);
                each(transaction.lsn, transaction.items)?;
            }
        } else if flags & FLAG_UNMOUNT == 0
            && let Some(transaction) = open.by_id.get_mut(&id)
        {
            // Operations of a transaction that began before the tail have nothing left to say.
            open.bytes = open.bytes.saturating_add(body.len()).saturating_add(PENDING_BYTES);
            transaction.add(body, flags & FLAG_CONTINUES != 0);
        }
        if open.bytes > MAX_PENDING_BYTES {
            return Err(EvidenceError::refused(format!(
                "transactions of the log have more than {MAX_PENDING_BYTES} bytes at once"
            )));
        }
    }
    Ok(())
}

impl Pending {
    /// Adds a region, or the rest of one that a record's end had cut.
    fn add(&mut self, body: &[u8], is_rest: bool) {
        self.bytes = self.bytes.saturating_add(body.len()).saturating_add(PENDING_BYTES);
        if self.items.is_empty() && self.header.len() < HEADER_BYTES {
            // The transaction's own header comes first, and may itself be cut.
            self.header.extend_from_slice(body);
            return;
        }
        if is_rest {
            let last = self.items.last_mut().and_then(|item| item.regions.last_mut());
            if let Some(region) = last {
                region.extend_from_slice(body);
            }
            return;
        }
        if self.items.last().is_none_or(Item::is_whole) {
            self.items.push(Item::default());
        }
        if let Some(item) = self.items.last_mut() {
            item.regions.push(body.to_vec());
        }
    }
}
