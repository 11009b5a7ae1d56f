//! Directories: the entries one after the other, put together to sets.

use super::set::{FILE, FileSet, IN_USE, entries_of, units};
use super::upcase::{self, UpCase};
use crate::bytes::Fields;
use crate::fat::{ENTRY_BYTES, Harm, harmless};
use crate::fs::Node;
use crate::fs::room::Room;
use crate::problem::{Place, Problem, ProblemKind};

/// Problems kept for one directory.
const MAX_PROBLEMS: usize = 64;
/// The bit of the type byte of entries that follow another.
const SECONDARY: u8 = 0x40;

/// Whether a set still names something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    GivenUp,
    /// Not given up, but behind the entry that ends the directory.
    BehindEnd,
}

/// A file or directory met in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) node: Node,
    pub(super) name: Vec<u8>,
    pub(super) set: FileSet,
    pub(super) state: State,
}

/// What the root directory tells about the volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Specials {
    /// UTF-16LE.
    pub(super) label: Option<Vec<u8>>,
    /// First cluster and length of the allocation bitmaps, by number.
    pub(super) bitmaps: [Option<(u32, u64)>; 2],
    pub(super) upcase: Option<upcase::Stored>,
    pub(super) guid: Option<[u8; 16]>,
}

/// A set being put together.
struct Open {
    node: Node,
    raw: Vec<u8>,
    wanted_bytes: usize,
}

/// Takes entry after entry.
pub(super) struct Scanner<'a> {
    upcase: Option<&'a UpCase>,
    open: Option<Open>,
    has_ended: bool,
    behind_end: u64,
    unlisted_problems: u64,
    room: Room,
    pub(super) specials: Specials,
    pub(super) records: Vec<Record>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(upcase: Option<&'a UpCase>) -> Self {
        Self {
            upcase,
            open: None,
            has_ended: false,
            behind_end: 0,
            unlisted_problems: 0,
            // The name again as stored, and the set.
            room: Room::beside(size_of::<Record>().saturating_add(64)),
            specials: Specials::default(),
            records: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Takes the entry that stands at `node`.
    pub(super) fn push(&mut self, node: Node, raw: &[u8]) {
        let entry = Fields(raw);
        let kind = entry.u8(0);
        if let Some(open) = &mut self.open
            && kind & SECONDARY != 0
            && open.raw.first().is_some_and(|first| (first ^ kind) & IN_USE == 0)
        {
            open.raw.extend_from_slice(raw);
            if open.raw.len() >= open.wanted_bytes {
                self.close();
            }
            return;
        }
        self.close();
        match kind {
            0 => self.has_ended = true,
            _ if kind & !IN_USE == FILE => {
                let wanted_bytes = entries_of(raw).saturating_mul(ENTRY_BYTES);
                self.open = Some(Open { node, raw: raw.to_vec(), wanted_bytes });
                // A file entry that nothing follows is told as not whole.
                if wanted_bytes <= ENTRY_BYTES {
                    self.close();
                }
            }
            _ if self.has_ended => {}
            0x81 => {
                let number = usize::from(entry.u8(1) & 1);
                if let Some(bitmap) = self.specials.bitmaps.get_mut(number) {
                    *bitmap = Some((entry.le32(20), entry.le64(24)));
                }
            }
            0x82 => self.specials.upcase = Some(upcase::Stored::parse(entry)),
            0x83 => {
                let letters = usize::from(entry.u8(1)).min(11);
                self.specials.label = Some(entry.slice(2, letters.saturating_mul(2)).to_vec());
            }
            0xa0 => self.specials.guid = Some(entry.array(6)),
            // Bit 5 marks entries a reader may pass over (section 6.2.1.2).
            _ if kind & IN_USE != 0 && kind & 0x20 == 0 => {
                self.problem(node, format!("an entry of the type {kind:#04x} belongs to no set"));
            }
            _ => {}
        }
    }

    /// Tells what remains when the directory is over.
    pub(super) fn finish(&mut self, directory: Node) {
        self.close();
        if self.behind_end > 0 {
            let text = format!("{} sets stand behind the end of the directory", self.behind_end);
            self.problem(directory, text);
        }
        self.problems.extend(self.room.problem(directory));
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

    /// Reads the set put together so far.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let node = open.node;
        let is_live = open.raw.first().is_some_and(|kind| kind & IN_USE != 0);
        let Some(set) = FileSet::parse(&open.raw) else {
            if is_live && !self.has_ended {
                self.problem(node, "a file entry is not followed by a stream entry".to_owned());
            }
            return;
        };
        let state = match (is_live, self.has_ended) {
            (true, false) => State::Live,
            (true, true) => State::BehindEnd,
            (false, _) => State::GivenUp,
        };
        // What is no set any more but looks like the start of one, in space that was given up, is rubbish.
        if state != State::Live && !set.is_whole() && set.name.is_empty() {
            return;
        }
        let (name, harm) = harmless(crate::wide::wtf8(&set.name));
        if state == State::BehindEnd {
            self.behind_end = self.behind_end.saturating_add(1);
        }
        if state == State::Live {
            self.judge(node, &name, &set, harm);
        }
        if !self.room.takes(name.len().saturating_add(set.name.len())) {
            return;
        }
        self.records.push(Record { node, name, set, state });
    }

    fn judge(&mut self, node: Node, name: &[u8], set: &FileSet, harm: Harm) {
        let shown = crate::escape_bytes(name);
        let (recorded, expected) = set.checksums;
        if recorded != expected {
            let text = format!(
                "the checksum of the set of {shown:?} is {recorded:04x}, expected {expected:04x}"
            );
            self.problem(node, text);
        } else if !set.is_whole() {
            let (claimed, there) = (set.name_letters, set.name.len() / 2);
            self.problem(node, format!("the name {shown:?} has {there} of {claimed} letters"));
        }
        if harm == Harm::Replaced {
            self.problem(node, format!("a name that would change its path is shown as {shown:?}"));
        }
        if let Some(upcase) = self.upcase {
            let expected = upcase.hash(units(&set.name));
            if set.name_hash != expected {
                let text = format!(
                    "the hash of the name {shown:?} is {:04x}, expected {expected:04x}: other systems do not find it",
                    set.name_hash
                );
                self.problem(node, text);
            }
        }
    }
}
