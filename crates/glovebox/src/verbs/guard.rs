//! `glovebox guard`: the disks' locks, and unlocking the examiner's own medium.

use guard::{Disk, DiskName, Guard, LayerState, LockState, Mount, Status, Unlock};
use serde::Serialize;
use serde_json::json;

use crate::acting;
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health;
use crate::output::{Colour, Format, paint, say, size, table};
use crate::session::Chosen;

/// Show and change which disks can be written to
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show every disk's lock, its write counters, and the safety layers
    Status(StatusArgs),
    /// Make one disk writable: your own medium, never evidence
    Unlock(UnlockArgs),
    /// Unmount a disk and lock it again
    Lock(LockArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Also ask each drive who it is, how it fares, and what it hides
    #[arg(long)]
    health: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct UnlockArgs {
    /// The disk, such as sdb
    disk: DiskName,
    /// Its model, typed as the status shows it ("none" if it has none)
    #[arg(long)]
    model: String,
    /// Its serial number, typed as the status shows it ("none" if it has none)
    #[arg(long)]
    serial: String,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, clap::Args)]
struct LockArgs {
    /// The disk, such as sdb
    disk: DiskName,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    chosen: Chosen,
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If there is no broker where one is needed, or it refuses.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        match &self.what {
            What::Status(args) => status(args, &guard),
            What::Unlock(args) => unlock(args, &guard),
            What::Lock(args) => lock(args, &guard),
        }
    }
}

fn status(args: &StatusArgs, guard: &Guard) -> Result<Exit, Failure> {
    let status = guard.status()?;
    args.format.record("guard-status", &status, || shown(&status))?;
    if args.health {
        for disk in &status.disks {
            let found = health::ask(guard, disk);
            let shown = health::Shown::new(disk, &found);
            args.format.record("disk-health", &shown, || format!("\n{}", shown.text()))?;
        }
    }
    Ok(if sound(&status) { Exit::Clean } else { Exit::Findings })
}

/// All layers in force, no lock failed, nothing written to a locked disk.
fn sound(status: &Status) -> bool {
    status.layers.iter().all(|layer| layer.state == LayerState::Active)
        && status.disks.iter().all(|disk| match disk.lock {
            LockState::Locked => acting::untouched(disk),
            LockState::Failed => false,
            LockState::Unlocked | LockState::Unguarded => true,
        })
}

fn shown(status: &Status) -> String {
    let heading = ["disk", "bus", "model", "serial", "size", "lock", "writes", "discards"];
    let mut rows = vec![heading.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()];
    rows.extend(status.disks.iter().map(|disk| {
        vec![
            disk.name.to_string(),
            disk.bus.clone(),
            disk.model.clone(),
            disk.serial.clone(),
            size(disk.size_bytes),
            lock_text(disk),
            disk.counters.writes.to_string(),
            disk.counters.discards.to_string(),
        ]
    }));
    let mut text = table(&rows);
    for disk in &status.disks {
        for mount in &disk.mounts {
            text.push_str(&format!("\n{}: {} at {}", mount.device, mount.kind, mount.writable));
        }
        for problem in &disk.problems {
            text.push_str(&paint(&format!("\n{}: {problem}", disk.name), Colour::Red));
        }
    }
    if status.brokered {
        text.push_str("\n\nSafety layers");
        for layer in &status.layers {
            let (word, colour) = match layer.state {
                LayerState::Active => ("in force", Colour::Green),
                LayerState::Failed => ("FAILED", Colour::Red),
                LayerState::KnockedOut => ("KNOCKED OUT", Colour::Red),
            };
            let word = paint(&format!("{word:<11}"), colour);
            text.push_str(&format!("\n  {word}  {:<18} {}", layer.name, layer.detail));
        }
        text.push_str(&format!("\n\nRequests refused since start: {}", status.refusals));
    } else {
        text.push_str(
            "\n\nNo broker: this is not the booted stick, and nothing locks these disks.",
        );
    }
    for problem in &status.problems {
        text.push_str(&format!("\nproblem: {problem}"));
    }
    text
}

fn lock_text(disk: &Disk) -> String {
    let source = if disk.exhibit_source { " (evidence)" } else { "" };
    format!("{}{source}", disk.lock)
}

#[derive(Serialize)]
struct Unlocked<'a> {
    disk: &'a Disk,
    mounts: &'a [Mount],
}

fn unlock(args: &UnlockArgs, guard: &Guard) -> Result<Exit, Failure> {
    let request =
        Unlock { disk: args.disk.clone(), model: args.model.clone(), serial: args.serial.clone() };
    let (disk, mounts) = guard.unlock(request).map_err(|problem| {
        Failure::from(problem)
            .hint("glovebox guard status shows model and serial of every disk")
            .hint(format!("glovebox guard unlock {} --model MODEL --serial SERIAL", args.disk))
    })?;
    record(&args.chosen, guard, "guard unlock", &disk)?;
    args.format.record("guard-unlocked", &Unlocked { disk: &disk, mounts: &mounts }, || {
        let lines: Vec<String> = mounts
            .iter()
            .map(|mount| format!("{} ({}) is at {}", mount.device, mount.kind, mount.writable))
            .collect();
        format!("{} is UNLOCKED.\n{}", disk.name, lines.join("\n"))
    })?;
    Ok(Exit::Clean)
}

fn lock(args: &LockArgs, guard: &Guard) -> Result<Exit, Failure> {
    // Recorded first: the case may lie on the very disk.
    let disk = guard.disk(&args.disk)?;
    record(&args.chosen, guard, "guard lock", &disk)?;
    let disk = guard.lock(&args.disk)?;
    args.format.record("guard-locked", &disk, || format!("{} is locked.", disk.name))?;
    Ok(Exit::Clean)
}

/// Unlocking is an act of the case, if one is in use; the first unlock comes before there can be
/// one and is told in the act that creates the case.
fn record(chosen: &Chosen, guard: &Guard, verb: &str, disk: &Disk) -> Result<(), Failure> {
    if chosen.path().is_none_or(|path| !path.exists()) {
        return Ok(());
    }
    let (case, signer) = match chosen.open() {
        Ok(open) => open,
        // A named case must take the record; one merely remembered may be locked away by now.
        Err(failure) if chosen.case.is_some() => return Err(failure),
        Err(failure) => {
            say(&format!("not recorded in the case in use: {}", failure.text()));
            return Ok(());
        }
    };
    let arguments = json!({ "disk": disk.name, "model": disk.model, "serial": disk.serial });
    let who = acting::who(&case);
    let draft = acting::draft(&who, guard, verb, arguments, vec![acting::disk_item(disk)])?;
    let mut end = casebook::Completion::new(clock::now(), casebook::Outcome::done());
    end.counters_after = acting::counters(guard);
    case.record(draft, end, &signer)?;
    Ok(())
}
