//! Directories: entries put together with the long names before them, the given-up ones too.
//!
//! A long name stands in up to twenty entries before its short one, last part first, each with the checksum of the short
//! name (specification, "FAT Long Directory Entries"). Parts that fit no file are leftovers of a program that did not
//! know long names, or of a hand; they are told, not dropped. In a given-up set the numbers and the first letter of the
//! short name are overwritten; order and checksum still tell the long name and give the letter back.

use super::entry::{ERASED, LongPart, Short, Slot};
use super::names::{self, Harm};
use crate::fs::Node;
use crate::problem::{Place, Problem, ProblemKind};

/// Most parts of one long name: the number has six bits.
const MAX_PARTS: usize = 63;
/// Problems kept for one directory.
const MAX_PROBLEMS: usize = 64;

/// Whether an entry still names something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Erased,
    /// Not given up, but behind the mark that ends the directory.
    BehindEnd,
}

/// A file, directory or label met in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) node: Node,
    pub(super) name: Vec<u8>,
    pub(super) short: Short,
    pub(super) state: State,
}

/// Takes entry after entry and puts them together.
#[derive(Default)]
pub(super) struct Scanner {
    /// Number of clusters of the volume, to tell an entry from rubbish.
    clusters: u32,
    /// Parts of a long name waiting for their short one, in the order met, and the number the next must have.
    parts: Vec<LongPart>,
    awaited: u8,
    erased: Vec<LongPart>,
    has_ended: bool,
    behind_end: u64,
    unlisted_problems: u64,
    pub(super) records: Vec<Record>,
    pub(super) problems: Vec<Problem>,
}

impl Scanner {
    pub(super) fn new(clusters: u32) -> Self {
        Self { clusters, ..Self::default() }
    }

    /// Takes the entry that stands at `node`.
    pub(super) fn push(&mut self, node: Node, slot: Slot) {
        match slot {
            Slot::End => {
                self.orphan(node);
                self.erased.clear();
                self.has_ended = true;
            }
            Slot::Long(part) if part.order == ERASED => {
                self.orphan(node);
                if self.erased.len() >= MAX_PARTS {
                    self.erased.remove(0);
                }
                self.erased.push(part);
            }
            Slot::Long(part) => self.long(node, part),
            Slot::Short(short) => self.short(node, short),
        }
    }

    /// Tells what remains when the directory is over.
    pub(super) fn finish(&mut self, directory: Node) {
        self.orphan(directory);
        if self.behind_end > 0 {
            let text = format!("{} entries stand behind the end of the directory", self.behind_end);
            self.problem(directory, text);
        }
        if self.unlisted_problems > 0 {
            let text = format!("{} more problems in this directory", self.unlisted_problems);
            self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(directory), text));
        }
    }

    fn problem(&mut self, node: Node, text: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(node), text));
        } else {
            self.unlisted_problems = self.unlisted_problems.saturating_add(1);
        }
    }

    /// Gives up the parts collected so far, because what follows is not theirs.
    fn orphan(&mut self, node: Node) {
        if self.parts.is_empty() {
            return;
        }
        let name = crate::escape_bytes(&long_name(self.parts.iter().rev()));
        let parts = self.parts.len();
        self.parts.clear();
        if !self.has_ended {
            let text = format!("a long name of {parts} parts without its file: {name:?}");
            self.problem(node, text);
        }
    }

    fn long(&mut self, node: Node, part: LongPart) {
        self.erased.clear();
        let number = part.order & 0x3f;
        let is_first = part.order & 0x40 != 0;
        let fits = !is_first
            && number == self.awaited
            && number > 0
            && self.parts.first().is_some_and(|first| first.checksum == part.checksum);
        if !fits {
            self.orphan(node);
        }
        self.parts.push(part);
        // A part that begins nothing awaits none: the next one then orphans it.
        self.awaited = if is_first || fits { number.saturating_sub(1) } else { 0 };
        if !is_first && !fits {
            self.orphan(node);
        }
    }

    fn short(&mut self, node: Node, short: Short) {
        let parts = std::mem::take(&mut self.parts);
        let erased = std::mem::take(&mut self.erased);
        if short.is_erased() {
            self.given_up(node, short, parts, &erased);
            return;
        }
        let own = names::checksum(short.name);
        let is_whole = self.awaited == 0 && !parts.is_empty();
        let mut name = short.shown_name();
        if is_whole && parts.iter().all(|part| part.checksum == own) {
            name = long_name(parts.iter().rev());
        } else if !parts.is_empty() {
            self.parts = parts;
            self.orphan(node);
        }
        if short.is_dot() {
            return;
        }
        let state = if self.has_ended {
            if !short.is_plausible(self.clusters) {
                return;
            }
            self.behind_end = self.behind_end.saturating_add(1);
            State::BehindEnd
        } else {
            State::Live
        };
        let (safe, harm) = names::harmless(name);
        if harm == Harm::Replaced && state == State::Live {
            let text = format!("a name that would change its path is shown as {:?}", shown(&safe));
            self.problem(node, text);
        }
        self.records.push(Record { node, name: safe, short, state });
    }

    fn given_up(&mut self, node: Node, short: Short, parts: Vec<LongPart>, erased: &[LongPart]) {
        // A program that knows no long names erases only the short entry; the parts before it are then still whole.
        let is_whole = self.awaited == 0 && !parts.is_empty();
        let before = if is_whole { parts.as_slice() } else { erased };
        let candidates: Vec<LongPart> = before.iter().rev().copied().collect();
        let checksum = candidates.first().map(|part| part.checksum);
        let first = checksum.and_then(|sum| {
            (0x01..=0xff).find(|first| names::checksum(short.with_first(*first).name) == sum)
        });
        if !is_whole && !parts.is_empty() {
            self.parts = parts;
            self.orphan(node);
        }
        if !short.is_plausible(self.clusters) {
            return;
        }
        let mut name = short.with_first(first.unwrap_or(b'_')).shown_name();
        if first.is_some() {
            let theirs = candidates.iter().take_while(|part| Some(part.checksum) == checksum);
            name = long_name(whole_name(theirs).into_iter());
        }
        let (name, _) = names::harmless(name);
        self.records.push(Record { node, name, short, state: State::Erased });
    }
}

fn shown(name: &[u8]) -> String {
    crate::escape_bytes(name)
}

/// The parts up to the one in which the name ends: without numbers only the end mark tells where the next name begins.
fn whole_name<'a>(parts: impl Iterator<Item = &'a LongPart>) -> Vec<&'a LongPart> {
    let mut out = Vec::new();
    for part in parts.take(20) {
        out.push(part);
        if part.units.contains(&0) {
            break;
        }
    }
    out
}

/// The letters of parts in reading order, up to the end mark.
fn long_name<'a>(parts: impl Iterator<Item = &'a LongPart>) -> Vec<u8> {
    let units = parts.flat_map(|part| part.units).take_while(|unit| *unit != 0);
    let raw: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    crate::wide::wtf8(&raw)
}
