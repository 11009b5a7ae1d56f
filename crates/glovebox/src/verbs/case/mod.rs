//! `glovebox case`: the record of the incident, on the examiner's own medium.

mod attach;
mod clock;
mod copy;
mod create;
mod custody;
mod exhibit;
mod export;
mod note;
mod open;
mod seal;
mod status;
mod verify;

use std::path::Path;

use casebook::Act;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, paint, say};

/// Keep the record of an incident: acts, exhibits, custody
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a new case on your own medium
    Create(create::Args),
    /// Show what the case holds and whether it is whole
    Status(status::Args),
    /// Add a note: who, what, where, when, why, how
    Note(note::Args),
    /// Copy photographs and other files into a new exhibit
    Attach(attach::Args),
    /// List the exhibits
    Exhibit(exhibit::Args),
    /// Record who holds an exhibit, or show it
    Custody(custody::Args),
    /// Compare the machine's clocks with a time you give
    Clock(clock::Args),
    /// Copy the case to a second medium and verify the copy
    Copy(copy::Args),
    /// Check every act and exhibit of the case
    Verify(verify::Args),
    /// Close the case and make a bag of it to give away
    Seal(seal::Args),
    /// Use a case, open a bag, or open a sealed case again
    Open(open::Args),
    /// Write acts or exhibits as a table
    Export(export::Args),
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If the case cannot be made, opened or read.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Create(args) => args.run(),
            What::Status(args) => args.run(),
            What::Note(args) => args.run(),
            What::Attach(args) => args.run(),
            What::Exhibit(args) => args.run(),
            What::Custody(args) => args.run(),
            What::Clock(args) => args.run(),
            What::Copy(args) => args.run(),
            What::Verify(args) => args.run(),
            What::Seal(args) => args.run(),
            What::Open(args) => args.run(),
            What::Export(args) => args.run(),
        }
    }
}

/// The acts of a case as they stand; what cannot be read of them is said.
pub(crate) fn acts(case: &Path) -> Result<Vec<Act>, Failure> {
    if let Some(broken) = casebook::status(case)?.broken {
        say(&paint(&format!("BROKEN: {broken}; only acts before it are used"), Colour::Red));
    }
    let mut acts = Vec::new();
    for signed in casebook::read_acts(case)? {
        acts.push(signed.act()?);
    }
    Ok(acts)
}

/// A text from the case that must not steer the terminal.
pub(crate) fn shown(text: &str) -> String {
    hashing::escape_name(text.as_bytes())
}
