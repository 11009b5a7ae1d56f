//! What opening an image needs besides its first file: the other files of its folder, and bounds on a chain of images.
//!
//! Names of other files come from evidence. Only their last part is used, whatever folder they claim, and it is said when
//! a folder was named; how many files and how many layers one image may open is bounded.

use super::chunks::Chunks;
use super::tables::Tables;
use super::{Opened, Siblings};
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// Images that build on one another; virtual machines with more snapshots than this are not met.
const MAX_LAYERS: usize = 64;

/// Files one image may consist of; E01 numbers its segments up to 14,971.
pub(super) const MAX_FILES: u32 = 20_000;

/// The folder an image lies in.
pub(super) struct Folder<'a> {
    siblings: &'a dyn Siblings,
    chunks: Arc<Chunks>,
    tables: Arc<Chunks>,
    layers: u32,
    opened: u32,
    chain: Vec<Vec<u8>>,
}

impl<'a> Folder<'a> {
    pub(super) fn new(siblings: &'a dyn Siblings) -> Self {
        Self {
            siblings,
            chunks: Arc::default(),
            tables: Arc::default(),
            layers: 0,
            opened: 0,
            chain: Vec::new(),
        }
    }

    /// The memory for decoded chunks, and a new number to keep them under.
    pub(super) fn chunks(&mut self) -> (Arc<Chunks>, u32) {
        self.layers = self.layers.saturating_add(1);
        (Arc::clone(&self.chunks), self.layers)
    }

    /// A file, for reading its tables; what is kept of all files together is bounded.
    pub(super) fn tables(&mut self, file: &Arc<dyn Source>) -> Tables {
        self.layers = self.layers.saturating_add(1);
        Tables::new(Arc::clone(file), Arc::clone(&self.tables), self.layers)
    }

    /// Opens the file named, by the last part of the name; `None` when it is not to be had, for which `problems` may
    /// say a reason.
    pub(super) fn file(
        &mut self,
        recorded: &[u8],
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<dyn Source>> {
        let name = plain_name(recorded);
        if name.len() != recorded.len() {
            problems.push(Problem::new(
                ProblemKind::Refused,
                Place::Source,
                format!(
                    "the image names the file \"{}\"; only one called so beside the image is used",
                    escape_bytes(recorded)
                ),
            ));
        }
        if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
            return None;
        }
        if self.opened >= MAX_FILES {
            let text = format!("the image consists of more than {MAX_FILES} files");
            problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
            return None;
        }
        self.opened = self.opened.saturating_add(1);
        self.siblings.open(name).unwrap_or_else(|error| {
            let text = format!("opening \"{}\": {error}", escape_bytes(name));
            problems.push(Problem::new(ProblemKind::Io, Place::Source, text));
            None
        })
    }

    /// Opens the image that `name` builds on, by `open`; the chain of images may be neither endless nor too long.
    pub(super) fn deeper(
        &mut self,
        name: &[u8],
        open: impl FnOnce(&mut Self) -> Result<Opened, EvidenceError>,
    ) -> Result<Opened, EvidenceError> {
        let name = plain_name(name);
        if self.chain.iter().any(|above| above == name) {
            let name = escape_bytes(name);
            return Err(EvidenceError::corrupt(format!("the image \"{name}\" builds on itself")));
        }
        if self.chain.len() >= MAX_LAYERS {
            let text = format!("the image builds on more than {MAX_LAYERS} others");
            return Err(EvidenceError::refused(text));
        }
        self.chain.push(name.to_vec());
        let opened = open(self);
        self.chain.pop();
        opened
    }
}

/// The last part of a name, by either separator.
pub(super) fn plain_name(recorded: &[u8]) -> &[u8] {
    recorded.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Never;

    impl Siblings for Never {
        fn open(&self, name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
            assert_eq!(name, b"shadow");
            Ok(None)
        }
    }

    #[test]
    fn a_name_from_evidence_never_leaves_the_folder() {
        let mut folder = Folder::new(&Never);
        let mut problems = Vec::new();
        for name in [&b"/etc/shadow"[..], b"../../etc/shadow", b"C:\\x\\shadow", b"shadow"] {
            assert!(folder.file(name, &mut problems).is_none());
        }
        assert_eq!(problems.len(), 3);
        for name in [&b"/etc/"[..], b"..", b"a/..", b"", b"nul\0"] {
            assert!(folder.file(name, &mut problems).is_none());
        }
    }
}
