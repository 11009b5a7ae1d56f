//! Room for the names of one directory, so that a directory made to be endless does not take all memory.
//!
//! Readers bound a directory by its bytes, which says little: twelve bytes on the disk are enough for a name, a
//! compressed directory takes less, and one block can stand in a directory many times. So what the names take here is
//! counted, and that there were more is told.

use super::Node;
use crate::problem::{Place, Problem, ProblemKind};

/// What the names of one directory may take: two million of the usual length.
const MOST_BYTES: usize = 144 << 20;
/// A name beside its letters: the entry, and what an allocation costs.
const NAME_BYTES: usize = 48;

/// What is left of it.
pub(crate) struct Room {
    left_bytes: usize,
    /// A further cost of each name.
    extra_bytes: usize,
    is_full: bool,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::beside(0)
    }

    /// For names that are kept with `extra_bytes` of something else.
    pub(crate) fn beside(extra_bytes: usize) -> Self {
        Self { left_bytes: MOST_BYTES, extra_bytes, is_full: false }
    }

    /// Whether a name of this length still fits; if so, its place is taken.
    pub(crate) fn takes(&mut self, name_bytes: usize) -> bool {
        let cost = name_bytes.saturating_add(NAME_BYTES).saturating_add(self.extra_bytes);
        if let Some(left) = self.left_bytes.checked_sub(cost).filter(|_| !self.is_full) {
            self.left_bytes = left;
            return true;
        }
        self.is_full = true;
        false
    }

    /// Whether there was a name without room.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// What to tell about the directory `node` when not all of its names fitted.
    pub(crate) fn problem(&self, node: Node) -> Option<Problem> {
        let most = MOST_BYTES >> 20;
        let text = format!(
            "more names than the {most} MiB kept for one directory hold; the rest is not listed, and read by number only"
        );
        self.is_full.then(|| Problem::new(ProblemKind::Refused, Place::Node(node), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told() {
        let mut room = Room::beside(MOST_BYTES / 2 - 100);
        assert!(room.takes(20) && room.takes(20) && room.problem(7).is_none());
        assert!(!room.takes(200) && !room.takes(1));
        let problem = room.problem(7).unwrap();
        assert!(problem.text.starts_with("more names"), "{problem:?}");
        assert_eq!((problem.kind, problem.place), (ProblemKind::Refused, Place::Node(7)));
    }
}
