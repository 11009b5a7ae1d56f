//! VMDK, VMware's disk image: one file or many, plain, sparse, or compressed as a stream.
//!
//! Read from VMware's "Virtual Disk Format 5.0". Our own reader: there is no published crate. A descriptor (a text of its
//! own, or within a sparse file) names the extents; each stands for a run of sectors, and the files come by name.

mod descriptor;
mod extents;
mod sparse;

use super::below::{Below, Notes, ReadAs};
use super::folder::{Folder, plain_name};
use super::mapped::Mapped;
use super::{Format, Opened};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use descriptor::{Descriptor, Extent, Kind};
use extents::{Extents, Part};
use sparse::Sparse;
use std::sync::Arc;

const SECTOR: u64 = 512;
const SESPARSE: &[u8] = b"\xbe\xba\xfe\xca\0\0\0\0";

/// A descriptor of the largest disk, cut into files of 2 GiB, has about 2 MiB.
const MAX_DESCRIPTOR_BYTES: u64 = 4 << 20;

pub(super) fn is_vmdk(head: Fields<'_>) -> bool {
    sparse::is_sparse(head) || head.has(0, SESPARSE) || descriptor::is_descriptor(head)
}

pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let head = first.bytes_at(0, 512).map_err(EvidenceError::read("the VMDK header"))?;
    let head = Fields(&head);
    if head.has(0, SESPARSE) {
        return Err(EvidenceError::unsupported("a VMDK extent of the kind SESPARSE"));
    }
    let mut notes = Notes::of(name);
    if !sparse::is_sparse(head) {
        let length = to_usize(first.size_bytes().min(MAX_DESCRIPTOR_BYTES));
        let text = first.bytes_at(0, length).map_err(EvidenceError::read("the descriptor"))?;
        let descriptor = Descriptor::parse(&text);
        return by_descriptor(&descriptor, folder, notes);
    }
    let sparse = Sparse::open(first, folder, &mut notes)?;
    let descriptor = match sparse.descriptor() {
        Some((at, length)) => {
            let length = to_usize(length.min(MAX_DESCRIPTOR_BYTES));
            let text = first.bytes_at(at, length).map_err(EvidenceError::read("the descriptor"))?;
            Descriptor::parse(&text)
        }
        None => Descriptor::default(),
    };
    // The extent line within names this very file, by whatever name it had when it was made.
    let below = about(&descriptor, folder, &mut notes);
    let mut extents = Extents::new(below);
    let size = sparse.size_bytes();
    extents.push(Part::Sparse(Box::new(sparse)), size);
    Ok(notes.opened(Arc::new(Mapped::new(extents, folder.chunks())), Format::Vmdk))
}

/// Notes what the descriptor tells, and opens the parent.
fn about(descriptor: &Descriptor, folder: &mut Folder<'_>, notes: &mut Notes) -> Below {
    notes.facts.extend(descriptor.facts());
    let Some(parent_id) = &descriptor.parent_id else { return Below::Nothing };
    let Some(hint) = &descriptor.parent_name else {
        let text = format!("the parent with the content identifier {parent_id} is not named");
        notes.problem(ProblemKind::Corrupt, text.clone());
        return Below::Missing(text);
    };
    let (below, facts) = Below::open(hint, ReadAs::Content, folder, notes);
    let found = facts.iter().find(|(name, _)| name == descriptor::CONTENT_ID);
    if let Some((_, found)) = found.filter(|(_, found)| found != parent_id) {
        let name = escape_bytes(hint);
        let text = format!(
            "the parent \"{name}\" has the content identifier {found}, expected {parent_id}: it was written to afterwards"
        );
        notes.problem(ProblemKind::Corrupt, text);
    }
    below
}

fn by_descriptor(
    descriptor: &Descriptor,
    folder: &mut Folder<'_>,
    mut notes: Notes,
) -> Result<Opened, EvidenceError> {
    if descriptor.extents.is_empty() {
        return Err(EvidenceError::corrupt("the VMDK descriptor names no extents"));
    }
    let below = about(descriptor, folder, &mut notes);
    let mut extents = Extents::new(below);
    for extent in &descriptor.extents {
        let place = Place::OffsetBytes(extents.size());
        let part = part(extent, folder, &mut notes).unwrap_or_else(|text| {
            notes.problems.push(Problem::new(ProblemKind::Io, place, text.clone()));
            Part::Missing(text)
        });
        extents.push(part, extent.sectors.saturating_mul(SECTOR));
    }
    if descriptor.is_cut {
        let text = format!("more than {} extents: the rest is not read", descriptor.extents.len());
        notes.problem(ProblemKind::Refused, text);
    }
    Ok(notes.opened(Arc::new(Mapped::new(extents, folder.chunks())), Format::Vmdk))
}

/// What an extent line stands for; the text says why it is not to be had.
fn part(extent: &Extent, folder: &mut Folder<'_>, notes: &mut Notes) -> Result<Part, String> {
    let name = escape_bytes(&extent.file);
    match extent.kind {
        Kind::Zero => return Ok(Part::Zeros),
        Kind::Device => return Err(format!("the extent is the device \"{name}\", not a file")),
        Kind::Unknown => return Err(format!("the extent \"{name}\" is of an unknown kind")),
        Kind::Flat | Kind::Sparse => {}
    }
    let source = folder
        .file(&extent.file, &mut notes.problems)
        .ok_or_else(|| format!("the extent \"{name}\" is missing"))?;
    notes.files.push(escape_bytes(plain_name(&extent.file)));
    let wanted = extent.sectors.saturating_mul(SECTOR);
    let head = source.bytes_at(0, 512).unwrap_or_default();
    if extent.kind == Kind::Flat {
        let start = extent.offset_sectors.saturating_mul(SECTOR);
        let there = source.size_bytes().saturating_sub(start);
        if there < wanted {
            let text = format!("the extent \"{name}\" has {there} bytes of {wanted}");
            notes.problem(ProblemKind::Corrupt, text);
        }
        return Ok(Part::Flat(source, start));
    }
    if Fields(&head).has(0, SESPARSE) {
        return Err(format!("the extent \"{name}\" is of the kind SESPARSE, which is not read"));
    }
    if !sparse::is_sparse(Fields(&head)) {
        return Err(format!("the extent \"{name}\" is no sparse extent"));
    }
    let sparse = Sparse::open(&source, folder, notes)
        .map_err(|error| format!("the extent \"{name}\": {error}"))?;
    let there = sparse.size_bytes();
    if there < wanted {
        let text = format!("the extent \"{name}\" covers {there} bytes of {wanted}");
        notes.problem(ProblemKind::Corrupt, text);
    }
    Ok(Part::Sparse(Box::new(sparse)))
}
