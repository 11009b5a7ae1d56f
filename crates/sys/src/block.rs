//! The block-device requests of `linux/fs.h` that rustix does not wrap.
//!
//! The kernel's read-only flag is a weak lock (stacked drivers and pass-through commands ignore
//! it), which is why it is one layer of several and never the claim.

use std::os::fd::AsFd;

use rustix::io;
use rustix::ioctl::{self, Getter, Setter, opcode};

const BLKROSET: ioctl::Opcode = opcode::none(0x12, 93);
const BLKROGET: ioctl::Opcode = opcode::none(0x12, 94);
// The argument type in the number is `size_t`, as the kernel header has it.
const BLKGETSIZE64: ioctl::Opcode = opcode::read::<usize>(0x12, 114);

/// The two states of the kernel's read-only flag of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writes through this device are refused where the kernel checks the flag.
    ReadOnly,
    /// The flag is off.
    ReadWrite,
}

/// Sets the kernel's read-only flag (`BLKROSET`) of the block device behind `device`.
///
/// # Errors
/// `EACCES` without CAP_SYS_ADMIN, `ENOTTY` if it is no block device, and what the driver says.
pub fn set_access(device: impl AsFd, access: Access) -> io::Result<()> {
    let value = match access {
        Access::ReadOnly => 1,
        Access::ReadWrite => 0,
    };
    // SAFETY: BLKROSET reads one C int through the pointer and keeps nothing.
    let request = unsafe { Setter::<BLKROSET, libc::c_int>::new(value) };
    // SAFETY: the request above matches its opcode; the descriptor is valid while borrowed.
    unsafe { ioctl::ioctl(device, request) }
}

/// Reads the kernel's read-only flag (`BLKROGET`) of the block device behind `device`.
///
/// # Errors
/// `ENOTTY` if it is no block device.
pub fn access(device: impl AsFd) -> io::Result<Access> {
    // SAFETY: BLKROGET writes one C int through the pointer.
    let request = unsafe { Getter::<BLKROGET, libc::c_int>::new() };
    // SAFETY: the request above matches its opcode; the descriptor is valid while borrowed.
    let value = unsafe { ioctl::ioctl(device, request) }?;
    Ok(if value == 0 { Access::ReadWrite } else { Access::ReadOnly })
}

/// Size of the block device behind `device` in bytes (`BLKGETSIZE64`).
///
/// # Errors
/// `ENOTTY` if it is no block device.
pub fn size_bytes(device: impl AsFd) -> io::Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 through the pointer.
    let request = unsafe { Getter::<BLKGETSIZE64, u64>::new() };
    // SAFETY: the request above matches its opcode; the descriptor is valid while borrowed.
    unsafe { ioctl::ioctl(device, request) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_header() {
        assert_eq!(BLKROSET, 0x125d);
        assert_eq!(BLKROGET, 0x125e);
        assert_eq!(BLKGETSIZE64, 0x8008_1272);
    }

    #[test]
    fn an_ordinary_file_is_no_block_device() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(access(&file).is_err());
        assert!(size_bytes(&file).is_err());
    }
}
