//! The main job, from cold machine to proof, as a person would do it.
//!
//! Survey, unlock the examiner's own disk, open a case, image, triage, case status, power off; then
//! the host says what reached the evidence.

use crate::builder::{Builder, MediumKind};
use crate::disk::{Bus, Disk};
use crate::error::{Doing, Result, test};
use crate::firmware::Firmware;
use crate::guest::{Guest, Outputs};
use crate::ledger::{Ledger, all_untouched, table};
use crate::{digest, process};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const IMAGE_LIMIT: Duration = Duration::from_secs(1200);
const MEDIUM_BYTES: u64 = 3 << 30;

/// What the demonstration gave.
#[derive(Debug)]
pub struct Story {
    /// From QEMU's start to the greeting.
    pub ready: Duration,
    /// From QEMU's start to power-off.
    pub whole: Duration,
    /// Text of the proof table.
    pub proof: String,
    /// The findings as printed.
    pub findings: String,
}

/// Makes an empty ext4 medium for an examiner.
///
/// # Errors
/// [`crate::Error::Machine`] when `mke2fs` fails.
pub fn examiners_disk(file: &Path, bytes: u64) -> Result<PathBuf> {
    digest::sparse(file, bytes)?;
    let path = file.to_string_lossy();
    process::run("mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", "-L", "examiner", &path])?;
    Ok(file.to_owned())
}

/// Does the whole job on a copy of `sample`, saying each step through `tell`.
///
/// # Errors
/// [`crate::Error::Test`] when a step does not do what it promises, or the evidence was touched.
pub fn run(
    outputs: &Outputs,
    sample: &Path,
    folder: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Story> {
    std::fs::create_dir_all(folder).doing("creating", folder)?;
    let evidence_file = folder.join("evidence.img");
    digest::copy(sample, &evidence_file)?;
    let medium = examiners_disk(&folder.join("examiner.img"), MEDIUM_BYTES)?;
    let evidence = Disk::new("evidence", &evidence_file, Bus::Ahci);
    let ledger = Ledger::open(std::slice::from_ref(&evidence))?;
    let expected = ledger.before("evidence").unwrap_or_default().to_owned();
    // The real stick, through firmware and boot loader, as on a table.
    let stick = outputs.medium(Firmware::Uefi, MediumKind::Usb, folder)?;
    let builder = Builder::new(stick).processors(2).disk(evidence).disk(Disk::new(
        "examiner",
        &medium,
        Bus::Usb,
    ));
    let started = Instant::now();
    let mut guest = Guest::boot(builder, folder)?;
    tell(&format!("booted in {:.1} s", guest.ready.as_secs_f64()));

    let mut step = |guest: &mut Guest, line: &str, codes: &[i32]| -> Result<String> {
        tell(&format!("$ {line}"));
        let begun = Instant::now();
        let out = guest.shell.run(line, IMAGE_LIMIT)?;
        tell(out.text.trim_end());
        tell(&format!("  ({:.1} s, exit code {})\n", begun.elapsed().as_secs_f64(), out.code));
        if codes.contains(&out.code) {
            return Ok(out.text);
        }
        test(format!("`{line}` ended with {}, expected {codes:?}: {}", out.code, out.text.trim()))
    };
    step(&mut guest, "glovebox survey", &[0, 1, 3])?;
    let source = guest.name_of("EVIDENCE")?;
    let place = guest.unlock("EXAMINER")?;
    let create =
        format!("glovebox case create web1 --on {place} --examiner Examiner --no-passphrase");
    step(&mut guest, &create, &[0])?;
    let case = format!("{place}/web1");
    let imaged = step(&mut guest, &format!("glovebox image {source} --case {case}"), &[0])?;
    let findings = step(&mut guest, &format!("glovebox triage {source} --case {case}"), &[1])?;
    step(&mut guest, &format!("glovebox case status --case {case}"), &[0])?;
    step(&mut guest, "glovebox guard status", &[0, 1])?;
    if !imaged.contains(&expected) {
        return test(format!("the image's SHA-256 is not the host's ({expected})"));
    }
    let counters = guest.power_off()?;
    let whole = started.elapsed();
    let ready = guest.ready;
    guest.machine.cut()?;
    let rows = ledger.close(&counters)?;
    all_untouched(&rows)?;
    Ok(Story { ready, whole, proof: table(&rows), findings })
}
