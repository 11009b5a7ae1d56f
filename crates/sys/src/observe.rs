//! Looking at a running kernel, and taking the least possible share of it: eBPF objects by bpf(2), filters of sockets,
//! scheduling classes.
//!
//! Nothing here changes anything but the share of time the calling thread gets. What may be looked at is decided by the
//! kernel; without the right to, each function gives its `EPERM`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Commands of bpf(2), `linux/bpf.h`.
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
/// `SO_GET_FILTER`, the same number as `SO_ATTACH_FILTER`.
const SO_GET_FILTER: libc::c_int = 26;
/// `IOPRIO_WHO_PROCESS`, and the idle class in its place (`linux/ioprio.h`).
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_IDLE: libc::c_int = 3 << 13;
/// More than any `struct bpf_*_info` has; the kernel fills in what it knows.
const INFO_BYTES: usize = 256;

/// Kinds of eBPF objects that the kernel numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BpfObject {
    /// Programs.
    Program,
    /// Maps.
    Map,
    /// What ties programs to places in the kernel.
    Link,
}

impl BpfObject {
    fn next_command(self) -> libc::c_int {
        match self {
            Self::Program => 11,
            Self::Map => 12,
            Self::Link => 31,
        }
    }

    fn open_command(self) -> libc::c_int {
        match self {
            Self::Program => 13,
            Self::Map => 14,
            Self::Link => 30,
        }
    }
}

/// The parts of `union bpf_attr` used here; both fill 16 bytes.
#[repr(C, align(8))]
struct ByNumber {
    number: u32,
    next: u32,
    flags: u32,
    rest: u32,
}

#[repr(C, align(8))]
struct ByDescriptor {
    descriptor: i32,
    length: u32,
    place: u64,
}

fn bpf<T>(command: libc::c_int, request: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: every caller passes the part of the union that belongs to the command with its size; what the kernel
    // writes to lies in it or in a buffer whose address and length it holds.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(request), size_of::<T>())
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The number after this one of the objects of a kind; `None` behind the last.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN, `ENOSYS` or `EINVAL` on a kernel without it.
pub fn next_bpf(kind: BpfObject, after: u32) -> io::Result<Option<u32>> {
    let mut request = ByNumber { number: after, next: 0, flags: 0, rest: 0 };
    match bpf(kind.next_command(), &mut request) {
        Ok(_) => Ok(Some(request.next)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel says of an object: `struct bpf_prog_info`, `bpf_map_info` or `bpf_link_info` as far as it fills it.
///
/// # Errors
/// `ENOENT` if it is gone, `EPERM` without CAP_SYS_ADMIN.
pub fn bpf_info(kind: BpfObject, number: u32) -> io::Result<Vec<u8>> {
    // Maps and programs are opened for reading only where the kernel can (BPF_F_RDONLY, maps).
    let flags = if kind == BpfObject::Map { 1 << 3 } else { 0 };
    let mut request = ByNumber { number, next: 0, flags, rest: 0 };
    let raw = bpf(kind.open_command(), &mut request)?;
    let raw = libc::c_int::try_from(raw).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let object = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut info = vec![0_u8; INFO_BYTES];
    let mut request = ByDescriptor {
        descriptor: object.as_raw_fd(),
        length: u32::try_from(info.len()).unwrap_or(0),
        place: info.as_mut_ptr().addr() as u64,
    };
    // The buffer outlives the call; its address has been exposed for it.
    let _ = info.as_mut_ptr().expose_provenance();
    bpf(OBJ_GET_INFO_BY_FD, &mut request)?;
    info.truncate(usize::try_from(request.length).unwrap_or(0));
    Ok(info)
}

/// How many instructions the filter has that is attached to a socket; 0 without one.
///
/// # Errors
/// If it is no socket, or the filter is one the kernel does not give (eBPF: `EACCES`).
#[allow(clippy::needless_pass_by_value, reason = "descriptors owned and borrowed alike")]
pub fn filter_instructions(socket: impl AsFd) -> io::Result<u32> {
    let mut length: libc::socklen_t = 0;
    // SAFETY: with a length of 0 the kernel writes nothing but that length.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_GET_FILTER,
            std::ptr::null_mut(),
            &raw mut length,
        )
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(length) }
}

/// From here on the calling thread gets processor time only when nobody else wants any.
///
/// # Errors
/// If the kernel refuses.
pub fn run_when_idle() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter is read during the call only.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// From here on the calling thread's reads of disks wait until nobody else wants any (where the disk's queue knows classes).
///
/// # Errors
/// If the kernel refuses.
pub fn read_when_idle() -> io::Result<()> {
    // SAFETY: three numbers, no memory.
    let answer = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;
    use std::net::UdpSocket;

    #[test]
    fn requests_have_the_kernels_layout() {
        assert_eq!((size_of::<ByNumber>(), offset_of!(ByNumber, flags)), (16, 8));
        assert_eq!((size_of::<ByDescriptor>(), offset_of!(ByDescriptor, place)), (16, 8));
    }

    #[test]
    fn a_socket_without_a_filter_has_none_and_a_file_is_no_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(filter_instructions(&socket).unwrap(), 0);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(filter_instructions(&file).is_err());
    }

    /// Objects come and go meanwhile: that none is unreadable but for that reason is all that can be said.
    #[test]
    fn programs_are_counted_or_refused() {
        let mut after = 0;
        for _ in 0..1000 {
            match next_bpf(BpfObject::Program, after) {
                Ok(Some(next)) => {
                    assert!(next > after);
                    if let Ok(info) = bpf_info(BpfObject::Program, next) {
                        assert_eq!(info.get(4..8), Some(&next.to_ne_bytes()[..]));
                    }
                    after = next;
                }
                Ok(None) => return,
                Err(error) => {
                    let refused = [libc::EPERM, libc::ENOSYS, libc::EINVAL];
                    assert!(error.raw_os_error().is_some_and(|code| refused.contains(&code)));
                    return;
                }
            }
        }
    }
}
