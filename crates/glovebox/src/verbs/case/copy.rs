//! `glovebox case copy`: a second copy of the case, read back from its medium and verified.

use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use casebook::{Item, Outcome, OutcomeKind, VerifyOptions};
use guard::Guard;
use serde::Serialize;
use serde_json::json;

use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, size};
use crate::progress::Meter;
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder that is not there yet, on another unlocked medium
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Duplicated {
    to: PathBuf,
    files: usize,
    bytes: u64,
    acts: u64,
    head: String,
    /// What is doubtful about it.
    problems: Vec<String>,
}

impl Args {
    /// Copies.
    ///
    /// # Errors
    /// If an act is in progress, the medium does not take the copy, or it does not verify; the act
    /// in the case says so.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        let (case, signer) = self.chosen.open()?;
        let live = case.at_work()?;
        if !live.is_empty() {
            return Err(Failure::new(format!("acts are in progress: {}", live.join(", ")))
                .hint("copy when they have ended"));
        }
        let parent = match self.to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let doing = || format!("looking at {}", parent.display());
        let there = std::fs::canonicalize(parent)
            .map_err(|problem| Failure::from(problem).while_doing(doing()))?;
        if there.starts_with(std::fs::canonicalize(case.dir())?) {
            return Err(Failure::new("the copy would lie inside the case"));
        }
        let same = std::fs::metadata(&there)?.dev() == std::fs::metadata(case.dir())?.dev();
        let arguments = json!({ "to": there.join(self.to.file_name().unwrap_or_default()) });
        let who = acting::who(&case);
        let draft = acting::draft(&who, &guard, "case copy", arguments, Vec::new())?;
        let act = case.begin(draft, &signer)?;
        let mut result = copy(case.dir(), &self.to);
        if let (Ok(done), true) = (&mut result, same) {
            let text = "the copy lies on the same file system as the case: one fault takes both";
            done.problems.push(text.to_owned());
        }
        let outcome = match &result {
            Ok(_) => Outcome::done(),
            Err(failure) => Outcome::new(OutcomeKind::Failed, failure.text()),
        };
        let mut end = acting::end(&guard, outcome);
        if let Ok(done) = &result {
            end.problems.clone_from(&done.problems);
            end.outputs.push(Item {
                name: format!("copy at {}", done.to.display()),
                size_bytes: Some(done.bytes),
                digests: hashing::Digests::default(),
                facts: json!({ "files": done.files, "acts": done.acts, "head": done.head }),
            });
        }
        act.finish(end)?;
        let done = result?;
        self.format.record("case-copied", &done, || {
            let mut text = format!(
                "{} files ({}) copied to {}, read back and verified: the same.\n{} acts, head {}\n\
                 The secret key was not copied.",
                done.files,
                size(done.bytes),
                done.to.display(),
                done.acts,
                done.head
            );
            for problem in &done.problems {
                text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
            }
            text
        })?;
        Ok(if done.problems.is_empty() { Exit::Clean } else { Exit::Findings })
    }
}

/// Copies and verifies the copy by itself.
pub(super) fn duplicate(from: &Path, to: &Path) -> Result<(usize, u64), Failure> {
    let mut meter = None;
    let copied = casebook::duplicate(from, to, &mut |now| {
        meter
            .get_or_insert_with(|| Meter::new("copying and reading back", now.total_bytes))
            .at(now.done_bytes);
    });
    if let Some(meter) = meter {
        meter.end();
    }
    let copied = copied?;
    let bytes = copied.files.iter().map(|(_, bytes, _)| bytes).sum();
    Ok((copied.files.len(), bytes))
}

fn copy(from: &Path, to: &Path) -> Result<Duplicated, Failure> {
    let (files, bytes) = duplicate(from, to)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let found = casebook::verify(to, &VerifyOptions { threads, ..VerifyOptions::default() })?;
    if let Some(problem) = found.problems.first() {
        return Err(Failure::new(format!("the copy does not hold: {problem}"))
            .hint("glovebox case verify shows whether the case itself holds"));
    }
    let (acts, head) = (found.acts, found.head);
    Ok(Duplicated { to: to.to_owned(), files, bytes, acts, head, problems: Vec::new() })
}
