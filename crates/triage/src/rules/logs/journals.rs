//! Journals of systemd: numbers of entries that no file has, entries that go back in time, files that break off.

use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::journal::{self, Journal};
use crate::root::Item;
use evidence::{Place, Problem, ProblemKind, Time};
use std::collections::BTreeMap;

const PLACES: &[&str] = &["/var/log/journal/*/*.journal", "/var/log/journal/*/*.journal~"];
/// A step back in time inside one start of the system that setting the clock does not explain, in microseconds.
const STEP_MICROSECONDS: u64 = 3600 * 1_000_000;

pub(super) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    // A machine's files count in one sequence, whoever's entries they hold.
    let mut sequences: BTreeMap<[u8; 16], Vec<(Item<'_>, Journal)>> = BTreeMap::new();
    for item in PLACES.iter().flat_map(|pattern| root.matching(pattern)) {
        if !item.is_file() {
            continue;
        }
        let Some(found) = journal::read(&root.open(item)) else {
            problem(context, item, "it is no journal, or its header is broken".to_owned());
            continue;
        };
        if let Some(at) = found.broken_at {
            let text = format!(
                "the journal breaks off at byte {at}: {} of {} entries were found",
                found.entries.len(),
                found.claimed_entries
            );
            problem(context, item, text);
        }
        back_in_time(context, item, &found);
        sequences.entry(found.sequence).or_default().push((item, found));
    }
    for files in sequences.values() {
        // Where a file breaks off, what is missing is not known to be gone.
        if files.iter().all(|(_, found)| found.broken_at.is_none()) {
            holes(context, files);
        }
    }
}

fn problem(context: &Context<'_>, item: Item<'_>, text: String) {
    let place = Place::Path(item.path.into());
    context.root.problems.borrow_mut().push(Problem::new(ProblemKind::Corrupt, place, text));
}

fn time(microseconds: u64) -> Time {
    let seconds = i64::try_from(microseconds.checked_div(1_000_000).unwrap_or(0)).unwrap_or(0);
    Time { seconds, nanoseconds: 0 }
}

fn back_in_time(context: &mut Context<'_>, item: Item<'_>, found: &Journal) {
    for pair in found.entries.windows(2) {
        let [before, after] = pair else { continue };
        let step = before.microseconds.saturating_sub(after.microseconds);
        if step > STEP_MICROSECONDS && before.boot == after.boot {
            let detail = format!(
                "entry {} is of {}, the one before it of {}",
                after.number,
                time(after.microseconds),
                time(before.microseconds)
            );
            let mut spot = Spot::file(item.path).detail(detail).severity(Severity::Low);
            spot.offset_bytes = usize::try_from(after.offset_bytes).ok();
            spot.subject = "time".to_owned();
            context.report("GBX-1605", spot);
            return;
        }
    }
}

/// Numbers inside the sequence that no file has. What is missing before the first was given up for its age.
fn holes(context: &mut Context<'_>, files: &[(Item<'_>, Journal)]) {
    let mut all: Vec<(u64, u64, usize)> = Vec::new();
    for (index, (_, found)) in files.iter().enumerate() {
        all.extend(found.entries.iter().map(|entry| (entry.number, entry.microseconds, index)));
    }
    all.sort_unstable();
    // Files of accounts are given up at other times than those of the system, so what is older than these is left aside.
    let is_system = |item: &Item<'_>| item.name().starts_with(b"system");
    let of_system = files.iter().filter(|(item, _)| is_system(item));
    let numbers = of_system.flat_map(|(_, found)| &found.entries).map(|entry| entry.number);
    let floor = numbers.min().unwrap_or(0);
    all.retain(|(number, ..)| *number >= floor);
    let mut holes = 0_usize;
    let mut missing = 0_u64;
    let mut first: Option<(u64, u64, u64, u64, usize)> = None;
    for pair in all.windows(2) {
        let [(before, from, _), (after, until, index)] = pair else { continue };
        let gap = after.saturating_sub(*before).saturating_sub(1);
        if gap > 0 {
            holes = holes.saturating_add(1);
            missing = missing.saturating_add(gap);
            first.get_or_insert((*before, *after, *from, *until, *index));
        }
    }
    let Some((before, after, from, until, index)) = first else { return };
    let Some((item, _)) = files.get(index) else { return };
    let detail = format!(
        "{missing} entries in {holes} holes; the first hole lies between entry {before} of {} and entry {after} of {}",
        time(from),
        time(until)
    );
    context.report("GBX-1605", Spot::file(item.path).detail(detail));
}
