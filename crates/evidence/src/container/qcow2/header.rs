//! The header and its extensions.

use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::source::Source;

pub(super) const MAGIC: &[u8] = b"QFI\xfb";

/// Extensions stand in the first cluster; their number is bounded by that, and by this.
const MAX_EXTENSIONS: usize = 64;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// What the header says.
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) backing_at: u64,
    pub(super) backing_length: u32,
    pub(super) backing_format: Option<Vec<u8>>,
    /// The cluster size is 2 to this power.
    pub(super) cluster_bits: u32,
    /// Size of the disk.
    pub(super) size_bytes: u64,
    /// Entries in the L1 table.
    pub(super) l1_count: u64,
    pub(super) l1_at: u64,
    pub(super) snapshot_count: u32,
    pub(super) snapshots_at: u64,
    pub(super) is_dirty: bool,
    pub(super) is_corrupt: bool,
    pub(super) has_data_file: bool,
    pub(super) data_file: Option<Vec<u8>>,
    pub(super) has_extended_l2: bool,
    pub(super) compression: Compression,
}

impl Header {
    pub(super) fn read(source: &dyn Source) -> Result<Self, EvidenceError> {
        let raw = source.bytes_at(0, 4096).map_err(EvidenceError::read("the qcow2 header"))?;
        let fields = Fields(&raw);
        let version = fields.be32(4);
        let cluster_bits = fields.be32(20);
        if !matches!(version, 2 | 3) {
            return Err(EvidenceError::unsupported(format!("qcow version {version}")));
        }
        if !(9..=21).contains(&cluster_bits) {
            let text =
                format!("qcow2 clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 are possible");
            return Err(EvidenceError::corrupt(text));
        }
        match fields.be32(32) {
            0 => {}
            1 => return Err(EvidenceError::unsupported("qcow2 encrypted with AES")),
            2 => return Err(EvidenceError::unsupported("qcow2 encrypted with LUKS")),
            other => {
                return Err(EvidenceError::unsupported(format!("qcow2 encryption method {other}")));
            }
        }
        let is_three = version == 3;
        let incompatible = if is_three { fields.be64(72) } else { 0 };
        if incompatible >> 5 != 0 {
            return Err(EvidenceError::unsupported(format!(
                "qcow2 with the incompatible features {incompatible:#x}"
            )));
        }
        let header_length = if is_three { fields.be32(100) } else { 72 };
        let has = |bit: u64| incompatible & bit != 0;
        let compression = match fields.u8(104) {
            1 if has(8) => Compression::Zstd,
            other if has(8) && other > 1 => {
                return Err(EvidenceError::unsupported(format!("qcow2 compression {other}")));
            }
            _ => Compression::Deflate,
        };
        let mut header = Self {
            version,
            backing_at: fields.be64(8),
            backing_length: fields.be32(16),
            backing_format: None,
            cluster_bits,
            size_bytes: fields.be64(24),
            l1_count: u64::from(fields.be32(36)),
            l1_at: fields.be64(40),
            snapshot_count: fields.be32(60),
            snapshots_at: fields.be64(64),
            is_dirty: has(1),
            is_corrupt: has(2),
            has_data_file: has(4),
            data_file: None,
            has_extended_l2: has(16),
            compression,
        };
        header.extensions(fields, to_usize(u64::from(header_length)));
        Ok(header)
    }

    fn extensions(&mut self, fields: Fields<'_>, mut at: usize) {
        for _ in 0..MAX_EXTENSIONS {
            let (kind, length) =
                (fields.be32(at), to_usize(u64::from(fields.be32(at.saturating_add(4)))));
            if kind == 0 {
                return;
            }
            let data = fields.slice(at.saturating_add(8), length).to_vec();
            match kind {
                0xe279_2aca => self.backing_format = Some(data),
                0x4441_5441 => self.data_file = Some(data),
                _ => {}
            }
            at = at.saturating_add(8).saturating_add(length.div_ceil(8).saturating_mul(8));
        }
    }

    pub(super) fn cluster_bytes(&self) -> u64 {
        1_u64.checked_shl(self.cluster_bits).unwrap_or(0)
    }

    /// Entries of an L2 table are a power of two: this one.
    pub(super) fn l2_bits(&self) -> u32 {
        self.cluster_bits.saturating_sub(if self.has_extended_l2 { 4 } else { 3 })
    }

    /// What one L2 table covers of the disk.
    pub(super) fn l2_reach_bytes(&self) -> u64 {
        self.cluster_bytes().checked_shl(self.l2_bits()).unwrap_or(0)
    }

    /// What all L2 tables cover of the disk.
    pub(super) fn reach_bytes(&self) -> u64 {
        self.l2_reach_bytes().saturating_mul(self.l1_count)
    }
}
