//! What a byte range holds, told by signatures: file systems, swap, encryption, RAID and volume manager members.
//!
//! Every signature that is present is reported, not only the first: leftovers of an earlier use and a RAID member that
//! also looks like a file system are facts an examiner wants. Reads are few and small, whatever the range claims.

mod copies;
mod filesystems;
mod members;
mod windows;

use crate::bytes::{Fields, to_usize};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use serde::Serialize;
use std::cell::RefCell;

/// What a signature stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the format's own name")]
pub enum ContentKind {
    Ext2,
    Ext3,
    Ext4,
    ExtJournal,
    Xfs,
    Btrfs,
    F2fs,
    Erofs,
    Squashfs,
    Iso9660,
    Udf,
    Ntfs,
    Refs,
    Fat12,
    Fat16,
    Fat32,
    Exfat,
    HfsPlus,
    Apfs,
    Swap,
    HibernatedSwap,
    Luks1,
    Luks2,
    BitLocker,
    LvmMember,
    MdMember,
    Bcache,
    ZfsMember,
}

/// Broad class, which decides what can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentClass {
    /// A file system.
    FileSystem,
    /// Swap space, perhaps with a memory image.
    Swap,
    /// Encrypted: nothing further without a key.
    Encrypted,
    /// A part of a larger volume.
    Member,
}

impl ContentKind {
    /// The class it belongs to.
    #[must_use]
    pub fn class(self) -> ContentClass {
        match self {
            Self::Swap | Self::HibernatedSwap => ContentClass::Swap,
            Self::Luks1 | Self::Luks2 | Self::BitLocker => ContentClass::Encrypted,
            Self::LvmMember
            | Self::MdMember
            | Self::Bcache
            | Self::ZfsMember
            | Self::ExtJournal => ContentClass::Member,
            _ => ContentClass::FileSystem,
        }
    }

    /// Whether this crate can read files from it.
    #[must_use]
    pub fn is_readable(self) -> bool {
        matches!(
            self,
            Self::Ext2
                | Self::Ext3
                | Self::Ext4
                | Self::Xfs
                | Self::Btrfs
                | Self::Ntfs
                | Self::Fat12
                | Self::Fat16
                | Self::Fat32
                | Self::Exfat
                | Self::Iso9660
                | Self::Squashfs
                | Self::Erofs
        )
    }
}

/// One recognised content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// What it is.
    pub kind: ContentKind,
    /// Its label, volume name or array name, escaped.
    pub label: Option<String>,
    /// Its UUID or serial number.
    pub uuid: Option<String>,
    /// The size it claims for itself, in bytes.
    pub size_bytes: Option<u64>,
    /// On how many devices it lies, where that is more than this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// Facts about its state, such as `needs recovery`; each a short phrase.
    pub notes: Vec<String>,
}

impl Content {
    fn new(kind: ContentKind) -> Self {
        Self { kind, label: None, uuid: None, size_bytes: None, devices: None, notes: Vec::new() }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// What a range holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Recognised contents; the one that decides how the range is used comes first.
    pub contents: Vec<Content>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// The first megabyte's part that is read once; most signatures stand here.
const HEAD_BYTES: usize = 132 * 1024;

/// A range being probed: its head in memory, the rest read on demand with errors recorded.
struct Range<'a> {
    source: &'a dyn Source,
    head: Vec<u8>,
    problems: RefCell<Vec<Problem>>,
}

impl Range<'_> {
    fn head(&self) -> Fields<'_> {
        Fields(&self.head)
    }

    fn size(&self) -> u64 {
        self.source.size_bytes()
    }

    /// Up to `length` bytes at `offset`, empty when unreadable.
    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        if let Some(part) = self.head.get(to_usize(offset)..to_usize(offset).saturating_add(length))
        {
            return part.to_vec();
        }
        self.source.bytes_at(offset, length).unwrap_or_else(|error| {
            let problem = Problem::new(
                ProblemKind::Io,
                Place::OffsetBytes(offset),
                format!("probing: {error}"),
            );
            self.problems.borrow_mut().push(problem);
            Vec::new()
        })
    }
}

/// Tells what `source` holds. Never fails: trouble is in [`Probe::problems`].
#[must_use]
pub fn probe(source: &dyn Source) -> Probe {
    let mut range = Range { source, head: Vec::new(), problems: RefCell::new(Vec::new()) };
    range.head = range.read(0, HEAD_BYTES);
    if range.head.is_empty() {
        // A bad first sector must not hide signatures further in.
        range.head = vec![0; 1024];
        range.head.extend(range.read(1024, HEAD_BYTES.saturating_sub(1024)));
    }
    let detectors: &[fn(&Range<'_>) -> Option<Content>] = &[
        members::md_new,
        members::md_old,
        members::firmware_raid,
        members::lvm,
        members::luks,
        members::bcache,
        windows::bitlocker,
        filesystems::ext,
        filesystems::xfs,
        filesystems::btrfs,
        filesystems::f2fs,
        filesystems::erofs,
        filesystems::squashfs,
        filesystems::iso9660,
        filesystems::udf,
        windows::ntfs,
        windows::refs,
        windows::exfat,
        windows::fat,
        filesystems::hfs_plus,
        filesystems::apfs,
        filesystems::swap,
        members::zfs,
    ];
    let mut contents: Vec<Content> = detectors.iter().filter_map(|detect| detect(&range)).collect();
    if contents.is_empty() {
        contents = copies::find(&range);
    }
    Probe { contents, problems: range.problems.into_inner() }
}
