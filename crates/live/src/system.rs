//! The host as a whole: clocks first, since everything else is dated by them; then load, memory, and how the kernel is set.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Error;
use crate::collection::Collection;
use crate::host::{Host, shown};

/// Files of `/proc` that are one text each.
const TEXTS: [&str; 22] = [
    "uptime",
    "loadavg",
    "version",
    "cmdline",
    "meminfo",
    "stat",
    "swaps",
    "filesystems",
    "devices",
    "interrupts",
    "iomem",
    "ioports",
    "partitions",
    "diskstats",
    "keys",
    "key-users",
    "locks",
    "timer_list",
    "vmallocinfo",
    "sysvipc/shm",
    "sysvipc/sem",
    "sysvipc/msg",
];
/// Settings that intruders change or that say what could be seen.
const SETTINGS: [&str; 24] = [
    "kernel/hostname",
    "kernel/domainname",
    "kernel/osrelease",
    "kernel/tainted",
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/hotplug",
    "kernel/poweroff_cmd",
    "kernel/modules_disabled",
    "kernel/kptr_restrict",
    "kernel/dmesg_restrict",
    "kernel/perf_event_paranoid",
    "kernel/unprivileged_bpf_disabled",
    "kernel/yama/ptrace_scope",
    "kernel/randomize_va_space",
    "kernel/kexec_load_disabled",
    "kernel/pid_max",
    "kernel/ns_last_pid",
    "kernel/random/boot_id",
    "kernel/ftrace_enabled",
    "kernel/usermodehelper/bset",
    "net/ipv4/ip_forward",
    "net/core/bpf_jit_enable",
    "vm/mmap_min_addr",
];

/// Collects; gives the host's name.
pub(crate) fn collect(all: &mut Collection<'_>) -> Result<String, Error> {
    let host = all.host;
    let name = shown(host.pseudo_text(&host.proc("sys/kernel/hostname")).as_bytes());
    all.begin("system.jsonl")?;
    all.line(&json!({
        "kind": "clock",
        "now": all.options.now,
        "uptime": host.pseudo_text(&host.proc("uptime")),
        "hardware_clock": {
            "date": host.pseudo_text(&host.sys("class/rtc/rtc0/date")),
            "time": host.pseudo_text(&host.sys("class/rtc/rtc0/time")),
        },
        "source": host.pseudo_text(&host.sys("devices/system/clocksource/clocksource0/current_clocksource")),
        "zone": zone(host),
    }))?;
    let settings: BTreeMap<&str, String> = SETTINGS
        .into_iter()
        .map(|name| (name, shown(host.pseudo_text(&host.proc(&format!("sys/{name}"))).as_bytes())))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    all.line(&json!({ "kind": "settings", "settings": settings }))?;
    all.line(&json!({ "kind": "security", "security": security(host) }))?;
    for name in TEXTS {
        match host.pseudo(&host.proc(name)) {
            Ok(text) => {
                let lines: Vec<String> =
                    text.trim_ascii_end().split(|byte| *byte == b'\n').map(shown).collect();
                all.line(&json!({ "kind": "text", "name": name, "lines": lines }))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => all.missed(format!("/proc/{name}"), error),
        }
    }
    users(all)?;
    all.end()?;
    Ok(if name.is_empty() { "unnamed".to_owned() } else { name })
}

fn zone(host: &Host) -> Option<String> {
    host.link(&host.path("/etc/localtime")).ok().map(|path| shown(&path))
}

fn security(host: &Host) -> BTreeMap<&'static str, String> {
    ["lsm", "lockdown", "integrity/ima/policy"]
        .into_iter()
        .map(|name| {
            let text = host.pseudo_text(&host.sys(&format!("kernel/security/{name}")));
            (name, shown(text.as_bytes()))
        })
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Who is logged in: utmp, and the files of systemd-logind.
fn users(all: &mut Collection<'_>) -> Result<(), Error> {
    let host = all.host;
    match host.file(&host.path("/run/utmp"), 8 << 20) {
        Ok(bytes) => {
            for line in bytes.chunks_exact(UTMP_BYTES).filter_map(login) {
                all.line(&line)?;
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => all.missed("/run/utmp", error),
    }
    for folder in ["/run/systemd/sessions", "/run/systemd/users"] {
        let path = host.path(folder);
        for name in host.list(&path, 10_000).unwrap_or_default() {
            let file = path.join(crate::host::path_of(&name));
            if let Ok(text) = host.file(&file, 64 << 10) {
                let lines: Vec<String> = text.split(|byte| *byte == b'\n').map(shown).collect();
                let place = format!("{folder}/{}", shown(&name));
                all.line(&json!({ "kind": "session", "file": place, "lines": lines }))?;
            }
        }
    }
    Ok(())
}

/// `struct utmp` of glibc on 64-bit machines (utmp(5)): type, pid, line, id, user, host, exit, session, time, address.
const UTMP_BYTES: usize = 384;

fn login(record: &[u8]) -> Option<Value> {
    let number = |at: usize| crate::netlink::u32_at(record, at);
    let text = |from: usize, length: usize| {
        let bytes = record.get(from..from.checked_add(length)?)?;
        Some(shown(bytes.split(|byte| *byte == 0).next().unwrap_or_default()))
    };
    let kind = crate::netlink::u16_at(record, 0)?;
    (kind != 0).then_some(())?;
    Some(json!({
        "kind": "login", "type": kind, "pid": number(4)?, "line": text(8, 32)?, "id": text(40, 4)?,
        "user": text(44, 32)?, "host": text(76, 256)?, "session": number(336)?,
        "unix_seconds": number(340)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_by_the_layout_of_utmp() {
        let mut record = [0_u8; UTMP_BYTES];
        record[0] = 7;
        record[4..8].copy_from_slice(&4242_u32.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..48].copy_from_slice(b"mary");
        record[340..344].copy_from_slice(&1_700_000_000_u32.to_ne_bytes());
        let one = login(&record).unwrap();
        assert_eq!((one["user"].as_str(), one["line"].as_str()), (Some("mary"), Some("pts/0")));
        assert_eq!(one["unix_seconds"], 1_700_000_000);
        assert_eq!(login(&[0; UTMP_BYTES]), None);
        assert_eq!(login(&record[..300]), None);
    }
}
