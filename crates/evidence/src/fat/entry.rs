//! One directory entry of 32 bytes: a file under its short name, or a part of a long name before it.

use super::names::{self, LowerCase};
use super::stamp;
use crate::bytes::Fields;
use crate::fs::{Attribute, Attributes, FileKind, Metadata, Node};
use crate::time::Time;

/// Length of an entry.
pub(crate) const ENTRY_BYTES: usize = 32;
/// First byte of an entry that was given up.
pub(super) const ERASED: u8 = 0xe5;
const VOLUME: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
/// Read-only, hidden, system and volume together: a part of a long name.
const LONG: u8 = 0x0f;

/// The marks of the attribute byte; exFAT has the same.
pub(crate) fn attributes(bits: u32) -> Attributes {
    Attributes::from_flags(
        bits,
        &[
            (0x01, Attribute::ReadOnly),
            (0x02, Attribute::Hidden),
            (0x04, Attribute::System),
            (0x20, Attribute::Archive),
        ],
    )
}

/// The mode that stands for the attributes, as The Sleuth Kit makes it up: everything, without writing where read-only.
pub(crate) fn mode(attributes: Attributes) -> u32 {
    if attributes.has(Attribute::ReadOnly) { 0o555 } else { 0o777 }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Never used; ends the directory.
    End,
    /// Part of a long name.
    Long(LongPart),
    /// A file, directory or label.
    Short(Short),
}

/// A part of a long name: thirteen letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongPart {
    /// Its number and whether it is the last part (0x40); 0xe5 when given up.
    pub(super) order: u8,
    /// Checksum of the short name it belongs to.
    pub(super) checksum: u8,
    pub(super) units: [u16; 13],
}

/// A file, directory or label under its short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) name: [u8; 11],
    pub(super) attributes: u8,
    pub(super) case: u8,
    created: (u16, u16, u8),
    modified: (u16, u16),
    accessed: u16,
    pub(super) cluster: u32,
    pub(super) size_bytes: u64,
}

impl Slot {
    /// Reads an entry; `high_bits` tells whether bytes 20 and 21 belong to the first cluster (only FAT32).
    pub(super) fn parse(raw: Fields<'_>, high_bits: HighBits) -> Self {
        let attributes = raw.u8(11);
        if raw.u8(0) == 0 {
            return Self::End;
        }
        if attributes & 0x3f == LONG {
            let unit = |at: usize| raw.le16(at);
            let units = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30].map(unit);
            return Self::Long(LongPart { order: raw.u8(0), checksum: raw.u8(13), units });
        }
        let high = match high_bits {
            HighBits::Cluster => u32::from(raw.le16(20)) << 16,
            HighBits::Other => 0,
        };
        Self::Short(Short {
            name: raw.array(0),
            attributes,
            case: raw.u8(12),
            created: (raw.le16(16), raw.le16(14), raw.u8(13)),
            modified: (raw.le16(24), raw.le16(22)),
            accessed: raw.le16(18),
            cluster: (high | u32::from(raw.le16(26))) & 0x0fff_ffff,
            size_bytes: u64::from(raw.le32(28)),
        })
    }
}

/// What bytes 20 and 21 of an entry hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HighBits {
    /// The upper half of the first cluster.
    Cluster,
    /// Something else (an index of extended attributes under OS/2).
    Other,
}

impl Short {
    pub(super) fn is_erased(&self) -> bool {
        self.name.first() == Some(&ERASED)
    }

    pub(super) fn is_label(&self) -> bool {
        self.attributes & VOLUME != 0
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attributes & (DIRECTORY | VOLUME) == DIRECTORY
    }

    /// `.` and `..`.
    pub(super) fn is_dot(&self) -> bool {
        matches!(&self.name, b".          " | b"..         ")
    }

    pub(super) fn kind(&self) -> FileKind {
        if self.is_label() {
            FileKind::Unknown
        } else if self.is_directory() {
            FileKind::Directory
        } else {
            FileKind::File
        }
    }

    /// The short name in the case it is shown in (Windows NT keeps that in byte 12).
    pub(super) fn shown_name(&self) -> Vec<u8> {
        let lower = LowerCase { base: self.case & 0x08 != 0, extension: self.case & 0x10 != 0 };
        names::short(self.name, lower)
    }

    /// The short name with another first byte, for one that was given up.
    pub(super) fn with_first(mut self, first: u8) -> Self {
        if let Some(byte) = self.name.first_mut() {
            *byte = first;
        }
        self
    }

    /// Whether it can be an entry that was really used: what lies in given-up space can be anything.
    pub(super) fn is_plausible(&self, clusters: u32) -> bool {
        let last = clusters.saturating_add(1);
        let is_dated = |date: u16, time: u16| date == 0 || stamp::moment(date, time, 0).is_some();
        self.attributes & 0xc0 == 0
            && self.attributes & (DIRECTORY | VOLUME) != (DIRECTORY | VOLUME)
            && (self.cluster == 0 || (2..=last).contains(&self.cluster))
            && self.name.iter().skip(1).all(|byte| *byte >= 0x20)
            && is_dated(self.modified.0, self.modified.1)
            && is_dated(self.created.0, self.created.1)
            && is_dated(self.accessed, 0)
    }

    pub(super) fn modified(&self) -> Option<Time> {
        stamp::moment(self.modified.0, self.modified.1, 0)
    }

    pub(super) fn accessed(&self) -> Option<Time> {
        stamp::moment(self.accessed, 0, 0)
    }

    pub(super) fn created(&self) -> Option<Time> {
        stamp::moment(self.created.0, self.created.1, self.created.2)
    }

    /// Times that are recorded but impossible, as their raw numbers.
    pub(super) fn impossible_times(&self) -> Vec<(&'static str, String)> {
        let (created, modified) = (self.created, self.modified);
        let all = [
            ("created", self.created(), (created.0, created.1, created.2)),
            ("modified", self.modified(), (modified.0, modified.1, 0)),
            ("accessed", self.accessed(), (self.accessed, 0, 0)),
        ];
        all.into_iter()
            .filter(|(_, time, raw)| time.is_none() && *raw != (0, 0, 0))
            .map(|(name, _, (date, time, more))| {
                (name, format!("date {date:#06x}, time {time:#06x}, hundredths {more}"))
            })
            .collect()
    }

    pub(super) fn metadata(&self, node: Node, size_bytes: u64) -> Metadata {
        let attributes = attributes(u32::from(self.attributes));
        Metadata {
            node,
            kind: self.kind(),
            mode: mode(attributes),
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes,
            accessed: self.accessed(),
            modified: self.modified(),
            changed: None,
            born: self.created(),
            generation: None,
            attributes,
            device: None,
        }
    }
}
