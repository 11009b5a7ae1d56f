//! Whether a place lies on the host's own disks: writing there destroys what was deleted, and changes the evidence.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::host::{Host, path_of, shown};
use crate::tables::{self, Mount};

/// Mount points of the host's own system; what is mounted elsewhere may be the examiner's.
const OWN: [&str; 11] =
    ["/", "/boot", "/usr", "/var", "/home", "/etc", "/opt", "/srv", "/root", "/tmp", "/nix"];
/// File systems that lie on another machine.
const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "fuse.sshfs"];

/// Where a place lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lies {
    /// On a medium that is none of the host's, in words.
    Elsewhere(String),
    /// On the host's own disks or in its memory, in words.
    OnHost(String),
}

/// Where this path lies, or would lie once it is made.
#[must_use]
pub fn lies(host: &Host, path: &Path) -> Lies {
    let mut existing = path.to_path_buf();
    let real = loop {
        match std::fs::canonicalize(&existing) {
            Ok(real) => break real,
            Err(_) if existing.pop() && !existing.as_os_str().is_empty() => {}
            Err(_) => match std::fs::canonicalize(".") {
                Ok(here) => break here,
                Err(_) => return Lies::OnHost("the folder cannot be found".to_owned()),
            },
        }
    };
    let text = host.pseudo(&host.shown_proc("self/mountinfo")).unwrap_or_default();
    let swaps = host.pseudo_text(&host.shown_proc("swaps"));
    let mounts: Vec<Mount> = text.split(|byte| *byte == b'\n').filter_map(tables::mount).collect();
    judge(&mounts, &swaps, &real, &|mount| disks(host, mount))
}

fn judge(
    mounts: &[Mount],
    swaps: &str,
    real: &Path,
    disks: &dyn Fn(&Mount) -> BTreeSet<String>,
) -> Lies {
    // Of mounts at one point the last covers the others.
    let covers = |mount: &&Mount| real.starts_with(path_of(&mount.point));
    let depth = |mount: &&Mount| path_of(&mount.point).components().count();
    let Some(own) = mounts.iter().filter(covers).max_by_key(depth) else {
        return Lies::OnHost("its file system is unknown".to_owned());
    };
    let what = format!("{} at {}", own.kind, shown(&own.point));
    if REMOTE.contains(&own.kind.as_str()) {
        return Lies::Elsewhere(what);
    }
    let on = disks(own);
    let is_own = |mount: &&Mount| OWN.iter().any(|point| point.as_bytes() == mount.point);
    let mut of_host: BTreeSet<String> = mounts.iter().filter(is_own).flat_map(disks).collect();
    for source in swaps.lines().filter_map(|line| line.split_whitespace().next()) {
        of_host.extend(whole_disk_of(source));
    }
    let names = on.iter().cloned().collect::<Vec<_>>().join(", ");
    if on.is_empty() {
        Lies::OnHost(format!("{what}: on no disk of its own"))
    } else if on.is_disjoint(&of_host) {
        Lies::Elsewhere(format!("{what} on {names}"))
    } else {
        Lies::OnHost(format!("{what} on {names}, a disk of the host's own system"))
    }
}

/// A swap area that is a device; one that is a file lies on a file system that is counted anyway.
fn whole_disk_of(source: &str) -> BTreeSet<String> {
    let found = std::fs::metadata(source);
    match found {
        Ok(found) if found.file_type().is_block_device() => {
            whole_disks(Path::new("/sys"), &number_of(found.rdev()))
        }
        _ => BTreeSet::new(),
    }
}

fn number_of(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// The whole disks below a mount.
fn disks(host: &Host, mount: &Mount) -> BTreeSet<String> {
    if !mount.device.starts_with("0:") {
        return whole_disks(&host.sys(""), &mount.device);
    }
    // Btrfs has a number of its own; its source is one of its devices.
    let source = path_of(&mount.source);
    match std::fs::metadata(&source) {
        Ok(found) if found.file_type().is_block_device() => {
            whole_disks(&host.sys(""), &number_of(found.rdev()))
        }
        _ => BTreeSet::new(),
    }
}

/// Names of the disks that a device is part of, through volumes and arrays.
fn whole_disks(sys: &Path, number: &str) -> BTreeSet<String> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut left: Vec<PathBuf> =
        std::fs::canonicalize(sys.join("dev/block").join(number)).into_iter().collect();
    while let Some(folder) = left.pop() {
        if !seen.insert(folder.clone()) || seen.len() > 1000 {
            continue;
        }
        let below: Vec<PathBuf> = std::fs::read_dir(folder.join("slaves"))
            .into_iter()
            .flatten()
            .filter_map(|entry| std::fs::canonicalize(entry.ok()?.path()).ok())
            .collect();
        if folder.join("partition").exists() {
            left.extend(folder.parent().map(Path::to_path_buf));
        } else if below.is_empty() {
            let name = folder.file_name().map(|name| shown(name.as_bytes()));
            found.extend(name);
        } else {
            left.extend(below);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Vec<Mount> {
        let lines = [
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
            "23 22 0:5 / /dev/shm rw - tmpfs tmpfs rw",
            "24 22 8:17 / /mnt/stick ro - vfat /dev/sdb1 ro",
            "25 22 0:40 / /mnt/far rw - nfs4 server:/x rw",
            "26 22 8:2 / /srv/data rw - ext4 /dev/sda2 rw",
        ];
        lines.iter().filter_map(|line| tables::mount(line.as_bytes())).collect()
    }

    fn disks(mount: &Mount) -> BTreeSet<String> {
        let name = match mount.device.as_str() {
            "8:1" | "8:2" => "sda",
            "8:17" => "sdb",
            _ => return BTreeSet::new(),
        };
        BTreeSet::from([name.to_owned()])
    }

    #[test]
    fn only_a_medium_of_ones_own_is_elsewhere() {
        let at = |path: &str| judge(&mounts(), "", Path::new(path), &disks);
        assert!(matches!(at("/mnt/stick/case"), Lies::Elsewhere(_)));
        assert!(matches!(at("/mnt/far/case"), Lies::Elsewhere(_)));
        for path in ["/mnt/case", "/dev/shm/case", "/srv/data/case", "/home/x"] {
            assert!(matches!(at(path), Lies::OnHost(_)), "{path}");
        }
    }

    /// The running machine vouches: its root is its own.
    #[test]
    fn the_root_is_the_hosts_own() {
        assert!(matches!(lies(&Host::running(), Path::new("/not/there")), Lies::OnHost(_)));
    }
}
