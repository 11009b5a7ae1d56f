//! A helper guest with ordinary tools: makes dirty disks by a real power cut, and plays the
//! careless examiner in negative controls.
//!
//! Its kernel and its tools are Debian's, unpacked without running any package script. Disks are
//! left as a crashed machine leaves them because QEMU is ended while they are mounted.

use crate::builder::{Boot, Builder};
use crate::disk::Disk;
use crate::error::{Doing, Error, Result, machine};
use crate::packages::{Depth, install};
use crate::running::Machine;
use crate::shell::Shell;
use crate::{cache, cpio, process};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Suite of the tools: the one the stick's own kernel comes from.
const SUITE: &str = "trixie";

const PACKAGES: [&str; 19] = [
    "bash",
    "btrfs-progs",
    "busybox-static",
    "coreutils",
    "cryptsetup-bin",
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "exfatprogs",
    "fdisk",
    "grep",
    "kmod",
    "linux-image-amd64",
    "lvm2",
    "mdadm",
    "mount",
    "thin-provisioning-tools",
    "util-linux",
    "xfsprogs",
];

/// Modules the guest may need; what they depend on comes along.
const MODULES: [&str; 38] = [
    "aesni-intel",
    "ahci",
    "btrfs",
    "dm-cache-smq",
    "dm-crypt",
    "dm-mod",
    "dm-raid",
    "dm-mirror",
    "dm-snapshot",
    "dm-thin-pool",
    "dm-writecache",
    "essiv",
    "exfat",
    "ext4",
    "isofs",
    "loop",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859-1",
    "nvme",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "sd_mod",
    "sg",
    "sr_mod",
    "uas",
    "usb-storage",
    "vfat",
    "virtio_blk",
    "virtio_console",
    "virtio_scsi",
    "xfs",
    "xts",
    "xhci-pci",
    "crc32_generic",
    "crc32c_generic",
];

/// Parts of the unpacked packages a guest has no use for.
const UNUSED: [&str; 10] = [
    "boot",
    "usr/include",
    "usr/lib/systemd",
    "usr/lib/udev",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/share",
    "var/cache",
    "var/lib",
];

/// PID 1 of the guest: set up and hand the serial line to a shell.
const INIT: &str = r#"#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/busybox HOME=/root TERM=dumb
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm /run/lock /run/lvm /etc/lvm /mnt /busybox /tmp
mount -t tmpfs tmp /run
/usr/bin/busybox --install -s /busybox
ln -sf /proc/mounts /etc/mtab
printf 'activation { udev_sync = 0 udev_rules = 0 }\ndevices { use_devicesfile = 0 }\n' >/etc/lvm/lvm.conf
modprobe -a virtio_blk virtio_scsi sd_mod crc32_generic crc32c_generic
disk() {
  for b in /sys/block/*; do
    if grep -qx "$1" $b/serial || tail -c +5 $b/device/vpd_pg80 | grep -aqx "$1"; then
      echo /dev/${b##*/}
    fi
  done 2>/dev/null
}
export -f disk
echo 3 >/proc/sys/kernel/printk
echo "workshop is ready" >/dev/ttyS0
exec setsid bash -c 'exec bash --norc --noediting -i </dev/ttyS0 >/dev/ttyS0 2>&1'
"#;

/// A running helper guest.
#[derive(Debug)]
pub struct Workshop {
    /// The machine, for counters.
    pub machine: Machine,
    /// Its shell.
    pub shell: Shell,
}

/// Kernel and initial root of the helper guest, made once.
///
/// # Errors
/// [`Error::Machine`] when the packages cannot be had.
pub fn parts() -> Result<(PathBuf, PathBuf)> {
    let key = format!("{SUITE} {PACKAGES:?}");
    let packages = cache::folder("packages", &key, |folder| {
        install(&folder.join("tree"), SUITE, Depth::Unpacked, &PACKAGES)
    })?;
    let key = format!("{key} {MODULES:?} {UNUSED:?} {INIT}");
    let made = cache::folder("workshop", &key, |folder| make(&packages.join("tree"), folder))?;
    Ok((made.join("vmlinuz"), made.join("initrd.img")))
}

fn make(tree: &Path, folder: &Path) -> Result<()> {
    let modules = tree.join("usr/lib/modules");
    let version = only_child(&modules)?;
    let kernel = tree.join("boot").join(format!("vmlinuz-{version}"));
    let target = folder.join("vmlinuz");
    std::fs::copy(&kernel, &target).doing("copying", &kernel)?;
    process::run("depmod", &["-b", &tree.to_string_lossy(), &version])?;
    let dep = modules.join(&version).join("modules.dep");
    let text = std::fs::read_to_string(&dep).doing("reading", &dep)?;
    let wanted: Vec<PathBuf> = closure(&text, &MODULES)?
        .iter()
        .map(|m| Path::new("usr/lib/modules").join(&version).join(m))
        .collect();
    let init = tree.join("init");
    std::fs::write(&init, INIT).doing("writing", &init)?;
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755))
        .doing("setting mode of", &init)?;
    for mount_point in ["proc", "sys", "dev", "run", "tmp", "root"] {
        let path = tree.join(mount_point);
        std::fs::create_dir_all(&path).doing("creating", &path)?;
    }
    let keep = |path: &Path| {
        let module = path.extension().is_some_and(|e| e == "xz" || e == "ko")
            && path.starts_with("usr/lib/modules");
        let unused = UNUSED.iter().any(|u| path.starts_with(u));
        if module { wanted.iter().any(|w| w == path) } else { !unused }
    };
    cpio::write(tree, &folder.join("initrd.img"), &keep)
}

fn only_child(folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).doing("listing", folder)? {
        names.push(entry.doing("listing", folder)?.file_name().to_string_lossy().into_owned());
    }
    match names.as_slice() {
        [one] => Ok(one.clone()),
        _ => machine(format!("expected one kernel in {}, found {names:?}", folder.display())),
    }
}

/// Paths of `names` and all they need, from a `modules.dep`.
fn closure(dep: &str, names: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names {
        let plain = name.replace('-', "_");
        let line = dep.lines().find(|line| {
            let path = line.split(':').next().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split('.').next().unwrap_or_default().replace('-', "_") == plain
        });
        // Some are built into some kernels: absence is not an error, the recipe will tell.
        for path in line.unwrap_or_default().split([':', ' ']).filter(|p| !p.is_empty()) {
            found.push(path.to_owned());
        }
    }
    found.sort();
    found.dedup();
    if found.is_empty() { machine("modules.dep names none of the modules") } else { Ok(found) }
}

impl Workshop {
    /// Starts the helper guest with `disks` and waits for its shell.
    ///
    /// # Errors
    /// [`Error::Machine`]: whatever goes wrong here is no fault of Glovebox.
    pub fn start(folder: &Path, disks: &[Disk]) -> Result<Self> {
        Self::start_at(folder, disks, "utc")
    }

    /// As [`Workshop::start`], with the guest's clock set.
    ///
    /// # Errors
    /// As [`Workshop::start`].
    pub fn start_at(folder: &Path, disks: &[Disk], clock: &str) -> Result<Self> {
        let (kernel, initrd) = parts()?;
        let append = "console=ttyS0,115200 quiet loglevel=3 rdinit=/init panic=0".to_owned();
        let boot = Boot::Kernel { kernel, initrd, append };
        let mut machine = Builder::new(boot)
            .memory_mib(1536)
            .clock(clock)
            .disks(disks.iter().cloned())
            .start(folder)?;
        let shell = machine.shell()?;
        let workshop = Self { machine, shell };
        workshop.shell.wait_for("workshop is ready", Duration::from_secs(120)).map_err(blame)?;
        Ok(workshop)
    }

    /// Runs lines in order; each must end with 0.
    ///
    /// # Errors
    /// [`Error::Machine`] naming the line that failed.
    pub fn run(&mut self, script: &str) -> Result<String> {
        let mut text = String::new();
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            text.push_str(&self.shell.must(line, Duration::from_secs(180)).map_err(blame)?);
        }
        Ok(text)
    }

    /// Cuts the power.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU will not end.
    pub fn cut(self) -> Result<()> {
        self.machine.cut()
    }
}

/// A helper that does not help is the machine's fault, never Glovebox's.
fn blame(error: Error) -> Error {
    match error {
        Error::Test(text) => Error::Machine(format!("workshop: {text}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closure_brings_what_a_module_needs() {
        let dep = "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz\n\
                   kernel/fs/jbd2/jbd2.ko.xz:\nkernel/drivers/md/dm-mod.ko.xz:\n";
        let found = closure(dep, &["ext4", "dm_mod"]).expect("found");
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
