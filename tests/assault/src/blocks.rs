//! Ways to write through the block layer: the descriptor handed out, another one, or none.

use crate::attempt::{Kind, Report, Tried, result};
use std::ffi::CString;
use std::os::fd::RawFd;

const TEXT: &[u8; 4096] = &[0x41; 4096];
/// Where the attempts write, in bytes: sector 8 of a 512-byte disk, block 1 of a 4096-byte disk.
const PLACE: i64 = 4096;

/// All attempts of this file.
pub(crate) fn run(report: &mut Report, disk: RawFd, name: &str, number: &str) {
    on(report, "handed descriptor", disk);
    let (major, minor) = number.split_once(':').unwrap_or_default();
    let device = libc::makedev(major.parse().unwrap_or(0), minor.parse().unwrap_or(0));
    let mut ways = vec![
        (format!("/proc/self/fd/{disk}"), "reopened handed descriptor"),
        (format!("/dev/{name}"), "/dev node"),
        (format!("/dev/block/{number}"), "/dev/block link"),
    ];
    for folder in ["/tmp", "/run/session", "/media", "/dev"] {
        let path = format!("{folder}/assault-node");
        report.note(Kind::Other, &format!("mknod in {folder}"), mknod(&path, device));
        ways.push((path, "own node"));
    }
    for (path, what) in ways {
        for (flags, mode) in [
            (libc::O_RDWR, "rw"),
            (libc::O_WRONLY, "wo"),
            (libc::O_RDWR | libc::O_DIRECT, "direct"),
        ] {
            let tried = open(&path, flags);
            report.note(Kind::Write, &format!("open {mode}: {path}"), tried.map(drop));
            if let Ok(descriptor) = tried {
                on(report, what, descriptor);
                // SAFETY: the descriptor was opened above and is not used again.
                unsafe { libc::close(descriptor) };
            }
        }
    }
}

/// Everything that can be tried on one descriptor.
fn on(report: &mut Report, what: &str, disk: RawFd) {
    let mut note = |kind, name: &str, tried| report.note(kind, &format!("{name} ({what})"), tried);
    // SAFETY: TEXT is 4096 bytes long and lives for ever.
    let wrote = unsafe { libc::pwrite(disk, TEXT.as_ptr().cast(), TEXT.len(), PLACE) };
    note(Kind::Write, "pwrite", result(wrote as i64));
    note(Kind::Write, "mmap shared for writing", map(disk));
    for (name, request) in
        [("BLKDISCARD", 0x1277u64), ("BLKSECDISCARD", 0x127d), ("BLKZEROOUT", 0x127f)]
    {
        let range = [PLACE as u64, 4096u64];
        // SAFETY: the three requests read two 64-bit numbers from the address.
        note(Kind::Write, name, result(unsafe { libc::ioctl(disk, request, &range) }.into()));
    }
    for (name, mode) in [
        ("fallocate punch hole", libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE),
        ("fallocate zero range", libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE),
    ] {
        // SAFETY: no memory is passed.
        note(Kind::Write, name, result(unsafe { libc::fallocate(disk, mode, PLACE, 4096) }.into()));
    }
    note(Kind::Write, "sendfile", copy(disk));
    note(Kind::Write, "aio pwrite", aio(disk));
    for (name, request, value) in [
        ("BLKROSET off", 0x125du64, 0u64),
        ("BLKBSZSET", 0x4008_1271, 4096),
        ("BLKFLSBUF", 0x1261, 0),
        ("BLKRRPART", 0x125f, 0),
    ] {
        // SAFETY: the requests read at most eight bytes from the address.
        note(Kind::Configure, name, result(unsafe { libc::ioctl(disk, request, &value) }.into()));
    }
    note(Kind::Configure, "BLKPG add partition", add_partition(disk));
    note(Kind::Configure, "BLKRESETZONE", {
        let range = [0u64, 4096];
        // SAFETY: the request reads two 64-bit numbers from the address.
        result(unsafe { libc::ioctl(disk, 0x4010_1283, &range) }.into())
    });
}

fn open(path: &str, flags: i32) -> Result<RawFd, i32> {
    let path = CString::new(path).map_err(|_| libc::EINVAL)?;
    // SAFETY: the path is a terminated string that lives through the call.
    let descriptor = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
    result(descriptor.into()).map(|()| descriptor)
}

fn mknod(path: &str, device: libc::dev_t) -> Tried {
    let path = CString::new(path).map_err(|_| libc::EINVAL)?;
    // SAFETY: the path is a terminated string that lives through the call.
    result(unsafe { libc::mknod(path.as_ptr(), libc::S_IFBLK | 0o666, device) }.into())
}

fn map(disk: RawFd) -> Tried {
    let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a fresh mapping at an address the kernel chooses.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, read_write, shared, disk, PLACE) };
    if at == libc::MAP_FAILED {
        return result(-1);
    }
    // SAFETY: the mapping is 4096 bytes long and writable.
    unsafe { std::ptr::write_bytes(at.cast::<u8>(), 0x41, 4096) };
    // SAFETY: as above.
    let flushed = unsafe { libc::msync(at, 4096, libc::MS_SYNC) };
    // SAFETY: the mapping is not used again.
    unsafe { libc::munmap(at, 4096) };
    result(flushed.into())
}

fn copy(disk: RawFd) -> Tried {
    let from = open("/proc/self/exe", libc::O_RDONLY)?;
    // SAFETY: no memory is passed; a null offset means the file's own position.
    let sent = unsafe { libc::sendfile(disk, from, std::ptr::null_mut(), 4096) };
    let tried = result(sent as i64);
    // SAFETY: the descriptor is not used again.
    unsafe { libc::close(from) };
    tried
}

/// `struct iocb` of `linux/aio_abi.h`.
#[repr(C)]
struct ControlBlock {
    data: u64,
    key: u32,
    flags: u32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    event_flags: u32,
    event_descriptor: u32,
}

fn aio(disk: RawFd) -> Tried {
    let mut context = 0u64;
    // SAFETY: the call writes one number to the address.
    result(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) })?;
    let block = ControlBlock {
        data: 0,
        key: 0,
        flags: 0,
        opcode: 1, // IOCB_CMD_PWRITE
        priority: 0,
        descriptor: disk as u32,
        buffer: TEXT.as_ptr() as u64,
        bytes: TEXT.len() as u64,
        offset: PLACE,
        reserved: 0,
        event_flags: 0,
        event_descriptor: 0,
    };
    let list = [&raw const block];
    // SAFETY: the context is valid and the list holds one valid block.
    let tried = result(unsafe { libc::syscall(libc::SYS_io_submit, context, 1, list.as_ptr()) });
    // SAFETY: the context is not used again.
    unsafe { libc::syscall(libc::SYS_io_destroy, context) };
    tried
}

/// `struct blkpg_ioctl_arg` and `struct blkpg_partition` of `linux/blkpg.h`.
#[repr(C)]
struct PartitionOrder {
    operation: i32,
    flags: i32,
    bytes: i32,
    data: *const Partition,
}

#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

fn add_partition(disk: RawFd) -> Tried {
    let partition = Partition { start: 4096, length: 4096, number: 99, names: [0; 128] };
    let bytes = size_of::<Partition>() as i32;
    let order = PartitionOrder { operation: 1, flags: 0, bytes, data: &raw const partition };
    // SAFETY: both structures live through the call.
    result(unsafe { libc::ioctl(disk, 0x1269, &raw const order) }.into())
}
