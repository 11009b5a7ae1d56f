//! `glovebox archive add-mirror`: packages of Debian with everything that vouches for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use archive::debian::database;
use archive::store::{Archive, NewMirror, Source, Want, rfc3339};
use serde::Serialize;

use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say, size};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// What the mirror is called in the archive
    #[arg(long, value_name = "NAME")]
    name: String,
    /// A tree as mirrors serve it: dists and pool
    #[arg(long, value_name = "FOLDER", required_unless_present = "lists")]
    mirror: Option<PathBuf>,
    /// The lists apt keeps, in place of a mirror
    #[arg(long, value_name = "FOLDER", conflicts_with = "mirror")]
    lists: Option<PathBuf>,
    /// A folder with package files, under any names
    #[arg(long, value_name = "FOLDER")]
    debs: Vec<PathBuf>,
    /// The vendor's certificates; they are pinned in the archive
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,
    /// A suite, by its folder below dists
    #[arg(long, value_name = "SUITE", required = true)]
    suite: Vec<String>,
    /// A component of the suites
    #[arg(long, value_name = "COMPONENT", default_value = "main")]
    component: Vec<String>,
    /// Architecture of the packages
    #[arg(long, value_name = "NAME", default_value = "amd64")]
    architecture: String,
    /// A wanted package, in its newest version
    #[arg(long, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Want what this copy of a host's /var/lib/dpkg/status has installed
    #[arg(long, value_name = "FILE")]
    packages_of: Vec<PathBuf>,
    /// When the files were fetched (default: now)
    #[arg(long, value_name = "TIME")]
    captured: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    mirror: String,
    suites: Vec<archive::store::Suite>,
    packages: usize,
    bytes: u64,
    in_no_signed_index: Vec<String>,
}

impl Args {
    /// Adds.
    ///
    /// # Errors
    /// If a link of a chain does not hold, or a file is missing.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let wanted = self.wanted()?;
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|problem| {
                Failure::from(problem).while_doing(format!("reading {}", path.display()))
            })
        };
        let keyring = read(&self.keyring)?;
        let source = match (&self.mirror, &self.lists) {
            (Some(folder), _) => Source::Tree(folder.clone()),
            (None, Some(folder)) => Source::Lists(folder.clone()),
            (None, None) => return Err(Failure::new("name a mirror with --mirror FOLDER")),
        };
        let captured_seconds = match &self.captured {
            Some(text) => clock::seconds_of(text)?,
            None => clock::unix_seconds_now(),
        };
        let added = Archive::open(&self.archive)?.add_mirror(&NewMirror {
            name: &self.name,
            suites: &self.suite,
            components: &self.component,
            architecture: &self.architecture,
            source,
            package_folders: &self.debs,
            keyring: &keyring,
            wanted: &wanted,
            captured_seconds,
        })?;
        let told = |want: &Want| match want {
            Want::Newest(name) => name.clone(),
            Want::Exactly(name, version, architecture) => {
                format!("{name} {version} {architecture}")
            }
        };
        let shown = Shown {
            mirror: self.name.clone(),
            suites: added.mirror.suites,
            packages: added.packages,
            bytes: added.bytes,
            in_no_signed_index: added
                .foreign
                .iter()
                .map(|want| evidence::escape_bytes(told(want).as_bytes()))
                .collect(),
        };
        self.format.record("mirror-added", &shown, || text(&shown))?;
        for one in &shown.in_no_signed_index {
            say(&paint(&format!("in no signed index: {one}"), Colour::Yellow));
        }
        say("Next: glovebox archive catalogue, then glovebox archive sign");
        Ok(if shown.in_no_signed_index.is_empty() { Exit::Clean } else { Exit::Partial })
    }

    fn wanted(&self) -> Result<BTreeSet<Want>, Failure> {
        let mut wanted: BTreeSet<Want> = self.package.iter().cloned().map(Want::Newest).collect();
        for path in &self.packages_of {
            let raw = fs::read(path).map_err(|problem| {
                Failure::from(problem).while_doing(format!("reading {}", path.display()))
            })?;
            let installed = database::parse_status(&raw).into_iter().filter(|one| one.is_unpacked);
            let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
            wanted.extend(installed.map(|one| {
                Want::Exactly(text(&one.name), text(&one.version), text(&one.architecture))
            }));
        }
        if wanted.is_empty() {
            return Err(Failure::new("no package is wanted")
                .hint("name packages with --package NAME, or a host's with --packages-of FILE"));
        }
        Ok(wanted)
    }
}

fn text(shown: &Shown) -> String {
    let mut text = format!("{}: {} packages, {}", shown.mirror, shown.packages, size(shown.bytes));
    for suite in &shown.suites {
        text.push_str(&format!(
            "\n{} of {}, signed by {}",
            suite.suite,
            rfc3339(suite.date_seconds),
            suite.signers.join(" and ")
        ));
    }
    text
}
