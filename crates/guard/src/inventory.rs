//! The disks the kernel shows in `/sys/block`, without opening one of them.
//!
//! Both sides use it: the broker for its answers, a tool on a desk or live host directly.

use std::fs;
use std::path::Path;

use crate::{Counters, Disk, DiskName, Error, LockState, Partition};

/// Longest text taken from one attribute, in bytes.
const ATTRIBUTE_LIMIT_BYTES: usize = 4096;

/// Kinds of block device that are no disk: memory, loops and stacked devices.
const NO_DISK: [&str; 7] = ["ram", "loop", "zram", "dm-", "md", "nbd", "fd"];

/// Whether the kernel name belongs to a disk, optical drive or card: something evidence lies on.
#[must_use]
pub fn is_disk(name: &str) -> bool {
    !NO_DISK.iter().any(|prefix| name.starts_with(prefix))
}

/// All disks, sorted by name. `lock` is [`LockState::Unguarded`]; the broker fills in its own.
///
/// # Errors
/// Only if `/sys/block` itself cannot be listed.
pub fn disks(sys: &Path) -> Result<Vec<Disk>, Error> {
    let folder = sys.join("block");
    let entries = fs::read_dir(&folder)
        .map_err(|source| Error::io(format!("listing {}", folder.display()), source))?;
    let mut names: Vec<DiskName> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_disk(name))
        .filter_map(|name| name.parse().ok())
        .collect();
    names.sort_by_key(|one| natural(one.as_str()));
    Ok(names.into_iter().filter_map(|name| disk(sys, name)).collect())
}

/// One disk, or `None` if it is not (or no longer) there.
#[must_use]
pub fn disk(sys: &Path, name: DiskName) -> Option<Disk> {
    let folder = sys.join("block").join(name.as_str());
    let number = attribute(&folder.join("dev"))?;
    let counters = counters(sys, &name).unwrap_or_default();
    let bytes = |file: &str| number_of(&folder.join(file)).unwrap_or(0).saturating_mul(512);
    let small = |file: &str| {
        number_of(&folder.join(file)).and_then(|value| u32::try_from(value).ok()).unwrap_or(512)
    };
    let bus = bus_of(&folder, name.as_str());
    Some(Disk {
        number,
        model: model_of(&folder, &bus),
        serial: serial_of(&folder),
        wwn: ["wwid", "device/wwid"].iter().find_map(|file| attribute(&folder.join(file))),
        revision: ["device/rev", "device/firmware_rev", "device/fwrev"]
            .iter()
            .find_map(|file| attribute(&folder.join(file))),
        size_bytes: bytes("size"),
        logical_block_bytes: small("queue/logical_block_size"),
        physical_block_bytes: small("queue/physical_block_size"),
        removable: number_of(&folder.join("removable")) == Some(1),
        rotational: number_of(&folder.join("queue/rotational")) == Some(1),
        kernel_read_only: number_of(&folder.join("ro")) == Some(1),
        lock: LockState::Unguarded,
        exhibit_source: false,
        counters_at_lock: counters,
        counters,
        partitions: partitions(&folder, name.as_str()),
        mounts: Vec::new(),
        problems: Vec::new(),
        bus,
        name,
    })
}

/// The counters of one disk now.
#[must_use]
pub fn counters(sys: &Path, name: &DiskName) -> Option<Counters> {
    Counters::parse(&attribute(&sys.join("block").join(name.as_str()).join("stat"))?)
}

fn partitions(folder: &Path, disk: &str) -> Vec<Partition> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Partition> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(disk) && folder.join(name).join("partition").exists())
        .filter_map(|name| {
            let inner = folder.join(&name);
            Some(Partition {
                start_bytes: number_of(&inner.join("start"))?.saturating_mul(512),
                size_bytes: number_of(&inner.join("size"))?.saturating_mul(512),
                name: name.parse().ok()?,
            })
        })
        .collect();
    found.sort_by_key(|partition| (partition.start_bytes, partition.name.clone()));
    found
}

/// Names the bus from where the device hangs in the device tree.
fn bus_of(folder: &Path, name: &str) -> String {
    let path = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let has = |part: &str| {
        path.components()
            .any(|one| one.as_os_str().to_str().is_some_and(|text| text.starts_with(part)))
    };
    let bus = if has("usb") {
        "usb"
    } else if name.starts_with("nvme") {
        "nvme"
    } else if name.starts_with("mmcblk") {
        "mmc"
    } else if has("ata") {
        "ata"
    } else if name.starts_with("vd") {
        "virtio"
    } else if has("virtio") && name.starts_with("sd") {
        "virtio-scsi"
    } else if name.starts_with("xvd") {
        "xen"
    } else if name.starts_with("sd") || name.starts_with("sr") {
        "scsi"
    } else {
        "unknown"
    };
    bus.to_owned()
}

fn model_of(folder: &Path, bus: &str) -> String {
    let model = ["device/model", "device/name"]
        .iter()
        .find_map(|file| attribute(&folder.join(file)))
        .unwrap_or_default();
    // A virtio disk has no model of its own; its bus stands in, so that there is something to type.
    if model.is_empty() && bus == "virtio" { "virtio".to_owned() } else { model }
}

/// The serial number: an attribute of its own, or page 0x80 of the SCSI vital product data (SPC-6
/// 7.7.20), which also covers ATA and USB disks.
fn serial_of(folder: &Path) -> String {
    if let Some(serial) = ["serial", "device/serial"]
        .iter()
        .find_map(|file| attribute(&folder.join(file)).filter(|text| !text.is_empty()))
    {
        return serial;
    }
    if let Ok(page) = fs::read(folder.join("device/vpd_pg80"))
        && let Some(serial) = serial_page(&page)
    {
        return serial;
    }
    usb_serial(folder).unwrap_or_default()
}

fn serial_page(page: &[u8]) -> Option<String> {
    let length = usize::from(*page.get(3)?);
    let text = page.get(4..)?;
    let text = text.get(..length).unwrap_or(text);
    let serial = clean(text);
    (!serial.is_empty()).then_some(serial)
}

/// The serial number in the USB device descriptor, for bridges that answer no SCSI page.
fn usb_serial(folder: &Path) -> Option<String> {
    let mut path = fs::canonicalize(folder).ok()?;
    while path.pop() {
        if path.join("idVendor").exists() {
            return attribute(&path.join("serial"));
        }
    }
    None
}

fn attribute(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(clean(bytes.get(..ATTRIBUTE_LIMIT_BYTES).unwrap_or(&bytes)))
}

/// A device chooses this text, so only printable characters stay.
fn clean(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .map(|one| if one.is_control() { ' ' } else { one })
        .collect();
    text.trim().to_owned()
}

fn number_of(path: &Path) -> Option<u64> {
    attribute(path)?.parse().ok()
}

/// Sorts `sdb` before `sdaa` and `nvme2n1` before `nvme10n1`.
fn natural(name: &str) -> (String, usize, Vec<u64>, String) {
    let stem: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
    let digits = name
        .split(|one: char| !one.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect();
    let kind = stem.get(..2).unwrap_or(&stem).to_owned();
    (kind, stem.len(), digits, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn write(path: PathBuf, text: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn reads_what_the_kernel_shows() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        for (file, text) in [
            ("block/sda/dev", "8:0\n"),
            ("block/sda/size", "2048\n"),
            ("block/sda/ro", "1\n"),
            ("block/sda/removable", "0\n"),
            ("block/sda/queue/logical_block_size", "512\n"),
            ("block/sda/queue/physical_block_size", "4096\n"),
            ("block/sda/stat", "1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"),
            ("block/sda/device/model", "QEMU HARDDISK   \n"),
            ("block/sda/device/vpd_pg80", "\0\u{80}\0\u{5}AB\u{1b}12xx"),
            ("block/sda/sda2/partition", "2\n"),
            ("block/sda/sda2/start", "1024\n"),
            ("block/sda/sda2/size", "8\n"),
            ("block/loop0/dev", "7:0\n"),
            ("block/sdaa/dev", "65:160\n"),
            ("block/sdb/dev", "8:16\n"),
        ] {
            let bytes: Vec<u8> =
                text.chars().map(|one| u8::try_from(u32::from(one)).unwrap()).collect();
            write(sys.join(file), &bytes);
        }
        let disks = disks(sys).unwrap();
        let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
        assert_eq!(names, ["sda", "sdb", "sdaa"], "in human order, loops left out");
        let sda = &disks[0];
        assert_eq!(sda.size_bytes, 1 << 20);
        assert_eq!(sda.physical_block_bytes, 4096);
        assert_eq!(sda.model, "QEMU HARDDISK");
        assert_eq!(sda.serial, "AB 12", "escape characters do not survive");
        assert!(sda.kernel_read_only);
        assert!(sda.counters.untouched());
        assert_eq!(sda.partitions[0].start_bytes, 1024 * 512);
        assert_eq!(sda.lock, LockState::Unguarded);
    }

    #[test]
    fn a_hostile_serial_page_is_cut_to_what_is_there() {
        assert_eq!(serial_page(&[0, 0x80, 0, 255, b'x']), Some("x".into()));
        assert_eq!(serial_page(&[0, 0x80]), None);
        assert_eq!(serial_page(&[0, 0x80, 0, 0]), None);
    }
}
