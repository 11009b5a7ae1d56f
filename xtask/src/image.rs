//! `cargo xtask image`: shows what a description resolves to.

use anyhow::Result;
use clap::Subcommand;

use crate::{config, files};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the resolved form of an image description
    Print {
        /// Name of a file `image/NAME.toml`
        #[arg(default_value = "glovebox")]
        name: String,
    },
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Print { name } => {
            let image = config::image(&files::project_root()?.join("image"), name)?;
            print!("{}", toml::to_string_pretty(&image)?);
            Ok(())
        }
    }
}
