//! The stick comes up on every firmware, as USB disk and as CD, and leaves medium, firmware and
//! evidence as they were (T22, T26, and the network's silence of T25).

use crate::stage::{Stage, zoo_disk};
use libtest_mimic::Trial;
use machine::builder::{MAC, pcap};
use machine::error::{Doing, Result, test};
use machine::guest::{Guest, READY};
use machine::running::End;
use machine::{
    Boot, Builder, Bus, Disk, Firmware, Ledger, Medium, MediumKind, digest, nvram, pcap as capture,
};
use std::path::Path;
use std::time::Duration;

const PAIRS: [(Firmware, MediumKind, &str); 6] = [
    (Firmware::Uefi, MediumKind::Usb, "boot/uefi-usb"),
    (Firmware::UefiSecureBoot, MediumKind::UsbReadOnly, "boot/uefi-sb-usb-protected"),
    (Firmware::Bios, MediumKind::Usb, "boot/bios-usb"),
    (Firmware::Uefi, MediumKind::Cd, "boot/uefi-cd"),
    (Firmware::UefiSecureBoot, MediumKind::Cd, "boot/uefi-sb-cd"),
    (Firmware::Bios, MediumKind::Cd, "boot/bios-cd"),
];

/// Firmware variables that a boot may change: what shim keeps its revocation level in, and what the
/// firmware itself writes on every boot (the baseline of the same trial names those).
const MAY_CHANGE: [&str; 1] = ["SbatLevel"];

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    let mut all: Vec<Trial> = PAIRS
        .iter()
        .map(|(firmware, kind, name)| {
            stage.trial(name, move |stage, folder| boot(stage, folder, name, *firmware, *kind))
        })
        .collect();
    all.push(stage.trial("boot/yardstick-plain-kernel", yardstick));
    all
}

fn boot(
    stage: &'static Stage,
    folder: &Path,
    name: &str,
    firmware: Firmware,
    kind: MediumKind,
) -> Result<()> {
    let evidence = zoo_disk(folder, "ext4-dirty", Bus::Ahci)?;
    let ledger = Ledger::open(std::slice::from_ref(&evidence))?;
    let baseline = variables_without_us(firmware, kind, &evidence, &folder.join("baseline"))?;
    let boot = stage.image()?.medium(firmware, kind, folder)?;
    let builder = Builder::new(boot).disk(evidence).network();
    let mut guest = Guest::boot(builder, folder)?;
    stage.report(name, &format!("ready in {:.1} s", guest.ready.as_secs_f64()))?;
    layers_in_force(&mut guest)?;
    if kind != MediumKind::Cd {
        medium_untouched(&mut guest)?;
        // Everything lives in memory: the stick can go (T26).
        if kind == MediumKind::Usb {
            guest.machine.pull(machine::builder::MEDIUM)?;
        }
    }
    guest.expect("glovebox survey --json >/dev/null", &[0, 1, 3])?;
    // One pair restarts instead: both ways out must leave the disks alone (T07).
    let counters = if firmware == Firmware::Bios && kind == MediumKind::Cd {
        guest.end("reboot", End::Reset)?
    } else {
        guest.power_off()?
    };
    let vars = guest.machine.vars.clone();
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters)?;
    let frames = capture::frames_from(&pcap(folder), MAC)?;
    if frames > 0 {
        return test(format!("{frames} network frames were sent before any link was asked for"));
    }
    let (Some(vars), Some(baseline)) = (vars, baseline) else { return Ok(()) };
    let changes = nvram::changes(&baseline, &nvram::read(&vars)?);
    stage.report(name, &format!("firmware variables: {changes:?}"))?;
    let bad: Vec<&String> =
        changes.iter().filter(|c| !MAY_CHANGE.iter().any(|m| c.ends_with(m))).collect();
    if bad.is_empty() { Ok(()) } else { test(format!("firmware variables changed: {bad:?}")) }
}

/// Variables after the same machine came up once with an empty medium in the place of ours: the
/// firmware's own habits, such as a boot entry for each device it sees.
fn variables_without_us(
    firmware: Firmware,
    kind: MediumKind,
    evidence: &Disk,
    folder: &Path,
) -> Result<Option<nvram::Variables>> {
    if firmware == Firmware::Bios {
        return Ok(None);
    }
    std::fs::create_dir_all(folder).doing("creating", folder)?;
    let file = folder.join("empty.img");
    digest::sparse(&file, 64 << 20)?;
    let boot = Boot::Firmware(firmware, Some(Medium { kind, file }));
    let builder = Builder::new(boot).disk(evidence.clone()).network();
    let mut machine = builder.start(folder)?;
    let shell = machine.shell()?;
    // Nothing can be booted: the firmware says so, or opens its own shell. Then it is done.
    shell.serial.expect("end of the firmware's start", 0, Duration::from_secs(120), |text| {
        ["Shell>", "No bootable option", "Press ESC"].iter().any(|t| text.contains(t)).then_some(())
    })?;
    let vars = machine.vars.clone();
    machine.cut()?;
    vars.map(|path| nvram::read(&path)).transpose()
}

/// Every safety layer says it is in force, and every disk is locked.
pub(crate) fn layers_in_force(guest: &mut Guest) -> Result<()> {
    let status = guest.json("glovebox guard status --json", &[0, 1])?;
    let Some(status) = status.first() else { return test("no guard status") };
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    if list("layers").is_empty() {
        return test("no safety layers are listed");
    }
    for layer in list("layers") {
        if layer["state"] != "active" {
            return test(format!("safety layer not in force: {layer}"));
        }
    }
    for disk in list("disks") {
        if disk["lock"] != "locked" {
            return test(format!("disk not locked: {} is {}", disk["name"], disk["lock"]));
        }
    }
    Ok(())
}

fn medium_untouched(guest: &mut Guest) -> Result<()> {
    let counters = guest.machine.medium()?;
    if counters.untouched() {
        return Ok(());
    }
    test(format!("the stick wrote to itself: {counters:?}"))
}

/// The time a plain Debian kernel with a plain initial root takes to a shell in the same QEMU.
fn yardstick(stage: &'static Stage, folder: &Path) -> Result<()> {
    let workshop = machine::workshop::Workshop::start(folder, &[])?;
    let plain = workshop.machine.started.elapsed();
    workshop.cut()?;
    let again = folder.join("netboot");
    std::fs::create_dir_all(&again).doing("creating", &again)?;
    let guest = Guest::boot(Builder::new(stage.image()?.netboot()?), &again)?;
    let ours = guest.ready;
    guest.machine.cut()?;
    stage.report(
        "boot/yardstick-plain-kernel",
        &format!(
            "plain Debian kernel and initramfs to a shell: {:.1} s; Glovebox to {READY:?}: {:.1} s",
            plain.as_secs_f64(),
            ours.as_secs_f64()
        ),
    )
}
