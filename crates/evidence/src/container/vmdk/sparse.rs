//! A sparse extent: a grain directory, grain tables, and grains that are plain or compressed.
//!
//! Also the older kind with the signature `COWD`, which differs only in its header and the length of its tables.

use super::SECTOR;
use crate::bytes::{Fields, to_usize};
use crate::container::below::Notes;
use crate::container::chunks::MAX_CHUNK_BYTES;
use crate::container::folder::Folder;
use crate::container::inflate::{corrupt, inflate_chunk};
use crate::container::mapped::wrap;
use crate::container::tables::Tables;
use crate::error::EvidenceError;
use crate::problem::ProblemKind;
use crate::source::Source;
use std::io;
use std::sync::Arc;

const SPARSE: &[u8] = b"KDMV";
const COWD: &[u8] = b"COWD";

/// The directory stands in a footer, because the file was written as a stream.
const AT_END: u64 = u64::MAX;

/// Bytes of a compressed grain before its data: its first sector and its length.
const MARKER_BYTES: usize = 12;

/// Where a grain is.
pub(super) enum Grain {
    Below,
    Zeros,
    Plain(u64),
    Packed { at_bytes: u64, within: u64, length_bytes: usize },
    Bad(io::Error),
}

/// The extent.
pub(super) struct Sparse {
    file: Arc<dyn Source>,
    meta: Tables,
    size_bytes: u64,
    grain_bytes: u64,
    grains_per_table: u64,
    directory_at: u64,
    descriptor: Option<(u64, u64)>,
    has_zero_grains: bool,
    is_compressed: bool,
    has_markers: bool,
}

pub(super) fn is_sparse(head: Fields<'_>) -> bool {
    head.has(0, SPARSE) || head.has(0, COWD)
}

impl Sparse {
    pub(super) fn open(
        file: &Arc<dyn Source>,
        folder: &mut Folder<'_>,
        notes: &mut Notes,
    ) -> Result<Self, EvidenceError> {
        let read =
            |at| file.bytes_at(at, 512).map_err(EvidenceError::read("a sparse extent's header"));
        let mut raw = read(0)?;
        if Fields(&raw).has(0, SPARSE) && Fields(&raw).le64(56) == AT_END {
            raw = read(file.size_bytes().saturating_sub(1024))?;
            if !Fields(&raw).has(0, SPARSE) || Fields(&raw).le64(56) == AT_END {
                let text =
                    "the stream has no footer: it was cut off, and with it went its directory";
                return Err(EvidenceError::corrupt(text));
            }
        }
        let sparse = Self::parse(file, Fields(&raw), folder.tables(file), notes)?;
        let (grain, tables) = (sparse.grain_bytes, sparse.grains_per_table);
        if !grain.is_power_of_two() || grain > MAX_CHUNK_BYTES || !(1..=1 << 16).contains(&tables) {
            let text = format!("a sparse extent with grains of {grain} bytes, {tables} in a table");
            return Err(EvidenceError::corrupt(text));
        }
        Ok(sparse)
    }

    fn parse(
        file: &Arc<dyn Source>,
        header: Fields<'_>,
        meta: Tables,
        notes: &mut Notes,
    ) -> Result<Self, EvidenceError> {
        let sectors = |count: u64| count.saturating_mul(SECTOR);
        if header.has(0, COWD) {
            return Ok(Self {
                file: Arc::clone(file),
                meta,
                size_bytes: sectors(u64::from(header.le32(12))),
                grain_bytes: sectors(u64::from(header.le32(16))),
                grains_per_table: 4096,
                directory_at: sectors(u64::from(header.le32(20))),
                descriptor: None,
                has_zero_grains: false,
                is_compressed: false,
                has_markers: false,
            });
        }
        let (version, flags) = (header.le32(4), header.le32(8));
        if !(1..=3).contains(&version) {
            return Err(EvidenceError::unsupported(format!("VMDK version {version}")));
        }
        let is_compressed = flags & 1 << 16 != 0;
        if is_compressed && header.le16(77) != 1 {
            let method = header.le16(77);
            return Err(EvidenceError::unsupported(format!("VMDK compression {method}")));
        }
        if header.u8(72) != 0 {
            notes.problem(ProblemKind::Corrupt, "the image was not closed by its writer");
        }
        // Transfers as text replace these four; then every offset is wrong as well.
        if flags & 1 != 0 && !header.has(73, b"\n \r\n") {
            let text = "the line ends in the header are changed: the file was transferred as text";
            notes.problem(ProblemKind::Corrupt, text);
        }
        let (primary, second) = (sectors(header.le64(56)), sectors(header.le64(48)));
        let is_inside = |at: u64| at != 0 && at < file.size_bytes();
        let directory_at = if !is_inside(primary) && flags & 2 != 0 && is_inside(second) {
            let text =
                format!("the grain directory is at {primary}, outside; the second one is used");
            notes.problem(ProblemKind::Corrupt, text);
            second
        } else {
            primary
        };
        let (descriptor_at, descriptor) = (sectors(header.le64(28)), sectors(header.le64(36)));
        Ok(Self {
            file: Arc::clone(file),
            meta,
            size_bytes: sectors(header.le64(12)),
            grain_bytes: sectors(header.le64(20)),
            grains_per_table: u64::from(header.le32(44)),
            directory_at,
            descriptor: (descriptor_at != 0).then_some((descriptor_at, descriptor)),
            has_zero_grains: flags & 4 != 0,
            is_compressed,
            has_markers: flags & 1 << 17 != 0,
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn file(&self) -> &Arc<dyn Source> {
        &self.file
    }

    /// Where the descriptor within this file is, and its length.
    pub(super) fn descriptor(&self) -> Option<(u64, u64)> {
        self.descriptor
    }

    fn entry(&self, table_at: u64, index: u64) -> io::Result<u64> {
        let mut raw = [0; 4];
        let meta: &dyn Source = &self.meta;
        meta.fill(table_at.saturating_add(index.saturating_mul(4)), &mut raw).map_err(wrap)?;
        Ok(u64::from(u32::from_le_bytes(raw)))
    }

    /// The grain at an offset, with as many neighbours as continue it.
    pub(super) fn run(&self, offset: u64, most: u64) -> (Grain, u64) {
        if offset >= self.size_bytes {
            return (
                Grain::Bad(corrupt("the extent ends before its place in the disk does")),
                most,
            );
        }
        let reach = self.grain_bytes.saturating_mul(self.grains_per_table).max(1);
        let table = offset.checked_div(reach).unwrap_or(0);
        let table_left = reach.saturating_sub(offset.checked_rem(reach).unwrap_or(0));
        let table_at = match self.entry(self.directory_at, table) {
            Ok(0) => return (Grain::Below, table_left),
            Ok(sector) => sector.saturating_mul(SECTOR),
            Err(error) => return (Grain::Bad(error), table_left),
        };
        let (first, mut length) = self.grain(table_at, offset);
        while length < most.min(table_left) {
            let (next, more) = self.grain(table_at, offset.saturating_add(length));
            let goes_on = match (&first, next) {
                (Grain::Below, Grain::Below) | (Grain::Zeros, Grain::Zeros) => true,
                (Grain::Plain(from), Grain::Plain(next)) => from.saturating_add(length) == next,
                _ => false,
            };
            if !goes_on {
                break;
            }
            length = length.saturating_add(more);
        }
        (first, length)
    }

    fn grain(&self, table_at: u64, offset: u64) -> (Grain, u64) {
        let number = offset.checked_div(self.grain_bytes).unwrap_or(0);
        let within = offset & self.grain_bytes.wrapping_sub(1);
        let left = self.grain_bytes.saturating_sub(within);
        let index = number.checked_rem(self.grains_per_table).unwrap_or(0);
        let grain = match self.entry(table_at, index) {
            Err(error) => Grain::Bad(error),
            Ok(0) => Grain::Below,
            Ok(1) if self.has_zero_grains => Grain::Zeros,
            Ok(sector) if self.is_compressed => {
                let start = offset.saturating_sub(within);
                let length = self.size_bytes.saturating_sub(start).min(self.grain_bytes);
                Grain::Packed {
                    at_bytes: sector.saturating_mul(SECTOR),
                    within,
                    length_bytes: to_usize(length),
                }
            }
            Ok(sector) => Grain::Plain(sector.saturating_mul(SECTOR).saturating_add(within)),
        };
        (grain, left)
    }

    /// Decompresses the grain stored at `at_bytes`, which begins at `start_bytes` of the extent.
    pub(super) fn unpack(&self, at_bytes: u64, start_bytes: u64, out: &mut [u8]) -> io::Result<()> {
        let full = to_usize(self.grain_bytes);
        let named = |error: io::Error| corrupt(format!("grain at {at_bytes}: {error}"));
        // Deflate adds 5 bytes for each 16 KiB at worst.
        let most = full.saturating_add(4096);
        if !self.has_markers {
            let packed = self.file.bytes_at(at_bytes, most).map_err(wrap)?;
            return inflate_chunk(&packed, out, full).map_err(named);
        }
        let marker = self.file.bytes_at(at_bytes, MARKER_BYTES).map_err(wrap)?;
        let (sector, length) = (Fields(&marker).le64(0), Fields(&marker).le32(8));
        if sector.saturating_mul(SECTOR) != start_bytes {
            let expected = start_bytes / SECTOR;
            return Err(corrupt(format!(
                "grain at {at_bytes} is of sector {sector}, expected {expected}"
            )));
        }
        let length = to_usize(u64::from(length)).min(most);
        let packed = self.file.bytes_at(at_bytes.saturating_add(12), length).map_err(wrap)?;
        inflate_chunk(&packed, out, full).map_err(named)
    }
}
