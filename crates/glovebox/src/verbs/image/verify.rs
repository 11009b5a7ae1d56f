//! `glovebox image verify`: an image read to its end, its checksums and digests compared with what it records.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use evidence::container::{Counted, Opened, Recorded};
use evidence::source::Source;
use hashing::{Algorithm, Algorithms, Digests};
use imaging::{Acquisition, Ending, NullSink, Plan, Spread, acquire};
use serde::Serialize;

use super::in_case;
use super::store::Keys;
use super::stored::{self, Reading};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, size};
use crate::progress::Meter;

/// Read an image and compare it with the digests it records
///
/// Works on images made by others. An image in a case is compared with what
/// the act of its acquisition recorded too. Exit code 1: it is damaged or
/// differs; 3: it is readable, but nothing recorded could be compared.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The image, or its first file; s3://BUCKET/KEY too
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    answer: Format,
}

/// What became of one recorded digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Same,
    Differs,
    NotChecked,
}

/// A recorded digest beside the one computed.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub(super) algorithm: String,
    recorded: String,
    found: Option<String>,
    pub(super) verdict: Verdict,
    /// The act of the case that recorded it; absent when the image itself did.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<u64>,
}

/// A stretch that cannot be read although the image should have it.
#[derive(Debug, Serialize)]
struct Damage {
    offset_bytes: u64,
    length_bytes: u64,
    why: String,
}

#[derive(Serialize)]
struct Verified<'a> {
    file: &'a str,
    format: String,
    size_bytes: u64,
    digests: Vec<Checked>,
    damaged: Vec<Damage>,
    problems: Vec<String>,
}

impl Args {
    /// Verifies.
    ///
    /// # Errors
    /// If the image cannot be opened, or reading is stopped.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut opened = stored::open(&self.file, &self.keys)?;
        // Acquisitions count zeros where nothing could be read; only some formats show something else there.
        let counted =
            if opened.as_digested.is_some() { Counted::AsZeros } else { Counted::AsShown };
        let in_case = in_case::look(&self.file, counted)?;
        let own = opened.digests.len();
        let act = in_case.as_ref().map(|found| found.act);
        opened.digests.extend(in_case.into_iter().flat_map(|found| found.digests));
        let cancel = stored::cancelled()?;
        let shown = opened.as_digested.as_ref().unwrap_or(&opened.source);
        let as_shown = read(shown, &opened, Counted::AsShown, &cancel)?;
        let mut as_zeros = None;
        if opened.digests.iter().any(|one| one.counted == Counted::AsZeros) {
            as_zeros = Some(read(&opened.source, &opened, Counted::AsZeros, &cancel)?);
        }
        self.keys.still_there()?;
        let digests = opened.digests.iter().enumerate().map(|(number, one)| {
            let read = as_zeros.as_ref().filter(|_| one.counted == Counted::AsZeros);
            let checked = check(one, &read.unwrap_or(&as_shown).digests);
            Checked { act: act.filter(|_| number >= own), ..checked }
        });
        let damage = |offset_bytes: u64, length_bytes: u64| Damage {
            offset_bytes,
            length_bytes,
            why: stored::why(&**shown, offset_bytes),
        };
        let verified = Verified {
            file: &self.file,
            format: stored::format_name(&opened),
            size_bytes: opened.source.size_bytes(),
            digests: digests.collect(),
            damaged: as_shown
                .bad
                .iter()
                .map(|bad| damage(bad.offset_bytes, bad.length_bytes))
                .collect(),
            problems: opened.problems.iter().map(ToString::to_string).collect(),
        };
        self.answer.record("image_verified", &verified, || text(&verified))?;
        let any = |wanted| verified.digests.iter().any(|one| one.verdict == wanted);
        Ok(if any(Verdict::Differs) || !verified.damaged.is_empty() {
            Exit::Findings
        } else if any(Verdict::Same) {
            Exit::Clean
        } else {
            Exit::Partial
        })
    }
}

/// Reads it all, with the digests that were recorded in this way of counting.
fn read(
    source: &Arc<dyn Source>,
    opened: &Opened,
    counted: Counted,
    cancel: &AtomicBool,
) -> Result<Acquisition, Failure> {
    let mut algorithms = Algorithms::sha256();
    for one in opened.digests.iter().filter(|one| one.counted == counted) {
        if let Some(algorithm) = known(&one.algorithm) {
            algorithms = algorithms.with(algorithm);
        }
    }
    let plan = Plan { algorithms, retries: 0, ..Plan::reading() };
    let mut meter = Meter::new("verifying", source.size_bytes());
    let reading = Reading(Arc::clone(source));
    let spread = Spread::over_processors(&reading);
    let read =
        acquire(&spread, &mut NullSink, &plan, &mut |tick| meter.at(tick.done_bytes), cancel);
    meter.end();
    let read = read?;
    match read.ending {
        Ending::Complete => Ok(read),
        Ending::Cancelled => Err(Failure::new("stopped: nothing can be said of the image")),
        _ => Err(Failure::new(format!(
            "too much of the image cannot be read; the first trouble is at byte {}: {}",
            read.bad.iter().next().map_or(0, |bad| bad.offset_bytes),
            stored::why(&**source, read.bad.iter().next().map_or(0, |bad| bad.offset_bytes)),
        ))),
    }
}

fn known(name: &str) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| {
        algorithm.name().replace('-', "").eq_ignore_ascii_case(&name.replace('-', ""))
    })
}

/// One recorded digest against those computed.
pub(super) fn check(recorded: &Recorded, computed: &Digests) -> Checked {
    let found = known(&recorded.algorithm).and_then(|algorithm| computed.of(algorithm));
    let found = found.map(hashing::Digest::to_hex);
    let verdict = match &found {
        None => Verdict::NotChecked,
        Some(found) if *found == recorded.hex => Verdict::Same,
        Some(_) => Verdict::Differs,
    };
    let (algorithm, recorded) = (recorded.algorithm.clone(), recorded.hex.clone());
    Checked { algorithm, recorded, found, verdict, act: None }
}

/// A digest that differs, in words for a record.
pub(super) fn plain(checked: &Checked) -> String {
    let Checked { algorithm, recorded, found, .. } = checked;
    let found = found.as_deref().unwrap_or("not computed");
    format!("{algorithm} is {found}, recorded {recorded}")
}

/// How a checked digest is told.
pub(super) fn line(checked: &Checked) -> String {
    let Checked { algorithm, recorded, .. } = checked;
    let by = checked.act.map_or_else(String::new, |act| format!(" in the case, act {act}"));
    match (checked.verdict, &checked.found) {
        (Verdict::Differs, Some(found)) => {
            paint(&format!("{algorithm}  DIFFERS: {found}, recorded{by} {recorded}"), Colour::Red)
        }
        (Verdict::Same, _) => format!("{algorithm}  {recorded}  as recorded{by}"),
        _ => format!("{algorithm}  {recorded}  not checked: no such digest here"),
    }
}

fn text(verified: &Verified<'_>) -> String {
    let mut lines = vec![format!(
        "{}: {}, {} ({} bytes)",
        verified.file,
        verified.format,
        size(verified.size_bytes),
        verified.size_bytes
    )];
    lines.extend(verified.digests.iter().map(line));
    if verified.digests.is_empty() {
        lines.push("no digest is recorded of it".to_owned());
    }
    for damage in &verified.damaged {
        let text = format!(
            "DAMAGED: {} bytes at {}: {}",
            damage.length_bytes, damage.offset_bytes, damage.why
        );
        lines.push(paint(&text, Colour::Red));
    }
    lines.extend(verified.problems.iter().map(|problem| format!("problem: {problem}")));
    lines.join("\n")
}
