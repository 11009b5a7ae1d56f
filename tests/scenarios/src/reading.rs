//! The zoo read by every verb: arrays and volumes assembled, journals replayed in memory, files read, and still no write.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::error::{Result, test};
use machine::guest::Guest;
use machine::{Builder, Bus, Ledger, digest, zoo};
use std::fmt::Write as _;
use std::path::Path;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    let name = "reading/every-verb-on-the-zoo";
    vec![stage.trial(name, move |stage, folder| every_verb(stage, folder, name))]
}

/// A file of a zoo disk: serial of the disk, label of the volume, path, last number of the `seq 1 N` it holds.
const FILES: [(&str, &str, &str, u32); 9] = [
    ("EXT4-DIRTY", "0", "/etc/numbers", 20_000),
    ("XFS-CLEAN", "0", "/numbers", 20_000),
    ("XFS-DIRTY", "0", "/numbers", 20_000),
    ("FAT", "0", "/NUMBERS.TXT", 2000),
    ("GPT-AUTO", "1", "/numbers", 2000),
    ("GPT-AUTO", "3", "/numbers", 2000),
    ("BTRFS-LOG", "0", "/numbers", 2000),
    ("MD-RAID1", "md/7", "/numbers", 2000),
    ("LVM-RAID1", "zoo/mirror", "/numbers", 2000),
];

fn every_verb(stage: &'static Stage, folder: &Path, name: &str) -> Result<()> {
    let disks = zoo::attach(folder, Bus::VirtioBlk)?;
    let ledger = Ledger::open(&disks)?;
    let builder = Builder::new(stage.image()?.netboot()?).disks(disks.clone());
    let mut guest = Guest::boot(builder, folder)?;
    for (serial, label, path, last) in FILES {
        let volume = format!("{}:{label}", guest.name_of(serial)?);
        let file = format!("{volume}:{path}");
        // A dirty volume may be read with problems; what counts is that the content is right.
        let said = guest.expect(&format!("glovebox hash {file}"), &[0, 3])?;
        let expected = digest::of_bytes(&sequence(last));
        if !said.contains(&expected) {
            return test(format!("{file} of {serial} is not {expected}: {said}"));
        }
        let said = guest.expect(&format!("glovebox cat {file} | tail -n 1"), &[0])?;
        if !said.lines().any(|line| line.trim() == last.to_string()) {
            return test(format!("the last line of {file} of {serial} is not {last}: {said}"));
        }
        let said = guest.expect(&format!("glovebox stat {file} --json"), &[0, 3])?;
        let size = format!("\"size_bytes\":{}", sequence(last).len());
        if !said.contains(&size) {
            return test(format!("stat {file} of {serial} lacks {size}: {said}"));
        }
        for line in [
            format!("glovebox ls {volume}:/"),
            format!("glovebox ls {volume}:/ --view raw"),
            format!("glovebox find {volume}:/ --type f --least-size 1000"),
            format!("glovebox bodyfile {volume} >/dev/null"),
        ] {
            guest.expect(&line, &[0, 3])?;
        }
    }
    for disk in &disks {
        let named = guest.name_of(&disk.serial)?;
        for line in [
            format!("glovebox ls {named}"),
            format!("glovebox map {named} --allocation >/dev/null"),
            format!("glovebox map {named} --sector 5000"),
            format!("glovebox bodyfile {named} --md5 --all-views >/dev/null"),
        ] {
            guest.expect(&line, &[0, 3])?;
        }
    }
    // What the crash left only in the log is there, and only in the recovered view.
    let btrfs = guest.name_of("BTRFS-LOG")?;
    guest.expect(&format!("glovebox cat {btrfs}:0:/new"), &[0])?;
    guest.expect(&format!("glovebox cat {btrfs}:0:/new --view raw"), &[2])?;
    let ext = guest.name_of("EXT4-DIRTY")?;
    guest.expect(&format!("glovebox cat {ext}:0:/etc/last"), &[0])?;
    let said = guest.expect(&format!("glovebox cp {ext}:0:/etc --to /tmp/copy"), &[0, 3])?;
    if !said.contains("read back") {
        return test(format!("the copies were not read back: {said}"));
    }
    guest.expect("cd /tmp/copy && sha256sum -c manifest.sha256", &[0])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters).map(drop)
}

/// What `seq 1 last` prints.
fn sequence(last: u32) -> Vec<u8> {
    let mut text = String::new();
    for number in 1..=last {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{number}");
    }
    text.into_bytes()
}
