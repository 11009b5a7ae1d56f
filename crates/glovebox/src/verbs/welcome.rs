//! `glovebox welcome`: the greeting on each console.

use guard::{Guard, LayerState, LockState};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, size, table};

/// Show what this is, the disks and their locks, and what to type
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
}

impl Args {
    /// Shows the greeting.
    ///
    /// # Errors
    /// If the broker cannot be asked.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let status = Guard::connect()?.status()?;
        self.format.record("welcome", &status, || greeting(&status))?;
        Ok(Exit::Clean)
    }
}

fn greeting(status: &guard::Status) -> String {
    let mut text = format!(
        "\n{} {}: examine this machine's disks without changing one bit of them.\n",
        paint("Glovebox", Colour::Bold),
        env!("CARGO_PKG_VERSION"),
    );
    if status.disks.is_empty() {
        text.push_str("\nNo disk is attached. Plug one in: it is locked as it appears.\n");
    } else {
        let rows: Vec<Vec<String>> = status
            .disks
            .iter()
            .map(|disk| {
                vec![
                    format!("  {}", disk.name),
                    size(disk.size_bytes),
                    disk.bus.clone(),
                    disk.model.clone(),
                    disk.serial.clone(),
                    disk.lock.to_string(),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&rows));
        text.push('\n');
    }
    let not_locked = status.disks.iter().filter(|disk| disk.lock != LockState::Locked).count();
    let failed: Vec<&str> = status
        .layers
        .iter()
        .filter(|layer| layer.state != LayerState::Active)
        .map(|layer| layer.name.as_str())
        .collect();
    if status.brokered && failed.is_empty() && not_locked == 0 {
        let calm = "\nEvery disk is locked and every safety layer is in force.";
        text.push_str(&paint(calm, Colour::Green));
    }
    if !failed.is_empty() {
        let alarm = format!("\nSAFETY LAYERS NOT IN FORCE: {}", failed.join(", "));
        text.push_str(&paint(&alarm, Colour::Red));
    }
    for problem in status.problems.iter().take(5) {
        text.push_str(&format!("\nproblem: {problem}"));
    }
    text.push_str(
        "\nThe network is off. To begin, type: glovebox help\n\
         First steps: glovebox survey, glovebox triage DISK, glovebox poweroff\n",
    );
    text
}
