//! Which consoles get a shell, and starting it again when it ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::log::Problems;

/// One console and the shell on it.
#[derive(Debug)]
pub(crate) struct Console {
    name: String,
    child: Option<Child>,
    /// Not before this moment, so that a shell that cannot start does not spin.
    next_start: Instant,
    failures: u32,
}

/// The consoles that exist: the screen's first terminals and what the kernel uses itself.
pub(crate) fn find() -> Vec<Console> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let mut names: Vec<String> = active
        .split_ascii_whitespace()
        .flat_map(|name| match name {
            "tty0" => vec!["tty1".to_owned(), "tty2".to_owned()],
            other => vec![other.to_owned()],
        })
        .filter(|name| Path::new("/dev").join(name).exists())
        .collect();
    names.sort();
    names.dedup();
    let now = Instant::now();
    names
        .into_iter()
        .map(|name| Console { name, child: None, next_start: now, failures: 0 })
        .collect()
}

/// Starts what is due. Returns how long until the next start is due, if any waits.
pub(crate) fn tend(consoles: &mut [Console], problems: &mut Problems) -> Option<Duration> {
    let now = Instant::now();
    let mut wait: Option<Duration> = None;
    for console in consoles {
        if let Some(child) = &mut console.child {
            match child.try_wait() {
                Ok(None) => continue,
                Ok(Some(_)) | Err(_) => {
                    console.child = None;
                    console.next_start = now.checked_add(console.pause()).unwrap_or(now);
                }
            }
        }
        if now < console.next_start {
            let left = console.next_start.saturating_duration_since(now);
            wait = Some(wait.map_or(left, |shortest| shortest.min(left)));
            continue;
        }
        match Command::new("/proc/self/exe").arg("enter").arg(&console.name).spawn() {
            Ok(child) => console.child = Some(child),
            Err(problem) => {
                problems.add(format_args!("starting a shell on {}: {problem}", console.name));
                console.next_start = now.checked_add(console.pause()).unwrap_or(now);
            }
        }
    }
    wait
}

impl Console {
    /// One second at first, a minute for a shell that keeps ending.
    fn pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(if self.failures < 30 { 1 } else { 60 })
    }
}
