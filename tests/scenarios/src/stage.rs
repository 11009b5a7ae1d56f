//! What all trials share: where the image is, where logs go, and how an end is judged.

use libtest_mimic::{Failed, Trial};
use machine::error::{Doing, Result};
use machine::guest::Outputs;
use machine::ledger::{Row, all_untouched, table};
use machine::{Disk, Error, Ledger};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where things are.
#[derive(Debug)]
pub struct Stage {
    outputs: Option<Outputs>,
    logs: PathBuf,
    machine_failed: AtomicBool,
}

/// How much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Every trial.
    Everything,
    /// Nothing: no image and no leave to start machines.
    Nothing,
}

impl Stage {
    /// Reads `GLOVEBOX_OUT` (outputs of a build), `GLOVEBOX_VM` (controls alone) and
    /// `GLOVEBOX_LOGS` (else `target/scenarios`).
    ///
    /// # Errors
    /// [`Error::Machine`] when `GLOVEBOX_OUT` is set and holds no image.
    pub fn from_environment() -> Result<(Self, Wanted)> {
        let of = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let outputs = of("GLOVEBOX_OUT").map(|folder| Outputs::open(&folder)).transpose()?;
        let wanted = if outputs.is_some() || of("GLOVEBOX_VM").is_some() {
            Wanted::Everything
        } else {
            Wanted::Nothing
        };
        let logs = of("GLOVEBOX_LOGS")
            .unwrap_or_else(|| machine::program::workspace().join("target/scenarios"));
        Ok((Self { outputs, logs, machine_failed: AtomicBool::new(false) }, wanted))
    }

    pub(crate) fn outputs(&self) -> Option<&Outputs> {
        self.outputs.as_ref()
    }

    /// The image's outputs.
    pub(crate) fn image(&self) -> Result<&Outputs> {
        self.outputs.as_ref().ok_or_else(|| Error::Machine("GLOVEBOX_OUT is not set".into()))
    }

    /// An empty folder for one machine's logs and disks.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.logs.join(name.replace('/', "-"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).doing("emptying", &folder)?;
        }
        std::fs::create_dir_all(&folder).doing("creating", &folder)?;
        Ok(folder)
    }

    /// True when some trial ended because its machine failed.
    pub fn machine_failed(&self) -> bool {
        self.machine_failed.load(Ordering::Relaxed)
    }

    /// Adds text to the report that lies beside the logs.
    pub(crate) fn report(&self, name: &str, text: &str) -> Result<()> {
        std::fs::create_dir_all(&self.logs).doing("creating", &self.logs)?;
        let path = self.logs.join("report.txt");
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .doing("opening", &path)?;
        // One write per entry: trials run side by side.
        file.write_all(format!("== {name}\n{}\n\n", text.trim_end()).as_bytes())
            .doing("writing", &path)
    }

    /// A trial whose disks are thrown away when it passes and whose time is reported.
    pub(crate) fn trial(
        &'static self,
        name: &str,
        body: impl FnOnce(&'static Self, &Path) -> Result<()> + Send + 'static,
    ) -> Trial {
        let label = name.to_owned();
        Trial::test(name, move || {
            let begun = Instant::now();
            let ended = self.folder(&label).and_then(|folder| {
                body(self, &folder)?;
                throw_disks_away(&folder)
            });
            let took = begun.elapsed().as_secs_f64();
            match ended {
                Ok(()) => Ok(self
                    .report(&label, &format!("passed in {took:.1} s"))
                    .map_err(|e| failed(&e))?),
                Err(error) => {
                    if error.is_machine() {
                        self.machine_failed.store(true, Ordering::Relaxed);
                    }
                    let text = error.chain();
                    // The first error is the one to show, whatever becomes of the report.
                    let _ = self.report(&label, &format!("FAILED after {took:.1} s: {text}"));
                    Err(Failed::from(text))
                }
            }
        })
    }

    /// Closes a ledger, writes its table to the report and fails when anything was touched.
    pub(crate) fn prove(
        &self,
        name: &str,
        ledger: Ledger,
        counters: &std::collections::BTreeMap<String, machine::Counters>,
    ) -> Result<Vec<Row>> {
        let rows = ledger.close(counters)?;
        self.report(name, &table(&rows))?;
        all_untouched(&rows)?;
        Ok(rows)
    }
}

fn failed(error: &Error) -> Failed {
    Failed::from(error.chain())
}

/// Disk images are large; the transcript and the arguments stay.
fn throw_disks_away(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).doing("listing", folder)? {
        let path = entry.doing("listing", folder)?.path();
        if path.extension().is_some_and(|e| e == "img" || e == "iso") {
            std::fs::remove_file(&path).doing("removing", &path)?;
        }
    }
    Ok(())
}

/// A copy of one zoo disk in `folder`.
pub(crate) fn zoo_disk(folder: &Path, name: &str, bus: machine::Bus) -> Result<Disk> {
    let file = folder.join(format!("{name}.img"));
    machine::digest::copy(&machine::zoo::folder()?.join(format!("{name}.img")), &file)?;
    Ok(Disk::new(name, file, bus))
}
