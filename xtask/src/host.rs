//! Programs the build machine must have: installed by apt when root, named in one line otherwise.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

/// A program or file of the build machine.
#[allow(dead_code, reason = "the commands that boot machines ask for the rest")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tool {
    /// `apt-get`, and the key it checks the archive with.
    Apt,
    /// `dpkg-deb`.
    DpkgDeb,
    /// The C library for static programs, and a linker.
    StaticCLibrary,
    /// `qemu-system-x86_64`.
    Qemu,
    /// UEFI firmware for QEMU, with Microsoft's keys too.
    Ovmf,
    /// `mmdebstrap`.
    Mmdebstrap,
    /// `mkfs.ext4`, `debugfs`.
    E2fsprogs,
    /// `mkfs.xfs`.
    Xfsprogs,
    /// `mkfs.btrfs`.
    BtrfsProgs,
    /// `mkfs.fat`.
    Dosfstools,
    /// `mcopy`.
    Mtools,
    /// `depmod`.
    Kmod,
    /// `mdadm`.
    Mdadm,
    /// Programs of others that judge our formats in the tests.
    Oracles,
    /// Python, with the means to install into a folder of its own.
    Python,
    /// What benchmarks are planted and timed with.
    Benchmarks,
    /// Imagers of others, to be timed beside ours.
    Imagers,
}

impl Tool {
    /// Debian packages, and a path each that shows whether they are there.
    fn packages(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Apt => &[
                ("apt", "apt-get"),
                ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
            ],
            Self::DpkgDeb => &[("dpkg", "dpkg-deb"), ("xz-utils", "xz")],
            Self::StaticCLibrary => {
                &[("gcc", "cc"), ("libc6-dev", "/usr/lib/x86_64-linux-gnu/libc.a")]
            }
            Self::Qemu => &[("qemu-system-x86", "qemu-system-x86_64")],
            Self::Ovmf => &[("ovmf", "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")],
            Self::Mmdebstrap => &[("mmdebstrap", "mmdebstrap")],
            Self::E2fsprogs => &[("e2fsprogs", "mkfs.ext4")],
            Self::Xfsprogs => &[("xfsprogs", "mkfs.xfs")],
            Self::BtrfsProgs => &[("btrfs-progs", "mkfs.btrfs")],
            Self::Dosfstools => &[("dosfstools", "mkfs.fat")],
            Self::Mtools => &[("mtools", "mcopy")],
            Self::Kmod => &[("kmod", "depmod")],
            Self::Mdadm => &[("mdadm", "mdadm")],
            Self::Python => {
                &[("python3", "python3"), ("python3-venv", "/usr/share/doc/python3-venv")]
            }
            Self::Benchmarks => &[
                ("aide", "aide"),
                ("chkrootkit", "chkrootkit"),
                ("debsums", "debsums"),
                ("python3", "python3"),
                ("time", "/usr/bin/time"),
            ],
            Self::Imagers => &[("dc3dd", "dc3dd"), ("dcfldd", "dcfldd"), ("openssl", "openssl")],
            Self::Oracles => &[
                ("age", "age"),
                ("aide", "aide"),
                ("btrfs-progs", "mkfs.btrfs"),
                ("chromium", "chromium"),
                ("cpio", "cpio"),
                ("cryptsetup-bin", "cryptsetup"),
                ("db5.3-util", "db5.3_load"),
                ("debsums", "debsums"),
                ("dosfstools", "mkfs.fat"),
                ("e2fsprogs", "debugfs"),
                ("erofs-utils", "mkfs.erofs"),
                ("ewf-tools", "ewfacquire"),
                ("exfat-fuse", "mount.exfat-fuse"),
                ("exfatprogs", "mkfs.exfat"),
                ("f2fs-tools", "mkfs.f2fs"),
                ("fdisk", "sfdisk"),
                ("fuse3", "fusermount3"),
                ("gddrescue", "ddrescuelog"),
                ("gdisk", "sgdisk"),
                ("gpg", "gpg"),
                ("gpgv", "gpgv"),
                ("genisoimage", "isoinfo"),
                ("gnupg", "gpg"),
                ("grub-common", "grub-mkimage"),
                ("grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img"),
                ("hashdeep", "hashdeep"),
                ("libarchive-tools", "bsdtar"),
                ("libhivex-bin", "hivexml"),
                ("libsnappy1v5", "/usr/lib/x86_64-linux-gnu/libsnappy.so.1"),
                ("minisign", "minisign"),
                ("mount", "losetup"),
                ("mtools", "mcopy"),
                ("mtree-netbsd", "mtree"),
                ("ntfs-3g", "mkfs.ntfs"),
                ("openssl", "openssl"),
                ("pacman-package-manager", "pacman"),
                ("podman", "podman"),
                ("python3", "python3"),
                ("python3-yaml", "/usr/lib/python3/dist-packages/yaml"),
                ("qemu-system-common", "qemu-storage-daemon"),
                ("qemu-utils", "qemu-img"),
                ("rpm", "rpmbuild"),
                ("sleuthkit", "mmls"),
                ("squashfs-tools", "mksquashfs"),
                ("tlsh-tools", "tlsh_unittest"),
                ("xfsprogs", "mkfs.xfs"),
                ("xorriso", "xorriso"),
                ("yara", "yara"),
                ("zstd", "zstd"),
            ],
        }
    }
}

/// Makes sure that every tool is there.
pub(crate) fn need(tools: &[Tool]) -> Result<()> {
    let mut missing: Vec<&str> = tools
        .iter()
        .flat_map(|tool| tool.packages())
        .filter(|(_, proof)| !present(proof))
        .map(|(package, _)| *package)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let sh = Shell::new()?;
    let root = cmd!(sh, "id -u").quiet().read().is_ok_and(|id| id == "0");
    if !root || !present("apt-get") {
        bail!("missing on this machine; as root: apt-get install {}", missing.join(" "));
    }
    sh.set_var("DEBIAN_FRONTEND", "noninteractive");
    cmd!(sh, "apt-get -q update").run()?;
    cmd!(sh, "apt-get -q install -y --no-install-recommends {missing...}").run()?;
    Ok(())
}

/// Whether a path, or a program in the search path or the system folders, exists.
fn present(proof: &str) -> bool {
    if proof.starts_with('/') {
        return Path::new(proof).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(proof).is_file())
}

#[cfg(test)]
mod tests {
    use super::present;

    #[test]
    fn programs_and_paths_are_told_apart() {
        assert!(present("sh"));
        assert!(present("/"));
        assert!(!present("no-such-program-here"));
        assert!(!present("/no/such/path"));
    }
}
