//! Hives of the registry filled by hivex, an independent implementation, and the small Windows they make.

use crate::support::MemFs;
use evidence::fs::FileKind;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A value: key, name, and the value in the language of hivexsh.
pub(crate) type Entry<'a> = (&'a str, &'a str, String);

/// The tool's path, or a message that the test is skipped.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name}");
    }
    found
}

/// Text as a value.
pub(crate) fn text(value: &str) -> String {
    format!("string:{value}")
}

/// A number as a value.
pub(crate) fn number(value: u32) -> String {
    format!("dword:{value:#010x}")
}

/// Bytes as a value of a type.
pub(crate) fn bytes(kind: u32, value: &[u8]) -> String {
    let all: Vec<String> = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hex:{kind}:{}", all.join(","))
}

/// A list of texts as a value.
pub(crate) fn list(values: &[&str]) -> String {
    let joined: String = values.iter().flat_map(|value| [*value, "\0"]).collect();
    let raw: Vec<u8> = format!("{joined}\0").encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes(7, &raw)
}

/// The smallest hive: a base block, one bin, a root key; hivex fills it.
fn minimal() -> Vec<u8> {
    let mut raw = vec![0; 8192];
    raw[..4].copy_from_slice(b"regf");
    let put = |raw: &mut Vec<u8>, at: usize, value: u32| {
        raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
    };
    for (at, value) in [(4, 1), (8, 1), (20, 1), (24, 5), (32, 1), (36, 0x20), (40, 4096), (44, 1)]
    {
        put(&mut raw, at, value);
    }
    raw[12..20].copy_from_slice(&132_000_000_000_000_000_u64.to_le_bytes());
    let sum = raw[..508]
        .chunks(4)
        .fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
    put(&mut raw, 508, sum);
    raw[4096..4100].copy_from_slice(b"hbin");
    put(&mut raw, 4096 + 8, 4096);
    let root = 4096 + 0x20;
    put(&mut raw, root, (-0x60_i32) as u32);
    raw[root + 4..root + 6].copy_from_slice(b"nk");
    raw[root + 6] = 0x2c;
    for (at, value) in [(28, u32::MAX), (32, u32::MAX), (40, u32::MAX), (44, 0x80), (48, u32::MAX)]
    {
        put(&mut raw, root + 4 + at, value);
    }
    raw[root + 4 + 72] = 4;
    raw[root + 80..root + 84].copy_from_slice(b"ROOT");
    // hivex wants a security descriptor to share.
    let security = 4096 + 0x80;
    put(&mut raw, security, (-0x30_i32) as u32);
    raw[security + 4..security + 6].copy_from_slice(b"sk");
    for (at, value) in [(4, 0x80), (8, 0x80), (12, 1), (16, 20)] {
        put(&mut raw, security + 4 + at, value);
    }
    raw[security + 24..security + 28].copy_from_slice(&[1, 0, 4, 0x80]);
    put(&mut raw, 4096 + 0xb0, 4096 - 0xb0);
    raw
}

/// A hive with these values; keys are made as needed. `None` where hivex is missing.
pub(crate) fn hive(entries: &[Entry<'_>]) -> Option<Vec<u8>> {
    let hivexsh = tool("hivexsh")?;
    let mut keys: BTreeMap<Vec<String>, Vec<(&str, &str)>> = BTreeMap::new();
    for (key, name, value) in entries {
        let path: Vec<String> = key.split('\\').map(str::to_owned).collect();
        for end in 1..path.len() {
            keys.entry(path[..end].to_vec()).or_default();
        }
        let values = keys.entry(path).or_default();
        // What comes later replaces what was there.
        values.retain(|(known, _)| known != name);
        if !value.is_empty() {
            values.push((*name, value.as_str()));
        }
    }
    let mut script = String::new();
    for (path, values) in &keys {
        script.push_str("cd \\\n");
        for name in &path[..path.len() - 1] {
            script.push_str(&format!("cd {name}\n"));
        }
        let name = path.last().unwrap();
        script.push_str(&format!("add {name}\ncd {name}\n"));
        if !values.is_empty() {
            script.push_str(&format!("setval {}\n", values.len()));
            for (name, value) in values {
                let name = if name.is_empty() { "@" } else { name };
                script.push_str(&format!("{name}\n{value}\n"));
            }
        }
    }
    script.push_str("commit\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    std::fs::write(&path, minimal()).unwrap();
    let mut child = Command::new(hivexsh)
        .args(["-w", path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && errors.is_empty(), "{errors}\n{script}");
    Some(std::fs::read(&path).unwrap())
}

/// What every small Windows of the tests has in `SOFTWARE`.
pub(crate) fn software() -> Vec<Entry<'static>> {
    let version = "Microsoft\\Windows NT\\CurrentVersion";
    let logon = "Microsoft\\Windows NT\\CurrentVersion\\Winlogon";
    vec![
        (version, "ProductName", text("Windows 10 Pro")),
        (version, "CurrentBuildNumber", text("19045")),
        (logon, "Shell", text("explorer.exe")),
        (logon, "Userinit", text("C:\\Windows\\system32\\userinit.exe,")),
        (logon, "VMApplet", text("SystemPropertiesPerformance.exe /pagefile")),
        ("Microsoft\\Windows NT\\CurrentVersion\\Windows", "AppInit_DLLs", text("")),
        ("Microsoft\\Windows NT\\CurrentVersion\\Windows", "LoadAppInit_DLLs", number(0)),
        (
            "Microsoft\\Windows\\CurrentVersion\\Run",
            "SecurityHealth",
            "expandstring:%windir%\\system32\\SecurityHealthSystray.exe".to_owned(),
        ),
        ("Microsoft\\NetSh", "2", text("ifmon.dll")),
        ("Classes\\exefile\\shell\\open\\command", "", text("\"%1\" %*")),
        (
            "Microsoft\\Windows NT\\CurrentVersion\\Image File Execution Options\\x.exe",
            "MitigationOptions",
            number(1),
        ),
        ("Microsoft\\Windows\\CurrentVersion\\Policies\\System", "EnableLUA", number(1)),
    ]
}

/// What every small Windows of the tests has in `SYSTEM`.
pub(crate) fn system() -> Vec<Entry<'static>> {
    let service = "ControlSet001\\Services\\Dnscache";
    vec![
        ("Select", "Current", number(1)),
        ("ControlSet001\\Control\\ComputerName\\ComputerName", "ComputerName", text("ZOO-PC")),
        ("ControlSet001\\Control\\Session Manager", "BootExecute", list(&["autocheck autochk *"])),
        ("ControlSet001\\Control\\Lsa", "Authentication Packages", list(&["msv1_0"])),
        ("ControlSet001\\Control\\Lsa", "Security Packages", list(&["\"\""])),
        ("ControlSet001\\Control\\Lsa", "Notification Packages", list(&["scecli"])),
        ("ControlSet001\\Control\\Print\\Monitors\\Local Port", "Driver", text("localspl.dll")),
        (
            service,
            "ImagePath",
            "expandstring:%SystemRoot%\\system32\\svchost.exe -k NetworkService -p".to_owned(),
        ),
        (service, "Start", number(2)),
        (service, "Type", number(0x20)),
        (
            "ControlSet001\\Services\\Dnscache\\Parameters",
            "ServiceDll",
            "expandstring:%SystemRoot%\\System32\\dnsrslvr.dll".to_owned(),
        ),
        ("ControlSet001\\Services\\EventLog", "Start", number(2)),
        ("ControlSet001\\Services\\disk", "ImagePath", text("System32\\drivers\\disk.sys")),
        ("ControlSet001\\Services\\disk", "Type", number(1)),
        ("ControlSet001\\Services\\disk", "Start", number(0)),
    ]
}

/// Files of the small Windows beside its hives.
pub(crate) fn files() -> MemFs {
    let mut fs = MemFs::default();
    for name in [
        "svchost.exe",
        "userinit.exe",
        "cmd.exe",
        "sethc.exe",
        "Utilman.exe",
        "SecurityHealthSystray.exe",
        "dnsrslvr.dll",
        "drivers/disk.sys",
    ] {
        fs.file(&format!("/Windows/System32/{name}"), &format!("MZ {name}"));
    }
    fs.file("/Windows/explorer.exe", "MZ explorer");
    fs.file("/Windows/System32/drivers/etc/hosts", "# Copyright\r\n#\t127.0.0.1 localhost\r\n");
    fs.file(
        "/ProgramData/Microsoft/Windows/Start Menu/Programs/StartUp/desktop.ini",
        "[.ShellClassInfo]\r\n",
    );
    fs.file("/Users/Public/desktop.ini", "");
    fs
}

/// Adds the hives; `None` where hivex is missing.
pub(crate) fn install(
    fs: &mut MemFs,
    software: &[Entry<'_>],
    system: &[Entry<'_>],
    person: &[Entry<'_>],
    classes: &[Entry<'_>],
) -> Option<()> {
    let config = "/Windows/System32/config";
    fs.put(&format!("{config}/SOFTWARE"), FileKind::File, 0o644, &hive(software)?);
    fs.put(&format!("{config}/SYSTEM"), FileKind::File, 0o644, &hive(system)?);
    fs.put("/Users/anna/NTUSER.DAT", FileKind::File, 0o644, &hive(person)?);
    let place = "/Users/anna/AppData/Local/Microsoft/Windows/UsrClass.dat";
    fs.put(place, FileKind::File, 0o644, &hive(classes)?);
    Some(())
}
