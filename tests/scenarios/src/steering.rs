//! T17 and T18: evidence that looks like our own stick, or carries a boot loader's configuration
//! under every name one may look for, must not steer the boot.

use crate::boots::layers_in_force;
use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::error::{Doing, Result, test};
use machine::guest::Guest;
use machine::{Boot, Builder, Bus, Disk, Firmware, Ledger, MediumKind, fat};
use std::path::Path;
use std::time::Duration;

const FIRMWARE: [(Firmware, &str); 3] = [
    (Firmware::Bios, "steering/bios"),
    (Firmware::Uefi, "steering/uefi"),
    (Firmware::UefiSecureBoot, "steering/uefi-sb"),
];

/// A word of our kernel line, and what the impostor has in its place (of equal length).
const OURS: &[u8; 11] = b"nohibernate";
const THEIRS: &[u8; 11] = b"impostor=11";

/// What the spoof's configuration prints.
const SPOOFED: &str = "GBX-SPOOFED";
const SPOOF: &str = "serial --unit=0 --speed=115200\nterminal_output serial console\n\
                     echo GBX-SPOOFED\nsleep 20\nhalt\n";

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    let mut all: Vec<Trial> = FIRMWARE
        .iter()
        .map(|(firmware, name)| {
            stage.trial(name, move |stage, folder| steered(stage, folder, name, *firmware))
        })
        .collect();
    all.push(stage.trial("control/spoof-is-seen-when-it-boots", control));
    all
}

fn steered(stage: &'static Stage, folder: &Path, name: &str, firmware: Firmware) -> Result<()> {
    let mut disks = Vec::new();
    for (id, bus) in [("twin-sata", Bus::Ahci), ("twin-nvme", Bus::Nvme), ("twin-usb", Bus::Usb)] {
        let file = folder.join(format!("{id}.img"));
        impostor(&stage.image()?.file("glovebox.img"), &file)?;
        disks.push(Disk::new(id, file, bus));
    }
    let spoof = folder.join("spoof.img");
    fat::esp_disk(&spoof, &spoof_volume(&[])?)?;
    disks.push(Disk::new("spoof", spoof, Bus::Usb));
    let ledger = Ledger::open(&disks)?;
    let boot = stage.image()?.medium(firmware, MediumKind::Usb, folder)?;
    let mut guest = Guest::boot(Builder::new(boot).disks(disks), folder)?;
    let line = guest.expect("cat /proc/cmdline", &[0])?;
    let (ours, theirs) = (String::from_utf8_lossy(OURS), String::from_utf8_lossy(THEIRS));
    if !line.contains(&*ours) || line.contains(&*theirs) {
        return test(format!("an impostor's configuration was used: {line}"));
    }
    if guest.shell.serial.text(0).contains(SPOOFED) {
        return test("the spoofed configuration was run");
    }
    // The stick and its copies bear one identity: the examiner must be told.
    let said = guest.expect("glovebox survey 2>&1", &[0, 1, 3])?;
    if !said.contains("duplicate medium") {
        return test("the survey did not warn of a duplicate medium");
    }
    layers_in_force(&mut guest)?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters).map(drop)
}

/// A byte copy of our stick, same labels and identifiers, with another kernel line.
fn impostor(ours: &Path, file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(ours).doing("reading", ours)?;
    let places: Vec<usize> = bytes
        .windows(OURS.len())
        .enumerate()
        .filter(|(_, window)| window == OURS)
        .map(|(at, _)| at)
        .collect();
    if places.is_empty() {
        return machine::error::machine("the stick's kernel line was not found in its image");
    }
    for at in places {
        bytes[at..at + THEIRS.len()].copy_from_slice(THEIRS);
    }
    std::fs::write(file, bytes).doing("writing", file)
}

/// A FAT volume with the spoofed configuration at every place a loader is known to look.
fn spoof_volume(programs: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let text = SPOOF.as_bytes();
    let mut files: Vec<(&str, &[u8])> = vec![
        (".disk/info", b"Debian GNU/Linux spoof\n"),
        ("boot/grub/grub.cfg", text),
        ("EFI/BOOT/grub.cfg", text),
        ("EFI/debian/grub.cfg", text),
        ("grub/grub.cfg", text),
        ("grub.cfg", text),
        ("boot/grub/x86_64-efi/grub.cfg", text),
        ("live/filesystem.squashfs", b"hsqs"),
    ];
    files.extend_from_slice(programs);
    fat::volume(64 << 20, &files)
}

/// The same spoofed disk, with loaders on it and alone in the machine, does print its word.
fn control(stage: &'static Stage, folder: &Path) -> Result<()> {
    let stick = stage.image()?.file("glovebox.img");
    let shim = fat::read_from_esp(&stick, "EFI/BOOT/BOOTX64.EFI")?;
    let grub = fat::read_from_esp(&stick, "EFI/BOOT/grubx64.efi")?;
    let spoof = folder.join("spoof.img");
    let loaders: [(&str, &[u8]); 2] =
        [("EFI/BOOT/BOOTX64.EFI", &shim), ("EFI/BOOT/grubx64.efi", &grub)];
    fat::esp_disk(&spoof, &spoof_volume(&loaders)?)?;
    let boot = Boot::Firmware(Firmware::UefiSecureBoot, None);
    let mut machine =
        Builder::new(boot).disk(Disk::new("spoof", &spoof, Bus::Usb)).start(folder)?;
    let shell = machine.shell()?;
    shell.wait_for(SPOOFED, Duration::from_secs(180))?;
    machine.cut()
}
