//! RAID segments: legs that are volumes of their own, each with a superblock of dm-raid beside it
//! (Linux `drivers/md/dm-raid.c`, `struct dm_raid_superblock`).

use super::build::{Builder, Fault, Parts};
use super::group::shown;
use super::metadata::Segment;
use crate::bytes::{Fields, to_u64};
use crate::source::Source;
use crate::volume::raid::{Copies, Leg, Parity, ParityLayout, Spread, Stripes, ZoneRule};
use std::sync::Arc;

/// dm-raid's own bound is 253.
const MOST_LEGS: usize = 256;

/// What a leg's own superblock says.
#[derive(Clone, Copy)]
struct State {
    events: u64,
    failed: u64,
    rebuilt_bytes: u64,
}

fn state(source: &Arc<dyn Source>) -> Option<State> {
    let raw = source.bytes_at(0, 512).ok()?;
    let sb = Fields(&raw);
    (sb.le32(0) == 0x6452_6d44).then(|| State {
        events: sb.le64(16),
        failed: sb.le64(24),
        rebuilt_bytes: sb.le64(32).saturating_mul(512),
    })
}

/// Level and layout as md counts them.
fn parity_layout(kind: &str) -> Option<ParityLayout> {
    let (level, layout) = match kind {
        // Unlike md, dm-raid has the parity of RAID 4 on the first leg.
        "raid4" => (5, 4),
        "raid5" | "raid5_ls" => (5, 2),
        "raid5_la" => (5, 0),
        "raid5_ra" => (5, 1),
        "raid5_rs" => (5, 3),
        "raid5_0" => (5, 4),
        "raid5_n" => (5, 5),
        "raid6" | "raid6_zr" => (6, 8),
        "raid6_nr" => (6, 9),
        "raid6_nc" => (6, 10),
        "raid6_la_6" => (6, 16),
        "raid6_ra_6" => (6, 17),
        "raid6_ls_6" => (6, 18),
        "raid6_rs_6" => (6, 19),
        "raid6_0_6" => (6, 20),
        "raid6_n_6" => (6, 5),
        _ => return None,
    };
    ParityLayout::md(level, layout)
}

/// The content of a RAID segment of `length` bytes.
pub(super) fn make(
    builder: &mut Builder<'_>,
    segment: &Segment,
    length: u64,
    parts: &mut Parts,
) -> Result<Arc<dyn Source>, Fault> {
    let fields = &segment.fields;
    let kind = segment.kind.as_str();
    if fields.number("data_offset").is_some_and(|offset| offset != 0)
        || fields.number("delta_disks").is_some_and(|delta| delta != 0)
        || fields.number("reshape_count").is_some_and(|count| count != 0)
    {
        return Err(Fault::unsupported("a reshape is under way, which is not supported"));
    }
    let pairs = names(segment);
    let count = pairs.len();
    if count == 0 || count > MOST_LEGS {
        return Err(Fault::corrupt(format!("a {} segment has {count} legs", shown(kind))));
    }
    let legs = legs(builder, &pairs, parts);
    let missing = legs.iter().filter(|leg| leg.is_missing()).count();
    if missing > 0 {
        parts.faults.push(Fault::missing(format!(
            "degraded: {} of {count} legs are there",
            count.saturating_sub(missing)
        )));
    }
    let too_few = || Fault::missing(format!("too few legs: {missing} of {count} are missing"));
    let stripe_bytes = fields.count("stripe_size").unwrap_or(0).saturating_mul(512);
    if kind != "raid1" && stripe_bytes == 0 {
        return Err(Fault::corrupt(format!("a {} segment has stripes of 0 bytes", shown(kind))));
    }
    if !kind.starts_with("raid0") {
        parts.redundancy = parts.redundancy.saturating_add(1);
    }
    match kind {
        "raid0" | "raid0_meta" => {
            if missing > 0 {
                return Err(too_few());
            }
            let each = length.checked_div(to_u64(count)).unwrap_or(0);
            let sizes = vec![each; count];
            Ok(Arc::new(Stripes::new(legs, &sizes, stripe_bytes, ZoneRule::Alternate)))
        }
        "raid1" if missing < count => Ok(Arc::new(Copies::mirror(legs, length))),
        "raid1" => Err(too_few()),
        "raid10" | "raid10_near" => {
            let near = fields.count("data_copies").unwrap_or(2).max(1);
            let far = 1;
            let set_legs = to_u64(count);
            let spread = Spread { near, far, stride_bytes: 0, is_offset: false, set_legs };
            let copies = Copies::spread(legs, spread, stripe_bytes, length);
            if near <= to_u64(count) && copies.is_complete() {
                Ok(Arc::new(copies))
            } else {
                Err(too_few())
            }
        }
        other => {
            let Some(layout) = parity_layout(other) else {
                let text = format!("a segment of type {} is not supported", shown(other));
                return Err(Fault::unsupported(text));
            };
            if missing > layout.parities() || count <= layout.parities() {
                return Err(too_few());
            }
            Ok(Arc::new(Parity::new(legs, layout, stripe_bytes, length)))
        }
    }
}

/// Names of each leg's superblock volume, if it has one, and of its data volume.
fn names(segment: &Segment) -> Vec<(Option<String>, String)> {
    let plain = segment.fields.texts("raid0_lvs");
    if !plain.is_empty() {
        return plain.into_iter().map(|name| (None, name)).collect();
    }
    let all = segment.fields.texts("raids");
    let (pairs, _) = all.as_chunks::<2>();
    pairs.iter().map(|[meta, image]| (Some(meta.clone()), image.clone())).collect()
}

fn legs(
    builder: &mut Builder<'_>,
    pairs: &[(Option<String>, String)],
    parts: &mut Parts,
) -> Vec<Leg> {
    let states: Vec<Option<State>> = pairs
        .iter()
        .map(|(meta, _)| state(&builder.volume(meta.as_deref()?).ok()?.source))
        .collect();
    let newest = states.iter().flatten().max_by_key(|state| state.events).copied();
    let mut legs = Vec::new();
    for (index, ((_, image), own)) in pairs.iter().zip(&states).enumerate() {
        let made = match builder.volume(image) {
            Ok(made) => made,
            Err(fault) => {
                parts.faults.push(fault);
                legs.push(Leg::missing());
                continue;
            }
        };
        parts.join(&made);
        let mut leg = Leg::whole(made.source);
        if let (Some(own), Some(newest)) = (own, newest) {
            let bit = u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index));
            let is_failed = bit.is_some_and(|bit| newest.failed & bit != 0);
            if is_failed || own.events.saturating_add(1) < newest.events {
                parts.faults.push(Fault::corrupt(format!(
                    "leg {} is stale: its events are {}, the newest {}; it is not used",
                    shown(image),
                    own.events,
                    newest.events
                )));
                leg = Leg::missing();
            } else if own.rebuilt_bytes < leg.valid_bytes {
                parts.faults.push(Fault::missing(format!(
                    "leg {} is rebuilt up to {} bytes only",
                    shown(image),
                    own.rebuilt_bytes
                )));
                leg.valid_bytes = own.rebuilt_bytes;
            }
        }
        legs.push(leg);
    }
    legs
}
