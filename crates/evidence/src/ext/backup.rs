//! Copies of the superblock and of the group descriptors, for when the first ones are damaged.
//!
//! Copies stand at the start of block groups 1, 3, 5, 7 and the powers of 3, 5 and 7, of every group without
//! `sparse_super`. Only resizing and tuning bring them up to date: they know the shape of the file system, which never
//! changes by use, and nothing of its last mount. So with a copy the journal is looked into whatever the copy says, and
//! of copied descriptors only the places count.

use super::Ext;
use super::checksum;
use super::groups::{self, Group};
use super::superblock::Superblock;
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem};
use crate::source::Source;

/// Where the first superblock stands.
const FIRST_AT: u64 = 1024;
const BYTES: usize = 1024;
/// The state word that says the journal has to be replayed, in the second byte of features at 0x60.
const RECOVER: u8 = 0x4;
/// Groups that have a copy whatever the features, and some of the next.
const GROUPS: [u64; 10] = [1, 3, 5, 7, 9, 25, 27, 49, 81, 125];

/// The superblock to go by.
pub(super) struct Chosen {
    pub(super) superblock: Superblock,
    /// Its bytes as they stand.
    pub(super) raw: Vec<u8>,
    /// What is wrong with the first one, where a copy is used instead.
    pub(super) problem: Option<Problem>,
}

struct Copy {
    superblock: Superblock,
    raw: Vec<u8>,
    at: u64,
    group: u64,
}

/// The first superblock, or a copy where that one makes no sense or contradicts both its checksum and the copy.
pub(super) fn choose(source: &dyn Source) -> Result<Chosen, EvidenceError> {
    let first = source
        .bytes_at(FIRST_AT, BYTES)
        .map_err(EvidenceError::read("the ext superblock"))
        .and_then(|raw| Ok((Superblock::parse(&raw)?, raw)));
    let error = match first {
        Ok((superblock, raw)) => {
            let copy = if checksum::superblock_fits(&superblock, &raw) {
                None
            } else {
                find(source).filter(|copy| !copy.superblock.has_shape_of(&superblock))
            };
            if let Some(copy) = copy {
                let error = EvidenceError::corrupt(
                    "the checksum of the ext superblock does not fit and its sizes differ from its copy",
                );
                return Ok(copy.instead_of(&error));
            }
            return Ok(Chosen { superblock, raw, problem: None });
        }
        Err(error) => error,
    };
    match find(source) {
        Some(copy) => Ok(copy.instead_of(&error)),
        None => Err(error),
    }
}

impl Copy {
    fn instead_of(self, error: &EvidenceError) -> Chosen {
        let mut problem = error.to_problem(Place::OffsetBytes(FIRST_AT));
        problem.text.push_str(&format!(
            "; the copy at {} (block group {}) is used, which does not know the last mount",
            self.at, self.group
        ));
        Chosen { superblock: self.superblock, raw: self.raw, problem: Some(problem) }
    }
}

/// The first copy that stands where it says and agrees with its checksum.
fn find(source: &dyn Source) -> Option<Copy> {
    for block_bytes in [4096_u64, 1024, 2048, 8192, 16_384, 32_768, 65_536] {
        let per_group = block_bytes.saturating_mul(8);
        for group in GROUPS {
            let first = u64::from(block_bytes == 1024);
            let block = group.saturating_mul(per_group).saturating_add(first);
            let at = block.saturating_mul(block_bytes);
            if at.saturating_add(1024) > source.size_bytes() {
                break;
            }
            let Ok(raw) = source.bytes_at(at, BYTES) else { continue };
            if let Some(superblock) = parse(&raw, block_bytes, group) {
                return Some(Copy { superblock, raw, at, group });
            }
        }
    }
    None
}

fn parse(raw: &[u8], block_bytes: u64, group: u64) -> Option<Superblock> {
    let own = Superblock::parse(raw).ok()?;
    let is_it = own.block_bytes == block_bytes
        && u64::from(own.blocks_per_group) == block_bytes.saturating_mul(8)
        && u64::from(Fields(raw).le16(0x5a)) == group
        && checksum::superblock_fits(&own, raw);
    if !is_it {
        return None;
    }
    let mut with_journal = raw.to_vec();
    *with_journal.get_mut(0x60)? |= RECOVER;
    Superblock::parse(&with_journal).ok()
}

/// A group's descriptor from the copy behind the superblock's in block group 1, if it makes sense.
pub(super) fn descriptor(ext: &Ext, number: u64) -> Option<Group> {
    let sb = &ext.superblock;
    let per_block = sb.descriptors_per_block();
    let meta = number.checked_div(per_block)?;
    let block = sb.descriptor_copy(meta)?;
    let raw = ext.block(block).ok()?;
    let within = to_usize(number.checked_rem(per_block)?.checked_mul(sb.descriptor_bytes)?);
    let part = Fields(&raw).slice(within, to_usize(sb.descriptor_bytes));
    let group = groups::parse(part);
    let fits = checksum::descriptor_fits(sb, u32::try_from(number).ok()?, part);
    (fits && group.is_placed(sb)).then(|| group.places_only())
}
