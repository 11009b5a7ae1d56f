//! `glovebox archive catalogue`: every file of every package, with what must be true of it.

use std::path::PathBuf;

use archive::store::Archive;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say, size};
use crate::progress::Meter;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    packages: usize,
    items: usize,
    bytes: u64,
}

impl Args {
    /// Makes it.
    ///
    /// # Errors
    /// If a link of a vendor's chain does not hold.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let archive = Archive::open(&self.archive)?;
        let mut meter = Meter::new("listing", 0);
        let done = archive.catalogue(&mut |bytes| meter.at(bytes));
        meter.end();
        let done = done?;
        let shown = Shown { packages: done.packages, items: done.items, bytes: done.bytes };
        self.format.record("catalogue", &shown, || {
            let (packages, items) = (shown.packages, shown.items);
            format!("{packages} packages, {items} files and folders, {} read", size(shown.bytes))
        })?;
        say("Next: glovebox archive sign");
        Ok(Exit::Clean)
    }
}
