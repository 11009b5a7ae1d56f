//! What an imaging was, in the words of the act and of the answer.

use std::path::Path;

use casebook::Item;
use hashing::{Algorithms, Digests};
use imaging::{Acquisition, CopyEnd, CopyResult, Ending, Format, Outcome, Unread, Work};
use serde::Serialize;
use serde_json::{Value, json};

use super::place::Place;
use crate::failure::Failure;
use crate::output::{Colour, paint, size};

/// At most this many bad places are spelled out in words; all are in the map and the outputs.
const SPELLED_OUT: usize = 20;

/// Most records of a drive's health in one exhibit.
const HEALTH_FILES: u32 = 1000;

/// What goes into the act.
#[derive(Default)]
pub(super) struct Recorded {
    pub(super) outputs: Vec<Item>,
    pub(super) problems: Vec<String>,
}

/// The record of the answer.
#[derive(Serialize)]
pub(super) struct Shown {
    source: String,
    exhibit: String,
    /// The first file of the first copy that did not fail.
    file: String,
    size_bytes: u64,
    copied_bytes: u64,
    digests: Digests,
    verified: bool,
    unreadable: Vec<Value>,
    unreadable_bytes: u64,
    ending: String,
    copies: Vec<ShownCopy>,
    can_resume: bool,
    act: String,
    /// What the drive said of itself before and after, if it could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<Value>,
}

#[derive(Serialize)]
struct ShownCopy {
    files: Vec<String>,
    verified: bool,
    whole: bool,
    problem: Option<String>,
    /// A line to type that makes a copy that failed from one that did not.
    way_out: Option<String>,
    /// What is known of a copy that is no file of this machine.
    #[serde(skip_serializing_if = "Value::is_null")]
    elsewhere: Value,
}

/// An error with its causes.
pub(super) fn chain(error: &imaging::Error) -> Failure {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    Failure::new(text)
}

fn end_text(end: &CopyEnd) -> Option<String> {
    match end {
        CopyEnd::Verified => None,
        CopyEnd::Unverified => Some("not read back".to_owned()),
        CopyEnd::Unfinished => Some("waits for the rest of the source".to_owned()),
        CopyEnd::Failed(error) => Some(chain(error).text()),
    }
}

/// The files of all copies, the map and the digests of pieces.
pub(super) fn outputs(place: &Place, work: &Work, imaged: &Outcome) -> Recorded {
    let mut recorded = Recorded::default();
    for copy in &imaged.copies {
        copy_outputs(place, work, imaged, copy, &mut recorded);
    }
    if imaged.can_resume {
        // Written when the work is finished: until then the journal has both.
        return recorded;
    }
    let has_raw = work.requests.iter().any(|request| request.format == Format::Raw);
    let map = if has_raw { "image.raw.map" } else { "image.map" };
    let mut files = vec![(map, imaging::map_text(&imaged.acquisition))];
    if !imaged.pieces.is_empty() {
        files.push(("image.pieces", pieces_text(imaged)));
    }
    for (name, text) in files {
        match place.add(name, text.as_bytes()) {
            Ok(item) => recorded.outputs.push(item),
            Err(problem) => recorded.problems.push(format!("writing {name}: {problem}")),
        }
    }
    recorded
}

/// What the drive said, as a file of the exhibit; one for each time it was worked on.
pub(super) fn add_health(place: &Place, text: &str, recorded: &mut Recorded) {
    for number in 1..=HEALTH_FILES {
        match place.add(&format!("health-{number}.json"), text.as_bytes()) {
            Ok(item) => return recorded.outputs.push(item),
            Err(problem) if problem.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(problem) => {
                return recorded.problems.push(format!("writing health-{number}.json: {problem}"));
            }
        }
    }
}

fn copy_outputs(
    place: &Place,
    work: &Work,
    imaged: &Outcome,
    copy: &CopyResult,
    recorded: &mut Recorded,
) {
    let acquisition = &imaged.acquisition;
    let format = work.requests.get(copy.request).map(|request| request.format);
    let is_whole = matches!(copy.end, CopyEnd::Verified | CopyEnd::Unverified);
    let format_elsewhere = copy.facts.get("format").cloned();
    let facts = json!({
        "format": format_elsewhere.unwrap_or_else(|| json!(format)),
        "source_size_bytes": acquisition.size_bytes,
        "copied_bytes": copy.written_bytes,
        "sector_bytes": acquisition.sector_bytes,
        "ending": ending_text(acquisition.ending),
        "read_back": matches!(copy.end, CopyEnd::Verified),
        "image_digests": if is_whole { acquisition.digests.clone() } else { Digests::default() },
        "unreadable": bad_sectors(acquisition),
        "problem": end_text(&copy.end),
        "elsewhere": copy.facts,
    });
    if !copy.facts.is_null() {
        // No file of this machine: named by where it is.
        let name = if is_whole { copy.name.clone() } else { format!("unfinished: {}", copy.name) };
        let is_the_disk = is_whole && holds_the_disk(&copy.facts);
        let digests = if is_the_disk { acquisition.digests.clone() } else { Digests::default() };
        let size_bytes = is_the_disk.then_some(copy.written_bytes);
        recorded.outputs.push(Item { name, size_bytes, digests, facts });
        return;
    }
    for (number, path) in copy.paths.iter().enumerate() {
        // The file may be longer than what is vouched for: a full medium takes part of a write.
        let Ok(file) = std::fs::metadata(path) else { continue };
        let is_the_disk = format == Some(Format::Raw) && copy.paths.len() == 1 && is_whole;
        let digests = if is_the_disk {
            acquisition.digests.clone()
        } else if imaged.can_resume {
            // It will grow: a digest of it now would be wrong tomorrow.
            Digests::default()
        } else {
            digests_of(path)
        };
        let name = place.item_name(path);
        let facts = if number == 0 { facts.clone() } else { Value::Null };
        let item = Item { name, size_bytes: Some(file.len()), digests, facts };
        recorded.outputs.push(if imaged.can_resume { item.unfinished() } else { item });
    }
}

/// Whether what is elsewhere is the bytes of the disk and nothing else; of a format of its own its facts say so.
fn holds_the_disk(facts: &Value) -> bool {
    let is_raw = facts.get("format").is_none_or(|format| format == "raw");
    is_raw && facts["objects"].as_array().is_none_or(|objects| objects.len() == 1)
}

fn digests_of(path: &Path) -> Digests {
    let found = hashing::digest_file(path, &Algorithms::sha256());
    found.map(|(digests, _)| digests).unwrap_or_default()
}

/// One line for each piece: SHA-256, offset, length.
fn pieces_text(imaged: &Outcome) -> String {
    let mut text = "# sha256 of each piece, its offset and its length in bytes\n".to_owned();
    for piece in &imaged.pieces {
        let digest = piece.digests.sha256_hex();
        text.push_str(&format!("{digest}  {}  {}\n", piece.offset_bytes, piece.length_bytes));
    }
    text
}

/// The record of the answer.
pub(super) fn shown(
    source: &str,
    place: &Place,
    work: &Work,
    imaged: &Outcome,
    act: &str,
) -> Shown {
    let acquisition = &imaged.acquisition;
    let best = imaged.copies.iter().find(|copy| !matches!(copy.end, CopyEnd::Failed(_)));
    let first = best.and_then(|copy| copy.paths.first());
    let copies = imaged.copies.iter().map(|copy| ShownCopy {
        files: copy.paths.iter().map(|path| place.item_name(path)).collect(),
        verified: matches!(copy.end, CopyEnd::Verified),
        whole: matches!(copy.end, CopyEnd::Verified | CopyEnd::Unverified),
        problem: end_text(&copy.end),
        way_out: way_out(work, imaged, copy),
        elsewhere: copy.facts.clone(),
    });
    Shown {
        source: source.to_owned(),
        exhibit: place.name().to_owned(),
        file: first.map(|path| place.item_name(path)).unwrap_or_default(),
        size_bytes: acquisition.size_bytes,
        copied_bytes: acquisition.copied_bytes,
        digests: acquisition.digests.clone(),
        verified: imaged.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified)),
        unreadable: bad_sectors(acquisition),
        unreadable_bytes: acquisition.bad.total_bytes(),
        ending: format!("{:?}", acquisition.ending),
        copies: copies.collect(),
        can_resume: imaged.can_resume,
        act: act.to_owned(),
        health: None,
    }
}

/// How to make a copy that failed, when another is whole: from that one, and not from the evidence once more.
fn way_out(work: &Work, imaged: &Outcome, copy: &CopyResult) -> Option<String> {
    let CopyEnd::Failed(_) = &copy.end else { return None };
    let whole = imaged.copies.iter().find(|one| matches!(one.end, CopyEnd::Verified))?;
    let request = work.requests.get(copy.request)?;
    // The unfinished file keeps its name, as a trace of what happened.
    let to = request.folder.join(format!("{}-again", request.stem));
    let format = request.format.name().to_lowercase();
    let from = quoted(whole.paths.first()?);
    Some(format!("glovebox image convert {from} --format {format} --to {}", quoted(&to)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The same for people.
pub(super) fn text(shown: &Shown, imaged: &Outcome) -> String {
    let mut text = format!(
        "{} ({}) is exhibit {}\n{} of {} copied",
        shown.source,
        size(shown.size_bytes),
        shown.exhibit,
        size(shown.copied_bytes),
        size(shown.size_bytes),
    );
    for digest in shown.digests.iter() {
        text.push_str(&format!("\n{}  {}", digest.algorithm().name(), digest.to_hex()));
    }
    for (copy, result) in shown.copies.iter().zip(&imaged.copies) {
        let first = copy.files.first().map_or(result.name.as_str(), String::as_str);
        let more = match copy.files.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let line = match &copy.problem {
            None => format!("\n{first}{more}\n  Read back from the medium: the same."),
            Some(problem) => {
                paint(&format!("\n{first}{more}\n  NOT finished: {problem}"), Colour::Red)
            }
        };
        text.push_str(&line);
        if let Some(way_out) = &copy.way_out {
            text.push_str(&format!("\n  With room made, from the copy that is whole: {way_out}"));
        }
    }
    if imaged.acquisition.ending != Ending::Complete {
        let why = ending_text(imaged.acquisition.ending);
        text.push_str(&paint(&format!("\nNOT COMPLETE: {why}"), Colour::Red));
    }
    if shown.can_resume {
        text.push_str(&format!("\nTo go on: glovebox image resume {}", shown.exhibit));
    }
    for problem in problems(imaged) {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}

pub(super) fn ending_text(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "every sector was tried",
        Ending::Cancelled => "stopped by the examiner",
        Ending::SourceLost => "the source no longer answers anywhere",
        Ending::NoCopyLeft => "no copy could be written any further",
        Ending::TooManyBadRuns => "more unreadable places than can be listed",
    }
}

fn bad_sectors(acquisition: &Acquisition) -> Vec<Value> {
    acquisition
        .bad
        .runs()
        .map(|run| {
            let bad = run.extent;
            let sectors = bad.sectors(acquisition.sector_bytes);
            json!({
                "offset_bytes": bad.offset_bytes,
                "length_bytes": bad.end_bytes() - bad.offset_bytes,
                "first_sector": sectors.map(|(first, _)| first),
                "sectors": sectors.map(|(_, count)| count),
                "why": run.why.words(),
            })
        })
        .collect()
}

/// Bytes for which no answer came within the limit.
pub(super) fn timed_out_bytes(acquisition: &Acquisition) -> u64 {
    let silent = acquisition.bad.runs().filter(|run| run.why == Unread::TimedOut);
    silent.map(|run| run.extent.length_bytes).sum()
}

/// Everything that went wrong, in words.
pub(super) fn problems(imaged: &Outcome) -> Vec<String> {
    let bad = &imaged.acquisition.bad;
    let mut problems: Vec<String> = bad
        .runs()
        .take(SPELLED_OUT)
        .map(|run| {
            let (first, last) = (run.extent.offset_bytes, run.extent.end_bytes() - 1);
            match run.why {
                Unread::Bad => format!("bytes {first} to {last} could not be read"),
                why => format!("bytes {first} to {last} were not read: {}", why.words()),
            }
        })
        .collect();
    if bad.len() > SPELLED_OUT {
        problems.push(format!("{} unreadable places in all", bad.len()));
    }
    for copy in &imaged.copies {
        if let CopyEnd::Failed(error) = &copy.end {
            problems.push(chain(error).text());
        }
    }
    if let Some(problem) = &imaged.journal_failure {
        problems.push(format!("the journal could not be kept: {problem}"));
    }
    problems
}
