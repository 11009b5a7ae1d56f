//! Where the frames of a Zstandard file are, and what of the disk each of them holds.
//!
//! From the seek table at the end (zstd/contrib/seekable_format), or frame by frame (RFC 8878) where each says its length.

use crate::bytes::{Fields, to_u64, to_usize};
use crate::container::tables::Tables;
use crate::source::Source;

const FRAME: u32 = 0xfd2f_b528;
/// The lower four bits are free.
const SKIPPABLE: u32 = 0x184d_2a50;
const SEEK_TABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;

const FOOTER_BYTES: u64 = 9;

/// Frames one file may have; each costs 40 bytes of memory.
const MAX_FRAMES: u64 = 4 << 20;

/// Headers of blocks looked at where there is no seek table, in all.
const MAX_BLOCKS: u64 = 64 << 20;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where its content begins on the disk.
    pub(super) start_bytes: u64,
    /// Length of its content.
    pub(super) length_bytes: u64,
    /// Where it begins in the file.
    pub(super) at_bytes: u64,
    /// Its length in the file.
    pub(super) stored_bytes: u64,
    /// The lower half of the XXH64 of its content, by the seek table.
    pub(super) checksum: Option<u32>,
}

/// How the frames were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    SeekTable,
    Headers,
}

/// All frames with content, in order.
pub(super) struct Frames {
    pub(super) list: Vec<Frame>,
    pub(super) found: Found,
}

impl Frames {
    /// Finds them; the text says why that is not possible.
    pub(super) fn find(file: &Tables) -> Result<Self, String> {
        match seek_table(file)? {
            Some(list) => Ok(Self { list, found: Found::SeekTable }),
            None => Ok(Self { list: by_headers(file)?, found: Found::Headers }),
        }
    }

    /// The size of the disk.
    pub(super) fn size_bytes(&self) -> u64 {
        self.list.last().map_or(0, |frame| frame.start_bytes.saturating_add(frame.length_bytes))
    }

    fn push(list: &mut Vec<Frame>, frame: Frame) -> Result<(), String> {
        if to_u64(list.len()) >= MAX_FRAMES {
            return Err(format!("more than {MAX_FRAMES} frames"));
        }
        if frame.length_bytes != 0 {
            list.push(frame);
        }
        Ok(())
    }
}

/// Whether a frame of either kind begins here.
pub(super) fn begins(head: Fields<'_>) -> bool {
    let magic = head.le32(0);
    magic == FRAME || magic & 0xffff_fff0 == SKIPPABLE
}

fn fields_at<const N: usize>(file: &Tables, at: u64) -> Result<[u8; N], String> {
    let mut raw = [0; N];
    let dynamic: &dyn Source = file;
    dynamic.fill(at, &mut raw).map_err(|error| error.to_string())?;
    Ok(raw)
}

/// Whether the file ends with a seek table.
pub(super) fn has_seek_table(file: &dyn Source) -> bool {
    let at = file.size_bytes().saturating_sub(FOOTER_BYTES);
    let footer = file.bytes_at(at, to_usize(FOOTER_BYTES)).unwrap_or_default();
    footer.len() == to_usize(FOOTER_BYTES) && Fields(&footer).le32(5) == SEEKABLE
}

/// The frames by the seek table; `None` when there is none.
fn seek_table(file: &Tables) -> Result<Option<Vec<Frame>>, String> {
    let size = file.size_bytes();
    if !has_seek_table(file) {
        return Ok(None);
    }
    let footer: [u8; 9] = fields_at(file, size.saturating_sub(FOOTER_BYTES))?;
    let count = u64::from(Fields(&footer).le32(0));
    let descriptor = Fields(&footer).u8(4);
    if descriptor & 0x7c != 0 {
        return Err(format!("the seek table's descriptor is {descriptor:#04x}"));
    }
    if count > MAX_FRAMES {
        return Err(format!("{count} frames; {MAX_FRAMES} is the limit"));
    }
    let has_checksums = descriptor & 0x80 != 0;
    let entry_bytes: u64 = if has_checksums { 12 } else { 8 };
    let content = count.saturating_mul(entry_bytes).saturating_add(FOOTER_BYTES);
    let table_at = size
        .checked_sub(content.saturating_add(8))
        .ok_or_else(|| format!("a seek table of {count} frames in a file of {size} bytes"))?;
    let header: [u8; 8] = fields_at(file, table_at)?;
    let header = Fields(&header);
    if header.le32(0) != SEEK_TABLE || u64::from(header.le32(4)) != content {
        return Err(format!("no seek table of {count} frames begins at {table_at}"));
    }
    let (mut list, mut start_bytes, mut at_bytes) = (Vec::new(), 0_u64, 0_u64);
    for number in 0..count {
        let at = table_at.saturating_add(8).saturating_add(number.saturating_mul(entry_bytes));
        let raw: [u8; 12] = fields_at(file, at)?;
        let entry = Fields(&raw);
        let frame = Frame {
            start_bytes,
            length_bytes: u64::from(entry.le32(4)),
            at_bytes,
            stored_bytes: u64::from(entry.le32(0)),
            checksum: has_checksums.then(|| entry.le32(8)),
        };
        start_bytes = start_bytes.saturating_add(frame.length_bytes);
        at_bytes = at_bytes.saturating_add(frame.stored_bytes);
        Frames::push(&mut list, frame)?;
    }
    if at_bytes > table_at {
        return Err(format!(
            "the seek table lists {at_bytes} bytes of frames, {table_at} are there"
        ));
    }
    Ok(Some(list))
}

/// The frames by their own headers.
fn by_headers(file: &Tables) -> Result<Vec<Frame>, String> {
    let size = file.size_bytes();
    let (mut list, mut start_bytes, mut at, mut blocks) = (Vec::new(), 0_u64, 0_u64, 0_u64);
    while at < size {
        let raw = file_bytes(file, at, 18)?;
        let head = Fields(&raw);
        if head.le32(0) & 0xffff_fff0 == SKIPPABLE && raw.len() >= 8 {
            at = at.saturating_add(8).saturating_add(u64::from(head.le32(4)));
            continue;
        }
        if head.le32(0) != FRAME {
            return Err(format!("no frame begins at {at}"));
        }
        let header = header(head).map_err(|what| format!("the frame at {at} {what}"))?;
        let end = end_of_frame(file, at.saturating_add(header.length_bytes), &mut blocks)?;
        let end = end.saturating_add(if header.has_checksum { 4 } else { 0 });
        if end > size {
            return Err(format!("the frame at {at} ends at {end}, the file at {size}"));
        }
        let frame = Frame {
            start_bytes,
            length_bytes: header.content_bytes,
            at_bytes: at,
            stored_bytes: end.saturating_sub(at),
            checksum: None,
        };
        start_bytes = start_bytes.saturating_add(frame.length_bytes);
        Frames::push(&mut list, frame)?;
        at = end;
    }
    Ok(list)
}

fn file_bytes(file: &Tables, at: u64, length: usize) -> Result<Vec<u8>, String> {
    let dynamic: &dyn Source = file;
    dynamic.bytes_at(at, length).map_err(|error| error.to_string())
}

/// What a frame's header says (RFC 8878, 3.1.1.1).
pub(super) struct Header {
    length_bytes: u64,
    content_bytes: u64,
    pub(super) has_checksum: bool,
}

/// The header at the start; the text continues "the frame …".
pub(super) fn header(head: Fields<'_>) -> Result<Header, String> {
    let descriptor = head.u8(4);
    let is_single = descriptor & 0x20 != 0;
    let dictionary = [0_usize, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
    let window = usize::from(!is_single);
    let size_at = 5_usize.saturating_add(window).saturating_add(dictionary);
    let (content_bytes, size_bytes) = match (descriptor >> 6, is_single) {
        (0, true) => (u64::from(head.u8(size_at)), 1_usize),
        (0, false) => {
            return Err("does not say how long its content is: unpack the file with zstd -d".into());
        }
        (1, _) => (u64::from(head.le16(size_at)).saturating_add(256), 2),
        (2, _) => (u64::from(head.le32(size_at)), 4),
        _ => (head.le64(size_at), 8),
    };
    Ok(Header {
        length_bytes: to_u64(size_at.saturating_add(size_bytes)),
        content_bytes,
        has_checksum: descriptor & 4 != 0,
    })
}

/// Follows the blocks of a frame to their end (RFC 8878, 3.1.1.2).
fn end_of_frame(file: &Tables, mut at: u64, blocks: &mut u64) -> Result<u64, String> {
    loop {
        *blocks = blocks.saturating_add(1);
        if *blocks > MAX_BLOCKS {
            return Err(format!("more than {MAX_BLOCKS} blocks"));
        }
        let raw: [u8; 3] = fields_at(file, at)?;
        let header = Fields(&[raw[0], raw[1], raw[2], 0]).le32(0);
        let length = match header >> 1 & 3 {
            0 | 2 => u64::from(header >> 3),
            1 => 1,
            _ => return Err(format!("the block at {at} is of the reserved kind")),
        };
        at = at.saturating_add(3).saturating_add(length);
        if header & 1 == 1 {
            return Ok(at);
        }
    }
}
