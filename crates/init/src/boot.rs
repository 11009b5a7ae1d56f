//! From the kernel's hand-over to the sealed root: mounts, early modules, the root itself.
//!
//! Everything comes from the initial file system the boot loader handed over. Nothing is searched
//! for on any disk, so nothing planted on one can be picked up.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use rustix::fs::{Mode, chmod};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};

use crate::knockout::Layer;
use crate::log::Problems;
use crate::modules::{self, Modules};

/// Where the sealed root is mounted in our own view.
pub(crate) const SEALED: &str = "/sealed";

const STRICT: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts the kernel's own file systems in our view.
pub(crate) fn kernel_views(problems: &mut Problems) {
    view(problems, "devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=0755");
    view(problems, "proc", "/proc", STRICT, c"");
    view(problems, "sysfs", "/sys", STRICT, c"");
    view(problems, "securityfs", "/sys/kernel/security", STRICT, c"");
    view(problems, "cgroup2", "/sys/fs/cgroup", STRICT, c"");
}

fn view(problems: &mut Problems, kind: &str, at: &str, flags: MountFlags, data: &CStr) {
    let _there = fs::create_dir_all(at);
    problems.note(&format!("mounting {kind} at {at}"), mount(kind, at, kind, flags, Some(data)));
}

/// Loads the modules the sealed root needs and mounts it, read-only, from the file it lies in.
///
/// # Errors
/// In words, if there is no way to a root: the caller shows it and waits for power-off.
pub(crate) fn sealed_root(problems: &mut Problems) -> Result<(), String> {
    let list = fs::read_to_string("/early-modules").unwrap_or_default();
    for name in list.split_ascii_whitespace() {
        problems.note(
            &format!("loading early module {name}"),
            modules::insert(&Path::new("/early").join(name)),
        );
    }
    let _there = fs::create_dir_all(SEALED);
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount("/root.erofs", SEALED, "erofs", flags, None)
        .map_err(|problem| format!("mounting the sealed root from the initrd: {problem}"))
}

/// Reads the sealed list of modules for the running kernel.
pub(crate) fn module_list(problems: &mut Problems) -> Modules {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let folder = Path::new(SEALED).join("lib/modules").join(release);
    problems.note("reading the sealed module list", Modules::read(&folder)).unwrap_or_default()
}

/// Prepares what the tools see around the sealed root. Each shell later gets a view of its own.
pub(crate) fn tool_views(problems: &mut Problems) {
    let inside = |name: &str| format!("{SEALED}/{name}");
    let tmpfs = |problems: &mut Problems, name: &str, data: &CStr| {
        let at = inside(name);
        problems.note(&format!("mounting {at}"), mount("tmpfs", &*at, "tmpfs", STRICT, Some(data)));
    };
    tmpfs(problems, "run", c"mode=0755,size=16m");
    tmpfs(problems, "tmp", c"mode=1777,size=50%");
    tmpfs(problems, "media", c"mode=0755,size=1m");
    for (kind, name) in [("proc", "proc"), ("sysfs", "sys")] {
        let at = inside(name);
        let mounted = mount(kind, &*at, kind, STRICT, None)
            // Per mount, not for the whole file system: ours stays writable.
            .and_then(|()| {
                mount_remount(&*at, MountFlags::BIND | MountFlags::RDONLY | STRICT, c"")
            });
        problems.note(&format!("mounting {at}"), mounted);
    }
    harmless_devices(problems, &inside("dev"));
    // Media mounted later must show up in views that exist by then.
    let shared = MountPropagationFlags::SHARED;
    problems.note("sharing the media folder", mount_change(&*inside("media"), shared));
    let _there = fs::create_dir_all(inside("run/session"));
    problems.note("opening the session folder", open_to_tools(&inside("run/session")));
    // Broker and tools use one path for the socket.
    let _there = fs::create_dir_all("/run");
    let run = rustix::mount::mount_bind(&*inside("run"), "/run");
    problems.note("showing the run folder", run);
}

/// Gives a folder to the tools' user.
pub(crate) fn open_to_tools(path: &str) -> std::io::Result<()> {
    std::os::unix::fs::chown(path, Some(crate::enter::TOOL_ID), Some(crate::enter::TOOL_ID))?;
    // Without that layer a test's tools are user 0 without capabilities: not the owner.
    let others = if Layer::Unprivileged.knocked_out() { 0o077 } else { 0 };
    Ok(chmod(path, Mode::from_raw_mode(0o700 | others))?)
}

/// The character devices tools may open: name, major, minor.
pub(crate) const HARMLESS: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

fn harmless_devices(problems: &mut Problems, folder: &str) {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let data = c"mode=0755,size=64k";
    problems.note(
        "mounting the tools' device folder",
        mount("tmpfs", folder, "tmpfs", flags, Some(data)),
    );
    for (name, major, minor) in HARMLESS {
        let path = format!("{folder}/{name}");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &*path,
            rustix::fs::FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            rustix::fs::makedev(major, minor),
        )
        .and_then(|()| chmod(&*path, Mode::from_raw_mode(0o666)));
        problems.note(&format!("making {path}"), made);
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        let _there = std::os::unix::fs::symlink(target, format!("{folder}/{name}"));
    }
    let closed = mount_remount(folder, MountFlags::BIND | MountFlags::RDONLY | flags, c"");
    problems.note("closing the tools' device folder", closed);
}

/// Lets tools read the machine's identity that sysfs shows to root alone, and shows the firmware's
/// variables without a way to write them.
pub(crate) fn machine_facts(problems: &mut Problems, modules: &mut Modules) {
    for name in ["product_serial", "product_uuid", "board_serial", "chassis_serial"] {
        let path = format!("/sys/class/dmi/id/{name}");
        if Path::new(&path).exists() {
            problems.note("showing machine facts", chmod(&*path, Mode::from_raw_mode(0o444)));
        }
    }
    if Path::new("/sys/firmware/efi").exists() {
        problems.note("loading efivarfs", modules.load("efivarfs"));
        let at = format!("{SEALED}/sys/firmware/efi/efivars");
        let flags = MountFlags::RDONLY | STRICT;
        problems.note(
            "mounting the firmware's variables for reading",
            mount("efivarfs", &*at, "efivarfs", flags, None),
        );
    }
}
