//! Drives are asked who they are, how they fare and what they hide, on each bus, attached writable. The kernel's own view of
//! the same drives vouches for what was understood, the host for what was not altered.

use crate::bad_input::open_case;
use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::demo::examiners_disk;
use machine::error::{Doing, Result, test};
use machine::guest::Guest;
use machine::{Builder, Bus, Disk, Ledger};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const SECTORS: u64 = 32_768;
const NAME: &str = "health/drives-say-who-they-are";

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial(NAME, asked)]
}

/// What each drive says of itself, by the serial number the kernel knows.
pub(crate) fn of_disks(guest: &mut Guest) -> Result<BTreeMap<String, Value>> {
    let answer = guest.json("glovebox guard status --health --json", &[0, 1])?;
    let disks = answer.first().and_then(|status| status["disks"].as_array()).cloned();
    let told = answer.iter().filter(|record| record["type"] == "disk-health");
    let by_name: BTreeMap<&str, &Value> =
        told.filter_map(|one| Some((one["disk"].as_str()?, one))).collect();
    Ok(disks
        .unwrap_or_default()
        .iter()
        .filter_map(|disk| {
            let health = by_name.get(disk["name"].as_str()?)?;
            Some((disk["serial"].as_str()?.to_owned(), (*health).clone()))
        })
        .collect())
}

fn asked(stage: &'static Stage, folder: &Path) -> Result<()> {
    let mut disks = Vec::new();
    for bus in Bus::ALL {
        let id = format!("asked-{}", bus.name());
        let file = folder.join(format!("{id}.img"));
        let filled = vec![0xa7_u8; usize::try_from(SECTORS * 512).unwrap_or(0)];
        std::fs::write(&file, filled).doing("writing", &file)?;
        disks.push(Disk::new(&id, file, bus));
    }
    let large = folder.join("asked-4kn.img");
    std::fs::write(&large, vec![0x11_u8; 16 << 20]).doing("writing", &large)?;
    disks.push(Disk::new("asked-4kn", large, Bus::Nvme).sectors_of(4096));
    let ledger = Ledger::open(&disks)?;
    let medium = examiners_disk(&folder.join("examiner.img"), 128 << 20)?;
    let examiner = Disk::new("examiner", medium, Bus::Usb);
    let builder = Builder::new(stage.image()?.netboot()?).disks(disks.clone()).disk(examiner);
    let mut guest = Guest::boot(builder, folder)?;
    let known = guest.disks()?;
    let mut told = BTreeMap::new();
    // Often: what reading alters would show.
    for _ in 0..5 {
        told = of_disks(&mut guest)?;
    }
    for disk in &disks {
        let (Some(health), Some(kernel)) = (told.get(&disk.serial), known.get(&disk.serial)) else {
            return test(format!("{} is not told: {told:?}", disk.id));
        };
        stage.report(NAME, &format!("{health}"))?;
        agrees(disk, health, kernel)?;
    }
    // An imaging asks before and after, and the case holds both.
    let case = open_case(&mut guest)?;
    let name = guest.name_of("ASKED-AHCI")?;
    let answer =
        guest.json(&format!("glovebox image {name} --case {case} --label asked --json"), &[0])?;
    let imaged =
        answer.iter().find(|record| record["type"] == "imaged").cloned().unwrap_or_default();
    for time in ["before", "after"] {
        if imaged["health"][time]["smart"]["is_passed"] != true {
            return test(format!("the imaging tells nothing of the drive {time}: {imaged}"));
        }
    }
    if imaged["health"]["changes"].as_array().is_none_or(|changes| !changes.is_empty()) {
        return test(format!("reading changed the drive: {}", imaged["health"]["changes"]));
    }
    guest.expect(&format!("glovebox case verify --case {case} >/dev/null"), &[0, 1])?;
    let kept = guest.expect(&format!("cat {case}/exhibits/001-asked/health-1.json"), &[0])?;
    if !kept.contains("ata-identify") || !kept.contains("\"after\"") {
        return test(format!("the answers are not kept: {kept}"));
    }
    let acts = guest.expect(&format!("cat {case}/acts.jsonl"), &[0])?;
    if !acts.contains("health_before") || !acts.contains("health_after") {
        return test("the act does not hold what the drive said");
    }
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(NAME, ledger, &counters).map(drop)
}

/// What was understood of the drive's answers is what the kernel understood of them, and what QEMU was told to give.
fn agrees(disk: &Disk, health: &Value, kernel: &Value) -> Result<()> {
    let wrong =
        |what: &str| test(format!("{what} of {}: {health}, by the kernel {kernel}", disk.id));
    if health["hidden"].as_array().is_none_or(|hidden| !hidden.is_empty()) {
        return wrong("something hidden");
    }
    if health["problems"].as_array().is_none_or(|problems| !problems.is_empty()) {
        return wrong("problems");
    }
    if disk.bus == Bus::VirtioBlk {
        // Nothing can be asked of it.
        return if health["identity"]["serial"].is_null() { Ok(()) } else { wrong("an answer") };
    }
    let identity = &health["identity"];
    for (ours, theirs) in [("model", "model"), ("serial", "serial"), ("firmware", "revision")] {
        if identity[ours] != kernel[theirs] {
            return wrong(ours);
        }
    }
    let capacity = &health["capacity"];
    let bytes = capacity["drive_sectors"].as_u64().zip(capacity["sector_bytes"].as_u64());
    if bytes.map(|(sectors, each)| sectors * each) != kernel["size_bytes"].as_u64() {
        return wrong("size");
    }
    let passed = &health["smart"]["is_passed"];
    match disk.bus {
        Bus::Ahci if capacity["native_sectors"] != SECTORS || *passed != true => {
            wrong("SMART or native size")
        }
        Bus::Nvme if *passed != true || health["smart"]["host_write_commands"] != 0 => {
            wrong("health log")
        }
        _ => Ok(()),
    }
}
