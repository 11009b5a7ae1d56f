//! VHDX, the image of Hyper-V since 2012: dynamic, fixed and differencing, with a log that is replayed in memory.
//!
//! Read from Microsoft's [MS-VHDX]. Our own reader: the crate `vhdx` opens paths and ends the process on bad input. Every
//! structure is there twice or has a checksum; the log comes first, for it may change any of them but the headers.

mod blocks;
mod header;
mod log;
mod metadata;
mod patched;

use super::below::{Below, Notes, ReadAs};
use super::folder::{Folder, plain_name};
use super::mapped::Mapped;
use super::{Format, Opened};
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::problem::ProblemKind;
use crate::source::Source;
use blocks::Blocks;
use metadata::Metadata;
use std::sync::Arc;

/// The name of the fact that a child compares.
const DATA_ID: &str = "data write identifier";

const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

pub(super) fn is_vhdx(head: Fields<'_>) -> bool {
    head.has(0, b"vhdxfile")
}

pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let mut notes = Notes::of(name);
    let header = header::read(&**first, &mut notes)?;
    notes.fact(DATA_ID, &header.data_id);
    let file = if header.log_id == NO_ID {
        Arc::clone(first)
    } else {
        log::replay(first, &header, &mut notes)
    };
    let regions = header::regions(&*file, &mut notes)?;
    let metadata = Metadata::read(&*file, &regions.metadata, &mut notes)?;
    metadata.describe(&mut notes);
    let below =
        if metadata.has_parent { parent(&metadata, folder, &mut notes) } else { Below::Nothing };
    let meta = folder.tables(&file);
    let blocks = Blocks::new(metadata, regions.table, file, meta, below)?;
    if blocks.reach_bytes() < blocks.wanted_bytes() {
        let text = format!(
            "the block table reaches to {} of {} bytes",
            blocks.reach_bytes(),
            blocks.wanted_bytes()
        );
        notes.problem(ProblemKind::Corrupt, text);
    }
    Ok(notes.opened(Arc::new(Mapped::new(blocks, folder.chunks())), Format::Vhdx))
}

/// Opens the parent by any of the names recorded for it.
fn parent(metadata: &Metadata, folder: &mut Folder<'_>, notes: &mut Notes) -> Below {
    let value = |wanted: &str| {
        let found = metadata.parent.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.as_str())
    };
    let mut names = Vec::new();
    for key in ["relative_path", "volume_path", "absolute_win32_path"] {
        if let Some(name) = value(key) {
            notes.fact("parent", escape_bytes(name.as_bytes()));
            names.push(plain_name(name.as_bytes()).to_vec());
        }
    }
    // Every name says the same in another way: only what remains when all are tried is worth a problem.
    let mut tried = Notes::default();
    let found = names.iter().find(|name| folder.file(name, &mut tried.problems).is_some());
    let Some(name) = found.or(names.first()) else {
        let text = "the parent is not named";
        notes.problem(ProblemKind::Corrupt, text);
        return Below::Missing(text.to_owned());
    };
    let (below, facts) = Below::open(name, ReadAs::Content, folder, notes);
    let links: Vec<String> = ["parent_linkage", "parent_linkage2"]
        .iter()
        .filter_map(|key| value(key))
        .map(|link| link.trim_matches(['{', '}']).to_ascii_lowercase())
        .collect();
    let found = facts.iter().find(|(name, _)| name == DATA_ID);
    if let Some((_, found)) = found.filter(|(_, found)| !links.contains(found)) {
        let text = format!(
            "the parent has the data write identifier {found}, expected {}",
            escape_bytes(links.join(" or ").as_bytes())
        );
        notes.problem(ProblemKind::Corrupt, text);
    }
    below
}
