//! The metadata text as types (lvm2 `lib/format_text/import_vsn1.c`).

use super::text::{Item, Section};
use std::collections::BTreeSet;

/// A group.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) sequence: u64,
    pub(super) extent_bytes: u64,
    pub(super) physical: Vec<Physical>,
    pub(super) volumes: Vec<Volume>,
    pub(super) host: Option<String>,
    pub(super) written: Option<i64>,
    pub(super) written_by: Option<String>,
}

/// A physical volume as the group knows it.
#[derive(Clone, Debug)]
pub(super) struct Physical {
    /// Its name within the text.
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) device: Option<String>,
    /// Where its extents begin, and how many there are.
    pub(super) start_bytes: u64,
    pub(super) extents: u64,
    pub(super) flags: Vec<String>,
}

/// A logical volume.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) flags: Vec<String>,
    pub(super) is_visible: bool,
    pub(super) segments: Vec<Segment>,
    pub(super) host: Option<String>,
    pub(super) created: Option<i64>,
}

/// A segment: extents of one type.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) first_extent: u64,
    pub(super) extents: u64,
    pub(super) kind: String,
    pub(super) fields: Section,
}

/// The group a text describes; `None` when it lacks what every group has.
pub(super) fn read(root: &Section) -> Option<Metadata> {
    let (name, group) = root.sections().next()?;
    let mut physical = Vec::new();
    for (name, one) in group.section("physical_volumes").into_iter().flat_map(Section::sections) {
        physical.push(Physical {
            name: name.to_owned(),
            uuid: one.text("id")?.to_owned(),
            device: one.text("device").map(str::to_owned),
            start_bytes: one.count("pe_start")?.saturating_mul(512),
            extents: one.count("pe_count")?,
            flags: flags(one),
        });
    }
    let mut volumes = Vec::new();
    for (name, one) in group.section("logical_volumes").into_iter().flat_map(Section::sections) {
        let flags = flags(one);
        volumes.push(Volume {
            name: name.to_owned(),
            uuid: one.text("id")?.to_owned(),
            is_visible: flags.iter().any(|flag| flag == "VISIBLE"),
            flags,
            segments: segments(one)?,
            host: one.text("creation_host").map(str::to_owned),
            created: one.number("creation_time"),
        });
    }
    Some(Metadata {
        name: name.to_owned(),
        uuid: group.text("id")?.to_owned(),
        sequence: group.count("seqno")?,
        extent_bytes: group.count("extent_size")?.saturating_mul(512),
        physical,
        volumes,
        host: root.text("creation_host").map(str::to_owned),
        written: root.number("creation_time"),
        written_by: root.text("description").map(str::to_owned),
    })
}

fn flags(section: &Section) -> Vec<String> {
    let mut all = section.texts("status");
    all.extend(section.texts("flags"));
    all
}

fn segments(volume: &Section) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    for (name, one) in volume.sections().filter(|(name, _)| name.starts_with("segment")) {
        // A flag may follow the type behind a plus, for older versions to stumble over.
        let kind = one.text("type").unwrap_or(name).split('+').next().unwrap_or_default();
        segments.push(Segment {
            first_extent: one.count("start_extent")?,
            extents: one.count("extent_count")?,
            kind: kind.to_owned(),
            fields: one.clone(),
        });
    }
    Some(segments)
}

impl Metadata {
    /// The volumes a system shows. Of a snapshot the text marks a nameless volume as visible, but the name people know is
    /// that of its store.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Volume> {
        let is_snapshot = |one: &&Segment| one.kind == "snapshot";
        let all = self.volumes.iter().flat_map(|volume| &volume.segments).filter(is_snapshot);
        let stores: BTreeSet<&str> = all
            .filter_map(|one| one.fields.text("cow_store").or(one.fields.text("merging_store")))
            .collect();
        self.volumes.iter().filter(move |volume| {
            let stands_for_store = volume.segments.iter().any(|one| is_snapshot(&one));
            stores.contains(volume.name.as_str()) || volume.is_visible && !stands_for_store
        })
    }
}

impl Volume {
    /// The number of its extents.
    pub(super) fn extents(&self) -> u64 {
        let end = |segment: &Segment| segment.first_extent.saturating_add(segment.extents);
        self.segments.iter().map(end).max().unwrap_or(0)
    }
}

/// Pairs of a name and a number, as `stripes` and `mirrors` list their areas.
pub(super) fn areas(list: &[Item]) -> Vec<(String, u64)> {
    let (pairs, _) = list.as_chunks::<2>();
    pairs
        .iter()
        .filter_map(|pair| match pair {
            [Item::Text(name), Item::Number(extent)] => {
                Some((name.clone(), u64::try_from(*extent).ok()?))
            }
            _ => None,
        })
        .collect()
}
