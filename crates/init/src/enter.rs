//! The box in which every shell and tool runs, entered once per console.
//!
//! Run as a program of its own (`/init enter tty1`), so that each step is an ordinary call in a
//! fresh process. The layers are independent: each closes the way to a disk alone, and each is
//! taken out in turn by the tests while the others must hold. A layer that fails is shown and the
//! rest still applied: an examiner without a shell would have nothing.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use guard::{Layer, LayerState};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_change, mount_move, unmount,
};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use sandbox::syscall_filter;
use sys::device_filter::{self, Allowed, Minors};

use crate::boot::{HARMLESS, SEALED};
use crate::knockout::Layer as Knock;
use crate::landlock_domain;
use crate::log::{self, Problems};

/// User and group of every tool.
pub(crate) const TOOL_ID: u32 = 1000;

const GROUP: &str = "/sys/fs/cgroup/tools";

type Step = Result<String, String>;

/// Makes the tools' control group and puts the device filter on it. Done once, by the broker.
pub(crate) fn prepare_group(problems: &mut Problems) {
    let _there = fs::create_dir(GROUP);
    if Knock::DeviceFilter.knocked_out() {
        return;
    }
    let mut allowed: Vec<Allowed> = HARMLESS
        .iter()
        .map(|(_, major, minor)| Allowed { major: *major, minors: Minors::One(*minor) })
        .collect();
    // Terminals: consoles and serial lines (4), and the two kinds of virtual console.
    for major in [4, 136, 229] {
        allowed.push(Allowed { major, minors: Minors::All });
    }
    let attached = open(GROUP, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|group| device_filter::attach(&group, &allowed));
    problems.note("putting the device filter on the tools' group", attached);
}

/// Enters the box and becomes the shell of one console.
pub(crate) fn console(name: &str) -> ExitCode {
    if let Err(problem) = take_terminal(name) {
        log::line(&format!("opening console {name}: {problem}"));
        return ExitCode::from(2);
    }
    for layer in enter_box() {
        if layer.state == LayerState::Failed {
            log::line(&format!("SAFETY LAYER {} FAILED: {}", layer.name, layer.detail));
        }
    }
    let serial = !name.starts_with("tty") || name.starts_with("ttyS");
    let problem = Command::new("/bin/brush")
        .args(["--noprofile", "--no-config", "--rcfile", "/etc/glovebox/shellrc", "-i"])
        .args(["--input-backend", if serial { "basic" } else { "reedline" }])
        .env_clear()
        .env("PATH", "/bin")
        .env("HOME", "/run/session")
        .env("USER", "examiner")
        .env("SHELL", "/bin/bash")
        .env("PAGER", "less")
        .env("LANG", "C.UTF-8")
        .env("TERM", if serial { "vt100" } else { "linux" })
        .current_dir("/run/session")
        .exec();
    log::line(&format!("starting the shell: {problem}"));
    ExitCode::from(2)
}

/// Enters the box and prints, as JSON, which layers hold.
pub(crate) fn probe() -> ExitCode {
    let layers = enter_box();
    match serde_json::to_string(&layers) {
        Ok(text) => {
            use std::io::Write;
            let sent = writeln!(std::io::stdout(), "{text}");
            ExitCode::from(if sent.is_ok() { 0 } else { 2 })
        }
        Err(_) => ExitCode::from(2),
    }
}

fn take_terminal(name: &str) -> std::io::Result<()> {
    let _leader = rustix::process::setsid();
    let path = Path::new("/dev").join(name);
    let terminal = open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::ioctl_tiocsctty(&terminal)?;
    if tcgetwinsize(&terminal).is_ok_and(|size| size.ws_col == 0) {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let _size_unknown = tcsetwinsize(&terminal, size);
    }
    std::os::unix::fs::fchown(&terminal, Some(TOOL_ID), Some(TOOL_ID))?;
    rustix::stdio::dup2_stdin(&terminal)?;
    rustix::stdio::dup2_stdout(&terminal)?;
    rustix::stdio::dup2_stderr(&terminal)?;
    Ok(())
}

/// Applies every layer to the calling process. The order is what each step needs of the others.
fn enter_box() -> Vec<Layer> {
    let group = fs::write(format!("{GROUP}/cgroup.procs"), "0\n");
    let group = group
        .map(|()| "block devices cannot be opened, 9 kinds of character device can".to_owned())
        .map_err(|problem| format!("joining the tools' group: {problem}"));
    let view = own_view(Knock::MountView.knocked_out());
    let mut layers = vec![
        line("device-filter", Knock::DeviceFilter, group),
        line("mount-view", Knock::MountView, view),
        apply("landlock", Knock::Landlock, landlock_domain::enter),
    ];
    // The bounding set can be cut only while still root; it is judged with the capabilities.
    let bound = empty_bounding_set();
    layers.push(line("unprivileged-user", Knock::Unprivileged, ordinary_user()));
    let given_up = bound.and_then(|()| capabilities());
    layers.push(line("capabilities", Knock::Capabilities, given_up));
    layers.push(apply("syscall-filter", Knock::SyscallFilter, syscall_filter::install));
    layers
}

fn apply(name: &str, layer: Knock, step: impl FnOnce() -> Step) -> Layer {
    let result = if layer.knocked_out() { Ok(String::new()) } else { step() };
    line(name, layer, result)
}

fn line(name: &str, layer: Knock, result: Step) -> Layer {
    let (state, detail) = match result {
        Err(problem) => (LayerState::Failed, problem),
        Ok(_) if layer.knocked_out() => {
            (LayerState::KnockedOut, "left out by the test image".into())
        }
        Ok(detail) => (LayerState::Active, detail),
    };
    Layer { name: name.to_owned(), state, detail }
}

/// A mount view of its own whose root is the sealed root.
fn own_view(with_disk_nodes: bool) -> Step {
    let step = |doing: &str, result: rustix::io::Result<()>| {
        result.map_err(|problem| format!("{doing}: {problem}"))
    };
    // A network of its own, too, in which no link is or can be: connections are the broker's to make.
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .map_err(|problem| format!("own mount view: {problem}"))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    step("detaching the mount view", mount_change("/", slave))?;
    if with_disk_nodes {
        step("showing the disk nodes", mount_bind("/dev", format!("{SEALED}/dev")))?;
    }
    for view in ["/dev", "/sys", "/proc", "/run"] {
        step("leaving the broker's view", unmount(view, UnmountFlags::DETACH))?;
    }
    rustix::process::chdir(SEALED).map_err(|problem| format!("entering {SEALED}: {problem}"))?;
    step("moving the sealed root", mount_move(".", "/"))?;
    step("changing root", rustix::process::chroot("."))?;
    step("entering the root", rustix::process::chdir("/"))?;
    // Read-only already by its kind; the flag keeps a later change of mind out.
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    step("sealing the root", rustix::mount::mount_remount("/", flags, c""))?;
    Ok("the sealed root, no disk node, no broker's folder, no network link".to_owned())
}

fn ordinary_user() -> Step {
    let failed = |problem: nix::errno::Errno| format!("becoming the tools' user: {problem}");
    if Knock::Unprivileged.knocked_out() {
        return Ok(String::new());
    }
    if Knock::Capabilities.knocked_out() {
        let kept = thread::set_keep_capabilities(true);
        kept.map_err(|problem| format!("keeping capabilities for the test: {problem}"))?;
    }
    let (user, group) = (Uid::from_raw(TOOL_ID), Gid::from_raw(TOOL_ID));
    setgroups(&[]).map_err(failed)?;
    setresgid(group, group, group).map_err(failed)?;
    setresuid(user, user, user).map_err(failed)?;
    Ok(format!("user and group {TOOL_ID}"))
}

fn empty_bounding_set() -> Result<(), String> {
    if Knock::Capabilities.knocked_out() {
        return Ok(());
    }
    for bit in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1_u64.checked_shl(bit).unwrap_or(0));
        match thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The first number this kernel does not know ends the list.
            Err(rustix::io::Errno::INVAL) => break,
            Err(problem) => return Err(format!("emptying the bounding set: {problem}")),
        }
    }
    Ok(())
}

fn capabilities() -> Step {
    let failed = |problem: rustix::io::Errno| format!("giving up capabilities: {problem}");
    thread::set_no_new_privs(true).map_err(failed)?;
    if Knock::Capabilities.knocked_out() {
        return keep_capabilities().map_err(failed);
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    thread::set_capabilities(None, none).map_err(failed)?;
    let now = thread::capabilities(None).map_err(failed)?;
    if now.effective.is_empty() && now.permitted.is_empty() && now.inheritable.is_empty() {
        Ok("none, and none to be gained".to_owned())
    } else {
        Err(format!("still held: {:?}", now.permitted))
    }
}

/// For the test that leaves this layer out: everything the broker has, through the execution.
fn keep_capabilities() -> rustix::io::Result<String> {
    let mut sets = thread::capabilities(None)?;
    sets.effective = sets.permitted;
    sets.inheritable = sets.permitted;
    thread::set_capabilities(None, sets)?;
    for one in sets.permitted.iter() {
        thread::configure_capability_in_ambient_set(one, true)?;
    }
    Ok(String::new())
}

/// Opens something for a Landlock rule.
pub(crate) fn path_descriptor(path: &str) -> rustix::io::Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
