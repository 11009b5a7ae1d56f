//! DA-AM-04, DA-AO-11 and on: a disk cloned to another disk in the booted stick, by permit, through the broker. Source and
//! bystander stay as they were; what a permit does not name is refused.

use crate::bad_input::open_case;
use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::demo::examiners_disk;
use machine::error::{Doing, Result, test};
use machine::guest::Guest;
use machine::{Builder, Bus, Disk, Ledger, digest};
use std::path::Path;

const SOURCE_BYTES: usize = 24 << 20;
const TARGET_BYTES: usize = 32 << 20;
const NAME: &str = "clone/only-the-disk-of-the-permit";

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial(NAME, clone)]
}

fn filled(folder: &Path, id: &str, bus: Bus, byte: u8, bytes: usize) -> Result<Disk> {
    let file = folder.join(format!("{id}.img"));
    let content: Vec<u8> =
        (0..bytes / 8).flat_map(|at| (at as u64 ^ u64::from(byte) << 56).to_le_bytes()).collect();
    std::fs::write(&file, content).doing("writing", &file)?;
    Ok(Disk::new(id, file, bus))
}

fn clone(stage: &'static Stage, folder: &Path) -> Result<()> {
    let source = filled(folder, "clone-source", Bus::Ahci, 1, SOURCE_BYTES)?;
    let bystander = filled(folder, "bystander", Bus::VirtioScsi, 2, TARGET_BYTES)?;
    let left = filled(folder, "target-left", Bus::Nvme, 3, TARGET_BYTES)?;
    let wiped = filled(folder, "target-wiped", Bus::VirtioScsi, 4, TARGET_BYTES)?;
    let small = filled(folder, "target-small", Bus::Usb, 5, 1 << 20)?;
    let ledger = Ledger::open(&[source.clone(), bystander.clone(), small.clone()])?;
    let expected = ledger.before(&source.id).unwrap_or_default().to_owned();
    let before = std::fs::read(&left.file).doing("reading", &left.file)?;
    let medium = examiners_disk(&folder.join("examiner.img"), 256 << 20)?;
    let all = [&source, &bystander, &left, &wiped, &small].map(Clone::clone);
    let builder = Builder::new(stage.image()?.netboot()?).disks(all).disk(Disk::new(
        "examiner",
        medium,
        Bus::Usb,
    ));
    let mut guest = Guest::boot(builder, folder)?;
    let case = open_case(&mut guest)?;
    let from = guest.name_of(&source.serial)?;
    let known = guest.disks()?;
    let permit = |disk: &Disk, serial: &str| {
        let of = |field: &str| known[&disk.serial][field].as_str().unwrap_or("none").to_owned();
        format!("--to-disk {} --to-model '{}' --to-serial '{serial}'", of("name"), of("model"))
    };
    let refused = |guest: &mut Guest, what: &str, line: &str, reason: &str| -> Result<()> {
        let said = guest.expect(&format!("{line} 2>&1"), &[2])?;
        stage.report(NAME, &format!("{what}: {said}"))?;
        if said.contains(reason) { Ok(()) } else { test(format!("{what}: {said}")) }
    };
    let image = format!("glovebox image {from} --case {case}");
    let line = format!("{image} {}", permit(&left, "ANOTHER"));
    refused(&mut guest, "another serial number", &line, "serial")?;
    let line = format!("{image} {}", permit(&source, &source.serial));
    refused(&mut guest, "the source itself", &line, "is the source")?;
    let line = format!("{image} {}", permit(&small, &small.serial));
    refused(&mut guest, "one that is too small", &line, "larger")?;
    let name = guest.name_of(&bystander.serial)?;
    let line = format!("glovebox image {name} --case {case} {}", permit(&source, &source.serial));
    refused(&mut guest, "what was imaged before", &line, "evidence")?;
    // The right ones, the second with its rest wiped.
    for (disk, more) in [(&left, ""), (&wiped, " --wipe-rest")] {
        let line = format!("{image} {}{more} --json", permit(disk, &disk.serial));
        let answer = guest.json(&line, &[0])?;
        let imaged = answer.iter().find(|record| record["type"] == "imaged");
        let copies =
            imaged.and_then(|record| record["copies"].as_array()).cloned().unwrap_or_default();
        let all_verified = copies.len() == 2 && copies.iter().all(|copy| copy["verified"] == true);
        if !all_verified
            || !imaged.is_some_and(|one| one["digests"].to_string().contains(&expected))
        {
            return test(format!("`{line}` made {imaged:?}"));
        }
        let lock = guest.disks()?[&disk.serial]["lock"].clone();
        if lock != "locked" {
            return test(format!("{} is {lock} after the clone", disk.id));
        }
    }
    // What failed or stopped is recorded as such: everything recorded holds.
    guest.expect(&format!("glovebox case verify --case {case} >/dev/null"), &[0])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(NAME, ledger, &counters)?;
    for (disk, rest) in [(&left, before.get(SOURCE_BYTES..)), (&wiped, None)] {
        let bytes = std::fs::read(&disk.file).doing("reading", &disk.file)?;
        let (copy, behind) = bytes.split_at(SOURCE_BYTES);
        if digest::of_bytes(copy) != expected {
            return test(format!("{} is not the source", disk.id));
        }
        let zeros = vec![0; behind.len()];
        if behind != rest.unwrap_or(&zeros) {
            return test(format!("what lies behind the source on {} is not as asked", disk.id));
        }
    }
    Ok(())
}
