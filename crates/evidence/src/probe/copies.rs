//! File systems whose start was wiped or damaged, recognised by the copies they keep elsewhere.
//!
//! Looked at only when a range shows nothing else, not even the mark of a boot sector or partition table: a copy is weaker
//! evidence than a signature in its place, and an old one may outlive its file system. So each is noted as a copy.

use super::{Content, Range, filesystems, windows};
use std::cell::RefCell;

/// Where a copy of the first structure may stand, how many bytes of it there are, where it belongs, and who knows it.
struct Copy {
    at: u64,
    length: usize,
    belongs_at: usize,
    detect: fn(&Range<'_>) -> Option<Content>,
}

/// What copies tell of the range.
pub(super) fn find(range: &Range<'_>) -> Vec<Content> {
    let head = range.head();
    if head.has(510, &[0x55, 0xaa]) {
        return Vec::new();
    }
    places(range.size()).into_iter().find_map(|copy| of(range, &copy)).into_iter().collect()
}

fn places(size: u64) -> Vec<Copy> {
    let mut out = Vec::new();
    // Block group 1 of ext with blocks of 1, 2 and 4 KiB.
    for at in [8193 << 10, 16_384 << 11, 32_768 << 12] {
        out.push(Copy { at, length: 1024, belongs_at: 1024, detect: filesystems::ext });
    }
    // The second group of XFS, where mkfs made four as on any single disk.
    for block_bytes in [4096_u64, 1024] {
        let blocks = size.checked_div(block_bytes).unwrap_or(0).div_ceil(4);
        let at = blocks.saturating_mul(block_bytes);
        out.push(Copy { at, length: 512, belongs_at: 0, detect: filesystems::xfs });
    }
    out.push(Copy { at: 64 << 20, length: 4096, belongs_at: 65_536, detect: filesystems::btrfs });
    for sector_bytes in [512_u64, 4096] {
        let last = size.saturating_sub(sector_bytes);
        out.push(Copy { at: last, length: 512, belongs_at: 0, detect: windows::ntfs });
        let (twelfth, sixth) = (sector_bytes.saturating_mul(12), sector_bytes.saturating_mul(6));
        out.push(Copy { at: twelfth, length: 512, belongs_at: 0, detect: windows::exfat });
        out.push(Copy { at: sixth, length: 512, belongs_at: 0, detect: windows::fat });
    }
    out.retain(|copy| copy.at != 0 && copy.at < size);
    out
}

fn of(range: &Range<'_>, copy: &Copy) -> Option<Content> {
    let raw = range.source.bytes_at(copy.at, copy.length).ok()?;
    // Most ranges have nothing there.
    if raw.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut head = vec![0; copy.belongs_at.max(super::HEAD_BYTES)];
    head.get_mut(copy.belongs_at..copy.belongs_at.saturating_add(raw.len()))?.copy_from_slice(&raw);
    let moved = Range { source: range.source, head, problems: RefCell::default() };
    let mut content = (copy.detect)(&moved)?;
    content.note(format!(
        "its first structure is missing; recognised by the copy at byte {}",
        copy.at
    ));
    Some(content)
}
