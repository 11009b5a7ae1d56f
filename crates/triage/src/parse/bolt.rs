//! The key-value file of bbolt (go.etcd.io/bbolt, `page.go`, `bucket.go`), in which containerd and older podman keep what
//! containers they have.
//!
//! Only what the newest valid meta page reaches is read. Pages may be named twice by a damaged or hostile file; each is
//! read once.

use super::bytes::{Bytes, le16, le32, le64, size};
use std::collections::BTreeSet;

/// Levels of pages and of buckets.
const MAX_DEPTH: usize = 32;
/// Elements of one file; ranges of a hostile one may overlap and hold each other.
const MAX_ELEMENTS: usize = 2_000_000;
/// Largest page with what follows it, in bytes.
const MAX_PAGE_BYTES: usize = 64 << 20;
const MAGIC: u32 = 0xed0c_daed;
/// Flags of a page, and the flag of an element that is a bucket.
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const IS_BUCKET: u32 = 1;

/// An opened file.
pub struct Database<'a> {
    file: &'a dyn Bytes,
    page_bytes: u64,
    root: u64,
}

/// What is handed over: the names of the buckets around it, its key and its value.
pub type Visit<'a> = dyn FnMut(&[Vec<u8>], &[u8], &[u8]) + 'a;

struct Walk<'a, 'v> {
    seen: BTreeSet<u64>,
    path: Vec<Vec<u8>>,
    odd: usize,
    left: usize,
    visit: &'a mut Visit<'v>,
}

impl<'a> Database<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// When neither of its two meta pages is whole.
    pub fn open(file: &'a dyn Bytes) -> Result<Self, &'static str> {
        let mut best: Option<(u64, u64, u64)> = None;
        // The second one lies a page further on, and the first may be the broken one that would tell how far.
        for at in [0_u64, 4096, 8192, 16_384, 65_536] {
            let Some((page_bytes, root, transaction)) = meta(file, at) else { continue };
            let is_placed = at == 0 || at == page_bytes;
            if is_placed && best.is_none_or(|(_, _, other)| transaction > other) {
                best = Some((page_bytes, root, transaction));
            }
        }
        let (page_bytes, root, _) = best.ok_or("neither of its two first pages is whole")?;
        Ok(Self { file, page_bytes, root })
    }

    /// Hands over every pair in order of buckets and keys; parts that make no sense are passed over, their number is the
    /// result.
    pub fn for_each(&self, visit: &mut Visit<'_>) -> usize {
        let mut walk =
            Walk { seen: BTreeSet::new(), path: Vec::new(), odd: 0, left: MAX_ELEMENTS, visit };
        self.page(self.root, 0, &mut walk);
        walk.odd
    }

    fn page(&self, number: u64, depth: usize, walk: &mut Walk<'_, '_>) {
        let raw =
            if depth < MAX_DEPTH && walk.seen.insert(number) { self.read(number) } else { None };
        match raw {
            Some(raw) => self.elements(&raw, depth, walk),
            None => walk.odd = walk.odd.saturating_add(1),
        }
    }

    /// A page with those that continue it.
    fn read(&self, number: u64) -> Option<Vec<u8>> {
        let at = number.checked_mul(self.page_bytes)?;
        let head = self.file.exactly(at, 16)?;
        let pages = u64::from(le32(&head, 12)?).checked_add(1)?;
        let length = usize::try_from(pages.checked_mul(self.page_bytes)?).ok()?;
        (length <= MAX_PAGE_BYTES).then(|| self.file.exactly(at, length)).flatten()
    }

    fn elements(&self, raw: &[u8], depth: usize, walk: &mut Walk<'_, '_>) {
        let flags = le16(raw, 8).unwrap_or(0);
        let count = usize::from(le16(raw, 10).unwrap_or(0));
        for index in 0..count {
            let Some(left) = walk.left.checked_sub(1) else { return };
            walk.left = left;
            let at = index.saturating_mul(16).saturating_add(16);
            let done = match flags {
                BRANCH => le64(raw, at.saturating_add(8)).map(|child| {
                    self.page(child, depth.saturating_add(1), walk);
                }),
                LEAF => self.leaf(raw, at, depth, walk),
                _ => None,
            };
            if done.is_none() {
                walk.odd = walk.odd.saturating_add(1);
            }
        }
    }

    fn leaf(&self, raw: &[u8], at: usize, depth: usize, walk: &mut Walk<'_, '_>) -> Option<()> {
        let flags = le32(raw, at)?;
        let from = at.checked_add(size(le32(raw, at.checked_add(4)?)?))?;
        let middle = from.checked_add(size(le32(raw, at.checked_add(8)?)?))?;
        let end = middle.checked_add(size(le32(raw, at.checked_add(12)?)?))?;
        let (key, value) = (raw.get(from..middle)?, raw.get(middle..end)?);
        if flags & IS_BUCKET == 0 {
            (walk.visit)(&walk.path, key, value);
            return Some(());
        }
        let deeper = depth.checked_add(1).filter(|depth| *depth < MAX_DEPTH)?;
        walk.path.push(key.to_vec());
        match le64(value, 0) {
            // A small bucket lies in its own value, behind its header.
            Some(0) => {
                let inside = value.get(16..).unwrap_or(&[]).to_vec();
                self.elements(&inside, deeper, walk);
            }
            Some(root) => self.page(root, deeper, walk),
            None => walk.odd = walk.odd.saturating_add(1),
        }
        walk.path.pop();
        Some(())
    }
}

/// Page size, root and transaction of a meta page, if its checksum (FNV-1a) holds.
fn meta(file: &dyn Bytes, at: u64) -> Option<(u64, u64, u64)> {
    let raw = file.exactly(at, 80)?;
    let body = raw.get(16..)?;
    if le32(body, 0)? != MAGIC || le32(body, 4)? != 2 {
        return None;
    }
    let sum = body.get(..56)?.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let page_bytes = u64::from(le32(body, 8)?);
    let is_sound = le64(body, 56)? == sum && (1024..=1 << 20).contains(&page_bytes);
    is_sound.then_some((page_bytes, le64(body, 16)?, le64(body, 48)?))
}
