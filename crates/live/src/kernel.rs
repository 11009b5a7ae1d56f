//! The kernel: modules in three views, taint, what is hooked into its functions, eBPF objects, helpers it would start.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};
use sys::observe::{BpfObject, bpf_info, next_bpf};

use crate::collection::{Collection, Seen};
use crate::host::{number, shown};
use crate::netlink::{u32_at, u64_at};
use crate::record::text;
use crate::{Error, Severity};

/// Functions that are there when sock_diag can be asked without loading a module.
const FUNCTIONS: [&str; 6] = [
    "tcp_diag_dump",
    "udp_diag_dump",
    "raw_diag_dump",
    "unix_diag_dump",
    "packet_diag_dump",
    "netlink_diag_dump",
];
/// Objects listed of a kind.
const OBJECTS_AT_MOST: usize = 20_000;
/// Kinds of programs, `enum bpf_prog_type`.
const PROGRAM_KINDS: [&str; 33] = [
    "unspec",
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
    "netfilter",
];
/// Those that see or change system calls and packets of everybody.
const STRONG_KINDS: [&str; 9] = [
    "kprobe",
    "tracepoint",
    "raw_tracepoint",
    "raw_tracepoint_writable",
    "tracing",
    "xdp",
    "sched_cls",
    "ext",
    "perf_event",
];
/// Bits of `/proc/sys/kernel/tainted` that modules set, `Documentation/admin-guide/tainted-kernels.rst`.
const MODULE_TAINTS: [(u32, char, &str); 6] = [
    (0, 'P', "a proprietary module"),
    (1, 'F', "a module loaded by force"),
    (3, 'R', "a module unloaded by force"),
    (12, 'O', "a module from outside the kernel's tree"),
    (13, 'E', "an unsigned module"),
    (15, 'K', "a live patch"),
];

/// Looks through the kernel's symbols: which modules have some, and whether functions are there.
pub(crate) fn symbols(all: &mut Collection<'_>) {
    let file = match std::fs::File::open(all.host.proc("kallsyms")) {
        Ok(file) => file,
        Err(error) => return all.missed("/proc/kallsyms", error),
    };
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let mut fields = line.trim_ascii_end().split(|byte| matches!(byte, b' ' | b'\t'));
        let name = fields.nth(2).unwrap_or_default();
        if let Some(known) = FUNCTIONS.iter().find(|known| known.as_bytes() == name) {
            all.functions.insert(known);
        }
        let module = fields.next().and_then(|one| one.strip_prefix(b"[")?.strip_suffix(b"]"));
        // Programs of eBPF and the kernel's own trampolines look like modules here.
        if let Some(module) = module.filter(|one| *one != b"bpf" && !one.starts_with(b"__builtin"))
        {
            all.symbol_modules.insert(shown(module));
        }
        line.clear();
    }
}

/// Collects.
pub(crate) fn collect(all: &mut Collection<'_>) -> Result<(), Error> {
    all.begin("kernel.jsonl")?;
    modules(all)?;
    tracing(all)?;
    helpers(all)?;
    if all.host.is_running() {
        programs(all)?;
    }
    all.end().map(drop)
}

fn modules(all: &mut Collection<'_>) -> Result<(), Error> {
    let (listed, taints) = listed(all);
    let in_sys = in_sys(all);
    let by_symbol = all.symbol_modules.clone();
    let names: BTreeSet<&String> =
        listed.keys().chain(in_sys.keys()).chain(by_symbol.iter()).collect();
    all.coverage.modules = names.len();
    let mut odd = Vec::new();
    for name in names {
        let views = [
            ("/proc/modules", listed.contains_key(name)),
            ("/sys/module", in_sys.contains_key(name)),
            ("/proc/kallsyms", by_symbol.contains(name)),
        ];
        all.line(&json!({
            "kind": "module", "name": name, "line": listed.get(name), "sys": in_sys.get(name),
            "views": views.iter().filter(|one| one.1).map(|one| one.0).collect::<Vec<_>>(),
        }))?;
        // Without symbols for us that view says nothing; a module without any function is no contradiction.
        let missing = views.iter().take(2).any(|one| !one.1);
        if missing {
            odd.push((name.clone(), views));
        }
    }
    // Loaded or unloaded meanwhile: a second look decides.
    if !odd.is_empty() {
        let (again, again_sys) = (self::listed(all).0, self::in_sys(all));
        odd.retain(|(name, _)| !(again.contains_key(name) && again_sys.contains_key(name)));
        odd.retain(|(name, views)| {
            again.contains_key(name)
                || again_sys.contains_key(name)
                || views.iter().any(|one| one.0 == "/proc/kallsyms" && one.1)
        });
    }
    for (name, views) in odd {
        let words = |there| {
            let views = views.iter().filter(|one| one.1 == there).map(|one| one.0);
            views.collect::<Vec<_>>().join(", ")
        };
        let excerpt = format!("in {}; not in {}", words(true), words(false));
        all.finding("GBX-LIVE-0401", Seen { path: name, excerpt, ..Seen::default() });
    }
    taint(all, &taints)
}

/// `/proc/modules`: name, and the whole line; and the letters of taint that any of them bears.
fn listed(all: &Collection<'_>) -> (BTreeMap<String, String>, BTreeMap<char, Vec<String>>) {
    let text = all.host.pseudo(&all.host.proc("modules")).unwrap_or_default();
    let (mut found, mut taints) = (BTreeMap::new(), BTreeMap::new());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line = shown(line);
        let name = line.split(' ').next().unwrap_or_default().to_owned();
        if let Some((_, letters)) = line.rsplit_once('(') {
            for letter in letters.chars().filter(char::is_ascii_uppercase) {
                taints.entry(letter).or_insert_with(Vec::new).push(name.clone());
            }
        }
        found.insert(name, line);
    }
    (found, taints)
}

/// Modules in `/sys/module` that were loaded: parts of the kernel itself have no state there.
fn in_sys(all: &Collection<'_>) -> BTreeMap<String, Value> {
    let host = all.host;
    let folder = host.sys("module");
    let mut found = BTreeMap::new();
    for name in host.list_pseudo(&folder).unwrap_or_default() {
        let path = folder.join(crate::host::path_of(&name));
        let state = host.pseudo_text(&path.join("initstate"));
        if state.is_empty() {
            continue;
        }
        let text = |file: &str| shown(host.pseudo_text(&path.join(file)).as_bytes());
        let value = json!({
            "state": state, "size": text("coresize"), "taint": text("taint"),
            "version": text("version"), "source_version": text("srcversion"),
        });
        found.insert(shown(&name), value);
    }
    found
}

/// GBX-LIVE-0402.
fn taint(all: &mut Collection<'_>, by_module: &BTreeMap<char, Vec<String>>) -> Result<(), Error> {
    let path = all.host.proc("sys/kernel/tainted");
    let Some(bits) = number(all.host.pseudo_text(&path).as_bytes()) else { return Ok(()) };
    all.line(&json!({ "kind": "taint", "bits": bits, "by_module": by_module }))?;
    for (bit, letter, what) in MODULE_TAINTS {
        if bits.checked_shr(bit).unwrap_or(0) & 1 == 0 {
            continue;
        }
        let bearers = by_module.get(&letter).cloned().unwrap_or_default();
        let nobody = bearers.is_empty();
        let detail = if nobody {
            "no module that is listed bears this mark: it was removed again, or it is hidden"
                .to_owned()
        } else {
            format!("borne by {}", bearers.join(", "))
        };
        // A module that bears the mark openly is a matter of taste; one that is gone is a question.
        let severity = if nobody && matches!(letter, 'O' | 'E' | 'F') {
            None
        } else if matches!(letter, 'E' | 'F') {
            Some(Severity::Low)
        } else {
            Some(Severity::Info)
        };
        let excerpt = format!("{letter}: {what} has been loaded");
        let path = "/proc/sys/kernel/tainted".to_owned();
        all.finding("GBX-LIVE-0402", Seen { path, excerpt, detail, severity, ..Seen::default() });
    }
    Ok(())
}

/// Functions that something was hooked into: GBX-LIVE-0403.
fn tracing(all: &mut Collection<'_>) -> Result<(), Error> {
    let host = all.host;
    let files = ["enabled_functions", "kprobe_events", "uprobe_events", "current_tracer"];
    let mut hooked: Vec<String> = Vec::new();
    for file in files {
        let Some(path) = host.tracing(file) else {
            all.missed("tracefs", "not readable: hooks by ftrace and probes are not seen");
            break;
        };
        match host.pseudo(&path) {
            Ok(text) => {
                let lines: Vec<String> = text
                    .split(|byte| *byte == b'\n')
                    .filter(|one| !one.is_empty())
                    .map(shown)
                    .collect();
                if file != "current_tracer" {
                    hooked.extend(lines.iter().map(|line| format!("{file}: {line}")));
                }
                all.line(&json!({ "kind": "tracing", "file": file, "lines": lines }))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => all.missed(format!("tracefs:{file}"), error),
        }
    }
    let probes = host.sys("kernel/debug/kprobes/list");
    if let Ok(text) = host.pseudo(&probes) {
        let lines: Vec<String> =
            text.split(|byte| *byte == b'\n').filter(|one| !one.is_empty()).map(shown).collect();
        hooked.extend(lines.iter().map(|line| format!("kprobes: {line}")));
        all.line(&json!({ "kind": "tracing", "file": "kprobes/list", "lines": lines }))?;
    }
    if let Some(first) = hooked.first() {
        // eBPF programs hook by the same means, and are judged as such.
        let foreign: Vec<&String> = hooked.iter().filter(|line| !line.contains("bpf_")).collect();
        let severity = foreign.is_empty().then_some(Severity::Info);
        let excerpt = foreign.first().copied().unwrap_or(first).clone();
        let detail = format!("{} functions, {} of them not by eBPF", hooked.len(), foreign.len());
        let path = "/sys/kernel/tracing".to_owned();
        all.finding("GBX-LIVE-0403", Seen { path, excerpt, detail, severity, ..Seen::default() });
    }
    Ok(())
}

/// Programs that the kernel itself starts: GBX-LIVE-0405, and interpreters by magic: GBX-LIVE-0406.
fn helpers(all: &mut Collection<'_>) -> Result<(), Error> {
    let host = all.host;
    let usual: [(&str, &[&str]); 4] = [
        ("core_pattern", &["systemd-coredump", "apport", "abrt-hook-ccpp", "kdump", "drkonqi"]),
        ("modprobe", &["/sbin/modprobe", "/usr/sbin/modprobe", "/usr/bin/modprobe"]),
        ("hotplug", &[]),
        ("poweroff_cmd", &["/sbin/poweroff", "/usr/sbin/poweroff"]),
    ];
    for (name, known) in usual {
        let value = shown(host.pseudo_text(&host.proc(&format!("sys/kernel/{name}"))).as_bytes());
        let starts =
            if name == "core_pattern" { value.strip_prefix('|') } else { Some(value.as_str()) };
        let Some(program) = starts.map(str::trim).filter(|text| !text.is_empty()) else { continue };
        let expected = known.iter().any(|word| match word.starts_with('/') {
            true => program == *word,
            false => program.contains(word) && program.starts_with("/usr/"),
        });
        if !expected {
            let path = format!("/proc/sys/kernel/{name}");
            all.finding("GBX-LIVE-0405", Seen { path, excerpt: value, ..Seen::default() });
        }
    }
    let folder = host.shown_proc("sys/fs/binfmt_misc");
    // Not when nothing is mounted there: looking would have systemd mount it.
    let mounted = host.pseudo(&host.shown_proc("self/mountinfo")).unwrap_or_default();
    let mounted = mounted
        .split(|byte| *byte == b'\n')
        .filter_map(crate::tables::mount)
        .any(|one| one.kind == "binfmt_misc");
    let names = if mounted { host.list_pseudo(&folder).unwrap_or_default() } else { Vec::new() };
    for name in names {
        let text = host.pseudo_text(&folder.join(crate::host::path_of(&name)));
        let lines: Vec<String> = text.lines().map(|line| shown(line.as_bytes())).collect();
        let flags = lines.iter().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        if flags.contains('C') {
            let path = format!("/proc/sys/fs/binfmt_misc/{}", shown(&name));
            let interpreter = lines.iter().find(|line| line.starts_with("interpreter"));
            let emulator = interpreter.is_some_and(|line| line.contains("qemu-"));
            let severity = emulator.then_some(Severity::Info);
            let excerpt = lines.join("; ");
            all.finding("GBX-LIVE-0406", Seen { path, excerpt, severity, ..Seen::default() });
        }
        all.line(&json!({ "kind": "binary_format", "name": shown(&name), "lines": lines }))?;
    }
    Ok(())
}

/// eBPF programs, maps and links, by their numbers.
fn programs(all: &mut Collection<'_>) -> Result<(), Error> {
    let mut linked: BTreeMap<u32, u32> = BTreeMap::new();
    let mut strong = Vec::new();
    for (object, word) in
        [(BpfObject::Link, "link"), (BpfObject::Program, "program"), (BpfObject::Map, "map")]
    {
        let mut after = 0;
        for _ in 0..OBJECTS_AT_MOST {
            let next = match next_bpf(object, after) {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) => {
                    all.missed("bpf(2)", format!("{word}s not listed: {error}"));
                    break;
                }
            };
            after = next;
            let Ok(info) = bpf_info(object, next) else { continue };
            let line = described(object, &info);
            if object == BpfObject::Link {
                linked.insert(u32_at(&info, 8).unwrap_or(0), u32_at(&info, 0).unwrap_or(0));
            }
            if object == BpfObject::Program {
                all.coverage.bpf_programs = all.coverage.bpf_programs.saturating_add(1);
                if STRONG_KINDS.contains(&text(&line, "type")) {
                    strong.push((next, line.clone()));
                }
            }
            all.line(&line)?;
        }
    }
    for (number, line) in strong {
        let kind = text(&line, "type");
        let name = text(&line, "name");
        let uid = line.get("uid").unwrap_or(&Value::Null);
        let excerpt = format!("{kind} program {number} \"{name}\", uid {uid}");
        let tied = linked.get(&number).map_or("", |_| "tied to its place by a link");
        let path = format!("bpf program {number}");
        let detail = tied.to_owned();
        all.finding("GBX-LIVE-0404", Seen { path, excerpt, detail, ..Seen::default() });
    }
    Ok(())
}

/// `struct bpf_prog_info`, `bpf_map_info`, `bpf_link_info` of `linux/bpf.h`.
fn described(object: BpfObject, info: &[u8]) -> Value {
    let number = |at| u32_at(info, at);
    let name = |from: usize| {
        let bytes = info.get(from..from.saturating_add(16)).unwrap_or_default();
        shown(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
    };
    match object {
        BpfObject::Program => {
            let kind = number(0).and_then(|kind| usize::try_from(kind).ok());
            let tag = info.get(8..16).unwrap_or_default();
            json!({
                "kind": "bpf_program", "id": number(4),
                "type": kind.and_then(|kind| PROGRAM_KINDS.get(kind)).unwrap_or(&"unknown"),
                "tag": tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                "loaded_ns_since_boot": u64_at(info, 40), "uid": number(48), "name": name(64),
            })
        }
        BpfObject::Map => json!({
            "kind": "bpf_map", "id": number(4), "type": number(0), "key_bytes": number(8),
            "value_bytes": number(12), "entries_at_most": number(16), "name": name(24),
        }),
        BpfObject::Link => json!({
            "kind": "bpf_link", "id": number(4), "type": number(0), "program": number(8),
        }),
    }
}
