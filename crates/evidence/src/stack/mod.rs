//! Disks as they lie on each other: partitions, arrays, volume groups, encrypted volumes, and the file systems on top.
//!
//! Built once from all disks at hand, because an array or a volume group may spread over several. Every range that can
//! hold something gets an address that stays the same from one verb to the next: `DISK:LABEL`, where the label is the
//! number of a partition (`2`, nested `2.1`), `0` for a disk without a table, `vg/lv` for a logical volume, `md/NAME` for an
//! array. What an encrypted volume holds is addressed like the volume itself, once a key opened it.

mod build;

use crate::disk::{self, DiskView, Volume};
use crate::error::EvidenceError;
use crate::fs::{FileSystem, View};
use crate::probe::{Content, ContentKind};
use crate::problem::Problem;
use crate::source::{Source, Window};
use crate::volume::Key;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A disk or image to look at.
#[derive(Clone)]
pub struct Disk {
    /// What addresses call it.
    pub name: String,
    /// Its bytes.
    pub source: Arc<dyn Source>,
}

/// Where the bytes of a layer come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    /// A disk or image.
    Disk,
    /// A range of another layer that has a partition table of its own.
    Nested {
        /// Address of the range.
        on: String,
    },
    /// Several ranges put together.
    Assembled {
        /// `lvm` or `md`.
        by: &'static str,
        /// How, for people.
        description: String,
        /// UUID of the volume or array.
        uuid: Option<String>,
        /// Addresses of the ranges used.
        members: Vec<String>,
    },
    /// An encrypted range, opened.
    Unlocked {
        /// Address of the range.
        on: String,
        /// `luks` or `bitlocker`.
        by: &'static str,
    },
}

/// One source and what a look at it shows.
#[derive(Clone, Serialize)]
pub struct Layer {
    /// The disk it is addressed under: for what spreads over several, the first.
    pub disk: String,
    /// Its label below that disk, empty for the disk itself.
    pub label: String,
    /// Where its bytes come from.
    pub origin: Origin,
    /// Its partitions and contents.
    pub view: DiskView,
    /// What assembling it met.
    pub problems: Vec<Problem>,
    /// Its bytes.
    #[serde(skip)]
    pub source: Arc<dyn Source>,
}

/// A range of a layer, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    layer: usize,
    volume: usize,
}

/// Something that could not be assembled or opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// Its address.
    pub address: String,
    /// What it is.
    pub description: String,
    /// Why it stays closed.
    pub problems: Vec<Problem>,
}

/// All layers.
#[derive(Clone, Serialize)]
pub struct Stack {
    /// Disks first, in the order given, then what was found on them.
    pub layers: Vec<Layer>,
    /// Volumes that were seen but not opened.
    pub closed: Vec<Closed>,
}

impl Stack {
    /// Looks at all disks and at everything that can be assembled from them; `keys` are tried on encrypted volumes.
    ///
    /// Never fails: what could not be read is in the problems of its layer, what could not be opened in [`Stack::closed`].
    #[must_use]
    pub fn examine(disks: &[Disk], keys: &[Key]) -> Self {
        build::build(disks, keys)
    }

    /// Every range that can hold something, in order.
    pub fn volumes(&self) -> impl Iterator<Item = VolumeId> + '_ {
        self.layers.iter().enumerate().flat_map(|(layer, found)| {
            (0..found.view.volumes.len()).map(move |volume| VolumeId { layer, volume })
        })
    }

    /// The ranges of one layer, in order.
    pub fn volumes_of(&self, layer: usize) -> impl Iterator<Item = VolumeId> + '_ {
        self.volumes().filter(move |id| id.layer == layer)
    }

    fn layer(&self, id: VolumeId) -> Option<&Layer> {
        self.layers.get(id.layer)
    }

    /// The range itself.
    #[must_use]
    pub fn volume(&self, id: VolumeId) -> Option<&Volume> {
        self.layer(id)?.view.volumes.get(id.volume)
    }

    /// The partition the range is, if it is one.
    #[must_use]
    pub fn partition(&self, id: VolumeId) -> Option<&crate::partition::Partition> {
        let number = self.volume(id)?.partition?;
        let table = &self.layer(id)?.view.table;
        table.partitions.iter().find(|partition| partition.number == number)
    }

    /// Where the bytes of its layer come from.
    #[must_use]
    pub fn origin(&self, id: VolumeId) -> Option<&Origin> {
        Some(&self.layer(id)?.origin)
    }

    /// The disk it is addressed under.
    #[must_use]
    pub fn disk_of(&self, id: VolumeId) -> &str {
        self.layer(id).map_or("", |layer| &layer.disk)
    }

    /// Its label below that disk.
    #[must_use]
    pub fn label(&self, id: VolumeId) -> String {
        let Some(layer) = self.layer(id) else { return String::new() };
        let number = self.volume(id).and_then(|volume| volume.partition);
        label_below(&layer.label, number)
    }

    /// Its address, `DISK:LABEL`.
    #[must_use]
    pub fn address(&self, id: VolumeId) -> String {
        format!("{}:{}", self.disk_of(id), self.label(id))
    }

    /// The range with this label on this disk; a volume that spreads over disks answers under any of them, and what an
    /// encrypted volume holds goes before the encrypted volume.
    #[must_use]
    pub fn find(&self, disk: &str, label: &str) -> Option<VolumeId> {
        let of_disk = |id: &VolumeId| {
            let spreads = self
                .layer(*id)
                .is_some_and(|layer| matches!(layer.origin, Origin::Assembled { .. }));
            spreads || self.disk_of(*id) == disk
        };
        let mut all: Vec<VolumeId> =
            self.volumes().filter(of_disk).filter(|id| self.label(*id) == label).collect();
        all.sort_unstable();
        all.pop()
    }

    /// The bytes of a range.
    #[must_use]
    pub fn source(&self, id: VolumeId) -> Option<Arc<dyn Source>> {
        let (layer, volume) = (self.layer(id)?, self.volume(id)?);
        let window =
            Window::new(Arc::clone(&layer.source), volume.start_bytes, volume.length_bytes);
        Some(Arc::new(window))
    }

    /// Where the range begins on its disk, in bytes, if it is one piece of it: not for what was assembled or unlocked.
    #[must_use]
    pub fn start_on_disk_bytes(&self, id: VolumeId) -> Option<u64> {
        let (mut start_bytes, mut at) = (self.volume(id)?.start_bytes, id);
        loop {
            match self.origin(at)? {
                Origin::Disk => return Some(start_bytes),
                Origin::Nested { on } => {
                    at = self.below(at, on).last()?;
                    start_bytes = start_bytes.checked_add(self.volume(at)?.start_bytes)?;
                }
                Origin::Assembled { .. } | Origin::Unlocked { .. } => return None,
            }
        }
    }

    /// The disks whose bytes a range is made of, each once.
    #[must_use]
    pub fn disks_of(&self, id: VolumeId) -> BTreeSet<String> {
        let (mut disks, mut seen) = (BTreeSet::new(), BTreeSet::from([id]));
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let on: &[String] = match self.origin(id) {
                Some(Origin::Nested { on } | Origin::Unlocked { on, .. }) => {
                    std::slice::from_ref(on)
                }
                Some(Origin::Assembled { members, .. }) => members,
                Some(Origin::Disk) => {
                    disks.insert(self.disk_of(id).to_owned());
                    &[]
                }
                None => &[],
            };
            let below = on.iter().flat_map(|on| self.below(id, on));
            open.extend(below.filter(|one| seen.insert(*one)));
        }
        disks
    }

    /// The ranges with this address that were there before the layer of this one.
    fn below<'a>(&'a self, id: VolumeId, on: &'a str) -> impl Iterator<Item = VolumeId> + 'a {
        self.volumes().filter(move |one| one.layer < id.layer && self.address(*one) == on)
    }

    /// Whether the range is to be read as a file system: not if it is part of a volume that was assembled, whose files
    /// would then be seen twice. [`Stack::open`] reads such a range too, when asked for it by its address.
    #[must_use]
    pub fn is_readable(&self, id: VolumeId) -> bool {
        let Some(volume) = self.volume(id).filter(|volume| volume.is_readable()) else {
            return false;
        };
        let decided = volume.contents.first().is_some_and(|first| first.kind.is_readable());
        let address = self.address(id);
        decided
            || !self.layers.iter().any(|layer| match &layer.origin {
                Origin::Assembled { members, .. } => members.contains(&address),
                _ => false,
            })
    }

    /// Opens the file system of a range.
    ///
    /// # Errors
    /// `Unsupported`, naming the content, where there is no reader for it; else as the reader.
    pub fn open(&self, id: VolumeId, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
        let nothing = || EvidenceError::refused("there is no such volume");
        let (layer, volume) =
            (self.layer(id).ok_or_else(nothing)?, self.volume(id).ok_or_else(nothing)?);
        let deciding = volume.contents.iter().find(|content| content.kind.is_readable());
        if let Some(content) = deciding.filter(|content| content.kind == ContentKind::Btrfs) {
            return crate::btrfs::open(self.devices(content), view);
        }
        disk::open_view(&layer.source, volume, view)
    }

    /// All devices of one Btrfs.
    pub(super) fn devices(&self, of: &Content) -> Vec<Arc<dyn Source>> {
        self.volumes()
            .filter(|id| {
                self.volume(*id).is_some_and(|volume| {
                    volume.contents.iter().any(|one| one.kind == of.kind && one.uuid == of.uuid)
                })
            })
            .filter_map(|id| self.source(id))
            .collect()
    }

    /// Every problem, with the address of what it concerns.
    pub fn problems(&self) -> impl Iterator<Item = (String, &Problem)> + '_ {
        let layers = self.layers.iter().flat_map(|layer| {
            let address = if layer.label.is_empty() {
                layer.disk.clone()
            } else {
                format!("{}:{}", layer.disk, layer.label)
            };
            layer
                .problems
                .iter()
                .chain(layer.view.problems())
                .map(move |problem| (address.clone(), problem))
        });
        let closed = self.closed.iter().flat_map(|closed| {
            closed.problems.iter().map(|problem| (closed.address.clone(), problem))
        });
        layers.chain(closed)
    }
}

/// The label of a partition of a layer, or of a layer without partitions.
fn label_below(layer: &str, partition: Option<u32>) -> String {
    match (layer.is_empty(), partition) {
        (true, None) => "0".to_owned(),
        (true, Some(number)) => number.to_string(),
        (false, None) => layer.to_owned(),
        (false, Some(number)) => format!("{layer}.{number}"),
    }
}
