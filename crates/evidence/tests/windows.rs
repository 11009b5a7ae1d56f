//! Registry hives judged by hivex, an independent implementation that writes and lists them, and a Windows told from its
//! hives. Where they are at hand, hives of real Windows are read too.

mod support;

use evidence::ntfs::Ntfs;
use evidence::registry::{Hive, ValueKind};
use evidence::{FileSystem, ProblemKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Random, blank, open, run, text, tool, unmount};

/// The smallest hive: a base block, one bin, a root key; hivex fills it.
fn minimal(directory: &Path, name: &str) -> PathBuf {
    let mut bytes = vec![0; 8192];
    bytes[..4].copy_from_slice(b"regf");
    let put = |bytes: &mut Vec<u8>, at: usize, value: u32| {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    };
    for (at, value) in [(4, 1), (8, 1), (20, 1), (24, 5), (32, 1), (36, 0x20), (40, 4096), (44, 1)]
    {
        put(&mut bytes, at, value);
    }
    bytes[12..20].copy_from_slice(&132_000_000_000_000_000_u64.to_le_bytes());
    let sum = bytes[..508]
        .chunks(4)
        .fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
    put(&mut bytes, 508, sum);
    bytes[4096..4100].copy_from_slice(b"hbin");
    put(&mut bytes, 4096 + 8, 4096);
    let root = 4096 + 0x20;
    put(&mut bytes, root, (-0x60_i32) as u32);
    bytes[root + 4..root + 6].copy_from_slice(b"nk");
    bytes[root + 6] = 0x2c;
    for (at, value) in [(28, u32::MAX), (32, u32::MAX), (40, u32::MAX), (44, 0x80), (48, u32::MAX)]
    {
        put(&mut bytes, root + 4 + at, value);
    }
    bytes[root + 4 + 72] = 4;
    bytes[root + 80..root + 84].copy_from_slice(b"ROOT");
    // hivex wants a security descriptor to share.
    let security = 4096 + 0x80;
    put(&mut bytes, security, (-0x30_i32) as u32);
    bytes[security + 4..security + 6].copy_from_slice(b"sk");
    for (at, value) in [(4, 0x80), (8, 0x80), (12, 1), (16, 20)] {
        put(&mut bytes, security + 4 + at, value);
    }
    bytes[security + 24..security + 28].copy_from_slice(&[1, 0, 4, 0x80]);
    put(&mut bytes, 4096 + 0xb0, 4096 - 0xb0);
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Fills a hive with what `script` says in the language of hivexsh.
fn edit(hive: &Path, script: &str) -> Option<()> {
    let hivexsh = tool("hivexsh")?;
    let out = run(&hivexsh, &["-w", text(hive)], &format!("{script}commit\n"));
    assert!(!out.contains("error"), "{out}");
    Some(())
}

/// Adds a chain of keys and stands on the last.
fn enter(path: &str) -> String {
    path.split('\\')
        .fold("cd \\ \n".to_owned(), |out, name| format!("{out}add {name}\ncd {name}\n"))
}

fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (from, to) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#10;", "\n"),
        ("&#13;", "\r"),
        ("&#9;", "\t"),
        ("&amp;", "&"),
    ] {
        out = out.replace(from, to);
    }
    out
}

fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in data.chunks(3) {
        let all = group.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for index in 0..4 {
            let letter = LETTERS[(all >> (18 - 6 * index) & 63) as usize];
            out.push(if index > group.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// Keys with their times and values in the order of the hive, as hivexml lists them.
fn theirs(hive: &Path) -> Option<Vec<String>> {
    let listing = run(&tool("hivexml")?, &[text(hive)], "");
    let attribute = |tag: &str, name: &str| -> Option<String> {
        let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        Some(unescape(&tag[start..start + tag[start..].find('"')?]))
    };
    let mut out: Vec<String> = Vec::new();
    for tag in listing.split('<') {
        if tag.starts_with("node ") {
            out.push(format!("key {}", attribute(tag, "name").unwrap()));
        } else if let Some(time) = tag.strip_prefix("mtime>") {
            // The first is that of the hive itself.
            if let Some(key) = out.last_mut() {
                key.push_str(&format!(" {time}"));
            }
        } else if tag.starts_with("value ") {
            let name = attribute(tag, "key").unwrap_or_default();
            let kind = attribute(tag, "type").unwrap();
            let value = attribute(tag, "value").unwrap_or_default();
            // Lists have their texts in tags of their own; text that is none is shown encoded.
            // The encoding of binary data comes in lines.
            let value = if kind == "binary" { value.replace("\r\n", "") } else { value };
            let is_encoded = kind != "binary" && attribute(tag, "encoding").is_some();
            let value = if kind == "string-list" || is_encoded { String::new() } else { value };
            out.push(format!("value {name} {kind} {value}"));
        }
    }
    Some(out)
}

/// The same from our reader; where hivexml shows no value, none is shown here.
fn ours(hive: &Hive<'_>, theirs: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let problems = hive.root().unwrap().walk(1 << 20, &mut |visit| {
        let key = visit.key;
        let time = key.last_written().map_or_else(String::new, |mut time| {
            time.nanoseconds = 0;
            format!(" {time}")
        });
        out.push(format!("key {}{time}", String::from_utf8_lossy(&key.name().0)));
        let values = key.values().unwrap();
        assert!(values.problems.is_empty(), "{:?}", values.problems);
        for value in values.values {
            let name = String::from_utf8_lossy(&value.name().0).into_owned();
            let shown = |text: Option<evidence::RawPath>| {
                String::from_utf8_lossy(&text.unwrap().0).into_owned()
            };
            let (kind, data) = match value.kind() {
                ValueKind::Text => ("string", shown(value.text().unwrap())),
                ValueKind::ExpandText => ("expand", shown(value.text().unwrap())),
                ValueKind::Link => ("link", shown(value.text().unwrap())),
                ValueKind::Number => {
                    ("int32", (value.number().unwrap().unwrap() as u32 as i32).to_string())
                }
                ValueKind::LongNumber => {
                    ("int64", (value.number().unwrap().unwrap() as i64).to_string())
                }
                ValueKind::MultiText => ("string-list", String::new()),
                ValueKind::Binary => ("binary", base64(&value.data().unwrap())),
                _ => ("", String::new()),
            };
            let line = format!("value {name} {kind} {data}");
            let other = theirs.get(out.len()).map_or("", String::as_str);
            let bare = format!("value {name} ");
            // Values of types without a name, and texts that hivexml shows encoded.
            let is_plain =
                kind == "binary" || (!kind.is_empty() && other != format!("value {name} {kind} "));
            if !is_plain && other.starts_with(&bare) {
                out.push(other.to_owned());
            } else {
                out.push(line);
            }
        }
    });
    assert_eq!(problems, []);
    out
}

fn compare(path: &Path) -> Option<usize> {
    let theirs = theirs(path)?;
    let hive = Hive::from_bytes(std::fs::read(path).unwrap()).unwrap();
    let ours = ours(&hive, &theirs);
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(our, their);
    }
    assert_eq!(ours.len(), theirs.len());
    Some(ours.len())
}

/// Vouched for by hivex: it writes the hive and lists it.
#[test]
fn a_hive_reads_as_hivex_lists_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = minimal(directory.path(), "hive");
    let big: Vec<String> = Random(5).bytes(300).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut script = enter("Some\\Key with blanks");
    script.push_str(
        "setval 5\n@\nstring:default\nNumber\nhex:4:f6,ff,ff,ff\nLong\nqword:1234567890\n",
    );
    script.push_str("Path\nexpandstring:%SystemRoot%\\x\nData\n");
    script.push_str(&format!("hex:3:{}\n", big.join(",")));
    script.push_str("cd \\ \n");
    for index in 0..300 {
        script.push_str(&format!("add many-{index:04}\n"));
    }
    if edit(&path, &script).is_none() {
        return;
    }
    assert_eq!(compare(&path), Some(303 + 5));
    let hive = Hive::from_bytes(std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(hive.problems(), []);
    let key = hive.key("some\\KEY with blanks").unwrap().unwrap();
    assert_eq!(key.value("number").unwrap().unwrap().number().unwrap(), Some(0xffff_fff6));
    assert_eq!(key.value("").unwrap().unwrap().text().unwrap().unwrap().0, b"default");
    assert!(hive.key("some\\other").unwrap().is_none());
}

/// A hive of a real Windows; the sequence numbers and checksum of one in use are damaged by hand.
#[test]
fn hives_of_windows_read_as_hivex_lists_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/plaso/regf");
    let path = folder.join("SAM");
    let Ok(mut bytes) = std::fs::read(&path) else {
        eprintln!("skipped: no ../shared/testdata");
        return;
    };
    if let Some(count) = compare(&path) {
        assert!(count > 50, "{count}");
    }
    bytes[4] ^= 1;
    let hive = Hive::from_bytes(bytes).unwrap();
    let kinds: Vec<_> = hive.problems().iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::Corrupt, ProblemKind::Unsupported]);
}

/// Keys and values a hive has.
fn count(hive: &Hive<'_>) -> (usize, usize) {
    let (mut keys, mut values) = (0, 0);
    let problems = hive.root().unwrap().walk(1 << 20, &mut |visit| {
        keys += 1;
        values += visit.key.values().unwrap().values.len();
    });
    assert_eq!(problems, []);
    (keys, values)
}

/// A hive of a real Windows that was not written to its end, with its logs: the older of them is stale. Vouched for by
/// regipy 6.5, which recovers 132 pages of the first log and then finds as many keys and values.
#[test]
fn what_a_hive_lacks_is_taken_from_its_logs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/regipy");
    let Some(xz) = tool("xz") else { return };
    if !folder.exists() {
        eprintln!("skipped: no ../shared/testdata/regipy");
        return;
    }
    let read = |name: &str| {
        let out =
            Command::new(&xz).arg("-dc").arg(folder.join(format!("{name}.xz"))).output().unwrap();
        assert!(out.status.success());
        out.stdout
    };
    let raw = read("transactions_NTUSER.DAT");
    let logs = ["transactions_ntuser.dat.log1", "transactions_ntuser.dat.log2"];
    let logs = logs.map(|name| (name.to_owned(), read(name)));
    let bare = Hive::from_bytes(raw.clone()).unwrap();
    assert!(bare.problems()[0].text.contains("not written to its end"));
    assert_eq!(count(&bare), (2590, 4119));
    let whole = Hive::open_with_logs(evidence::MemSource::new(raw.clone()), &logs).unwrap();
    assert_eq!(whole.problems(), []);
    assert_eq!(whole.replayed().unwrap().logs, ["transactions_ntuser.dat.log1"]);
    assert_eq!(count(&whole), (3105, 4695));
    let stale = Hive::open_with_logs(evidence::MemSource::new(raw), &logs[1..]).unwrap();
    assert!(stale.problems()[0].text.contains("no log has what it lacks"));
}

/// Bytes of a hive are changed at random: whatever happens must end, soon, without a panic. Only we vouch.
#[test]
fn mutated_hives_never_panic_or_hang() {
    support::bounded::bounded("registry hives", || {
        let directory = tempfile::tempdir().unwrap();
        let path = minimal(directory.path(), "hive");
        let script = format!(
            "{}setval 2\nA\nstring:b\nC\nhex:3:01,02,03,04,05\n{}",
            enter("A\\B\\C"),
            enter("D\\E")
        );
        if edit(&path, &script).is_none() {
            return;
        }
        let good = std::fs::read(&path).unwrap();
        let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
        for round in 0..3000 {
            let mut random = Random(round * 77 + 1);
            let mut bytes = good.clone();
            for _ in 0..=random.below(8) {
                let at = used[random.below(used.len())];
                bytes[at] = random.next() as u8;
            }
            let Ok(hive) = Hive::from_bytes(bytes) else { continue };
            let Ok(root) = hive.root() else { continue };
            let _ = root.walk(1000, &mut |visit| {
                let _ = visit.key.class();
                for value in visit.key.values().map(|found| found.values).unwrap_or_default() {
                    let _ = (value.data(), value.texts(), value.number());
                }
            });
        }
    });
}

/// The hives are written by hivex onto a volume written by ntfs-3g; what they say is ours.
#[test]
fn an_installed_windows_is_told_from_its_hives() {
    let (Some(mkntfs), Some(ntfscp)) = (tool("mkntfs"), tool("ntfs-3g")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (software, system) =
        (minimal(directory.path(), "software"), minimal(directory.path(), "system"));
    let mut script = enter("Microsoft\\Windows NT\\CurrentVersion");
    script.push_str("setval 8\nProductName\nstring:Windows 10 Pro\nEditionID\nstring:Professional\nDisplayVersion\nstring:22H2\n");
    script.push_str(
        "CurrentBuildNumber\nstring:22621\nUBR\ndword:0x00000a9f\nInstallDate\ndword:0x60000000\n",
    );
    script.push_str(
        "CurrentMajorVersionNumber\ndword:0x0000000a\nCurrentMinorVersionNumber\ndword:0x00000000\n",
    );
    script.push_str("cd \\Microsoft\nadd Cryptography\ncd Cryptography\nsetval 1\nMachineGuid\nstring:1234-abcd\n");
    if edit(&software, &script).is_none() {
        return;
    }
    let mut script = "add Select\ncd Select\nsetval 1\nCurrent\ndword:0x00000002\n".to_owned();
    script.push_str(&enter("ControlSet002\\Control\\ComputerName\\ComputerName"));
    script.push_str("setval 1\nComputerName\nstring:ZOO-PC\ncd \\ControlSet002\\Control\n");
    script.push_str("add TimeZoneInformation\ncd TimeZoneInformation\n");
    script.push_str("setval 2\nTimeZoneKeyName\nstring:W. Europe Standard Time\nActiveTimeBias\nhex:4:c4,ff,ff,ff\n");
    edit(&system, &script).unwrap();

    let image = blank(directory.path(), "image", 16 << 20);
    run(&mkntfs, &["-q", "-F", "-f", text(&image)], "");
    let mount = directory.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let out = Command::new(ntfscp).args([&image, &mount]).stdin(Stdio::null()).output().unwrap();
    if !out.status.success() {
        eprintln!("skipped: ntfs-3g: {}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    let config = mount.join("Windows/System32/config");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::copy(&software, config.join("SOFTWARE")).unwrap();
    std::fs::copy(&system, config.join("SYSTEM")).unwrap();
    assert!(unmount(&mount));

    let fs = Ntfs::open(open(&image)).unwrap();
    let fs: &dyn FileSystem = &fs;
    let found = evidence::os::find(fs).unwrap();
    assert_eq!(found.name, "Windows 11 Pro");
    assert_eq!(
        [&found.id, &found.version, &found.hostname, &found.machine_id, &found.timezone]
            .map(|text| text.as_deref().unwrap_or("")),
        ["windows", "10.0.22621.2719", "ZOO-PC", "1234-abcd", "W. Europe Standard Time"]
    );
    let windows = found.windows.unwrap();
    assert_eq!(windows.product_name.as_deref(), Some("Windows 10 Pro"));
    assert_eq!(windows.build.as_deref(), Some("22621.2719"));
    assert_eq!(windows.control_set.as_deref(), Some("ControlSet002"));
    assert_eq!(windows.minutes_behind_utc, Some(-60));
    assert_eq!(windows.installed.unwrap().seconds, 0x6000_0000);
    assert_eq!(windows.notes, [""; 0]);
}
