//! Content that only a tree names which is not shown.
//!
//! Names differ between trees by their rules, so files are told by where their content lies. Empty files have none.

use super::Iso;
use super::record::{Record, shown_name};
use super::volume::Tree;
use crate::fs::RawPath;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::{BTreeMap, BTreeSet};

/// Records compared in each tree.
const MAX_RECORDS: usize = 1 << 18;
/// Deepest directory compared.
const MAX_DEPTH: usize = 64;
/// Hidden files told by name.
const MAX_TOLD: usize = 32;

/// Files by first block and length: path and node.
type Files = BTreeMap<(u64, u64), (RawPath, u64)>;

/// Problems that name what the other trees have beyond the one shown.
pub(super) fn hidden(iso: &Iso) -> Vec<Problem> {
    let volumes = &iso.volumes;
    let others = [&volumes.primary, &volumes.joliet, &volumes.enhanced];
    let others: Vec<&Tree> =
        others.into_iter().flatten().filter(|tree| tree.root.node != iso.tree.root.node).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let shown = files(iso, &iso.tree, &mut problems);
    for tree in others {
        let only_there: Vec<_> = files(iso, tree, &mut problems)
            .into_iter()
            .filter(|(place, _)| !shown.contains_key(place))
            .collect();
        for ((block, size_bytes), (path, node)) in only_there.iter().take(MAX_TOLD) {
            let text = format!(
                "{path} of {size_bytes} bytes at block {block} is named by the {} tree only",
                tree.name
            );
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(*node), text));
        }
        let untold = only_there.len().saturating_sub(MAX_TOLD);
        if untold > 0 {
            let text = format!("{untold} more files are named by the {} tree only", tree.name);
            problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
    }
    problems
}

fn files(iso: &Iso, tree: &Tree, problems: &mut Vec<Problem>) -> Files {
    let mut out = Files::new();
    let mut entered = BTreeSet::from([tree.root.block]);
    let mut pending: Vec<(Record, RawPath, usize)> =
        vec![(tree.root.clone(), RawPath::from("/"), 0)];
    let mut seen = 0_usize;
    while let Some((directory, path, depth)) = pending.pop() {
        for record in iso.records(&directory).0 {
            seen = seen.saturating_add(1);
            if seen > MAX_RECORDS {
                let text = format!("only {MAX_RECORDS} files of each tree were compared");
                problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
                return out;
            }
            let path = path.join(&shown_name(&record.name, tree.letters));
            if record.is_directory() {
                if depth < MAX_DEPTH && entered.insert(record.block) {
                    pending.push((record, path, depth.saturating_add(1)));
                }
            } else if record.size_bytes > 0 {
                out.insert((record.block, record.size_bytes), (path, record.node));
            }
        }
    }
    out
}
