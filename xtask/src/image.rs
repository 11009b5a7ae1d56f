//! `cargo xtask image`: shows what a description resolves to, and renews what it pins.

use anyhow::Result;
use clap::Subcommand;

use crate::{config, debs, files};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the resolved form of an image description
    Print {
        /// Name of a file `image/NAME.toml`
        #[arg(default_value = "glovebox")]
        name: String,
    },
    /// Pin the newest Debian packages of the suite and print what changed
    Update {
        /// Debian mirror to use instead of the one this machine is set up with
        #[arg(long, value_name = "URI")]
        mirror: Option<String>,
    },
}

pub(crate) fn run(command: &Command) -> Result<()> {
    let folder = files::project_root()?.join("image");
    match command {
        Command::Print { name } => {
            let image = config::image(&folder, name)?;
            print!("{}", toml::to_string_pretty(&image)?);
            Ok(())
        }
        Command::Update { mirror } => {
            let image = config::image(&folder, "glovebox")?;
            debs::renew(&image.debian, &folder.join("inputs.lock"), mirror.as_deref())
        }
    }
}
