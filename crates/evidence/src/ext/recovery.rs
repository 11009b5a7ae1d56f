//! What a mount would change in memory before it shows anything: fast commits, then orphans.
//!
//! Orphans are inodes that had lost their last name while a program still used them, or that were being cut short when
//! the machine stopped. The kernel frees or cuts them at the next mount (`fs/ext4/orphan.c`); here they are only marked. It
//! also stamps what it cuts with the time of the mount; that is no evidence and is left out.

use super::blocks::{self, Run, RunState};
use super::fast_commit::NameChange;
use super::{Ext, groups, inode};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::Node;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::{BTreeSet, HashMap};

/// Orphans looked at; a machine has a handful.
const MAX_ORPHANS: usize = 1 << 16;
/// Runs cut off from all of them together.
const MAX_RUNS: usize = 1 << 20;
/// Closes every block of the orphan file.
const ORPHAN_FILE_MAGIC: u32 = 0x0b10_ca04;

/// Changes on top of the blocks as the overlay shows them.
#[derive(Default)]
pub(super) struct Recovered {
    /// Whole inodes.
    pub(super) inodes: HashMap<Node, Box<[u8]>>,
    /// All runs of files whose map changed.
    pub(super) maps: HashMap<Node, Vec<Run>>,
    /// Changed names by directory.
    pub(super) names: HashMap<Node, Vec<NameChange>>,
    /// Inodes without a name that a mount gives back.
    pub(super) freed: BTreeSet<Node>,
    /// Runs that belong to no file any more.
    pub(super) released: Vec<Run>,
    /// Runs gone through so far.
    pub(super) handled_runs: usize,
}

/// Changes a field of an inode.
pub(super) fn set(ext: &mut Ext, node: Node, at: usize, value: &[u8]) -> Result<(), EvidenceError> {
    let mut raw = inode::raw(ext, node)?;
    if let Some(to) = raw.get_mut(at..at.saturating_add(value.len())) {
        to.copy_from_slice(value);
    }
    ext.recovered.inodes.insert(node, raw.into());
    Ok(())
}

/// Marks what the kernel would free or cut; it leaves all of them alone on a file system with errors.
pub(super) fn finish_orphans(ext: &mut Ext) {
    if ext.superblock.has_errors {
        return;
    }
    let (orphans, mut problems) = list(ext);
    ext.problems.append(&mut problems);
    for node in orphans {
        if let Err(error) = finish(ext, node) {
            let mut problem = error.to_problem(Place::Node(node));
            problem.text.push_str("; an orphan was left as it is");
            ext.problems.push(problem);
        }
    }
}

fn finish(ext: &mut Ext, node: Node) -> Result<(), EvidenceError> {
    if !groups::is_allocated(ext, node)? {
        return Ok(());
    }
    let inode = ext.inode(node)?;
    if inode.links == 0 {
        ext.recovered.freed.insert(node);
        return Ok(());
    }
    if !inode.has_blocks() || ext.recovered.released.len() > MAX_RUNS {
        return Ok(());
    }
    let end = inode.size_bytes.div_ceil(ext.superblock.block_bytes.max(1));
    let (all, kept) = (
        blocks::allocation(ext, &inode, 0..blocks::END)?,
        blocks::allocation(ext, &inode, 0..end)?,
    );
    let beyond: Vec<Run> =
        all.runs.iter().filter_map(|run| run.within(&(end..blocks::END))).collect();
    if beyond.is_empty() {
        return Ok(());
    }
    // Blocks of the tree that lead to nothing any more go with what they led to.
    let needed: BTreeSet<u64> = kept.tree_blocks.into_iter().collect();
    let idle = all.tree_blocks.into_iter().filter(|block| !needed.contains(block));
    ext.recovered.released.extend(idle.map(|physical| Run {
        logical: 0,
        length: 1,
        physical,
        state: RunState::Written,
    }));
    ext.recovered.maps.insert(node, kept.runs);
    ext.recovered.released.extend(beyond);
    Ok(())
}

/// The orphans both lists name, without those named twice.
pub(super) fn list(ext: &Ext) -> (Vec<Node>, Vec<Problem>) {
    let (mut out, mut seen, mut problems) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut next = ext.superblock.first_orphan;
    while next != 0 && seen.insert(u64::from(next)) && out.len() < MAX_ORPHANS {
        let node = u64::from(next);
        match ext.inode(node) {
            // The list goes on in the field that later holds the time of deletion.
            Ok(inode) => next = inode.deletion_seconds,
            Err(error) => {
                problems.push(error.to_problem(Place::Node(node)));
                break;
            }
        }
        out.push(node);
    }
    if let Some(file) = ext.superblock.orphan_file
        && let Err(error) = orphan_file(ext, u64::from(file), &mut |node| {
            if out.len() < MAX_ORPHANS && seen.insert(node) {
                out.push(node);
            }
        })
    {
        problems.push(error.to_problem(Place::Node(u64::from(file))));
    }
    if out.len() >= MAX_ORPHANS {
        let text = format!("more than {MAX_ORPHANS} orphans; the rest was left as it is");
        problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    (out, problems)
}

/// Every block of the orphan file is a table of inode numbers closed by a magic number and a checksum.
fn orphan_file(ext: &Ext, file: Node, visit: &mut dyn FnMut(Node)) -> Result<(), EvidenceError> {
    let inode = ext.inode(file)?;
    let block_bytes = ext.superblock.block_bytes.max(1);
    let blocks = inode.size_bytes.div_ceil(block_bytes).min(to_u64(MAX_ORPHANS));
    for run in blocks::runs(ext, &inode, 0..blocks)? {
        for index in 0..run.length {
            let raw = ext.block(run.physical.saturating_add(index))?;
            let table = to_usize(block_bytes).saturating_sub(8);
            let magic = Fields(&raw).le32(table);
            if magic != ORPHAN_FILE_MAGIC {
                return Err(EvidenceError::corrupt(format!(
                    "a block of the orphan file ends in {magic:08x}, expected {ORPHAN_FILE_MAGIC:08x}"
                )));
            }
            for entry in raw.get(..table).unwrap_or(&[]).as_chunks::<4>().0 {
                let node = u64::from(u32::from_le_bytes(*entry));
                if node != 0 {
                    visit(node);
                }
            }
        }
    }
    Ok(())
}
