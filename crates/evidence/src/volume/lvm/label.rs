//! The label of a physical volume and the metadata areas it points to (lvm2 `lib/format_text/layout.h`).

use super::text::{self, Section};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::crc::crc32_from;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// Where LVM begins every CRC.
const SEED: u32 = 0xf597_a6cf;
/// LVM's own default is 1 MiB; a group of thousands of volumes has some.
const MOST_TEXT_BYTES: u64 = 16 << 20;
/// The header of a metadata area; the text goes round behind it.
const AREA_HEADER_BYTES: u64 = 512;

/// A physical volume by its own word.
pub(super) struct Label {
    /// 32 letters without dashes.
    pub(super) uuid: String,
    /// Every good text of its metadata areas.
    pub(super) texts: Vec<Section>,
    pub(super) problems: Vec<Problem>,
}

/// The label; `None` when `source` is no physical volume.
pub(super) fn read(source: &Arc<dyn Source>) -> Option<Label> {
    let head = source.bytes_at(0, 2048).ok()?;
    let (at, sector) = [512_usize, 0, 1024, 1536].into_iter().find_map(|at| {
        let sector = Fields(Fields(&head).slice(at, 512));
        (sector.has(0, b"LABELONE") && sector.has(24, b"LVM2 001")).then_some((at, sector))
    })?;
    let mut problems = Vec::new();
    let mut note = |kind, at: u64, text| {
        problems.push(Problem::new(kind, Place::OffsetBytes(at), text));
    };
    let (found, expected) = (crc32_from(SEED, sector.slice(20, 492)), sector.le32(16));
    if found != expected {
        let text = format!("LVM label checksum is {found:08x}, expected {expected:08x}");
        note(ProblemKind::Corrupt, to_u64(at), text);
    }
    let header = to_usize(u64::from(sector.le32(20)));
    let uuid = std::str::from_utf8(sector.slice(header, 32)).ok()?.to_owned();
    let mut texts = Vec::new();
    for (start, length) in areas(sector, header.saturating_add(40)) {
        match area(source, start, length) {
            Ok(Some(text)) => texts.push(text),
            Ok(None) => {}
            Err((kind, text)) => note(kind, start, text),
        }
    }
    Some(Label { uuid, texts, problems })
}

/// The metadata areas: the second of two lists of (offset, length), each closed by a pair of zeros.
fn areas(sector: Fields<'_>, at: usize) -> Vec<(u64, u64)> {
    let mut at = at;
    let mut closed = 0_u8;
    let mut found = Vec::new();
    while closed < 2 && at < 496 {
        let (start, length) = (sector.le64(at), sector.le64(at.saturating_add(8)));
        at = at.saturating_add(16);
        if start == 0 {
            closed = closed.saturating_add(1);
        } else if closed == 1 {
            found.push((start, length));
        }
    }
    found
}

/// The text of one area; `None` when the area is empty.
fn area(
    source: &Arc<dyn Source>,
    start: u64,
    length: u64,
) -> Result<Option<Section>, (ProblemKind, String)> {
    let io = |error: crate::source::SourceError| {
        (ProblemKind::Io, format!("reading LVM metadata: {error}"))
    };
    let corrupt = |text: String| (ProblemKind::Corrupt, text);
    let raw = source.bytes_at(start, 512).map_err(io)?;
    let header = Fields(&raw);
    if !header.has(4, b" LVM2 x[5A%r0N*>") {
        return Err(corrupt("the LVM metadata area has no signature".to_owned()));
    }
    let (found, expected) = (crc32_from(SEED, header.slice(4, 508)), header.le32(0));
    if found != expected {
        return Err(corrupt(format!(
            "LVM metadata area checksum is {found:08x}, expected {expected:08x}"
        )));
    }
    let size = header.le64(32).min(length.max(AREA_HEADER_BYTES));
    let (offset, count) = (header.le64(40), header.le64(48));
    if offset == 0 || count == 0 {
        return Ok(None);
    }
    let most = size.saturating_sub(AREA_HEADER_BYTES).min(MOST_TEXT_BYTES);
    if offset >= size || count > most {
        return Err(corrupt(format!(
            "LVM metadata of {count} bytes at {offset} does not fit its area of {size} bytes"
        )));
    }
    // A ring: what does not fit before the end goes on behind the header.
    let first = count.min(size.saturating_sub(offset));
    let mut bytes = source.bytes_at(start.saturating_add(offset), to_usize(first)).map_err(io)?;
    let rest = to_usize(count.saturating_sub(first));
    bytes.extend(source.bytes_at(start.saturating_add(AREA_HEADER_BYTES), rest).map_err(io)?);
    let (found, expected) = (crc32_from(SEED, &bytes), header.le32(56));
    if found != expected {
        return Err(corrupt(format!(
            "LVM metadata checksum is {found:08x}, expected {expected:08x}"
        )));
    }
    text::parse(&bytes).map(Some).map_err(corrupt)
}
