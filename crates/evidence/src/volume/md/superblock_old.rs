//! The superblock of version 0.90: 4 KiB of words in the byte order of the machine that made it (`mdp_super_t`).

use super::superblock::{Role, Superblock};
use crate::bytes::Fields;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

const MAGIC: u32 = 0xa92b_4efc;
/// Words of the superblock, and of the description of a disk.
const DISKS_AT: usize = 128;
const THIS_DISK_AT: usize = 992;

/// The superblock in the last whole 64 KiB before the end.
pub(super) fn read(source: &Arc<dyn Source>) -> Option<Superblock> {
    let at = (source.size_bytes() & !0xffff).checked_sub(65_536)?;
    let raw = source.bytes_at(at, 4096).ok()?;
    let sb = Fields(&raw);
    let big = sb.be32(0) == MAGIC;
    if !big && sb.le32(0) != MAGIC {
        return None;
    }
    let word = |index: usize| {
        let at = index.saturating_mul(4);
        if big { sb.be32(at) } else { sb.le32(at) }
    };
    if word(1) != 0 {
        return None;
    }
    let mut problems = Vec::new();
    let sum = (0..1024)
        .filter(|index| *index != 38)
        .fold(0_u64, |sum, index| sum.wrapping_add(u64::from(word(index))));
    let folded = (sum & 0xffff_ffff).wrapping_add(sum >> 32) & 0xffff_ffff;
    if folded != u64::from(word(38)) {
        problems.push(Problem::new(
            ProblemKind::Corrupt,
            Place::OffsetBytes(at),
            format!("md superblock checksum is {folded:08x}, expected {:08x}", word(38)),
        ));
    }
    let mut uuid = [0_u8; 16];
    for (part, index) in uuid.as_chunks_mut::<4>().0.iter_mut().zip([5, 13, 14, 15]) {
        *part = word(index).to_be_bytes();
    }
    let roles = (0..27_usize)
        .map(|disk| {
            let base = disk.saturating_mul(32).saturating_add(DISKS_AT);
            let state = word(base.saturating_add(4));
            if state & 1 != 0 {
                Role::Faulty
            } else if state & 6 == 6 {
                Role::Active(word(base.saturating_add(3)))
            } else {
                Role::Spare
            }
        })
        .collect();
    // The halves of counters of 64 bits stand in the machine's order too.
    let (low, high) = if big { (word(40), word(39)) } else { (word(39), word(40)) };
    let order = if big { ", big endian" } else { "" };
    Some(Superblock {
        version: format!("0.{}{order}", word(2)),
        uuid,
        name: Some(format!("md{}", word(11))),
        level: i32::from_le_bytes(word(7).to_le_bytes()),
        layout: word(64),
        chunk_bytes: u64::from(word(65)),
        used_bytes: u64::from(word(8)).saturating_mul(1024),
        member_count: word(10),
        data_start_bytes: 0,
        data_bytes: at,
        events: u64::from(high) << 32 | u64::from(low),
        number: word(THIS_DISK_AT),
        roles,
        rebuilt_bytes: None,
        is_replacement: false,
        is_reshaping: word(2) >= 91,
        is_clean: word(33) & 1 != 0,
        bad: Vec::new(),
        problems,
    })
}
