//! What is known of one disk without reading a byte of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Counters, Error};

/// The kernel's name of a whole disk or partition, such as `sda` or `nvme0n1p2`.
///
/// Only letters, digits and `!-_.` after a letter: it is used as one component of a path, so it
/// can never climb out of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiskName(String);

impl DiskName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DiskName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix("/dev/").unwrap_or(text);
        let fits = !text.is_empty()
            && text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|one| one.is_ascii_alphanumeric() || "!-_.".contains(one));
        if fits { Ok(Self(text.to_owned())) } else { Err(Error::name(text)) }
    }
}

impl TryFrom<String> for DiskName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DiskName> for String {
    fn from(name: DiskName) -> Self {
        name.0
    }
}

impl fmt::Display for DiskName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Whether a disk can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockState {
    /// The broker set the lock before anything opened the disk, and it reads back as set.
    Locked,
    /// The examiner unlocked this disk by model and serial.
    Unlocked,
    /// The lock could not be set or did not read back: the broker hands this disk to nobody.
    Failed,
    /// There is no broker (desk or live host); nothing locks this disk.
    Unguarded,
}

impl fmt::Display for LockState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Locked => "locked",
            Self::Unlocked => "UNLOCKED",
            Self::Failed => "LOCK FAILED",
            Self::Unguarded => "not guarded",
        })
    }
}

/// One partition as the kernel sees it (a second opinion beside our own reader).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Kernel name, such as `sda1`.
    pub name: DiskName,
    /// First byte on the disk.
    pub start_bytes: u64,
    /// Length in bytes.
    pub size_bytes: u64,
}

/// One file system of an unlocked disk that the broker mounted for writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The disk or partition it stands on.
    pub device: DiskName,
    /// File-system type, such as `exfat`.
    pub kind: String,
    /// Folder in the tools' view, such as `/media/sdb1`.
    pub at: String,
    /// The folder under `at` that the tools may write to (equal to `at` unless the file system
    /// has owners, where the broker makes a folder for them).
    pub writable: String,
}

/// One whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel name, such as `sda`.
    pub name: DiskName,
    /// Device number, `major:minor`.
    pub number: String,
    /// How it is attached: `ata`, `scsi`, `nvme`, `usb`, `virtio`, `mmc`, …; `unknown` if unclear.
    pub bus: String,
    /// Model as the device gives it, trimmed; empty if it gives none.
    pub model: String,
    /// Serial number as the device gives it, trimmed; empty if it gives none.
    pub serial: String,
    /// World-wide name, if the device gives one.
    pub wwn: Option<String>,
    /// Firmware revision, if the device gives one.
    pub revision: Option<String>,
    /// Size in bytes as the kernel sees it.
    pub size_bytes: u64,
    /// Logical block size in bytes.
    pub logical_block_bytes: u32,
    /// Physical block size in bytes.
    pub physical_block_bytes: u32,
    /// The kernel says the medium can be removed.
    pub removable: bool,
    /// The kernel says it spins.
    pub rotational: bool,
    /// The kernel's own read-only flag.
    pub kernel_read_only: bool,
    /// Lock state.
    pub lock: LockState,
    /// It is the source of an exhibit of this session and can never be unlocked.
    pub exhibit_source: bool,
    /// Counters when the broker last locked the disk: at first sight, or after an unlock.
    pub counters_at_lock: Counters,
    /// Counters now.
    pub counters: Counters,
    /// Partitions the kernel found.
    pub partitions: Vec<Partition>,
    /// Where the broker mounted it, if unlocked.
    pub mounts: Vec<Mount>,
    /// What went wrong with this disk, in words.
    pub problems: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_safe_path_component() {
        for good in ["sda", "/dev/nvme0n1p2", "cciss!c0d0", "mmcblk0boot0", "sr0"] {
            assert!(good.parse::<DiskName>().is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "/dev/../etc", ".hidden", "-x", "sd a", "sd\n", "ü"] {
            assert!(bad.parse::<DiskName>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<DiskName>("\"../x\"").is_err());
    }
}
