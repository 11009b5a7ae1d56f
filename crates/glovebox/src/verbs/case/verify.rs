//! `glovebox case verify`: every act, signature and exhibit again.

use casebook::{PublicKey, VerifyOptions};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint};
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The head written down earlier: shows whether acts were cut off
    #[arg(long, value_name = "SHA256")]
    head: Option<String>,
    /// The public key written down earlier: shows a case signed anew
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Verified {
    acts: u64,
    exhibit_files: u64,
    head: String,
    public_key: String,
    holds: bool,
    problems: Vec<String>,
    interruptions: Vec<String>,
    /// Files in the case's folder that are no part of it.
    strangers: Vec<String>,
}

impl Args {
    /// Checks it.
    ///
    /// # Errors
    /// If there is no case to read.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        verify(self)
    }
}

fn verify(args: &Args) -> Result<Exit, Failure> {
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    let expected_key = args.public_key.as_deref().map(PublicKey::parse).transpose()?;
    let options = VerifyOptions { expected_head: args.head.clone(), expected_key, threads };
    let found = casebook::verify(&args.chosen.needed_path()?, &options)?;
    let verified = Verified {
        acts: found.acts,
        exhibit_files: found.exhibit_files,
        head: found.head.clone(),
        public_key: found.public_key.clone(),
        holds: found.holds(),
        problems: found.problems.iter().map(ToString::to_string).collect(),
        interruptions: found.interruptions.iter().map(ToString::to_string).collect(),
        strangers: found.strangers.iter().map(ToString::to_string).collect(),
    };
    args.format.record("case-verified", &verified, || {
        let mut text = format!(
            "{} acts and {} exhibit files checked with key {}\nhead {}",
            verified.acts, verified.exhibit_files, verified.public_key, verified.head
        );
        for line in &verified.interruptions {
            text.push_str(&format!("\ninterrupted: {line}"));
        }
        for line in &verified.strangers {
            text.push_str(&format!("\nnot of the case: {line}"));
        }
        for line in &verified.problems {
            text.push_str(&paint(&format!("\nDOES NOT HOLD: {line}"), Colour::Red));
        }
        if verified.holds {
            text.push_str("\nEverything recorded holds.");
        }
        text
    })?;
    Ok(if verified.holds { Exit::Clean } else { Exit::Findings })
}
