//! The metadata device of a thin pool: superblock and B-trees of 4 KiB nodes
//! (Linux `drivers/md/dm-thin-metadata.c` and `drivers/md/persistent-data/dm-btree-internal.h`).

use super::build::Fault;
use crate::bytes::{Fields, to_usize};
use crate::crc::crc32c;
use crate::problem::ProblemKind;
use crate::source::Source;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const BLOCK_BYTES: u64 = 4096;
const SUPERBLOCK_XOR: u32 = 160_774;
const NODE_XOR: u32 = 121_107;
const MOST_DEPTH: usize = 16;
/// 8 MiB; a node maps up to 252 blocks.
const MOST_NODES: usize = 2048;

/// The metadata of a pool, with the nodes read last.
pub(super) struct ThinMetadata {
    source: Arc<dyn Source>,
    mapping_root: u64,
    pub(super) block_bytes: u64,
    pub(super) needs_check: bool,
    nodes: Mutex<HashMap<u64, Arc<Vec<u8>>>>,
}

/// Blocks in a row that lie in a row in the pool, or that are not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) pool_block: Option<u64>,
    pub(super) blocks: u64,
}

/// Where a key belongs.
struct Leaf {
    node: Arc<Vec<u8>>,
    /// The last key not above it.
    index: Option<usize>,
    /// The first key of the next leaf.
    next_leaf: u64,
}

fn checked(raw: &[u8], xor: u32, what: &str) -> Result<(), Fault> {
    let found = crc32c(u32::MAX, raw.get(4..).unwrap_or(&[])) ^ xor;
    let expected = Fields(raw).le32(0);
    if found == expected {
        return Ok(());
    }
    Err(Fault::corrupt(format!("checksum of {what} is {found:08x}, expected {expected:08x}")))
}

impl ThinMetadata {
    pub(super) fn open(source: Arc<dyn Source>) -> Result<Self, Fault> {
        let raw = source.bytes_at(0, to_usize(BLOCK_BYTES)).map_err(|error| {
            Fault(ProblemKind::Io, format!("reading the thin pool's superblock: {error}"))
        })?;
        let sb = Fields(&raw);
        if sb.le64(32) != 27_022_010 {
            return Err(Fault::corrupt("the thin pool's metadata has no signature"));
        }
        checked(&raw, SUPERBLOCK_XOR, "the thin pool's superblock")?;
        let block_bytes = u64::from(sb.le32(336)).saturating_mul(512);
        if block_bytes == 0 || block_bytes > 1 << 30 {
            return Err(Fault::corrupt(format!("the thin pool's blocks have {block_bytes} bytes")));
        }
        if sb.le32(340) != 8 {
            let text =
                format!("thin metadata blocks of {} sectors are not supported", sb.le32(340));
            return Err(Fault::unsupported(text));
        }
        Ok(Self {
            source,
            mapping_root: sb.le64(320),
            block_bytes,
            needs_check: sb.le32(4) & 1 != 0,
            nodes: Mutex::default(),
        })
    }

    fn node(&self, block: u64) -> Result<Arc<Vec<u8>>, Fault> {
        let lock = || self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = lock().get(&block) {
            return Ok(Arc::clone(node));
        }
        let at = block.saturating_mul(BLOCK_BYTES);
        let mut raw = vec![0; to_usize(BLOCK_BYTES)];
        self.source.fill(at, &mut raw).map_err(|error| {
            Fault(ProblemKind::Io, format!("reading thin metadata block {block}: {error}"))
        })?;
        checked(&raw, NODE_XOR, &format!("thin metadata block {block}"))?;
        if Fields(&raw).le64(8) != block {
            return Err(Fault::corrupt(format!(
                "thin metadata block {block} says it is block {}",
                Fields(&raw).le64(8)
            )));
        }
        let node = Arc::new(raw);
        let mut nodes = lock();
        if nodes.len() >= MOST_NODES {
            nodes.clear();
        }
        nodes.insert(block, Arc::clone(&node));
        Ok(node)
    }

    /// The leaf where `key` belongs.
    fn leaf(&self, root: u64, key: u64) -> Result<Leaf, Fault> {
        let mut block = root;
        let mut next_leaf = u64::MAX;
        for _ in 0..MOST_DEPTH {
            let node = self.node(block)?;
            let view = Node(Fields(&node));
            let index = view.last_not_above(key);
            if view.is_leaf() {
                return Ok(Leaf { node: Arc::clone(&node), index, next_leaf });
            }
            // A key below all others belongs nowhere.
            let Some(index) = index else {
                let first = view.key(0);
                return Ok(Leaf { node, index: None, next_leaf: first });
            };
            if index.saturating_add(1) < view.count() {
                next_leaf = view.key(index.saturating_add(1));
            }
            block = view.value(index);
        }
        Err(Fault::corrupt(format!("a thin metadata tree is more than {MOST_DEPTH} deep")))
    }

    /// The mapping tree of a device; `None` when the pool does not know it.
    pub(super) fn device(&self, device: u64) -> Result<Option<u64>, Fault> {
        let Leaf { node, index, .. } = self.leaf(self.mapping_root, device)?;
        let view = Node(Fields(&node));
        Ok(index
            .filter(|index| view.is_leaf() && view.key(*index) == device)
            .map(|index| view.value(index)))
    }

    /// Where `block` of a device lies, and how many after it follow in a row.
    pub(super) fn run(&self, device_root: u64, block: u64) -> Result<Run, Fault> {
        let Leaf { node, index, next_leaf } = self.leaf(device_root, block)?;
        let view = Node(Fields(&node));
        if !view.is_leaf() {
            let blocks = next_leaf.saturating_sub(block).max(1);
            return Ok(Run { pool_block: None, blocks });
        }
        let hit = index.filter(|index| view.key(*index) == block);
        let Some(index) = hit else {
            let after = index.map_or(0, |index| index.saturating_add(1));
            let next = if after < view.count() { view.key(after) } else { next_leaf };
            return Ok(Run { pool_block: None, blocks: next.saturating_sub(block).max(1) });
        };
        // The upper 40 bits are the block, the lower 24 a time.
        let first = view.value(index) >> 24;
        let mut blocks = 1_u64;
        for after in index.saturating_add(1)..view.count() {
            let is_next = view.key(after) == block.saturating_add(blocks)
                && view.value(after) >> 24 == first.saturating_add(blocks);
            if !is_next {
                break;
            }
            blocks = blocks.saturating_add(1);
        }
        Ok(Run { pool_block: Some(first), blocks })
    }
}

/// A node's fields; its counts are cut to what 4 KiB can hold.
struct Node<'a>(Fields<'a>);

impl Node<'_> {
    fn is_leaf(&self) -> bool {
        self.0.le32(4) & 2 != 0
    }

    fn room(&self) -> usize {
        to_usize(u64::from(self.0.le32(20))).min(508)
    }

    fn count(&self) -> usize {
        to_usize(u64::from(self.0.le32(16))).min(self.room())
    }

    fn key(&self, index: usize) -> u64 {
        self.0.le64(index.saturating_mul(8).saturating_add(32))
    }

    fn value(&self, index: usize) -> u64 {
        self.0.le64(self.room().saturating_add(index).saturating_mul(8).saturating_add(32))
    }

    fn last_not_above(&self, key: u64) -> Option<usize> {
        let (mut low, mut high) = (0_usize, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) <= key {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}
