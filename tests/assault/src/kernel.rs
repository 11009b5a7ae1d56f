//! Ways that make the kernel, or the broker, do the writing.

use crate::attempt::{Kind, Report, Tried, result};
use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::process::Command;

/// All attempts of this file.
pub(crate) fn run(report: &mut Report, disk: RawFd, name: &str, facts: &guard::Disk) {
    let source = format!("/proc/self/fd/{disk}");
    for kind in [c"ext4", c"xfs", c"vfat"] {
        for (flags, how) in [(libc::MS_RDONLY, "ro"), (0, "rw")] {
            let label = format!("mount {} {how}", kind.to_string_lossy());
            report.note(Kind::Other, &label, mount(&source, kind, flags));
        }
    }
    resume(report, &facts.number);
    report.note(Kind::Other, "swapon", path_call(libc::SYS_swapon, &source));
    report.note(Kind::Other, "pivot_root", path_call(libc::SYS_pivot_root, "/nowhere"));
    calls(report, disk);
    for (path, text) in files(name) {
        let tried = std::fs::write(&path, text).map_err(|e| e.raw_os_error().unwrap_or(libc::EIO));
        report.note(Kind::Other, &format!("write {path}"), tried);
    }
    for path in ["/dev/mem", "/dev/port", "/dev/kmem", "/proc/1/mem", "/proc/kcore"] {
        let tried = std::fs::OpenOptions::new().write(true).open(path).map(drop);
        let tried = tried.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO));
        report.note(Kind::Other, &format!("open for writing {path}"), tried);
    }
    let listed = std::fs::read_dir("/proc/1/fd").map(drop);
    let listed = listed.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO));
    report.note(Kind::Other, "list the broker's descriptors", listed);
    broker(report, facts);
}

/// Wakes a hibernated system through the kernel's files: as they are shown, and, where mounting is
/// possible, through a fresh view of them that can be written.
pub(crate) fn resume(report: &mut Report, number: &str) {
    let fresh = result({
        let (name, at) = (c"sysfs".as_ptr(), c"/tmp".as_ptr());
        // SAFETY: all strings are terminated and live through the call.
        unsafe { libc::mount(name, at, name, 0, std::ptr::null()) }.into()
    });
    let folders: &[&str] = if fresh.is_ok() { &["/sys", "/tmp"] } else { &["/sys"] };
    report.note(Kind::Other, "mount a fresh sysfs", fresh);
    for folder in folders {
        for (file, text) in [("resume", number), ("disk", "shutdown"), ("state", "disk")] {
            let path = format!("{folder}/power/{file}");
            let tried = std::fs::write(&path, text);
            let tried = tried.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO));
            report.note(Kind::Other, &format!("write {path}"), tried);
        }
    }
    if folders.len() > 1 {
        // SAFETY: the path is a terminated string.
        unsafe { libc::umount(c"/tmp".as_ptr()) };
    }
}

/// System calls that open other ways to devices or to more privilege.
fn calls(report: &mut Report, disk: RawFd) {
    let zero = [0u8; 256];
    let at = zero.as_ptr() as i64;
    let list: [(&str, i64, [i64; 5]); 17] = [
        ("io_uring_setup", libc::SYS_io_uring_setup, [4, at, 0, 0, 0]),
        ("init_module", libc::SYS_init_module, [at, 256, at, 0, 0]),
        ("finit_module", libc::SYS_finit_module, [disk.into(), at, 0, 0, 0]),
        ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, 0, 0]),
        ("kexec_file_load", libc::SYS_kexec_file_load, [disk.into(), disk.into(), 1, at, 0]),
        ("bpf map create", libc::SYS_bpf, [0, at, 72, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [at, 0, -1, -1, 0]),
        ("unshare user and mount", libc::SYS_unshare, [0x1002_0000, 0, 0, 0, 0]),
        ("ptrace the broker (seize)", libc::SYS_ptrace, [0x4206, 1, 0, 0, 0]),
        ("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]),
        ("ioperm", libc::SYS_ioperm, [0x1f0, 8, 1, 0, 0]),
        ("setresuid 0", libc::SYS_setresuid, [0, 0, 0, 0, 0]),
        ("setresgid 0", libc::SYS_setresgid, [0, 0, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [-100, c"/".as_ptr() as i64, 1, 0, 0]),
        ("fsopen", libc::SYS_fsopen, [c"ext4".as_ptr() as i64, 0, 0, 0, 0]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [-100, at, 2, 0, 0]),
        ("reboot (bad magic)", libc::SYS_reboot, [0, 0, 0, 0, 0]),
    ];
    let ignored = ["setresuid 0", "setresgid 0"];
    for (name, number, arguments) in list {
        // Becoming user 0 as user 0 is no gain: seen only in the knock-out of the ordinary user.
        // SAFETY: takes nothing.
        if ignored.contains(&name) && unsafe { libc::getuid() } == 0 {
            continue;
        }
        let [a, b, c, d, e] = arguments;
        // SAFETY: every address passed points to 256 zero bytes or a terminated string.
        let tried = result(unsafe { libc::syscall(number, a, b, c, d, e) });
        report.note(Kind::Other, name, tried);
    }
    // SAFETY: no memory is passed.
    let broker = unsafe { libc::syscall(libc::SYS_pidfd_open, 1, 0) };
    let stolen = if broker < 0 {
        result(broker)
    } else {
        // SAFETY: no memory is passed.
        result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, broker, 5, 0) })
    };
    report.note(Kind::Other, "pidfd_getfd from the broker", stolen);
}

fn mount(source: &str, kind: &CStr, flags: libc::c_ulong) -> Tried {
    let source = CString::new(source).map_err(|_| libc::EINVAL)?;
    let (from, at) = (source.as_ptr(), c"/tmp".as_ptr());
    // SAFETY: all strings are terminated and live through the call.
    result(unsafe { libc::mount(from, at, kind.as_ptr(), flags, std::ptr::null()) }.into())
}

fn path_call(number: i64, path: &str) -> Tried {
    let path = CString::new(path).map_err(|_| libc::EINVAL)?;
    // SAFETY: both arguments are the same terminated string.
    result(unsafe { libc::syscall(number, path.as_ptr(), path.as_ptr()) })
}

/// Kernel files whose writing acts on a disk or on the machine.
fn files(name: &str) -> Vec<(String, String)> {
    let block = format!("/sys/block/{name}");
    [
        ("/sys/power/disk".to_owned(), "shutdown"),
        (format!("{block}/device/delete"), "1"),
        (format!("{block}/device/rescan"), "1"),
        (format!("{block}/device/state"), "offline"),
        (format!("{block}/queue/write_cache"), "write through"),
        (format!("{block}/queue/scheduler"), "none"),
        (format!("{block}/uevent"), "change"),
        ("/sys/class/scsi_host/host0/scan".to_owned(), "- - -"),
        ("/sys/bus/pci/rescan".to_owned(), "1"),
        ("/sys/module/md_mod/parameters/new_array".to_owned(), "md0"),
        ("/proc/sysrq-trigger".to_owned(), "u"),
        ("/proc/sys/kernel/modprobe".to_owned(), "/tmp/x"),
        ("/proc/sys/kernel/core_pattern".to_owned(), "|/tmp/x"),
        ("/sys/fs/cgroup/cgroup.procs".to_owned(), "0"),
    ]
    .map(|(path, text)| (path, text.to_owned()))
    .to_vec()
}

/// The broker must refuse what is asked in the wrong way.
fn broker(report: &mut Report, facts: &guard::Disk) {
    let Ok(guard) = guard::Guard::connect() else {
        report.note(Kind::Read, "connect to the broker again", Err(libc::ECONNREFUSED));
        return;
    };
    let wrong = [
        ("unlock with a wrong serial", facts.model.clone(), format!("{}x", facts.serial)),
        ("unlock with a wrong model", format!("{}x", facts.model), facts.serial.clone()),
        ("unlock with nothing typed", String::new(), String::new()),
    ];
    for (name, model, serial) in wrong {
        let order = guard::Unlock { disk: facts.name.clone(), model, serial };
        let tried = guard.unlock(order).map(drop).map_err(|_| libc::EPERM);
        report.note(Kind::Other, name, tried);
    }
    // A set-user-id program would be the last way up; the kernel must not honour the bit.
    let gained = Command::new("/bin/su").arg("-c").arg("true").status().map(|s| s.success());
    let tried = if gained.unwrap_or(false) { Ok(()) } else { Err(libc::ENOENT) };
    report.note(Kind::Other, "su", tried);
}
