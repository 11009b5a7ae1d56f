//! `glovebox case status`: what the case holds, at a glance.

use std::path::Path;

use casebook::Status;
use serde::Serialize;

use super::shown;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint};
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    case: &'a Path,
    id: &'a str,
    name: &'a str,
    examiner: &'a str,
    public_key: &'a str,
    acts: u64,
    head: &'a str,
    last_ended: Option<&'a str>,
    sealed_by: Option<u64>,
    exhibits: &'a [String],
    unfinished: Vec<String>,
    torn_bytes: u64,
    set_aside: &'a [casebook::SetAside],
    broken: Option<&'a str>,
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If there is no case to read.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        status(self)
    }
}

fn status(args: &Args) -> Result<Exit, Failure> {
    let path = args.chosen.needed_path()?;
    let status = casebook::status(&path)?;
    let shown = Shown {
        case: &path,
        id: &status.info.id,
        name: &status.info.name,
        examiner: &status.info.examiner,
        public_key: &status.info.public_key,
        acts: status.acts,
        head: &status.head,
        last_ended: status.last_ended.as_deref(),
        sealed_by: status.sealed_by,
        exhibits: &status.exhibits,
        unfinished: status.open.iter().map(|open| format!("{open:?}")).collect(),
        torn_bytes: status.torn_bytes,
        set_aside: &status.set_aside,
        broken: status.broken.as_deref(),
    };
    args.format.record("case-status", &shown, || status_text(&status))?;
    let whole = status.broken.is_none() && status.torn_bytes == 0;
    Ok(if whole { Exit::Clean } else { Exit::Findings })
}

fn status_text(status: &Status) -> String {
    let info = &status.info;
    let mut text = format!(
        "{} ({}), examiner {}\ncreated {}; {} acts, last ended {}\nhead {}\n{} exhibits",
        info.name,
        info.id,
        info.examiner,
        info.created,
        status.acts,
        status.last_ended.as_deref().unwrap_or("never"),
        status.head,
        status.exhibits.len()
    );
    for exhibit in &status.exhibits {
        text.push_str(&format!("\n  {exhibit}"));
    }
    if let Some(act) = status.sealed_by {
        text.push_str(&format!("\nSEALED by act {act}"));
    }
    for open in &status.open {
        text.push_str(&format!("\nbegun and not ended: {open:?}"));
    }
    for left in &status.set_aside {
        text.push_str(&format!("\nleft by an interrupted session: {}", left.file));
        for exhibit in &left.exhibits {
            text.push_str(&format!("\n  it had made exhibits/{}", shown(exhibit)));
        }
    }
    if status.torn_bytes > 0 {
        text.push_str(&format!("\ntorn line of {} bytes at the end", status.torn_bytes));
    }
    if let Some(broken) = &status.broken {
        text.push_str(&paint(&format!("\nBROKEN: {broken}"), Colour::Red));
    }
    text
}
