//! The firmware's clock is evidence: how wrong it is stands in the acts and the report, and nothing sets it.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::demo::examiners_disk;
use machine::error::{Result, machine as broken, test};
use machine::guest::Guest;
use machine::workshop::Workshop;
use machine::{Builder, Bus, Disk};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime};

const NAME: &str = "clock/firmware-clock-is-recorded-not-set";
/// Years off, in the past and in the future; the second just before a leap day.
const CLOCKS: [&str; 2] = ["2011-07-01T03:04:05", "2044-02-28T23:59:30"];
/// Between a command typed here and carried out there, on a busy emulated machine.
const SLACK_MS: i64 = 5000;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![
        stage.trial(NAME, recorded),
        stage.trial("control/an-ordinary-system-sets-the-clock", control),
    ]
}

fn recorded(stage: &'static Stage, folder: &Path) -> Result<()> {
    for (number, base) in CLOCKS.iter().enumerate() {
        one(stage, &folder.join(number.to_string()), base)?;
    }
    Ok(())
}

fn one(stage: &'static Stage, folder: &Path, base: &str) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| machine::Error::Machine(e.to_string()))?;
    let medium = examiners_disk(&folder.join("examiner.img"), 64 << 20)?;
    let builder = Builder::new(stage.image()?.netboot()?).clock(base).disk(Disk::new(
        "examiner",
        medium,
        Bus::VirtioBlk,
    ));
    let mut guest = Guest::boot(builder, folder)?;
    let (machine_at, host_at) = (guest.machine.clock_seconds()?, now_ms());
    // What is to be added to the firmware's clock, as only this side can know it.
    let expected = host_at - machine_at * 1000;

    let place = guest.unlock("EXAMINER")?;
    let create = format!("glovebox case create clock --on {place} --examiner E --no-passphrase");
    guest.expect(&create, &[0])?;
    let time = casebook::Timestamp::from_unix(u64::try_from(now_ms() / 1000).unwrap_or(0), 0);
    let Some(time) = time else { return broken("the host's clock is beyond writing") };
    let said = guest.json(&format!("glovebox case clock --now {time} --json"), &[0])?;
    let Some(compared) = said.first() else { return test("case clock said nothing") };
    for which in ["system", "firmware"] {
        close(which, &compared[which]["offset_ms"], expected)?;
    }
    guest.expect("glovebox case note 'after the comparison'", &[0])?;
    let text = guest.expect(&format!("cat {place}/clock/acts.jsonl"), &[0])?;
    let acts: Vec<Value> = machine::guest::records(&text)?;
    let offset = |act: &Value| act["act"]["clock"]["offset_ms"].clone();
    match acts.as_slice() {
        [create, clock, note] => {
            if !offset(create).is_null() {
                return test("an offset was recorded before the clocks were compared");
            }
            let firmware = &clock["act"]["arguments"]["compared"]["firmware"]["offset_ms"];
            close("the act of comparing", firmware, expected)?;
            close("the next act", &offset(note), expected)?;
        }
        other => return test(format!("3 acts were expected: {other:?}")),
    }
    let report = guest.expect("glovebox report", &[0])?;
    stage.report(NAME, &clock_lines(&report))?;
    if !report.contains("add ") || !report.contains("firmware") {
        return test(format!("the report does not tell of the clocks: {report}"));
    }
    let (then, elapsed) = (guest.machine.clock_seconds()?, now_ms() - host_at);
    if ((then - machine_at) * 1000 - elapsed).abs() > 2000 {
        return test(format!("the clock went {} s in {elapsed} ms", then - machine_at));
    }
    guest.power_off()?;
    if guest.machine.clock_was_set()? {
        return test("the firmware's clock was set");
    }
    guest.machine.cut()
}

fn close(what: &str, found: &Value, expected: i64) -> Result<()> {
    match found.as_i64() {
        Some(found) if (found - expected).abs() <= SLACK_MS => Ok(()),
        _ => test(format!("offset of {what} is {found}, expected {expected} ms")),
    }
}

fn clock_lines(report: &str) -> String {
    let lines = report.lines().filter(|line| line.to_lowercase().contains("clock"));
    lines.collect::<Vec<_>>().join("\n")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What an ordinary system does at its start or end is seen by the same oracle.
fn control(_stage: &'static Stage, folder: &Path) -> Result<()> {
    let mut workshop = Workshop::start_at(folder, &[], CLOCKS[0])?;
    let before = workshop.machine.clock_seconds()?;
    if workshop.machine.clock_was_set()? {
        return test("the clock was set before anyone set it");
    }
    workshop.run("date -s '2020-01-01 00:00:00' && busybox hwclock --systohc --utc")?;
    std::thread::sleep(Duration::from_secs(1));
    let (after, was_set) = (workshop.machine.clock_seconds()?, workshop.machine.clock_was_set()?);
    workshop.cut()?;
    if was_set && after - before > 86_400 {
        return Ok(());
    }
    test(format!("the clock was set from {before} to {after} and that was not seen"))
}
