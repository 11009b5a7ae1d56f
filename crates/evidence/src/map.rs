//! What every range of a disk is, and which file a byte of it belongs to.

use crate::disk::Volume;
use crate::error::EvidenceError;
use crate::fs::tree::{self, Limits};
use crate::fs::{FileKind, FileSystem, Node, RawPath, Stored, View};
use crate::problem::{Place, Problem};
use crate::stack::{Layer, Origin, Stack, VolumeId};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// A partition table's own sectors.
    Table,
    /// A partition, or a whole disk without a table.
    Volume,
    /// Belongs to no partition.
    Gap,
    /// Inside a volume: counted as free by its file system.
    Free,
    /// Inside a volume: in use by its file system.
    Allocated,
}

/// One range of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// First byte.
    pub start_bytes: u64,
    /// Length in bytes.
    pub length_bytes: u64,
    /// What it is.
    pub used_as: Use,
    /// Its address, if it is a volume.
    pub address: Option<String>,
    /// In words.
    pub what: String,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Tables, volumes and gaps.
    Volumes,
    /// Free and used space inside the volumes too.
    Allocation,
}

/// The ranges of one layer, in order of place, and what could not be told.
#[must_use]
pub fn layer(stack: &Stack, number: usize, detail: Detail) -> (Vec<Run>, Vec<Problem>) {
    let mut runs = Vec::new();
    let mut problems = Vec::new();
    let Some(layer) = stack.layers.get(number) else { return (runs, problems) };
    let table = &layer.view.table;
    for part in &table.structures {
        runs.push(Run {
            start_bytes: part.start_bytes,
            length_bytes: part.length_bytes,
            used_as: Use::Table,
            address: None,
            what: part.what.to_owned(),
        });
    }
    for gap in gaps_around(layer) {
        runs.push(gap);
    }
    for id in stack.volumes_of(number) {
        let Some(volume) = stack.volume(id) else { continue };
        runs.push(Run {
            start_bytes: volume.start_bytes,
            length_bytes: volume.length_bytes,
            used_as: Use::Volume,
            address: Some(stack.address(id)),
            what: described(stack, id, volume),
        });
        if detail == Detail::Allocation && volume.is_readable() {
            match allocation(stack, id, volume) {
                Ok(more) => runs.extend(more),
                Err(error) => {
                    problems.push(error.to_problem(Place::OffsetBytes(volume.start_bytes)));
                }
            }
        }
    }
    runs.sort_by_key(|run| {
        (run.start_bytes, run.used_as == Use::Allocated || run.used_as == Use::Free)
    });
    (runs, problems)
}

/// Gaps, without the sectors of the table that lie in them.
fn gaps_around(layer: &Layer) -> Vec<Run> {
    let table = &layer.view.table;
    let mut out = Vec::new();
    for gap in &table.gaps {
        let end = gap.start_bytes.saturating_add(gap.length_bytes);
        let mut from = gap.start_bytes;
        let mut inside: Vec<(u64, u64)> = table
            .structures
            .iter()
            .map(|part| (part.start_bytes, part.start_bytes.saturating_add(part.length_bytes)))
            .filter(|(start, stop)| *start < end && *stop > gap.start_bytes)
            .collect();
        inside.sort_unstable();
        inside.push((end, end));
        for (start, stop) in inside {
            if start > from {
                out.push(Run {
                    start_bytes: from,
                    length_bytes: start.saturating_sub(from),
                    used_as: Use::Gap,
                    address: None,
                    what: "belongs to no partition".to_owned(),
                });
            }
            from = from.max(stop);
        }
    }
    out
}

fn described(stack: &Stack, id: VolumeId, volume: &Volume) -> String {
    let mut words = Vec::new();
    if let Some(partition) = stack.partition(id) {
        let kind =
            partition.kind_name.map_or_else(|| format!("{:?}", partition.kind), str::to_owned);
        words.push(format!("partition {} ({kind})", partition.number));
        words.extend(partition.label.as_ref().map(|label| format!("named \"{label}\"")));
    }
    for content in &volume.contents {
        let label =
            content.label.as_ref().map_or_else(String::new, |label| format!(" \"{label}\""));
        words.push(format!("{:?}{label}", content.kind));
    }
    if volume.contents.is_empty() {
        words.push("nothing recognised".to_owned());
    }
    words.join(", ")
}

fn allocation(stack: &Stack, id: VolumeId, volume: &Volume) -> Result<Vec<Run>, EvidenceError> {
    let fs = stack.open(id, View::Recovered)?;
    let mut runs = Vec::new();
    let mut from = 0_u64;
    let mut push = |start: u64, end: u64, used_as, what: &str| {
        if end > start {
            runs.push(Run {
                start_bytes: volume.start_bytes.saturating_add(start),
                length_bytes: end.saturating_sub(start),
                used_as,
                address: None,
                what: what.to_owned(),
            });
        }
    };
    for free in fs.free_ranges()? {
        push(from, free.start, Use::Allocated, "in use");
        push(free.start, free.end, Use::Free, "free");
        from = from.max(free.end);
    }
    push(from, volume.length_bytes, Use::Allocated, "in use");
    Ok(runs)
}

/// What one byte of a layer belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// Address of the volume.
    pub address: String,
    /// Offset within the volume, in bytes.
    pub volume_offset_bytes: u64,
    /// The files that have it among their extents: path and node.
    pub files: Vec<(RawPath, Node)>,
    /// Offset within the first such file, in bytes; of packed content, where its run begins.
    pub file_offset_bytes: Option<u64>,
    /// Whether the file system counts it as free, if that can be told.
    pub is_free: Option<bool>,
    /// What stood in the way.
    pub problems: Vec<Problem>,
}

/// Who owns the byte at `offset_bytes` of a layer; searches every file of the volume it lies in. `None`: no volume has it.
#[must_use]
pub fn owner(stack: &Stack, number: usize, offset_bytes: u64) -> Option<Owner> {
    let id = stack.volumes_of(number).find(|id| {
        stack.volume(*id).is_some_and(|volume| {
            let end = volume.start_bytes.saturating_add(volume.length_bytes);
            (volume.start_bytes..end).contains(&offset_bytes)
        })
    })?;
    let volume = stack.volume(id)?;
    let mut owner = Owner {
        address: stack.address(id),
        volume_offset_bytes: offset_bytes.saturating_sub(volume.start_bytes),
        files: Vec::new(),
        file_offset_bytes: None,
        is_free: None,
        problems: Vec::new(),
    };
    match stack.open(id, View::Recovered) {
        Ok(fs) => owner.search(&*fs),
        Err(error) => owner.problems.push(error.to_problem(Place::Source)),
    }
    Some(owner)
}

impl Owner {
    fn search(&mut self, fs: &dyn FileSystem) {
        let at = self.volume_offset_bytes;
        if let Ok(free) = fs.free_ranges() {
            self.is_free = Some(free.iter().any(|range| range.contains(&at)));
        }
        let mut seen = BTreeSet::new();
        let mut problems = Vec::new();
        let (files, offset) = (&mut self.files, &mut self.file_offset_bytes);
        let limits = Limits::default();
        let met = tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
            let node = visit.metadata.node;
            let has_content = matches!(
                visit.metadata.kind,
                FileKind::File | FileKind::Directory | FileKind::Symlink
            );
            if !has_content || (visit.metadata.links > 1 && !seen.insert(node) && files.is_empty())
            {
                return;
            }
            let extents = match fs.extents(node) {
                Ok(extents) => extents,
                Err(error) => {
                    problems.push(error.to_problem(Place::Path(visit.path)));
                    return;
                }
            };
            for extent in extents {
                let (start, length, packed) = match extent.stored {
                    Stored::At(at) | Stored::Unwritten(at) => (at, extent.length_bytes, false),
                    Stored::Packed { at, length_bytes } => (at, length_bytes, true),
                    Stored::Hole | Stored::Inline | Stored::OnDevice { .. } => continue,
                };
                if (start..start.saturating_add(length)).contains(&at) {
                    let within = if packed { 0 } else { at.saturating_sub(start) };
                    offset.get_or_insert(extent.logical_bytes.saturating_add(within));
                    files.push((visit.path, node));
                    return;
                }
            }
        });
        self.problems.extend(problems);
        self.problems.extend(met);
    }
}

/// How a layer came to be, in words.
#[must_use]
pub fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Disk => "disk".to_owned(),
        Origin::Nested { on } => format!("partition table inside {on}"),
        Origin::Assembled { by, description, members, .. } => {
            format!("{by}: {description}, from {}", members.join(", "))
        }
        Origin::Unlocked { on, by } => format!("{by} volume {on}, opened"),
    }
}
