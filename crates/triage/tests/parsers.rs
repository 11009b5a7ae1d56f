//! Readers of formats against programs that read the same files.
//!
//! Independent tools: `readelf`, `ldconfig`, `modinfo`, `objdump`, `utmpdump`, `journalctl`, `podman` and SQLite by Python, each
//! skipped where it is missing; expected counts of plaso's own tests for its samples. Hostile input: every reader gets
//! files with bytes changed and cut off, and must come back.

#[path = "../../../tests/support/debian_root.rs"]
mod roots;
#[expect(dead_code, reason = "other tests use more of it")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use triage::parse::{bolt, elf, journal, ld_cache, module, pe, utmp};

/// What a program prints, if it is there and content.
fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let found = places.iter().map(|place| Path::new(place).join(program)).find(|one| one.exists());
    let Some(found) = found else {
        eprintln!("skipped: no {program}");
        return None;
    };
    let out = Command::new(found).args(arguments).output().unwrap();
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Files below a directory, in order of name.
fn below(directory: &Path, most: usize, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let (mut out, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(next) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_symlink() {
            } else if path.is_dir() {
                open.push(path);
            } else if wanted(&path) && out.len() < most {
                out.push(path);
            }
        }
    }
    out
}

fn testdata(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata").join(name);
    let raw = std::fs::read(&path);
    if raw.is_err() {
        eprintln!("skipped: no {name}");
    }
    raw.ok()
}

/// Words between square brackets, or the first after them, as `readelf -d` prints its strings.
fn bracketed<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let lines = text.lines().filter(|line| line.contains(tag));
    lines
        .filter_map(|line| line.split('[').nth(1)?.rsplit_once(']').map(|(name, _)| name))
        .collect()
}

#[test]
fn readelf_agrees_on_what_programs_load() {
    let is_program = |path: &Path| {
        let mut head = [0; 4];
        let read = std::fs::File::open(path)
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
        read.is_ok() && head == *b"\x7fELF"
    };
    let mut files = below(Path::new("/usr/bin"), 60, &is_program);
    files.extend(below(Path::new("/usr/lib/x86_64-linux-gnu"), 60, &is_program));
    let (mut compared, mut paths) = (0, 0);
    for file in files {
        let Some(theirs) = printed("readelf", &["-dW", file.to_str().unwrap()]) else { return };
        let raw = std::fs::read(&file).unwrap();
        let ours = elf::Elf::read(&raw.as_slice()).unwrap().dynamic().unwrap_or_default();
        let needed: Vec<String> =
            ours.needed.iter().map(|name| String::from_utf8(name.clone()).unwrap()).collect();
        assert_eq!(needed, bracketed(&theirs, "(NEEDED)"), "{file:?}");
        let one = |value: &Option<Vec<u8>>| {
            value.iter().map(|raw| String::from_utf8(raw.clone()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(one(&ours.runpath), bracketed(&theirs, "(RUNPATH)"), "{file:?}");
        assert_eq!(one(&ours.rpath), bracketed(&theirs, "(RPATH)"), "{file:?}");
        assert_eq!(one(&ours.soname), bracketed(&theirs, "(SONAME)"), "{file:?}");
        compared += needed.len();
        paths += ours.runpath.iter().count();
    }
    assert!(compared > 50, "{compared} names, {paths} run paths");
    eprintln!("{compared} names of libraries, {paths} run paths");
}

#[test]
fn ldconfig_agrees_on_the_cache() {
    let file = "/etc/ld.so.cache";
    let Some(theirs) = printed("ldconfig", &["-p", "-C", file]) else { return };
    let theirs: Vec<(&str, &str)> = theirs
        .lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .map(|(name, path)| (name.split(' ').next().unwrap(), path))
        .collect();
    let ours = ld_cache::parse(&std::fs::read(file).unwrap()).unwrap();
    let ours: Vec<(&str, &str)> = ours
        .iter()
        .map(|one| {
            (std::str::from_utf8(&one.name).unwrap(), std::str::from_utf8(&one.path).unwrap())
        })
        .collect();
    assert!(ours.len() > 10);
    assert_eq!(ours, theirs);
    eprintln!("{} entries", ours.len());
}

#[test]
fn modinfo_agrees_on_modules() {
    let mut compared = 0;
    for suite in ["bookworm", "trixie"] {
        let Some(root) = roots::debian(suite) else { continue };
        let is_module =
            |path: &Path| module::is_module_name(path.file_name().unwrap().as_encoded_bytes());
        for file in below(&root.root.join("usr/lib/modules"), 25, &is_module) {
            let Some(theirs) = printed("modinfo", &[file.to_str().unwrap()]) else { return };
            let field = |name: &str| {
                let line = theirs.lines().find(|line| line.starts_with(&format!("{name}:")))?;
                Some(line.split_once(':')?.1.trim().to_owned())
            };
            let ours = module::parse(&module::unpack(std::fs::read(&file).unwrap()).unwrap());
            let text = |raw: &Option<Vec<u8>>| {
                raw.as_ref().map(|raw| String::from_utf8_lossy(raw).trim().to_owned())
            };
            assert_eq!(text(&ours.name), field("name"), "{file:?}");
            assert_eq!(text(&ours.vermagic), field("vermagic"), "{file:?}");
            assert_eq!(ours.is_in_tree, field("intree").as_deref() == Some("Y"), "{file:?}");
            assert_eq!(ours.signature_bytes.is_some(), field("sig_id").is_some(), "{file:?}");
            let name = file.file_name().unwrap().as_encoded_bytes();
            assert_eq!(Some(module::name_of_file(name)), ours.name, "{file:?}");
            compared += 1;
        }
    }
    eprintln!("{compared} modules");
}

#[test]
fn objdump_agrees_on_sections_of_the_kernel() {
    let Some(root) = roots::debian("bookworm") else { return };
    let is_kernel = |path: &Path| path.to_str().unwrap().contains("vmlinuz-");
    let kernel = below(&root.root.join("boot"), 1, &is_kernel).pop().unwrap();
    let Some(theirs) = printed("objdump", &["-h", "-b", "pei-x86-64", kernel.to_str().unwrap()])
    else {
        return;
    };
    let theirs: Vec<(String, u64, u64)> = theirs
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() >= 6 && words[0].parse::<u32>().is_ok())
        .map(|words| {
            let number = |at: usize| u64::from_str_radix(words[at], 16).unwrap();
            (words[1].to_owned(), number(2), number(5))
        })
        .collect();
    let raw = std::fs::read(&kernel).unwrap();
    let ours: Vec<(String, u64, u64)> = pe::sections(&raw.as_slice())
        .unwrap()
        .into_iter()
        .map(|one| (String::from_utf8(one.name).unwrap(), one.length_bytes, one.offset_bytes))
        .collect();
    assert!(ours.len() >= 3);
    assert_eq!(ours, theirs);
}

#[test]
fn counts_of_logins_are_those_of_plaso_and_utmpdump() {
    // The counts stand in plaso's own tests; of the corrupted one it reads 2 and warns of 2.
    let samples = [
        ("plaso/utmp/utmp", 14, 0),
        ("plaso/utmp/utmp_x86_64", 6, 0),
        ("plaso/utmp/utmp_aarch64", 6, 0),
        ("plaso/utmp/wtmp.1", 4, 1),
        ("artemis/wtmp", 13, 0),
    ];
    for (name, count, left) in samples {
        let Some(raw) = testdata(name) else { continue };
        let found = utmp::parse(&raw.as_slice());
        assert_eq!((found.records.len(), found.left_bytes, found.odd), (count, left, 0), "{name}");
        let sense = found.records.iter().all(|one| one.seconds > 1_000_000_000 || one.kind == 0);
        assert!(sense, "{name}: {:?}", found.records);
        if found.layout == utmp::Layout::Short {
            let whole = raw.len() - left as usize;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &raw[..whole]).unwrap();
            let Some(theirs) = printed("utmpdump", &[file.path().to_str().unwrap()]) else {
                continue;
            };
            let users: Vec<String> = theirs
                .lines()
                .map(|line| {
                    line.split('[').nth(4).unwrap().split(']').next().unwrap().trim().to_owned()
                })
                .collect();
            let ours: Vec<String> = found
                .records
                .iter()
                .map(|one| String::from_utf8_lossy(&one.user).trim().to_owned())
                .collect();
            assert_eq!(ours, users, "{name}");
        }
    }
    if let Some(raw) = testdata("plaso/utmp/utmp_corrupted") {
        let found = utmp::parse(&raw.as_slice());
        assert!(found.odd > 0 || found.left_bytes > 0, "{found:?}");
    }
}

#[test]
fn journalctl_agrees_on_a_journal() {
    let Some(raw) = testdata("artemis/user-1000.journal") else { return };
    let ours = journal::read(&raw.as_slice()).unwrap();
    assert_eq!(ours.entries.len(), 410, "{:?}", ours.broken_at);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("user-1000.journal");
    std::fs::write(&file, &raw).unwrap();
    let path = file.to_str().unwrap();
    let Some(header) = printed("journalctl", &["--header", "--file", path]) else { return };
    let field = |name: &str| {
        let line = header.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        let value = line.split_once(':').unwrap().1.trim();
        value.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(field("Entry objects"), ours.entries.len() as u64);
    assert_eq!(field("Entry objects"), ours.claimed_entries);
    let (first, last) = (field("Head sequential number"), field("Tail sequential number"));
    assert_eq!((first, last), ours.claimed);
    let numbers: Vec<u64> = ours.entries.iter().map(|entry| entry.number).collect();
    assert_eq!((numbers.first(), numbers.last()), (Some(&first), Some(&last)));
    let text = printed("journalctl", &["-o", "json", "--file", path]).unwrap();
    let times: Vec<u64> = text
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["__REALTIME_TIMESTAMP"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    let mut ours: Vec<u64> = ours.entries.iter().map(|entry| entry.microseconds).collect();
    ours.sort_unstable();
    assert_eq!(ours, times);
}

/// Every reader over the file.
fn read_all(raw: &[u8]) {
    if let Some(found) = elf::Elf::read(&raw) {
        let _ = (found.dynamic(), found.section(b".modinfo"));
    }
    let _ = ld_cache::parse(raw);
    let _ = module::parse(raw);
    let _ = pe::sections(&raw);
    let _ = utmp::parse(&raw);
    let _ = journal::read(&raw);
    if let Ok(database) = bolt::Database::open(&raw) {
        let mut pairs = 0_usize;
        database.for_each(&mut |path, key, value| {
            assert!(path.len() <= 64);
            pairs += key.len() + value.len();
        });
    }
}

#[path = "benchmark/made.rs"]
mod made;

#[test]
fn damaged_files_are_read_to_an_end() {
    let kinds = [
        "module x",
        "program-searching /x",
        "ld-cache /x",
        "unified-kernel x",
        "logins-with-a-blank",
        "journal-with-a-hole",
        "containerd",
        "podman",
    ];
    let mut state = 0x5eed_0006_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    for kind in kinds {
        let whole = made::made(kind);
        read_all(&whole);
        for round in 0..300 {
            let mut raw = whole.clone();
            for _ in 0..=random(12) {
                let at = random(raw.len());
                raw[at] = [0, 0xff, 1, random(256) as u8][random(4)];
            }
            if kind == "containerd" || kind == "podman" {
                // Else the checksum would keep every change of a meta page out.
                for page in 0..2 {
                    let meta = page * 4096 + 16;
                    let sum =
                        raw[meta..meta + 56].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
                        });
                    raw[meta + 56..meta + 64].copy_from_slice(&sum.to_le_bytes());
                }
            }
            if round % 5 == 0 {
                raw.truncate(random(raw.len()));
            }
            read_all(&raw);
        }
    }
}

#[test]
fn overlapping_buckets_do_not_multiply() {
    // In each of 28 levels twenty buckets share the same bytes, which hold the next level: 20^28 ways down.
    let head =
        |count: u16| [vec![0; 8], vec![2, 0], count.to_le_bytes().to_vec(), vec![0; 4]].concat();
    let mut level = head(0);
    for _ in 0..28 {
        let value = [vec![0; 16], level].concat();
        let mut page = head(20);
        for index in 0..20_u32 {
            page.extend(
                [1, (20 - index) * 16, 0, value.len() as u32].map(u32::to_le_bytes).concat(),
            );
        }
        page.extend(value);
        level = page;
    }
    let mut raw = made::made("podman");
    raw.truncate(3 * 4096);
    raw.extend(level);
    raw[3 * 4096 + 12] = 3;
    raw.resize(7 * 4096, 0);
    let begin = std::time::Instant::now();
    read_all(&raw);
    assert!(begin.elapsed().as_secs() < 20);
}

#[test]
fn containers_of_podman_are_read() {
    let Some(version) = printed("podman", &["--version"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(directory.path().join("tree/bin")).unwrap();
    let made = Command::new("podman")
        .args([
            "--root",
            &place("root"),
            "--runroot",
            &place("run"),
            "--cgroup-manager",
            "cgroupfs",
        ])
        .args([
            "--storage-driver",
            "vfs",
            "create",
            "--name",
            "planted",
            "--privileged",
            "--pid=host",
        ])
        .args(["--restart=always", "-v", "/:/host", "--rootfs", &place("tree"), "/bin/x", "y"])
        .output()
        .unwrap();
    if !made.status.success() {
        eprintln!(
            "skipped: {version} cannot create here: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        return;
    }
    let state = directory.path().join("root/libpod/bolt_state.db");
    let Ok(raw) = std::fs::read(&state) else {
        eprintln!("skipped: {version} keeps no bolt_state.db");
        return;
    };
    let id = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let mut configs = Vec::new();
    let odd = bolt::Database::open(&raw.as_slice()).unwrap().for_each(&mut |path, key, value| {
        if path.first().is_some_and(|first| first == b"ctr") && key == b"config" {
            let value: serde_json::Value = serde_json::from_slice(value).unwrap();
            configs.push((String::from_utf8(path[1].clone()).unwrap(), value));
        }
    });
    assert_eq!((odd, configs.len()), (0, 1));
    let (name, config) = &configs[0];
    assert_eq!((name.as_str(), config["name"].as_str()), (id.as_str(), Some("planted")));
}

#[test]
fn containers_in_podmans_newer_database_are_told() {
    // SQLite itself, by Python, writes the file; the columns are podman's since version 4.8.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("db.sql");
    let script = r#"
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL)")
for name, privileged in [("planted", True), ("honest", False)]:
    spec = {"process": {"args": ["/bin/x"]}, "mounts": [{"source": "/" if privileged else "tmpfs"}], "linux": {"namespaces": [{"type": "pid"}]}}
    pad = "p" * 9000
    config = json.dumps({"name": name, "privileged": privileged, "spec": spec, "pad": pad})
    db.execute("INSERT INTO ContainerConfig VALUES (?,?,NULL,?)", (name * 8, name, config))
db.commit()
"#;
    let out = Command::new("python3").args(["-c", script]).arg(&file).output();
    if !out.as_ref().is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: no python3 with SQLite: {out:?}");
        return;
    }
    let mut fs = support::clean_root();
    let path = "/var/lib/containers/storage/db.sql";
    fs.put(path, evidence::fs::FileKind::File, 0o600, &std::fs::read(&file).unwrap());
    let report = triage::run(&fs, &triage::Options::default());
    let told: Vec<(&str, &str)> =
        report.findings.iter().map(|one| (one.rule.as_str(), one.detail.as_str())).collect();
    assert_eq!(told, [("GBX-1401", "planted: privileged, / of the host inside")]);
    assert_eq!(report.problems, []);
}
