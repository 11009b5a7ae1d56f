//! Turning a verb into an act of the case: who, where, by which clock, with which program.

use std::path::Path;

use casebook::{ActDraft, Case, Completion, Item, Mode, Outcome, Tool};
use guard::{Counters, Disk, Guard};
use serde_json::{Value, json};

use crate::clock;
use crate::facts;
use crate::failure::Failure;
use crate::session::Chosen;

/// How the program is being used.
pub(crate) fn mode(guard: &Guard) -> Mode {
    if guard.brokered() { Mode::Boot } else { Mode::Desk }
}

/// This very program, with the digest of its own file.
///
/// # Errors
/// If its own file cannot be read.
pub(crate) fn tool() -> Result<Tool, Failure> {
    // Read in blocks: the whole of it in memory would be the most that imaging takes.
    let file = Path::new("/proc/self/exe");
    let (digests, _) = hashing::digest_file(file, &hashing::Algorithms::sha256())
        .map_err(|problem| Failure::from(problem).while_doing("reading this program's own file"))?;
    Ok(Tool {
        name: "glovebox".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: digests.sha256_hex(),
    })
}

/// The machine this runs on, as an act names it.
pub(crate) fn host() -> Value {
    let machine = facts::machine();
    json!({
        "smbios": machine.smbios,
        "firmware": machine.firmware,
        "kernel": machine.kernel,
        "kernel_line": machine.kernel_line,
        "image_id": machine.image_id,
        // A clock that nobody can set, for the start of the act.
        "boot_id": facts::boot_id(),
        "since_boot_ms": clock::since_boot_ms(),
    })
}

/// An act that ends now.
pub(crate) fn end(guard: &Guard, outcome: Outcome) -> Completion {
    let mut end = Completion::new(clock::now(), outcome);
    end.since_boot_ms = clock::since_boot_ms();
    end.counters_after = counters(guard);
    end
}

/// The draft of an act that begins now.
///
/// # Errors
/// If the program cannot read its own file or the disks cannot be listed.
pub(crate) fn draft(
    who: &str,
    guard: &Guard,
    verb: &str,
    arguments: Value,
    inputs: Vec<Item>,
) -> Result<ActDraft, Failure> {
    Ok(ActDraft {
        who: who.to_owned(),
        mode: mode(guard),
        started: clock::now(),
        clock: clock::clock(),
        host: host(),
        tool: tool()?,
        verb: verb.to_owned(),
        arguments,
        inputs,
        counters_before: counters(guard),
    })
}

/// An act that was recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Its number.
    pub(crate) act: u64,
    /// Its hash: the head of the case.
    pub(crate) head: String,
}

/// Records an act that has no duration; its arguments may depend on who acts.
///
/// # Errors
/// If no case is in use, or it does not take the act.
pub(crate) fn record(
    chosen: &Chosen,
    verb: &str,
    who: Option<&str>,
    arguments: impl FnOnce(&str) -> Value,
) -> Result<Recorded, Failure> {
    let guard = Guard::connect()?;
    let (case, signer) = chosen.open()?;
    let who = who.map_or_else(|| self::who(&case), str::to_owned);
    let draft = draft(&who, &guard, verb, arguments(&who), Vec::new())?;
    let signed = case.record(draft, end(&guard, Outcome::done()), &signer)?;
    Ok(Recorded { act: signed.act()?.number, head: signed.hash().to_owned() })
}

/// Who acts, unless named otherwise: the examiner of the case.
pub(crate) fn who(case: &Case) -> String {
    case.info().examiner.clone()
}

/// What the kernel counted on every disk, by stable identity.
pub(crate) fn counters(guard: &Guard) -> Value {
    match guard.status() {
        Ok(status) => status.disks.iter().map(counters_of).collect(),
        Err(problem) => json!({ "problem": problem.to_string() }),
    }
}

fn counters_of(disk: &Disk) -> Value {
    json!({
        "disk": disk.name,
        "model": disk.model,
        "serial": disk.serial,
        "lock": disk.lock,
        "writes": disk.counters.writes,
        "sectors_written": disk.counters.sectors_written,
        "discards": disk.counters.discards,
        "sectors_discarded": disk.counters.sectors_discarded,
        "flushes": disk.counters.flushes,
    })
}

/// A disk as the input of an act.
pub(crate) fn disk_item(disk: &Disk) -> Item {
    Item {
        name: format!("disk {}", disk.name),
        size_bytes: Some(disk.size_bytes),
        digests: hashing::Digests::default(),
        facts: json!({
            "model": disk.model,
            "serial": disk.serial,
            "wwn": disk.wwn,
            "revision": disk.revision,
            "bus": disk.bus,
            "logical_block_bytes": disk.logical_block_bytes,
            "physical_block_bytes": disk.physical_block_bytes,
            "lock": disk.lock,
        }),
    }
}

/// True if nothing was written to or discarded from the disk since it was last locked.
pub(crate) fn untouched(disk: &Disk) -> bool {
    let Counters { writes, discards, sectors_written, sectors_discarded, .. } =
        disk.counters_at_lock;
    disk.counters.writes == writes
        && disk.counters.discards == discards
        && disk.counters.sectors_written == sectors_written
        && disk.counters.sectors_discarded == sectors_discarded
}
