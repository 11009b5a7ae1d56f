//! Clean Debian roots with what a server has, made once by mmdebstrap and kept below the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: &str = "systemd-sysv,cron,at,anacron,openssh-server,udev,dbus,sudo,polkitd,network-manager,\
    linux-image-cloud-amd64,initramfs-tools,busybox,zstd,logrotate,python3,git,ifupdown,rsyslog,auditd,vim-tiny,\
    x11-common,unattended-upgrades,e2fsprogs";

/// The unpacked root of this suite; `None` and a message where it cannot be made.
pub(crate) fn debian(suite: &str) -> Option<PathBuf> {
    static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("triage-{suite}"));
    if kept.join("etc/debian_version").exists() {
        return Some(kept);
    }
    if !Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n") {
        eprintln!("skipped: not root");
        return None;
    }
    let making = kept.with_extension("making");
    let _ = std::fs::remove_dir_all(&making);
    let made = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=Acquire::Languages \"none\""])
        .arg(format!("--include={}", PACKAGES.replace([' ', '\n'], "")))
        .args([suite, making.to_str()?])
        .output();
    match made {
        Ok(out) if out.status.success() => {
            std::fs::rename(&making, &kept).expect("renaming the finished root");
            Some(kept)
        }
        _ => {
            eprintln!("skipped: no mmdebstrap or no mirror");
            None
        }
    }
}
