//! `glovebox archive init`: an empty archive.

use std::path::PathBuf;

use archive::store::Archive;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to make it in, new or empty
    archive: PathBuf,
    /// What the archive is called, such as your team's name
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Made<'a> {
    archive: &'a PathBuf,
    name: &'a str,
}

impl Args {
    /// Makes it.
    ///
    /// # Errors
    /// If the folder is not empty or the medium does not take it.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        Archive::init(&self.archive, &self.name)?;
        let made = Made { archive: &self.archive, name: &self.name };
        self.format
            .record("archive-made", &made, || format!("Archive {}", self.archive.display()))?;
        Ok(Exit::Clean)
    }
}
