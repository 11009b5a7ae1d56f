//! `glovebox case exhibit`: what was taken in, by which act, and who holds it.

use std::collections::BTreeMap;

use casebook::{Timestamp, custody};
use serde::Serialize;

use super::{acts, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, size, table};
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the exhibits with act, size and holder
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Line {
    exhibit: String,
    act: Option<u64>,
    verb: String,
    made: Option<Timestamp>,
    files: u64,
    bytes: u64,
    holder: Option<String>,
}

impl Args {
    /// Lists them.
    ///
    /// # Errors
    /// If there is no case to read.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let What::List(args) = &self.what;
        let acts = acts(&args.chosen.needed_path()?)?;
        let mut held: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for item in acts.iter().flat_map(|act| &act.outputs) {
            let name = item.name.strip_prefix("exhibits/").and_then(|name| name.split_once('/'));
            let Some((exhibit, _)) = name else { continue };
            let (files, bytes) = held.entry(exhibit).or_default();
            *files += 1;
            *bytes = bytes.saturating_add(item.size_bytes.unwrap_or(0));
        }
        let mut rows = Vec::new();
        for chain in custody::chains(&acts) {
            let (files, bytes) = held.get(chain.exhibit.as_str()).copied().unwrap_or_default();
            let act = acts.iter().find(|act| Some(act.number) == chain.made_by_act);
            let line = Line {
                act: chain.made_by_act,
                verb: act.map_or_else(String::new, |act| act.draft.verb.clone()),
                made: chain.made.clone(),
                files,
                bytes,
                holder: chain.holder().map(str::to_owned),
                exhibit: chain.exhibit,
            };
            args.format.record("exhibit", &line, String::new)?;
            rows.push(vec![
                shown(&line.exhibit),
                line.act.map_or_else(String::new, |act| format!("act {act}")),
                shown(&line.verb),
                line.made.as_ref().map_or_else(String::new, ToString::to_string),
                format!("{files} files, {}", size(bytes)),
                line.holder.as_deref().map_or_else(String::new, shown),
            ]);
        }
        if !args.format.is_json() {
            println!("{}", table(&rows));
        }
        Ok(Exit::Clean)
    }
}
