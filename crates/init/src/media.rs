//! Mounting the examiner's own medium after it was unlocked, and letting it go.
//!
//! The only file systems the stick can write are loaded here, at the moment the examiner asked for
//! one, and mounted without execution, devices or set-id bits.

use std::ffi::CStr;
use std::fs;

use guard::{Disk, DiskName, Mount};
use rustix::fs::{Mode, OFlags, open, syncfs};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount as umount};

use crate::boot::{SEALED, open_to_tools};
use crate::modules::Modules;

/// Type, modules it needs, mount data. exFAT and FAT have no owners: the tools' user gets all.
const KINDS: [(&str, &[&str], &CStr); 3] = [
    ("exfat", &["exfat"], c"uid=1000,gid=1000,umask=077"),
    ("vfat", &["nls_cp437", "nls_ascii", "vfat"], c"uid=1000,gid=1000,umask=077,utf8=1"),
    ("ext4", &["crc32c_generic", "ext4"], c"errors=remount-ro"),
];

/// Mounts every file system of the disk that the stick can write.
///
/// # Errors
/// In words, if there is none: then nothing stays mounted.
pub(crate) fn mount_all(disk: &Disk, modules: &mut Modules) -> Result<Vec<Mount>, String> {
    for (_, needed, _) in KINDS {
        for name in needed.iter().filter(|name| modules.holds(name)).collect::<Vec<_>>() {
            modules.load(name)?;
        }
    }
    let devices: Vec<&DiskName> = if disk.partitions.is_empty() {
        vec![&disk.name]
    } else {
        disk.partitions.iter().map(|partition| &partition.name).collect()
    };
    let mut mounts = Vec::new();
    let mut reasons = Vec::new();
    for device in devices {
        match mount_one(device) {
            Ok(mount) => mounts.push(mount),
            Err(reason) => reasons.push(reason),
        }
    }
    if mounts.is_empty() {
        return Err(format!(
            "nothing on {} could be mounted for writing (exFAT, FAT and ext4 can): {}",
            disk.name,
            reasons.join("; ")
        ));
    }
    Ok(mounts)
}

fn mount_one(device: &DiskName) -> Result<Mount, String> {
    let at = format!("/media/{device}");
    let outside = format!("{SEALED}{at}");
    let _there = fs::create_dir_all(&outside);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    let node = format!("/dev/{}", device.as_str().replace('!', "/"));
    let mut reasons = Vec::new();
    for (kind, _, data) in KINDS {
        match mount(&*node, &*outside, kind, flags, Some(data)) {
            Ok(()) => {
                let writable = writable_folder(kind, &at)?;
                return Ok(Mount { device: device.clone(), kind: kind.to_owned(), at, writable });
            }
            Err(problem) => reasons.push(format!("{kind}: {problem}")),
        }
    }
    let _left = fs::remove_dir(&outside);
    Err(format!("{device} ({})", reasons.join(", ")))
}

/// On a file system with owners the tools get one folder of their own.
fn writable_folder(kind: &str, at: &str) -> Result<String, String> {
    if kind != "ext4" {
        return Ok(at.to_owned());
    }
    let folder = format!("{at}/glovebox");
    let outside = format!("{SEALED}{folder}");
    let made = match fs::create_dir(&outside) {
        Err(problem) if problem.kind() != std::io::ErrorKind::AlreadyExists => Err(problem),
        _ => open_to_tools(&outside),
    };
    made.map(|()| folder).map_err(|problem| format!("making a folder for cases: {problem}"))
}

/// Unmounts, after everything is on the medium.
pub(crate) fn unmount(mount: &Mount) -> Result<(), String> {
    let at = format!("{SEALED}{}", mount.at);
    if let Ok(folder) = open(&*at, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        syncfs(&folder).map_err(|problem| format!("flushing {}: {problem}", mount.at))?;
    }
    umount(&*at, UnmountFlags::empty()).map_err(|problem| {
        format!("unmounting {}: {problem} (a program may still use it)", mount.at)
    })?;
    let _left = fs::remove_dir(&at);
    Ok(())
}

/// Lets go of a file system whose disk is gone.
pub(crate) fn let_go(mount: &Mount) {
    let at = format!("{SEALED}{}", mount.at);
    let _gone = umount(&*at, UnmountFlags::DETACH);
    let _left = fs::remove_dir(&at);
}
