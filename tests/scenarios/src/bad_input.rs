//! Bad input: disks that are broken or lie, and an examiner's disk that fills up or is pulled. In
//! each case a clear message, the session goes on, and the case keeps what it had.

use crate::stage::{Stage, zoo_disk};
use libtest_mimic::Trial;
use machine::demo::examiners_disk;
use machine::error::{Doing, Result, test};
use machine::guest::{COMMAND_LIMIT, Guest, records};
use machine::zoo::bad;
use machine::{Builder, Bus, Disk, Ledger, digest, process};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![
        stage.trial("bad/broken-and-lying-disks", broken),
        stage.trial("bad/output-disk-fills-up", full),
        stage.trial("bad/output-disk-is-pulled", pulled),
    ]
}

pub(crate) fn open_case(guest: &mut Guest) -> Result<String> {
    let place = guest.unlock("EXAMINER")?;
    let create = format!("glovebox case create bad --on {place} --examiner E --no-passphrase");
    guest.expect(&create, &[0])?;
    Ok(format!("{place}/bad"))
}

fn broken(stage: &'static Stage, folder: &Path) -> Result<()> {
    let disks = bad::attach(folder, Bus::VirtioScsi)?;
    let ledger = Ledger::open(&disks)?;
    let medium = examiners_disk(&folder.join("examiner.img"), 256 << 20)?;
    let builder = Builder::new(stage.image()?.netboot()?).disks(disks.clone()).disk(Disk::new(
        "examiner",
        medium,
        Bus::Usb,
    ));
    let mut guest = Guest::boot(builder, folder)?;
    let survey = guest.expect("glovebox survey --json", &[0, 1, 3])?;
    records(&survey)?;
    for disk in &disks {
        let name = guest.name_of(&disk.serial)?;
        let said = guest.expect(&format!("glovebox triage {name} 2>&1"), &[0, 1, 2, 3])?;
        if said.trim().is_empty() || said.contains("panicked") {
            return test(format!("triage of {} said {said:?}", disk.id));
        }
    }
    let case = open_case(&mut guest)?;
    let source = guest.name_of("BAD-SECTORS")?;
    let answer = guest.json(&format!("glovebox image {source} --case {case} --json"), &[3])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    let Some(disk) = disks.iter().find(|d| !d.bad_sectors.is_empty()) else {
        return machine::error::machine("no disk with bad sectors");
    };
    exactly_the_bad_sectors(disk, &answer)?;
    stage.prove("bad/broken-and-lying-disks", ledger, &counters).map(drop)
}

/// Those sectors and no others are listed and zero in the copy (T35).
pub(crate) fn exactly_the_bad_sectors(disk: &Disk, answer: &[serde_json::Value]) -> Result<()> {
    let Some(imaged) = answer.iter().find(|a| a["type"] == "imaged") else {
        return test(format!("no record of the image: {answer:?}"));
    };
    let mut listed = BTreeSet::new();
    for range in imaged["unreadable"].as_array().into_iter().flatten() {
        let of = |name: &str| range[name].as_u64().unwrap_or(0);
        let first = of("offset_bytes") / 512;
        listed.extend((0..of("length_bytes") / 512).map(|n| first + n));
    }
    let bad: BTreeSet<u64> = disk.bad_sectors.iter().copied().collect();
    if listed != bad {
        return test(format!("sectors {bad:?} are bad, {listed:?} were listed"));
    }
    let mut bytes = std::fs::read(&disk.file).doing("reading", &disk.file)?;
    for sector in bad {
        let at = usize::try_from(sector * 512).unwrap_or(usize::MAX);
        bytes[at..at + 512].fill(0);
    }
    let expected = digest::of_bytes(&bytes);
    if imaged["digests"].to_string().contains(&expected) {
        return Ok(());
    }
    test(format!("the copy's digest is {}, expected {expected}", imaged["digests"]))
}

fn full(stage: &'static Stage, folder: &Path) -> Result<()> {
    let source = zoo_disk(folder, "ext4-dirty", Bus::Ahci)?;
    let ledger = Ledger::open(std::slice::from_ref(&source))?;
    let medium = examiners_disk(&folder.join("examiner.img"), 24 << 20)?;
    let builder = Builder::new(stage.image()?.netboot()?).disk(source).disk(Disk::new(
        "examiner",
        medium,
        Bus::Usb,
    ));
    let mut guest = Guest::boot(builder, folder)?;
    let case = open_case(&mut guest)?;
    let name = guest.name_of("EXT4-DIRTY")?;
    let said = guest.expect(&format!("glovebox image {name} --case {case} 2>&1"), &[2])?;
    stage.report("bad/output-disk-fills-up", &said)?;
    if !said.to_lowercase().contains("space") && !said.to_lowercase().contains("full") {
        return test(format!("the message does not say that the disk is full: {said}"));
    }
    guest.expect(&format!("glovebox case status --case {case}"), &[0, 1])?;
    guest.expect(&format!("ls -l {case}/acts.jsonl"), &[0])?;
    guest.expect("glovebox survey --json >/dev/null", &[0, 1, 3])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove("bad/output-disk-fills-up", ledger, &counters).map(drop)
}

fn pulled(stage: &'static Stage, folder: &Path) -> Result<()> {
    let source = zoo_disk(folder, "xfs-clean", Bus::Ahci)?;
    let ledger = Ledger::open(std::slice::from_ref(&source))?;
    let medium = examiners_disk(&folder.join("examiner.img"), 512 << 20)?;
    let builder = Builder::new(stage.image()?.netboot()?).disk(source).disk(Disk::new(
        "examiner",
        &medium,
        Bus::Usb,
    ));
    let mut guest = Guest::boot(builder, folder)?;
    let case = open_case(&mut guest)?;
    let name = guest.name_of("XFS-CLEAN")?;
    let line = format!("glovebox image {name} --case {case} 2>&1");
    let pending = guest.shell.begin(&line)?;
    std::thread::sleep(Duration::from_secs(2));
    guest.machine.pull("examiner")?;
    let out = guest.shell.finish(&pending, COMMAND_LIMIT)?;
    stage.report("bad/output-disk-is-pulled", &format!("{} {}", out.code, out.text))?;
    if out.code == 0 || out.text.contains("panicked") {
        return test(format!("the output was pulled, and: {}", out.text));
    }
    guest.expect("glovebox survey --json >/dev/null", &[0, 1, 3])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove("bad/output-disk-is-pulled", ledger, &counters)?;
    // What was in the case is still on the medium, after the repair its own system would do.
    let path = medium.to_string_lossy();
    let repair = format!("e2fsck -fy '{path}' >/dev/null 2>&1; [ $? -lt 4 ]");
    process::run("sh", &["-c", &repair])?;
    let inside: Vec<&str> = case.split('/').skip(3).collect();
    let acts = format!("cat /{}/acts.jsonl", inside.join("/"));
    let kept = process::run("debugfs", &["-R", &acts, &path])?;
    if kept.lines().any(|line| line.contains("case create")) {
        return Ok(());
    }
    test(format!("the act that created the case is gone: {kept}"))
}
