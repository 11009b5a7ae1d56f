//! Superblocks: three copies on every device, of which the newest that agrees with its checksum counts.
//!
//! The kernel reads the first copy only; a damaged first copy must not hide a file system from an examiner, but is said.
//! Layout: `struct btrfs_super_block`, `include/uapi/linux/btrfs_tree.h`.

use super::checksum::Checksum;
use crate::bytes::{Fields, padded_text, uuid_text};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;

/// Where the copies stand.
pub(super) const PLACES: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
pub(super) const BYTES: usize = 4096;
const MAGIC: &[u8] = b"_BHRfS_M";

/// Features a reader must understand (`BTRFS_FEATURE_INCOMPAT_*`).
pub(super) mod feature {
    pub(in crate::btrfs) const METADATA_UUID: u64 = 1 << 10;
    pub(in crate::btrfs) const EXTENT_TREE_V2: u64 = 1 << 13;
    pub(in crate::btrfs) const RAID_STRIPE_TREE: u64 = 1 << 14;
    /// All this reader knows: bits 0 to 12, 14 (with a limit) and 16 (simple quotas).
    pub(in crate::btrfs) const KNOWN: u64 = 0x1_5fff;
    /// Block groups have a tree of their own (`COMPAT_RO`).
    pub(in crate::btrfs) const BLOCK_GROUP_TREE: u64 = 1 << 3;
}

/// The root of a tree as a superblock or root item names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) address: u64,
    pub(super) level: u8,
    /// The transaction that wrote it; `None` where that is not recorded.
    pub(super) generation: Option<u64>,
}

/// One superblock.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) checksum: Checksum,
    pub(super) fsid: [u8; 16],
    /// What tree blocks carry instead of `fsid` where that was changed later.
    pub(super) metadata_uuid: [u8; 16],
    pub(super) generation: u64,
    pub(super) root: Root,
    pub(super) chunk_root: Root,
    pub(super) log_root: Option<Root>,
    pub(super) sector_bytes: u32,
    pub(super) node_bytes: u32,
    pub(super) incompat: u64,
    pub(super) compat_ro: u64,
    pub(super) device_id: u64,
    pub(super) device_bytes: u64,
    pub(super) label: Option<String>,
    pub(super) system_chunks: Vec<u8>,
    /// Trees of roots of the last transactions, the newest first.
    pub(super) backups: Vec<Root>,
}

impl Superblock {
    /// The best copy on one device, and what is wrong with the others.
    pub(super) fn read(device: &dyn Source) -> Result<(Self, Vec<Problem>), EvidenceError> {
        let mut best: Option<Self> = None;
        let mut problems = Vec::new();
        let mut trouble = None;
        for place in PLACES {
            if place.saturating_add(4096) > device.size_bytes() {
                continue;
            }
            let read = device.bytes_at(place, BYTES).map_err(EvidenceError::read("a superblock"));
            match read.and_then(|raw| Self::parse(&raw, place)) {
                Ok(found) => {
                    let newest = best.as_ref().map_or(0, |best| best.generation);
                    if best.is_some() && found.generation > newest {
                        let text = format!(
                            "superblock of generation {} here, an earlier copy has {newest}",
                            found.generation
                        );
                        let place = Place::OffsetBytes(place);
                        problems.push(Problem::new(ProblemKind::Corrupt, place, text));
                    }
                    if best.is_none() || found.generation > newest {
                        best = Some(found);
                    }
                }
                Err(error) => {
                    problems.push(error.to_problem(Place::OffsetBytes(place)));
                    trouble.get_or_insert(error);
                }
            }
        }
        match (best, trouble) {
            (Some(best), _) => Ok((best, problems)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(EvidenceError::corrupt("too small for a Btrfs superblock")),
        }
    }

    fn parse(raw: &[u8], place: u64) -> Result<Self, EvidenceError> {
        let fields = Fields(raw);
        if raw.len() < BYTES || !fields.has(0x40, MAGIC) {
            return Err(EvidenceError::corrupt("no Btrfs superblock: its magic is missing"));
        }
        let number = fields.le16(0xc4);
        let checksum = Checksum::from_number(number)
            .ok_or_else(|| EvidenceError::unsupported(format!("Btrfs checksum type {number}")))?;
        if !checksum.agrees(raw.get(32..BYTES).unwrap_or(&[]), raw) {
            let name = checksum.name();
            return Err(EvidenceError::corrupt(format!("superblock contradicts its {name}")));
        }
        if fields.le64(0x30) != place {
            let says = fields.le64(0x30);
            return Err(EvidenceError::corrupt(format!(
                "superblock at {place} says it is at {says}"
            )));
        }
        let incompat = fields.le64(0xbc);
        let fsid = fields.array::<16>(0x20);
        let has_own = incompat & feature::METADATA_UUID != 0;
        let root = |at, level, generation| Root {
            address: fields.le64(at),
            level: fields.u8(level),
            generation,
        };
        let generation = fields.le64(0x48);
        let chunks = usize::try_from(fields.le32(0xa0)).unwrap_or(0);
        let out = Self {
            checksum,
            fsid,
            metadata_uuid: if has_own { fields.array(0x23b) } else { fsid },
            generation,
            root: root(0x50, 0xc6, Some(generation)),
            chunk_root: root(0x58, 0xc7, Some(fields.le64(0xa4))),
            log_root: (fields.le64(0x60) != 0).then(|| root(0x60, 0xc8, None)),
            sector_bytes: fields.le32(0x90),
            node_bytes: fields.le32(0x94),
            incompat,
            compat_ro: fields.le64(0xb4),
            device_id: fields.le64(0xc9),
            device_bytes: fields.le64(0xc9 + 8),
            label: padded_text(fields.slice(0x12b, 256)),
            system_chunks: fields.slice(0x32b, chunks.min(2048)).to_vec(),
            backups: backups(fields),
        };
        out.check()?;
        Ok(out)
    }

    fn check(&self) -> Result<(), EvidenceError> {
        let (sector, node) = (self.sector_bytes, self.node_bytes);
        if !sector.is_power_of_two()
            || !node.is_power_of_two()
            || !(512..=65_536).contains(&sector)
            || !(4096..=65_536).contains(&node)
            || node < sector
        {
            let what = format!("sectors of {sector} bytes and nodes of {node}");
            return Err(EvidenceError::corrupt(what));
        }
        if self.incompat & feature::EXTENT_TREE_V2 != 0 {
            return Err(EvidenceError::unsupported("the Btrfs feature extent-tree-v2"));
        }
        Ok(())
    }

    /// The UUID as tools show it.
    pub(super) fn uuid(&self) -> Option<String> {
        uuid_text(&self.fsid)
    }
}

/// The four `btrfs_root_backup` at the end of a superblock.
fn backups(fields: Fields<'_>) -> Vec<Root> {
    let mut out: Vec<Root> = (0..4_usize)
        .map(|number| {
            Fields(fields.slice(0xb2b_usize.saturating_add(number.saturating_mul(168)), 168))
        })
        .filter(|backup| backup.le64(0) != 0)
        .map(|backup| Root {
            address: backup.le64(0),
            level: backup.u8(152),
            generation: Some(backup.le64(8)),
        })
        .collect();
    out.sort_by_key(|root| std::cmp::Reverse(root.generation));
    out
}
