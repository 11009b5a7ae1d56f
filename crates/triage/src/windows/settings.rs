//! Settings of the machine that an ordinary Windows has with one known value, or not at all: log-on, session manager, LSA,
//! libraries that other programs load, debuggers, and what keeps watch.

use super::Windows;
use super::command;
use super::hives::{Loaded, Told, below, number_of, text_of, texts};
use crate::Severity;
use crate::activation::Run;
use crate::context::Context;

const WINDOWS_NT: &str = "Microsoft\\Windows NT\\CurrentVersion";
/// Windows 8.1, the first that keeps no passwords for WDigest unless told so.
const FIRST_BUILD_WITHOUT_WDIGEST: u32 = 9600;

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    if let Some(loaded) = &windows.hives.software {
        winlogon(context, loaded);
        app_init(context, loaded);
        debuggers(context, loaded);
        helpers(context, loaded);
        defender(context, loaded);
        policies(context, loaded);
    }
    let version = windows.hives.software.as_ref().and_then(|loaded| loaded.key(WINDOWS_NT));
    let build = version.and_then(|key| text_of(&key, "CurrentBuildNumber"));
    let build = build.and_then(|build| build.parse::<u32>().ok()).unwrap_or(u32::MAX);
    if let Some(loaded) = &windows.hives.system {
        let control = format!("{}\\Control", windows.hives.control);
        session(context, loaded, &control);
        lsa(context, loaded, &control, build);
        print(context, loaded, &control);
        watch(context, loaded, &windows.hives.control);
    }
}

/// One value as a finding.
fn tell(
    context: &mut Context<'_>,
    loaded: &Loaded<'_>,
    rule: &str,
    path: &str,
    value: (&str, &str),
    severity: Option<Severity>,
    when: &str,
) {
    let (name, text) = value;
    let time = loaded.key(path).and_then(|key| key.last_written());
    let detail = command::sign(text).map_or(String::new(), |sign| sign.what.to_owned());
    let run = Run::active("the system", when).what(text.as_bytes());
    let run = if when.is_empty() { Run::default() } else { run };
    loaded.report(
        context,
        rule,
        Told { time, detail, severity, run, ..Told::new(path, name, text) },
    );
}

fn winlogon(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    let path = format!("{WINDOWS_NT}\\Winlogon");
    let Some(key) = loaded.key(&path) else { return };
    for (name, text) in texts(&key) {
        let line = command::expanded(&text);
        let line = line.trim_end_matches([',', ' ']);
        let (program, _) = command::program(line);
        let is_delivered = match name.to_ascii_lowercase().as_str() {
            "shell" => matches!(line, "explorer.exe" | "c:\\windows\\explorer.exe"),
            "userinit" => {
                matches!(
                    program.as_str(),
                    "/windows/system32/userinit.exe" | "userinit" | "userinit.exe"
                ) && !line.trim_end_matches(',').contains(',')
            }
            "vmapplet" => {
                line.contains("systempropertiesperformance.exe") || line.contains("sysdm.cpl")
            }
            "taskman" | "appsetup" | "gpextensions" => text.is_empty(),
            "ginadll" => text.eq_ignore_ascii_case("msgina.dll"),
            "system" | "savedumpstart" | "uihost" => {
                text.is_empty() || matches!(line, "lsass.exe" | "logonui.exe")
            }
            _ => true,
        };
        if !is_delivered {
            tell(context, loaded, "GBX-WIN-0202", &path, (&name, &text), None, "at each log-on");
        }
    }
    // Notify packages: only until Windows XP.
    let packages =
        loaded.key(&format!("{path}\\Notify")).map(|key| below(&key)).unwrap_or_default();
    for (name, key) in packages {
        let Some(text) = text_of(&key, "DLLName") else { continue };
        if command::sign(&text).is_some() || text.contains('\\') {
            let path = format!("{path}\\Notify\\{name}");
            tell(
                context,
                loaded,
                "GBX-WIN-0202",
                &path,
                ("DLLName", &text),
                None,
                "at each log-on",
            );
        }
    }
}

fn app_init(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    for place in [WINDOWS_NT, "Wow6432Node\\Microsoft\\Windows NT\\CurrentVersion"] {
        let path = format!("{place}\\Windows");
        let Some(key) = loaded.key(&path) else { continue };
        let Some(text) = text_of(&key, "AppInit_DLLs").filter(|text| !text.is_empty()) else {
            continue;
        };
        let is_on = number_of(&key, "LoadAppInit_DLLs") == Some(1);
        let severity = if is_on { Severity::High } else { Severity::Low };
        let when = if is_on { "with each program that has windows" } else { "" };
        tell(context, loaded, "GBX-WIN-0203", &path, ("AppInit_DLLs", &text), Some(severity), when);
    }
}

/// Programs that stand in for others when these are started or end.
fn debuggers(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    /// Programs the log-on screen starts for anybody.
    const BEFORE_LOGON: &[&str] = &[
        "sethc.exe",
        "utilman.exe",
        "osk.exe",
        "magnify.exe",
        "narrator.exe",
        "displayswitch.exe",
        "atbroker.exe",
    ];
    for place in [WINDOWS_NT, "Wow6432Node\\Microsoft\\Windows NT\\CurrentVersion"] {
        let path = format!("{place}\\Image File Execution Options");
        for (name, key) in loaded.key(&path).map(|key| below(&key)).unwrap_or_default() {
            let folded = name.to_ascii_lowercase();
            let path = format!("{path}\\{name}");
            let mut places = vec![(path.clone(), key)];
            // Filters by the whole path stand one level down.
            let filters: Vec<_> = places.first().map(|(_, key)| below(key)).unwrap_or_default();
            places.extend(filters.into_iter().map(|(name, key)| (format!("{path}\\{name}"), key)));
            for (path, key) in &places {
                for value in ["Debugger", "VerifierDlls"] {
                    let Some(text) = text_of(key, value).filter(|text| !text.is_empty()) else {
                        continue;
                    };
                    let severity = if BEFORE_LOGON.contains(&folded.as_str()) {
                        Some(Severity::Critical)
                    } else {
                        command::sign(&text).map(|sign| sign.severity)
                    };
                    let when = format!("instead of {name}, or in it");
                    tell(context, loaded, "GBX-WIN-0204", path, (value, &text), severity, &when);
                }
            }
        }
        let path = format!("{place}\\SilentProcessExit");
        for (name, key) in loaded.key(&path).map(|key| below(&key)).unwrap_or_default() {
            if let Some(text) = text_of(&key, "MonitorProcess").filter(|text| !text.is_empty()) {
                let path = format!("{path}\\{name}");
                let when = format!("when {name} ends");
                tell(
                    context,
                    loaded,
                    "GBX-WIN-0204",
                    &path,
                    ("MonitorProcess", &text),
                    None,
                    &when,
                );
            }
        }
    }
}

/// Libraries that come with Windows for `netsh`.
const NETSH: &[&str] = &[
    "ifmon.dll",
    "rasmontr.dll",
    "authfwcfg.dll",
    "dhcpcmonitor.dll",
    "dot3cfg.dll",
    "fwcfg.dll",
    "hnetmon.dll",
    "netiohlp.dll",
    "netprofm.dll",
    "nettrace.dll",
    "nshhttp.dll",
    "nshipsec.dll",
    "nshwfp.dll",
    "p2pnetsh.dll",
    "peerdistsh.dll",
    "rpcnsh.dll",
    "wcnnetsh.dll",
    "whhelper.dll",
    "wlancfg.dll",
    "wshelper.dll",
    "wwancfg.dll",
    "napmontr.dll",
    "ippromon.dll",
    "ipxmontr.dll",
    "ipxpromn.dll",
    "ipmontr.dll",
    "dgnet.dll",
    "wllpcfg.dll",
    "nshnap.dll",
    "iphlpsvc.dll",
    "polnsh.dll",
    "netsh-http.dll",
    "wcmnetsh.dll",
    "mbnnetsh.dll",
    "dnscmmc.dll",
    "nshwinsock.dll",
];

fn helpers(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    for path in ["Microsoft\\NetSh", "Wow6432Node\\Microsoft\\NetSh"] {
        for (name, text) in loaded.key(path).map(|key| texts(&key)).unwrap_or_default() {
            if !NETSH.contains(&text.to_ascii_lowercase().as_str()) {
                let severity = command::sign(&text).map(|sign| sign.severity);
                tell(
                    context,
                    loaded,
                    "GBX-WIN-0208",
                    path,
                    (&name, &text),
                    severity,
                    "with each netsh",
                );
            }
        }
    }
    let path = "Microsoft\\Command Processor";
    let text = loaded.key(path).and_then(|key| text_of(&key, "AutoRun"));
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        let severity = command::sign(&text).map(|sign| sign.severity);
        tell(
            context,
            loaded,
            "GBX-WIN-0217",
            path,
            ("AutoRun", &text),
            severity,
            "with each command window",
        );
    }
}

fn defender(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    for place in ["Microsoft\\Windows Defender", "Policies\\Microsoft\\Windows Defender"] {
        for kind in ["Paths", "Processes", "Extensions"] {
            let path = format!("{place}\\Exclusions\\{kind}");
            let Some(key) = loaded.key(&path) else { continue };
            for (name, text) in texts(&key) {
                tell(context, loaded, "GBX-WIN-0215", &path, (&name, &text), None, "");
            }
        }
        for (below, name) in [
            ("", "DisableAntiSpyware"),
            ("", "DisableAntiVirus"),
            ("\\Real-Time Protection", "DisableRealtimeMonitoring"),
            ("\\Real-Time Protection", "DisableBehaviorMonitoring"),
            ("\\Real-Time Protection", "DisableOnAccessProtection"),
            ("\\Real-Time Protection", "DisableScanOnRealtimeEnable"),
        ] {
            let path = format!("{place}{below}");
            if loaded.key(&path).and_then(|key| number_of(&key, name)) == Some(1) {
                tell(context, loaded, "GBX-WIN-0215", &path, (name, "1"), None, "");
            }
        }
    }
}

fn policies(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    let path = "Microsoft\\Windows\\CurrentVersion\\Policies\\System";
    if let Some(key) = loaded.key(path) {
        for (name, wanted, severity) in [
            ("EnableLUA", 0, Severity::Medium),
            ("LocalAccountTokenFilterPolicy", 1, Severity::Low),
        ] {
            if number_of(&key, name) == Some(wanted) {
                let text = wanted.to_string();
                tell(context, loaded, "GBX-WIN-0216", path, (name, &text), Some(severity), "");
            }
        }
    }
}

fn session(context: &mut Context<'_>, loaded: &Loaded<'_>, control: &str) {
    let path = format!("{control}\\Session Manager");
    let Some(key) = loaded.key(&path) else { return };
    let boot =
        key.value("BootExecute").ok().flatten().and_then(|value| value.texts().ok().flatten());
    for text in boot.unwrap_or_default() {
        let text = String::from_utf8_lossy(&text.0).into_owned();
        let folded = text.trim().to_ascii_lowercase();
        let is_delivered = folded.is_empty() || folded.starts_with("autocheck autochk ");
        if !is_delivered {
            let value = ("BootExecute", text.as_str());
            tell(context, loaded, "GBX-WIN-0206", &path, value, None, "at each start");
        }
    }
    for name in ["SetupExecute", "Execute", "S0InitialCommand"] {
        if let Some(text) = text_of(&key, name).filter(|text| !text.is_empty()) {
            tell(context, loaded, "GBX-WIN-0206", &path, (name, &text), None, "at each start");
        }
    }
    let path = format!("{path}\\AppCertDLLs");
    for (name, text) in loaded.key(&path).map(|key| texts(&key)).unwrap_or_default() {
        let severity = Some(Severity::High);
        tell(
            context,
            loaded,
            "GBX-WIN-0203",
            &path,
            (&name, &text),
            severity,
            "with each new process",
        );
    }
}

fn lsa(context: &mut Context<'_>, loaded: &Loaded<'_>, control: &str, build: u32) {
    /// Packages that Windows delivers; the empty one is written as a pair of quotation marks.
    const PACKAGES: &[(&str, &[&str])] = &[
        // The second comes with the developers' mode.
        ("Authentication Packages", &["msv1_0", "sshdpinauthlsa"]),
        (
            "Security Packages",
            &[
                "kerberos", "msv1_0", "schannel", "wdigest", "tspkg", "pku2u", "livessp",
                "cloudap", "negoexts", "credssp",
            ],
        ),
        ("Notification Packages", &["scecli", "rassfm", "fpnwclnt", "kdcsvc", "wdigest"]),
    ];
    for (below, names) in [("Lsa", PACKAGES), ("Lsa\\OSConfig", PACKAGES)] {
        let path = format!("{control}\\{below}");
        let Some(key) = loaded.key(&path) else { continue };
        for (name, known) in names {
            let values =
                key.value(name).ok().flatten().and_then(|value| value.texts().ok().flatten());
            for text in values.unwrap_or_default() {
                let text = String::from_utf8_lossy(&text.0).into_owned();
                let bare = text.trim_matches(['"', ' ']).to_ascii_lowercase();
                let bare = bare.strip_suffix(".dll").unwrap_or(&bare).to_owned();
                if !bare.is_empty() && !known.contains(&bare.as_str()) {
                    tell(
                        context,
                        loaded,
                        "GBX-WIN-0205",
                        &path,
                        (name, &text),
                        None,
                        "at each start, in lsass.exe",
                    );
                }
            }
        }
    }
    let path = format!("{control}\\SecurityProviders\\WDigest");
    if loaded.key(&path).and_then(|key| number_of(&key, "UseLogonCredential")) == Some(1) {
        // Until Windows 8 it was delivered so.
        let severity =
            if build < FIRST_BUILD_WITHOUT_WDIGEST { Severity::Info } else { Severity::Medium };
        let value = ("UseLogonCredential", "1");
        tell(context, loaded, "GBX-WIN-0210", &path, value, Some(severity), "");
    }
}

/// Libraries of the print service that are not the system's: told, since vendors of printers have theirs.
fn print(context: &mut Context<'_>, loaded: &Loaded<'_>, control: &str) {
    const MONITORS: &[&str] = &[
        "appmon.dll",
        "apmon.dll",
        "localspl.dll",
        "fxsmon.dll",
        "tcpmon.dll",
        "usbmon.dll",
        "wsdmon.dll",
        "inetpp.dll",
        "ippmon.dll",
        "pjlmon.dll",
        "mxdwdrv.dll",
        "msonpmon.dll",
        "cnbjmon.dll",
        "redmon.dll",
        "win32spl.dll",
        "mcpmon.dll",
        "bjablr32.dll",
    ];
    let path = format!("{control}\\Print\\Monitors");
    for (name, key) in loaded.key(&path).map(|key| below(&key)).unwrap_or_default() {
        let Some(text) = text_of(&key, "Driver") else { continue };
        let bare = text.to_ascii_lowercase();
        if !MONITORS.contains(&bare.as_str()) {
            let severity = command::sign(&text).map(|sign| sign.severity);
            let path = format!("{path}\\{name}");
            tell(
                context,
                loaded,
                "GBX-WIN-0207",
                &path,
                ("Driver", &text),
                severity,
                "at each start, in spoolsv.exe",
            );
        }
    }
}

/// What keeps logs, and what keeps people out.
fn watch(context: &mut Context<'_>, loaded: &Loaded<'_>, set: &str) {
    let path = format!("{set}\\Control\\MiniNt");
    if loaded.key(&path).is_some() {
        tell(context, loaded, "GBX-WIN-0703", &path, ("", "the key is there"), None, "");
    }
    let path = format!("{set}\\Services\\EventLog");
    if loaded.key(&path).and_then(|key| number_of(&key, "Start")) == Some(4) {
        tell(context, loaded, "GBX-WIN-0703", &path, ("Start", "4"), None, "");
    }
    let path = format!("{set}\\Control\\Terminal Server");
    let is_open =
        loaded.key(&path).and_then(|key| number_of(&key, "fDenyTSConnections")) == Some(0);
    let station = format!("{path}\\WinStations\\RDP-Tcp");
    let is_weak =
        loaded.key(&station).and_then(|key| number_of(&key, "UserAuthentication")) == Some(0);
    if is_open {
        let severity = if is_weak { Severity::Low } else { Severity::Info };
        tell(
            context,
            loaded,
            "GBX-WIN-0218",
            &path,
            ("fDenyTSConnections", "0"),
            Some(severity),
            "",
        );
    }
    for profile in ["DomainProfile", "StandardProfile", "PublicProfile"] {
        let path = format!("{set}\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\{profile}");
        if loaded.key(&path).and_then(|key| number_of(&key, "EnableFirewall")) == Some(0) {
            tell(context, loaded, "GBX-WIN-0219", &path, ("EnableFirewall", "0"), None, "");
        }
    }
}
