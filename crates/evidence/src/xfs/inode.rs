//! Inodes: the core, and the two areas (forks) that hold or lead to content and attributes.

use super::{Xfs, check};
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fs::{Attribute, Attributes, FileKind, Metadata, Node};
use crate::time::Time;

const FLAG_REALTIME: u16 = 0x1;
const ATTRIBUTES: [(u32, Attribute); 3] =
    [(0x8, Attribute::Immutable), (0x10, Attribute::AppendOnly), (0x80, Attribute::NoDump)];
const FLAG2_REFLINK: u64 = 0x2;
const FLAG2_BIG_TIMES: u64 = 0x8;
const FLAG2_LONG_COUNTS: u64 = 0x10;

/// Names of the bits of `di_flags`, for `details`.
const FLAG_NAMES: [(u64, &str); 15] = [
    (0x1, "realtime"),
    (0x2, "prealloc"),
    (0x4, "newrtbm"),
    (0x8, "immutable"),
    (0x10, "append"),
    (0x20, "sync"),
    (0x40, "noatime"),
    (0x80, "nodump"),
    (0x100, "rtinherit"),
    (0x200, "projinherit"),
    (0x400, "nosymlinks"),
    (0x800, "extsize"),
    (0x1000, "extszinherit"),
    (0x2000, "nodefrag"),
    (0x4000, "filestream"),
];
/// Names of the bits of `di_flags2`.
const FLAG2_NAMES: [(u64, &str); 6] = [
    (0x1, "dax"),
    (FLAG2_REFLINK, "reflink"),
    (0x4, "cowextsize"),
    (FLAG2_BIG_TIMES, "bigtime"),
    (FLAG2_LONG_COUNTS, "nrext64"),
    (0x20, "metadata"),
];

/// How a fork keeps what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Device,
    Local,
    Extents,
    Btree,
    Other(u8),
}

impl Format {
    fn new(raw: u8) -> Self {
        match raw {
            0 => Self::Device,
            1 => Self::Local,
            2 => Self::Extents,
            3 => Self::Btree,
            other => Self::Other(other),
        }
    }
}

/// One of the two forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fork {
    Data,
    Attributes,
}

pub(super) struct Inode {
    pub(super) node: Node,
    raw: Vec<u8>,
}

/// Reads an inode whatever its state, so long as it is one.
pub(super) fn read_any(xfs: &Xfs, node: Node) -> Result<Inode, EvidenceError> {
    let offset = xfs.superblock.inode_offset(node)?;
    let raw = xfs.store.bytes(offset, xfs.superblock.inode_bytes)?;
    let inode = Inode { node, raw };
    let f = inode.fields();
    if !f.has(0, b"IN") || !(1..=3).contains(&f.u8(4)) {
        return Err(EvidenceError::corrupt(format!(
            "inode {node} has magic number {:04x} and version {}",
            f.be16(0),
            f.u8(4)
        )));
    }
    if inode.is_v3() && f.be64(152) != node {
        return Err(EvidenceError::corrupt(format!(
            "inode {node} says it is inode {}",
            f.be64(152)
        )));
    }
    Ok(inode)
}

/// Reads an inode in use.
pub(super) fn read(xfs: &Xfs, node: Node) -> Result<Inode, EvidenceError> {
    let inode = read_any(xfs, node)?;
    if inode.mode() == 0 {
        return Err(EvidenceError::corrupt(format!("inode {node} is not in use")));
    }
    Ok(inode)
}

/// What is wrong with the checksum of an inode, if it can be read at all.
pub(super) fn checksum_problem(xfs: &Xfs, node: Node) -> Option<String> {
    let offset = xfs.superblock.inode_offset(node).ok()?;
    let length = xfs.superblock.inode_bytes;
    if !xfs.superblock.is_v5 || xfs.store.is_overlaid(offset, length) {
        return None;
    }
    let raw = xfs.store.bytes(offset, length).ok()?;
    check::mismatch(&raw, check::INODE, &format!("inode {node}"))
}

impl Inode {
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.raw)
    }

    fn is_v3(&self) -> bool {
        self.fields().u8(4) == 3
    }

    pub(super) fn mode(&self) -> u16 {
        self.fields().be16(2)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        // The sign bit makes no sense on disk and would overflow what callers add to it.
        self.fields().be64(56) & u64::MAX >> 1
    }

    fn flags(&self) -> u16 {
        self.fields().be16(90)
    }

    fn flags2(&self) -> u64 {
        if self.is_v3() { self.fields().be64(120) } else { 0 }
    }

    pub(super) fn is_realtime(&self) -> bool {
        self.flags() & FLAG_REALTIME != 0
    }

    pub(super) fn kind(&self) -> FileKind {
        match self.mode() >> 12 {
            0x1 => FileKind::Fifo,
            0x2 => FileKind::CharDevice,
            0x4 => FileKind::Directory,
            0x6 => FileKind::BlockDevice,
            0x8 => FileKind::File,
            0xa => FileKind::Symlink,
            0xc => FileKind::Socket,
            _ => FileKind::Unknown,
        }
    }

    /// Where the forks begin: behind the core, which version 3 made longer.
    fn core_bytes(&self) -> usize {
        if self.is_v3() { 176 } else { 100 }
    }

    pub(super) fn format(&self, fork: Fork) -> Format {
        match fork {
            Fork::Data => Format::new(self.fields().u8(5)),
            Fork::Attributes => Format::new(self.fields().u8(83)),
        }
    }

    /// The area of a fork; empty for attributes where the inode has none.
    pub(super) fn fork(&self, fork: Fork) -> &[u8] {
        let area = self.raw.get(self.core_bytes()..).unwrap_or(&[]);
        // Counted in eight bytes from the start of the area; zero means there are no attributes.
        let split = usize::from(self.fields().u8(82)).saturating_mul(8);
        match (fork, split) {
            (Fork::Data, 0) => area,
            (Fork::Data, split) => area.get(..split).unwrap_or(area),
            (Fork::Attributes, 0) => &[],
            (Fork::Attributes, split) => area.get(split..).unwrap_or(&[]),
        }
    }

    /// Number of extents a fork says it has.
    pub(super) fn extent_count(&self, fork: Fork) -> u64 {
        let f = self.fields();
        let long = self.flags2() & FLAG2_LONG_COUNTS != 0;
        match (fork, long) {
            (Fork::Data, true) => f.be64(24),
            (Fork::Data, false) => u64::from(f.be32(76)),
            (Fork::Attributes, true) => u64::from(f.be32(76)),
            (Fork::Attributes, false) => u64::from(f.be16(80)),
        }
    }

    fn time(&self, at: usize) -> Time {
        let f = self.fields();
        if self.flags2() & FLAG2_BIG_TIMES != 0 {
            // Nanoseconds from the first second a signed 32-bit count can name.
            let raw = f.be64(at);
            let seconds = i64::try_from(raw / 1_000_000_000).unwrap_or(i64::MAX);
            let nanoseconds = u32::try_from(raw % 1_000_000_000).unwrap_or(0);
            return Time { seconds: seconds.saturating_sub(1 << 31), nanoseconds };
        }
        let seconds = i64::from(i32::from_be_bytes(f.array(at)));
        Time { seconds, nanoseconds: f.be32(at.saturating_add(4)) }
    }

    /// Last change of the inode; for one that was freed, when that happened.
    pub(super) fn changed(&self) -> Time {
        self.time(48)
    }

    pub(super) fn next_unlinked(&self) -> u32 {
        self.fields().be32(96)
    }

    pub(super) fn metadata(&self) -> Metadata {
        let f = self.fields();
        let kind = self.kind();
        let mut attributes = Attributes::from_flags(u32::from(self.flags()), &ATTRIBUTES);
        if self.flags2() & FLAG2_REFLINK != 0 {
            attributes = attributes.with(Attribute::Shared);
        }
        if self.format(Fork::Data) == Format::Local {
            attributes = attributes.with(Attribute::Inline);
        }
        let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
        Metadata {
            node: self.node,
            kind,
            mode: u32::from(self.mode() & 0o7777),
            uid: f.be32(8),
            gid: f.be32(12),
            // Version 1 kept the count in the place that later became padding.
            links: if f.u8(4) == 1 { u32::from(f.be16(6)) } else { f.be32(16) },
            size_bytes: self.size_bytes(),
            accessed: Some(self.time(32)),
            modified: Some(self.time(40)),
            changed: Some(self.changed()),
            born: self.is_v3().then(|| self.time(144)),
            generation: Some(u64::from(f.be32(92))),
            attributes,
            device: is_device.then(|| self.device()),
        }
    }

    /// XFS keeps device numbers as System V did: 14 bits and 18 bits.
    fn device(&self) -> (u32, u32) {
        let raw = Fields(self.fork(Fork::Data)).be32(0);
        (raw >> 18, raw & 0x3_ffff)
    }

    /// The facts only XFS keeps, as name and value.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let f = self.fields();
        let project = u32::from(f.be16(22)) << 16 | u32::from(f.be16(20));
        let mut out = vec![
            ("inode version", f.u8(4).to_string()),
            ("data format", format!("{:?}", self.format(Fork::Data)).to_lowercase()),
            ("data extents", self.extent_count(Fork::Data).to_string()),
            ("blocks", f.be64(64).to_string()),
            ("project", project.to_string()),
        ];
        if !self.fork(Fork::Attributes).is_empty() {
            let format = format!("{:?}", self.format(Fork::Attributes)).to_lowercase();
            out.push(("attribute format", format));
            out.push(("attribute extents", self.extent_count(Fork::Attributes).to_string()));
        }
        for (name, value, names) in [
            ("flags", u64::from(self.flags()), &FLAG_NAMES[..]),
            ("flags2", self.flags2(), &FLAG2_NAMES[..]),
        ] {
            if value != 0 {
                let words: Vec<&str> = names
                    .iter()
                    .filter(|(bit, _)| value & bit != 0)
                    .map(|(_, word)| *word)
                    .collect();
                out.push((name, format!("{value:#x} {}", words.join(","))));
            }
        }
        if f.be32(72) != 0 {
            out.push(("extent size hint", format!("{} blocks", f.be32(72))));
        }
        if self.is_v3() {
            if f.be32(128) != 0 {
                out.push(("copy-on-write extent size hint", format!("{} blocks", f.be32(128))));
            }
            out.push(("change count", f.be64(104).to_string()));
            out.push(("log sequence number", format!("{:#x}", f.be64(112))));
        }
        out
    }
}
