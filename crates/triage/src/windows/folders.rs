//! Files whose place or name is the finding: start-up folders, programs of the log-on screen, profiles of PowerShell, names
//! of system programs elsewhere, programs where none belong, the list of hosts.

use super::Windows;
use super::command;
use crate::Severity;
use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::parse::windows::link;
use crate::root::Item;

/// Folders whose files start when somebody logs in, in lower case.
const STARTUP: &[&str] = &[
    "/programdata/microsoft/windows/start menu/programs/startup/*",
    "/users/*/appdata/roaming/microsoft/windows/start menu/programs/startup/*",
    "/documents and settings/*/start menu/programs/startup/*",
];
/// Programs that anybody can start at the log-on screen.
const BEFORE_LOGON: &[&str] = &[
    "sethc.exe",
    "utilman.exe",
    "osk.exe",
    "magnify.exe",
    "narrator.exe",
    "displayswitch.exe",
    "atbroker.exe",
];
/// Programs that give a command line, which are copied over those.
const SHELLS: &[&str] =
    &["cmd.exe", "explorer.exe", "taskmgr.exe", "windowspowershell/v1.0/powershell.exe"];
/// Scripts every PowerShell runs first.
const PROFILES: &[&str] = &[
    "/windows/system32/windowspowershell/v1.0/profile.ps1",
    "/windows/system32/windowspowershell/v1.0/microsoft.powershell_profile.ps1",
    "/windows/syswow64/windowspowershell/v1.0/profile.ps1",
    "/windows/syswow64/windowspowershell/v1.0/microsoft.powershell_profile.ps1",
    "/program files/powershell/*/profile.ps1",
    "/users/*/documents/windowspowershell/*profile.ps1",
    "/users/*/documents/powershell/*profile.ps1",
];
/// Endings of what runs when it is opened.
const PROGRAMS: &[&str] = &[
    ".exe", ".dll", ".scr", ".com", ".pif", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".hta", ".sys",
];

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    startup(context, windows);
    before_logon(context, windows);
    for pattern in PROFILES {
        for item in windows.tree.files(pattern) {
            let run = Run::active("whoever starts PowerShell", "each time");
            let raw = context.root.text(item.path).unwrap_or_default();
            let sign = raw
                .split(|byte| *byte == b'\n')
                .find_map(|line| command::sign(&String::from_utf8_lossy(line)));
            let mut spot = Spot::file(item.path).run(run);
            spot.severity = sign.map(|sign| sign.severity);
            spot.detail = sign.map_or(String::new(), |sign| sign.what.to_owned());
            context.report("GBX-WIN-0502", spot);
        }
    }
    misplaced(context, windows);
    hosts(context, windows);
}

fn startup(context: &mut Context<'_>, windows: &Windows<'_>) {
    for item in STARTUP.iter().flat_map(|pattern| windows.tree.files(pattern)) {
        let name = String::from_utf8_lossy(item.name()).to_lowercase();
        if name == "desktop.ini" {
            continue;
        }
        let raw = context.root.text(item.path).unwrap_or_default();
        let what = match link::parse(&raw) {
            Some(found) if found.arguments.is_empty() => found.target,
            Some(found) => format!("{} {}", found.target, found.arguments),
            None => String::new(),
        };
        let sign = if what.is_empty() {
            raw.split(|byte| *byte == b'\n')
                .take(4096)
                .find_map(|line| command::sign(&String::from_utf8_lossy(line)))
        } else {
            command::sign(&what)
        };
        let is_script =
            [".vbs", ".vbe", ".js", ".jse", ".bat", ".cmd", ".ps1", ".hta", ".wsf", ".scr", ".exe"]
                .iter()
                .any(|end| name.ends_with(end));
        let severity = sign.map(|sign| sign.severity).or(is_script.then_some(Severity::Medium));
        let run = Run::active("whoever logs in", "at each log-on").what(what.as_bytes());
        let mut spot = Spot::file(item.path).run(run);
        spot.detail = sign.map_or(String::new(), |sign| sign.what.to_owned());
        spot.excerpt = what.into_bytes();
        spot.severity = severity;
        context.report("GBX-WIN-0501", spot);
    }
}

/// Programs of the log-on screen that are copies of a shell.
fn before_logon(context: &mut Context<'_>, windows: &Windows<'_>) {
    let folder = String::from_utf8_lossy(&windows.folder).into_owned();
    let place = |name: &str| windows.tree.item(format!("{folder}/system32/{name}").as_bytes());
    let mut shells = Vec::new();
    for name in SHELLS {
        let item = place(name).or_else(|| windows.tree.item(format!("{folder}/{name}").as_bytes()));
        if let Some(digest) = item.and_then(|item| context.hashes(item)) {
            shells.push((*name, digest.sha256));
        }
    }
    for name in BEFORE_LOGON {
        let Some(item) = place(name).filter(|item| item.is_file()) else { continue };
        let Some(digest) = context.hashes(item) else { continue };
        if let Some((shell, _)) = shells.iter().find(|(_, known)| *known == digest.sha256) {
            let run =
                Run::active("anybody at the log-on screen, with all rights", "when asked for");
            let detail = format!("it is byte for byte {shell}");
            context.report("GBX-WIN-0503", Spot::file(item.path).detail(detail).run(run));
        }
    }
}

/// Programs with a name of the system's outside its folders, and programs where none belong.
fn misplaced(context: &mut Context<'_>, windows: &Windows<'_>) {
    let mut found: Vec<(&'static str, Item<'_>, &'static str, Severity)> = Vec::new();
    for (path, item) in windows.tree.all().filter(|(_, item)| item.is_file()) {
        let Ok(path) = std::str::from_utf8(path) else { continue };
        let name = command::name(path);
        if !PROGRAMS.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        if command::is_misplaced(path) {
            found.push((
                "GBX-WIN-0504",
                item,
                "a program of the system has this name",
                Severity::High,
            ));
        } else if command::is_doubled(name) {
            found.push(("GBX-WIN-0504", item, "its name hides what it is", Severity::High));
        } else if is_odd_place(path) {
            found.push(("GBX-WIN-0505", item, "", Severity::Medium));
        }
    }
    for (rule, item, detail, severity) in found {
        context.report(rule, Spot::file(item.path).detail(detail).severity(severity));
    }
}

/// Whether programs have no business at a place.
fn is_odd_place(path: &str) -> bool {
    let places = [
        "/users/public/",
        "/perflogs/",
        "/$recycle.bin/",
        "/recycler/",
        "/windows/fonts/",
        "/windows/media/",
        "/windows/tracing/",
    ];
    let name = command::name(path);
    // What a person deleted keeps its ending under a new name, which begins so.
    let is_deleted = path.starts_with("/$recycle.bin/")
        && (name.starts_with("$r") || name.starts_with("$i") || path.contains("/$r"));
    let is_top = path.strip_prefix("/programdata/").is_some_and(|rest| !rest.contains('/'));
    (places.iter().any(|place| path.starts_with(place)) && !is_deleted) || is_top
}

/// Lines of the list of hosts that lead names elsewhere.
fn hosts(context: &mut Context<'_>, windows: &Windows<'_>) {
    let path = [windows.folder.as_slice(), b"/system32/drivers/etc/hosts"].concat();
    let Some(item) = windows.tree.item(&path) else { return };
    let raw = context.root.text(item.path).unwrap_or_default();
    for (line, offset, text) in crate::parse::meaningful(&raw) {
        let words = crate::parse::words(text);
        let names = words.get(1..).unwrap_or(&[]);
        let is_usual = names.iter().all(|name| {
            matches!(
                *name,
                b"localhost"
                    | b"host.docker.internal"
                    | b"gateway.docker.internal"
                    | b"kubernetes.docker.internal"
            )
        });
        if is_usual {
            continue;
        }
        let watched: [&[u8]; 12] = [
            b"microsoft",
            b"windowsupdate",
            b"defender",
            b"kaspersky",
            b"symantec",
            b"mcafee",
            b"eset",
            b"sophos",
            b"avast",
            b"bitdefender",
            b"crowdstrike",
            b"virustotal",
        ];
        let folded = text.to_ascii_lowercase();
        let is_watched = watched.iter().any(|word| crate::parse::contains(&folded, word));
        let spot = Spot::line(item.path, line, offset, text);
        context.report(
            "GBX-WIN-0506",
            if is_watched { spot.severity(Severity::Medium) } else { spot },
        );
    }
}
