//! T01 and T02: the whole zoo on each bus, from power-on to power-off, with every tool run over it.

use crate::boots::layers_in_force;
use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::error::{Result, test};
use machine::guest::Guest;
use machine::{Builder, Bus, Ledger, zoo};
use std::path::Path;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    Bus::ALL
        .iter()
        .map(|bus| {
            let name = format!("zoo/{}", bus.name());
            let label = name.clone();
            stage.trial(&name, move |stage, folder| silence(stage, folder, &label, *bus))
        })
        .collect()
}

fn silence(stage: &'static Stage, folder: &Path, name: &str, bus: Bus) -> Result<()> {
    let disks = zoo::attach(folder, bus)?;
    let ledger = Ledger::open(&disks)?;
    let expected = ledger.before("fat").unwrap_or_default().to_owned();
    let builder = Builder::new(stage.image()?.netboot()?).disks(disks.clone());
    let mut guest = Guest::boot(builder, folder)?;
    layers_in_force(&mut guest)?;
    let listed = guest.disks()?;
    for disk in &disks {
        if !listed.contains_key(&disk.serial) {
            return test(format!("disk {} on {} is not listed", disk.serial, bus.name()));
        }
    }
    guest.expect("glovebox survey --json >/dev/null", &[0, 1, 3])?;
    for disk in &disks {
        let named = listed.get(&disk.serial).and_then(|d| d["name"].as_str());
        // No installed system stands on these: what counts is that looking is safe.
        let line = format!("glovebox triage {} --json >/dev/null 2>&1", named.unwrap_or_default());
        guest.expect(&line, &[0, 1, 2, 3])?;
    }
    let fat = guest.name_of("FAT")?;
    let digest = guest.expect(&format!("glovebox hash {fat}"), &[0])?;
    if !digest.contains(&expected) {
        return test(format!("the disk's digest is not the host's {expected}: {digest}"));
    }
    dmesg_is_quiet(&mut guest)?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters).map(drop)
}

/// T11: the kernel never saw a write to a locked disk, not even a refused one.
fn dmesg_is_quiet(guest: &mut Guest) -> Result<()> {
    let transcript = guest.shell.serial.text(0);
    if transcript.contains("Trying to write to read-only") {
        return test("the kernel warned of a write to a read-only disk");
    }
    Ok(())
}
