//! The collection once more as a tar in UAC's layout (`uac.log`, `[root]/…`), so that Dissect and others read processes,
//! sockets, modules and the host's identity from it. Only what they look for is in it; the rest stands in our own lines.
//!
//! The archive is POSIX ustar (pax(1), "ustar Interchange Format"), written as it goes.

use std::path::Path;

use crate::Error;
use crate::collection::Collection;
use crate::host::path_of;
use crate::process;
use crate::processes::Known;

const BLOCK: usize = 512;
/// Files of each process, and its links.
const OF_A_PROCESS: [&str; 11] = [
    "stat",
    "status",
    "cmdline",
    "environ",
    "comm",
    "maps",
    "cgroup",
    "limits",
    "mountinfo",
    "mounts",
    "loginuid",
];
const LINKS: [&str; 3] = ["exe", "cwd", "root"];
/// Files of `/proc`, and tables of the host's own network.
const OF_THE_HOST: [&str; 12] = [
    "version",
    "uptime",
    "meminfo",
    "cpuinfo",
    "modules",
    "mounts",
    "stat",
    "cmdline",
    "loadavg",
    "swaps",
    "partitions",
    "sys/kernel/hostname",
];
const TABLES: [&str; 11] =
    ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "packet", "arp", "route", "dev"];
/// Small files that say what host this is.
const IDENTITY: [&str; 8] = [
    "/etc/hostname",
    "/etc/hosts",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/group",
    "/etc/timezone",
];
const IDENTITY_BYTES: u64 = 1 << 20;

/// Writes `uac.tar`.
pub(crate) fn collect(all: &mut Collection<'_>, known: &Known) -> Result<(), Error> {
    all.begin("uac.tar")?;
    let about = format!("{} glovebox triage live, in the layout of UAC\n", all.options.now);
    file(all, "uac.log", about.as_bytes())?;
    // What tells a reader that this is a Linux system.
    for folder in ["[root]/etc/", "[root]/proc/", "[root]/run/", "[root]/sys/", "[root]/var/"] {
        entry(all, folder, b'5', 0, b"")?;
    }
    for name in IDENTITY {
        match all.host.file(&all.host.path(name), IDENTITY_BYTES) {
            Ok(bytes) => file(all, &format!("[root]{name}"), &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => all.missed(name, error),
        }
    }
    if let Ok(zone) = all.host.link(&all.host.path("/etc/localtime")) {
        entry(all, "[root]/etc/localtime", b'2', 0, &zone)?;
    }
    for name in OF_THE_HOST {
        pseudo(all, &all.host.proc(name), &format!("[root]/proc/{name}"))?;
    }
    for table in TABLES {
        let path = process::place(all.host, 1, &format!("net/{table}"));
        pseudo(all, &path, &format!("[root]/proc/net/{table}"))?;
    }
    for pid in known.processes.keys().filter(|pid| **pid != known.own) {
        one(all, *pid)?;
    }
    let folder = all.host.sys("module");
    for name in all.host.list_pseudo(&folder).unwrap_or_default() {
        let path = folder.join(path_of(&name));
        let text = String::from_utf8_lossy(&name).into_owned();
        for what in ["initstate", "refcnt", "coresize", "taint", "version"] {
            pseudo(all, &path.join(what), &format!("[root]/sys/module/{text}/{what}"))?;
        }
    }
    // Two blocks of zeros end it.
    all.bytes(&[0; BLOCK])?;
    all.bytes(&[0; BLOCK])?;
    all.end().map(drop)
}

fn one(all: &mut Collection<'_>, pid: u32) -> Result<(), Error> {
    for name in OF_A_PROCESS {
        pseudo(all, &process::place(all.host, pid, name), &format!("[root]/proc/{pid}/{name}"))?;
    }
    for name in LINKS {
        link(all, &process::place(all.host, pid, name), &format!("[root]/proc/{pid}/{name}"))?;
    }
    for fd in all.host.numbers(&process::place(all.host, pid, "fd")).unwrap_or_default() {
        let path = process::place(all.host, pid, &format!("fd/{fd}"));
        link(all, &path, &format!("[root]/proc/{pid}/fd/{fd}"))?;
    }
    Ok(())
}

fn pseudo(all: &mut Collection<'_>, path: &Path, name: &str) -> Result<(), Error> {
    match all.host.pseudo(path) {
        Ok(bytes) => file(all, name, &bytes),
        // That it could not be read was said where it counts.
        Err(_) => Ok(()),
    }
}

fn link(all: &mut Collection<'_>, path: &Path, name: &str) -> Result<(), Error> {
    match all.host.link(path) {
        Ok(target) => entry(all, name, b'2', 0, &target),
        Err(_) => Ok(()),
    }
}

fn file(all: &mut Collection<'_>, name: &str, bytes: &[u8]) -> Result<(), Error> {
    entry(all, name, b'0', bytes.len(), b"")?;
    all.bytes(bytes)?;
    let rest = bytes.len().next_multiple_of(BLOCK).saturating_sub(bytes.len());
    all.bytes(&vec![0; rest])
}

fn entry(
    all: &mut Collection<'_>,
    name: &str,
    kind: u8,
    size: usize,
    target: &[u8],
) -> Result<(), Error> {
    // Names of ours are short; a target that does not fit is cut, and stands whole in our own lines.
    all.bytes(&header(name, kind, size, target))
}

/// Name, mode, owners, size, time, sum, kind, target, magic: each number as octal digits and a zero byte.
fn header(name: &str, kind: u8, size: usize, target: &[u8]) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, length: usize, bytes: &[u8]| {
        let end = at.saturating_add(length.min(bytes.len()));
        if let Some(place) = block.get_mut(at..end) {
            let (bytes, _) = bytes.split_at_checked(place.len()).unwrap_or((bytes, b""));
            place.copy_from_slice(bytes);
        }
    };
    put(0, 100, name.as_bytes());
    put(100, 8, if kind == b'5' { b"0000755\0" } else { b"0000444\0" });
    put(108, 8, b"0000000\0");
    put(116, 8, b"0000000\0");
    put(124, 12, format!("{size:011o}\0").as_bytes());
    put(136, 12, b"00000000000\0");
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, target);
    put(257, 8, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).fold(0, u32::saturating_add);
    let digits = format!("{sum:06o}\0 ");
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(digits.as_bytes().first_chunk::<8>().unwrap_or(b"        "));
    }
    block
}
