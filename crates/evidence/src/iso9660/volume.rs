//! Volume descriptors: the trees a disc offers, and what it can be started from.
//!
//! Specifications: ECMA-119 section 8, Joliet (escape sequences of a supplementary descriptor), El Torito 1.0.

use super::record::{Letters, Record};
use crate::bytes::{Fields, padded_text};
use crate::error::EvidenceError;
use crate::source::Source;
use std::sync::Arc;

/// Bytes of a descriptor and of the sector that directory records do not cross.
pub(super) const SECTOR_BYTES: u64 = 2048;
/// The first descriptor.
const FIRST_SECTOR: u64 = 16;
/// Descriptors looked at; a disc has about four.
const MAX_DESCRIPTORS: u64 = 64;
/// Entries of a boot catalogue: one sector of them.
const MAX_BOOT_ENTRIES: usize = 64;

/// A tree of directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) root: Record,
    pub(super) letters: Letters,
    pub(super) block_bytes: u64,
    pub(super) blocks: u64,
    /// Name of the kind of tree.
    pub(super) name: &'static str,
    pub(super) label: Option<String>,
    pub(super) texts: Vec<(&'static str, String)>,
}

/// What the descriptors say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Volumes {
    pub(super) primary: Option<Tree>,
    pub(super) joliet: Option<Tree>,
    pub(super) enhanced: Option<Tree>,
    pub(super) boot_catalogue: Option<u64>,
    /// Creation or modification as sixteen digits, which stands for a serial number.
    pub(super) serial: Option<String>,
    pub(super) remarks: Vec<String>,
}

pub(super) fn read(source: &Arc<dyn Source>) -> Result<Volumes, EvidenceError> {
    let mut out = Volumes::default();
    for number in 0..MAX_DESCRIPTORS {
        let at = FIRST_SECTOR.saturating_add(number).saturating_mul(SECTOR_BYTES);
        let raw = source
            .bytes_at(at, 2048)
            .map_err(EvidenceError::read(format!("volume descriptor {number}")))?;
        let fields = Fields(&raw);
        if !fields.has(1, b"CD001") {
            out.remarks.push(format!("the volume descriptors break off after {number}"));
            break;
        }
        match fields.u8(0) {
            0 if fields.has(7, b"EL TORITO SPECIFICATION") => {
                out.boot_catalogue = Some(u64::from(fields.le32(0x47)));
            }
            1 if out.primary.is_none() => {
                out.primary = tree(at, fields, Letters::Bytes, "ISO 9660", &mut out.remarks);
                out.serial = serial(fields);
            }
            2 => {
                let escape = fields.slice(88, 3);
                if matches!(escape, b"%/@" | b"%/C" | b"%/E") {
                    out.joliet = tree(at, fields, Letters::Joliet, "Joliet", &mut out.remarks);
                } else if fields.u8(6) == 2 {
                    let name = "ISO 9660:1999";
                    out.enhanced = tree(at, fields, Letters::Bytes, name, &mut out.remarks);
                } else {
                    let shown = crate::escape_bytes(escape);
                    out.remarks
                        .push(format!("a supplementary tree in the letters {shown:?} is not read"));
                }
            }
            255 => break,
            _ => {}
        }
    }
    if out.primary.is_none() && out.joliet.is_none() && out.enhanced.is_none() {
        return Err(EvidenceError::corrupt(
            "no volume descriptor of ISO 9660 names a root directory",
        ));
    }
    Ok(out)
}

fn tree(
    at: u64,
    fields: Fields<'_>,
    letters: Letters,
    name: &'static str,
    remarks: &mut Vec<String>,
) -> Option<Tree> {
    let block_bytes = u64::from(fields.le16(128));
    let root = Record::parse(at.saturating_add(156), fields.slice(156, 34));
    if !block_bytes.is_power_of_two() || !(512..=SECTOR_BYTES).contains(&block_bytes) {
        remarks.push(format!("the {name} descriptor gives blocks of {block_bytes} bytes"));
        return None;
    }
    let Some(root) = root.filter(Record::is_directory) else {
        remarks.push(format!("the {name} descriptor names no root directory"));
        return None;
    };
    let text = |from: usize, length: usize| -> Option<String> {
        let raw = fields.slice(from, length);
        match letters {
            Letters::Bytes => padded_text(raw),
            Letters::Joliet => padded_text(&super::record::shown_name(raw, letters)),
        }
    };
    let mut texts = Vec::new();
    for (what, from, length) in [
        ("system", 8, 32),
        ("volume set", 190, 128),
        ("publisher", 318, 128),
        ("prepared by", 446, 128),
        ("application", 574, 128),
    ] {
        texts.extend(text(from, length).map(|text| (what, text)));
    }
    for (what, from) in [("created", 813), ("modified", 830), ("expires", 847), ("effective", 864)]
    {
        let time = super::date::long(fields.slice(from, 17));
        texts.extend(time.map(|time| (what, time.to_string())));
    }
    let label = text(40, 32);
    Some(Tree {
        root,
        letters,
        block_bytes,
        blocks: u64::from(fields.le32(80)),
        name,
        label,
        texts,
    })
}

/// As blkid shows it: modification, else creation.
fn serial(fields: Fields<'_>) -> Option<String> {
    let dates = [fields.slice(830, 16), fields.slice(813, 16)];
    let date = dates.into_iter().find(|raw| {
        raw.len() == 16
            && raw.iter().all(u8::is_ascii_digit)
            && raw.iter().any(|digit| *digit != b'0')
    })?;
    let text = std::str::from_utf8(date).ok()?;
    let parts = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14), (14, 16)];
    let parts: Vec<&str> = parts.iter().filter_map(|(from, to)| text.get(*from..*to)).collect();
    Some(parts.join("-"))
}

/// The images a disc can be started from, one line each.
pub(super) fn boot_images(source: &Arc<dyn Source>, catalogue_block: u64) -> Vec<String> {
    let at = catalogue_block.saturating_mul(SECTOR_BYTES);
    let raw = match source.bytes_at(at, 2048) {
        Ok(raw) => raw,
        Err(error) => return vec![format!("the boot catalogue cannot be read: {error}")],
    };
    let mut out = Vec::new();
    let mut platform = "";
    for (index, entry) in raw.chunks_exact(32).take(MAX_BOOT_ENTRIES).enumerate() {
        let entry = Fields(entry);
        match (index, entry.u8(0)) {
            (0, 1) | (_, 0x90 | 0x91) => platform = platform_name(entry.u8(1)),
            (0, other) => {
                out.push(format!(
                    "the boot catalogue at block {catalogue_block} begins with {other:#04x}"
                ));
                return out;
            }
            (_, mark @ (0x88 | 0x00)) => {
                let (sectors, block) = (entry.le16(6), entry.le32(8));
                if block == 0 {
                    continue;
                }
                let media = match entry.u8(1) & 15 {
                    0 => "no emulation",
                    1..=3 => "floppy",
                    4 => "hard disk",
                    _ => "unknown emulation",
                };
                let is_bootable = if mark == 0x88 { "bootable" } else { "not bootable" };
                out.push(format!(
                    "{platform}, {media}, {is_bootable}, block {block}, {sectors} sectors of 512 bytes loaded"
                ));
            }
            _ => {}
        }
    }
    out
}

fn platform_name(id: u8) -> &'static str {
    match id {
        0 => "BIOS",
        1 => "PowerPC",
        2 => "Mac",
        0xef => "EFI",
        _ => "unknown platform",
    }
}
