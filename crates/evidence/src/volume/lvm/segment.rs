//! Segments by type.

use super::build::{Builder, Fault, Parts};
use super::group::shown;
use super::metadata::{Segment, areas};
use super::{raid, thin};
use crate::bytes::to_u64;
use crate::source::{Source, SourceError};
use crate::volume::raid::{Copies, Leg, Stripes, ZoneRule};
use std::sync::Arc;

/// The segment for people: `striped, 3 stripes of 64 KiB`.
pub(super) fn describe(segment: &Segment) -> String {
    let kind = shown(&segment.kind);
    let stripes = areas(segment.fields.list("stripes")).len();
    let stripe_kib = segment.fields.count("stripe_size").unwrap_or(0) / 2;
    let devices = segment.fields.count("device_count").unwrap_or(0);
    match segment.kind.as_str() {
        "striped" if stripes <= 1 => "linear".to_owned(),
        "striped" => format!("striped, {stripes} stripes of {stripe_kib} KiB"),
        "thin" => {
            let pool = segment.fields.text("thin_pool").unwrap_or_default();
            format!("thin, in pool {}", shown(pool))
        }
        _ if devices > 0 && stripe_kib > 0 => {
            format!("{kind}, {devices} members, stripe {stripe_kib} KiB")
        }
        _ if devices > 0 => format!("{kind}, {devices} members"),
        _ => kind,
    }
}

/// The content of a segment.
pub(super) fn make(
    builder: &mut Builder<'_>,
    segment: &Segment,
    parts: &mut Parts,
) -> Result<Arc<dyn Source>, Fault> {
    let length = builder.bytes(segment.extents);
    match segment.kind.as_str() {
        "striped" => striped(builder, segment, length, parts),
        "mirror" => mirror(builder, segment, length, parts),
        "thin" => thin::make(builder, segment, length, parts),
        "zero" => Ok(Arc::new(Zeros(length))),
        "error" => Err(Fault::missing("a segment of type error holds nothing")),
        "cache" => cache(builder, segment, parts),
        kind if kind.starts_with("raid") => raid::make(builder, segment, length, parts),
        kind => {
            Err(Fault::unsupported(format!("a segment of type {} is not supported", shown(kind))))
        }
    }
}

fn striped(
    builder: &mut Builder<'_>,
    segment: &Segment,
    length: u64,
    parts: &mut Parts,
) -> Result<Arc<dyn Source>, Fault> {
    let stripes = areas(segment.fields.list("stripes"));
    if let [(name, extent)] = stripes.as_slice() {
        return builder.area(name, *extent, length, parts);
    }
    let stripe_bytes = segment.fields.count("stripe_size").unwrap_or(0).saturating_mul(512);
    if stripes.is_empty() || stripe_bytes == 0 || stripes.len() > 1024 {
        return Err(Fault::corrupt(format!(
            "a segment has {} stripes of {stripe_bytes} bytes",
            stripes.len()
        )));
    }
    let each = length.checked_div(to_u64(stripes.len())).unwrap_or(0);
    let mut legs = Vec::new();
    for (name, extent) in &stripes {
        match builder.area(name, *extent, each, parts) {
            Ok(source) => legs.push(Leg::whole(source)),
            Err(fault) => {
                parts.faults.push(fault);
                legs.push(Leg::missing());
            }
        }
    }
    let sizes = vec![each; legs.len()];
    Ok(Arc::new(Stripes::new(legs, &sizes, stripe_bytes, ZoneRule::Alternate)))
}

/// The old mirror: device mapper keeps its legs alike and takes a failed one out, so any that is there will do.
fn mirror(
    builder: &mut Builder<'_>,
    segment: &Segment,
    length: u64,
    parts: &mut Parts,
) -> Result<Arc<dyn Source>, Fault> {
    let mut legs = Vec::new();
    for (name, extent) in areas(segment.fields.list("mirrors")) {
        match builder.area(&name, extent, length, parts) {
            Ok(source) => legs.push(Leg::whole(source)),
            Err(fault) => {
                parts.faults.push(fault);
                legs.push(Leg::missing());
            }
        }
    }
    if legs.iter().all(Leg::is_missing) {
        return Err(Fault::missing("no leg of the mirror is there"));
    }
    parts.redundancy = parts.redundancy.saturating_add(1);
    Ok(Arc::new(Copies::mirror(legs, length)))
}

/// dm-cache: in writethrough mode the origin has everything; else the cache may hold what the origin lacks.
fn cache(
    builder: &mut Builder<'_>,
    segment: &Segment,
    parts: &mut Parts,
) -> Result<Arc<dyn Source>, Fault> {
    let pool = segment.fields.text("cache_pool").unwrap_or_default();
    let of_pool = builder.named(pool).ok().and_then(|pool| {
        pool.segments.iter().find_map(|one| one.fields.text("cache_mode").map(str::to_owned))
    });
    let mode = segment.fields.text("cache_mode").map(str::to_owned).or(of_pool);
    if mode.as_deref() != Some("writethrough") {
        return Err(Fault::unsupported(format!(
            "a cache in mode {} is not supported",
            shown(mode.as_deref().unwrap_or("unknown"))
        )));
    }
    let origin = segment.fields.text("origin").unwrap_or_default();
    let made = builder.volume(origin)?;
    parts.join(&made);
    Ok(made.source)
}

/// A range of zeros.
pub(super) struct Zeros(pub(super) u64);

impl Source for Zeros {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let count = crate::bytes::to_usize(self.0.saturating_sub(offset_bytes)).min(buf.len());
        if let Some(part) = buf.get_mut(..count) {
            part.fill(0);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        self.0
    }
}
