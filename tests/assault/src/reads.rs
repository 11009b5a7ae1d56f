//! What must work: reading blocks and asking facts.

use crate::attempt::{Kind, Report, Tried, result};
use std::os::fd::RawFd;

/// Reads and questions.
pub(crate) fn run(report: &mut Report, disk: RawFd, name: &str) {
    report.note(Kind::Read, "pread of the first 4096 bytes", pread(disk));
    // SAFETY: moving the position touches no memory.
    let end = unsafe { libc::lseek(disk, 0, libc::SEEK_END) };
    report.note(Kind::Read, "size by lseek", result(end));
    // The same facts by request are refused with every other request: the descriptor is sealed.
    for (name, request) in [("BLKGETSIZE64", 0x8008_1272u64), ("BLKSSZGET", 0x1268)] {
        report.note(Kind::Other, name, ask(disk, request));
    }
    for file in ["stat", "size", "ro", "queue/logical_block_size"] {
        let path = format!("/sys/block/{name}/{file}");
        let tried = std::fs::read(&path).map(drop).map_err(|e| e.raw_os_error().unwrap_or(5));
        report.note(Kind::Read, &path, tried);
    }
}

/// Reading still works after all that was tried.
pub(crate) fn again(report: &mut Report, disk: RawFd) {
    report.note(Kind::Read, "pread after the assault", pread(disk));
}

fn pread(disk: RawFd) -> Tried {
    let mut buffer = [0u8; 4096];
    // SAFETY: the buffer is 4096 bytes long and lives through the call.
    result(unsafe { libc::pread(disk, buffer.as_mut_ptr().cast(), buffer.len(), 0) } as i64)
}

fn ask(disk: RawFd, request: u64) -> Tried {
    let mut answer = 0u64;
    // SAFETY: both requests write at most eight bytes to the address.
    result(unsafe { libc::ioctl(disk, request, &raw mut answer) }.into())
}
