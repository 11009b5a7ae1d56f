//! The log tree: changes that fsync made durable and no transaction has taken over yet.

use super::Btrfs;
use crate::fs::View;
use crate::problem::{Place, Problem, ProblemKind};

/// Lays the log over the trees, where there is one and the view wants it.
pub(super) fn apply(fs: &mut Btrfs, view: View, problems: &mut Vec<Problem>) {
    if fs.store.superblock.log_root.is_some() && view == View::Recovered {
        let text = "the log tree is not applied";
        problems.push(Problem::new(ProblemKind::Unsupported, Place::Source, text));
    }
}
