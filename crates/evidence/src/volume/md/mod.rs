//! Linux md arrays, assembled in memory.
//!
//! The newest superblock decides who belongs to the array in which role. A member that fell behind is named and used
//! only when nothing else makes the array readable; nothing is resynchronised.

mod array;
mod foreign;
mod superblock;
mod superblock_old;

use super::{Assembled, Member};
use std::collections::BTreeMap;
use superblock::Superblock;

/// More than the kernel's own bound on members (`MD_SB_DISKS` and the pages of a 1.x superblock).
const MOST_MEMBERS: u32 = 2048;

/// Every volume that `members` make up, in order of name; members of other kinds are passed over.
#[must_use]
pub fn assemble(members: &[Member]) -> Vec<Assembled> {
    let mut arrays: BTreeMap<[u8; 16], Vec<(Superblock, &Member)>> = BTreeMap::new();
    let mut volumes = foreign::name(members);
    for member in members {
        let found =
            superblock::read(&member.source).or_else(|| superblock_old::read(&member.source));
        if let Some(superblock) = found {
            arrays.entry(superblock.uuid).or_default().push((superblock, member));
        }
    }
    volumes.extend(arrays.into_values().map(array::assemble));
    volumes.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    volumes
}
