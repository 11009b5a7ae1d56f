//! A small clean Windows, and what is planted in it: a rule, the file its finding names, how bad it is, and the change.

use crate::events::{Event, log};
use crate::hives::{self, Entry, bytes, hive, list, number, text};
use crate::support::MemFs;
use evidence::fs::FileKind;
use std::sync::OnceLock;
use triage::Severity;

pub(crate) const CONFIG: &str = "/Windows/System32/config";
const CLASSES: &str = "/Users/anna/AppData/Local/Microsoft/Windows/UsrClass.dat";

/// The clean Windows, made once; `None` where hivex is missing.
pub(crate) fn clean() -> Option<&'static MemFs> {
    static MADE: OnceLock<Option<MemFs>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let mut fs = hives::files();
        let person = [(
            "Control Panel\\Desktop",
            "SCRNSAVE.EXE",
            text("C:\\Windows\\system32\\scrnsave.scr"),
        )];
        let classes = [("CLSID", "", String::new())];
        hives::install(&mut fs, &hives::software(), &hives::system(), &person, &classes)?;
        fs.put(&format!("{CONFIG}/SAM"), FileKind::File, 0o644, &hive(&sam(&ACCOUNTS))?);
        let task = xml("C:\\Windows\\System32\\cmd.exe", "/c ver");
        fs.file("/Windows/System32/Tasks/Microsoft/Tidy", &task);
        let security: [Event<'_>; 2] =
            [(7, "Microsoft-Windows-Security-Auditing", 4624, &[]), (8, "x", 1, &[])];
        fs.put(&logs("Security"), FileKind::File, 0o644, &log(&security, None));
        Some(fs)
    });
    made.as_ref()
}

pub(crate) fn logs(name: &str) -> String {
    format!("/Windows/System32/winevt/Logs/{name}.evtx")
}

/// An account: key, identifier inside, flags, name, and the name it is listed under.
pub(crate) type Account = (u32, u32, u16, &'static str, Option<&'static str>);
pub(crate) const ACCOUNTS: [Account; 3] = [
    (500, 500, 0x210, "Administrator", Some("Administrator")),
    (501, 501, 0x215, "Guest", Some("Guest")),
    (1001, 1001, 0x214 & !4, "anna", Some("anna")),
];

pub(crate) fn sam(accounts: &[Account]) -> Vec<Entry<'static>> {
    let users = "SAM\\Domains\\Account\\Users";
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mut out: Vec<Entry<'static>> = Vec::new();
    let machine: Vec<u8> = [0_u32, 11, 12, 13].iter().flat_map(|part| part.to_le_bytes()).collect();
    out.push(("SAM\\Domains\\Account", "V", bytes(3, &machine)));
    for (key, rid, flags, name, listed) in accounts {
        let mut f = vec![0; 80];
        f[48..52].copy_from_slice(&rid.to_le_bytes());
        f[56..58].copy_from_slice(&flags.to_le_bytes());
        let mut v = vec![0; 0xcc];
        v[16..20].copy_from_slice(&u32::try_from(name.len() * 2).unwrap().to_le_bytes());
        v.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        let path = leak(format!("{users}\\{key:08X}"));
        out.push((path, "F", bytes(3, &f)));
        out.push((path, "V", bytes(3, &v)));
        if let Some(listed) = listed {
            out.push((leak(format!("{users}\\Names\\{listed}")), "", bytes(*key, &[])));
        }
    }
    let mut c = vec![0; 0x34];
    let name: Vec<u8> = "Administrators".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sid = [
        &[1, 5, 0, 0, 0, 0, 0, 5][..],
        &21_u32.to_le_bytes(),
        &machine[4..],
        &500_u32.to_le_bytes(),
    ]
    .concat();
    for (at, value) in [(0x14, name.len()), (0x28, name.len()), (0x2c, sid.len()), (0x30, 1)] {
        c[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    }
    c.extend(&name);
    c.extend(&sid);
    out.push(("SAM\\Domains\\Builtin\\Aliases\\00000220", "C", bytes(3, &c)));
    out
}

pub(crate) fn xml(command: &str, arguments: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<Task version=\"1.2\"><Triggers><LogonTrigger/></Triggers><Principals><Principal id=\"A\">\
         <UserId>S-1-5-18</UserId></Principal></Principals><Settings><Enabled>true</Enabled></Settings><Actions Context=\"A\">\
         <Exec><Command>{command}</Command><Arguments>{arguments}</Arguments></Exec></Actions></Task>"
    )
}

pub(crate) fn actions(command: &str) -> String {
    let text = |text: &str| {
        let raw: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        [u32::try_from(raw.len()).unwrap().to_le_bytes().to_vec(), raw].concat()
    };
    let head = [vec![3, 0], text("Author"), vec![0x66, 0x66], text("")].concat();
    bytes(3, &[head, text(command), text(""), text(""), vec![0, 0]].concat())
}

/// A task in the registry: its values under `Tree`, and its action.
pub(crate) fn cached(sd: bool, index: u32, command: &str) -> Vec<Entry<'static>> {
    let cache = "Microsoft\\Windows NT\\CurrentVersion\\Schedule\\TaskCache\\Tree\\Microsoft\\Tidy";
    let tasks = "Microsoft\\Windows NT\\CurrentVersion\\Schedule\\TaskCache\\Tasks\\{1}";
    let mut out = vec![
        (cache, "Id", text("{1}")),
        (cache, "Index", number(index)),
        (tasks, "Actions", actions(command)),
    ];
    if sd {
        out.push((cache, "SD", bytes(3, &[1, 0, 4, 0x80])));
    }
    out
}

/// Which hive a plant adds to.
pub(crate) enum Plant {
    Software(Vec<Entry<'static>>),
    System(Vec<Entry<'static>>),
    Person(Vec<Entry<'static>>),
    Classes(Vec<Entry<'static>>),
    Accounts(Vec<Account>),
    Files(fn(&mut MemFs)),
}

pub(crate) fn planted(plant: &Plant) -> Option<MemFs> {
    let mut fs = clean()?.clone();
    let with =
        |base: Vec<Entry<'static>>, more: &[Entry<'static>]| hive(&[base, more.to_vec()].concat());
    let (path, raw) = match plant {
        Plant::Software(more) => (format!("{CONFIG}/SOFTWARE"), with(hives::software(), more)?),
        Plant::System(more) => (format!("{CONFIG}/SYSTEM"), with(hives::system(), more)?),
        Plant::Person(more) => ("/Users/anna/NTUSER.DAT".to_owned(), with(Vec::new(), more)?),
        Plant::Classes(more) => (CLASSES.to_owned(), with(Vec::new(), more)?),
        Plant::Accounts(all) => (format!("{CONFIG}/SAM"), hive(&sam(all))?),
        Plant::Files(change) => {
            change(&mut fs);
            return Some(fs);
        }
    };
    fs.put(&path, FileKind::File, 0o644, &raw);
    Some(fs)
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn plants() -> Vec<(&'static str, &'static str, Severity, Plant)> {
    use Plant::{Accounts, Classes, Files, Person, Software, System};
    use Severity::{Critical, High, Info, Low, Medium};
    let nt = "Microsoft\\Windows NT\\CurrentVersion";
    let at = |path: &str| -> &'static str { Box::leak(format!("{nt}\\{path}").into_boxed_str()) };
    let with = |account: Account| -> Plant {
        let others = ACCOUNTS.into_iter().filter(|one| one.0 != account.0);
        Accounts(others.chain(std::iter::once(account)).collect())
    };
    let evil = "C:\\Users\\Public\\x.exe";
    let run_key = "Microsoft\\Windows\\CurrentVersion\\Run";
    let lsa = "ControlSet001\\Control\\Lsa";
    vec![
        ("GBX-WIN-0101", "SAM", Info, with(ACCOUNTS[2])),
        ("GBX-WIN-0102", "SAM", Critical, with((501, 500, 0x215, "Guest", Some("Guest")))),
        ("GBX-WIN-0103", "SAM", High, with((1002, 1002, 0x210, "ghost", None))),
        ("GBX-WIN-0104", "SAM", High, with((1003, 1003, 0x210, "svc$", Some("svc$")))),
        ("GBX-WIN-0105", "SAM", Medium, with((501, 501, 0x214, "Guest", Some("Guest")))),
        ("GBX-WIN-0106", "SAM", Low, with((1001, 1001, 0x214, "anna", Some("anna")))),
        ("GBX-WIN-0107", "SAM", Info, with(ACCOUNTS[2])),
        (
            "GBX-WIN-0108",
            "SOFTWARE",
            Info,
            Software(vec![(
                at("ProfileList\\S-1-5-21-11-12-13-1009"),
                "ProfileImagePath",
                text("C:\\Users\\eve"),
            )]),
        ),
        (
            "GBX-WIN-0109",
            "SOFTWARE",
            Medium,
            Software(vec![(at("Winlogon\\SpecialAccounts\\UserList"), "eve", number(0))]),
        ),
        (
            "GBX-WIN-0110",
            "SOFTWARE",
            Medium,
            Software(vec![
                (at("Winlogon"), "AutoAdminLogon", text("1")),
                (at("Winlogon"), "DefaultPassword", text("verysecret")),
            ]),
        ),
        ("GBX-WIN-0201", "SOFTWARE", High, Software(vec![(run_key, "Updater", text(evil))])),
        (
            "GBX-WIN-0201",
            "NTUSER.DAT",
            Critical,
            Person(vec![(
                "Software\\Microsoft\\Windows\\CurrentVersion\\Run",
                "Updater",
                text("powershell -nop -w hidden -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoA"),
            )]),
        ),
        (
            "GBX-WIN-0202",
            "SOFTWARE",
            Critical,
            Software(vec![(at("Winlogon"), "Shell", text("explorer.exe, C:\\x.exe"))]),
        ),
        (
            "GBX-WIN-0202",
            "SOFTWARE",
            Critical,
            Software(vec![(
                at("Winlogon"),
                "Userinit",
                text("C:\\Windows\\system32\\userinit.exe,C:\\x.exe,"),
            )]),
        ),
        (
            "GBX-WIN-0203",
            "SOFTWARE",
            High,
            Software(vec![
                (at("Windows"), "AppInit_DLLs", text("C:\\x.dll")),
                (at("Windows"), "LoadAppInit_DLLs", number(1)),
            ]),
        ),
        (
            "GBX-WIN-0204",
            "SOFTWARE",
            Critical,
            Software(vec![(
                at("Image File Execution Options\\sethc.exe"),
                "Debugger",
                text("cmd.exe"),
            )]),
        ),
        (
            "GBX-WIN-0204",
            "SOFTWARE",
            Medium,
            Software(vec![(
                at("SilentProcessExit\\notepad.exe"),
                "MonitorProcess",
                text("C:\\x\\y.exe"),
            )]),
        ),
        (
            "GBX-WIN-0205",
            "SYSTEM",
            High,
            System(vec![(lsa, "Notification Packages", list(&["scecli", "mimilib"]))]),
        ),
        (
            "GBX-WIN-0206",
            "SYSTEM",
            High,
            System(vec![(
                "ControlSet001\\Control\\Session Manager",
                "BootExecute",
                list(&["autocheck autochk *", "evil"]),
            )]),
        ),
        (
            "GBX-WIN-0207",
            "SYSTEM",
            Low,
            System(vec![("ControlSet001\\Control\\Print\\Monitors\\X", "Driver", text("x.dll"))]),
        ),
        (
            "GBX-WIN-0208",
            "SOFTWARE",
            Medium,
            Software(vec![("Microsoft\\NetSh", "x", text("x.dll"))]),
        ),
        (
            "GBX-WIN-0209",
            "SOFTWARE",
            High,
            Software(vec![(
                "Microsoft\\Active Setup\\Installed Components\\{X}",
                "StubPath",
                text(evil),
            )]),
        ),
        (
            "GBX-WIN-0210",
            "SYSTEM",
            Medium,
            System(vec![(
                "ControlSet001\\Control\\SecurityProviders\\WDigest",
                "UseLogonCredential",
                number(1),
            )]),
        ),
        (
            "GBX-WIN-0211",
            "NTUSER.DAT",
            High,
            Person(vec![("Environment", "UserInitMprLogonScript", text("C:\\x.bat"))]),
        ),
        (
            "GBX-WIN-0212",
            "NTUSER.DAT",
            Medium,
            Person(vec![("Control Panel\\Desktop", "SCRNSAVE.EXE", text("C:\\x.exe"))]),
        ),
        (
            "GBX-WIN-0213",
            "UsrClass.dat",
            High,
            Classes(vec![("CLSID\\{0}\\InprocServer32", "", text("C:\\Users\\Public\\x.dll"))]),
        ),
        (
            "GBX-WIN-0214",
            "UsrClass.dat",
            High,
            Classes(vec![("ms-settings\\shell\\open\\command", "", text("cmd.exe"))]),
        ),
        (
            "GBX-WIN-0214",
            "SOFTWARE",
            Critical,
            Software(vec![("Classes\\exefile\\shell\\open\\command", "", text("x.exe \"%1\" %*"))]),
        ),
        (
            "GBX-WIN-0215",
            "SOFTWARE",
            Medium,
            Software(vec![("Microsoft\\Windows Defender\\Exclusions\\Paths", "C:\\x", number(0))]),
        ),
        (
            "GBX-WIN-0216",
            "SOFTWARE",
            Medium,
            Software(vec![(
                "Microsoft\\Windows\\CurrentVersion\\Policies\\System",
                "EnableLUA",
                number(0),
            )]),
        ),
        (
            "GBX-WIN-0217",
            "SOFTWARE",
            Medium,
            Software(vec![("Microsoft\\Command Processor", "AutoRun", text("C:\\x\\y.bat"))]),
        ),
        (
            "GBX-WIN-0218",
            "SYSTEM",
            Info,
            System(vec![(
                "ControlSet001\\Control\\Terminal Server",
                "fDenyTSConnections",
                number(0),
            )]),
        ),
        (
            "GBX-WIN-0219",
            "SYSTEM",
            Low,
            System(vec![(
                "ControlSet001\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\PublicProfile",
                "EnableFirewall",
                number(0),
            )]),
        ),
        (
            "GBX-WIN-0301",
            "SYSTEM",
            Critical,
            System(vec![(
                "ControlSet001\\Services\\abc",
                "ImagePath",
                text("%COMSPEC% /c echo x"),
            )]),
        ),
        (
            "GBX-WIN-0302",
            "SYSTEM",
            Medium,
            System(vec![
                ("ControlSet001\\Services\\drv", "ImagePath", text("\\??\\C:\\x\\y.sys")),
                ("ControlSet001\\Services\\drv", "Type", number(1)),
            ]),
        ),
        (
            "GBX-WIN-0303",
            "SYSTEM",
            Medium,
            System(vec![(
                "ControlSet001\\Services\\Dnscache\\Parameters",
                "ServiceDll",
                text("C:\\x\\y.dll"),
            )]),
        ),
        (
            "GBX-WIN-0304",
            "SYSTEM",
            Low,
            System(vec![(
                "ControlSet001\\Services\\Dnscache",
                "FailureCommand",
                text("C:\\x\\y.exe"),
            )]),
        ),
        (
            "GBX-WIN-0401",
            "Tidy",
            High,
            Files(|fs| {
                fs.file(
                    "/Windows/System32/Tasks/Microsoft/Tidy",
                    &xml("C:\\Users\\Public\\x.exe", ""),
                );
            }),
        ),
        (
            "GBX-WIN-0402",
            "SOFTWARE",
            Critical,
            Software(cached(false, 3, "C:\\Windows\\System32\\cmd.exe /c ver")),
        ),
        (
            "GBX-WIN-0402",
            "SOFTWARE",
            Critical,
            Software(cached(true, 0, "C:\\Windows\\System32\\cmd.exe /c ver")),
        ),
        (
            "GBX-WIN-0403",
            "SOFTWARE",
            Low,
            Software(vec![
                (at("Schedule\\TaskCache\\Tree\\Gone"), "Id", text("{2}")),
                (at("Schedule\\TaskCache\\Tree\\Gone"), "SD", bytes(3, &[1])),
                (at("Schedule\\TaskCache\\Tree\\Microsoft\\Tidy"), "Id", text("{1}")),
                (at("Schedule\\TaskCache\\Tree\\Microsoft\\Tidy"), "SD", bytes(3, &[1])),
            ]),
        ),
        (
            "GBX-WIN-0404",
            "Tidy",
            Low,
            Software(vec![(at("Schedule\\TaskCache\\Tree\\Other"), "x", number(1))]),
        ),
        ("GBX-WIN-0405", "Tidy", High, Software(cached(true, 3, "C:\\Windows\\x.exe"))),
        (
            "GBX-WIN-0501",
            "x.vbs",
            Medium,
            Files(|fs| {
                fs.file("/Users/anna/AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Startup/x.vbs", "x");
            }),
        ),
        (
            "GBX-WIN-0502",
            "profile.ps1",
            Medium,
            Files(|fs| {
                fs.file("/Users/anna/Documents/WindowsPowerShell/profile.ps1", "Set-Alias ll ls\n");
            }),
        ),
        (
            "GBX-WIN-0503",
            "sethc.exe",
            Critical,
            Files(|fs| {
                fs.file("/Windows/System32/sethc.exe", "MZ cmd.exe");
            }),
        ),
        (
            "GBX-WIN-0504",
            "lsass.exe",
            High,
            Files(|fs| {
                fs.file("/Windows/Help/lsass.exe", "MZ");
            }),
        ),
        (
            "GBX-WIN-0505",
            "x.dll",
            Medium,
            Files(|fs| {
                fs.file("/Users/Public/x.dll", "MZ");
            }),
        ),
        (
            "GBX-WIN-0506",
            "hosts",
            Medium,
            Files(|fs| {
                fs.file("/Windows/System32/drivers/etc/hosts", "192.0.2.10 update.microsoft.com\n");
            }),
        ),
        (
            "GBX-WIN-0601",
            "OBJECTS.DATA",
            High,
            Files(|fs| {
                let raw = b"\0CommandLineEventConsumer\0\0C:\\x\\y.exe -k\0evil\0\0CommandLineEventConsumer.Name=\"evil\"\0__EventFilter.Name=\"f\"\0\
                \0NTEventLogEventConsumer.Name=\"SCM Event Log Consumer\"\0";
                fs.put(
                    "/Windows/System32/wbem/Repository/OBJECTS.DATA",
                    FileKind::File,
                    0o644,
                    raw,
                );
            }),
        ),
        (
            "GBX-WIN-0701",
            "Security.evtx",
            Medium,
            Files(|fs| {
                let events: [Event<'_>; 1] =
                    [(9, "Microsoft-Windows-Eventlog", 1102, &[("SubjectUserName", "eve")])];
                fs.put(&logs("Security"), FileKind::File, 0o644, &log(&events, None));
            }),
        ),
        (
            "GBX-WIN-0702",
            "System.evtx",
            Medium,
            Files(|fs| {
                let events: [Event<'_>; 3] = [(4, "x", 1, &[]), (5, "x", 1, &[]), (7, "x", 1, &[])];
                fs.put(&logs("System"), FileKind::File, 0o644, &log(&events, None));
            }),
        ),
        (
            "GBX-WIN-0703",
            "SYSTEM",
            High,
            System(vec![("ControlSet001\\Control\\MiniNt", "", String::new())]),
        ),
        (
            "GBX-WIN-0704",
            "System.evtx",
            High,
            Files(|fs| {
                let events: [Event<'_>; 1] = [(4, "x", 1, &[])];
                fs.put(
                    &logs("System"),
                    FileKind::File,
                    0o644,
                    &log(&events, Some(&(5, "y", 2, &[]))),
                );
            }),
        ),
        (
            "GBX-WIN-0705",
            "System.evtx",
            High,
            Files(|fs| {
                let fields = [("ServiceName", "abc"), ("ImagePath", "C:\\Windows\\Temp\\abc.exe")];
                let events: [Event<'_>; 1] = [(4, "Service Control Manager", 7045, &fields)];
                fs.put(&logs("System"), FileKind::File, 0o644, &log(&events, None));
            }),
        ),
    ]
}
