//! A system in daily use: used by its own programs in a chroot as its owner would use it: accounts, packages installed anew,
//! removed and purged, services chosen, jobs planned, logs turned over, boot images made again.

use std::path::Path;
use std::process::Command;

/// What the owner does, by the system's own programs. `/debs` has its packages.
const DAYS: &str = include_str!("days.sh");

/// What the owner's own acts deviate in, and is rightly told: rules and paths.
pub(crate) const KNOWN: &[(&str, &str)] = &[
    // What a user lets run.
    ("GBV-0301", "/var/spool/cron/crontabs/alice"),
    // What a package that was removed, but not purged, leaves behind.
    ("GBV-0301", "/etc/logcheck/ignore.d.server/rsyslog"),
    ("GBV-0301", "/etc/logrotate.d/rsyslog.disabled"),
    ("GBV-0301", "/etc/rsyslog.conf"),
    ("GBV-0301", "/var/lib/dpkg/info/rsyslog.list"),
    ("GBV-0302", "/var/lib/dpkg/info/rsyslog.postrm"),
    ("GBV-0401", "/etc/systemd/system/multi-user.target.wants/rsyslog.service"),
    ("GBV-0401", "/etc/systemd/system/syslog.service"),
];

/// Uses the system; `debs` has the packages it was installed from.
pub(crate) fn use_it(root: &Path, debs: &Path) {
    // Own mounts and processes: what a service leaves running ends with the script.
    let line = format!(
        "mount -t proc proc {0}/proc && mount -t sysfs -o ro sysfs {0}/sys && mount -t tmpfs tmpfs {0}/run && \
         mount -t tmpfs tmpfs {0}/tmp && mount --rbind /dev {0}/dev && mkdir -p {0}/debs && \
         mount --bind -o ro \"$DEBS\" {0}/debs && exec chroot {0} sh -c \"$DAYS\"",
        root.display()
    );
    let out = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--uts",
            "--ipc",
            "--net",
            "--kill-child",
            "sh",
            "-c",
            &line,
        ])
        .env("DAYS", DAYS)
        .env("DEBS", debs)
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&said));
    std::fs::remove_dir(root.join("debs")).unwrap();
}
