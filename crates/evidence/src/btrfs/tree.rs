//! Trees: finding an item, and visiting a range of them.
//!
//! Every step down checks what the parent promises (level, generation, first key, bound of the last key), so that no block
//! can be met twice in one pass: a hostile tree costs at most as many reads as the devices have blocks.

use super::block::{Block, MAX_LEVEL};
use super::key::Key;
use super::pool::Pool;
use super::superblock::{Root, Superblock};
use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of tree blocks kept in memory.
const CACHE_BYTES: usize = 48 << 20;
/// Shards keep threads that walk side by side from waiting for each other.
const SHARDS: usize = 16;
/// Problems kept that nobody has asked for yet.
const MAX_NOTES: usize = 256;

/// Changes of items that stand in the log tree and not yet in the tree: the new item, or `None` where it goes away.
pub(super) type Overlay = BTreeMap<Key, Option<Vec<u8>>>;

/// A tree as a reader sees it.
#[derive(Clone)]
pub(super) struct Tree {
    pub(super) root: Root,
    pub(super) overlay: Option<Arc<Overlay>>,
}

/// What to call back for each item.
pub(super) type Visit<'a> = dyn FnMut(Key, &[u8]) -> ControlFlow<()> + 'a;

/// Tree blocks, read through the pool and kept.
pub(super) struct Store {
    pub(super) superblock: Superblock,
    pub(super) pool: Pool,
    shards: Vec<Mutex<HashMap<u64, Arc<Block>>>>,
    /// Mirrors found wrong while reading, which no caller is told otherwise.
    notes: Mutex<Vec<Problem>>,
}

/// What the parent says about a block.
struct Promise {
    level: u8,
    generation: Option<u64>,
    first: Option<Key>,
    /// Every key is below this one.
    bound: Option<Key>,
}

impl Tree {
    pub(super) fn new(root: Root) -> Self {
        Self { root, overlay: None }
    }
}

impl Store {
    pub(super) fn new(superblock: Superblock, pool: Pool) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { superblock, pool, shards, notes: Mutex::default() }
    }

    /// Records that one copy was wrong while another was right.
    pub(super) fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MAX_NOTES {
            notes.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
    }

    /// What was noted since the last call.
    pub(super) fn take_notes(&self) -> Vec<Problem> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn block(&self, address: u64, promise: &Promise) -> Result<Arc<Block>, EvidenceError> {
        let node_bytes = u64::from(self.superblock.node_bytes);
        let number = address.checked_div(node_bytes).unwrap_or(0);
        let index = to_usize(number.checked_rem(16).unwrap_or(0));
        let shard = self.shards.get(index);
        let lock = |shard: &'_ Mutex<HashMap<u64, Arc<Block>>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
        };
        if let Some(block) = shard.and_then(lock)
            && promise.kept_by(&block).is_ok()
        {
            return Ok(block);
        }
        let block = Arc::new(self.read_block(address, promise)?);
        if let Some(shard) = shard {
            let most = CACHE_BYTES.checked_div(SHARDS).unwrap_or(0);
            let most = most.checked_div(to_usize(node_bytes)).unwrap_or(1);
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if shard.len() >= most {
                // Leaves are used once in a walk, nodes again and again: forget those first.
                shard.retain(|_, block| block.level > 0);
                if shard.len() >= most / 2 {
                    shard.clear();
                }
            }
            shard.insert(address, Arc::clone(&block));
        }
        Ok(block)
    }

    /// The first copy that is what it should be.
    fn read_block(&self, address: u64, promise: &Promise) -> Result<Block, EvidenceError> {
        self.pool.chunk(address)?;
        let mut trouble: Option<EvidenceError> = None;
        for way in 0..self.pool.ways(address) {
            let mut raw = vec![0; to_usize(u64::from(self.superblock.node_bytes))];
            let checked = self.pool.read(address, &mut raw, way).and_then(|()| {
                let block = Block::parse(raw, address, &self.superblock);
                block
                    .and_then(|block| promise.kept_by(&block).map(|()| block))
                    .map_err(|what| EvidenceError::corrupt(format!("tree block {address} {what}")))
            });
            match checked {
                Ok(block) => {
                    if let Some(EvidenceError::Corrupt { what }) = trouble {
                        self.note(format!("{what}; copy {way} was used instead"));
                    }
                    return Ok(block);
                }
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        Err(trouble.unwrap_or_else(|| EvidenceError::corrupt(format!("tree block {address}"))))
    }

    fn root(&self, tree: &Tree) -> Result<Arc<Block>, EvidenceError> {
        let Root { address, level, generation } = tree.root;
        self.block(address, &Promise { level, generation, first: None, bound: None })
    }

    /// The block below entry `index` of `block`, whose own keys are all below `bound`.
    fn child(
        &self,
        block: &Block,
        index: usize,
        bound: Option<Key>,
    ) -> Result<Arc<Block>, EvidenceError> {
        let (address, generation) = block.pointer(index);
        let next = index.saturating_add(1);
        let bound = if next < block.count { Some(block.key(next)) } else { bound };
        let promise = Promise {
            level: block.level.saturating_sub(1),
            generation: Some(generation),
            first: Some(block.key(index)),
            bound,
        };
        self.block(address, &promise)
    }

    /// The last item whose key is not above `key`.
    pub(super) fn floor(
        &self,
        tree: &Tree,
        key: Key,
    ) -> Result<Option<(Key, Vec<u8>)>, EvidenceError> {
        let Some(overlay) = &tree.overlay else { return self.floor_below(tree, key) };
        let above =
            overlay.range(..=key).rev().find_map(|(key, item)| Some((*key, item.as_ref()?)));
        let mut below = self.floor_below(tree, key)?;
        while let Some((found, _)) = &below {
            if above.is_some_and(|(key, _)| key >= *found) {
                break;
            }
            if !overlay.contains_key(found) {
                return Ok(below);
            }
            // It went away: look further down, once for each change of the log at most.
            below = match found.before() {
                Some(before) => self.floor_below(tree, before)?,
                None => None,
            };
        }
        Ok(above.map(|(key, item)| (key, item.clone())))
    }

    fn floor_below(&self, tree: &Tree, key: Key) -> Result<Option<(Key, Vec<u8>)>, EvidenceError> {
        let mut block = self.root(tree)?;
        let mut bound = None;
        for _ in 0..=MAX_LEVEL {
            let Some(index) = block.floor(key) else { return Ok(None) };
            if block.level == 0 {
                return Ok(Some((block.key(index), block.item(index).to_vec())));
            }
            let next = index.saturating_add(1);
            let below = self.child(&block, index, bound)?;
            if next < block.count {
                bound = Some(block.key(next));
            }
            block = below;
        }
        Ok(None)
    }

    /// The item with this very key.
    pub(super) fn get(&self, tree: &Tree, key: Key) -> Result<Option<Vec<u8>>, EvidenceError> {
        if let Some(change) = tree.overlay.as_ref().and_then(|overlay| overlay.get(&key)) {
            return Ok(change.clone());
        }
        let found = self.floor_below(tree, key)?;
        Ok(found.filter(|(found, _)| *found == key).map(|(_, item)| item))
    }

    /// Visits the items from `from` to `to`, both included, in order. Blocks that cannot be read are left out and named.
    pub(super) fn range(
        &self,
        tree: &Tree,
        from: Key,
        to: Key,
        visit: &mut Visit<'_>,
    ) -> Vec<EvidenceError> {
        let mut pass = Pass { store: self, from, to, is_past: false, trouble: Vec::new() };
        if from > to {
            return Vec::new();
        }
        let root = match self.root(tree) {
            Ok(root) => root,
            Err(error) => return vec![error],
        };
        let Some(overlay) = &tree.overlay else {
            let _ = pass.down(&root, None, visit);
            return pass.trouble;
        };
        // Items of the log come between those of the tree, or in their place.
        let mut changes = overlay.range(from..=to).peekable();
        let flow = pass.down(&root, None, &mut |key, item| {
            while let Some((changed, change)) = changes.next_if(|(changed, _)| **changed < key) {
                if let Some(change) = change {
                    visit(*changed, change)?;
                }
            }
            match changes.next_if(|(changed, _)| **changed == key) {
                Some((_, Some(change))) => visit(key, change),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, item),
            }
        });
        if flow.is_continue() || pass.is_past {
            let rest = changes.filter_map(|(key, change)| Some((*key, change.as_ref()?)));
            let _ = { rest }.try_for_each(|(key, change)| visit(key, change));
        }
        pass.trouble
    }
}

/// One visit of a range.
struct Pass<'a> {
    store: &'a Store,
    from: Key,
    to: Key,
    /// Whether the visit ended because the range did.
    is_past: bool,
    trouble: Vec<EvidenceError>,
}

impl Pass<'_> {
    /// Blocks that could not be read before a visit gives up.
    const MAX_TROUBLE: usize = 64;

    fn down(
        &mut self,
        block: &Block,
        bound: Option<Key>,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        if block.level == 0 {
            for index in block.lower_bound(self.from)..block.count {
                let key = block.key(index);
                if key > self.to {
                    self.is_past = true;
                    return ControlFlow::Break(());
                }
                visit(key, block.item(index))?;
            }
            return ControlFlow::Continue(());
        }
        let first = block.floor(self.from).unwrap_or(0);
        for index in first..block.count {
            if block.key(index) > self.to {
                break;
            }
            match self.store.child(block, index, bound) {
                Ok(below) => {
                    let next = index.saturating_add(1);
                    let bound = if next < block.count { Some(block.key(next)) } else { bound };
                    self.down(&below, bound, visit)?;
                }
                Err(error) => {
                    self.trouble.push(error);
                    if self.trouble.len() >= Self::MAX_TROUBLE {
                        return ControlFlow::Break(());
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Promise {
    fn kept_by(&self, block: &Block) -> Result<(), String> {
        if block.level != self.level {
            return Err(format!("has level {} where {} belongs", block.level, self.level));
        }
        if let Some(generation) = self.generation.filter(|wanted| *wanted != block.generation) {
            return Err(format!("is of generation {}, not {generation}", block.generation));
        }
        let last = block.count.checked_sub(1).map(|index| block.key(index));
        let first = last.map(|_| block.key(0));
        if self.first.is_some() && first != self.first {
            return Err("begins with another key than its parent says".to_owned());
        }
        if let (Some(last), Some(bound)) = (last, self.bound)
            && last >= bound
        {
            return Err(format!("has key {last} beyond the bound {bound} of its parent"));
        }
        Ok(())
    }
}
