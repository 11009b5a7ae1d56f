//! The map: which part of which stream stands where on the disk (Standard, section 4).
//!
//! A part that could not be read, or was never asked for, has its own names in the Standard. Such a part is a read error
//! here: the text the Standard would show in its place is nothing that was ever on the disk.

use super::volume::Volume;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::container::mapped::{Layout, Piece, Stored};
use crate::source::{Source, SourceError};
use std::io;
use std::sync::Arc;

const ENTRY_BYTES: usize = 28;

/// Entries one map may have; each costs 32 bytes of memory.
const MAX_ENTRIES: u64 = 4 << 20;

/// Streams one map may name.
const MAX_TARGETS: usize = 4096;

const MAX_TARGET_LIST_BYTES: u64 = 1 << 20;

/// The length of the text in place of what is not there (Standard, 4.4).
const MARKED_BYTES: u64 = 1 << 20;

/// What could not be given, by the Standard's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// It was tried and could not be read.
    Unreadable,
    /// It was never tried.
    Unknown,
}

impl Hole {
    fn why(self) -> &'static str {
        match self {
            Self::Unreadable => "could not be read when the image was made",
            Self::Unknown => "was not acquired",
        }
    }

    fn text(self) -> &'static [u8] {
        match self {
            Self::Unreadable => b"UNREADABLEDATA",
            Self::Unknown => b"UNKNOWN",
        }
    }
}

/// A stream the map names.
#[derive(Clone)]
pub(super) enum Target {
    Zeros,
    /// One byte over and over.
    Filled(Arc<dyn Source>),
    Hole(Hole),
    Stream(Arc<dyn Source>),
    /// A stream that is not to be had, and why.
    Missing(String),
}

impl Target {
    /// A target by its name, if the Standard gives it a meaning.
    pub(super) fn symbolic(name: &str) -> Option<Self> {
        let name = name.strip_prefix(super::volume::SCHEMA)?;
        Some(match name {
            "Zero" => Self::Zeros,
            "UnreadableData" => Self::Hole(Hole::Unreadable),
            "UnknownData" => Self::Hole(Hole::Unknown),
            _ => {
                let digits =
                    name.strip_prefix("SymbolicStream").filter(|digits| digits.len() == 2)?;
                match u8::from_str_radix(digits, 16).ok()? {
                    0 => Self::Zeros,
                    byte => {
                        Self::Filled(Arc::new(Repeated { pattern: vec![byte], every_bytes: 1 }))
                    }
                }
            }
        })
    }
}

/// A pattern that begins anew every so many bytes, without an end.
pub(super) struct Repeated {
    pattern: Vec<u8>,
    every_bytes: u64,
}

impl Source for Repeated {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let length = to_u64(self.pattern.len());
        let start = offset_bytes.checked_rem(self.every_bytes).unwrap_or(0);
        for (at, byte) in (start..).zip(buf.iter_mut()) {
            let within = at.checked_rem(self.every_bytes).unwrap_or(0).checked_rem(length);
            *byte = self.pattern.get(to_usize(within.unwrap_or(0))).copied().unwrap_or(0);
        }
        Ok(buf.len())
    }

    fn size_bytes(&self) -> u64 {
        u64::MAX
    }
}

/// A stretch of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start_bytes: u64,
    pub(super) length_bytes: u64,
    /// Where it begins in its target.
    pub(super) target_bytes: u64,
    pub(super) target: u32,
}

impl Entry {
    pub(super) fn end_bytes(&self) -> u64 {
        self.start_bytes.saturating_add(self.length_bytes)
    }
}

/// The entries in order, and the names of their targets.
pub(super) struct Entries {
    pub(super) list: Vec<Entry>,
    pub(super) targets: Vec<String>,
    /// What contradicts the format.
    pub(super) problems: Vec<String>,
}

impl Entries {
    /// Reads the map of this name; the text says why it cannot be read.
    pub(super) fn read(volume: &Volume, urn: &str) -> Result<Self, String> {
        let parts = volume.parts(urn).ok_or("the volume has no member of it")?;
        let (map, targets) = match (&parts.map, &parts.targets) {
            (Some(map), Some(targets)) => (map, targets),
            (None, _) => return Err("the volume has no \"map\" of it".to_owned()),
            (_, None) => return Err("the volume has no \"idx\" of it".to_owned()),
        };
        let limit_bytes = MAX_ENTRIES.saturating_mul(to_u64(ENTRY_BYTES));
        let targets = volume.content(targets, MAX_TARGET_LIST_BYTES)?;
        let targets = String::from_utf8_lossy(&targets);
        let raw = volume.content(map, limit_bytes)?;
        let (whole, rest) = raw.as_chunks::<ENTRY_BYTES>();
        let mut entries = Self {
            list: whole.iter().map(|raw| entry(Fields(raw))).collect(),
            targets: targets.lines().take(MAX_TARGETS).map(|line| line.trim().to_owned()).collect(),
            problems: Vec::new(),
        };
        if !rest.is_empty() {
            entries.problems.push(format!("{} bytes behind its last whole entry", rest.len()));
        }
        entries.order();
        Ok(entries)
    }

    /// Sorts the entries and takes from each what the one before it already covers.
    fn order(&mut self) {
        self.list.retain(|entry| entry.length_bytes != 0);
        self.list.sort_by_key(|entry| entry.start_bytes);
        let (mut end, mut overlapping) = (0_u64, 0_u64);
        for entry in &mut self.list {
            let covered = end.saturating_sub(entry.start_bytes).min(entry.length_bytes);
            overlapping = overlapping.saturating_add(u64::from(covered != 0));
            entry.start_bytes = entry.start_bytes.saturating_add(covered);
            entry.target_bytes = entry.target_bytes.saturating_add(covered);
            entry.length_bytes = entry.length_bytes.saturating_sub(covered);
            end = end.max(entry.end_bytes());
        }
        self.list.retain(|entry| entry.length_bytes != 0);
        if overlapping != 0 {
            let text = format!("{overlapping} entries overlap the one before: the first counts");
            self.problems.push(text);
        }
    }

    /// The end of the last entry.
    pub(super) fn end_bytes(&self) -> u64 {
        self.list.last().map_or(0, Entry::end_bytes)
    }
}

fn entry(fields: Fields<'_>) -> Entry {
    Entry {
        start_bytes: fields.le64(0),
        length_bytes: fields.le64(8),
        target_bytes: fields.le64(16),
        target: fields.le32(24),
    }
}

/// What a reader wants to see where the disk was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// A read error.
    Errors,
    /// The text the Standard counts into its digests.
    Text,
}

/// The disk.
pub(super) struct Disk {
    pub(super) size_bytes: u64,
    pub(super) sector_bytes: u32,
    pub(super) entries: Arc<Vec<Entry>>,
    pub(super) targets: Vec<Target>,
    /// What stands where no entry is.
    pub(super) gaps: Target,
    unreadable: Option<Arc<dyn Source>>,
    unknown: Option<Arc<dyn Source>>,
}

impl Disk {
    pub(super) fn new(entries: Arc<Vec<Entry>>, targets: Vec<Target>, gaps: Target) -> Self {
        Self {
            size_bytes: 0,
            sector_bytes: 512,
            entries,
            targets,
            gaps,
            unreadable: None,
            unknown: None,
        }
    }

    /// The same disk, with something else to see where it was not read.
    pub(super) fn shown(&self, show: Show) -> Self {
        let text = |hole: Hole| -> Option<Arc<dyn Source>> {
            let pattern = hole.text().to_vec();
            (show == Show::Text).then(|| -> Arc<dyn Source> {
                Arc::new(Repeated { pattern, every_bytes: MARKED_BYTES })
            })
        };
        Self {
            size_bytes: self.size_bytes,
            sector_bytes: self.sector_bytes,
            entries: Arc::clone(&self.entries),
            targets: self.targets.clone(),
            gaps: self.gaps.clone(),
            unreadable: text(Hole::Unreadable),
            unknown: text(Hole::Unknown),
        }
    }

    fn stored<'a>(&'a self, target: Option<&'a Target>, at: u64) -> (Stored<'a>, u64) {
        let missing = |kind, text: String| (Stored::Missing(io::Error::new(kind, text)), u64::MAX);
        match target {
            Some(Target::Zeros) => (Stored::Zeros, u64::MAX),
            Some(Target::Filled(source)) => (Stored::Plain(source, at), u64::MAX),
            Some(Target::Stream(source)) => match source.size_bytes().saturating_sub(at) {
                0 => missing(
                    io::ErrorKind::InvalidData,
                    format!("the map leads to {at} of a stream of {} bytes", source.size_bytes()),
                ),
                left => (Stored::Plain(source, at), left),
            },
            Some(Target::Hole(hole)) => {
                let text = match hole {
                    Hole::Unreadable => self.unreadable.as_ref(),
                    Hole::Unknown => self.unknown.as_ref(),
                };
                match text {
                    Some(text) => (Stored::Plain(text, at), u64::MAX),
                    None => missing(io::ErrorKind::Other, hole.why().to_owned()),
                }
            }
            Some(Target::Missing(why)) => missing(io::ErrorKind::NotFound, why.clone()),
            None => missing(io::ErrorKind::InvalidData, "the map names no such stream".to_owned()),
        }
    }

    /// The stretches of a kind of hole, in order.
    pub(super) fn holes(&self, wanted: Hole) -> Vec<(u64, u64)> {
        let mut holes: Vec<(u64, u64)> = Vec::new();
        let mut add = |start: u64, end: u64| match holes.last_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ if end > start => holes.push((start, end)),
            _ => {}
        };
        let is_wanted =
            |target: Option<&Target>| matches!(target, Some(Target::Hole(hole)) if *hole == wanted);
        let mut before = 0_u64;
        for entry in self.entries.iter() {
            if is_wanted(Some(&self.gaps)) {
                add(before, entry.start_bytes);
            }
            if is_wanted(self.targets.get(to_usize(u64::from(entry.target)))) {
                add(entry.start_bytes, entry.end_bytes().min(self.size_bytes));
            }
            before = entry.end_bytes();
        }
        if is_wanted(Some(&self.gaps)) {
            add(before, self.size_bytes);
        }
        holes
    }
}

impl Layout for Disk {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn piece(&self, offset_bytes: u64, _most_bytes: u64) -> Piece<'_> {
        let behind = self.entries.partition_point(|entry| entry.start_bytes <= offset_bytes);
        let entry = behind.checked_sub(1).and_then(|index| self.entries.get(index));
        if let Some(entry) = entry.filter(|entry| entry.end_bytes() > offset_bytes) {
            let within = offset_bytes.saturating_sub(entry.start_bytes);
            let target = self.targets.get(to_usize(u64::from(entry.target)));
            let (stored, most) = self.stored(target, entry.target_bytes.saturating_add(within));
            let length_bytes = entry.end_bytes().saturating_sub(offset_bytes).min(most);
            return Piece { stored, length_bytes };
        }
        let next = self.entries.get(behind).map_or(self.size_bytes, |entry| entry.start_bytes);
        let (stored, most) = self.stored(Some(&self.gaps), offset_bytes);
        Piece { stored, length_bytes: next.saturating_sub(offset_bytes).min(most) }
    }
}
