//! VHD, the image of Virtual PC and Hyper-V: fixed, dynamic and differencing.
//!
//! Read from Microsoft's "Virtual Hard Disk Image Format Specification" 1.0. Our own reader: there is no published crate
//! that only reads. A fixed image is the disk and a footer; the others repeat the footer in front.

mod blocks;
mod footer;

use super::below::{Below, Notes, ReadAs};
use super::folder::Folder;
use super::joined::{Joined, Part};
use super::mapped::Mapped;
use super::{Format, Opened};
use crate::bytes::{Fields, guid_text, to_u64};
use crate::error::EvidenceError;
use crate::problem::ProblemKind;
use crate::source::Source;
use blocks::Blocks;
use footer::{DynamicHeader, Footer, Kind};
use std::sync::Arc;

/// The name of the fact that a child compares.
const UNIQUE_ID: &str = "unique identifier";

pub(super) fn is_dynamic(head: Fields<'_>) -> bool {
    head.has(0, footer::COOKIE)
}

/// Opens an image with a footer in front.
pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let front = Footer::read(&**first, 0)?;
    let last = Footer::at_end(&**first);
    let mut notes = Notes::of(name);
    match &last {
        Some(last) if *last == front => {}
        Some(_) => {
            notes.problem(ProblemKind::Corrupt, "the footers in front and at the end differ");
        }
        None => notes.problem(
            ProblemKind::Corrupt,
            "there is no footer at the end: the file was cut off or not closed by its writer",
        ),
    }
    // The one at the end is written last; the other is its copy.
    let footer = match last {
        Some(last) if last.is_good() => last,
        _ => front,
    };
    describe(&footer, &mut notes);
    match footer.kind {
        Kind::Dynamic | Kind::Differencing => {}
        Kind::Fixed => return Ok(fixed(first, &footer, notes, folder)),
        Kind::Other(kind) => {
            return Err(EvidenceError::unsupported(format!("VHD of the kind {kind}")));
        }
    }
    let header = DynamicHeader::read(&**first, footer.data_at)?;
    if !header.is_good {
        notes.problem(ProblemKind::Corrupt, "the checksum of the dynamic header is wrong");
    }
    let reach = header.block_bytes.saturating_mul(header.block_count);
    if reach < footer.size_bytes {
        let text = format!("the block table reaches to {reach} of {} bytes", footer.size_bytes);
        notes.problem(ProblemKind::Corrupt, text);
    }
    let below = if footer.kind == Kind::Differencing {
        parent(&**first, &header, folder, &mut notes)
    } else {
        Below::Nothing
    };
    let meta = folder.tables(first);
    let has_bitmap = footer.kind == Kind::Differencing;
    let size_bytes = footer.size_bytes;
    let file = Arc::clone(first);
    let blocks = Blocks { size_bytes, header, has_bitmap, file, meta, below };
    Ok(notes.opened(Arc::new(Mapped::new(blocks, folder.chunks())), Format::Vhd))
}

/// Opens an image whose only footer is at the end; `None` when there is none.
pub(super) fn open_fixed(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Option<Opened> {
    // Nothing in front tells this format from a raw disk: only a footer with a right checksum does.
    let footer = Footer::at_end(&**first).filter(Footer::is_good)?;
    if footer.kind != Kind::Fixed {
        return None;
    }
    let mut notes = Notes::of(name);
    describe(&footer, &mut notes);
    Some(fixed(first, &footer, notes, folder))
}

fn fixed(
    first: &Arc<dyn Source>,
    footer: &Footer,
    mut notes: Notes,
    folder: &mut Folder<'_>,
) -> Opened {
    let there = first.size_bytes().saturating_sub(footer.length_bytes);
    if there < footer.size_bytes {
        let text = format!("the file holds {there} of {} bytes", footer.size_bytes);
        notes.problem(ProblemKind::Corrupt, text);
    }
    let mut joined = Joined::new(512);
    let held = footer.size_bytes.min(there);
    joined.push(Part::File(Arc::clone(first), 0), held);
    let missing = Part::Missing("the file ends before the disk does".to_owned());
    joined.push(missing, footer.size_bytes.saturating_sub(held));
    notes.opened(Arc::new(Mapped::new(joined, folder.chunks())), Format::Vhd)
}

fn describe(footer: &Footer, notes: &mut Notes) {
    if !footer.is_good() {
        notes.problem(ProblemKind::Corrupt, "the checksum of the footer is wrong");
    }
    notes.fact("kind", footer.kind);
    notes.fact(UNIQUE_ID, guid(footer.unique_id));
    notes.fact("created", footer.created);
    for (name, value) in [("creator", &footer.creator), ("creator system", &footer.system)] {
        if let Some(value) = value {
            notes.fact(name, value);
        }
    }
    if footer.is_saved {
        notes.problem(
            ProblemKind::Corrupt,
            "the machine was in saved state: its memory is elsewhere",
        );
    }
}

/// Identifiers are stored in the order of RFC 9562 here, unlike in VHDX.
fn guid(raw: [u8; 16]) -> String {
    crate::bytes::uuid_text(&raw).unwrap_or_else(|| guid_text(raw))
}

/// Opens the parent by any of the names recorded for it.
fn parent(
    first: &dyn Source,
    header: &DynamicHeader,
    folder: &mut Folder<'_>,
    notes: &mut Notes,
) -> Below {
    let expected = guid(header.parent_id);
    notes.fact("parent identifier", &expected);
    let names = header.parent_names(first);
    for name in &names {
        notes.fact("parent", crate::escape_bytes(name));
    }
    // Every name says the same in another way: only what remains when all are tried is worth a problem.
    let mut tried = Notes::default();
    let plain = names.iter().map(|name| super::folder::plain_name(name).to_vec());
    let found = plain.clone().find(|name| folder.file(name, &mut tried.problems).is_some());
    let Some(name) = found.or_else(|| plain.clone().next()) else {
        let text = format!("the parent {expected} is not named");
        notes.problem(ProblemKind::Corrupt, text.clone());
        return Below::Missing(text);
    };
    let (below, facts) = Below::open(&name, ReadAs::Content, folder, notes);
    let found = facts.iter().find(|(name, _)| name == UNIQUE_ID);
    if let Some((_, found)) = found.filter(|(_, found)| *found != expected) {
        let text = format!("the parent has the identifier {found}, expected {expected}");
        notes.problem(ProblemKind::Corrupt, text);
    }
    below
}

/// The sum of all bytes outside the checksum's own field, inverted: both structures have it.
fn checksum(raw: &[u8], at: usize) -> u32 {
    let field = at..at.saturating_add(4);
    let sum = raw
        .iter()
        .enumerate()
        .filter(|(index, _)| !field.contains(index))
        .fold(0_u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)));
    !sum
}

/// UTF-16 text up to its first zero, as bytes of a file name.
fn utf16_name(units: impl Iterator<Item = u16>) -> Vec<u8> {
    let units = units.take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect();
    text.into_bytes()
}

/// Where something stands from the end of the file.
fn from_end(source: &dyn Source, length: usize) -> u64 {
    source.size_bytes().saturating_sub(to_u64(length))
}
