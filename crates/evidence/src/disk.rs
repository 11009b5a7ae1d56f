//! One call that shows a disk: partitions, gaps, what each part holds, the systems installed, and every problem met.

use crate::error::EvidenceError;
use crate::fs::{FileSystem, View};
use crate::os::{self, InstalledSystem};
use crate::partition::{self, Partition, Scheme, Table};
use crate::probe::{self, Content, ContentKind};
use crate::problem::{Place, Problem};
use crate::source::{Source, Window};
use crate::{btrfs, erofs, exfat, ext, fat, iso9660, ntfs, squashfs, xfs};
use serde::Serialize;
use std::sync::Arc;

/// A byte range that holds something: a partition, or the whole source where there is no table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The partition's number; `None` for the whole source.
    pub partition: Option<u32>,
    /// First byte.
    pub start_bytes: u64,
    /// Length in bytes, cut to what the source has.
    pub length_bytes: u64,
    /// What was recognised, deciding content first.
    pub contents: Vec<Content>,
    /// The system installed there.
    pub system: Option<InstalledSystem>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Everything one look at a disk tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskView {
    /// Size of the source in bytes.
    pub size_bytes: u64,
    /// Logical sector size the source reports, in bytes.
    pub sector_bytes: u32,
    /// The partition table.
    pub table: Table,
    /// Every range that can hold something, in the order of the table.
    pub volumes: Vec<Volume>,
}

impl DiskView {
    /// Every problem of the table and of the volumes.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.table.problems.iter().chain(self.volumes.iter().flat_map(|volume| &volume.problems))
    }

    /// Volumes with an installed system.
    pub fn systems(&self) -> impl Iterator<Item = (&Volume, &InstalledSystem)> {
        self.volumes.iter().filter_map(|volume| Some((volume, volume.system.as_ref()?)))
    }
}

/// Looks at a disk or image. Never fails: what could not be read is among the problems.
#[must_use]
pub fn examine(source: &Arc<dyn Source>) -> DiskView {
    let table = partition::read_table(&**source);
    let mut volumes: Vec<Volume> = Vec::new();
    if table.scheme == Scheme::None {
        volumes.push(volume(source, None));
    } else {
        for partition in table.partitions.iter().filter(|partition| !partition.is_container) {
            volumes.push(volume(source, Some(partition)));
        }
    }
    DiskView {
        size_bytes: source.size_bytes(),
        sector_bytes: source.sector_bytes(),
        table,
        volumes,
    }
}

fn volume(source: &Arc<dyn Source>, partition: Option<&Partition>) -> Volume {
    let (start, length) =
        partition.map_or((0, source.size_bytes()), |p| (p.start_bytes, p.length_bytes));
    let window = Window::new(Arc::clone(source), start, length);
    let found = probe::probe(&window);
    let mut volume = Volume {
        partition: partition.map(|partition| partition.number),
        start_bytes: start,
        length_bytes: window.size_bytes(),
        contents: found.contents,
        system: None,
        problems: found.problems,
    };
    // A file system on several devices is opened when all of them are at hand.
    let is_part = volume.contents.iter().any(|content| content.devices.is_some());
    if volume.is_readable() && !is_part {
        match open(source, &volume) {
            Ok(fs) => {
                volume.system = os::find(&*fs);
                volume.problems.extend(fs.problems().iter().cloned());
            }
            Err(error) => {
                let place =
                    partition.map_or(Place::Source, |partition| Place::Partition(partition.number));
                volume.problems.push(error.to_problem(place));
            }
        }
    }
    volume
}

impl Volume {
    /// Whether [`open`] has a reader for it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.contents.iter().any(|content| content.kind.is_readable())
    }
}

/// Opens the file system of a volume, as a mount would show it.
///
/// # Errors
/// As [`open_view`].
pub fn open(
    source: &Arc<dyn Source>,
    volume: &Volume,
) -> Result<Box<dyn FileSystem>, EvidenceError> {
    open_view(source, volume, View::Recovered)
}

/// Opens the file system of a volume in the view asked for.
///
/// # Errors
/// `Unsupported`, naming the content, where there is no reader for it; else as the reader.
pub fn open_view(
    source: &Arc<dyn Source>,
    volume: &Volume,
    view: View,
) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let window: Arc<dyn Source> =
        Arc::new(Window::new(Arc::clone(source), volume.start_bytes, volume.length_bytes));
    let readable = volume.contents.iter().find(|content| content.kind.is_readable());
    match readable {
        Some(content) => open_kind(content.kind, window, view),
        None => {
            let names: Vec<String> =
                volume.contents.iter().map(|content| format!("{:?}", content.kind)).collect();
            let what = if names.is_empty() {
                "unrecognised content".to_owned()
            } else {
                format!("reading files from {}", names.join(", "))
            };
            Err(EvidenceError::Unsupported { what })
        }
    }
}

/// Opens a file system of a known kind that begins at the start of `source`.
///
/// # Errors
/// `Unsupported` where there is no reader for it; else as the reader.
pub fn open_kind(
    kind: ContentKind,
    source: Arc<dyn Source>,
    view: View,
) -> Result<Box<dyn FileSystem>, EvidenceError> {
    match kind {
        ContentKind::Ext2 | ContentKind::Ext3 | ContentKind::Ext4 => ext::open(source, view),
        ContentKind::Xfs => xfs::open(source, view),
        ContentKind::Btrfs => btrfs::open(vec![source], view),
        ContentKind::Ntfs => ntfs::open(source, view),
        ContentKind::Fat12 | ContentKind::Fat16 | ContentKind::Fat32 => fat::open(source, view),
        ContentKind::Exfat => exfat::open(source, view),
        ContentKind::Iso9660 => iso9660::open(source, view),
        ContentKind::Squashfs => squashfs::open(source, view),
        ContentKind::Erofs => erofs::open(source, view),
        other => Err(EvidenceError::unsupported(format!("reading files from {other:?}"))),
    }
}
