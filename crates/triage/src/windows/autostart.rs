//! Keys whose values are commands that start when somebody logs in, or with some other program.
//!
//! Each entry is told for the inventory; what its command shows makes it worse. Where an ordinary Windows has no such
//! entry, its being there is enough.

use super::Windows;
use super::command;
use super::hives::{Loaded, Told, below, text_of, texts};
use crate::Severity;
use crate::activation::Run;
use crate::context::Context;

/// Keys of commands, below `Microsoft`'s parent; every value is a command.
const RUN_KEYS: &[&str] = &[
    "Microsoft\\Windows\\CurrentVersion\\Run",
    "Microsoft\\Windows\\CurrentVersion\\RunOnce",
    "Microsoft\\Windows\\CurrentVersion\\RunOnce\\Setup",
    "Microsoft\\Windows\\CurrentVersion\\RunServices",
    "Microsoft\\Windows\\CurrentVersion\\RunServicesOnce",
    "Microsoft\\Windows\\CurrentVersion\\Policies\\Explorer\\Run",
    "Microsoft\\Windows NT\\CurrentVersion\\Terminal Server\\Install\\Software\\Microsoft\\Windows\\CurrentVersion\\Run",
    "Microsoft\\Windows NT\\CurrentVersion\\Terminal Server\\Install\\Software\\Microsoft\\Windows\\CurrentVersion\\RunOnce",
    "Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\Run",
    "Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\RunOnce",
    "Wow6432Node\\Microsoft\\Windows\\CurrentVersion\\Policies\\Explorer\\Run",
];

/// Rule, key, value, and when it runs: values of people's hives that an ordinary profile does not have.
const PERSONAL: &[(&str, &str, &str, &str)] = &[
    ("GBX-WIN-0211", "Environment", "UserInitMprLogonScript", "at each log-on"),
    (
        "GBX-WIN-0201",
        "Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows",
        "Load",
        "at each log-on",
    ),
    (
        "GBX-WIN-0201",
        "Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows",
        "Run",
        "at each log-on",
    ),
    (
        "GBX-WIN-0202",
        "Software\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon",
        "Shell",
        "at each log-on",
    ),
    (
        "GBX-WIN-0202",
        "Software\\Microsoft\\Windows\\CurrentVersion\\Policies\\System",
        "Shell",
        "at each log-on",
    ),
    (
        "GBX-WIN-0217",
        "Software\\Microsoft\\Command Processor",
        "AutoRun",
        "with each command window",
    ),
];

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    for (loaded, before) in windows.hives.programs() {
        for key in RUN_KEYS {
            let path = format!("{before}{key}");
            run_key(context, windows, loaded, &path, 0);
        }
        active_setup(context, windows, loaded, before);
    }
    for loaded in &windows.hives.people {
        for (rule, path, name, when) in PERSONAL {
            let Some(key) = loaded.key(path) else { continue };
            let Some(text) = text_of(&key, name).filter(|text| !text.is_empty()) else { continue };
            let is_delivered = *rule == "GBX-WIN-0202" && text.eq_ignore_ascii_case("explorer.exe");
            if is_delivered {
                continue;
            }
            let severity = command::sign(&text).map(|sign| sign.severity);
            // A log-on script or another shell is bad enough by itself.
            let severity = severity.or((*rule == "GBX-WIN-0201").then_some(Severity::Medium));
            let run = Run::active(loaded.owner.clone(), *when).what(text.as_bytes());
            let detail = command::sign(&text).map_or(String::new(), |sign| sign.what.to_owned());
            let time = key.last_written();
            let told = Told { detail, time, severity, run, ..Told::new(path, name, &text) };
            loaded.report(context, rule, told);
        }
        screen_saver(context, loaded);
    }
}

/// Values of a key and, one level down, of `RunOnceEx`-like keys.
fn run_key(
    context: &mut Context<'_>,
    windows: &Windows<'_>,
    loaded: &Loaded<'_>,
    path: &str,
    depth: usize,
) {
    let Some(key) = loaded.key(path) else { return };
    for (name, text) in texts(&key).into_iter().filter(|(_, text)| !text.is_empty()) {
        let when =
            if path.contains("Once") { "at the next log-on, once" } else { "at each log-on" };
        let told = Told { time: key.last_written(), ..Told::new(path, &name, &text) };
        entry(context, windows, loaded, "GBX-WIN-0201", when, &told);
    }
    if depth < 1 && path.contains("Once") {
        for (name, _) in below(&key) {
            run_key(context, windows, loaded, &format!("{path}\\{name}"), depth.saturating_add(1));
        }
    }
}

/// Tells one entry: for the inventory, or worse for what its command shows.
fn entry(
    context: &mut Context<'_>,
    windows: &Windows<'_>,
    loaded: &Loaded<'_>,
    rule: &str,
    when: &str,
    told: &Told<'_>,
) {
    let who = if loaded.owner.eq_ignore_ascii_case("config") || loaded.owner.is_empty() {
        "everybody who logs in".to_owned()
    } else {
        loaded.owner.clone()
    };
    let run = Run::active(who, when).what(told.text.as_bytes());
    let (severity, detail) = judged(windows, told.text);
    let missing = windows.is_missing(told.text).then_some("the program is not there");
    let run = run.but(missing);
    let new = Told::new(told.key, told.name, told.text);
    loaded.report(context, rule, Told { time: told.time, severity, detail, run, ..new });
}

/// How bad a command is, and why.
pub(super) fn judged(windows: &Windows<'_>, text: &str) -> (Option<Severity>, String) {
    if let Some(sign) = command::sign(text) {
        return (Some(sign.severity), sign.what.to_owned());
    }
    if windows.is_missing(text) {
        return (Some(Severity::Info), "the program is not on this volume".to_owned());
    }
    (None, String::new())
}

impl Windows<'_> {
    /// Whether a command names a program by its whole path and the inventory has no such file.
    pub(super) fn is_missing(&self, text: &str) -> bool {
        let line = command::expanded(text);
        let (path, _) = command::program(&line);
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('%')
            && self.tree.item(path.as_bytes()).is_none()
            && self.tree.item(format!("{path}.exe").as_bytes()).is_none()
    }
}

/// Commands that run once for each account that logs in.
fn active_setup(
    context: &mut Context<'_>,
    windows: &Windows<'_>,
    loaded: &Loaded<'_>,
    before: &str,
) {
    if !before.is_empty() {
        return;
    }
    for place in [
        "Microsoft\\Active Setup\\Installed Components",
        "Wow6432Node\\Microsoft\\Active Setup\\Installed Components",
    ] {
        let Some(list) = loaded.key(place) else { continue };
        for (name, key) in below(&list) {
            let Some(text) = text_of(&key, "StubPath") else { continue };
            if command::sign(&text).is_none() {
                continue;
            }
            let path = format!("{place}\\{name}");
            let told = Told { time: key.last_written(), ..Told::new(&path, "StubPath", &text) };
            entry(
                context,
                windows,
                loaded,
                "GBX-WIN-0209",
                "at the first log-on of each account",
                &told,
            );
        }
    }
}

/// A screen saver that is not one of the system's.
fn screen_saver(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    let path = "Control Panel\\Desktop";
    let Some(key) = loaded.key(path) else { return };
    let Some(text) = text_of(&key, "SCRNSAVE.EXE").filter(|text| !text.is_empty()) else { return };
    let line = command::expanded(&text);
    let (program, _) = command::program(&line);
    let is_delivered = program.ends_with(".scr")
        && (!program.contains('/') || program.starts_with("/windows/"))
        && command::sign(&text).is_none();
    if !is_delivered {
        let run = Run::active(loaded.owner.clone(), "when nobody types").what(text.as_bytes());
        let told = Told { time: key.last_written(), run, ..Told::new(path, "SCRNSAVE.EXE", &text) };
        loaded.report(context, "GBX-WIN-0212", told);
    }
}
