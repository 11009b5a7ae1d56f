//! A disk to attach: which file, on which bus, under which serial number, with which faults.
//!
//! There is deliberately no way to attach one read-only: QEMU would then do the guest's work.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The buses a disk can sit on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bus {
    /// virtio-blk on PCI.
    VirtioBlk,
    /// SCSI disk behind virtio-scsi.
    VirtioScsi,
    /// SATA disk behind AHCI (512-byte sectors only).
    Ahci,
    /// NVMe, one controller per disk.
    Nvme,
    /// USB mass storage behind xHCI.
    Usb,
}

impl Bus {
    /// All buses, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::VirtioBlk, Self::VirtioScsi, Self::Ahci, Self::Nvme, Self::Usb];

    /// Short name for reports and command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtioBlk => "virtio-blk",
            Self::VirtioScsi => "virtio-scsi",
            Self::Ahci => "ahci",
            Self::Nvme => "nvme",
            Self::Usb => "usb",
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::VirtioBlk => "virtio-blk-pci",
            Self::VirtioScsi => "scsi-hd",
            Self::Ahci => "ide-hd",
            Self::Nvme => "nvme",
            Self::Usb => "usb-storage",
        }
    }
}

/// One disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Name inside QEMU and in reports; letters, digits and `-`.
    pub id: String,
    /// The raw image file, always opened for writing.
    pub file: PathBuf,
    /// Where it is attached.
    pub bus: Bus,
    /// Serial number the guest sees.
    pub serial: String,
    /// Logical and physical sector size in bytes.
    pub sector_bytes: u32,
    /// 512-byte sectors whose reading ends in an I/O error.
    pub bad_sectors: Vec<u64>,
    /// 512-byte sectors whose writing ends in an I/O error.
    pub unwritable_sectors: Vec<u64>,
    /// Where QEMU logs every write and flush; see [`crate::write_log`].
    pub log: Option<PathBuf>,
}

impl Disk {
    /// A healthy disk with 512-byte sectors whose serial number is its id.
    #[must_use]
    pub fn new(id: &str, file: impl AsRef<Path>, bus: Bus) -> Self {
        Self {
            id: id.to_owned(),
            file: file.as_ref().to_owned(),
            bus,
            serial: id.to_uppercase(),
            sector_bytes: 512,
            bad_sectors: Vec::new(),
            unwritable_sectors: Vec::new(),
            log: None,
        }
    }

    /// The same disk with every write and flush logged in this file, which exists and is empty.
    #[must_use]
    pub fn logged(mut self, log: &Path) -> Self {
        self.log = Some(log.to_owned());
        self
    }

    /// The same disk with another sector size.
    #[must_use]
    pub fn sectors_of(mut self, bytes: u32) -> Self {
        self.sector_bytes = bytes;
        self
    }

    /// The same disk with read errors at these 512-byte sectors.
    #[must_use]
    pub fn bad(mut self, sectors: &[u64]) -> Self {
        self.bad_sectors = sectors.to_vec();
        self
    }

    /// The same disk with write errors at these 512-byte sectors.
    #[must_use]
    pub fn unwritable(mut self, sectors: &[u64]) -> Self {
        self.unwritable_sectors = sectors.to_vec();
        self
    }

    /// Name of the block node.
    #[must_use]
    pub fn node(&self) -> String {
        format!("n-{}", self.id)
    }

    /// Arguments of `-blockdev` or `blockdev-add`.
    #[must_use]
    pub fn blockdev(&self) -> Value {
        let file = json!({ "driver": "file", "filename": self.file, "discard": "unmap" });
        let refused = |event: &str, sectors: &[u64]| -> Vec<Value> {
            let error = |sector| json!({ "event": event, "sector": sector, "errno": 5 });
            sectors.iter().map(error).collect()
        };
        let mut errors = refused("read_aio", &self.bad_sectors);
        errors.extend(refused("write_aio", &self.unwritable_sectors));
        let file = if errors.is_empty() {
            file
        } else {
            json!({ "driver": "blkdebug", "image": file, "inject-error": errors })
        };
        let Some(log) = &self.log else {
            return json!({
                "driver": "raw", "node-name": self.node(), "discard": "unmap", "file": file
            });
        };
        json!({
            "driver": "blklogwrites", "node-name": self.node(), "discard": "unmap", "file": file,
            "log": { "driver": "file", "filename": log }, "log-super-update-interval": 1,
        })
    }

    /// Arguments of `-device` or `device_add`; `place` is the disk's number on its bus.
    #[must_use]
    pub fn device(&self, place: usize) -> Value {
        let mut device = json!({
            "driver": self.bus.driver(),
            "id": self.id,
            "drive": self.node(),
            "serial": self.serial,
        });
        if self.sector_bytes != 512 {
            device["logical_block_size"] = json!(self.sector_bytes);
            device["physical_block_size"] = json!(self.sector_bytes);
        }
        match self.bus {
            Bus::VirtioScsi => device["bus"] = json!("scsi0.0"),
            Bus::Ahci => device["bus"] = json!(format!("ahci{}.{}", place / 6, place % 6)),
            Bus::Usb => {
                device["bus"] = json!("xhci.0");
                // usb-storage is itself the host adapter of a SCSI disk.
                device["removable"] = json!(false);
            }
            Bus::VirtioBlk | Bus::Nvme => {}
        }
        device
    }
}

/// Controllers the disks of `buses` need, as `-device` arguments.
#[must_use]
pub fn controllers(buses: &[Bus]) -> Vec<Value> {
    let count = |bus| buses.iter().filter(|b| **b == bus).count();
    let mut all = vec![
        json!({ "driver": "qemu-xhci", "id": "xhci", "p2": 15, "p3": 15 }),
        json!({ "driver": "virtio-scsi-pci", "id": "scsi0" }),
    ];
    for number in 0..count(Bus::Ahci).div_ceil(6) {
        all.push(json!({ "driver": "ich9-ahci", "id": format!("ahci{number}") }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_disk_is_ever_read_only() {
        for bus in Bus::ALL {
            let disk = Disk::new("ev0", "/x", bus).bad(&[7]);
            let text = format!("{}{}", disk.blockdev(), disk.device(0));
            assert!(!text.contains("read-only") && text.contains("\"unmap\""), "{text}");
        }
    }

    #[test]
    fn the_seventh_sata_disk_sits_on_the_second_controller() {
        assert_eq!(Disk::new("a", "/x", Bus::Ahci).device(6)["bus"], "ahci1.0");
        assert_eq!(controllers(&[Bus::Ahci; 7]).len(), 4);
    }
}
