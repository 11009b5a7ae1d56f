//! Commands to a drive past the block layer, with data toward us or none: SG_IO (`scsi/sg.h`) and the NVMe administration
//! command (`linux/nvme_ioctl.h`).
//!
//! There is no way here to send data to a drive. Which commands are harmless is not decided here: a command without data
//! can alter a drive too, so whoever calls keeps a list.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

const SG_IO: libc::c_ulong = 0x2285;
const NVME_IOCTL_ID: libc::c_ulong = 0x4e40;
const NVME_IOCTL_ADMIN_CMD: libc::c_ulong = 0xc048_4e41;
const SG_DXFER_NONE: libc::c_int = -1;
const SG_DXFER_FROM_DEV: libc::c_int = -3;
/// Longest sense data kept, in bytes (SPC-6 4.4.1: 252 at most).
const SENSE_BYTES: usize = 252;

/// `struct sg_io_hdr`.
#[repr(C)]
struct SgHeader {
    interface_id: libc::c_int,
    direction: libc::c_int,
    command_bytes: u8,
    sense_limit_bytes: u8,
    vector_count: u16,
    data_bytes: u32,
    data: *mut u8,
    command: *const u8,
    sense: *mut u8,
    timeout_ms: u32,
    flags: u32,
    pack_id: libc::c_int,
    user: *mut libc::c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_bytes: u8,
    host_status: u16,
    driver_status: u16,
    missing_bytes: libc::c_int,
    duration_ms: u32,
    info: u32,
}

/// How a SCSI command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScsiEnd {
    /// The status byte (SAM-6 5.3.1): 0 is GOOD, 2 CHECK CONDITION.
    pub status: u8,
    /// What the host adapter says; 0 is well, 3 a timeout (`DID_*` of `scsi/scsi_status.h`).
    pub host_status: u16,
    /// Bytes of data that came.
    pub data_bytes: usize,
    /// Sense data, if any came.
    pub sense: Vec<u8>,
}

/// Sends one SCSI command whose data, if any, comes toward us.
///
/// # Errors
/// `EPERM` where the kernel reserves the command for CAP_SYS_RAWIO, `ENOTTY` where the driver takes none, `EINVAL` for a
/// command over 255 bytes or data over 4 GiB.
pub fn scsi_in(
    device: impl AsFd,
    command: &[u8],
    data: &mut [u8],
    timeout_ms: u32,
) -> io::Result<ScsiEnd> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut sense = vec![0_u8; SENSE_BYTES];
    let mut header = SgHeader {
        interface_id: libc::c_int::from(b'S'),
        direction: if data.is_empty() { SG_DXFER_NONE } else { SG_DXFER_FROM_DEV },
        command_bytes: u8::try_from(command.len()).map_err(invalid)?,
        sense_limit_bytes: u8::try_from(sense.len()).map_err(invalid)?,
        vector_count: 0,
        data_bytes: u32::try_from(data.len()).map_err(invalid)?,
        data: data.as_mut_ptr(),
        command: command.as_ptr(),
        sense: sense.as_mut_ptr(),
        timeout_ms,
        flags: 0,
        pack_id: 0,
        user: ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message_status: 0,
        sense_bytes: 0,
        host_status: 0,
        driver_status: 0,
        missing_bytes: 0,
        duration_ms: 0,
        info: 0,
    };
    let number = device.as_fd().as_raw_fd();
    // SAFETY: the header is that of `scsi/sg.h`; command, data and sense outlive the call and have the stated lengths; the
    // kernel writes to data and sense only, and keeps nothing.
    let answer = unsafe { libc::ioctl(number, SG_IO, &raw mut header) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    sense.truncate(usize::from(header.sense_bytes));
    let missing = usize::try_from(header.missing_bytes).unwrap_or(0);
    Ok(ScsiEnd {
        status: header.status,
        host_status: header.host_status,
        data_bytes: data.len().saturating_sub(missing),
        sense,
    })
}

/// An NVMe administration command (`struct nvme_passthru_cmd`), as far as ours are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvmeCommand {
    /// Operation code (NVMe 1.4 section 5).
    pub opcode: u8,
    /// Namespace; 0 for none, `u32::MAX` for all.
    pub namespace: u32,
    /// Command double word 10.
    pub word_10: u32,
}

#[repr(C)]
#[derive(Default)]
struct NvmeHeader {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    word_2: u32,
    word_3: u32,
    metadata: u64,
    data: u64,
    metadata_bytes: u32,
    data_bytes: u32,
    word_10: u32,
    word_11: u32,
    word_12: u32,
    word_13: u32,
    word_14: u32,
    word_15: u32,
    timeout_ms: u32,
    result: u32,
}

/// Sends one NVMe administration command whose data comes toward us; gives the status, 0 for success.
///
/// # Errors
/// `EACCES` where the kernel reserves the command for CAP_SYS_ADMIN, `ENOTTY` if it is no NVMe disk, `EINVAL` for an
/// operation whose data would go to the drive (NVMe 1.4 figure 139: bits 1:0 of the code), or data over 4 GiB.
pub fn nvme_in(
    device: impl AsFd,
    command: NvmeCommand,
    data: &mut [u8],
    timeout_ms: u32,
) -> io::Result<u32> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    if command.opcode & 0b01 != 0 {
        return Err(invalid());
    }
    let mut header = NvmeHeader {
        opcode: command.opcode,
        namespace: command.namespace,
        data: data.as_mut_ptr().expose_provenance() as u64,
        data_bytes: u32::try_from(data.len()).map_err(|_| invalid())?,
        word_10: command.word_10,
        timeout_ms,
        ..NvmeHeader::default()
    };
    let number = device.as_fd().as_raw_fd();
    // SAFETY: the header is that of `linux/nvme_ioctl.h`; data outlives the call and has the stated length; the operation
    // moves data toward us only, and the kernel keeps nothing.
    let answer = unsafe { libc::ioctl(number, NVME_IOCTL_ADMIN_CMD, &raw mut header) };
    // Below zero the kernel did not send it; above zero it is the drive's status.
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// The number of the namespace behind an NVMe block device.
///
/// # Errors
/// `ENOTTY` if it is no NVMe disk.
pub fn nvme_namespace(device: impl AsFd) -> io::Result<u32> {
    let number = device.as_fd().as_raw_fd();
    // SAFETY: this request takes no argument and gives a number.
    let answer = unsafe { libc::ioctl(number, NVME_IOCTL_ID) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The kernel's headers vouch: sizes and places as `scsi/sg.h` and `linux/nvme_ioctl.h` lay them out on 64 bits.
    #[test]
    fn layouts_are_those_of_the_kernel_headers() {
        assert_eq!(size_of::<SgHeader>(), 88);
        assert_eq!(offset_of!(SgHeader, data), 16);
        assert_eq!(offset_of!(SgHeader, timeout_ms), 40);
        assert_eq!(offset_of!(SgHeader, user), 56);
        assert_eq!(offset_of!(SgHeader, sense_bytes), 67);
        assert_eq!(offset_of!(SgHeader, missing_bytes), 72);
        assert_eq!(size_of::<NvmeHeader>(), 72);
        assert_eq!(offset_of!(NvmeHeader, data), 24);
        assert_eq!(offset_of!(NvmeHeader, word_10), 40);
        assert_eq!(offset_of!(NvmeHeader, timeout_ms), 64);
    }

    #[test]
    fn what_is_no_drive_takes_no_command() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(scsi_in(&file, &[0x12, 0, 0, 0, 36, 0], &mut [0; 36], 100).is_err());
        let identify = NvmeCommand { opcode: 6, namespace: 0, word_10: 1 };
        assert!(nvme_in(&file, identify, &mut [0; 4096], 100).is_err());
        assert!(nvme_namespace(&file).is_err());
    }

    #[test]
    fn data_never_goes_to_a_drive() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let write = NvmeCommand { opcode: 0x11, namespace: 0, word_10: 0 };
        let refused = nvme_in(&file, write, &mut [0; 4096], 100).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        // Format NVM (80h) moves no data at all and alters everything: the list of the caller is what keeps it out.
        let none = NvmeCommand { opcode: 0x80, namespace: 0, word_10: 0 };
        assert!(nvme_in(&file, none, &mut [], 100).is_err(), "no drive here");
    }
}
