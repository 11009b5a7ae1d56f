//! The map of an acquisition in the form GNU ddrescue reads and writes.
//!
//! The form is public (ddrescue manual, "Mapfile structure"), so other programs can count, merge
//! and compare our maps, and a later attempt can go on with ddrescue where nothing of ours runs.

use std::fmt::Write as _;

use crate::{Acquisition, Ending, Extent};

/// The map file text of an acquisition: read (`+`), refused sector by sector (`-`), timed out or not yet asked for sector by
/// sector (`/`), failed as a whole (`*`), not tried (`?`).
#[must_use]
pub fn map_text(acquisition: &Acquisition) -> String {
    let mut text = String::from("# Mapfile. Created by Glovebox\n");
    let copied = acquisition.copied_bytes;
    let status = if acquisition.ending == Ending::Complete { '+' } else { '?' };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# current_pos  current_status  current_pass");
    let _ = writeln!(text, "{:#010x}     {status}               1", copied.saturating_sub(1));
    let _ = writeln!(text, "#      pos        size  status");
    let mut block = |offset: u64, end: u64, status: char| {
        if let Some(length) = end.checked_sub(offset).filter(|length| *length > 0) {
            let _ = writeln!(text, "{offset:#010x}  {length:#010x}  {status}");
        }
    };
    let mut reached = 0;
    for run in acquisition.bad.runs() {
        let bad = run.extent;
        block(reached, bad.offset_bytes, '+');
        block(bad.offset_bytes, bad.end_bytes(), run.why.letter());
        reached = bad.end_bytes();
    }
    block(reached, copied, '+');
    let whole = Extent { offset_bytes: 0, length_bytes: acquisition.size_bytes };
    block(copied, whole.end_bytes(), '?');
    text
}
