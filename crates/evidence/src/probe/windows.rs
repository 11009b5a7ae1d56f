//! Signatures of the file systems that come from the PC world, and of BitLocker.

use super::{Content, ContentKind, Range};
use crate::bytes::{Fields, guid_text, padded_text, to_usize, utf16_text};

pub(super) fn bitlocker(range: &Range<'_>) -> Option<Content> {
    let boot = range.head();
    if !boot.has(3, b"-FVE-FS-") && !boot.has(3, b"MSWIN4.1") {
        return None;
    }
    // BitLocker To Go hides behind a FAT boot sector; its identifier stands further on.
    let guid_at = if boot.has(3, b"-FVE-FS-") { 160 } else { 424 };
    let known = "4967d63b-2e29-4ad8-8399-f6a339e3d001";
    if guid_text(boot.array(guid_at)) != known && guid_at == 424 {
        return None;
    }
    let mut content = Content::new(ContentKind::BitLocker);
    content.note("encrypted: a key or recovery password is needed");
    Some(content)
}

pub(super) fn ntfs(range: &Range<'_>) -> Option<Content> {
    let boot = range.head();
    let sector_bytes = u64::from(boot.le16(11));
    if !boot.has(3, b"NTFS    ") || !sector_bytes.is_power_of_two() {
        return None;
    }
    let mut content = Content::new(ContentKind::Ntfs);
    content.uuid = Some(format!("{:016X}", boot.le64(0x48)));
    content.size_bytes = Some(boot.le64(0x28).saturating_mul(sector_bytes));
    ntfs_volume(range, boot, sector_bytes, &mut content);
    Some(content)
}

/// Label and dirty mark from the fourth MFT record, `$Volume`.
fn ntfs_volume(range: &Range<'_>, boot: Fields<'_>, sector_bytes: u64, content: &mut Content) {
    let cluster_bytes = u64::from(boot.u8(13)).saturating_mul(sector_bytes);
    let record_bytes = match boot.u8(0x40) {
        // Above 0x80 the value is a negative power of two, in bytes; else a number of clusters.
        shift @ 0xe0..=0xff => 1_u64.checked_shl(u32::from(shift.wrapping_neg())).unwrap_or(0),
        clusters => u64::from(clusters).saturating_mul(cluster_bytes),
    };
    if !(512..=65_536).contains(&record_bytes) {
        return;
    }
    let at = boot
        .le64(0x30)
        .saturating_mul(cluster_bytes)
        .saturating_add(record_bytes.saturating_mul(3));
    let raw = range.read(at, to_usize(record_bytes));
    let record = Fields(&raw);
    if !record.has(0, b"FILE") {
        return;
    }
    let mut attribute = usize::from(record.le16(0x14));
    for _ in 0..32 {
        let (kind, length) = (record.le32(attribute), record.le32(attribute.saturating_add(4)));
        let body = Fields(record.slice(attribute, to_usize(u64::from(length))));
        let value = body.slice(usize::from(body.le16(0x14)), to_usize(u64::from(body.le32(0x10))));
        match kind {
            0x60 => content.label = utf16_text(value),
            0x70 if Fields(value).le16(10) & 1 != 0 => content.note("marked dirty"),
            u32::MAX => return,
            _ => {}
        }
        if length < 16 {
            return;
        }
        attribute = attribute.saturating_add(to_usize(u64::from(length)));
    }
}

pub(super) fn refs(range: &Range<'_>) -> Option<Content> {
    range.head().has(3, b"ReFS\0\0\0\0").then(|| Content::new(ContentKind::Refs))
}

pub(super) fn exfat(range: &Range<'_>) -> Option<Content> {
    let boot = range.head();
    let (sector_shift, cluster_shift) = (u32::from(boot.u8(0x6c)), u32::from(boot.u8(0x6d)));
    if !boot.has(3, b"EXFAT   ") || !(9..=12).contains(&sector_shift) || cluster_shift > 25 {
        return None;
    }
    let mut content = Content::new(ContentKind::Exfat);
    content.uuid = Some(serial(boot.le32(0x64)));
    content.size_bytes = Some(boot.le64(0x48).saturating_mul(1 << sector_shift));
    if boot.le16(0x6a) & 2 != 0 {
        content.note("marked dirty");
    }
    let cluster = u64::from(boot.le32(0x60).saturating_sub(2)).saturating_mul(1 << cluster_shift);
    let root = u64::from(boot.le32(0x58)).saturating_add(cluster).saturating_mul(1 << sector_shift);
    for entry in range.read(root, 4096).chunks_exact(32) {
        let entry = Fields(entry);
        if entry.u8(0) == 0x83 {
            content.label =
                utf16_text(entry.slice(2, usize::from(entry.u8(1)).min(11).saturating_mul(2)));
        }
    }
    Some(content)
}

/// FAT has no signature of its own: the fields of its boot sector must all make sense. Number of clusters decides the width.
pub(super) fn fat(range: &Range<'_>) -> Option<Content> {
    let boot = range.head();
    let sector_bytes = u32::from(boot.le16(11));
    let cluster_sectors = u32::from(boot.u8(13));
    let reserved = u32::from(boot.le16(14));
    let tables = u32::from(boot.u8(16));
    let sane = boot.has(510, &[0x55, 0xaa])
        && matches!(boot.u8(0), 0xeb | 0xe9)
        && sector_bytes.is_power_of_two()
        && (512..=4096).contains(&sector_bytes)
        && cluster_sectors.is_power_of_two()
        && reserved > 0
        && matches!(tables, 1 | 2)
        && (boot.u8(21) == 0xf0 || boot.u8(21) >= 0xf8);
    if !sane {
        return None;
    }
    let root_entries = u32::from(boot.le16(17));
    let total = if boot.le16(19) != 0 { u32::from(boot.le16(19)) } else { boot.le32(32) };
    let table_sectors = if boot.le16(22) != 0 { u32::from(boot.le16(22)) } else { boot.le32(36) };
    let root_sectors = root_entries.saturating_mul(32).div_ceil(sector_bytes);
    let system =
        reserved.saturating_add(tables.saturating_mul(table_sectors)).saturating_add(root_sectors);
    if table_sectors == 0 || total <= system {
        return None;
    }
    let clusters = total.saturating_sub(system).checked_div(cluster_sectors)?;
    let wide = boot.le16(22) == 0;
    let kind = match clusters {
        _ if wide => ContentKind::Fat32,
        0..=4084 => ContentKind::Fat12,
        _ => ContentKind::Fat16,
    };
    let (serial_at, label_at, dirty_at): (usize, usize, usize) =
        if wide { (67, 71, 65) } else { (39, 43, 37) };
    let mut content = Content::new(kind);
    content.size_bytes = Some(u64::from(total).saturating_mul(u64::from(sector_bytes)));
    if boot.u8(serial_at.saturating_sub(1)) == 0x29 {
        content.uuid = Some(serial(boot.le32(serial_at)));
        content.label = padded_text(boot.slice(label_at, 11)).filter(|label| label != "NO NAME");
    }
    if boot.u8(dirty_at) & 1 != 0 {
        content.note("marked dirty");
    }
    Some(content)
}

fn serial(value: u32) -> String {
    format!("{:04X}-{:04X}", value >> 16, value & 0xffff)
}
