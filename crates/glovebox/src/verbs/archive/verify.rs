//! `glovebox archive verify`: our list, the vendors' signatures, and that there is nothing else.

use std::path::PathBuf;

use archive::store::Depth;
use serde::Serialize;

use super::trust::Trust;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, size};
use crate::progress::Meter;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// Also unpack every package and compare it with its listing
    #[arg(long)]
    unpack: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    version: u64,
    files: usize,
    packages: usize,
    bytes: u64,
    problems: Vec<String>,
    /// The trusted keys whose signatures hold.
    signed_by: Vec<String>,
}

impl Args {
    /// Checks.
    ///
    /// # Errors
    /// If the list itself is refused.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let sealed = self.trust.open(&self.archive)?;
        let mut meter = Meter::new("checking", 0);
        let depth = if self.unpack { Depth::Listings } else { Depth::Files };
        let checked = sealed.check(depth, &mut |bytes| meter.at(bytes));
        meter.end();
        let shown = Shown {
            name: sealed.statement().name.clone(),
            version: sealed.statement().version,
            files: checked.files,
            packages: checked.packages,
            bytes: checked.bytes,
            problems: checked.problems.iter().map(ToString::to_string).collect(),
            signed_by: sealed.signers().iter().map(|one| one.trusted.to_string()).collect(),
        };
        self.format.record("archive-verified", &shown, || text(&shown))?;
        Ok(if shown.problems.is_empty() { Exit::Clean } else { Exit::Findings })
    }
}

fn text(shown: &Shown) -> String {
    let mut text = format!(
        "{} version {}: {} files, {} packages up to the vendor's key, {}",
        evidence::escape_bytes(shown.name.as_bytes()),
        shown.version,
        shown.files,
        shown.packages,
        size(shown.bytes)
    );
    text.push_str(&format!("\nsigned by {}", shown.signed_by.join(" and ")));
    for problem in &shown.problems {
        text.push_str(&paint(&format!("\ndoes not hold: {problem}"), Colour::Red));
    }
    if shown.problems.is_empty() {
        text.push_str(&paint("\nevery link holds", Colour::Green));
    }
    text
}
