//! One array: who belongs to it, who fell behind, and the source they make together.

use super::super::pieces::{Piece, Pieces};
use super::super::raid::{Copies, Leg, Parity, ParityLayout, Spread, Stripes, ZoneRule};
use super::super::{Assembled, Member};
use super::MOST_MEMBERS;
use super::superblock::{Role, Superblock};
use crate::bytes::{to_u64, to_usize, uuid_text};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// A member in a role.
struct Seat<'a> {
    superblock: Superblock,
    member: &'a Member,
}

/// Notes problems of one array.
struct Notes(Vec<Problem>);

impl Notes {
    fn add(&mut self, kind: ProblemKind, text: String) {
        self.0.push(Problem::new(kind, Place::Source, text));
    }
}

/// Assembles the members of one array.
pub(super) fn assemble(mut found: Vec<(Superblock, &Member)>) -> Assembled {
    let mut notes = Notes(Vec::new());
    for (superblock, member) in &mut found {
        for mut problem in superblock.problems.drain(..) {
            problem.text = format!("{}: {}", member.name, problem.text);
            notes.0.push(problem);
        }
    }
    found.sort_by_key(|(superblock, _)| std::cmp::Reverse(superblock.events));
    let Some(newest) = found.first().map(|(superblock, _)| superblock.clone()) else {
        return empty(notes);
    };
    let count = to_usize(u64::from(newest.member_count));
    let mut assembled = Assembled {
        name: newest.name.clone().unwrap_or_else(|| "md".to_owned()),
        uuid: uuid_text(&newest.uuid),
        description: String::new(),
        source: None,
        members: Vec::new(),
        problems: Vec::new(),
    };
    if newest.member_count == 0 || newest.member_count > MOST_MEMBERS {
        let text = format!("the array has {count} members, 1 to {MOST_MEMBERS} are read");
        notes.add(ProblemKind::Refused, text);
        assembled.description = level_name(newest.level);
        assembled.problems = notes.0;
        return assembled;
    }
    let (mut seats, stale) = seat(found, &newest, count, &mut notes);
    let (source, present) = match make(&newest, &seats, &mut notes) {
        Some(source) => (Some(source), seats.iter().flatten().count()),
        None => {
            // What fell behind is better than nothing, as long as it is said.
            let mut used = Vec::new();
            for (role, one) in stale {
                if let Some(place @ None) = seats.get_mut(role) {
                    used.push(one.member.name.clone());
                    *place = Some(one);
                }
            }
            let source = if used.is_empty() { None } else { make(&newest, &seats, &mut notes) };
            if source.is_some() {
                let text = format!(
                    "{} fell behind and had to be used: where others changed since, the content is wrong",
                    used.join(", ")
                );
                notes.add(ProblemKind::Corrupt, text);
            }
            (source, seats.iter().flatten().count())
        }
    };
    if source.is_none() && !newest.is_reshaping {
        let text = format!("too few members: {present} of {count} are there");
        notes.add(ProblemKind::Io, text);
    } else if present < count {
        notes.add(ProblemKind::Io, format!("degraded: {present} of {count} members are there"));
    }
    if !newest.is_clean && matches!(newest.level, 1 | 4 | 5 | 6 | 10) {
        let text =
            "the array was not stopped cleanly: members may differ where a write was under way";
        notes.add(ProblemKind::Corrupt, text.to_owned());
    }
    assembled.description = describe(&newest, present);
    assembled.source = source;
    assembled.members = seats.iter().flatten().map(|seat| seat.member.name.clone()).collect();
    assembled.problems = notes.0;
    assembled
}

fn empty(notes: Notes) -> Assembled {
    Assembled {
        name: "md".to_owned(),
        uuid: None,
        description: "an array without members".to_owned(),
        source: None,
        members: Vec::new(),
        problems: notes.0,
    }
}

/// Gives each member its role by the newest superblock; those that fell behind come separately.
fn seat<'a>(
    found: Vec<(Superblock, &'a Member)>,
    newest: &Superblock,
    count: usize,
    notes: &mut Notes,
) -> (Vec<Option<Seat<'a>>>, Vec<(usize, Seat<'a>)>) {
    let mut seats: Vec<Option<Seat<'a>>> = (0..count).map(|_| None).collect();
    let mut stale = Vec::new();
    for (superblock, member) in found {
        let name = &member.name;
        let own = superblock.role(superblock.number);
        let role = newest.role(superblock.number);
        // The kernel takes a member that is one event behind: superblocks are not written all at once.
        let is_behind = superblock.events.saturating_add(1) < newest.events;
        match (role, own) {
            (Role::Journal, _) | (_, Role::Journal) => notes.add(
                ProblemKind::Unsupported,
                format!("{name} is a journal: what it alone holds is not seen"),
            ),
            (Role::Active(role), _) if superblock.is_replacement => notes.add(
                ProblemKind::Unsupported,
                format!("{name} is a replacement for role {role} under way and not used"),
            ),
            (Role::Active(role), _) if !is_behind => {
                let role = to_usize(u64::from(role));
                match seats.get_mut(role) {
                    Some(Some(first)) => notes.add(
                        ProblemKind::Corrupt,
                        format!(
                            "{name} and {} both have role {role}, the second is not used",
                            first.member.name
                        ),
                    ),
                    Some(place) => *place = Some(Seat { superblock, member }),
                    None => notes
                        .add(ProblemKind::Corrupt, format!("{name} has role {role} of {count}")),
                }
            }
            (_, Role::Active(role)) => {
                notes.add(
                    ProblemKind::Corrupt,
                    format!(
                        "{name} is stale: its events are {}, the newest {}; it is not used where others suffice",
                        superblock.events, newest.events
                    ),
                );
                stale.push((to_usize(u64::from(role)), Seat { superblock, member }));
            }
            (_, Role::Spare | Role::Faulty) => {}
        }
    }
    (seats, stale)
}

fn level_name(level: i32) -> String {
    match level {
        -1 => "linear".to_owned(),
        -4 => "multipath".to_owned(),
        level => format!("raid{level}"),
    }
}

fn describe(newest: &Superblock, present: usize) -> String {
    let mut text =
        format!("{}, {present} of {} members", level_name(newest.level), newest.member_count);
    if !matches!(newest.level, 1 | -1) {
        text.push_str(&format!(", chunk {} KiB", newest.chunk_bytes / 1024));
    }
    text.push_str(&format!(", metadata {}", newest.version));
    text
}

fn legs(seats: &[Option<Seat<'_>>], notes: &mut Notes) -> Vec<Leg> {
    seats
        .iter()
        .map(|seat| {
            let Some(seat) = seat else { return Leg::missing() };
            let superblock = &seat.superblock;
            if let Some(rebuilt) = superblock.rebuilt_bytes {
                notes.add(
                    ProblemKind::Io,
                    format!("{} is rebuilt up to {rebuilt} bytes only", seat.member.name),
                );
            }
            Leg {
                source: Some(Arc::clone(&seat.member.source)),
                start_bytes: superblock.data_start_bytes,
                valid_bytes: superblock
                    .data_bytes
                    .min(superblock.rebuilt_bytes.unwrap_or(u64::MAX)),
                bad: superblock.bad.clone(),
            }
        })
        .collect()
}

/// The source; `None` when too much is missing or the kind is not read, the latter with a note.
fn make(
    newest: &Superblock,
    seats: &[Option<Seat<'_>>],
    notes: &mut Notes,
) -> Option<Arc<dyn Source>> {
    if newest.is_reshaping {
        let text = "a reshape is under way, which is not supported";
        if !notes.0.iter().any(|problem| problem.text == text) {
            notes.add(ProblemKind::Unsupported, text.to_owned());
        }
        return None;
    }
    let chunk = newest.chunk_bytes;
    let needs_chunk = !matches!(newest.level, 1 | -1);
    if needs_chunk && (chunk == 0 || !chunk.is_multiple_of(512) || chunk > 1 << 32) {
        notes.add(ProblemKind::Corrupt, format!("the chunk is {chunk} bytes"));
        return None;
    }
    let down = |size: u64| match chunk {
        0 => size,
        chunk => size.saturating_sub(size.checked_rem(chunk).unwrap_or(0)),
    };
    let count = to_u64(seats.len());
    let missing = seats.iter().filter(|seat| seat.is_none()).count();
    match newest.level {
        -1 if missing == 0 => Some(linear(seats, &down)),
        0 if missing == 0 => {
            let sizes: Vec<u64> =
                seats.iter().flatten().map(|seat| seat.superblock.data_bytes).collect();
            let rule = if newest.layout == 1 { ZoneRule::Original } else { ZoneRule::Alternate };
            let stripes = Stripes::new(legs(seats, notes), &sizes, chunk, rule);
            if stripes.zones() > 1 && !matches!(newest.layout, 1 | 2) {
                let text = "the members differ in size and the superblock does not say how: \
                            if Linux before 3.14 wrote this array, what lies behind the first zone is in another order";
                notes.add(ProblemKind::Corrupt, text.to_owned());
            }
            Some(Arc::new(stripes))
        }
        0 | -1 => None,
        1 if missing < seats.len() => {
            Some(Arc::new(Copies::mirror(legs(seats, notes), newest.used_bytes)))
        }
        10 => {
            let (spread, size) = spread(newest, count, notes)?;
            let copies = Copies::spread(legs(seats, notes), spread, chunk, size);
            if copies.is_complete() { Some(Arc::new(copies)) } else { None }
        }
        4..=6 => {
            let Some(layout) = ParityLayout::md(newest.level, newest.layout) else {
                notes.add(
                    ProblemKind::Unsupported,
                    format!("layout {} is not supported", newest.layout),
                );
                return None;
            };
            let parities = layout.parities();
            if missing > parities || seats.len() <= parities {
                return None;
            }
            let data = count.saturating_sub(to_u64(parities));
            let size = down(newest.used_bytes).saturating_mul(data);
            Some(Arc::new(Parity::new(legs(seats, notes), layout, chunk, size)))
        }
        1 => None,
        level => {
            notes.add(ProblemKind::Unsupported, format!("{} is not supported", level_name(level)));
            None
        }
    }
}

fn linear(seats: &[Option<Seat<'_>>], down: &dyn Fn(u64) -> u64) -> Arc<dyn Source> {
    let mut pieces = Vec::new();
    let mut start_bytes = 0_u64;
    for seat in seats.iter().flatten() {
        let length_bytes = down(seat.superblock.data_bytes);
        pieces.push(Piece {
            start_bytes,
            length_bytes,
            source: Some(Arc::clone(&seat.member.source)),
            source_bytes: seat.superblock.data_start_bytes,
        });
        start_bytes = start_bytes.saturating_add(length_bytes);
    }
    Arc::new(Pieces::new(pieces))
}

/// RAID 10's spread and size (`setup_geo` and `calc_sectors` of `drivers/md/raid10.c`).
fn spread(newest: &Superblock, count: u64, notes: &mut Notes) -> Option<(Spread, u64)> {
    let layout = newest.layout;
    let (near, far) = (u64::from(layout & 0xff), u64::from(layout >> 8 & 0xff));
    let is_offset = layout & 1 << 16 != 0;
    let set_legs = match layout >> 17 {
        0 => Some(count),
        1 => count.checked_div(far),
        2 => Some(far.saturating_mul(near)),
        _ => None,
    };
    let copies = near.saturating_mul(far);
    let good = copies > 0 && copies <= count;
    let Some(set_legs) = set_legs.filter(|legs| good && *legs > 0 && *legs <= count) else {
        notes.add(ProblemKind::Unsupported, format!("layout {layout:#x} is not supported"));
        return None;
    };
    let chunk = newest.chunk_bytes;
    let div = |value: u64, by: u64| value.checked_div(by).unwrap_or(0);
    let rows = div(div(newest.used_bytes, chunk), far);
    let chunks = div(rows.saturating_mul(count), near);
    let used = chunks.saturating_mul(copies).div_ceil(count.max(1));
    let stride = if is_offset { 1 } else { div(used, far) };
    let stride_bytes = stride.saturating_mul(chunk);
    let spread = Spread { near, far, stride_bytes, is_offset, set_legs };
    Some((spread, chunks.saturating_mul(chunk)))
}
