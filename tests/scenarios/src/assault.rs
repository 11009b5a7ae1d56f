//! T12, T16 and T03: every way to write, tried from the tools' box, with all layers and with each
//! layer left out in turn; and a hibernated disk that nobody may wake.

use crate::stage::{Stage, zoo_disk};
use libtest_mimic::Trial;
use machine::error::{Doing, Result, test};
use machine::guest::Guest;
use machine::ledger::table;
use machine::{Builder, Bus, Disk, Ledger, digest};
use std::path::Path;

/// The layers a test image can leave out.
const LAYERS: [&str; 8] =
    ["blkroset", "caps", "uid", "mountns", "landlock", "cgroup", "seccomp", "descriptor"];
const DISK_BYTES: u64 = 16 << 20;
/// Where the hibernation signature stands, in bytes.
const SIGNATURE: usize = 4086;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    let mut all = vec![
        stage.trial("assault/every-layer", |stage, folder| {
            assault(stage, folder, "assault/every-layer", &[])
        }),
        stage.trial("control/assault-without-any-layer", control),
        stage.trial("hibernated/nobody-wakes-it", hibernated),
    ];
    for layer in LAYERS {
        let name = format!("knockout/{layer}");
        let label = name.clone();
        all.push(stage.trial(&name, move |stage, folder| assault(stage, folder, &label, &[layer])));
    }
    all
}

/// One disk on each bus, filled so that a discard shows in the digest too.
fn disks(folder: &Path) -> Result<Vec<Disk>> {
    Bus::ALL
        .iter()
        .map(|bus| {
            let id = format!("victim-{}", bus.name());
            let file = folder.join(format!("{id}.img"));
            let filled = vec![0x5au8; usize::try_from(DISK_BYTES).unwrap_or(0)];
            std::fs::write(&file, filled).doing("writing", &file)?;
            Ok(Disk::new(&id, file, *bus))
        })
        .collect()
}

/// Boots, lets `assault` loose on every disk and gives its tables.
fn run(stage: &Stage, folder: &Path, disks: &[Disk], without: &[&str]) -> Result<(Guest, String)> {
    let builder = Builder::new(stage.image()?.test_image(without)?).disks(disks.iter().cloned());
    let mut guest = Guest::boot(builder, folder)?;
    // All names first: with layers out, an assault may leave little to ask with.
    let names = disks.iter().map(|d| guest.name_of(&d.serial)).collect::<Result<Vec<_>>>()?;
    let mut text = String::new();
    for name in names {
        // 1: something was not refused (as expected with a layer out); the host judges the disk.
        let said = guest.expect(&format!("assault {name} 2>&1"), &[0, 1])?;
        if !said.contains(" attempts on ") {
            return test(format!("assault on {name} did not come to its end: {said}"));
        }
        let whole = without.len() < LAYERS.len();
        if whole
            && said.lines().any(|l| l.contains("pread after the assault") && l.ends_with("WRONG"))
        {
            return test(format!("{name} can no longer be read: {said}"));
        }
        text.push_str(&said);
    }
    Ok((guest, text))
}

fn assault(stage: &'static Stage, folder: &Path, name: &str, without: &[&str]) -> Result<()> {
    let disks = disks(folder)?;
    let ledger = Ledger::open(&disks)?;
    let (mut guest, text) = run(stage, folder, &disks, without)?;
    stage.report(name, &text)?;
    if without.is_empty() {
        let wrong: Vec<&str> = text.lines().filter(|l| l.ends_with("WRONG")).collect();
        if !wrong.is_empty() {
            return test(format!("not as it must be:\n{}", wrong.join("\n")));
        }
    } else {
        knocked_out(&mut guest)?;
    }
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters).map(drop)
}

/// The image must say itself that a layer is missing, or the knock-out did not happen.
fn knocked_out(guest: &mut Guest) -> Result<()> {
    let status = guest.expect("glovebox guard status --json", &[1])?;
    if status.contains("knocked-out") {
        return Ok(());
    }
    test("no layer was knocked out")
}

/// With every layer out the assault must reach the disks, or it proves nothing with them in.
fn control(stage: &'static Stage, folder: &Path) -> Result<()> {
    let name = "control/assault-without-any-layer";
    let disks = disks(folder)?;
    let ledger = Ledger::open(&disks)?;
    let (mut guest, text) = run(stage, folder, &disks, &LAYERS)?;
    stage.report(name, &text)?;
    let counters = guest.machine.counters()?;
    guest.machine.cut()?;
    let rows = ledger.close(&counters)?;
    stage.report(name, &table(&rows))?;
    if rows.iter().all(|row| !row.untouched()) {
        return Ok(());
    }
    test(format!("some disk withstood an assault with no layer in force:\n{}", table(&rows)))
}

/// T03: even with every layer of the box out, the kernel line keeps a hibernated disk as it is.
fn hibernated(stage: &'static Stage, folder: &Path) -> Result<()> {
    let name = "hibernated/nobody-wakes-it";
    let disk = zoo_disk(folder, "swap-hibernated", Bus::Nvme)?;
    let file = disk.file.clone();
    let ledger = Ledger::open(std::slice::from_ref(&disk))?;
    let serial = disk.serial.clone();
    let builder = Builder::new(stage.image()?.test_image(&LAYERS)?).disk(disk);
    let mut guest = Guest::boot(builder, folder)?;
    let kernel_name = guest.name_of(&serial)?;
    let text = guest.expect(&format!("assault {kernel_name} resume 2>&1"), &[0, 1])?;
    stage.report(name, &text)?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters)?;
    let bytes = std::fs::read(&file).doing("reading", &file)?;
    if bytes.get(SIGNATURE..SIGNATURE + 9) == Some(b"S1SUSPEND") {
        return Ok(());
    }
    test(format!("the hibernation signature is gone ({})", digest::of_bytes(&bytes)))
}
