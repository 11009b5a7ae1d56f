//! `glovebox image`: a disk read once into any number of copies, hashed on the way, each read back; and what is done with
//! images later. One file per subcommand; `take` is the one without a name.

mod cat;
mod convert;
mod elsewhere;
mod in_case;
mod info;
mod place;
mod record;
mod resume;
mod store;
mod stored;
mod subject;
mod take;
mod told;
mod verify;
mod working;

use crate::exit::Exit;
use crate::failure::Failure;

/// Image a disk into the case: one read, any formats, each copy read back
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    take: take::Take,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Resume(resume::Args),
    Verify(verify::Args),
    Info(info::Args),
    Convert(convert::Args),
    Cat(cat::Args),
}

impl Args {
    /// Images, or does what the subcommand says.
    ///
    /// # Errors
    /// As the subcommand.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.verb {
            Some(Verb::Resume(args)) => args.run(),
            Some(Verb::Verify(args)) => args.run(),
            Some(Verb::Info(args)) => args.run(),
            Some(Verb::Convert(args)) => args.run(),
            Some(Verb::Cat(args)) => args.run(),
            None => self.take.run(),
        }
    }
}
