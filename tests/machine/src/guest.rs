//! A machine with Glovebox booted in it: its shell, its answers in JSON, its disks by serial number.

use crate::builder::{Boot, Builder, Medium, MediumKind};
use crate::counters::Counters;
use crate::error::{Doing, Error, Result, test};
use crate::firmware::Firmware;
use crate::running::{End, Machine};
use crate::shell::{Output, Shell};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Text of the greeting; with it a console is ready.
pub const READY: &str = "type: glovebox help";
/// Longest wait for the greeting: UEFI with Secure Boot under emulation on a busy host.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
/// Longest wait for an ordinary command.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// The folder a build of the image left its outputs in.
#[derive(Debug, Clone)]
pub struct Outputs(PathBuf);

impl Outputs {
    /// Uses `folder`.
    ///
    /// # Errors
    /// [`Error::Machine`] when it holds no kernel and initrd.
    pub fn open(folder: &Path) -> Result<Self> {
        let all = Self(folder.to_owned());
        for name in ["vmlinuz", "initrd.img", "identity.json"] {
            if !folder.join(name).is_file() {
                return crate::error::machine(format!("no {name} in {}", folder.display()));
            }
        }
        Ok(all)
    }

    /// Path of one output.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The kernel line the image boots with.
    ///
    /// # Errors
    /// [`Error::Machine`] when the identity cannot be read.
    pub fn kernel_line(&self) -> Result<String> {
        let path = self.file("identity.json");
        let text = std::fs::read_to_string(&path).doing("reading", &path)?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|e| Error::Machine(format!("{}: {e}", path.display())))?;
        let line = value.get("kernel_line").and_then(Value::as_str);
        line.map(str::to_owned)
            .ok_or_else(|| Error::Machine(format!("{} names no kernel_line", path.display())))
    }

    /// Boot of the netboot pair, with the image's own kernel line.
    ///
    /// # Errors
    /// As [`Outputs::kernel_line`].
    pub fn netboot(&self) -> Result<Boot> {
        let (kernel, initrd) = (self.file("vmlinuz"), self.file("initrd.img"));
        Ok(Boot::Kernel { kernel, initrd, append: self.kernel_line()? })
    }

    /// Boot of the test image: the same with `assault` inside and layers that can be left out.
    ///
    /// # Errors
    /// As [`Outputs::kernel_line`]; [`Error::Machine`] when no test image was built.
    pub fn test_image(&self, knocked_out: &[&str]) -> Result<Boot> {
        let (kernel, initrd) = (self.file("test/vmlinuz"), self.file("test/initrd.img"));
        if !initrd.is_file() {
            return crate::error::machine(format!("no {}", initrd.display()));
        }
        let mut append = self.kernel_line()?;
        if !knocked_out.is_empty() {
            append.push_str(&format!(" glovebox.knockout={}", knocked_out.join(",")));
        }
        Ok(Boot::Kernel { kernel, initrd, append })
    }

    /// Boot through firmware from a copy of the stick or CD in `folder`, so that a write to the
    /// medium would not hit the output itself.
    ///
    /// # Errors
    /// [`Error::Machine`] when the copy fails.
    pub fn medium(&self, firmware: Firmware, kind: MediumKind, folder: &Path) -> Result<Boot> {
        std::fs::create_dir_all(folder).doing("creating", folder)?;
        let name = if kind == MediumKind::Cd { "glovebox.iso" } else { "glovebox.img" };
        let file = folder.join(name);
        crate::digest::copy(&self.file(name), &file)?;
        Ok(Boot::Firmware(firmware, Some(Medium { kind, file })))
    }
}

/// Glovebox, booted.
#[derive(Debug)]
pub struct Guest {
    /// The machine.
    pub machine: Machine,
    /// The shell on its serial line.
    pub shell: Shell,
    /// From QEMU's start to the greeting.
    pub ready: Duration,
}

impl Guest {
    /// Starts the machine and waits for the greeting on the serial line.
    ///
    /// # Errors
    /// [`Error::Test`] when the greeting does not come.
    pub fn boot(builder: Builder, folder: &Path) -> Result<Self> {
        let mut machine = builder.start(folder)?;
        let shell = machine.shell()?;
        shell.wait_for(READY, BOOT_LIMIT)?;
        let ready = machine.started.elapsed();
        Ok(Self { machine, shell, ready })
    }

    /// Runs one command line.
    ///
    /// # Errors
    /// [`Error::Test`] when it does not end in time.
    pub fn run(&mut self, line: &str) -> Result<Output> {
        self.shell.run(line, COMMAND_LIMIT)
    }

    /// Runs a line that must end with one of `codes`.
    ///
    /// # Errors
    /// [`Error::Test`] when it ends otherwise.
    pub fn expect(&mut self, line: &str, codes: &[i32]) -> Result<String> {
        let out = self.run(line)?;
        if codes.contains(&out.code) {
            return Ok(out.text);
        }
        test(format!("`{line}` ended with {}, expected {codes:?}: {}", out.code, out.text.trim()))
    }

    /// Runs a line with `--json` and gives its records.
    ///
    /// # Errors
    /// [`Error::Test`] when it ends with another code, or a line is not JSON.
    pub fn json(&mut self, line: &str, codes: &[i32]) -> Result<Vec<Value>> {
        // Talk and progress go to stderr, which is the same terminal here.
        let out = self.run(&format!("{line} 2>/run/session/talk"))?;
        if codes.contains(&out.code) {
            return records(&out.text);
        }
        let talk = self.run("cat /run/session/talk")?.text;
        let code = out.code;
        test(format!("`{line}` ended with {code}, expected {codes:?}: {} {talk}", out.text.trim()))
    }

    /// The broker's view of all disks, by serial number.
    ///
    /// # Errors
    /// [`Error::Test`] when the status cannot be had.
    pub fn disks(&mut self) -> Result<BTreeMap<String, Value>> {
        let status = self.json("glovebox guard status --json", &[0, 1])?;
        let disks = status.first().and_then(|s| s.get("disks")).and_then(Value::as_array);
        let Some(disks) = disks else { return test("guard status lists no disks") };
        Ok(disks
            .iter()
            .filter_map(|d| Some((d.get("serial")?.as_str()?.to_owned(), d.clone())))
            .collect())
    }

    /// Kernel name of the disk with this serial number.
    ///
    /// # Errors
    /// [`Error::Test`] when there is none.
    pub fn name_of(&mut self, serial: &str) -> Result<String> {
        let disks = self.disks()?;
        let name = disks.get(serial).and_then(|d| d.get("name")).and_then(Value::as_str);
        match name {
            Some(name) => Ok(name.to_owned()),
            None => test(format!("no disk {serial} in {:?}", disks.keys())),
        }
    }

    /// Waits until a disk with this serial number is there, or is gone.
    ///
    /// # Errors
    /// [`Error::Test`] when that has not happened within 30 seconds.
    pub fn wait_disk(&mut self, serial: &str, present: Presence) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if self.disks()?.contains_key(serial) == (present == Presence::There) {
                return Ok(());
            }
            if Instant::now() > end {
                return test(format!("disk {serial} is not {present:?}"));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Unlocks the disk with this serial number and gives the folder tools may write to.
    ///
    /// # Errors
    /// [`Error::Test`] when the broker refuses, or mounts nothing.
    pub fn unlock(&mut self, serial: &str) -> Result<String> {
        let disks = self.disks()?;
        let of = |field: &str| {
            let text = disks.get(serial).and_then(|d| d.get(field)).and_then(Value::as_str);
            text.filter(|t| !t.is_empty()).unwrap_or("none").to_owned()
        };
        let line = format!(
            "glovebox guard unlock {} --model '{}' --serial '{}' --json",
            of("name"),
            of("model"),
            of("serial")
        );
        let answer = self.json(&line, &[0])?;
        let folder = answer
            .first()
            .and_then(|a| a.pointer("/mounts/0/writable"))
            .and_then(Value::as_str)
            .map(str::to_owned);
        folder.map_or_else(|| test(format!("`{line}` mounted nothing: {answer:?}")), Ok)
    }

    /// Powers off and gives the last counters of every disk.
    ///
    /// # Errors
    /// [`Error::Test`] when the machine does not go off.
    pub fn power_off(&mut self) -> Result<BTreeMap<String, Counters>> {
        self.end("glovebox poweroff", End::PowerOff)
    }

    /// Ends the session with `line`, which must lead to `end`.
    ///
    /// # Errors
    /// [`Error::Test`] when it leads elsewhere.
    pub fn end(&mut self, line: &str, end: End) -> Result<BTreeMap<String, Counters>> {
        self.shell.serial.send(format!("{line}\r").as_bytes())?;
        let got = self.machine.wait_end(Duration::from_secs(90))?;
        if got != end {
            return test(format!("`{line}` led to {got:?}, expected {end:?}"));
        }
        self.machine.counters()
    }
}

/// Whether a disk is to be there or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is listed.
    There,
    /// It is not listed.
    Gone,
}

/// The JSON lines in a text; other lines (talk on stderr) are left out.
///
/// # Errors
/// [`Error::Test`] for a line that begins like JSON and is not.
pub fn records(text: &str) -> Result<Vec<Value>> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            serde_json::from_str(line).or_else(|e| test(format!("not a JSON line ({e}): {line}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_is_no_record_and_broken_json_is_an_error() {
        let found = records("Reading ...\n{\"a\":1}\n\n").expect("records");
        assert_eq!(found.len(), 1);
        assert!(records("{\"a\":\n").is_err());
    }
}
