//! Processes counted in several ways: what one view has and another lacks was hidden from it.
//!
//! The views: listing a procfs of our own and the host's `/proc`; asking for every number by kill(2) with signal 0 and by
//! sched_getaffinity(2), and for its folder; members of control groups; tasks, children and parents of what is visible.
//! Processes begin and end meanwhile, so nothing counts as hidden that does not stay so through several looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::Error;
use crate::collection::{Collection, Seen};
use crate::host::{Host, number, shown};
use crate::process;
use crate::processes::Known;

/// Looks that a hidden process must stay hidden through, and the time between them.
const LOOKS: usize = 3;
const BETWEEN: Duration = Duration::from_millis(30);
/// Up to here every folder is asked for by name; above only those that answered otherwise.
const FOLDERS_ASKED: u32 = 70_000;
/// Control groups read; a host of a thousand containers has fewer.
const GROUPS_AT_MOST: usize = 20_000;
/// Largest number a process can have (`PID_MAX_LIMIT` of a 64-bit kernel).
const HIGHEST: u32 = 4_194_304;

/// What the listings gave before anything else was read.
#[derive(Debug, Default)]
pub(crate) struct First {
    own: BTreeSet<u32>,
    shown: BTreeSet<u32>,
}

pub(crate) fn take(all: &mut Collection<'_>) -> First {
    let own = all.host.numbers(&all.host.proc("")).unwrap_or_default();
    let shown = match all.host.numbers(&all.host.shown_proc("")) {
        Ok(shown) => shown,
        Err(error) => {
            all.missed("/proc", error);
            Vec::new()
        }
    };
    First { own: own.into_iter().collect(), shown: shown.into_iter().collect() }
}

/// Compares.
pub(crate) fn compare(all: &mut Collection<'_>, first: &First, known: &Known) -> Result<(), Error> {
    let mut seen_in: BTreeMap<u32, BTreeSet<&'static str>> = BTreeMap::new();
    let mut add = |numbers: &BTreeSet<u32>, view: &'static str| {
        for number in numbers {
            seen_in.entry(*number).or_default().insert(view);
        }
    };
    if all.host.is_running() {
        let (by_signal, by_affinity, by_folder, asked) = asked(all.host);
        all.coverage.numbers_asked = asked;
        add(&by_signal, "kill(2)");
        add(&by_affinity, "sched_getaffinity(2)");
        add(&by_folder, "its folder in /proc");
    } else {
        all.skipped("GBX-LIVE-0101", "a folder has no kernel that could be asked for numbers");
    }
    let (groups, read) = members(all.host);
    if read == 0 {
        all.missed("/sys/fs/cgroup", "no control group could be read: one view of processes less");
    }
    add(&groups, "control groups");
    let children = known.processes.values().flat_map(|one| one.children.iter().copied());
    add(&children.collect(), "children of its parent");
    let parents = known.processes.values().map(|one| one.stat.parent).filter(|pid| *pid != 0);
    add(&parents.collect(), "parent of its children");
    add(&first.own, "a new instance of procfs");
    let mut left: BTreeSet<u32> = seen_in.keys().copied().collect();
    for look in 0..LOOKS {
        let listed: BTreeSet<u32> =
            all.host.numbers(&all.host.shown_proc("")).unwrap_or_default().into_iter().collect();
        let threads = if look == 0 { known.threads() } else { threads_of(all.host, &listed) };
        left.retain(|pid| {
            !listed.contains(pid)
                && (look > 0 || !first.shown.contains(pid))
                && !threads.contains(pid)
                && (!all.host.is_running() || lives(*pid))
        });
        if left.is_empty() {
            return Ok(());
        }
        if all.host.is_running() {
            std::thread::sleep(BETWEEN);
        }
    }
    for pid in left {
        let views = seen_in.remove(&pid).unwrap_or_default();
        hidden(all, pid, &views);
    }
    Ok(())
}

fn hidden(all: &mut Collection<'_>, pid: u32, views: &BTreeSet<&str>) {
    let views: Vec<&str> = views.iter().copied().collect();
    let excerpt = format!("seen by: {}", views.join(", "));
    let one = match process::read(all.host, pid) {
        // A thread of something that is visible, listed under it by now.
        Some((process, _)) if is_thread(all.host, pid) && !process.threads.contains(&pid) => return,
        Some((process, _)) => Seen {
            path: process.program(),
            pid: Some(pid),
            excerpt,
            detail: format!("process {pid} ({}), not in the listing of /proc", process.name()),
            who: process.who(),
            what: process.what(),
            ..Seen::default()
        },
        None => Seen {
            path: format!("process {pid}"),
            pid: Some(pid),
            excerpt,
            detail: "not in the listing of /proc, and its folder cannot be read".to_owned(),
            ..Seen::default()
        },
    };
    all.finding("GBX-LIVE-0101", one);
}

/// Whether a number is that of a thread whose group is listed.
fn is_thread(host: &Host, pid: u32) -> bool {
    let status = host.pseudo_text(&host.proc(&format!("{pid}/status")));
    let group: Option<u32> = crate::tables::value(&status, "Tgid").and_then(|one| one.parse().ok());
    group.is_some_and(|group| {
        group != pid && host.shown_proc(&format!("{group}/task/{pid}")).exists()
    })
}

fn threads_of(host: &Host, listed: &BTreeSet<u32>) -> BTreeSet<u32> {
    let tasks = listed.iter().map(|pid| host.numbers(&host.proc(&format!("{pid}/task"))));
    tasks.flatten().flatten().collect()
}

/// Whether the kernel knows the number, as that of a process or thread.
fn lives(pid: u32) -> bool {
    by_signal(pid)
}

fn pid_of(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

fn by_signal(number: u32) -> bool {
    // Signal 0 is never delivered; that we may not send it says that there is somebody.
    let answer = pid_of(number).map(rustix::process::test_kill_process);
    matches!(answer, Some(Ok(()) | Err(Errno::PERM)))
}

fn by_affinity(number: u32) -> bool {
    let answer = pid_of(number).map(|pid| rustix::thread::sched_getaffinity(Some(pid)));
    // Larger machines than the set has room for answer with "invalid".
    matches!(answer, Some(Ok(_) | Err(Errno::INVAL | Errno::PERM)))
}

type Sets = (BTreeSet<u32>, BTreeSet<u32>, BTreeSet<u32>, u64);

/// Asks for every number there can be.
fn asked(host: &Host) -> Sets {
    let limit = host.pseudo_text(&host.proc("sys/kernel/pid_max"));
    let limit: u32 = limit.parse().unwrap_or(HIGHEST).min(HIGHEST);
    let mut sets = Sets::default();
    for number in 1..=limit {
        if by_signal(number) {
            sets.0.insert(number);
        }
        if by_affinity(number) {
            sets.1.insert(number);
        }
        let answered = sets.0.contains(&number) || sets.1.contains(&number);
        if (number <= FOLDERS_ASKED || answered)
            && rustix::fs::stat(host.proc(&number.to_string())).is_ok()
        {
            sets.2.insert(number);
        }
    }
    sets.3 = u64::from(limit);
    sets
}

/// Members of all control groups, and how many groups could be read.
fn members(host: &Host) -> (BTreeSet<u32>, usize) {
    let (mut found, mut read) = (BTreeSet::new(), 0_usize);
    let mut folders: Vec<PathBuf> = vec![host.sys("fs/cgroup")];
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop() {
        seen = seen.saturating_add(1);
        if seen > GROUPS_AT_MOST {
            break;
        }
        if let Ok(text) = host.pseudo(&folder.join("cgroup.procs")) {
            read = read.saturating_add(1);
            let numbers = text.split(|byte| *byte == b'\n').filter_map(number);
            // 0 stands for a process of another pid namespace.
            found.extend(numbers.filter_map(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0));
        }
        folders.extend(folders_in(host, &folder));
    }
    (found, read)
}

fn folders_in(host: &Host, folder: &Path) -> Vec<PathBuf> {
    let names = host.list_pseudo(folder).unwrap_or_default();
    let paths = names.iter().map(|name| folder.join(crate::host::path_of(name)));
    paths.filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_dir())).collect()
}

/// A process that something is mounted over: GBX-LIVE-0102.
pub(crate) fn covered(all: &mut Collection<'_>, pid: u32, point: &str, by: &str) {
    let read = process::read(all.host, pid).filter(|(process, _)| process.stat.pid == pid);
    let one = match read {
        Some((process, _)) => Seen {
            path: process.program(),
            pid: Some(pid),
            excerpt: format!("{by} is mounted over {point}"),
            detail: format!("process {pid} ({}) lies below", process.name()),
            who: process.who(),
            what: process.what(),
            ..Seen::default()
        },
        None => Seen {
            path: shown(point.as_bytes()),
            pid: Some(pid),
            excerpt: format!("{by} is mounted over {point}"),
            detail: "what lies below could not be seen".to_owned(),
            ..Seen::default()
        },
    };
    all.finding("GBX-LIVE-0102", one);
}
