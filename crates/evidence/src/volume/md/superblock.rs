//! The superblock of versions 1.0, 1.1 and 1.2 (`struct mdp_superblock_1` of `include/uapi/linux/raid/md_p.h`).

use crate::bytes::{Fields, padded_text, to_u64, to_usize};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::ops::Range;
use std::sync::Arc;

const MAGIC: u32 = 0xa92b_4efc;

const RECOVERY_OFFSET: u32 = 2;
const RESHAPE_ACTIVE: u32 = 4;
const BAD_BLOCKS: u32 = 8;
const REPLACEMENT: u32 = 16;
const NEW_OFFSET: u32 = 64;
const RECOVERY_BITMAP: u32 = 128;
const JOURNAL: u32 = 512;

/// What a superblock says a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Active(u32),
    Spare,
    Faulty,
    Journal,
}

/// What is used of a superblock of any version.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) version: String,
    pub(super) uuid: [u8; 16],
    pub(super) name: Option<String>,
    pub(super) level: i32,
    pub(super) layout: u32,
    pub(super) chunk_bytes: u64,
    /// What each member gives to the array; 0 where that differs from member to member.
    pub(super) used_bytes: u64,
    pub(super) member_count: u32,
    /// Where data begins on this member, and how much there is.
    pub(super) data_start_bytes: u64,
    pub(super) data_bytes: u64,
    pub(super) events: u64,
    /// This member's number, by which others list it.
    pub(super) number: u32,
    /// Roles of all members by number.
    pub(super) roles: Vec<Role>,
    /// How much of this member is rebuilt; `None` when all.
    pub(super) rebuilt_bytes: Option<u64>,
    pub(super) is_replacement: bool,
    pub(super) is_reshaping: bool,
    pub(super) is_clean: bool,
    pub(super) bad: Vec<Range<u64>>,
    pub(super) problems: Vec<Problem>,
}

impl Superblock {
    /// The role the member of this number has by this superblock.
    pub(super) fn role(&self, number: u32) -> Role {
        let index = to_usize(u64::from(number));
        self.roles.get(index).copied().unwrap_or(Role::Spare)
    }
}

/// The superblock of a member, from the first place that has one.
pub(super) fn read(source: &Arc<dyn Source>) -> Option<Superblock> {
    let near_end = source.size_bytes().checked_sub(8192).map(|at| at & !4095);
    let places = [(Some(0), "1.1"), (Some(4096), "1.2"), (near_end, "1.0")];
    places.iter().find_map(|(at, version)| one(source, (*at)?, version))
}

fn one(source: &Arc<dyn Source>, at: u64, version: &str) -> Option<Superblock> {
    let raw = source.bytes_at(at, 4096).ok()?;
    let sb = Fields(&raw);
    if sb.le32(0) != MAGIC || sb.le32(4) != 1 || sb.le64(144) != at / 512 {
        return None;
    }
    let mut problems = Vec::new();
    let listed = to_usize(u64::from(sb.le32(220))).min(1920);
    let (found, expected) = (checksum(sb, listed), sb.le32(216));
    if found != expected {
        problems.push(Problem::new(
            ProblemKind::Corrupt,
            Place::OffsetBytes(at),
            format!("md superblock checksum is {found:08x}, expected {expected:08x}"),
        ));
    }
    let features = sb.le32(8);
    let sectors = |at: usize| sb.le64(at).saturating_mul(512);
    let roles = (0..listed)
        .map(|index| match sb.le16(index.saturating_mul(2).saturating_add(256)) {
            0xffff => Role::Spare,
            0xfffe => Role::Faulty,
            0xfffd => Role::Journal,
            role => Role::Active(u32::from(role)),
        })
        .collect();
    let rebuilt_bytes = if features & RECOVERY_BITMAP != 0 {
        Some(0)
    } else if features & RECOVERY_OFFSET != 0 && features & JOURNAL == 0 {
        Some(sectors(152))
    } else {
        None
    };
    let data_start_bytes = sectors(128);
    let mut bad = Vec::new();
    if features & BAD_BLOCKS != 0 {
        bad = bad_blocks(source, sb, at, data_start_bytes, &mut problems);
    }
    Some(Superblock {
        version: version.to_owned(),
        uuid: sb.array(16),
        name: padded_text(sb.slice(32, 32)),
        level: i32::from_le_bytes(sb.array(72)),
        layout: sb.le32(76),
        chunk_bytes: u64::from(sb.le32(88)).saturating_mul(512),
        used_bytes: sectors(80),
        member_count: sb.le32(92),
        data_start_bytes,
        data_bytes: sectors(136).min(source.size_bytes().saturating_sub(data_start_bytes)),
        events: sb.le64(200),
        number: sb.le32(160),
        roles,
        rebuilt_bytes,
        is_replacement: features & REPLACEMENT != 0,
        is_reshaping: features & (RESHAPE_ACTIVE | NEW_OFFSET) != 0,
        is_clean: sb.le64(208) == u64::MAX,
        bad,
        problems,
    })
}

/// The sum of all 32-bit words without the checksum itself, folded once (`calc_sb_1_csum`).
fn checksum(sb: Fields<'_>, listed: usize) -> u32 {
    let length = listed.saturating_mul(2).saturating_add(256);
    let (words, rest) = sb.slice(0, length).as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum();
    sum = sum.wrapping_sub(u64::from(sb.le32(216)));
    if rest.len() == 2 {
        sum = sum.wrapping_add(u64::from(Fields(rest).le16(0)));
    }
    let folded = (sum & 0xffff_ffff).wrapping_add(sum >> 32) & 0xffff_ffff;
    u32::try_from(folded).unwrap_or(0)
}

/// The bad block log: device sectors in the upper 54 bits of each entry, their count in the lower 10.
fn bad_blocks(
    source: &Arc<dyn Source>,
    sb: Fields<'_>,
    at: u64,
    data_start_bytes: u64,
    problems: &mut Vec<Problem>,
) -> Vec<Range<u64>> {
    let away = i64::from(i32::from_le_bytes(sb.array(188))).saturating_mul(512);
    let log_at = at.saturating_add_signed(away);
    let length = usize::from(sb.le16(186)).saturating_mul(512);
    let shift = u32::from(sb.u8(185)).min(32);
    let raw = source.bytes_at(log_at, length).unwrap_or_else(|error| {
        let text = format!("reading the bad block log: {error}");
        problems.push(Problem::new(ProblemKind::Io, Place::OffsetBytes(log_at), text));
        Vec::new()
    });
    let mut ranges = Vec::new();
    for entry in raw.as_chunks::<8>().0 {
        let entry = u64::from_le_bytes(*entry);
        if entry == u64::MAX {
            break;
        }
        let bytes = |sectors: u64| sectors.checked_shl(shift).unwrap_or(0).saturating_mul(512);
        let start = bytes(entry >> 10).saturating_sub(data_start_bytes);
        ranges.push(start..start.saturating_add(bytes(entry & 0x3ff)));
    }
    if !ranges.is_empty() {
        let sum = ranges
            .iter()
            .fold(0_u64, |sum, range| sum.saturating_add(range.end.saturating_sub(range.start)));
        problems.push(Problem::new(
            ProblemKind::Io,
            Place::OffsetBytes(log_at),
            format!(
                "the array recorded {} bad ranges of {sum} bytes on this member",
                to_u64(ranges.len())
            ),
        ));
    }
    ranges
}
