//! Open descriptors, and copies of what no name leads to any more: programs and files that were deleted while in use.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::collection::{Collection, Seen};
use crate::host::shown;
use crate::maps::{self, DELETED};
use crate::process;
use crate::processes::Known;
use crate::record::set;
use crate::{Copies, Error, Severity};

/// Files held open for copying at one time.
const COPIES_AT_MOST: usize = 400;
/// Descriptors listed of one process.
const DESCRIPTORS_OF_A_PROCESS: usize = 65_536;

/// A file to be copied. It is held open from when it was seen, so that its process may end meanwhile.
pub(crate) struct Held {
    file: File,
    pid: u32,
    name: Vec<u8>,
    what: String,
    size_bytes: u64,
}

/// Lists the descriptors of all processes, and opens what is to be copied.
pub(crate) fn collect(all: &mut Collection<'_>, known: &Known) -> Result<Vec<Held>, Error> {
    let mut held = Vec::new();
    let mut files: BTreeSet<(u64, u64)> = BTreeSet::new();
    let (mut total, mut denied) = (0_usize, 0_usize);
    all.begin("descriptors.jsonl")?;
    for (pid, one) in &known.processes {
        if *pid == known.own || one.stat.is_kernel_thread {
            continue;
        }
        if let Some(name) = one.deleted_program().or(memory_program(one)) {
            hold(all, &mut held, &mut files, (*pid, "exe", name, "program"));
        }
        let Ok(numbers) = all.host.numbers(&process::place(all.host, *pid, "fd")) else {
            denied = denied.saturating_add(1);
            continue;
        };
        let mut list: Vec<Value> = Vec::new();
        for number in numbers.iter().take(DESCRIPTORS_OF_A_PROCESS) {
            let link = format!("fd/{number}");
            let Ok(target) = all.host.link(&process::place(all.host, *pid, &link)) else {
                continue;
            };
            let info = process::place(all.host, *pid, &format!("fdinfo/{number}"));
            let info = all.host.pseudo_text(&info);
            let value = |name| crate::tables::value(&info, name).unwrap_or_default().to_owned();
            total = total.saturating_add(1);
            let mut record = json!({
                "fd": number, "to": shown(&target), "flags": value("flags"),
                "position": value("pos"),
            });
            if let Some(name) = target.strip_suffix(DELETED)
                && target.starts_with(b"/")
                && deleted(all, *pid, &link)
            {
                set(&mut record, "deleted", Value::Bool(true));
                open_rule(all, *pid, one, name);
                hold(all, &mut held, &mut files, (*pid, &link, name, "open file"));
            }
            list.push(record);
        }
        all.line(&json!({ "pid": pid, "descriptors": list }))?;
    }
    all.end()?;
    all.coverage.descriptors = total;
    if denied > 0 {
        all.missed("/proc/PID/fd", format!("not readable for {denied} processes"));
    }
    Ok(held)
}

fn memory_program(one: &process::Process) -> Option<&[u8]> {
    one.exe.as_deref().filter(|exe| exe.starts_with(b"/memfd:"))
}

/// A regular file without a name; what is in memory from the beginning (memfd, shared memory) never had one.
fn deleted(all: &Collection<'_>, pid: u32, link: &str) -> bool {
    let found = std::fs::metadata(process::place(all.host, pid, link));
    found.is_ok_and(|found| found.is_file() && found.nlink() == 0)
}

fn open_rule(all: &mut Collection<'_>, pid: u32, one: &process::Process, name: &[u8]) {
    // Programs keep files of their own so on purpose, every day.
    let usual = name.starts_with(b"/memfd:")
        || name.starts_with(b"/SYSV")
        || name.starts_with(b"/dev/shm/")
        || name.starts_with(b"/[aio]")
        || name.starts_with(b"/dev/zero")
        || maps::is_temporary(name);
    let severity = usual.then_some(Severity::Info);
    all.finding(
        "GBX-LIVE-0501",
        Seen {
            path: shown(name),
            pid: Some(pid),
            detail: format!("held open by process {pid} ({})", one.name()),
            who: one.who(),
            what: one.what(),
            severity,
            ..Seen::default()
        },
    );
}

/// Opens a file for copying, if it was not already.
fn hold(
    all: &mut Collection<'_>,
    held: &mut Vec<Held>,
    files: &mut BTreeSet<(u64, u64)>,
    (pid, link, name, what): (u32, &str, &[u8], &str),
) {
    if all.options.copies == Copies::None {
        return;
    }
    if held.len() >= COPIES_AT_MOST {
        all.missed(name, format!("not copied: {COPIES_AT_MOST} files are held open already"));
        return;
    }
    let opened = all.host.open(&process::place(all.host, pid, link));
    match opened.and_then(|file| Ok((file.metadata()?, file))) {
        Ok((found, file)) => {
            if files.insert((found.dev(), found.ino())) {
                let (name, what, size_bytes) = (name.to_vec(), what.to_owned(), found.size());
                held.push(Held { file, pid, name, what, size_bytes });
            }
        }
        Err(error) => all.missed(name, format!("deleted {what} not copied: {error}")),
    }
}

/// Copies what was held open, each into a file of the collection.
pub(crate) fn copy(all: &mut Collection<'_>, held: Vec<Held>) -> Result<(), Error> {
    let Copies::UpTo { each_bytes, all_bytes } = all.options.copies else { return Ok(()) };
    let (mut records, mut left) = (Vec::new(), all_bytes);
    for (number, one) in (1_usize..).zip(held) {
        let most = each_bytes.min(left);
        if most == 0 {
            all.missed(&one.name, format!("deleted {} not copied: limit of copies", one.what));
            continue;
        }
        let name = format!("recovered-{number:03}.bin");
        all.begin(&name)?;
        let (mut reader, mut copied) = (one.file.take(most), 0_u64);
        let mut buffer = vec![0; 1 << 20];
        let mut problem = None;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    all.bytes(buffer.get(..count).unwrap_or_default())?;
                    copied = copied.saturating_add(u64::try_from(count).unwrap_or(0));
                }
                Err(error) => {
                    problem = Some(error.to_string());
                    break;
                }
            }
        }
        let digests = all.end()?;
        left = left.saturating_sub(copied);
        if copied < one.size_bytes {
            let why = problem.clone().unwrap_or_else(|| "limit of copies".to_owned());
            all.missed(
                &one.name,
                format!(
                    "{copied} of {} bytes of a deleted {} copied: {why}",
                    one.size_bytes, one.what
                ),
            );
        }
        all.coverage.copied_files = all.coverage.copied_files.saturating_add(1);
        all.coverage.copied_bytes = all.coverage.copied_bytes.saturating_add(copied);
        records.push(json!({
            "file": name, "pid": one.pid, "name": shown(&one.name), "what": one.what,
            "size_bytes": one.size_bytes, "copied_bytes": copied, "problem": problem,
            "sha256": digests.map(|digests| digests.sha256_hex()),
        }));
    }
    all.begin("recovered.jsonl")?;
    for record in records {
        all.line(&record)?;
    }
    all.end().map(drop)
}
