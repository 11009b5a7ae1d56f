//! Commands sent past the block layer, straight to the device: SCSI, ATA inside SCSI, NVMe.
//!
//! The kernel's read-only flag does not look at these at all; a descriptor opened for reading is
//! enough where the process may use raw commands.

use crate::attempt::{Kind, Report, Tried, result};
use std::os::fd::RawFd;

/// `struct sg_io_hdr` of `scsi/sg.h`.
#[repr(C)]
struct SgIo {
    interface: i32,
    direction: i32,
    command_bytes: u8,
    sense_bytes: u8,
    vectors: u16,
    data_bytes: u32,
    data: *const u8,
    command: *const u8,
    sense: *mut u8,
    timeout_ms: u32,
    flags: u32,
    id: i32,
    user: *mut u8,
    status: u8,
    masked_status: u8,
    message: u8,
    sense_written: u8,
    host_status: u16,
    driver_status: u16,
    residual: i32,
    duration_ms: u32,
    info: u32,
}

const TO_DEVICE: i32 = -2;
const NO_DATA: i32 = -1;

/// `struct nvme_passthru_cmd` of `linux/nvme_ioctl.h`.
#[repr(C)]
#[derive(Default)]
struct Nvme {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    word2: u32,
    word3: u32,
    metadata: u64,
    address: u64,
    metadata_bytes: u32,
    data_bytes: u32,
    words: [u32; 6],
    timeout_ms: u32,
    answer: u32,
}

/// All attempts of this file, at logical block 8.
pub(crate) fn run(report: &mut Report, disk: RawFd) {
    let block = [0x41u8; 4096];
    let one = &block[..512];
    let unmap: Vec<u8> = {
        let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
        list.extend(8u64.to_be_bytes());
        list.extend([0, 0, 0, 8, 0, 0, 0, 0]);
        list
    };
    // name, kind, command, data
    let scsi: [(&str, Kind, &[u8], &[u8]); 19] = [
        ("WRITE(6)", Kind::Write, &[0x0a, 0, 0, 8, 1, 0], one),
        ("WRITE(10)", Kind::Write, &[0x2a, 0, 0, 0, 0, 8, 0, 0, 1, 0], one),
        ("WRITE(12)", Kind::Write, &[0xaa, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0], one),
        ("WRITE(16)", Kind::Write, &[0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0], one),
        ("WRITE AND VERIFY(10)", Kind::Write, &[0x2e, 0, 0, 0, 0, 8, 0, 0, 1, 0], one),
        ("WRITE SAME(10)", Kind::Write, &[0x41, 0, 0, 0, 0, 8, 0, 0, 1, 0], one),
        (
            "WRITE SAME(16) unmap",
            Kind::Write,
            &[0x93, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0],
            one,
        ),
        ("UNMAP", Kind::Write, &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &unmap),
        (
            "ATA WRITE DMA EXT",
            Kind::Write,
            &[0x85, 0x0d, 0x06, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0x40, 0x35, 0],
            one,
        ),
        (
            "ATA WRITE SECTORS (12)",
            Kind::Write,
            &[0xa1, 0x0a, 0x06, 0, 1, 8, 0, 0, 0x40, 0x30, 0, 0],
            one,
        ),
        (
            "ATA DATA SET MANAGEMENT (trim)",
            Kind::Write,
            &[0x85, 0x0d, 0x06, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0x06, 0],
            one,
        ),
        ("FORMAT UNIT", Kind::Configure, &[0x04, 0, 0, 0, 0, 0], &[]),
        ("SANITIZE overwrite", Kind::Configure, &[0x48, 1, 0, 0, 0, 0, 0, 0, 0, 0], &[]),
        ("MODE SELECT(6)", Kind::Configure, &[0x15, 0x10, 0, 0, 24, 0], &[0; 24]),
        ("START STOP UNIT", Kind::Configure, &[0x1b, 0, 0, 0, 0, 0], &[]),
        (
            "ATA SET MAX ADDRESS",
            Kind::Configure,
            &[0x85, 0x06, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x40, 0xf9, 0],
            &[],
        ),
        (
            "ATA SECURITY SET PASSWORD",
            Kind::Configure,
            &[0x85, 0x0b, 0x06, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xf1, 0],
            one,
        ),
        (
            "ATA DEVICE CONFIGURATION SET",
            Kind::Configure,
            &[0x85, 0x0b, 0x06, 0, 0xc3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xb1, 0],
            one,
        ),
        ("vendor command C0", Kind::Other, &[0xc0, 0, 0, 0, 0, 0], &[]),
    ];
    for (name, kind, command, data) in scsi {
        report.note(kind, &format!("SG_IO {name}"), sg(disk, command, data));
    }
    report.note(Kind::Other, "SCSI_IOCTL_SEND_COMMAND", old_scsi(disk));
    report.note(Kind::Other, "HDIO_DRIVE_CMD", {
        let mut command = [0xe7u8, 0, 0, 0]; // FLUSH CACHE, harmless if it gets through
        // SAFETY: the request reads and writes four bytes.
        result(unsafe { libc::ioctl(disk, 0x031f, command.as_mut_ptr()) }.into())
    });
    nvme(report, disk, &block);
}

fn sg(disk: RawFd, command: &[u8], data: &[u8]) -> Tried {
    let mut sense = [0u8; 64];
    let mut order = SgIo {
        interface: i32::from(b'S'),
        direction: if data.is_empty() { NO_DATA } else { TO_DEVICE },
        command_bytes: command.len() as u8,
        sense_bytes: 64,
        vectors: 0,
        data_bytes: data.len() as u32,
        data: data.as_ptr(),
        command: command.as_ptr(),
        sense: sense.as_mut_ptr(),
        timeout_ms: 5000,
        flags: 0,
        id: 0,
        user: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message: 0,
        sense_written: 0,
        host_status: 0,
        driver_status: 0,
        residual: 0,
        duration_ms: 0,
        info: 0,
    };
    // SAFETY: every pointer in the order is valid for the length given beside it.
    result(unsafe { libc::ioctl(disk, 0x2285, &raw mut order) }.into())
}

fn old_scsi(disk: RawFd) -> Tried {
    // in length, out length, WRITE(6) of one block, data
    let mut order = vec![0u8; 8];
    order[..4].copy_from_slice(&512u32.to_ne_bytes());
    order.extend([0x0a, 0, 0, 8, 1, 0]);
    order.resize(8 + 6 + 512, 0x41);
    // SAFETY: the request reads the lengths, the command and 512 bytes, all inside the vector.
    result(unsafe { libc::ioctl(disk, 0x0001, order.as_mut_ptr()) }.into())
}

/// Name, kind, request, opcode, data, command words 10 to 15.
type Order<'a> = (&'a str, Kind, u64, u8, &'a [u8], [u32; 6]);

fn nvme(report: &mut Report, disk: RawFd, block: &[u8]) {
    const IO: u64 = 0xc048_4e43;
    const ADMIN: u64 = 0xc048_4e41;
    let trim: Vec<u8> = [&[0u8; 4][..], &8u32.to_le_bytes(), &8u64.to_le_bytes()].concat();
    let orders: [Order<'_>; 8] = [
        ("WRITE", Kind::Write, IO, 0x01, &block[..512], [8, 0, 0, 0, 0, 0]),
        ("WRITE ZEROES", Kind::Write, IO, 0x08, &[], [8, 0, 0, 0, 0, 0]),
        ("WRITE UNCORRECTABLE", Kind::Write, IO, 0x04, &[], [8, 0, 0, 0, 0, 0]),
        ("DATASET MANAGEMENT (discard)", Kind::Write, IO, 0x09, &trim, [0, 4, 0, 0, 0, 0]),
        ("FORMAT NVM", Kind::Configure, ADMIN, 0x80, &[], [0; 6]),
        ("SANITIZE", Kind::Configure, ADMIN, 0x84, &[], [2, 0, 0, 0, 0, 0]),
        ("NAMESPACE MANAGEMENT delete", Kind::Configure, ADMIN, 0x0d, &[], [1, 0, 0, 0, 0, 0]),
        ("FIRMWARE COMMIT", Kind::Configure, ADMIN, 0x10, &[], [0; 6]),
    ];
    for (name, kind, request, opcode, data, words) in orders {
        let mut order = Nvme {
            opcode,
            namespace: 1,
            address: data.as_ptr() as u64,
            data_bytes: data.len() as u32,
            words,
            timeout_ms: 5000,
            ..Nvme::default()
        };
        // SAFETY: the order's data pointer is valid for the length beside it.
        let tried = result(unsafe { libc::ioctl(disk, request, &raw mut order) }.into());
        report.note(kind, &format!("NVMe {name}"), tried);
    }
    for (name, request) in [("reset", 0x4e44u64), ("subsystem reset", 0x4e45)] {
        // SAFETY: the requests take no memory.
        let tried = result(unsafe { libc::ioctl(disk, request, 0) }.into());
        report.note(Kind::Other, &format!("NVMe {name}"), tried);
    }
}
