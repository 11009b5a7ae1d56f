//! T04 and T25: disks that come and go while the stick runs are locked like all others; and with a
//! network card in the machine, not one frame is sent.

use crate::boots::layers_in_force;
use crate::stage::{Stage, zoo_disk};
use libtest_mimic::Trial;
use machine::builder::{MAC, pcap};
use machine::error::{Result, test};
use machine::guest::{COMMAND_LIMIT, Guest, Presence};
use machine::{Builder, Bus, Ledger, pcap as capture};
use std::path::Path;
use std::time::Duration;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial("plug/disks-come-and-go", come_and_go)]
}

fn come_and_go(stage: &'static Stage, folder: &Path) -> Result<()> {
    let usb = zoo_disk(folder, "ext4-dirty", Bus::Usb)?;
    let scsi = zoo_disk(folder, "xfs-clean", Bus::VirtioScsi)?;
    let ledger = Ledger::open(&[usb.clone(), scsi.clone()])?;
    let builder = Builder::new(stage.image()?.netboot()?).network();
    let mut guest = Guest::boot(builder, folder)?;
    for round in 1..=2 {
        for disk in [&usb, &scsi] {
            guest.machine.plug(disk)?;
            guest.wait_disk(&disk.serial, Presence::There)?;
        }
        layers_in_force(&mut guest)?;
        guest.expect("glovebox survey --json >/dev/null", &[0, 1, 3])?;
        if round == 2 {
            break;
        }
        for disk in [&usb, &scsi] {
            guest.machine.pull(&disk.id)?;
            guest.wait_disk(&disk.serial, Presence::Gone)?;
        }
    }
    // Pulled in the middle of being read: an error in words, and the session goes on.
    let name = guest.name_of(&scsi.serial)?;
    let pending = guest.shell.begin(&format!("glovebox hash {name} 2>&1"))?;
    std::thread::sleep(Duration::from_millis(1500));
    guest.machine.pull(&scsi.id)?;
    let out = guest.shell.finish(&pending, COMMAND_LIMIT)?;
    stage.report(
        "plug/disks-come-and-go",
        &format!("pulled while read: {} {}", out.code, out.text),
    )?;
    if out.code == 0 {
        return test(format!(
            "the disk went while it was read, and nothing was said: {}",
            out.text
        ));
    }
    guest.expect("glovebox survey --json >/dev/null", &[0, 1, 3])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    let frames = capture::frames_from(&pcap(folder), MAC)?;
    if frames > 0 {
        return test(format!("{frames} network frames were sent"));
    }
    stage.prove("plug/disks-come-and-go", ledger, &counters).map(drop)
}
