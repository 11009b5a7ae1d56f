//! Signatures of Unix file systems and of swap. Offsets follow each format's on-disk header as its own project documents it.

use super::{Content, ContentKind, Range};
use crate::bytes::{Fields, padded_text, to_usize, utf16_text, uuid_text};
use crate::time::Time;

pub(super) fn ext(range: &Range<'_>) -> Option<Content> {
    let sb = Fields(range.head().slice(1024, 1024));
    if sb.le16(0x38) != 0xef53 || sb.le32(0x18) > 6 || sb.le32(0x28) == 0 {
        return None;
    }
    let (compat, incompat, ro_compat) = (sb.le32(0x5c), sb.le32(0x60), sb.le32(0x64));
    let has_journal = compat & 0x4 != 0;
    // What only ext4 has: extents and newer incompatible features, or huge files and newer read-only ones.
    let modern = incompat & !0x1f != 0 || ro_compat & !0x7 != 0;
    let kind = match (incompat & 0x8 != 0, modern, has_journal) {
        (true, ..) => ContentKind::ExtJournal,
        (_, true, _) => ContentKind::Ext4,
        (_, _, true) => ContentKind::Ext3,
        _ => ContentKind::Ext2,
    };
    let mut content = Content::new(kind);
    content.uuid = uuid_text(sb.slice(0x68, 16));
    content.label = padded_text(sb.slice(0x78, 16));
    let high = if incompat & 0x80 != 0 { u64::from(sb.le32(0x150)) << 32 } else { 0 };
    let block_bytes = 1024_u64.checked_shl(sb.le32(0x18)).unwrap_or(0);
    content.size_bytes = Some((high | u64::from(sb.le32(4))).saturating_mul(block_bytes));
    if incompat & 0x4 != 0 {
        content.note("needs recovery: its journal holds changes not yet written");
    }
    let state = sb.le16(0x3a);
    if state & 1 == 0 {
        content.note("was not unmounted cleanly");
    }
    if state & 2 != 0 {
        content.note("errors were recorded");
    }
    if sb.le32(0xe8) != 0 || ro_compat & 0x1_0000 != 0 {
        content.note("orphan list present: files deleted while open");
    }
    if incompat & 0x1_0000 != 0 {
        content.note("holds encrypted directories");
    }
    if let Some(path) = padded_text(sb.slice(0x88, 64)) {
        content.note(format!("last mounted on {path}"));
    }
    // Since 2018 each of these times has eight further bits in a byte of its own.
    for (name, low, high) in
        [("last mounted", 0x2c, 0x275), ("last written", 0x30, 0x274), ("created", 0x108, 0x276)]
    {
        let seconds = i64::from(sb.le32(low)).saturating_add(i64::from(sb.u8(high)) << 32);
        if seconds > 0 {
            content.note(format!("{name} {}", Time { seconds, nanoseconds: 0 }));
        }
    }
    Some(content)
}

pub(super) fn xfs(range: &Range<'_>) -> Option<Content> {
    let sb = range.head();
    let block_bytes = sb.be32(4);
    if !sb.has(0, b"XFSB")
        || !block_bytes.is_power_of_two()
        || !(512..=65_536).contains(&block_bytes)
    {
        return None;
    }
    let mut content = Content::new(ContentKind::Xfs);
    content.uuid = uuid_text(sb.slice(32, 16));
    content.label = padded_text(sb.slice(108, 12));
    content.size_bytes = Some(sb.be64(8).saturating_mul(u64::from(block_bytes)));
    content.note(format!("version {}", sb.be16(100) & 0xf));
    if sb.u8(126) != 0 {
        content.note("mkfs did not finish");
    }
    content.note("whether its log is clean was not determined");
    Some(content)
}

pub(super) fn btrfs(range: &Range<'_>) -> Option<Content> {
    let sb = Fields(range.head().slice(65_536, 4096));
    if !sb.has(0x40, b"_BHRfS_M") {
        return None;
    }
    let mut content = Content::new(ContentKind::Btrfs);
    content.uuid = uuid_text(sb.slice(0x20, 16));
    content.label = padded_text(sb.slice(0x12b, 256));
    content.size_bytes = Some(sb.le64(0x70));
    if sb.le64(0x60) != 0 {
        content.note("needs recovery: a log tree is present");
    }
    let devices = sb.le64(0x88);
    if devices > 1 {
        content.devices = Some(devices);
        content.note(format!("one of {devices} devices"));
    }
    Some(content)
}

pub(super) fn f2fs(range: &Range<'_>) -> Option<Content> {
    let sb = Fields(range.head().slice(1024, 3072));
    if sb.le32(0) != 0xf2f5_2010 {
        return None;
    }
    let mut content = Content::new(ContentKind::F2fs);
    content.uuid = uuid_text(sb.slice(108, 16));
    content.label = utf16_text(sb.slice(124, 512));
    let block_bytes = 1_u64.checked_shl(sb.le32(16)).unwrap_or(0);
    content.size_bytes = Some(sb.le64(36).saturating_mul(block_bytes));
    Some(content)
}

pub(super) fn erofs(range: &Range<'_>) -> Option<Content> {
    let sb = Fields(range.head().slice(1024, 128));
    if sb.le32(0) != 0xe0f5_e1e2 {
        return None;
    }
    let mut content = Content::new(ContentKind::Erofs);
    content.uuid = uuid_text(sb.slice(48, 16));
    content.label = padded_text(sb.slice(64, 16));
    let block_bytes = 1_u64.checked_shl(u32::from(sb.u8(12))).unwrap_or(0);
    content.size_bytes = Some(u64::from(sb.le32(36)).saturating_mul(block_bytes));
    Some(content)
}

pub(super) fn squashfs(range: &Range<'_>) -> Option<Content> {
    let sb = range.head();
    if !sb.has(0, b"hsqs") {
        return None;
    }
    let mut content = Content::new(ContentKind::Squashfs);
    content.size_bytes = Some(sb.le64(40));
    content.note(format!("version {}.{}", sb.le16(28), sb.le16(30)));
    Some(content)
}

pub(super) fn iso9660(range: &Range<'_>) -> Option<Content> {
    let vd = Fields(range.head().slice(32_768, 2048));
    if !vd.has(1, b"CD001") {
        return None;
    }
    let mut content = Content::new(ContentKind::Iso9660);
    content.label = padded_text(vd.slice(40, 32));
    content.size_bytes = Some(u64::from(vd.le32(80)).saturating_mul(u64::from(vd.le16(128))));
    // A date stands for a serial number, as blkid shows it (modification, else creation): YYYY-MM-DD-hh-mm-ss-cc.
    let dates = [vd.slice(830, 16), vd.slice(813, 16)];
    let is_date =
        |raw: &&&[u8]| raw.iter().all(u8::is_ascii_digit) && raw.iter().any(|digit| *digit != b'0');
    if let Some(Ok(date)) = dates.iter().find(is_date).map(|raw| std::str::from_utf8(raw)) {
        let parts = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14), (14, 16)];
        let parts: Vec<&str> = parts.iter().filter_map(|(from, to)| date.get(*from..*to)).collect();
        content.uuid = Some(parts.join("-"));
    }
    if Fields(range.head().slice(34_816, 2048)).has(1, b"CD001")
        && range.head().has(34_823, b"EL TORITO")
    {
        content.note("bootable");
    }
    Some(content)
}

pub(super) fn udf(range: &Range<'_>) -> Option<Content> {
    let found = (0..8_usize).any(|index| {
        let at = index.saturating_mul(2048).saturating_add(32_769);
        range.head().has(at, b"NSR02") || range.head().has(at, b"NSR03")
    });
    found.then(|| Content::new(ContentKind::Udf))
}

pub(super) fn hfs_plus(range: &Range<'_>) -> Option<Content> {
    let vh = Fields(range.head().slice(1024, 512));
    let version = vh.be16(2);
    if !(vh.has(0, b"H+") && version == 4 || vh.has(0, b"HX") && version == 5) {
        return None;
    }
    let mut content = Content::new(ContentKind::HfsPlus);
    content.size_bytes = Some(u64::from(vh.be32(40)).saturating_mul(u64::from(vh.be32(44))));
    if vh.be32(4) & 0x100 == 0 {
        content.note("was not unmounted cleanly");
    }
    Some(content)
}

pub(super) fn apfs(range: &Range<'_>) -> Option<Content> {
    let nx = range.head();
    if !nx.has(32, b"NXSB") {
        return None;
    }
    let mut content = Content::new(ContentKind::Apfs);
    content.uuid = uuid_text(nx.slice(72, 16));
    content.size_bytes = Some(nx.le64(40).saturating_mul(u64::from(nx.le32(36))));
    Some(content)
}

/// The marks of the kernel's own writer (old and new), of uswsusp, and of TuxOnIce.
const HIBERNATION_MARKS: [&[u8]; 5] =
    [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001", b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"];

/// Swap, and swap that holds a memory image. A hibernation writer puts its own mark over swap's.
pub(super) fn swap(range: &Range<'_>) -> Option<Content> {
    for page_bytes in [4096_u64, 8192, 16_384, 65_536] {
        let at = to_usize(page_bytes.saturating_sub(10));
        let mark = range.head().slice(at, 10);
        let hibernated = HIBERNATION_MARKS.iter().find(|known| mark.starts_with(known));
        if hibernated.is_none() && mark != b"SWAPSPACE2" && mark != b"SWAP-SPACE" {
            continue;
        }
        let header = Fields(range.head().slice(1024, 512));
        let mut content = Content::new(if hibernated.is_some() {
            ContentKind::HibernatedSwap
        } else {
            ContentKind::Swap
        });
        if mark != b"SWAP-SPACE" {
            content.uuid = uuid_text(header.slice(12, 16));
            content.label = padded_text(header.slice(28, 16));
            content.size_bytes =
                Some(u64::from(header.le32(4)).saturating_add(1).saturating_mul(page_bytes));
        }
        if let Some(known) = hibernated {
            let name = crate::escape_bytes(known);
            content.note(format!("holds a hibernation image (memory of the machine), mark {name}"));
        }
        return Some(content);
    }
    None
}
