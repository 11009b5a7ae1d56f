//! `glovebox case export`: acts and exhibits for spreadsheets and other programs.

use std::io::{self, Write};

use casebook::export;

use super::acts;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to write to standard output
    #[arg(value_enum)]
    what: What,
    /// In which form
    #[arg(long = "as", value_enum, default_value = "csv")]
    form: Form,
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// Every act
    Acts,
    /// Every file of every exhibit
    Exhibits,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// A table for spreadsheets
    Csv,
    /// One JSON array
    Json,
}

impl Args {
    /// Writes it.
    ///
    /// # Errors
    /// If the case cannot be read or standard output cannot be written.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let acts = acts(&self.chosen.needed_path()?)?;
        let mut out = io::stdout().lock();
        match (self.what, self.form) {
            (What::Acts, Form::Csv) => out.write_all(export::acts_csv(&acts).as_bytes())?,
            (What::Exhibits, Form::Csv) => out.write_all(export::exhibits_csv(&acts).as_bytes())?,
            (What::Acts, Form::Json) => serde_json::to_writer_pretty(&mut out, &acts)?,
            (What::Exhibits, Form::Json) => {
                let files: Vec<_> = acts
                    .iter()
                    .flat_map(|act| &act.outputs)
                    .filter(|item| item.name.starts_with("exhibits/"))
                    .collect();
                serde_json::to_writer_pretty(&mut out, &files)?;
            }
        }
        if matches!(self.form, Form::Json) {
            writeln!(out)?;
        }
        out.flush()?;
        Ok(Exit::Clean)
    }
}
