//! From a heap of devices to a file system: superblocks, chunks, the tree of roots.

use super::Btrfs;
use super::chunk::Chunk;
use super::key::{Key, kind, object};
use super::log;
use super::pool::{Device, Pool};
use super::subvolume::{Roots, Volumes};
use super::superblock::{Superblock, feature};
use super::tree::{Store, Tree};
use crate::bytes::{Fields, uuid_text};
use crate::error::EvidenceError;
use crate::fs::View;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

/// Most chunks: 256 TiB of the usual 1 GiB.
const MAX_CHUNKS: usize = 1 << 18;
/// Most devices.
const MAX_DEVICES: usize = 1024;

impl Btrfs {
    /// Opens the file system whose devices are `devices`, in any order; some may be missing.
    ///
    /// # Errors
    /// When no device has a Btrfs superblock, a feature is not supported, or the first trees cannot be read.
    pub fn open(devices: Vec<Arc<dyn Source>>, view: View) -> Result<Self, EvidenceError> {
        let (superblock, pool, mut problems) = gather(devices)?;
        let unknown = superblock.incompat & !feature::KNOWN;
        if unknown != 0 {
            let error =
                EvidenceError::unsupported(format!("Btrfs incompatible features {unknown:x}"));
            problems.push(error.to_problem(Place::Source));
        }
        let mut store = Store::new(superblock, pool);
        chunks(&mut store, &mut problems)?;
        missing(&store, &mut problems);
        let root_tree = Tree::new(store.superblock.root);
        let mut roots = Roots::read(&store, &root_tree);
        if roots.lacks_top() {
            roots = older(&mut store, roots, &mut problems);
        }
        problems.append(&mut roots.problems);
        if roots.lacks_top() {
            let error = problems.into_iter().next().map_or_else(
                || EvidenceError::corrupt("the tree of roots names no top-level subvolume"),
                |problem| EvidenceError::corrupt(problem.text),
            );
            return Err(error);
        }
        let tree = |id| roots.others.get(&id).copied().map(Tree::new);
        let (checksums, extents) = (tree(object::CHECKSUM_TREE), tree(object::EXTENT_TREE));
        let block_groups = if store.superblock.compat_ro & feature::BLOCK_GROUP_TREE == 0 {
            extents.clone()
        } else {
            tree(object::BLOCK_GROUP_TREE)
        };
        let mut fs = Self {
            view,
            store,
            checksums,
            extents,
            block_groups,
            volumes: roots.volumes,
            logged_sums: BTreeMap::new(),
            logged_extents: Vec::new(),
            unpacked: Mutex::new(VecDeque::new()),
            problems: Vec::new(),
        };
        log::apply(&mut fs, view, &mut problems);
        problems.append(&mut fs.store.take_notes());
        fs.problems = problems;
        Ok(fs)
    }

    pub(super) fn volumes(&self) -> &Volumes {
        &self.volumes
    }
}

/// The trees of an earlier transaction, from the backup roots of the superblock; those given when there are none.
///
/// It is what `mount -o rescue=usebackuproot` takes. The log belongs to the newest transaction and is left out.
fn older(store: &mut Store, newest: Roots, problems: &mut Vec<Problem>) -> Roots {
    let own = store.superblock.generation;
    for root in store.superblock.backups.clone() {
        if root == store.superblock.root || root.generation.is_none_or(|it| it >= own) {
            continue;
        }
        let mut roots = Roots::read(store, &Tree::new(root));
        if roots.lacks_top() {
            continue;
        }
        let why = newest.problems.first().map_or("it names no files", |problem| &*problem.text);
        let text = format!(
            "the tree of roots of generation {own} cannot be used ({why}); the backup root of generation {} is, \
             so later changes are not shown",
            root.generation.unwrap_or(0)
        );
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        store.superblock.root = root;
        store.superblock.log_root = None;
        let mut all = newest.problems;
        all.append(&mut roots.problems);
        roots.problems = all;
        return roots;
    }
    newest
}

/// Reads every superblock and decides which devices belong together.
fn gather(
    devices: Vec<Arc<dyn Source>>,
) -> Result<(Superblock, Pool, Vec<Problem>), EvidenceError> {
    let mut problems = Vec::new();
    let mut found: Vec<(Superblock, Arc<dyn Source>)> = Vec::new();
    let mut trouble = None;
    for (number, source) in devices.into_iter().enumerate().take(MAX_DEVICES) {
        match Superblock::read(&*source) {
            Ok((superblock, mut wrong)) => {
                problems.append(&mut wrong);
                found.push((superblock, source));
            }
            Err(error) => {
                if number > 0 {
                    problems.push(error.to_problem(Place::Source));
                }
                trouble.get_or_insert(error);
            }
        }
    }
    // The first device given decides which file system is meant, the newest superblock of it what it looks like.
    let Some((first, _)) = found.first() else {
        return Err(trouble.unwrap_or_else(|| EvidenceError::corrupt("no device was given")));
    };
    let fsid = first.fsid;
    let mut say = |text: String| {
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
    };
    let newest = found
        .iter()
        .map(|(superblock, _)| superblock)
        .filter(|superblock| superblock.fsid == fsid)
        .max_by_key(|superblock| superblock.generation)
        .cloned()
        .unwrap_or_else(|| first.clone());
    let mut pool = Pool { devices: Vec::new(), chunks: Vec::new() };
    for (superblock, source) in found {
        let id = superblock.device_id;
        if superblock.fsid != fsid {
            let other = superblock.uuid().unwrap_or_default();
            say(format!("a device of another file system ({other}) is left out"));
            continue;
        }
        if pool.device(id).is_some() {
            say(format!("device {id} was given twice; the second is left out"));
            continue;
        }
        let is_stale = superblock.generation < newest.generation;
        if is_stale {
            let (own, all) = (superblock.generation, newest.generation);
            say(format!("device {id} is stale: its generation is {own}, the newest {all}"));
        }
        let length = superblock.device_bytes.min(source.size_bytes());
        if length < superblock.device_bytes {
            let wanted = superblock.device_bytes;
            say(format!("device {id} has {length} bytes of {wanted}"));
        }
        pool.devices.push(Device { id, source, is_stale, length });
    }
    Ok((newest, pool, problems))
}

/// The chunks in the superblock lead to the tree with all of them.
fn chunks(store: &mut Store, problems: &mut Vec<Problem>) -> Result<(), EvidenceError> {
    let raw = store.superblock.system_chunks.clone();
    let mut at = 0_usize;
    while at.saturating_add(Key::BYTES) < raw.len() {
        let key = Key::read(Fields(&raw), at);
        at = at.saturating_add(Key::BYTES);
        let item = raw.get(at..).unwrap_or(&[]);
        if key.kind != kind::CHUNK {
            let what = format!("key {key} among the system chunks");
            return Err(EvidenceError::corrupt(what));
        }
        store.pool.add(Chunk::parse(key.offset, item)?)?;
        at = at.saturating_add(Chunk::item_bytes(Fields(item).le16(44)));
    }
    let tree = Tree::new(store.superblock.chunk_root);
    let mut found = Vec::new();
    let mut most = MAX_CHUNKS;
    let from = Key::new(object::FIRST_FREE, kind::CHUNK, 0);
    let to = Key::new(object::FIRST_FREE, kind::CHUNK, u64::MAX);
    let trouble = store.range(&tree, from, to, &mut |key, item| {
        found.push(Chunk::parse(key.offset, item));
        most = most.saturating_sub(1);
        if most == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if found.is_empty()
        && let Some(error) = trouble.into_iter().next()
    {
        return Err(error);
    }
    if most == 0 {
        let text = format!("more than {MAX_CHUNKS} chunks; the rest was not read");
        problems.push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    for chunk in found {
        if let Err(error) = chunk.and_then(|chunk| store.pool.add(chunk)) {
            problems.push(error.to_problem(Place::Source));
        }
    }
    Ok(())
}

/// Names the devices the chunk tree lists and nobody gave.
fn missing(store: &Store, problems: &mut Vec<Problem>) {
    let tree = Tree::new(store.superblock.chunk_root);
    let from = Key::new(1, kind::DEVICE, 0);
    let to = Key::new(1, kind::DEVICE, u64::MAX);
    let trouble = store.range(&tree, from, to, &mut |key, item| {
        if store.pool.device(key.offset).is_none() && problems.len() < MAX_DEVICES {
            let uuid = uuid_text(Fields(item).slice(66, 16)).unwrap_or_default();
            let bytes = Fields(item).le64(8);
            let text = format!("device {} ({uuid}, {bytes} bytes) is missing", key.offset);
            problems.push(Problem::new(ProblemKind::Io, Place::Source, text));
        }
        ControlFlow::Continue(())
    });
    problems.extend(trouble.iter().map(|error| error.to_problem(Place::Source)));
}
