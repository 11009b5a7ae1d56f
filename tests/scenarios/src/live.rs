//! A running host with a rootkit of user space: `triage live` from the stick's medium reports all of it, executes nothing of
//! the host and writes nothing to its disk; `memory` gives physical memory with every page where it belongs.
//!
//! The judges: the kernel's own record of every program started (tracefs), QEMU's counters of the host's disk, which is
//! mounted so that each reading would write a time of access, and a page whose physical address the program that owns it
//! told. Each has its control. Not here: a module that hides a process; the headers of the guest's kernel are no part of it.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::demo::examiners_disk;
use machine::error::{Doing, Error, Result, test};
use machine::guest::records;
use machine::workshop::Workshop;
use machine::{Bus, Disk, process, program};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const NAME: &str = "live/a-rootkit-is-seen-without-a-trace";
const PLANT: &str = include_str!("live.c");
const LIMIT: Duration = Duration::from_secs(240);
/// Everything planted, and the rule that must tell of it.
const RULES: [&str; 6] = [
    "GBX-LIVE-0102",
    "GBX-LIVE-0201",
    "GBX-LIVE-0208",
    "GBX-LIVE-0303",
    "GBX-LIVE-0304",
    "GBX-LIVE-0305",
];
const TRACE: &str = "/sys/kernel/tracing";

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial(NAME, live)]
}

/// The examiner's medium with the program and the plants' binaries; the host's disk, empty.
fn disks(folder: &Path) -> Result<[Disk; 2]> {
    let source = folder.join("plant.c");
    std::fs::write(&source, PLANT).doing("writing", &source)?;
    let brought = folder.join("brought");
    std::fs::create_dir_all(&brought).doing("creating", &brought)?;
    let glovebox = program::of_the_image("glovebox", "glovebox")?;
    std::fs::copy(&glovebox, brought.join("glovebox")).doing("copying", &glovebox)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (listener, library) = (text(&brought.join("listener")), text(&brought.join("x.so")));
    process::run("cc", &["-O1", "-static", "-o", &listener, &text(&source)])?;
    let shared = ["-O1", "-shared", "-fPIC", "-DPRELOADED", "-o", &library];
    process::run("cc", &[&shared[..], &[&text(&source), "-ldl"]].concat())?;
    let medium = folder.join("stick.img");
    machine::digest::sparse(&medium, 3 << 30)?;
    let (medium, brought) = (text(&medium), text(&brought));
    process::run("mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", "-d", &brought, &medium])?;
    let own = examiners_disk(&folder.join("host.img"), 64 << 20)?;
    Ok([Disk::new("stick", medium, Bus::VirtioScsi), Disk::new("host", own, Bus::VirtioScsi)])
}

fn live(stage: &'static Stage, folder: &Path) -> Result<()> {
    let disks = disks(folder)?;
    let mut host = Workshop::start(folder, &disks)?;
    host.run(
        "modprobe ext4; mkdir -p /home /mnt/stick; mount -o strictatime $(disk HOST) /home
         mount $(disk STICK) /mnt/stick
         mount -t tracefs trace /sys/kernel/tracing
         cp /mnt/stick/x.so /root/x.so; cp /usr/bin/sleep /home/gbx-hidden; cp /usr/bin/true /home/gbx-read; ifconfig lo up
         mkdir -p /var/spool/cron /home/spool; echo '* * * * * root true' >/home/spool/root
         mount --bind /home/spool /var/spool/cron
         /home/gbx-hidden 5000 >/dev/null 2>&1 & sleep 1
         rm /home/gbx-hidden
         sleep 5001 >/dev/null 2>&1 & C=$!; mkdir -p /tmp/empty; mount --bind /tmp/empty /proc/$C; echo $C >/tmp/covered
         /mnt/stick/listener >/tmp/physical 2>&1 & sleep 1
         /mnt/stick/glovebox case create c --on /mnt/stick --examiner E --no-passphrase >/dev/null
         echo /root/x.so >/etc/ld.so.preload",
    )?;
    // The library lies in memory: else every program that loads it would write its time of access to the host's disk.
    // The rootkit works: what an ordinary program lists lacks its file.
    let lie = host.shell.must("ls -a /etc", LIMIT)?;
    if lie.contains("ld.so.preload") {
        return test(format!("the planted library does not hide its list: {lie}"));
    }
    refused(&mut host)?;
    let (findings, executed) = looked(&mut host)?;
    stage.report(NAME, &format!("{} findings; programs started: {executed:?}", findings.len()))?;
    let missed: Vec<&&str> =
        RULES.iter().filter(|rule| !findings.iter().any(|one| one["rule"] == **rule)).collect();
    if !missed.is_empty() {
        return test(format!("not reported: {missed:?}; reported: {findings:#?}"));
    }
    let wrong = ["GBX-LIVE-0101", "GBX-LIVE-0301", "GBX-LIVE-0401"];
    if let Some(one) = findings.iter().find(|one| wrong.iter().any(|rule| one["rule"] == *rule)) {
        return test(format!("reported without cause: {one:#}"));
    }
    let covered = host.shell.must("cat /tmp/covered", LIMIT)?;
    let below = findings.iter().find(|one| one["rule"] == "GBX-LIVE-0102");
    let named = below.is_some_and(|one| {
        one["pid"].to_string() == covered.trim() && one["what_runs"] == "sleep 5001"
    });
    if !named {
        return test(format!("the covered process {covered} was not named: {below:?}"));
    }
    if executed.iter().any(|one| one != "/mnt/stick/glovebox") {
        return test(format!("the host's programs were started: {executed:?}"));
    }
    memory(&mut host)?;
    host.cut()
}

/// A case on the host's own disk is refused.
fn refused(host: &mut Workshop) -> Result<()> {
    let create = "/mnt/stick/glovebox case create d --on /home --examiner E --no-passphrase";
    host.shell.must(&format!("{create} >/dev/null"), LIMIT)?;
    let out = host.shell.run("/mnt/stick/glovebox triage live --case /home/d 2>&1", LIMIT)?;
    if out.code == 2 && out.text.contains("a disk of the host's own system") {
        return Ok(());
    }
    test(format!("a case on the host's disk was not refused: {}", out.text))
}

/// Runs it while every start of a program is recorded, and every write to the host's disk counted.
fn looked(host: &mut Workshop) -> Result<(Vec<Value>, Vec<String>)> {
    host.shell.must("sync; sleep 2; sync", LIMIT)?;
    let before = host.machine.counters_of("host")?;
    let look = "/mnt/stick/glovebox triage live --json --case /mnt/stick/c";
    let traced = |line: &str| {
        format!(
            "echo >{TRACE}/trace; echo 1 >{TRACE}/events/sched/sched_process_exec/enable; {line}; \
             echo 0 >{TRACE}/events/sched/sched_process_exec/enable"
        )
    };
    host.shell.must(&traced(&format!("{look} >/mnt/stick/out 2>/mnt/stick/err")), LIMIT)?;
    host.shell.must("sync; sleep 2; sync", LIMIT)?;
    let after = host.machine.counters_of("host")?;
    if after.wr_operations != before.wr_operations
        || after.unmap_operations != before.unmap_operations
    {
        return test(format!("the host's disk was written: {before:?} then {after:?}"));
    }
    let text = host.shell.must("cat /mnt/stick/out", LIMIT)?;
    let findings = records(&text)?;
    if findings.is_empty() {
        let errors = host.shell.must("cat /mnt/stick/err", LIMIT)?;
        return test(format!("nothing was reported: {errors}"));
    }
    let executed = started(&host.shell.must(&format!("cat {TRACE}/trace"), LIMIT)?);
    // Controls: an ordinary reader is seen by both judges.
    host.shell.must(&traced("cat /home/gbx-read /var/spool/cron/root >/dev/null"), LIMIT)?;
    host.shell.must("sync; sleep 2; sync", LIMIT)?;
    let read = host.machine.counters_of("host")?;
    let seen = started(&host.shell.must(&format!("cat {TRACE}/trace"), LIMIT)?);
    if read.wr_operations == after.wr_operations || !seen.iter().any(|one| one.ends_with("/cat")) {
        return test(format!("a control was not seen: {read:?}, {seen:?}"));
    }
    Ok((findings, executed))
}

/// Names of the programs in a record of starts.
fn started(trace: &str) -> Vec<String> {
    let names = trace.lines().filter_map(|line| {
        let (_, rest) = line.split_once("sched_process_exec: filename=")?;
        Some(rest.split(" pid=").next()?.to_owned())
    });
    names.collect()
}

/// Physical memory: the ranges the kernel tells, and the known page where its owner says it is.
fn memory(host: &mut Workshop) -> Result<()> {
    let line = "/mnt/stick/glovebox memory --source kcore --json --case /mnt/stick/c 2>&1";
    let patience = Duration::from_secs(900);
    let told = records(&host.shell.must(line, patience)?)?;
    let bytes = told.iter().find(|one| one["type"] == "memory").map(|one| &one["memory_bytes"]);
    let iomem = host.shell.must("grep -h 'System RAM' /proc/iomem", LIMIT)?;
    let expected: u64 = iomem.lines().filter_map(range).sum();
    if bytes.and_then(Value::as_u64) != Some(expected) {
        return test(format!("{bytes:?} bytes of memory, the kernel has {expected}: {iomem}"));
    }
    let folder = "/mnt/stick/c/exhibits/002-memory";
    let about = records(&host.shell.must(&format!("cat {folder}/memory.json"), LIMIT)?)?;
    let physical = host.shell.must("cat /tmp/physical", LIMIT)?;
    let physical = physical.trim().strip_prefix("physical ").and_then(|one| one.parse().ok());
    let (Some(physical), Some(about)) = (physical, about.first()) else {
        return Err(Error::Machine("the listener did not tell its address".into()));
    };
    let Some(offset) = place(about, physical) else {
        return test(format!("{physical:#x} is in no range of {about}"));
    };
    let line = format!("tail -c +{} {folder}/memory.lime | head -c 64", offset + 1);
    let found = host.shell.must(&line, LIMIT)?;
    if found.trim_end() == "this page is known to the test. ".repeat(2).trim_end() {
        return Ok(());
    }
    test(format!("at {physical:#x} (offset {offset}) stands {found:?}"))
}

/// Whole pages of a line of iomem.
fn range(line: &str) -> Option<u64> {
    let (first, last) = line.split_once(" : ")?.0.trim().split_once('-')?;
    let first = u64::from_str_radix(first, 16).ok()?.next_multiple_of(4096);
    let end = (u64::from_str_radix(last, 16).ok()? + 1) / 4096 * 4096;
    Some(end.saturating_sub(first))
}

/// Where a physical address stands in the image: behind a header of 32 bytes for each range.
fn place(about: &Value, physical: u64) -> Option<u64> {
    let mut offset = 0;
    for range in about["ranges"].as_array()? {
        let (first, bytes) = (range["first"].as_u64()?, range["bytes"].as_u64()?);
        offset += 32;
        if (first..first + bytes).contains(&physical) {
            return Some(offset + physical - first);
        }
        offset += bytes;
    }
    None
}
