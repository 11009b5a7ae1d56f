//! Accounts, keys and rights the intruder left.

use super::plant::Plant;
use crate::error::Result;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdMT1ZFQk9YLVNBTVBMRS1OT1QtQS1SRUFMLUtFWTAx";

pub(super) fn plant(plant: &Plant<'_>) -> Result<()> {
    // An ordinary account, to see that it is not reported as bad.
    plant.append("/etc/passwd", 0, "deploy:x:1000:1000:Deployment:/home/deploy:/bin/bash\n")?;
    plant.append("/etc/shadow", 0, "deploy:!:20000:0:99999:7:::\n")?;
    plant.append("/etc/group", 0, "deploy:x:1000:\n")?;
    plant.file("/home/deploy/.profile", 0o644, 0, b"# ordinary\n")?;
    // T1136.001: a second account with uid 0.
    plant.append("/etc/passwd", 310, "sysupd:x:0:0:System updater:/var/lib/sysupd:/bin/bash\n")?;
    plant.append("/etc/shadow", 310, "sysupd:$6$notasalt$notahash:20526:0:99999:7:::\n")?;
    // T1098.004: a key for root.
    plant.file(
        "/root/.ssh/authorized_keys",
        0o600,
        290,
        format!("{KEY} ops@198.51.100.23\n").as_bytes(),
    )?;
    // T1548.003: the web server's account may do everything.
    plant.file(
        "/etc/sudoers.d/90-web-maintenance",
        0o440,
        330,
        b"www-data ALL=(ALL) NOPASSWD:ALL\n",
    )?;
    // T1021.004: root may log in with a password.
    plant.append("/etc/ssh/sshd_config", 340, "PermitRootLogin yes\nPasswordAuthentication yes\n")
}
