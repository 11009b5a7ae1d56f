//! LVM2, assembled in memory.
//!
//! Every member's label and metadata text are read; of each group the text with the highest sequence number counts, and
//! members whose text is older are named as stale. No crate reads this format: the one there is was left in 2022.

mod build;
mod facts;
mod group;
mod label;
mod metadata;
mod raid;
mod segment;
mod snapshot;
mod text;
mod thin;
mod thin_metadata;

pub use facts::{GroupFacts, LogicalFacts, PhysicalFacts};

use super::{Assembled, Member};
use build::Builder;
use group::Group;

/// Every volume that `members` make up, in order of name; members of other kinds are passed over.
///
/// Only volumes a system shows are listed: the hidden parts of mirrors, pools and snapshots are not. Problems of a whole
/// group are repeated at each of its volumes.
#[must_use]
pub fn assemble(members: &[Member]) -> Vec<Assembled> {
    let mut volumes = Vec::new();
    for group in group::find(members) {
        let mut builder = Builder::new(&group);
        for volume in group.metadata.shown() {
            volumes.push(builder.assemble(volume));
        }
    }
    volumes.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    volumes
}

/// What the metadata of every group tells, hidden volumes included.
#[must_use]
pub fn groups(members: &[Member]) -> Vec<GroupFacts> {
    group::find(members).iter().map(Group::facts).collect()
}
