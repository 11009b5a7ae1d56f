//! The state of the volume: label, dirty mark, an open log, a hibernated Windows.
//!
//! `$LogFile` is not replayed: its records are operations on structures in the cache of a running Windows and their form
//! is not published. What stands in it may be newer than what is shown, and that is said.

use super::Ntfs;
use super::object::Object;
use super::record::kind;
use crate::bytes::Fields;
use crate::fs::FileSystem;
use crate::problem::{Place, Problem, ProblemKind};
use crate::wide::wtf8;

const RECORD_LOG_FILE: u64 = 2;
const RECORD_VOLUME: u64 = 3;

/// What `$Volume` tells.
#[derive(Default)]
pub(super) struct Volume {
    pub(super) label: Option<String>,
}

/// Reads `$Volume`; a dirty mark becomes a problem.
pub(super) fn volume(ntfs: &Ntfs, problems: &mut Vec<Problem>) -> Volume {
    let mut volume = Volume::default();
    let object = match Object::load(ntfs, RECORD_VOLUME) {
        Ok(object) => object,
        Err(error) => {
            problems.push(error.to_problem(Place::Node(RECORD_VOLUME)));
            return volume;
        }
    };
    if let Some(name) = object.first(kind::VOLUME_NAME, b"").and_then(|a| a.resident())
        && !name.is_empty()
    {
        volume.label = Some(crate::escape_bytes(&wtf8(name)));
    }
    if let Some(raw) = object.first(kind::VOLUME_INFORMATION, b"").and_then(|a| a.resident()) {
        let fields = Fields(raw);
        let flags = fields.le16(10);
        if flags & 1 != 0 {
            let text = format!("the volume is marked dirty (flags {flags:#06x})");
            problems.push(Problem::new(ProblemKind::Unsupported, Place::Source, text));
        }
    }
    volume
}

/// Says when `$LogFile` was not closed: its restart page still lists a client and lacks the mark of a clean end.
pub(super) fn log_file(ntfs: &Ntfs, problems: &mut Vec<Problem>) {
    let place = Place::Node(RECORD_LOG_FILE);
    let head = Object::load(ntfs, RECORD_LOG_FILE)
        .and_then(|object| object.value(ntfs, kind::DATA, b"", 4096));
    let head = match head {
        Ok(head) => head.unwrap_or_default(),
        Err(error) => return problems.push(error.to_problem(place)),
    };
    let fields = Fields(&head);
    if !fields.has(0, b"RSTR") {
        // All ones is a log that was emptied; "CHKD" one that chkdsk checked.
        if !head.iter().all(|byte| *byte == 0xff) && !fields.has(0, b"CHKD") {
            let start = crate::escape_bytes(fields.slice(0, 4));
            let text = format!("$LogFile begins with {start}, not RSTR");
            problems.push(Problem::new(ProblemKind::Corrupt, place, text));
        }
        return;
    }
    let area = usize::from(fields.le16(0x18));
    let (in_use, flags) =
        (fields.le16(area.saturating_add(0x0c)), fields.le16(area.saturating_add(0x0e)));
    if in_use != u16::MAX && flags & 2 == 0 {
        let text = "$LogFile was not closed; changes it holds are not replayed";
        problems.push(Problem::new(ProblemKind::Unsupported, place, text));
    }
}

/// Says when Windows is asleep in `hiberfil.sys`: then files on the disk may be older than what it had in memory.
pub(super) fn hibernation(ntfs: &Ntfs, problems: &mut Vec<Problem>) {
    let Ok(root) = ntfs.read_dir(ntfs.root()) else { return };
    let entry =
        root.entries.iter().find(|entry| entry.name.0.eq_ignore_ascii_case(b"hiberfil.sys"));
    let Some(entry) = entry else { return };
    let mut head = [0; 4];
    if ntfs.read_at(entry.node, 0, &mut head).is_ok_and(|got| got == 4)
        && head.eq_ignore_ascii_case(b"hibr")
    {
        let text = "Windows is hibernated: hiberfil.sys holds a memory image, changes not yet written may be in it";
        problems.push(Problem::new(ProblemKind::Unsupported, Place::Node(entry.node), text));
    }
}
