//! `glovebox poweroff` and `glovebox reboot`: media are unmounted and every disk is left as it was.

use guard::{Guard, Power};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;

/// End the session and power the machine off
#[derive(Debug, clap::Args)]
pub(crate) struct OffArgs {}

/// End the session and restart the machine
#[derive(Debug, clap::Args)]
pub(crate) struct RestartArgs {}

impl OffArgs {
    /// Asks the broker to power off.
    ///
    /// # Errors
    /// If there is no broker.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        end(Power::Off)
    }
}

impl RestartArgs {
    /// Asks the broker to restart.
    ///
    /// # Errors
    /// If there is no broker.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        end(Power::Restart)
    }
}

fn end(how: Power) -> Result<Exit, Failure> {
    Guard::connect()?.power(how)?;
    say("The session ends; media are unmounted first.");
    Ok(Exit::Clean)
}
