//! `glovebox survey`: the machine, its disks, and what is on them, without changing anything.

use evidence::disk::{DiskView, Volume};
use evidence::map::origin_text;
use evidence::stack::{Layer, Origin, Stack};
use evidence::{View, system};
use guard::{Disk, Guard, LockState};
use serde::Serialize;

use crate::exit::Exit;
use crate::facts::{self, Machine};
use crate::failure::Failure;
use crate::identity;
use crate::output::{Colour, Format, paint, say, size, table};
use crate::{clock, target};

/// Show this machine, its disks, and what is on them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Disks or images to look at (default: every disk)
    #[arg(value_name = "DISK|IMAGE")]
    targets: Vec<String>,
    /// The true time now, RFC 3339 in UTC: records the clock's error
    #[arg(long, value_name = "TIME")]
    true_time: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Examined<'a> {
    target: &'a str,
    disk: Option<&'a Disk>,
    /// A disk with the identity of the stick: the stick itself, or a copy of it.
    bears_stick_identity: bool,
    view: Option<&'a DiskView>,
    /// A drive with nothing in it.
    no_medium: bool,
    problem: Option<String>,
}

impl Args {
    /// Surveys.
    ///
    /// # Errors
    /// If the disks cannot be listed, or a named one cannot be opened.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        if let Some(time) = &self.true_time {
            clock::compare_with(time)?;
        }
        let machine = facts::machine();
        let status = guard.status()?;
        if self.targets.is_empty() {
            self.format.record("machine", &machine, || machine_text(&machine))?;
        }
        let names: Vec<String> = if self.targets.is_empty() {
            status.disks.iter().map(|disk| disk.name.to_string()).collect()
        } else {
            self.targets.clone()
        };
        let stick = identity::stick().and_then(|stick| identity::field(&stick, "disk_guid"));
        let mut exit = Exit::Clean;
        let mut bearers = Vec::new();
        let mut disks = Vec::new();
        let mut unopened = Vec::new();
        for name in &names {
            let known = status.disks.iter().find(|disk| disk.name.as_str() == name);
            if known.is_some_and(|disk| disk.size_bytes == 0) {
                unopened.push((name, None));
                continue;
            }
            match target::disk_source(name, &guard) {
                Ok(disk) => disks.push(disk),
                Err(failure) if self.targets.is_empty() => {
                    exit = Exit::Partial;
                    unopened.push((name, Some(failure.text())));
                }
                Err(failure) => return Err(failure),
            }
        }
        let stack = Stack::examine(&disks, &[]);
        for layer in stack.layers.iter().filter(|layer| layer.origin == Origin::Disk) {
            let view = &layer.view;
            let bears = view.table.disk_id.is_some()
                && view.table.disk_id.as_deref().map(str::to_lowercase)
                    == stick.as_deref().map(str::to_lowercase);
            if bears {
                bearers.push(layer.disk.clone());
            }
            let known = status.disks.iter().find(|disk| disk.name.as_str() == layer.disk);
            let examined = Examined {
                target: &layer.disk,
                disk: known,
                bears_stick_identity: bears,
                view: Some(view),
                no_medium: false,
                problem: None,
            };
            self.format.record("disk", &examined, || disk_text(&examined))?;
        }
        for (name, problem) in unopened {
            let examined = Examined {
                target: name,
                disk: status.disks.iter().find(|disk| disk.name.as_str() == name),
                bears_stick_identity: false,
                view: None,
                no_medium: problem.is_none(),
                problem,
            };
            self.format.record("disk", &examined, || disk_text(&examined))?;
        }
        self.above(&stack)?;
        if stack.problems().next().is_some() {
            exit = Exit::Partial;
        }
        if bearers.len() > 1 {
            say(&paint(
                &format!(
                    "WARNING: duplicate medium: {} all bear the identity of this stick. One of \
                     them is a copy; nothing is ever read from either to run the session.",
                    bearers.join(", ")
                ),
                Colour::Red,
            ));
        }
        Ok(exit)
    }

    /// What was put together from the disks: arrays, logical volumes, systems.
    fn above(&self, stack: &Stack) -> Result<(), Failure> {
        for layer in stack.layers.iter().filter(|layer| layer.origin != Origin::Disk) {
            self.format.record("layer", layer, || layer_text(layer))?;
        }
        for closed in &stack.closed {
            self.format.record("closed", closed, || {
                let text = format!("\n{}  {}", closed.address, closed.description);
                paint(&text, Colour::Yellow)
            })?;
        }
        for system in system::find(stack, View::Recovered) {
            self.format.record("system", &system, || {
                format!(
                    "\nsystem {} on {}: {}, host {}, {} further volumes in place, {} not reached",
                    system.name,
                    system.root,
                    system.identity.name,
                    system.identity.hostname.as_deref().unwrap_or("unknown"),
                    system.mounts.len(),
                    system.unreached.len()
                )
            })?;
        }
        Ok(())
    }
}

fn layer_text(layer: &Layer) -> String {
    let mut text = format!(
        "\n{}  {}  {}",
        paint(&format!("{}:{}", layer.disk, layer.label), Colour::Bold),
        size(layer.view.size_bytes),
        origin_text(&layer.origin)
    );
    for volume in &layer.view.volumes {
        text.push_str(&volume_text(&layer.view, volume));
    }
    for problem in layer.problems.iter().chain(layer.view.problems()) {
        text.push_str(&paint(&format!("\n  problem: {problem}"), Colour::Yellow));
    }
    text
}

fn machine_text(machine: &Machine) -> String {
    let get = |name: &str| machine.smbios.get(name).map_or("", String::as_str);
    let secure = machine.secure_boot.as_ref().map_or("none (BIOS)".to_owned(), |state| {
        let word = match state.enabled {
            Some(true) => "on",
            Some(false) => "off",
            None => "unknown",
        };
        let setup = if state.setup_mode == Some(true) { ", setup mode" } else { "" };
        let sbat = state.sbat_level.as_deref().unwrap_or("not set");
        format!("{word}{setup}; shim revocation level: {sbat}")
    });
    let offset = machine
        .clock_offset
        .map_or("not compared; give the true time with --true-time".to_owned(), |known| {
            format!("add {} ms for the true time (± {} ms)", known.offset_ms, known.error_ms)
        });
    let mut rows = vec![
        ("Machine", format!("{} {}", get("sys_vendor"), get("product_name"))),
        ("Serial", get("product_serial").to_owned()),
        ("Board", format!("{} {} {}", get("board_vendor"), get("board_name"), get("board_serial"))),
        (
            "Firmware",
            format!(
                "{} {} {} {}",
                machine.firmware,
                get("bios_vendor"),
                get("bios_version"),
                get("bios_date")
            ),
        ),
        ("Secure Boot", secure),
        ("TPM", machine.tpm.clone().unwrap_or_else(|| "none seen".to_owned())),
        ("Processor", machine.processor.clone()),
        ("Memory", size(machine.memory_bytes)),
        (
            "Clock",
            format!(
                "machine {}, system {}",
                machine.hardware_clock.as_deref().unwrap_or("unknown"),
                machine.system_clock
            ),
        ),
        ("Clock error", offset),
        ("Kernel", machine.kernel.clone()),
    ];
    for change in &machine.kernel_line_changes {
        rows.push(("BOOT LINE EDITED", change.clone()));
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table(&rows)
}

fn disk_text(examined: &Examined<'_>) -> String {
    let mut text = String::from("\n");
    match examined.disk {
        Some(disk) => {
            text.push_str(&paint(&disk.name.to_string(), Colour::Bold));
            text.push_str(&format!(
                "  {} [{}]  {}  {}  {} B sectors  {}; {} writes, {} discards",
                disk.model,
                disk.serial,
                disk.bus,
                size(disk.size_bytes),
                disk.logical_block_bytes,
                paint(
                    &disk.lock.to_string(),
                    if disk.lock == LockState::Locked { Colour::Green } else { Colour::Red }
                ),
                disk.counters.writes,
                disk.counters.discards
            ));
        }
        None => text.push_str(&paint(examined.target, Colour::Bold)),
    }
    if examined.bears_stick_identity {
        text.push_str("\n  bears the identity of this stick");
    }
    if examined.no_medium {
        text.push_str("\n  no medium in it");
    }
    if let Some(problem) = &examined.problem {
        text.push_str(&paint(&format!("\n  problem: {problem}"), Colour::Yellow));
    }
    let Some(view) = examined.view else { return text };
    text.push_str(&format!("\n  partition table: {:?}", view.table.scheme));
    for volume in &view.volumes {
        text.push_str(&volume_text(view, volume));
    }
    for problem in view.problems() {
        text.push_str(&paint(&format!("\n  problem: {problem}"), Colour::Yellow));
    }
    text
}

fn volume_text(view: &DiskView, volume: &Volume) -> String {
    let partition = volume
        .partition
        .and_then(|number| view.table.partitions.iter().find(|one| one.number == number));
    let number = volume.partition.map_or("whole".to_owned(), |number| number.to_string());
    let kind = partition.map_or_else(String::new, |one| {
        one.kind_name.map_or_else(|| format!("{:?}", one.kind), str::to_owned)
    });
    let mut text = format!(
        "\n  {number:>5}  {:>10}  at {:<12} {kind}",
        size(volume.length_bytes),
        volume.start_bytes
    );
    for content in &volume.contents {
        text.push_str(&format!("\n         {:?}", content.kind));
        if let Some(label) = &content.label {
            text.push_str(&format!(" \"{label}\""));
        }
        if let Some(uuid) = &content.uuid {
            text.push_str(&format!(" {uuid}"));
        }
        for note in &content.notes {
            text.push_str(&format!("; {note}"));
        }
    }
    if let Some(system) = &volume.system {
        text.push_str(&format!(
            "\n         system: {}, host {}, zone {}, kernels {}",
            system.name,
            system.hostname.as_deref().unwrap_or("unknown"),
            system.timezone.as_deref().unwrap_or("unknown"),
            if system.kernels.is_empty() { "none".to_owned() } else { system.kernels.join(" ") }
        ));
    }
    text
}
