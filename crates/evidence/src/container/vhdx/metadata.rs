//! The metadata region: sizes of the disk, its blocks and sectors, and the names of a parent ([MS-VHDX] 2.6).

use super::header::Region;
use crate::bytes::{Fields, guid_text, to_usize};
use crate::container::below::Notes;
use crate::error::EvidenceError;
use crate::problem::ProblemKind;
use crate::source::Source;

const TABLE_BYTES: usize = 64 << 10;
const MAX_ITEMS: usize = 2047;

/// An item: the parent's names are the longest.
const MAX_ITEM_BYTES: u32 = 1 << 20;

/// Names of one parent: six are defined.
const MAX_KEYS: usize = 64;

const PARAMETERS: &str = "caa16737-fa36-4d43-b3b6-33f0aa44e76b";
const DISK_SIZE: &str = "2fa54224-cd1b-4876-b211-5dbed83bf4b8";
const DISK_ID: &str = "beca12ab-b2e6-4523-93ef-c309e000c746";
const LOGICAL_SECTOR: &str = "8141bf1d-a96f-4709-ba47-f233a8faab5f";
const PHYSICAL_SECTOR: &str = "cda348c7-445d-4471-9cc9-e9885251c556";
const PARENT: &str = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c";

/// What the region says.
#[derive(Default)]
pub(super) struct Metadata {
    pub(super) block_bytes: u64,
    pub(super) size_bytes: u64,
    pub(super) sector_bytes: u32,
    pub(super) has_parent: bool,
    /// Key and value of everything recorded about the parent.
    pub(super) parent: Vec<(String, String)>,
    physical_bytes: u32,
    disk_id: Option<String>,
    is_fixed: bool,
}

impl Metadata {
    pub(super) fn read(
        source: &dyn Source,
        region: &Region,
        notes: &mut Notes,
    ) -> Result<Self, EvidenceError> {
        let raw = source
            .bytes_at(region.at_bytes, TABLE_BYTES)
            .map_err(EvidenceError::read("the VHDX metadata table"))?;
        if !Fields(&raw).has(0, b"metadata") {
            let at = region.at_bytes;
            return Err(EvidenceError::corrupt(format!("no VHDX metadata table at {at}")));
        }
        let count = usize::from(Fields(&raw).le16(10)).min(MAX_ITEMS);
        let mut out = Self::default();
        for entry in raw.get(32..).unwrap_or(&[]).chunks_exact(32).take(count) {
            let entry = Fields(entry);
            let (offset, length) = (u64::from(entry.le32(16)), entry.le32(20).min(MAX_ITEM_BYTES));
            let at = region.at_bytes.saturating_add(offset);
            let item = source
                .bytes_at(at, to_usize(u64::from(length)))
                .map_err(EvidenceError::read("a VHDX metadata item"))?;
            out.item(&guid_text(entry.array(0)), &item, entry.le32(24), notes);
        }
        if !matches!(out.sector_bytes, 512 | 4096)
            || !out.block_bytes.is_power_of_two()
            || !(1 << 20..=256 << 20).contains(&out.block_bytes)
        {
            let (block, sector) = (out.block_bytes, out.sector_bytes);
            let text = format!("VHDX blocks of {block} bytes, sectors of {sector}");
            return Err(EvidenceError::corrupt(text));
        }
        Ok(out)
    }

    fn item(&mut self, id: &str, item: &[u8], flags: u32, notes: &mut Notes) {
        let fields = Fields(item);
        match id {
            PARAMETERS => {
                self.block_bytes = u64::from(fields.le32(0));
                self.is_fixed = fields.le32(4) & 1 != 0;
                self.has_parent = fields.le32(4) & 2 != 0;
            }
            DISK_SIZE => self.size_bytes = fields.le64(0),
            DISK_ID => self.disk_id = Some(guid_text(fields.array(0))),
            LOGICAL_SECTOR => self.sector_bytes = fields.le32(0),
            PHYSICAL_SECTOR => self.physical_bytes = fields.le32(0),
            PARENT => self.parent = names(fields),
            // Bit 2: whoever does not know the item must not open the image. Reading shows what there is, and says so.
            other if flags & 4 != 0 => {
                let text = format!("VHDX metadata {other} is marked as required and is not known");
                notes.problem(ProblemKind::Unsupported, text);
            }
            _ => {}
        }
    }

    pub(super) fn describe(&self, notes: &mut Notes) {
        let kind = match (self.has_parent, self.is_fixed) {
            (true, _) => "differencing",
            (_, true) => "fixed",
            _ => "dynamic",
        };
        notes.fact("kind", kind);
        notes.fact("block bytes", self.block_bytes);
        notes.fact("sector bytes", self.sector_bytes);
        notes.fact("physical sector bytes", self.physical_bytes);
        if let Some(id) = &self.disk_id {
            notes.fact("disk identifier", id);
        }
    }
}

/// The parent locator: keys and values in UTF-16.
fn names(fields: Fields<'_>) -> Vec<(String, String)> {
    let count = usize::from(fields.le16(18)).min(MAX_KEYS);
    let text = |at: u32, length: u16| {
        let raw = fields.slice(to_usize(u64::from(at)), usize::from(length));
        let units = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
        String::from_utf16_lossy(&units.collect::<Vec<u16>>())
    };
    let entry = |index: usize| {
        let at = index.saturating_mul(12).saturating_add(20);
        let field = |from: usize| at.saturating_add(from);
        let key = text(fields.le32(at), fields.le16(field(8)));
        (key, text(fields.le32(field(4)), fields.le16(field(10))))
    };
    (0..count).map(entry).collect()
}
