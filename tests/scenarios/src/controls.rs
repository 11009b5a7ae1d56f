//! Negative controls: an ordinary system does ordinary things, and the oracle must see each one.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::error::{Result, test};
use machine::ledger::table;
use machine::workshop::Workshop;
use machine::{Bus, Counters, Ledger, digest, program, zoo};
use std::path::Path;

/// Zoo disk, what an ordinary system does to it, and which disks that must change.
const DEEDS: [(&str, &str); 8] = [
    ("ext4-dirty", "mount -o ro $D /mnt && umount /mnt"),
    ("xfs-clean", "mount -o ro $D /mnt && umount /mnt"),
    ("xfs-dirty", "mount -o ro $D /mnt && umount /mnt"),
    (
        "md-raid1",
        "mdadm --assemble --run /dev/md7 $D $E 2>&1 && mount -o ro /dev/md7 /mnt && umount /mnt; mdadm --stop /dev/md7 2>&1",
    ),
    ("lvm-raid1", "vgchange -ay zoo && vgchange -an zoo"),
    ("swap", "blockdev --setro $D && swapon -d $D; swapoff $D"),
    (
        "swap-hibernated",
        "blockdev --setro $D; (lsblk -ndo MAJ:MIN $D | tr -d ' ' >/sys/power/resume); true",
    ),
    ("btrfs-log", "mount -o ro $D /mnt && umount /mnt"),
];

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![
        stage.trial("control/ordinary-system-touches-the-zoo", touching),
        stage.trial("control/looking-touches-nothing", looking),
        stage.trial("control/canary-is-heard", canary),
        stage.trial("control/equal-bytes-are-counted", equal_bytes),
    ]
}

/// T01, T03: every deed is caught by the counters, and nearly all by the digest as well.
fn touching(stage: &'static Stage, folder: &Path) -> Result<()> {
    let disks = zoo::attach(folder, Bus::VirtioScsi)?;
    let ledger = Ledger::open(&disks)?;
    let mut workshop = Workshop::start(folder, &disks)?;
    workshop.run("modprobe -a raid1 dm-mod dm-raid")?;
    for (name, deed) in DEEDS {
        // The kernel numbers disks in the order they answer: they are found by serial number.
        let line = format!(
            "D=$(disk {}) && E=$(disk {}); {deed}",
            name.to_uppercase(),
            format!("{name}-2").to_uppercase()
        );
        workshop.run(&line)?;
    }
    let counters = workshop.machine.counters()?;
    workshop.cut()?;
    let rows = ledger.close(&counters)?;
    stage.report("control/ordinary-system-touches-the-zoo", &table(&rows))?;
    let unseen: Vec<&str> = rows
        .iter()
        .filter(|row| DEEDS.iter().any(|(name, _)| row.disk.id == *name) && row.untouched())
        .map(|row| row.disk.id.as_str())
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    test(format!("the oracle did not see what was done to {unseen:?}:\n{}", table(&rows)))
}

/// Reading alone must not trip the oracle, or it would prove nothing.
fn looking(stage: &'static Stage, folder: &Path) -> Result<()> {
    let disks = zoo::attach(folder, Bus::VirtioScsi)?;
    let ledger = Ledger::open(&disks)?;
    let mut workshop = Workshop::start(folder, &disks)?;
    workshop
        .run("for d in /dev/sd?; do blkid -p $d; head -c 1000000 $d | sha256sum; done; lsblk")?;
    let counters = workshop.machine.counters()?;
    workshop.cut()?;
    stage.prove("control/looking-touches-nothing", ledger, &counters).map(drop)
}

/// T32: a canary that does run is heard on the serial line.
fn canary(_stage: &'static Stage, folder: &Path) -> Result<()> {
    let program = program::build_static("assault", "canary")?;
    let file = folder.join("canary.img");
    let bytes = std::fs::read(&program)
        .map_err(|e| machine::Error::Machine(format!("reading the canary: {e}")))?;
    let size = bytes.len().next_multiple_of(1 << 20);
    let mut padded = bytes.clone();
    padded.resize(size, 0);
    std::fs::write(&file, padded)
        .map_err(|e| machine::Error::Machine(format!("writing the canary disk: {e}")))?;
    let disk = machine::Disk::new("canary", &file, Bus::VirtioScsi);
    let mut workshop = Workshop::start(folder, &[disk])?;
    let line = format!("head -c {} /dev/sda >/tmp/c; chmod +x /tmp/c; /tmp/c", bytes.len());
    let text = workshop.run(&line)?;
    workshop.cut()?;
    if text.contains(machine::sample::CANARY) {
        return Ok(());
    }
    test(format!("the canary ran and was not heard: {text}"))
}

/// A write of the bytes that are there: the digest is blind, the counters are not.
fn equal_bytes(stage: &'static Stage, folder: &Path) -> Result<()> {
    let file = folder.join("zeros.img");
    digest::sparse(&file, 8 << 20)?;
    let disk = machine::Disk::new("zeros", &file, Bus::VirtioScsi);
    let ledger = Ledger::open(std::slice::from_ref(&disk))?;
    let mut workshop = Workshop::start(folder, &[disk])?;
    workshop.run("dd if=/dev/zero of=/dev/sda bs=4096 count=1 oflag=direct conv=notrunc 2>&1")?;
    let counters = workshop.machine.counters()?;
    workshop.cut()?;
    let rows = ledger.close(&counters)?;
    stage.report("control/equal-bytes-are-counted", &table(&rows))?;
    let [row] = rows.as_slice() else { return test("one disk was attached") };
    if row.before == row.after && !row.untouched() && row.counters != Some(Counters::default()) {
        return Ok(());
    }
    test(format!("expected an equal digest and a counted write:\n{}", table(&rows)))
}
