//! Signatures of what makes a range a part of something larger: RAID, volume managers, caches, encryption.

use super::{Content, ContentKind, Range};
use crate::bytes::{Fields, padded_text, to_usize, uuid_text};
use crate::time::Time;

/// md superblock 1.1 (at 0), 1.2 (at 4 KiB), 1.0 (8 to 12 KiB before the end).
pub(super) fn md_new(range: &Range<'_>) -> Option<Content> {
    let near_end = range.size().checked_sub(8192).map(|at| at & !4095);
    let places = [(Some(0), "1.1"), (Some(4096), "1.2"), (near_end, "1.0")];
    places.iter().find_map(|(at, version)| {
        let at = (*at)?;
        let raw = range.read(at, 1024);
        let sb = Fields(&raw);
        if sb.le32(0) != 0xa92b_4efc || sb.le32(4) != 1 || sb.le64(144) != at / 512 {
            return None;
        }
        let mut content = Content::new(ContentKind::MdMember);
        content.uuid = uuid_text(sb.slice(16, 16));
        content.label = padded_text(sb.slice(32, 32));
        content.size_bytes = Some(sb.le64(136).saturating_mul(512));
        content.note(format!("superblock {version}"));
        content.note(level(sb.array(72)));
        let number = sb.le32(160);
        let role_at = to_usize(u64::from(number)).saturating_mul(2).saturating_add(256);
        let role = match sb.le16(role_at) {
            _ if number >= sb.le32(220) || role_at > 1022 => "role unknown".to_owned(),
            0xffff => "spare".to_owned(),
            0xfffe => "faulty".to_owned(),
            0xfffd => "journal device".to_owned(),
            role => format!("member {role} of {}", sb.le32(92)),
        };
        content.note(role);
        content.note(format!("events {}", sb.le64(200)));
        content.note(if sb.le64(208) == u64::MAX { "clean" } else { "not clean: resync pending" });
        // The upper 24 bits hold microseconds.
        let seconds = i64::try_from(sb.le64(192) & 0xff_ffff_ffff).unwrap_or(0);
        content.note(format!("updated {}", Time { seconds, nanoseconds: 0 }));
        Some(content)
    })
}

/// md superblock 0.90, in the last whole 64 KiB before the end, in the byte order of the machine that made it.
pub(super) fn md_old(range: &Range<'_>) -> Option<Content> {
    let at = (range.size() & !0xffff).checked_sub(65_536)?;
    let raw = range.read(at, 4096);
    let sb = Fields(&raw);
    let big = sb.be32(0) == 0xa92b_4efc;
    if !big && sb.le32(0) != 0xa92b_4efc {
        return None;
    }
    let word = |index: usize| {
        let at = index.saturating_mul(4);
        if big { sb.be32(at) } else { sb.le32(at) }
    };
    if word(1) != 0 {
        return None;
    }
    let mut content = Content::new(ContentKind::MdMember);
    let id: Vec<u8> = [5, 13, 14, 15].iter().flat_map(|index| word(*index).to_be_bytes()).collect();
    content.uuid = uuid_text(&id);
    content.size_bytes = Some(u64::from(word(8)).saturating_mul(1024));
    content.note(format!("superblock 0.{}", word(2)));
    content.note(level(word(7).to_le_bytes()));
    let role = if word(992 + 3) < word(10) {
        format!("member {} of {}", word(992 + 3), word(10))
    } else {
        "spare".into()
    };
    content.note(role);
    let (low, high) = if big { (word(40), word(39)) } else { (word(39), word(40)) };
    content.note(format!("events {}", u64::from(high) << 32 | u64::from(low)));
    content.note(if word(33) & 1 != 0 { "clean" } else { "not clean: resync pending" });
    Some(content)
}

/// RAID of a controller's firmware, told by the last sectors: DDF (SNIA), Intel's, which md can take over.
pub(super) fn firmware_raid(range: &Range<'_>) -> Option<Content> {
    let size = range.size();
    let tail_at = size.checked_sub(8192)?;
    let raw = range.read(tail_at, 8192);
    let tail = Fields(&raw);
    let ddf = [7680, 4096].iter().any(|at| tail.be32(*at) == 0xde11_de11);
    let intel = [7168, 0].iter().any(|at| tail.has(*at, b"Intel Raid ISM Cfg Sig. "));
    if !ddf && !intel {
        return None;
    }
    let mut content = Content::new(ContentKind::MdMember);
    content.note(if ddf { "firmware RAID DDF" } else { "firmware RAID Intel Matrix (IMSM)" });
    Some(content)
}

fn level(raw: [u8; 4]) -> String {
    match i32::from_le_bytes(raw) {
        -1 => "linear".to_owned(),
        -4 => "multipath".to_owned(),
        level => format!("raid{level}"),
    }
}

/// LVM2: the label stands in one of the first four sectors and points to the metadata text, whose first word is the group.
pub(super) fn lvm(range: &Range<'_>) -> Option<Content> {
    let label_at = [512_usize, 0, 1024, 1536].into_iter().find(|at| {
        let label = Fields(range.head().slice(*at, 512));
        label.has(0, b"LABELONE") && label.has(24, b"LVM2 001")
    })?;
    let sector = Fields(range.head().slice(label_at, 512));
    let header_at = to_usize(u64::from(sector.le32(20)));
    let mut content = Content::new(ContentKind::LvmMember);
    content.uuid = std::str::from_utf8(sector.slice(header_at, 32))
        .ok()
        .filter(|id| id.is_ascii())
        .map(|id| {
            let parts = [(0, 6), (6, 10), (10, 14), (14, 18), (18, 22), (22, 26), (26, 32)];
            let parts: Vec<&str> =
                parts.iter().filter_map(|(from, to)| id.get(*from..*to)).collect();
            crate::escape_bytes(parts.join("-").as_bytes())
        });
    content.size_bytes = Some(sector.le64(header_at.saturating_add(32)));
    // Two lists of (offset, length) follow, each closed by a pair of zeros: data areas, then metadata areas.
    let mut at = header_at.saturating_add(40);
    let mut lists = 0;
    for _ in 0..16 {
        let (start, length) = (sector.le64(at), sector.le64(at.saturating_add(8)));
        at = at.saturating_add(16);
        if start == 0 {
            lists = u8::saturating_add(lists, 1);
            if lists == 2 {
                break;
            }
        } else if lists == 1 {
            if let Some(group) = volume_group(range, start, length) {
                content.note(format!("volume group {group}"));
                content.label = Some(group);
            }
            break;
        }
    }
    Some(content)
}

fn volume_group(range: &Range<'_>, area_start: u64, area_length: u64) -> Option<String> {
    let raw = range.read(area_start, 512);
    let header = Fields(&raw);
    if !header.has(4, b" LVM2 x[5A%r0N*>") {
        return None;
    }
    let text_at = header.le64(40);
    if text_at >= area_length {
        return None;
    }
    let text = range.read(area_start.saturating_add(text_at), 256);
    let name = text.split(|byte| *byte == b'{').next()?.trim_ascii();
    (!name.is_empty() && name.len() < 128).then(|| crate::escape_bytes(name))
}

pub(super) fn luks(range: &Range<'_>) -> Option<Content> {
    let head = range.head();
    let second =
        [0x4000_usize, 0x8000, 0x1_0000, 0x2_0000].iter().any(|at| head.has(*at, b"SKUL\xba\xbe"));
    if !head.has(0, b"LUKS\xba\xbe") {
        if !second {
            return None;
        }
        let mut content = Content::new(ContentKind::Luks2);
        content.note("only the second LUKS2 header is left: the first was overwritten");
        return Some(content);
    }
    let version = head.be16(6);
    let mut content =
        Content::new(if version == 1 { ContentKind::Luks1 } else { ContentKind::Luks2 });
    content.uuid = padded_text(head.slice(168, 40));
    if version == 1 {
        let part = |at| padded_text(head.slice(at, 32)).unwrap_or_default();
        content.note(format!("cipher {}-{}", part(8), part(40)));
        let used = (0..8_usize)
            .filter(|slot| head.be32(slot.saturating_mul(48).saturating_add(208)) == 0x00ac_71f3)
            .count();
        content.note(format!("{used} key slots in use"));
    } else {
        content.label = padded_text(head.slice(24, 48));
        if !second {
            content.note("no second LUKS2 header where one is usual");
        }
    }
    content.note("encrypted: a key or passphrase is needed");
    Some(content)
}

pub(super) fn bcache(range: &Range<'_>) -> Option<Content> {
    const MAGIC: [u8; 16] = [
        0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
        0x81,
    ];
    let sb = Fields(range.head().slice(4096, 256));
    if !sb.has(24, &MAGIC) {
        return None;
    }
    let mut content = Content::new(ContentKind::Bcache);
    content.uuid = uuid_text(sb.slice(40, 16));
    content.label = padded_text(sb.slice(72, 32));
    content.note(if matches!(sb.le64(16), 1 | 4) { "backing device" } else { "cache device" });
    Some(content)
}

/// ZFS has uberblocks from 128 KiB in each of four labels; one with the magic number in either byte order is enough.
pub(super) fn zfs(range: &Range<'_>) -> Option<Content> {
    if range.size() < 1 << 20 {
        return None;
    }
    let ring = range.read(128 * 1024, 128 * 1024);
    let found = ring.chunks(1024).any(|block| {
        let block = Fields(block);
        block.le64(0) == 0x00ba_b10c || block.be64(0) == 0x00ba_b10c
    });
    found.then(|| Content::new(ContentKind::ZfsMember))
}
