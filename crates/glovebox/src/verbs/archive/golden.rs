//! `glovebox archive add-golden` and `add-baseline`: the manifest of a fresh install, and what a system was.

use std::path::PathBuf;

use archive::store::Archive;
use evidence::fs::tree::Limits;
use guard::Guard;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint, say};
use crate::target;
use crate::verbs::baseline;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// The fresh install: a disk, an image or a folder
    #[arg(value_name = "ADDRESS")]
    install: String,
    /// What the manifest is called
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    items: usize,
    problems: Vec<String>,
}

impl Args {
    /// Takes it.
    ///
    /// # Errors
    /// If there is no single system to take it of, or something of it cannot be read.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let archive = Archive::open(&self.archive)?;
        let guard = Guard::connect()?;
        let address = target::address(&self.install);
        let opened = self.reading.open(&address, &guard)?;
        let tree = opened.tree(&address)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (listing, problems) =
            verify::manifest(&*tree.fs, &self.name, Limits::default(), threads);
        if !problems.is_empty() {
            for problem in &problems {
                say(&paint(&format!("problem: {problem}"), Colour::Yellow));
            }
            return Err(Failure::new("a manifest with gaps would explain nothing: not kept"));
        }
        archive.add_golden(&self.name, &listing)?;
        let shown = Shown { name: &self.name, items: listing.items.len(), problems: Vec::new() };
        self.format.record("golden", &shown, || {
            format!("manifest {} of {} files and folders", shown.name, shown.items)
        })?;
        say("Next: glovebox archive sign");
        Ok(Exit::Clean)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct BaselineArgs {
    /// The archive's folder
    archive: PathBuf,
    /// The baseline's folder
    baseline: PathBuf,
    /// The key the baseline must be signed with: a .pub file, or its line
    #[arg(long, value_name = "KEY", required = true)]
    trust: String,
    #[command(flatten)]
    format: Format,
}

impl BaselineArgs {
    /// Keeps it.
    ///
    /// # Errors
    /// If it is not signed by the key, or there is one of its name.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let archive = Archive::open(&self.archive)?;
        let (facts, files, name) = baseline::read_signed(&self.baseline, &self.trust)?;
        archive.add_baseline(&name, &facts, &files)?;
        let kept = Kept { name: &name };
        self.format.record("baseline-kept", &kept, || format!("baseline {name}"))?;
        say("Next: glovebox archive sign");
        Ok(Exit::Clean)
    }
}

#[derive(Serialize)]
struct Kept<'a> {
    name: &'a str,
}
