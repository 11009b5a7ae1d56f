//! Directories: the index `$I30` of names, a small part in the record and blocks outside.
//!
//! Every block its bitmap counts as used is read, in the order of the disk: the tree that joins them may be damaged, and
//! order is not needed to list names.

use super::Ntfs;
use super::name::{FileName, Space};
use super::object::Object;
use super::record::{kind, unfix};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::fs::{Entry, Listing, Node, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::BTreeSet;

/// Largest index read: about two million names.
const MAX_INDEX_BYTES: u64 = 256 << 20;
/// Read at once.
const PIECE_BYTES: u64 = 128 * 1024;
/// Problems of one directory that are recorded.
const MAX_PROBLEMS: usize = 64;
/// The name of the index of names.
pub(super) const NAMES: &[u8] = b"$I30";

/// The names of a directory.
pub(super) fn read(ntfs: &Ntfs, object: &Object) -> Result<Listing, EvidenceError> {
    let mut found = Found {
        node: object.node(),
        listing: Listing::default(),
        dos: Vec::new(),
        room: Room::new(),
    };
    for damage in &object.damage {
        found.problem(ProblemKind::Corrupt, damage.clone());
    }
    let number = object.base.number;
    let root = object
        .value(ntfs, kind::INDEX_ROOT, NAMES, 65_536)?
        .ok_or_else(|| EvidenceError::corrupt(format!("directory {number} has no index")))?;
    let block_bytes = u64::from(Fields(&root).le32(8));
    found.entries(&root, 16);
    match object.content(ntfs, kind::INDEX_ALLOCATION, NAMES) {
        Ok(None) => {}
        Ok(Some(blocks)) => {
            let used = object.value(ntfs, kind::BITMAP, NAMES, MAX_INDEX_BYTES / 4096);
            let used = used.unwrap_or_else(|error| {
                found.problem(error.kind(), error.to_string());
                None
            });
            if !block_bytes.is_power_of_two() || !(512..=65_536).contains(&block_bytes) {
                let what = format!("directory {number} has index blocks of {block_bytes} bytes");
                return Err(EvidenceError::corrupt(what));
            }
            found.blocks(ntfs, &blocks, block_bytes, used.as_deref());
        }
        Err(error) => found.problem(error.kind(), error.to_string()),
    }
    Ok(found.finish())
}

struct Found {
    node: Node,
    listing: Listing,
    /// DOS names, which are left out where the same file has a proper one.
    dos: Vec<Entry>,
    room: Room,
}

impl Found {
    fn problem(&mut self, kind: ProblemKind, text: String) {
        if self.listing.problems.len() < MAX_PROBLEMS {
            self.listing.problems.push(Problem::new(kind, Place::Node(self.node), text));
        }
    }

    fn blocks(
        &mut self,
        ntfs: &Ntfs,
        blocks: &super::content::Content,
        block_bytes: u64,
        used: Option<&[u8]>,
    ) {
        let size = blocks.size_bytes.min(MAX_INDEX_BYTES);
        if size < blocks.size_bytes {
            let text = format!("index of {} bytes; the first {size} were read", blocks.size_bytes);
            self.problem(ProblemKind::Refused, text);
        }
        let piece_bytes = PIECE_BYTES.max(block_bytes).min(size);
        let mut buf = vec![0; to_usize(piece_bytes)];
        let mut at = 0_u64;
        while at < size {
            let got = match blocks.read(&ntfs.metadata, at, &mut buf) {
                Ok(got) => got,
                Err(error) => {
                    self.problem(error.kind(), format!("index at byte {at}: {error}"));
                    0
                }
            };
            for (index, block) in buf
                .get_mut(..got)
                .unwrap_or(&mut [])
                .chunks_exact_mut(to_usize(block_bytes))
                .enumerate()
            {
                let first = at.checked_div(block_bytes).unwrap_or(0);
                let number = first.saturating_add(to_u64(index));
                if used.is_none_or(|used| bit(used, number)) {
                    self.block(block, number);
                }
            }
            at = at.saturating_add(piece_bytes.max(512));
        }
    }

    fn block(&mut self, block: &mut [u8], number: u64) {
        if !block.starts_with(b"INDX") {
            let start = crate::escape_bytes(block.get(..4).unwrap_or(&[]));
            let text = format!("index block {number} begins with {start}, not INDX");
            return self.problem(ProblemKind::Corrupt, text);
        }
        match unfix(block) {
            Ok(0) => {}
            // What is there is still shown: each name is checked against its record later.
            Ok(torn) => self.problem(
                ProblemKind::Corrupt,
                format!(
                    "index block {number} is torn: {torn} of its sectors are of another writing"
                ),
            ),
            Err(what) => {
                return self.problem(ProblemKind::Corrupt, format!("index block {number}: {what}"));
            }
        }
        self.entries(block, 0x18);
    }

    /// The entries of a node whose header stands at `header`.
    fn entries(&mut self, raw: &[u8], header: usize) {
        let fields = Fields(raw);
        let offset = |at: usize| to_usize(u64::from(fields.le32(header.saturating_add(at))));
        let mut at = header.saturating_add(offset(0));
        let end = header.saturating_add(offset(4)).min(raw.len());
        while at < end {
            let entry = Fields(fields.slice(at, usize::from(fields.le16(at.saturating_add(8)))));
            let is_last = entry.le16(12) & 2 != 0;
            if entry.0.len() < 16 || at.saturating_add(entry.0.len()) > end {
                let text = format!("index entry at {at} of {end} bytes is malformed");
                return self.problem(ProblemKind::Corrupt, text);
            }
            if is_last {
                return;
            }
            self.entry(entry);
            at = at.saturating_add(entry.0.len());
        }
    }

    fn entry(&mut self, entry: Fields<'_>) {
        let name = FileName::parse(entry.slice(16, usize::from(entry.le16(10))));
        let Some(name) = name else {
            return self.problem(ProblemKind::Corrupt, "index entry without a name".to_owned());
        };
        if name.is_self() {
            return;
        }
        if !name.is_usable() {
            let shown = crate::escape_bytes(&name.name);
            let text = format!("index entry with the impossible name {shown}");
            return self.problem(ProblemKind::Corrupt, text);
        }
        if !self.room.takes(name.name.len()) {
            return;
        }
        let space = name.space;
        let entry = Entry { name: RawPath(name.name), node: entry.le64(0) };
        if space == Space::Dos {
            self.dos.push(entry);
        } else {
            self.listing.entries.push(entry);
        }
    }

    /// A file with nothing but a DOS name must not be lost, and no other shown twice.
    fn finish(mut self) -> Listing {
        if !self.dos.is_empty() {
            let named: BTreeSet<Node> = self.listing.entries.iter().map(|e| e.node).collect();
            self.dos.retain(|entry| !named.contains(&entry.node));
            self.listing.entries.append(&mut self.dos);
        }
        self.listing.problems.extend(self.room.problem(self.node));
        self.listing
    }
}

/// Bit `number` of a bitmap; what lies beyond it is free.
pub(super) fn bit(bitmap: &[u8], number: u64) -> bool {
    bitmap.get(to_usize(number / 8)).is_some_and(|byte| byte >> (number % 8) & 1 != 0)
}
