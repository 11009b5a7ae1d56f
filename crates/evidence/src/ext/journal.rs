//! The journal (jbd2), read to overlay what a clean mount would have written. Its fields are big endian.
//!
//! One pass collects committed transactions in order; a transaction counts only when its commit block is there with a
//! matching checksum. A revoke record removes older copies of its block. The last copy of each block wins. The forms are
//! those of the kernel's `include/linux/jbd2.h`, with all three generations of checksums.

use super::blocks::{self, Run};
use super::journal_blocks::{self as forms, Features};
use super::{Ext, fast_commit};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::HashMap;

/// Copies collected at most: a log of 8 GiB in blocks of 4 KiB, and 80 MiB of memory.
const MAX_COPIES: usize = 2 << 20;

/// Where the newest copy of a block is.
#[derive(Clone, Copy)]
pub(super) struct Copy {
    pub(super) offset_bytes: u64,
    /// Its first word was cleared because it looked like the journal's own.
    pub(super) is_escaped: bool,
}

pub(super) type Overlay = HashMap<u64, Copy>;

/// What the journal holds beyond the file system's own blocks.
#[derive(Default)]
pub(super) struct Log {
    pub(super) overlay: Overlay,
    /// Changes after the last full transaction.
    pub(super) tags: Vec<fast_commit::Tag>,
    pub(super) problems: Vec<Problem>,
}

/// Loads the log; a journal that cannot be used leaves it empty and says why.
pub(super) fn load(ext: &Ext) -> Log {
    let node = match ext.superblock.journal {
        None => return Log::default(),
        Some(Err(why)) => {
            let text = format!("needs recovery, but {why}; files are shown without it");
            let problem = Problem::new(ProblemKind::Unsupported, Place::Source, text);
            return Log { problems: vec![problem], ..Log::default() };
        }
        Some(Ok(node)) => u64::from(node),
    };
    match Reader::open(ext, node).and_then(Reader::run) {
        Ok(log) => log,
        Err(error) => {
            let mut problem = error.to_problem(Place::Node(node));
            problem.text.push_str("; the journal was not used and files are shown without it");
            Log { problems: vec![problem], ..Log::default() }
        }
    }
}

struct Reader<'a> {
    ext: &'a Ext,
    node: u64,
    runs: Vec<Run>,
    first: u64,
    /// End of the ring; what follows it are fast commits.
    end: u64,
    /// End of the whole journal.
    last: u64,
    start: u64,
    sequence: u32,
    features: Features,
    log: Log,
}

/// What one transaction does: blocks to their copies, and blocks whose older copies are void.
#[derive(Default)]
struct Transaction {
    copies: Vec<(u64, Copy)>,
    revoked: Vec<u64>,
    /// Sum over descriptors and data, for the first kind of checksum.
    sum: Option<u32>,
}

impl<'a> Reader<'a> {
    fn open(ext: &'a Ext, node: u64) -> Result<Self, EvidenceError> {
        let inode = ext.inode(node)?;
        let block_bytes = ext.superblock.block_bytes.max(1);
        let held = ext.source.size_bytes().div_ceil(block_bytes);
        let mut reader = Self {
            ext,
            node,
            runs: blocks::runs(ext, &inode, 0..blocks::END)?,
            first: 0,
            end: inode.size_bytes.checked_div(block_bytes).unwrap_or(0).min(held),
            last: 0,
            start: 0,
            sequence: 0,
            features: Features::default(),
            log: Log::default(),
        };
        let raw = reader.block(0)?.1;
        let sb = Fields(&raw);
        let kind = sb.be32(4);
        if sb.be32(0) != forms::MAGIC
            || !matches!(kind, 3 | 4)
            || u64::from(sb.be32(12)) != ext.superblock.block_bytes
        {
            return Err(EvidenceError::corrupt(format!(
                "journal superblock of type {kind} and magic {:08x}",
                sb.be32(0)
            )));
        }
        reader.features = Features::parse(&raw)?;
        reader.first = u64::from(sb.be32(20)).max(1);
        reader.end = reader.end.min(u64::from(sb.be32(16)));
        reader.last = reader.end;
        reader.sequence = sb.be32(24);
        reader.start = u64::from(sb.be32(28));
        if reader.features.has_fast_commits {
            let reserved = match sb.be32(0x54) {
                0 => 256,
                blocks => u64::from(blocks),
            };
            reader.end = reader.end.saturating_sub(reserved);
        }
        Ok(reader)
    }

    /// Byte offset and content of a block of the journal.
    fn block(&self, number: u64) -> Result<(u64, Vec<u8>), EvidenceError> {
        let offset = self.offset(number)?;
        let mut raw = vec![0; to_usize(self.ext.superblock.block_bytes)];
        let source: &dyn crate::Source = &*self.ext.source;
        source
            .fill(offset, &mut raw)
            .map_err(EvidenceError::read(format!("journal block {number}")))?;
        Ok((offset, raw))
    }

    fn offset(&self, number: u64) -> Result<u64, EvidenceError> {
        let index = self.runs.partition_point(|run| run.end() <= number);
        self.runs
            .get(index)
            .and_then(|run| run.within(&(number..number.saturating_add(1))))
            .map(|run| run.physical.saturating_mul(self.ext.superblock.block_bytes))
            .ok_or_else(|| EvidenceError::corrupt(format!("journal has no block {number}")))
    }

    fn next(&self, number: u64) -> u64 {
        let next = number.saturating_add(1);
        if next >= self.end { self.first } else { next }
    }

    fn problem(&mut self, text: String) {
        let place = Place::Node(self.node);
        self.log.problems.push(Problem::new(ProblemKind::Corrupt, place, text));
    }

    /// Walks the log once around at most.
    fn run(mut self) -> Result<Log, EvidenceError> {
        if self.start == 0 {
            return Ok(self.log);
        }
        let mut done: Vec<Transaction> = Vec::new();
        let mut current = Transaction::default();
        let (mut at, mut walked, mut copies) = (self.start, 0_u64, 0_usize);
        let length = self.end.saturating_sub(self.first);
        while walked < length {
            let (_, raw) = self.block(at)?;
            let header = Fields(&raw);
            if header.be32(0) != forms::MAGIC || header.be32(8) != self.sequence {
                break;
            }
            let mut step = 1_u64;
            match header.be32(4) {
                1 if self.features.has_good_tail(&raw) => {
                    step = step.saturating_add(self.descriptor(at, &raw, &mut current)?);
                    copies = copies.saturating_add(to_usize(step));
                    if copies > MAX_COPIES {
                        return Err(EvidenceError::refused(format!(
                            "the journal has more than {MAX_COPIES} blocks"
                        )));
                    }
                }
                2 if self.features.is_good_commit(&raw, current.sum) => {
                    done.push(std::mem::take(&mut current));
                    self.sequence = self.sequence.wrapping_add(1);
                }
                5 if self.features.has_good_tail(&raw) => {
                    current.revoked.extend(self.features.revoked(&raw));
                }
                kind => {
                    self.problem(format!(
                        "journal block {at} of type {kind} is damaged; the log was used up to it"
                    ));
                    break;
                }
            }
            for _ in 0..step {
                at = self.next(at);
            }
            walked = walked.saturating_add(step);
        }
        self.log.overlay = overlay(&done);
        if self.features.has_fast_commits {
            self.fast_commits();
        }
        Ok(self.log)
    }

    /// Takes the blocks a descriptor lists into a transaction and returns how many there are.
    fn descriptor(
        &mut self,
        at: u64,
        raw: &[u8],
        transaction: &mut Transaction,
    ) -> Result<u64, EvidenceError> {
        let tags = self.features.tags(raw);
        let count = to_u64(tags.len());
        if self.features.sums_transactions {
            transaction.sum = Some(forms::sum(transaction.sum, raw));
        }
        let mut data = at;
        for tag in tags {
            data = self.next(data);
            let copy = Copy { offset_bytes: self.offset(data)?, is_escaped: tag.is_escaped };
            if self.features.sums_transactions || self.features.has_checksums() {
                let (_, content) = self.block(data)?;
                if self.features.sums_transactions {
                    transaction.sum = Some(forms::sum(transaction.sum, &content));
                }
                if !self.features.data_fits(&tag, self.sequence, &content) {
                    let block = tag.block;
                    self.problem(format!(
                        "the checksum of journal block {data} does not fit; block {block} is shown without it"
                    ));
                    continue;
                }
            }
            transaction.copies.push((tag.block, copy));
        }
        Ok(count)
    }

    /// Fast commits belong to the transaction that would have come next.
    fn fast_commits(&mut self) {
        let mut scan = fast_commit::Scan::new(self.sequence);
        // The kernel leaves one block between the ring and them (`j_fc_first = j_last + 1`).
        for number in self.end.saturating_add(1)..self.last {
            let more = match self.block(number) {
                Ok((_, raw)) => scan.block(&raw),
                Err(error) => {
                    self.log.problems.push(error.to_problem(Place::Node(self.node)));
                    break;
                }
            };
            match more {
                Ok(fast_commit::More::Yes) => {}
                Ok(fast_commit::More::No) => break,
                Err(what) => {
                    self.problem(format!(
                        "journal block {number}: {what}; fast commits were used up to the one before"
                    ));
                    break;
                }
            }
        }
        self.log.tags = scan.committed();
    }
}

/// A revoke holds for its own and all earlier transactions, so each block's last revoke is needed before any copy counts.
fn overlay(done: &[Transaction]) -> Overlay {
    let mut revoked: HashMap<u64, usize> = HashMap::new();
    for (order, transaction) in done.iter().enumerate() {
        revoked.extend(transaction.revoked.iter().map(|block| (*block, order)));
    }
    let mut overlay = Overlay::new();
    for (order, transaction) in done.iter().enumerate() {
        for (block, copy) in &transaction.copies {
            if revoked.get(block).is_none_or(|last| *last < order) {
                overlay.insert(*block, *copy);
            }
        }
    }
    overlay
}
