//! `glovebox archive add-advisories` and `advisories`: known weaknesses of what a host has installed.

use std::fs;
use std::path::{Path, PathBuf};

use archive::advisories::{Form, Installed, Known, Open, Release, State};
use archive::debian::database;
use archive::store::{Archive, Catalogue, NewAdvisories, Sealed};
use evidence::escape_bytes;
use serde::Serialize;
use verify::{Report, Standing};

use super::trust::Trust;
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say};

/// How advisories are written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Written {
    /// The JSON of Debian's security tracker
    DebianTracker,
    /// OSV: one advisory or a list of them
    Osv,
}

/// Keep known weaknesses of packages, as a vendor publishes them
///
/// Nobody signs such files: fetch them from where you trust it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct AddArgs {
    /// The archive's folder
    archive: PathBuf,
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What they are called in the archive
    #[arg(long, value_name = "NAME")]
    name: String,
    /// How they are written
    #[arg(long = "form", value_name = "FORM")]
    written: Written,
    /// When the files were fetched (default: now)
    #[arg(long, value_name = "TIME")]
    captured: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl AddArgs {
    /// Keeps them.
    ///
    /// # Errors
    /// If a file is not of its form, or there are some of this name.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let captured_seconds = match &self.captured {
            Some(text) => clock::seconds_of(text)?,
            None => clock::unix_seconds_now(),
        };
        let form = match self.written {
            Written::DebianTracker => Form::DebianTracker,
            Written::Osv => Form::Osv,
        };
        let new = NewAdvisories { name: &self.name, form, files: &self.files, captured_seconds };
        let kept = Archive::open(&self.archive)?.add_advisories(&new)?;
        self.format.record("advisories-added", &kept, || {
            format!("{}: {} files", kept.name, kept.files.len())
        })?;
        say("Next: glovebox archive sign");
        Ok(Exit::Clean)
    }
}

/// List known weaknesses of what a host has installed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// A copy of the host's /var/lib/dpkg/status
    #[arg(long, value_name = "FILE")]
    packages_of: PathBuf,
    /// A copy of the host's /etc/os-release
    #[arg(long, value_name = "FILE")]
    os_release: PathBuf,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Summary {
    release: String,
    source_packages: usize,
    /// Entries of the advisories that are about this release.
    entries: usize,
    open: usize,
    fixed: usize,
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|problem| {
        Failure::from(problem).while_doing(format!("reading {}", path.display()))
    })
}

/// Source packages and their versions from a status file: the host's word.
fn installed(status: &[u8]) -> Installed {
    let mut all = Installed::new();
    for one in database::parse_status(status).into_iter().filter(|one| one.is_unpacked) {
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        let (source, version) = (text(&one.source), text(&one.version));
        let (source, version) = match source.split_once(" (") {
            Some((source, own)) => (source.to_owned(), own.trim_end_matches(')').to_owned()),
            None if source.is_empty() => (text(&one.name), version),
            None => (source, version),
        };
        all.entry(source).or_default().insert(version);
    }
    all
}

fn release(text: &str) -> Release {
    let field = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    Release { id: field("ID"), codename: field("VERSION_CODENAME"), number: field("VERSION_ID") }
}

impl Args {
    /// Lists.
    ///
    /// # Errors
    /// If the archive is refused, or has no advisories.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let sealed = self.trust.open(&self.archive)?;
        let release = release(&String::from_utf8_lossy(&read(&self.os_release)?));
        show(self.format, &sealed, &release, &installed(&read(&self.packages_of)?))
    }
}

/// Shows the weaknesses that the archive knows in a system that was compared; what it claims of packages that are in no
/// signed index is not asked for.
///
/// # Errors
/// If the archive has no advisories, or standard output cannot be written.
pub(crate) fn of_report(
    format: Format,
    sealed: &Sealed,
    catalogue: &Catalogue,
    report: &Report,
) -> Result<Exit, Failure> {
    let mut installed = Installed::new();
    for one in report.of_standing(Standing::Listed) {
        if let Some(row) = catalogue.find(&one.name, &one.version, &one.architecture) {
            let versions = installed.entry(row.source.clone()).or_default();
            versions.insert(row.source_version.to_string());
        }
    }
    let system = report.system.as_ref();
    let text = |field: Option<&String>| field.cloned().unwrap_or_default();
    let release = Release {
        id: text(system.and_then(|one| one.id.as_ref())),
        codename: text(system.and_then(|one| one.codename.as_ref())),
        number: text(system.and_then(|one| one.version.as_ref())),
    };
    show(format, sealed, &release, &installed)
}

fn show(
    format: Format,
    sealed: &Sealed,
    release: &Release,
    installed: &Installed,
) -> Result<Exit, Failure> {
    if sealed.advisories()?.is_empty() {
        return Err(Failure::new("the archive has no advisories")
            .hint("glovebox archive add-advisories ARCHIVE FILE --name NAME --form FORM"));
    }
    let Known { open, of_release } = sealed.open_advisories(release, installed)?;
    let name = format!("{} {} {}", release.id, release.number, release.codename);
    let summary = Summary {
        release: escape_bytes(name.as_bytes()),
        source_packages: installed.len(),
        entries: of_release,
        open: open.len(),
        fixed: open.iter().filter(|one| one.state == State::Fixed).count(),
    };
    format.record("advisories", &summary, || {
        format!(
            "{}: {} known weaknesses in {} source packages; a newer version mends {}",
            summary.release, summary.open, summary.source_packages, summary.fixed
        )
    })?;
    for one in &open {
        format.record("advisory", one, || text(one))?;
    }
    if of_release == 0 {
        let what = "the advisories of the archive say nothing of this release: nothing follows";
        say(&paint(what, Colour::Yellow));
        return Ok(Exit::Partial);
    }
    Ok(if open.is_empty() { Exit::Clean } else { Exit::Findings })
}

fn text(one: &Open) -> String {
    let shown = |text: &str| escape_bytes(text.as_bytes());
    let what = match (&one.state, &one.fixed) {
        (State::Fixed, Some(fixed)) => format!("mended in {}", shown(fixed)),
        (State::Undetermined, _) => "nobody has looked".to_owned(),
        _ => "not mended yet".to_owned(),
    };
    let mut text =
        format!("{} {} {}: {what}", shown(&one.id), shown(&one.source), shown(&one.installed));
    if !one.urgency.is_empty() {
        text.push_str(&format!(" ({})", shown(&one.urgency)));
    }
    if !one.about.is_empty() {
        text.push_str(&format!("\n    {}", shown(&one.about)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_packages_and_release_of_a_host() {
        let status = b"Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n\
            Package: libb1\nStatus: install ok installed\nSource: b (2:3)\nVersion: 4\n\n\
            Package: libb2\nStatus: install ok installed\nSource: b\nVersion: 5\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let found = installed(status);
        let told: Vec<String> = found.iter().map(|one| format!("{one:?}")).collect();
        assert_eq!(told, [r#"("a", {"1"})"#, r#"("b", {"2:3", "5"})"#]);
        let release = release("NAME=x\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n");
        assert_eq!((release.id.as_str(), release.number.as_str()), ("debian", "12"));
        assert_eq!(release.codename, "bookworm");
    }
}
