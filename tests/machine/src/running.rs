//! A machine that runs: its serial line, its counters, plugging, and its end.

use crate::builder::MEDIUM;
use crate::counters::{Counters, by_device};
use crate::disk::Disk;
use crate::error::{Error, Result, test};
use crate::process::Owned;
use crate::qmp::Qmp;
use crate::serial::Serial;
use crate::shell::Shell;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How a guest ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It powered off.
    PowerOff,
    /// It reset (reboot).
    Reset,
}

/// One running QEMU; killed when dropped.
#[derive(Debug)]
pub struct Machine {
    pub(crate) serial: Option<Serial>,
    pub(crate) qmp: Qmp,
    pub(crate) process: Owned,
    /// Folder with `serial.log` (whole transcript), `qemu.args`, `qemu.log`, `vars.fd`.
    pub folder: PathBuf,
    /// The variable store in use, for UEFI.
    pub vars: Option<PathBuf>,
    /// When it was started.
    pub started: Instant,
    pub(crate) gone: BTreeMap<String, Counters>,
    pub(crate) plugged: usize,
}

impl Machine {
    /// Takes the serial line as a shell; it can be taken once.
    ///
    /// # Errors
    /// [`Error::Machine`] the second time.
    pub fn shell(&mut self) -> Result<Shell> {
        let serial = self.serial.take();
        serial.map(Shell::new).ok_or_else(|| Error::Machine("the serial line was taken".into()))
    }

    /// Counters of every disk since power-on, also of those already pulled.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU does not answer.
    pub fn counters(&mut self) -> Result<BTreeMap<String, Counters>> {
        let mut all = by_device(&self.qmp.command("query-blockstats", &json!({}))?);
        for (id, before) in &self.gone {
            let now = all.get(id).copied().unwrap_or_default();
            all.insert(id.clone(), now + *before);
        }
        Ok(all)
    }

    /// Counters of one disk.
    ///
    /// # Errors
    /// [`Error::Machine`] when it is not attached.
    pub fn counters_of(&mut self, id: &str) -> Result<Counters> {
        let all = self.counters()?;
        all.get(id).copied().ok_or_else(|| Error::Machine(format!("no counters of disk {id}")))
    }

    /// Counters of the boot medium.
    ///
    /// # Errors
    /// [`Error::Machine`] when there is none.
    pub fn medium(&mut self) -> Result<Counters> {
        self.counters_of(MEDIUM)
    }

    /// Plugs a disk in while the guest runs (virtio-scsi and USB).
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU refuses.
    pub fn plug(&mut self, disk: &Disk) -> Result<()> {
        self.qmp.command("blockdev-add", &disk.blockdev())?;
        self.plugged += 1;
        self.qmp.command("device_add", &disk.device(self.plugged)).map(drop)
    }

    /// Pulls a disk out; its counters up to now are kept.
    ///
    /// # Errors
    /// [`Error::Machine`] when it has not gone after 20 seconds.
    pub fn pull(&mut self, id: &str) -> Result<()> {
        let last = self.counters_of(id)?;
        self.qmp.command("device_del", &json!({ "id": id }))?;
        let end = Instant::now() + Duration::from_secs(20);
        while let Some(event) = self.qmp.event("DEVICE_DELETED", end - Instant::now())? {
            if event["data"]["device"] == id {
                self.gone.insert(id.to_owned(), last);
                // Frees the file; fails harmlessly when the node went with its device.
                let _ =
                    self.qmp.command("blockdev-del", &json!({ "node-name": format!("n-{id}") }));
                return Ok(());
            }
        }
        crate::error::machine(format!("disk {id} did not go away"))
    }

    /// What the machine's own (firmware) clock says, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU does not tell.
    pub fn clock_seconds(&mut self) -> Result<i64> {
        let wanted = json!({ "path": "/machine", "property": "rtc-time" });
        let time = self.qmp.command("qom-get", &wanted)?;
        seconds(&time).ok_or_else(|| Error::Machine(format!("the machine's clock says {time}")))
    }

    /// Whether the guest set that clock since power-on, or since this was last asked.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU is gone.
    pub fn clock_was_set(&mut self) -> Result<bool> {
        // Any command brings the events up to now in.
        self.qmp.command("query-status", &json!({}))?;
        Ok(self.qmp.event("RTC_CHANGE", Duration::ZERO)?.is_some())
    }

    /// Sends any QMP command.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU refuses.
    pub fn qmp(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        self.qmp.command(name, arguments)
    }

    /// Waits until the guest powers off or resets; the machine then stands still.
    ///
    /// # Errors
    /// [`Error::Test`] when it does neither within `limit`.
    pub fn wait_end(&mut self, limit: Duration) -> Result<End> {
        match self.qmp.event("SHUTDOWN", limit)? {
            Some(event) if event["data"]["reason"] == "guest-reset" => Ok(End::Reset),
            Some(event) if event["data"]["guest"] == true => Ok(End::PowerOff),
            Some(event) => test(format!("the guest ended by {}", event["data"])),
            None => test(format!("the guest neither powered off nor reset within {limit:?}")),
        }
    }

    /// Cuts the power: QEMU ends at once, the guest learns nothing.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU will not end.
    pub fn cut(mut self) -> Result<()> {
        self.qmp.post("quit");
        self.process.wait(Duration::from_secs(20)).map(drop)
    }
}

/// Seconds since 1970 of a broken-down time in UTC as QEMU tells it (`struct tm`).
fn seconds(time: &Value) -> Option<i64> {
    let part = |name: &str| time.get(name)?.as_i64();
    let (year, month, day) = (part("tm_year")? + 1900, part("tm_mon")?, part("tm_mday")?);
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let past = if month > 1 { year } else { year - 1 };
    let days = (year - 1970) * 365 + leap(past) - leap(1969)
        + BEFORE.get(usize::try_from(month).ok()?)?
        + day
        - 1;
    Some(((days * 24 + part("tm_hour")?) * 60 + part("tm_min")?) * 60 + part("tm_sec")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by an independent tool: `date -u -d … +%s`.
    #[test]
    fn seconds_of_broken_down_times() {
        for (date, [year, month, day, hour, minute, second], known) in [
            ("1970-01-01 00:00:00", [70, 0, 1, 0, 0, 0], 0),
            ("2000-02-29 23:59:59", [100, 1, 29, 23, 59, 59], 951_868_799),
            ("2024-03-01 12:00:00", [124, 2, 1, 12, 0, 0], 1_709_294_400),
            ("1969-12-31 23:59:58", [69, 11, 31, 23, 59, 58], -2),
        ] {
            let time = json!({
                "tm_year": year, "tm_mon": month, "tm_mday": day,
                "tm_hour": hour, "tm_min": minute, "tm_sec": second,
            });
            assert_eq!(seconds(&time), Some(known), "{date}");
            if let Ok(theirs) = crate::process::run("date", &["-u", "-d", date, "+%s"]) {
                assert_eq!(theirs.trim(), known.to_string(), "{date}");
            }
        }
        assert_eq!(seconds(&json!({ "tm_year": 70 })), None);
    }
}
