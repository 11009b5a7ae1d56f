//! Memory on hostile bytes, measured: a test body runs in a process of its own, whose peak the kernel tells.
//!
//! A reader that believes a count in a damaged table would take gigabytes without ever failing a test that only waits for
//! a panic. The peak (`VmHWM`) includes the image and what the test itself holds, so it is an upper bound. What is only
//! asked for and never touched does not count there; for that the process may not ask for more than [`MOST_ASKED_BYTES`].

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// What a reader may take, whatever the bytes.
const MOST_KIB: u64 = 256 << 10;
/// What may be asked for at once, touched or not; an allocation beyond it ends the process.
const MOST_ASKED_BYTES: u64 = 768 << 20;
/// Set to the name of the test in the process that measures.
const CHILD: &str = "GLOVEBOX_TEST_MEASURED";
/// Set by hand to run every case there is, and to be told each that takes more than it should.
const ALL: &str = "GLOVEBOX_TEST_ALL";

/// The highest peak so far and the case that raised it.
static WORST: Mutex<(u64, String)> = Mutex::new((0, String::new()));

/// Whether every case is wanted, however long it takes.
pub(crate) fn is_thorough() -> bool {
    std::env::var_os(ALL).is_some()
}

/// Runs `body` in a process of its own and fails when it does, or when its peak is above 256 MiB.
pub(crate) fn bounded(what: &str, body: impl FnOnce()) {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").expect("tests run in named threads");
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        let most = rustix::process::Rlimit {
            current: Some(MOST_ASKED_BYTES),
            maximum: Some(MOST_ASKED_BYTES),
        };
        rustix::process::setrlimit(rustix::process::Resource::Data, most).unwrap();
        note("before the first case");
        let before = WORST.lock().unwrap().0;
        body();
        note("the end");
        let (peak, case) = WORST.lock().unwrap().clone();
        println!("peak of {what}: {} MiB (begun with {}), {case}", peak >> 10, before >> 10);
        assert!(peak < MOST_KIB, "{what} took {peak} KiB, at most {MOST_KIB} are right: {case}");
        return;
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, test)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    for line in said.lines().chain(errors.lines()) {
        if line.starts_with("peak of") || line.starts_with("skipped") || line.starts_with("case ") {
            eprintln!("{line}");
        }
    }
    assert!(out.status.success(), "{what}: {}\n{said}\n{errors}", out.status);
    assert!(said.contains("1 passed"), "{what}: the test did not run again by its name: {said}");
}

/// Notes the peak since the last note as that of `case`, and begins a new one.
pub(crate) fn note(case: &str) {
    let peak = peak_kib();
    let mut worst = WORST.lock().unwrap();
    if peak > worst.0 {
        *worst = (peak, case.to_owned());
    }
    if is_thorough() && peak > 100 << 10 {
        println!("case {case}: {} MiB", peak >> 10);
    }
    // "5" sets the peak back to what is held now, proc_pid_clear_refs(5).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number of KiB")
}
