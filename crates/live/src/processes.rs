//! All processes: their records, maps and environment, and what each of them shows by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;

use serde_json::{Value, json};

use crate::collection::{Collection, Seen};
use crate::host::shown;
use crate::maps::{self, DELETED, Part};
use crate::process::{self, Process, Programs};
use crate::record::set;
use crate::{Error, Severity};

/// Longest memory map that is kept of one process, in bytes.
const MAP_BYTES: u64 = 8 << 20;
/// Variables that have a loader or an interpreter run something else first.
const PRELOADING: [&str; 5] =
    ["LD_PRELOAD=", "LD_AUDIT=", "LD_LIBRARY_PATH=", "BASH_ENV=", "PROMPT_COMMAND="];
/// Programs that run what they are told.
const INTERPRETERS: [&str; 14] = [
    "sh", "bash", "dash", "zsh", "ksh", "ash", "busybox", "python", "perl", "ruby", "php", "nc",
    "ncat", "socat",
];
/// How names of kernel threads begin.
const KERNEL_NAMES: [&str; 8] =
    ["kworker", "kthreadd", "ksoftirqd", "migration/", "rcu_", "kswapd", "kdevtmpfs", "watchdog/"];
/// CAP_SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, DAC_READ_SEARCH, SETUID: each is as good as root.
const AS_GOOD_AS_ROOT: u64 = 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21 | 1 << 2 | 1 << 7;
/// Folders that libraries are installed to.
const LIBRARY_PLACES: [&[u8]; 8] =
    [b"/usr/", b"/lib", b"/opt/", b"/bin/", b"/sbin/", b"/nix/store/", b"/gnu/store/", b"/snap/"];

/// All that were seen.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) processes: BTreeMap<u32, Process>,
    /// The process this runs in.
    pub(crate) own: u32,
}

impl Known {
    /// Each namespace of a kind, and the lowest process in it.
    pub(crate) fn namespaces(&self, kind: &str) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for (pid, process) in &self.processes {
            if let Some(link) = process.namespaces.get(kind) {
                found.entry(link.clone()).or_insert(*pid);
            }
        }
        found
    }

    pub(crate) fn threads(&self) -> BTreeSet<u32> {
        self.processes.values().flat_map(|one| one.threads.iter().copied()).collect()
    }

    fn of_first(&self, kind: &str) -> Option<&String> {
        self.processes.get(&1)?.namespaces.get(kind)
    }
}

/// Reads all processes.
pub(crate) fn collect(all: &mut Collection<'_>) -> Result<Known, Error> {
    let mut known = Known { own: std::process::id(), ..Known::default() };
    let numbers = match all.host.numbers(&all.host.proc("")) {
        Ok(numbers) => numbers,
        Err(error) => {
            all.missed("/proc", error);
            return Ok(known);
        }
    };
    let mut programs = Programs::default();
    let mut denied = BTreeMap::new();
    all.begin("processes.jsonl")?;
    for pid in numbers {
        let Some((mut process, mut record)) = process::read(all.host, pid) else { continue };
        for name in record
            .get("denied")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let count: &mut u64 = denied.entry(name.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        if process.exe.is_some() {
            match programs.look(all.host, pid, all.options.largest_hashed_bytes) {
                Ok(file) => {
                    process.sha256 = file.get("sha256").and_then(Value::as_str).map(str::to_owned);
                    set(&mut record, "program_file", file);
                }
                Err(error) => {
                    set(&mut record, "program_file", json!({ "problem": error.to_string() }));
                }
            }
        }
        // We ourselves may well run from a place that would be odd for others.
        if pid != known.own {
            program_rules(all, pid, &process);
            environment_rules(all, pid, &process, &record);
        }
        all.line(&record)?;
        known.processes.insert(pid, process);
        if let Some(pause) = all.options.pause {
            std::thread::sleep(pause);
        }
    }
    all.end()?;
    for (name, count) in denied {
        all.missed(format!("/proc/PID/{name}"), format!("not readable for {count} processes"));
    }
    all.begin("maps.jsonl")?;
    for (pid, process) in &mut known.processes {
        if !process.stat.is_kernel_thread && *pid != known.own {
            map(all, *pid, process)?;
        }
    }
    all.end()?;
    all.coverage.processes = known.processes.len();
    all.coverage.threads = known.processes.values().map(|one| one.threads.len()).sum();
    relations(all, &known);
    Ok(known)
}

fn seen(pid: u32, process: &Process, path: &[u8]) -> Seen {
    Seen {
        path: shown(path),
        pid: Some(pid),
        sha256: process.sha256.clone(),
        who: process.who(),
        what: process.what(),
        detail: format!("process {pid} ({})", process.name()),
        ..Seen::default()
    }
}

/// What the program of a process is.
fn program_rules(all: &mut Collection<'_>, pid: u32, process: &Process) {
    let host = all.host;
    let Some(exe) = process.exe.as_deref() else { return };
    if exe.starts_with(b"/memfd:") {
        // Tools that seal themselves against their containers run so.
        let known = [b"/memfd:runc".as_slice(), b"/memfd:crun", b"/memfd:systemd"];
        let severity = known.iter().any(|one| exe.starts_with(one)).then_some(Severity::Low);
        let one = Seen { severity, ..seen(pid, process, exe) };
        all.finding("GBX-LIVE-0202", one);
    } else if let Some(name) = process.deleted_program()
        && !process::leads_to_it(host, pid, "exe", exe)
    {
        let replaced = !maps::is_temporary(name) && process::name_exists(host, pid, name);
        let severity = replaced.then_some(Severity::Low);
        let mut one = Seen { severity, ..seen(pid, process, name) };
        if replaced {
            one.detail.push_str("; another file bears its name now, as after an upgrade");
        }
        all.finding("GBX-LIVE-0201", one);
    }
    let hidden_folder = exe.windows(2).any(|pair| pair == b"/.");
    if (maps::is_temporary(exe) || hidden_folder) && !exe.starts_with(b"/memfd:") {
        let severity = (!maps::is_temporary(exe)).then_some(Severity::Low);
        all.finding("GBX-LIVE-0204", Seen { severity, ..seen(pid, process, exe) });
    }
    let looks = process.first_word.starts_with(b"[") && process.first_word.ends_with(b"]")
        || KERNEL_NAMES.iter().any(|name| process.stat.name.starts_with(name.as_bytes()));
    if looks && !process.stat.is_kernel_thread {
        let excerpt = format!("{} is {}", process.name(), shown(exe));
        all.finding("GBX-LIVE-0203", Seen { excerpt, ..seen(pid, process, exe) });
    }
}

/// What is in its environment.
fn environment_rules(all: &mut Collection<'_>, pid: u32, process: &Process, record: &Value) {
    for word in record["environment"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some(name) = PRELOADING.iter().find(|name| word.starts_with(**name)) else { continue };
        let value = word.strip_prefix(name).unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        let plain = matches!(*name, "LD_LIBRARY_PATH=" | "BASH_ENV=" | "PROMPT_COMMAND=");
        let temporary = maps::is_temporary(value.as_bytes());
        if plain && !temporary {
            continue;
        }
        let severity = (plain && temporary).then_some(Severity::Medium);
        let path = process.exe.clone().unwrap_or_default();
        let one = Seen { excerpt: word.to_owned(), severity, ..seen(pid, process, &path) };
        all.finding("GBX-LIVE-0207", one);
    }
}

/// Its memory map: the record, and what runs there without a file.
fn map(all: &mut Collection<'_>, pid: u32, process: &mut Process) -> Result<(), Error> {
    let path = process::place(all.host, pid, "maps");
    let Ok(file) = std::fs::File::open(path) else { return Ok(()) };
    let (mut lines, mut unbacked, mut foreign) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut reader = BufReader::new(file.take(MAP_BYTES));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let text = line.trim_ascii_end();
        if let Some(part) = maps::part(text) {
            if part.is_executable() && part.is_anonymous() {
                unbacked.push(part);
            } else if part.is_executable() && part.inode != 0 {
                let own = process.exe.as_deref().unwrap_or_default();
                if part.name != own && !part.name.is_empty() {
                    foreign.entry(part.name.clone()).or_insert(part);
                }
            }
        }
        lines.push(shown(text));
        line.clear();
    }
    if !unbacked.is_empty() {
        unbacked_rule(all, pid, process, &unbacked);
    }
    for (name, part) in foreign {
        library_rules(all, pid, process, &name, &part);
        let bare = name.strip_suffix(DELETED).unwrap_or(&name);
        if !LIBRARY_PLACES.iter().any(|place| bare.starts_with(place)) {
            process.libraries.insert(bare.to_vec());
        }
    }
    all.line(&json!({ "pid": pid, "maps": lines }))
}

fn unbacked_rule(all: &mut Collection<'_>, pid: u32, process: &Process, parts: &[Part]) {
    let memory = std::fs::File::open(process::place(all.host, pid, "mem")).ok();
    let begins = |part: &Part| {
        let mut head = [0_u8; 4];
        let read = memory.as_ref().map(|memory| memory.read_exact_at(&mut head, part.start));
        matches!(read, Some(Ok(()))) && head == *b"\x7fELF"
    };
    let program = parts.iter().find(|part| begins(part));
    let excerpt: Vec<String> = parts.iter().take(5).map(Part::text).collect();
    let path = process.exe.clone().unwrap_or_default();
    let mut one = Seen { excerpt: excerpt.join("; "), ..seen(pid, process, &path) };
    one.detail.push_str(&format!("; {} such parts", parts.len()));
    if let Some(part) = program {
        one.detail.push_str(&format!("; at {:x} begins an ELF program", part.start));
        one.severity = Some(Severity::High);
    }
    all.finding("GBX-LIVE-0205", one);
}

fn library_rules(all: &mut Collection<'_>, pid: u32, process: &Process, name: &[u8], part: &Part) {
    let bare = name.strip_suffix(DELETED).unwrap_or(name);
    let anonymous_file = bare.starts_with(b"/memfd:");
    let severity = if anonymous_file || maps::is_temporary(bare) {
        // Graphics drivers and JIT compilers map devices and memfds of their own.
        let usual = bare.starts_with(b"/dev/dri") || bare.starts_with(b"/memfd:doublemapper");
        if usual { return } else { Severity::High }
    } else if part.is_deleted() {
        Severity::Low
    } else {
        return;
    };
    let one = Seen {
        excerpt: part.text(),
        severity: Some(severity),
        sha256: None,
        ..seen(pid, process, bare)
    };
    all.finding("GBX-LIVE-0206", one);
}

/// What shows only when processes are held against each other.
fn relations(all: &mut Collection<'_>, known: &Known) {
    let mut shared: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    let mut with_maps: usize = 0;
    for (pid, process) in &known.processes {
        if *pid == known.own {
            continue;
        }
        if !process.libraries.is_empty() || process.exe.is_some() {
            with_maps = with_maps.saturating_add(1);
        }
        for library in &process.libraries {
            shared.entry(library).or_default().push(*pid);
        }
        if process.tracer != 0 {
            let tracer = known.processes.get(&process.tracer);
            let by = tracer.map_or_else(|| "not visible".to_owned(), Process::program);
            let path = process.exe.clone().unwrap_or_default();
            let excerpt = format!("traced by process {} ({by})", process.tracer);
            all.finding("GBX-LIVE-0210", Seen { excerpt, ..seen(*pid, process, &path) });
        }
        odd_namespaces(all, *pid, process, known);
        let first_users = process.namespaces.get("user") == known.of_first("user");
        let strong = process.capabilities & AS_GOOD_AS_ROOT;
        if strong != 0 && process.uid.is_some_and(|uid| uid >= 1000 && uid != 65534) && first_users
        {
            let path = process.exe.clone().unwrap_or_default();
            let excerpt = format!("CapEff {:016x}", process.capabilities);
            all.finding("GBX-LIVE-0212", Seen { excerpt, ..seen(*pid, process, &path) });
        }
    }
    for (library, pids) in shared {
        // More than half of at least six: what everything loads, the loader was told to load.
        if pids.len() >= 6 && pids.len().saturating_mul(2) > with_maps {
            let excerpt = format!("mapped by {} of {with_maps} programs", pids.len());
            let path = shown(library);
            all.finding("GBX-LIVE-0213", Seen { path, excerpt, ..Seen::default() });
        }
    }
}

/// In namespaces of its own, and yet no container's or service's.
fn odd_namespaces(all: &mut Collection<'_>, pid: u32, process: &Process, known: &Known) {
    if process.stat.is_kernel_thread || known.of_first("pid").is_none() {
        return;
    }
    let other = |kind: &&str| {
        let own = process.namespaces.get(*kind);
        own.is_some() && own != known.of_first(kind)
    };
    let kinds: Vec<&str> = ["pid", "net", "mnt", "user"].into_iter().filter(other).collect();
    let contained = ["docker", "libpod", "lxc", "crio", "containerd", "kubepods", "machine.slice"];
    let in_container = contained.iter().any(|word| process.cgroup.contains(word));
    let service = process.cgroup.contains(".service");
    // Services have a mount or network namespace of their own by their units; a pid namespace only containers have.
    let expected = in_container || service && !kinds.contains(&"pid");
    if kinds.is_empty() || expected {
        return;
    }
    let path = process.exe.clone().unwrap_or_default();
    let excerpt = format!("own namespaces: {}; cgroup {}", kinds.join(", "), process.cgroup);
    all.finding("GBX-LIVE-0209", Seen { excerpt, ..seen(pid, process, &path) });
}

/// Whether a program runs what it is told.
pub(crate) fn is_interpreter(process: &Process) -> bool {
    let exe = process.exe.as_deref().unwrap_or_default();
    let name = exe.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let bare = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    INTERPRETERS.contains(&bare)
}

/// GBX-LIVE-0211: a shell whose input or output is a connection to another machine.
pub(crate) fn shell_on_a_socket(
    all: &mut Collection<'_>,
    (pid, process): (u32, &Process),
    ends: &str,
    descriptor: u32,
) {
    let path = process.exe.clone().unwrap_or_default();
    let excerpt = format!("descriptor {descriptor} is {ends}");
    all.finding("GBX-LIVE-0211", Seen { excerpt, ..seen(pid, process, &path) });
}
