//! `glovebox cp`: copies of files out of evidence, with a manifest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use casebook::{Completion, Item, Outcome, OutcomeKind};
use guard::Guard;
use hashing::{Algorithm, Algorithms, Content, Digests, Manifest};
use imaging::CopiedFile;
use serde::Serialize;
use serde_json::json;

use crate::entry::{Entry, hex_if_escaped};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::{Found, Reading};
use crate::output::{Colour, Format, paint, say, size};
use crate::session::Chosen;
use crate::{acting, clock};

const RECORD_FILE: &str = "files.jsonl";
const MANIFEST_FILE: &str = "manifest.sha256";
const FILES: &str = "files";

/// Copy files out of evidence, into the case or a folder
///
/// Copies get names every file system holds, no right to execute, and are
/// read back; what each was on the evidence stands in files.jsonl beside
/// them, their digests in manifest.sha256.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What to copy, such as sda:2:/etc; directories with all below them
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// A new folder to copy into (default: an exhibit of the case)
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Name of the exhibit
    #[arg(long, default_value = "files", value_name = "TEXT")]
    label: String,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

/// What stands in the record about one object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    stream: Option<String>,
    copy: Option<&'a str>,
    digests: Option<&'a Digests>,
    holes: &'a [evidence::fs::content::Hole],
    problem: Option<&'a evidence::Problem>,
}

/// What was done.
#[derive(Serialize, Default)]
struct Summary {
    folder: String,
    files: u64,
    directories: u64,
    listed_only: u64,
    bytes: u64,
    unreadable_bytes: u64,
    problems: u64,
}

/// A folder being filled.
struct Filling {
    folder: PathBuf,
    record: File,
    manifest: Manifest,
    items: BTreeMap<String, (u64, Digests)>,
    problems: Vec<String>,
    summary: Summary,
}

impl Args {
    /// Copies.
    ///
    /// # Errors
    /// If something named is not there, or the copies cannot be written; then the act of the case says so.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        // Everything is found before anything is made.
        let found: Vec<Found> = self
            .addresses
            .iter()
            .map(|address| self.reading.find(address, &guard))
            .collect::<Result<_, _>>()?;
        if let Some(folder) = &self.to {
            fs::create_dir(folder).map_err(|problem| {
                Failure::from(problem)
                    .while_doing(format!("making the folder {}", folder.display()))
                    .hint("name a folder that is not there yet")
            })?;
            let filled = fill(folder, &found)?;
            return self.answer(&filled);
        }
        self.copy_to_case(&guard, &found)
    }

    fn copy_to_case(&self, guard: &Guard, found: &[Found]) -> Result<Exit, Failure> {
        let (case, signer) = self.chosen.open()?;
        let arguments = json!({ "addresses": self.addresses, "view": self.reading.view() });
        let inputs = self
            .addresses
            .iter()
            .map(|address| Item {
                name: address.clone(),
                size_bytes: None,
                digests: Digests::default(),
                facts: serde_json::Value::Null,
            })
            .collect();
        let who = acting::who(&case);
        let act = case.begin(acting::draft(&who, guard, "cp", arguments, inputs)?, &signer)?;
        let exhibit = act.new_exhibit(&self.label)?;
        let filled = fill(exhibit.path(), found);
        let (outcome, outputs, problems) = match &filled {
            Ok(filled) => {
                let kind = match filled.problems.is_empty() {
                    true => OutcomeKind::Done,
                    false => OutcomeKind::Partial,
                };
                let text =
                    format!("{} files, {}", filled.summary.files, size(filled.summary.bytes));
                let items = filled.items.iter().map(|(name, (bytes, digests))| Item {
                    name: exhibit.item_name(name),
                    size_bytes: Some(*bytes),
                    digests: digests.clone(),
                    facts: serde_json::Value::Null,
                });
                (Outcome::new(kind, text), items.collect(), filled.problems.clone())
            }
            Err(failure) => {
                (Outcome::new(OutcomeKind::Failed, failure.text()), Vec::new(), Vec::new())
            }
        };
        let mut end = Completion::new(clock::now(), outcome);
        end.outputs = outputs;
        end.problems = problems;
        end.counters_after = acting::counters(guard);
        act.finish(end)?;
        self.answer(&filled?)
    }

    fn answer(&self, filled: &Filling) -> Result<Exit, Failure> {
        for problem in &filled.problems {
            say(&paint(&format!("problem: {problem}"), Colour::Yellow));
        }
        let summary = &filled.summary;
        self.format.record("copied", summary, || {
            format!(
                "{} files ({}) and {} directories copied to {}, read back: the same.\n\
                 {} links and special files are listed in {RECORD_FILE} only.",
                summary.files,
                size(summary.bytes),
                summary.directories,
                summary.folder,
                summary.listed_only
            )
        })?;
        Ok(if filled.problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

fn fill(folder: &Path, found: &[Found]) -> Result<Filling, Failure> {
    let record = folder.join(RECORD_FILE);
    let mut filling = Filling {
        folder: folder.to_owned(),
        record: File::create_new(&record)?,
        manifest: Manifest::new(),
        items: BTreeMap::new(),
        problems: Vec::new(),
        summary: Summary { folder: folder.display().to_string(), ..Summary::default() },
    };
    for (number, one) in (1_u64..).zip(found) {
        // Each address has a folder of its own, so that equal names do not meet.
        let below = if found.len() == 1 { FILES.to_owned() } else { format!("{FILES}-{number}") };
        let into = folder.join(&below);
        fs::create_dir(&into)?;
        let mut failure = None;
        let problems = imaging::copy_out(
            &*one.tree.fs,
            (one.node, &one.path),
            &into,
            &Algorithms::sha256(),
            &mut |copied| {
                if failure.is_none() {
                    failure = filling.note(one, &below, &copied).err();
                }
            },
        )?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let tree = &one.tree.address;
        filling.problems.extend(problems.iter().map(|problem| format!("{tree}: {problem}")));
    }
    filling.finish()
}

impl Filling {
    fn note(&mut self, found: &Found, below: &str, copied: &CopiedFile) -> Result<(), Failure> {
        let copy = copied.copy.as_ref().map(|copy| format!("{below}/{}", copy.display()));
        let volume = &found.tree.address;
        let line = Line {
            entry: Entry::new(volume, &*found.tree.fs, &copied.path, &copied.metadata),
            stream: copied
                .stream
                .as_ref()
                .map(|stream| hex_if_escaped(&stream.0).unwrap_or_else(|| stream.to_string())),
            copy: copy.as_deref(),
            digests: copied.digests.as_ref(),
            holes: &copied.holes,
            problem: copied.problem.as_ref(),
        };
        serde_json::to_writer(&mut self.record, &line)?;
        self.record.write_all(b"\n")?;
        match (&copied.digests, &copy) {
            (Some(digests), Some(copy)) => {
                self.summary.files += 1;
                self.summary.bytes += copied.size_bytes;
                let content =
                    Content::File { size_bytes: Some(copied.size_bytes), digests: digests.clone() };
                self.manifest.insert(hashing::Entry { path: copy.clone().into_bytes(), content });
                self.items.insert(copy.clone(), (copied.size_bytes, digests.clone()));
            }
            (None, Some(_)) => self.summary.directories += 1,
            _ => self.summary.listed_only += 1,
        }
        for hole in &copied.holes {
            self.summary.unreadable_bytes += hole.length_bytes;
            self.problems.push(format!(
                "{volume}:{}: {} bytes at {} could not be read and are zeros in the copy: {}",
                copied.path, hole.length_bytes, hole.offset_bytes, hole.why
            ));
        }
        self.problems.extend(
            copied.problem.iter().map(|problem| format!("{volume}: not copied: {problem}")),
        );
        self.summary.problems = self.problems.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Filling, Failure> {
        self.record.sync_all()?;
        let path = self.folder.join(MANIFEST_FILE);
        fs::write(&path, self.manifest.to_sum_text(Algorithm::Sha256))?;
        for name in [RECORD_FILE, MANIFEST_FILE] {
            let (digests, bytes) =
                hashing::digest_file(&self.folder.join(name), &Algorithms::sha256())?;
            self.items.insert(name.to_owned(), (bytes, digests));
        }
        File::open(&path)?.sync_all()?;
        Ok(self)
    }
}
