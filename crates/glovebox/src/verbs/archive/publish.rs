//! `glovebox archive publish` and `collect`: to a plain directory that anybody may serve, and back.

use std::path::PathBuf;

use archive::store::{Sealed, Transferred};
use serde::Serialize;

use super::trust::Trust;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, size};
use crate::progress::Meter;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// The folder to publish in, which a web server or object store has
    place: PathBuf,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct CollectArgs {
    /// The folder something was published in, or a copy of it
    place: PathBuf,
    /// The folder to make the archive in; gone on with if cut short
    archive: PathBuf,
    /// What the archive is called
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Another version than the newest
    #[arg(long, value_name = "NUMBER")]
    at_version: Option<u64>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    version: u64,
    files_copied: usize,
    files_kept: usize,
    bytes_copied: u64,
}

fn show(format: Format, kind: &str, sealed: &Sealed, done: Transferred) -> Result<(), Failure> {
    let statement = sealed.statement();
    let shown = Shown {
        name: &statement.name,
        version: statement.version,
        files_copied: done.copied,
        files_kept: done.kept,
        bytes_copied: done.bytes,
    };
    format.record(kind, &shown, || {
        let (copied, kept) = (shown.files_copied, shown.files_kept);
        let name = evidence::escape_bytes(shown.name.as_bytes());
        let bytes = size(shown.bytes_copied);
        format!("{name} version {}: {copied} files copied ({bytes}), {kept} kept", shown.version)
    })?;
    Ok(())
}

impl Args {
    /// Publishes.
    ///
    /// # Errors
    /// If the archive is refused, a file of it does not hold, or a newer version is there.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let sealed = self.trust.open(&self.archive)?;
        let mut meter = Meter::new("publishing", 0);
        let done = sealed.publish(&self.place, &mut |bytes| meter.at(bytes));
        meter.end();
        show(self.format, "archive-published", &sealed, done?)?;
        Ok(Exit::Clean)
    }
}

impl CollectArgs {
    /// Collects.
    ///
    /// # Errors
    /// If what is there is refused, or an object is missing or bent.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let (keys, least) = self.trust.believed(&self.name)?;
        let mut meter = Meter::new("collecting", 0);
        let wanted = (self.name.as_str(), self.at_version);
        let progress = &mut |bytes| meter.at(bytes);
        let got = Sealed::collect(&self.place, wanted, &self.archive, (&keys, least), progress);
        meter.end();
        let (_, done) = got.map_err(|error| {
            Failure::from(error).hint("what was copied stays; the same line goes on with it")
        })?;
        // Once more as everybody opens it: what was seen before is asked there.
        let sealed = self.trust.open(&self.archive)?;
        show(self.format, "archive-collected", &sealed, done)?;
        Ok(Exit::Clean)
    }
}
