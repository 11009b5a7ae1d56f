//! The superblock (at byte 1024) and the table of further devices.

use crate::bytes::{Fields, padded_text, to_u64, to_usize, uuid_text};
use crate::crc::crc32c;
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;

const OFFSET: u64 = 1024;
const COMPAT_CHECKSUM: u32 = 0x1;
const COMPAT_MTIME: u32 = 0x2;
const COMPAT_SHARED_IN_METABOX: u32 = 0x8;
const COMPAT_PLAIN_PREFIXES: u32 = 0x10;
const INCOMPAT_DEVICES: u32 = 0x8;
const INCOMPAT_FRAGMENTS: u32 = 0x20;
const INCOMPAT_48BIT: u32 = 0x80;
const INCOMPAT_METABOX: u32 = 0x100;
/// Every bit up to the last one known: padding, configurations, chunks, devices, inline clusters, fragments, prefixes,
/// 48-bit addresses, metadata box.
const INCOMPAT_KNOWN: u32 = 0x1ff;
/// More devices than this are not looked at.
const MAX_DEVICES: u16 = 1024;

/// Another device that holds data of this file system.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) tag: String,
    /// Its blocks as addresses of the whole, where the format gives them some.
    pub(super) start_bytes: u64,
    pub(super) length_bytes: u64,
}

/// What the superblock says; addresses are bytes.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) block_bits: u32,
    pub(super) directory_bits: u32,
    pub(super) root: u64,
    pub(super) inodes: u64,
    pub(super) epoch_seconds: i64,
    pub(super) fixed_nanoseconds: u32,
    pub(super) made_seconds: i64,
    pub(super) size_bytes: u64,
    pub(super) metadata_at: u64,
    pub(super) shared_at: u64,
    pub(super) shared_in_metabox: bool,
    pub(super) uuid: Option<String>,
    pub(super) label: Option<String>,
    /// Whether the one time of an inode is that of its content; before, it was that of the inode.
    pub(super) keeps_modified: bool,
    pub(super) is_48bit: bool,
    pub(super) features: [u32; 2],
    pub(super) packed: Option<u64>,
    pub(super) metabox: Option<u64>,
    pub(super) prefixes: u8,
    pub(super) prefixes_at: u64,
    pub(super) prefixes_are_plain: bool,
    pub(super) devices: Vec<Device>,
    pub(super) problems: Vec<Problem>,
}

impl Superblock {
    pub(super) fn read(source: &dyn Source) -> Result<Self, EvidenceError> {
        let reading = || EvidenceError::read("the EROFS superblock");
        let raw = source.bytes_at(OFFSET, 144).map_err(reading())?;
        let sb = Fields(&raw);
        if sb.le32(0) != 0xe0f5_e1e2 || raw.len() < 128 {
            return Err(EvidenceError::corrupt(format!(
                "EROFS magic number is {:08x}, expected e0f5e1e2",
                sb.le32(0)
            )));
        }
        let (compat, incompat) = (sb.le32(8), sb.le32(80));
        if incompat & !INCOMPAT_KNOWN != 0 {
            let unknown = incompat & !INCOMPAT_KNOWN;
            return Err(EvidenceError::unsupported(format!("EROFS with feature bits {unknown:x}")));
        }
        let block_bits = u32::from(sb.u8(12));
        let directory_bits = block_bits.saturating_add(u32::from(sb.u8(90)));
        if !(9..=16).contains(&block_bits) || directory_bits > 16 {
            return Err(EvidenceError::corrupt(format!(
                "EROFS blocks of 2^{block_bits} bytes, directory blocks of 2^{directory_bits}"
            )));
        }
        let is_48bit = incompat & INCOMPAT_48BIT != 0;
        let wide = is_48bit && sb.le64(112) != 0;
        let root = if wide { sb.le64(112) } else { u64::from(sb.le16(14)) };
        let high = if wide { u64::from(sb.le16(14)) << 32 } else { 0 };
        let bytes = |blocks: u64| blocks.saturating_mul(1 << block_bits);
        let epoch_seconds = i64::from_le_bytes(sb.array(24));
        let mut superblock = Self {
            block_bits,
            directory_bits,
            root,
            inodes: sb.le64(16),
            epoch_seconds,
            fixed_nanoseconds: sb.le32(32),
            made_seconds: epoch_seconds.saturating_add(i64::from(sb.le32(108))),
            size_bytes: bytes(u64::from(sb.le32(36)) | high),
            metadata_at: bytes(u64::from(sb.le32(40))),
            shared_at: bytes(u64::from(sb.le32(44))),
            shared_in_metabox: compat & COMPAT_SHARED_IN_METABOX != 0,
            uuid: uuid_text(sb.slice(48, 16)),
            label: padded_text(sb.slice(64, 16)),
            keeps_modified: compat & COMPAT_MTIME != 0,
            is_48bit,
            features: [compat, incompat],
            packed: Some(sb.le64(96)).filter(|nid| *nid != 0 && incompat & INCOMPAT_FRAGMENTS != 0),
            metabox: Some(sb.le64(128)).filter(|_| incompat & INCOMPAT_METABOX != 0),
            prefixes: sb.u8(91),
            prefixes_at: u64::from(sb.le32(92)).saturating_mul(4),
            prefixes_are_plain: compat & COMPAT_PLAIN_PREFIXES != 0,
            devices: Vec::new(),
            problems: Vec::new(),
        };
        if compat & COMPAT_CHECKSUM != 0 {
            superblock.check(source, sb.le32(4))?;
        }
        if superblock.size_bytes > source.size_bytes() {
            let (claimed, there) = (superblock.size_bytes, source.size_bytes());
            superblock
                .problem(format!("the file system is {claimed} bytes long, but {there} are there"));
        }
        if incompat & INCOMPAT_DEVICES != 0 {
            let slots_at = u64::from(sb.le16(88)).saturating_mul(128);
            superblock.read_devices(source, sb.le16(86), slots_at);
        }
        Ok(superblock)
    }

    fn problem(&mut self, text: String) {
        self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
    }

    /// The checksum covers the rest of the superblock's block, with its own field as zeros.
    fn check(&mut self, source: &dyn Source, stored: u32) -> Result<(), EvidenceError> {
        let block_bytes = 1_usize.checked_shl(self.block_bits).unwrap_or(0);
        let offset = to_usize(OFFSET);
        let length =
            if block_bytes > offset { block_bytes.saturating_sub(offset) } else { block_bytes };
        let reading = EvidenceError::read("the EROFS superblock's block");
        let mut raw = source.bytes_at(OFFSET, length).map_err(reading)?;
        if let Some(field) = raw.get_mut(4..8) {
            field.fill(0);
        }
        let found = crc32c(u32::MAX, &raw);
        if found != stored {
            self.problem(format!(
                "EROFS superblock checksum is {found:08x}, expected {stored:08x}"
            ));
        }
        Ok(())
    }

    fn read_devices(&mut self, source: &dyn Source, count: u16, slots_at: u64) {
        let wanted = usize::from(count.min(MAX_DEVICES)).saturating_mul(128);
        let raw = source.bytes_at(slots_at, wanted).unwrap_or_default();
        for slot in raw.chunks_exact(128) {
            let slot = Fields(slot);
            let blocks = u64::from(slot.le32(64)) | u64::from(slot.le16(72)) << 32;
            let start = u64::from(slot.le32(68)) | u64::from(slot.le16(74)) << 32;
            self.devices.push(Device {
                tag: padded_text(slot.slice(0, 64)).unwrap_or_default(),
                start_bytes: start.saturating_mul(1 << self.block_bits),
                length_bytes: blocks.saturating_mul(1 << self.block_bits),
            });
        }
        if self.devices.len() < usize::from(count) {
            let found = self.devices.len();
            self.problem(format!("{count} further devices are counted, {found} are described"));
        }
    }

    /// Bytes of a block.
    pub(super) fn block_bytes(&self) -> u64 {
        1 << self.block_bits
    }

    /// A block address as bytes.
    pub(super) fn bytes(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.block_bytes())
    }

    /// The further device, by its number from 1, that holds this address of the whole, and the place on it.
    pub(super) fn on_device(&self, at: u64) -> Option<(u64, u64)> {
        self.devices.iter().enumerate().find_map(|(index, device)| {
            let within = at.checked_sub(device.start_bytes).filter(|_| device.start_bytes != 0)?;
            (within < device.length_bytes).then(|| (to_u64(index).saturating_add(1), within))
        })
    }
}
