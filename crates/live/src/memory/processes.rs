//! The memory of processes, each as an ELF core file: what is in memory or in swap, no more.
//!
//! `/proc/PID/pagemap` tells which pages are there, so that reading puts no page into a process that had none. Runs of such
//! pages are the file's loaded parts; the names of mapped files stand in its note, as in the kernel's own core files.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{CHUNK_BYTES, Reading, Taken, written};
use crate::host::Host;
use crate::maps::{self, Part};
use crate::sink::Outgoing;
use crate::{Error, Sink, process};

const PAGE: u64 = 4096;
/// Parts of a file; the format has room for 65,534.
const PARTS_AT_MOST: usize = 60_000;
/// Longest map whose pages are looked up, in bytes: shadow memory of debuggers is longer.
const MAP_BYTES_AT_MOST: u64 = 1 << 40;
/// In memory, or in swap: bits of an entry of pagemap.
const THERE: u64 = 3 << 62;

/// Which processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All but our own and the kernel's.
    All,
    /// These.
    Numbers(Vec<u32>),
}

/// What was taken of a process.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProcessMemory {
    /// Its number.
    pub pid: u32,
    /// Its name, escaped.
    pub name: String,
    /// The file.
    pub file: String,
    /// Bytes of memory in it.
    pub memory_bytes: u64,
}

/// Writes the memory of processes; `told` is given each that was done.
///
/// # Errors
/// If the sink does not take it.
pub fn processes(
    host: &Host,
    chosen: &Chosen,
    sink: &mut dyn Sink,
    told: &mut dyn FnMut(&ProcessMemory),
) -> Result<Taken, Error> {
    let own = std::process::id();
    let numbers = match chosen {
        Chosen::All => host.numbers(&host.proc("")).unwrap_or_default(),
        Chosen::Numbers(numbers) => numbers.clone(),
    };
    let mut taken =
        Taken { files: Vec::new(), memory_bytes: 0, unreadable_bytes: 0, problems: Vec::new() };
    let mut list = Vec::new();
    for pid in numbers.into_iter().filter(|pid| *pid != own) {
        let Some((process, _)) = process::read(host, pid) else {
            if *chosen != Chosen::All {
                taken.problems.push(format!("process {pid}: there is none"));
            }
            continue;
        };
        if process.stat.is_kernel_thread {
            continue;
        }
        let file = match File::open(process::place(host, pid, "mem")) {
            Ok(file) => file,
            Err(error) => {
                taken.problems.push(format!("process {pid} ({}): {error}", process.name()));
                continue;
            }
        };
        let text = host.pseudo(&process::place(host, pid, "maps")).unwrap_or_default();
        let parts: Vec<Part> = text.split(|byte| *byte == b'\n').filter_map(maps::part).collect();
        let runs = runs(host, pid, &parts, &mut taken.problems);
        if runs.is_empty() {
            taken.problems.push(format!("process {pid} ({}): no page can be seen", process.name()));
            continue;
        }
        let mut reading = Reading { file: &file, unreadable_bytes: 0, problems: Vec::new() };
        let name = format!("process-{pid}.core");
        let written = core(host, pid, &parts, &runs, &mut reading, (&name, sink))?;
        let memory_bytes = runs
            .iter()
            .fold(0_u64, |sum, run| sum.saturating_add(run.end.saturating_sub(run.start)));
        taken.memory_bytes = taken.memory_bytes.saturating_add(memory_bytes);
        taken.unreadable_bytes = taken.unreadable_bytes.saturating_add(reading.unreadable_bytes);
        let problems = reading.problems.into_iter().take(3);
        taken.problems.extend(problems.map(|problem| format!("process {pid}: {problem}")));
        taken.files.push(written);
        let one = ProcessMemory { pid, name: process.name(), file: name, memory_bytes };
        told(&one);
        list.push(one);
    }
    let mut about = Outgoing::begin(sink, "processes-memory.jsonl")?;
    for one in &list {
        let text = serde_json::to_string(one).unwrap_or_default();
        about.write(sink, format!("{text}\n").as_bytes())?;
    }
    taken.files.push(written(about, sink)?);
    Ok(taken)
}

/// Pages that are there, one after the other, with the rights of their map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u64,
    end: u64,
    rights: u32,
}

fn runs(host: &Host, pid: u32, parts: &[Part], problems: &mut Vec<String>) -> Vec<Run> {
    let Ok(pagemap) = File::open(process::place(host, pid, "pagemap")) else { return Vec::new() };
    let mut runs: Vec<Run> = Vec::new();
    let mut entries = vec![0_u8; 64 << 10];
    for part in parts {
        let length = part.end.saturating_sub(part.start);
        // The kernel's own pages, and devices: reading those can act.
        let device = part.name.starts_with(b"/dev/")
            && !part.name.starts_with(b"/dev/shm/")
            && !part.name.starts_with(b"/dev/zero");
        let kernels = part.name.starts_with(b"[v");
        if !part.rights.starts_with('r') || device || kernels {
            continue;
        }
        if length > MAP_BYTES_AT_MOST {
            problems.push(format!("process {pid}: {} is too long to look through", part.text()));
            continue;
        }
        let flags = [('r', 4_u32), ('w', 2), ('x', 1)];
        let rights = flags.iter().filter(|(letter, _)| part.rights.contains(*letter));
        let rights = rights.fold(0, |sum, (_, bit)| sum | bit);
        let mut at = part.start;
        while at < part.end {
            let pages = part.end.saturating_sub(at) / PAGE;
            let bytes = usize::try_from(pages.saturating_mul(8)).unwrap_or(usize::MAX);
            let Some(wanted) = entries.get_mut(..bytes.min(64 << 10)) else { break };
            let Ok(count @ 8..) = pagemap.read_at(wanted, (at / PAGE).saturating_mul(8)) else {
                break;
            };
            for entry in wanted.get(..count).unwrap_or_default().chunks_exact(8) {
                let entry = entry.try_into().map_or(0, u64::from_ne_bytes);
                let next = at.saturating_add(PAGE);
                if entry & THERE != 0 {
                    match runs.last_mut() {
                        Some(last) if last.end == at && last.rights == rights => last.end = next,
                        _ => runs.push(Run { start: at, end: next, rights }),
                    }
                }
                at = next;
            }
        }
    }
    // Too many for the format: pages between near ones are taken along.
    let mut gap = PAGE;
    while runs.len() > PARTS_AT_MOST {
        let mut joined: Vec<Run> = Vec::new();
        for run in runs {
            match joined.last_mut() {
                Some(last)
                    if last.rights == run.rights && run.start.saturating_sub(last.end) <= gap =>
                {
                    last.end = run.end;
                }
                _ => joined.push(run),
            }
        }
        runs = joined;
        gap = gap.saturating_mul(2);
        if gap > MAP_BYTES_AT_MOST {
            runs.truncate(PARTS_AT_MOST);
            problems.push(format!("process {pid}: more parts than the format has room for"));
        }
    }
    runs
}

/// Writes one core file: header, program headers, note, pages. System V ABI, chapter "Object Files"; core(5).
fn core(
    host: &Host,
    pid: u32,
    parts: &[Part],
    runs: &[Run],
    reading: &mut Reading<'_>,
    (name, sink): (&str, &mut dyn Sink),
) -> Result<crate::Written, Error> {
    let note = note(host, pid, parts);
    let many = u16::try_from(runs.len().saturating_add(1)).unwrap_or(u16::MAX);
    let headers = u64::from(many).saturating_mul(56).saturating_add(64);
    let note_bytes = u64::try_from(note.len()).unwrap_or(0);
    let mut offset = headers.saturating_add(note_bytes).saturating_add(PAGE - 1) & !(PAGE - 1);
    let mut head = Vec::new();
    head.extend_from_slice(b"\x7fELF\x02");
    head.push(if cfg!(target_endian = "little") { 1 } else { 2 });
    head.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // The machine is that of our own program.
    let own = host.pseudo_up_to(&host.proc("self/exe"), 20).unwrap_or_default();
    head.extend_from_slice(&4_u16.to_ne_bytes());
    head.extend_from_slice(own.get(18..20).unwrap_or(&[62, 0]));
    head.extend_from_slice(&1_u32.to_ne_bytes());
    for number in [0_u64, 64, 0] {
        head.extend_from_slice(&number.to_ne_bytes());
    }
    head.extend_from_slice(&0_u32.to_ne_bytes());
    for number in [64_u16, 56, many, 0, 0, 0] {
        head.extend_from_slice(&number.to_ne_bytes());
    }
    let mut header = |kind: u32, rights: u32, numbers: [u64; 6]| {
        head.extend_from_slice(&kind.to_ne_bytes());
        head.extend_from_slice(&rights.to_ne_bytes());
        numbers.iter().for_each(|number| head.extend_from_slice(&number.to_ne_bytes()));
    };
    header(4, 0, [headers, 0, 0, note_bytes, 0, 4]);
    for run in runs {
        let length = run.end.saturating_sub(run.start);
        header(1, run.rights, [offset, run.start, 0, length, length, PAGE]);
        offset = offset.saturating_add(length);
    }
    head.extend_from_slice(&note);
    let filled = head.len().div_ceil(4096).saturating_mul(4096);
    head.resize(filled, 0);
    let mut open = Outgoing::begin(sink, name)?;
    open.write(sink, &head)?;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    for run in runs {
        let mut at = run.start;
        while at < run.end {
            let left = usize::try_from(run.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let Some(part) = buffer.get_mut(..left.min(CHUNK_BYTES)) else { break };
            reading.fill(part, at, at);
            open.write(sink, part)?;
            at = at.saturating_add(u64::try_from(part.len()).unwrap_or(PAGE));
        }
    }
    written(open, sink)
}

/// Notes: the auxiliary vector (`NT_AUXV`), and which files are mapped where (`NT_FILE`).
fn note(host: &Host, pid: u32, parts: &[Part]) -> Vec<u8> {
    let files: Vec<&Part> = parts.iter().filter(|part| part.name.starts_with(b"/")).collect();
    let mut body = Vec::new();
    let count = u64::try_from(files.len()).unwrap_or(0);
    for number in [count, PAGE] {
        body.extend_from_slice(&number.to_ne_bytes());
    }
    for part in &files {
        for number in [part.start, part.end, part.offset / PAGE] {
            body.extend_from_slice(&number.to_ne_bytes());
        }
    }
    for part in &files {
        body.extend_from_slice(&part.name);
        body.push(0);
    }
    let auxiliary = host.pseudo(&process::place(host, pid, "auxv")).unwrap_or_default();
    let mut out = Vec::new();
    for (kind, body) in [(6_u32, auxiliary), (0x4649_4c45, body)] {
        if body.is_empty() {
            continue;
        }
        out.extend_from_slice(&5_u32.to_ne_bytes());
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(b"CORE\0\0\0\0");
        out.extend_from_slice(&body);
        let filled = out.len().div_ceil(4).saturating_mul(4);
        out.resize(filled, 0);
    }
    out
}
