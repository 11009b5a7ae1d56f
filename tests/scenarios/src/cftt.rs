//! Acquisition after NIST's assertions (CFTT "Digital Data Acquisition Tool", Federated Testing): which row of
//! docs/cftt.md each trial stands for is told there. Several disks share one machine, because booting takes most of the time.

use crate::bad_input::{exactly_the_bad_sectors, open_case};
use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::demo::examiners_disk;
use machine::error::{Doing, Result, test};
use machine::guest::{COMMAND_LIMIT, Guest, Presence, records};
use machine::{Builder, Bus, Disk, Ledger, digest, process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The first sector, the last before and the first behind a track of 63, one of eight, two neighbours over a MiB.
const BAD: [u64; 6] = [0, 62, 63, 1003, 2047, 2048];
/// Sectors of the disks of ordinary size; one more makes the odd one.
const SECTORS: u64 = 8192;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![
        stage.trial("cftt/faulty-sectors-on-every-bus", faulty),
        stage.trial("cftt/places-and-disks-that-go", going),
        stage.trial("cftt/a-place-that-cannot-be-written", unwritable),
        stage.trial("cftt/beyond-two-tebibytes", beyond),
    ]
}

/// Every sector says its number, so a shift shows; no two disks are alike.
fn pattern(seed: u64, sectors: u64) -> Vec<u8> {
    (0..sectors)
        .flat_map(|number| {
            let mut sector = [0xa5_u8; 512];
            sector[..8].copy_from_slice(&number.to_le_bytes());
            sector[8..16].copy_from_slice(&(seed ^ number.wrapping_mul(0x9e37_79b9)).to_le_bytes());
            sector
        })
        .collect()
}

fn disk(folder: &Path, id: &str, bus: Bus, sectors: u64) -> Result<Disk> {
    let file = folder.join(format!("{id}.img"));
    let seed = id.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    std::fs::write(&file, pattern(seed, sectors)).doing("writing", &file)?;
    Ok(Disk::new(id, file, bus))
}

/// DA-AM-01, 02, 06, 08, 09, 10; DA-AO-01, 02, 23, 24.
fn faulty(stage: &'static Stage, folder: &Path) -> Result<()> {
    let mut disks = Vec::new();
    for (id, bus) in [
        ("cftt-ahci", Bus::Ahci),
        ("cftt-scsi", Bus::VirtioScsi),
        ("cftt-nvme", Bus::Nvme),
        ("cftt-usb", Bus::Usb),
        ("cftt-virtio", Bus::VirtioBlk),
    ] {
        let bad = [&BAD[..], &[SECTORS - 1]].concat();
        disks.push(disk(folder, id, bus, SECTORS)?.bad(&bad));
    }
    disks.push(disk(folder, "cftt-odd", Bus::Ahci, SECTORS + 1)?.bad(&[SECTORS]));
    // A sector of 4096 bytes fails as a whole.
    let eights: Vec<u64> =
        [8, 512, SECTORS / 8 - 1].iter().flat_map(|n| n * 8..n * 8 + 8).collect();
    let large = disk(folder, "cftt-4kn", Bus::VirtioScsi, SECTORS)?;
    disks.push(large.sectors_of(4096).bad(&eights));
    let ledger = Ledger::open(&disks)?;
    let medium = examiners_disk(&folder.join("examiner.img"), 256 << 20)?;
    let examiner = Disk::new("examiner", &medium, Bus::Usb);
    let builder = Builder::new(stage.image()?.netboot()?).disks(disks.clone()).disk(examiner);
    let mut guest = Guest::boot(builder, folder)?;
    let case = open_case(&mut guest)?;
    for disk in &disks {
        let name = guest.name_of(&disk.serial)?;
        let line = format!(
            "glovebox image {name} --case {case} --format raw,e01 --label {} --json",
            disk.id
        );
        let answer = guest.json(&line, &[3])?;
        exactly_the_bad_sectors(disk, &answer)?;
        let imaged = answer.iter().find(|record| record["type"] == "imaged");
        let size = imaged.and_then(|record| record["size_bytes"].as_u64());
        let real = std::fs::metadata(&disk.file).doing("looking at", &disk.file)?.len();
        if size != Some(real) {
            return test(format!("{} has {real} bytes, the record says {size:?}", disk.id));
        }
    }
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove("cftt/faulty-sectors-on-every-bus", ledger, &counters)?;
    // What lies on the examiner's medium, judged on the host by others.
    for (number, disk) in disks.iter().enumerate() {
        let exhibit = format!("/bad/exhibits/{:03}-{}", number + 1, disk.id);
        let perfect = perfect(disk)?;
        let raw = dump(&medium, &find(&medium, &exhibit)?, "image.raw", folder)?;
        if digest::of_file(&raw)? != perfect {
            return test(format!("image.raw of {} on the medium is not the disk", disk.id));
        }
        let e01 = dump(&medium, &find(&medium, &exhibit)?, "image.E01", folder)?;
        let (from, to) = (e01.to_string_lossy(), folder.join("exported"));
        let target = to.to_string_lossy();
        process::run("ewfexport", &["-q", "-u", "-f", "raw", "-t", &target, &from])?;
        let exported = folder.join("exported.raw");
        if digest::of_file(&exported)? != perfect {
            return test(format!("image.E01 of {} on the medium is not the disk", disk.id));
        }
        for file in [raw, e01, exported] {
            std::fs::remove_file(&file).doing("removing", &file)?;
        }
    }
    Ok(())
}

/// Digest of the disk with zeros where it cannot be read.
fn perfect(disk: &Disk) -> Result<String> {
    let mut bytes = std::fs::read(&disk.file).doing("reading", &disk.file)?;
    for sector in &disk.bad_sectors {
        let at = usize::try_from(sector * 512).unwrap_or(usize::MAX);
        bytes[at..at + 512].fill(0);
    }
    Ok(digest::of_bytes(&bytes))
}

/// The folder of an exhibit on the medium, below the folder the broker gave out.
fn find(medium: &Path, exhibit: &str) -> Result<String> {
    let path = medium.to_string_lossy();
    for place in ["", "/glovebox"] {
        let folder = format!("{place}{exhibit}");
        let listed = process::run("debugfs", &["-R", &format!("ls -p {folder}"), &path])?;
        if listed.contains("image") {
            return Ok(folder);
        }
    }
    let root = process::run("debugfs", &["-R", "ls -p /", &path])?;
    test(format!("no {exhibit} on the medium: {root}"))
}

fn dump(medium: &Path, exhibit: &str, name: &str, folder: &Path) -> Result<std::path::PathBuf> {
    let to = folder.join(format!("dumped-{name}"));
    let order = format!("dump {exhibit}/{name} {}", to.display());
    process::run("debugfs", &["-R", &order, &medium.to_string_lossy()])?;
    Ok(to)
}

/// DA-AO-03, 04: a place that is full or pulled; and a source that is pulled, comes back and is gone on with.
fn going(stage: &'static Stage, folder: &Path) -> Result<()> {
    let source = disk(folder, "cftt-pulled", Bus::VirtioScsi, 65_536)?;
    let ledger = Ledger::open(std::slice::from_ref(&source))?;
    let expected = perfect(&source)?;
    let medium = |id: &str, bytes| {
        let file = examiners_disk(&folder.join(format!("{id}.img")), bytes)?;
        Ok(Disk::new(id, file, Bus::Usb))
    };
    let builder = Builder::new(stage.image()?.netboot()?).disk(source.clone()).disks([
        medium("examiner", 256 << 20)?,
        medium("small", 16 << 20)?,
        medium("second", 256 << 20)?,
    ]);
    let mut guest = Guest::boot(builder, folder)?;
    let case = open_case(&mut guest)?;
    let (small, second) = (guest.unlock("SMALL")?, guest.unlock("SECOND")?);
    let name = guest.name_of(&source.serial)?;
    let line = |label: &str, more: &str| {
        format!("glovebox image {name} --case {case} --label {label} {more} --json")
    };
    // Full: the copy there ends alone, and says so.
    let answer = guest.json(&line("full", &format!("--to {small}")), &[3])?;
    two_copies(&answer, &expected, "space")?;
    // Pulled: the same.
    slow_down(&mut guest, &source)?;
    let before = guest.machine.counters_of(&source.id)?.rd_bytes;
    let pending = guest.shell.begin(&line("away", &format!("--to {second} 2>/dev/null")))?;
    wait_until_read(&mut guest, &source, before)?;
    guest.machine.pull("second")?;
    let out = guest.shell.finish(&pending, COMMAND_LIMIT)?;
    stage.report("cftt/places-and-disks-that-go", &format!("{} {}", out.code, out.text))?;
    if out.code != 3 {
        return test(format!("a place was pulled, and the end was {}: {}", out.code, out.text));
    }
    two_copies(&records(&out.text)?, &expected, "")?;
    // The source is pulled, comes back, and is gone on with.
    let before = guest.machine.counters_of(&source.id)?.rd_bytes;
    let pending = guest.shell.begin(&line("lost", "2>/dev/null"))?;
    wait_until_read(&mut guest, &source, before)?;
    guest.machine.pull(&source.id)?;
    let out = guest.shell.finish(&pending, COMMAND_LIMIT)?;
    stage.report("cftt/places-and-disks-that-go", &format!("{} {}", out.code, out.text))?;
    let answer = records(&out.text)?;
    let lost = answer.iter().find(|record| record["type"] == "imaged");
    let Some(lost) = lost.filter(|lost| lost["ending"] == "SourceLost") else {
        return test(format!("the source was pulled, and: {} {}", out.code, out.text));
    };
    if lost["unreadable_bytes"] != 0 || lost["can_resume"] != true {
        return test(format!("a lost source has no bad sectors and is gone on with: {lost}"));
    }
    guest.machine.plug(&source)?;
    guest.wait_disk(&source.serial, Presence::There)?;
    let name = guest.name_of(&source.serial)?;
    let resume = format!("glovebox image resume 3 --source {name} --case {case} --json");
    let answer = guest.json(&resume, &[0])?;
    let imaged = answer.iter().find(|record| record["type"] == "imaged");
    if !imaged.is_some_and(|record| record["digests"].to_string().contains(&expected)) {
        return test(format!("gone on with, the digest is not {expected}: {answer:?}"));
    }
    // What failed or stopped is recorded as such: everything recorded holds.
    guest.expect(&format!("glovebox case verify --case {case} >/dev/null"), &[0])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove("cftt/places-and-disks-that-go", ledger, &counters).map(drop)
}

/// DA-AO-03: a place whose sectors refuse to be written fails alone; the other copy is whole.
fn unwritable(stage: &'static Stage, folder: &Path) -> Result<()> {
    let name = "cftt/a-place-that-cannot-be-written";
    let source = disk(folder, "cftt-steady", Bus::VirtioScsi, 196_608)?;
    let ledger = Ledger::open(std::slice::from_ref(&source))?;
    let expected = perfect(&source)?;
    let medium = |id: &str| {
        let file = examiners_disk(&folder.join(format!("{id}.img")), 256 << 20)?;
        Ok(Disk::new(id, file, Bus::Usb))
    };
    // One sector in each MiB behind the first 40: 96 MiB cannot pass between them.
    let refusing: Vec<u64> = (40..256).map(|mebibyte| mebibyte * 2048 + 1024).collect();
    let failing = medium("failing")?.unwritable(&refusing);
    let disks = [medium("examiner")?, failing];
    let builder = Builder::new(stage.image()?.netboot()?).disk(source.clone()).disks(disks);
    let mut guest = Guest::boot(builder, folder)?;
    let case = open_case(&mut guest)?;
    let place = guest.unlock("FAILING")?;
    let kernel_name = guest.name_of(&source.serial)?;
    let line = format!("glovebox image {kernel_name} --case {case} --to {place} --json");
    let answer = guest.json(&line, &[3])?;
    let imaged = answer.iter().find(|record| record["type"] == "imaged");
    stage.report(name, &format!("{}", imaged.map_or(&Value::Null, |all| &all["copies"])))?;
    two_copies(&answer, &expected, "")?;
    // What failed or stopped is recorded as such: everything recorded holds.
    guest.expect(&format!("glovebox case verify --case {case} >/dev/null"), &[0])?;
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    stage.prove(name, ledger, &counters)?;
    let exhibit =
        find(&folder.join("examiner.img"), "/bad/exhibits/001-cftt-steady").or_else(|_| {
            find(
                &folder.join("examiner.img"),
                &format!("/bad/exhibits/001-{kernel_name}-CFTT-STEADY"),
            )
        })?;
    let whole = dump(&folder.join("examiner.img"), &exhibit, "image.raw", folder)?;
    let is_whole = digest::of_file(&whole)? == expected;
    std::fs::remove_file(&whole).doing("removing", &whole)?;
    if is_whole { Ok(()) } else { test("the copy on the good medium is not the disk") }
}

/// Two and a half TiB, sparse.
const LARGE_BYTES: u64 = 5 << 39;
/// Where the partition lies: behind 2^32 sectors.
const FAR_BYTES: u64 = (2 << 40) + (300 << 30);
const FAR_LENGTH: u64 = 32 << 20;

/// DA-AM-06: what lies behind 2^32 sectors is read at its place, on two buses; the drive tells all 48 bits of its size.
fn beyond(stage: &'static Stage, folder: &Path) -> Result<()> {
    let name = "cftt/beyond-two-tebibytes";
    // A file system of others, so that a wrong place cannot look right.
    let inner = folder.join("inner.ext4");
    digest::sparse(&inner, FAR_LENGTH)?;
    let content = folder.join("content");
    std::fs::create_dir_all(&content).doing("creating", &content)?;
    let planted = pattern(99, 20_000);
    std::fs::write(content.join("far.bin"), &planted).doing("writing", &content)?;
    let (from, to) = (content.to_string_lossy(), inner.to_string_lossy());
    process::run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", &from, &to])?;
    let bytes = std::fs::read(&inner).doing("reading", &inner)?;
    let mut disks = Vec::new();
    for (id, bus) in [("large-ahci", Bus::Ahci), ("large-scsi", Bus::VirtioScsi)] {
        let file = folder.join(format!("{id}.img"));
        digest::sparse(&file, LARGE_BYTES)?;
        machine::fat::linux_partition(&file, FAR_BYTES, FAR_LENGTH)?;
        machine::fat::write_at(&file, FAR_BYTES, &bytes)?;
        disks.push(Disk::new(id, file, bus));
    }
    let allocated: Vec<u64> = disks.iter().map(allocation).collect::<Result<_>>()?;
    let mut guest =
        Guest::boot(Builder::new(stage.image()?.netboot()?).disks(disks.clone()), folder)?;
    for disk in &disks {
        let kernel_name = guest.name_of(&disk.serial)?;
        let expected = digest::of_bytes(&planted);
        let line = format!("glovebox hash {kernel_name}:1 --json");
        let answer = guest.json(&line, &[0])?;
        if !format!("{answer:?}").contains(&expected) {
            return test(format!("`{line}` is not {expected}: {answer:?}"));
        }
        let line = format!("glovebox cat {kernel_name}:1:/far.bin | sha256sum");
        let far = guest.expect(&line, &[0])?;
        if !far.contains(&expected) {
            return test(format!("`{line}` gave {far}"));
        }
    }
    let told = crate::health::of_disks(&mut guest)?;
    for disk in &disks {
        let sectors =
            told.get(&disk.serial).map(|health| health["capacity"]["drive_sectors"].clone());
        if sectors != Some(json!(LARGE_BYTES / 512)) {
            return test(format!("{} says it has {sectors:?} sectors", disk.id));
        }
    }
    let native = &told["LARGE-AHCI"]["capacity"]["native_sectors"];
    if *native != json!(LARGE_BYTES / 512) {
        return test(format!("the native maximum of 48 bits is {native}"));
    }
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    // A digest of 2.5 TiB would take hours: nothing was written by the counters, nothing was allocated in the sparse file,
    // and what was planted still stands.
    for (disk, before) in disks.iter().zip(allocated) {
        let touched = counters.get(&disk.id).is_none_or(|counted| !counted.untouched());
        if touched || allocation(disk)? != before {
            return test(format!("{} was touched: {:?}", disk.id, counters.get(&disk.id)));
        }
        let after = machine::digest::part_of_file(&disk.file, FAR_BYTES, FAR_LENGTH)?;
        if after != digest::of_bytes(&bytes) {
            return test(format!("what was planted on {} is not there any more", disk.id));
        }
    }
    stage.report(name, "untouched by counters, allocation and what was planted")
}

/// Blocks the sparse file occupies, once what was planted in it has got its blocks.
fn allocation(disk: &Disk) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::File::open(&disk.file).doing("opening", &disk.file)?;
    file.sync_all().doing("flushing", &disk.file)?;
    Ok(std::fs::metadata(&disk.file).doing("examining", &disk.file)?.blocks())
}

/// Eight seconds for 32 MiB, so that there is a middle in which something can be pulled.
fn slow_down(guest: &mut Guest, disk: &Disk) -> Result<()> {
    let limits = ["bps", "bps_wr", "iops", "iops_rd", "iops_wr"].map(|name| (name, json!(0)));
    let mut order: BTreeMap<&str, Value> = limits.into_iter().collect();
    order.insert("bps_rd", json!(4 << 20));
    order.insert("id", json!(disk.id));
    guest.machine.qmp("block_set_io_throttle", &json!(order)).map(drop)
}

/// Waits until some of the disk was copied: how long that takes is the machine's affair.
fn wait_until_read(guest: &mut Guest, disk: &Disk, before: u64) -> Result<()> {
    for _ in 0..1200 {
        if guest.machine.counters_of(&disk.id)?.rd_bytes > before + (6 << 20) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    test(format!("imaging of {} did not begin", disk.id))
}

/// The first copy is whole and the disk; the second failed, for this reason.
fn two_copies(answer: &[Value], expected: &str, reason: &str) -> Result<()> {
    let Some(imaged) = answer.iter().find(|record| record["type"] == "imaged") else {
        return test(format!("no record of the image: {answer:?}"));
    };
    let copies = &imaged["copies"];
    let problem = copies[1]["problem"].as_str().unwrap_or_default();
    let is_right = copies[0]["verified"] == true
        && copies[1]["whole"] == false
        && problem.contains(reason)
        && imaged["digests"].to_string().contains(expected);
    if is_right { Ok(()) } else { test(format!("expected one whole copy of two: {imaged}")) }
}
