//! `glovebox archive add-rpm`: packages of the RPM family with the certificates that vouch for them.

use std::fs;
use std::path::{Path, PathBuf};

use archive::store::{Archive, NewRpms};
use serde::Serialize;

use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say, size};

/// Add RPM packages, each checked by its signed header
///
/// What is vouched for is each package by itself: no vendor's list says
/// that it is the newest. Only signatures over the header count, with
/// SHA-256 of the payload and of every file in it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// Package files, or folders with them
    #[arg(required = true, value_name = "PATH")]
    packages: Vec<PathBuf>,
    /// What the set is called in the archive
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The vendor's certificates; they are pinned in the archive
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,
    /// When the files were fetched (default: now)
    #[arg(long, value_name = "TIME")]
    captured: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    packages: usize,
    bytes: u64,
    signers: Vec<String>,
}

/// The path itself, or the packages in a folder, sorted.
fn packages(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let doing = |problem: std::io::Error| {
        Failure::from(problem).while_doing(format!("reading {}", path.display()))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(doing)? {
        let path = entry.map_err(doing)?.path();
        if path.extension().is_some_and(|ending| ending == "rpm") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl Args {
    /// Adds.
    ///
    /// # Errors
    /// If a package is not vouched for, or the set is there already.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let keyring = fs::read(&self.keyring).map_err(|problem| {
            Failure::from(problem).while_doing(format!("reading {}", self.keyring.display()))
        })?;
        let files: Vec<Vec<PathBuf>> =
            self.packages.iter().map(|path| packages(path)).collect::<Result<_, _>>()?;
        let captured_seconds = match &self.captured {
            Some(text) => clock::seconds_of(text)?,
            None => clock::unix_seconds_now(),
        };
        let (set, bytes) = Archive::open(&self.archive)?.add_rpms(&NewRpms {
            name: &self.name,
            files: &files.concat(),
            keyring: &keyring,
            captured_seconds,
        })?;
        let shown = Shown {
            name: set.name,
            packages: set.packages,
            bytes,
            signers: set.signers.into_iter().collect(),
        };
        self.format.record("rpms-added", &shown, || {
            let (count, signers) = (shown.packages, shown.signers.join(" and "));
            format!("{}: {count} packages, {}, signed by {signers}", shown.name, size(shown.bytes))
        })?;
        say("Next: glovebox archive catalogue, then glovebox archive sign");
        Ok(Exit::Clean)
    }
}
