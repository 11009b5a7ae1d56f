//! `glovebox archive list` and `age`: what an archive holds, and how old that is.

use std::path::PathBuf;

use archive::store::{Master, Medium, Mirror, rfc3339};
use serde::Serialize;

use super::trust::Trust;
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, table};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// Only packages whose name holds this text
    #[arg(value_name = "TEXT", default_value = "")]
    named: String,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Row<'a> {
    package: &'a str,
    version: &'a str,
    architecture: &'a str,
    source: &'a str,
    file: &'a str,
    file_bytes: u64,
    sha256: &'a str,
}

impl Args {
    /// Lists.
    ///
    /// # Errors
    /// If the archive is refused or has no catalogue.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let sealed = self.trust.open(&self.archive)?;
        let catalogue = sealed.catalogue()?;
        let rows = catalogue.rows().iter().filter(|row| row.name.contains(&self.named));
        for row in rows {
            let row = Row {
                package: &row.name,
                version: row.version.as_str(),
                architecture: &row.architecture,
                source: &row.source,
                file: &row.file,
                file_bytes: row.record.size_bytes,
                sha256: &row.record.sha256,
            };
            self.format.record("package", &row, || {
                format!("{} {} {}", row.package, row.version, row.architecture)
            })?;
        }
        Ok(Exit::Clean)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct AgeArgs {
    /// The archive's folder
    archive: PathBuf,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Age {
    name: String,
    version: u64,
    signed: String,
    clock: String,
    mirrors: Vec<Mirror>,
    media: Vec<Medium>,
    masters: Vec<Master>,
}

impl AgeArgs {
    /// Shows; the machine's clock is named beside, because nobody vouches for it.
    ///
    /// # Errors
    /// If the archive is refused.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let sealed = self.trust.open(&self.archive)?;
        let now = clock::unix_seconds_now();
        let age = Age {
            name: sealed.statement().name.clone(),
            version: sealed.statement().version,
            signed: rfc3339(sealed.statement().signed_seconds),
            clock: rfc3339(now),
            mirrors: sealed.mirrors()?,
            media: sealed.media()?,
            masters: sealed.masters()?,
        };
        let signed = sealed.statement().signed_seconds;
        self.format.record("archive-age", &age, || text(&age, signed, now))?;
        Ok(Exit::Clean)
    }
}

fn text(age: &Age, signed: u64, now: u64) -> String {
    let days = |seconds: u64| match now.checked_sub(seconds) {
        Some(past) => format!("{} days", past / 86_400),
        None => "later than this machine's clock".to_owned(),
    };
    let mut rows = vec![vec![
        format!("archive {}", age.version),
        "signed".to_owned(),
        age.signed.clone(),
        days(signed),
    ]];
    for mirror in &age.mirrors {
        let captured = mirror.captured_seconds;
        rows.push(vec![
            mirror.name.clone(),
            "fetched".to_owned(),
            rfc3339(captured),
            days(captured),
        ]);
        for suite in &mirror.suites {
            let made = suite.date_seconds;
            let mut row = vec![suite.suite.clone(), "made".to_owned(), rfc3339(made), days(made)];
            if let Some(end) = suite.valid_until_seconds {
                let word = if end < now { "vendor's end passed" } else { "vendor's end" };
                row.push(paint(&format!("{word} {}", rfc3339(end)), Colour::Yellow));
            }
            rows.push(row);
        }
    }
    for medium in &age.media {
        let captured = medium.captured_seconds;
        rows.push(vec![
            medium.name.clone(),
            "fetched".to_owned(),
            rfc3339(captured),
            days(captured),
        ]);
    }
    for master in &age.masters {
        let made = master.made_seconds;
        rows.push(vec![master.name.clone(), "made".to_owned(), rfc3339(made), days(made)]);
    }
    format!("{}\nThis machine's clock says {}.", table(&rows), age.clock)
}
