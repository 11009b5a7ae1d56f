//! Places in memory and of schedules: preloaded libraries, shared memory and temporary folders, transient units, spools.
//! Names and properties, and the text of small files; no time of access changes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::collection::{Collection, Seen};
use crate::host::{path_of, shown};
use crate::processes::Known;
use crate::{Error, Severity, maps, process};

/// Objects listed of one place, and how deep.
const OBJECTS_AT_MOST: usize = 20_000;
const DEPTH_AT_MOST: usize = 12;
/// Text kept of a small file, in bytes.
const TEXT_BYTES: u64 = 16 << 10;

/// Folders whose objects are listed: in memory first.
const FOLDERS: [&str; 14] = [
    "/dev/shm",
    "/dev/mqueue",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/spool/cron",
    "/var/spool/at",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/systemd/system",
    "/etc/ld.so.conf.d",
    "/var/lib/systemd/timers",
    "/sys/fs/bpf",
];
/// Folders of which small files are kept as text: they are gone at power-off.
const TEXTS: [&str; 3] = ["/run/systemd/transient", "/run/systemd/system", "/run/udev/rules.d"];

/// Collects and judges.
pub(crate) fn collect(all: &mut Collection<'_>, known: &Known) -> Result<(), Error> {
    preload(all, known);
    all.begin("places.jsonl")?;
    for folder in FOLDERS {
        let mut left = OBJECTS_AT_MOST;
        list(all, &all.host.path(folder), folder, DEPTH_AT_MOST, &mut left)?;
        if left == 0 {
            all.missed(
                folder,
                format!("more than {OBJECTS_AT_MOST} objects: the rest is not listed"),
            );
        }
    }
    all.end().map(drop)
}

/// GBX-LIVE-0208: the loader's own list, as each mount namespace has it.
fn preload(all: &mut Collection<'_>, known: &Known) {
    let mut told = BTreeSet::new();
    let mut roots: Vec<(String, PathBuf)> = vec![("the host".to_owned(), all.host.path("/"))];
    for (name, pid) in known.namespaces("mnt") {
        roots.push((name, process::place(all.host, pid, "root")));
    }
    for (name, root) in roots {
        let path = root.join("etc/ld.so.preload");
        let Ok(found) = std::fs::metadata(&path) else { continue };
        if !told.insert((found.dev(), found.ino())) {
            continue;
        }
        match all.host.file(&path, TEXT_BYTES) {
            Ok(text) if text.trim_ascii().is_empty() => {}
            Ok(text) => {
                let libraries: Vec<String> = text
                    .split(|byte| byte.is_ascii_whitespace() || *byte == b':')
                    .filter(|word| !word.is_empty())
                    .map(|word| library(all, &root, word))
                    .collect();
                let excerpt = libraries.join("; ");
                let (path, detail) = ("/etc/ld.so.preload".to_owned(), format!("in {name}"));
                all.finding("GBX-LIVE-0208", Seen { path, excerpt, detail, ..Seen::default() });
            }
            Err(error) => all.missed("/etc/ld.so.preload", error),
        }
    }
}

/// A preloaded library with its digest.
fn library(all: &Collection<'_>, root: &Path, name: &[u8]) -> String {
    let path = root.join(path_of(name.strip_prefix(b"/").unwrap_or(name)));
    let digest = all.host.open(&path).ok().and_then(|mut file| {
        let (digests, _) =
            hashing::digest_reader(&mut file, &hashing::Algorithms::sha256()).ok()?;
        Some(digests.sha256_hex())
    });
    format!("{} (SHA-256 {})", shown(name), digest.as_deref().unwrap_or("not read"))
}

fn list(
    all: &mut Collection<'_>,
    folder: &Path,
    name: &str,
    depth: usize,
    left: &mut usize,
) -> Result<(), Error> {
    let names = match all.host.list(folder, OBJECTS_AT_MOST) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            all.missed(name, error);
            return Ok(());
        }
    };
    let device = std::fs::symlink_metadata(folder).map(|found| found.dev());
    for one in names {
        if *left == 0 {
            return Ok(());
        }
        *left = left.saturating_sub(1);
        let path = folder.join(path_of(&one));
        let place = format!("{}/{}", name.trim_end_matches('/'), shown(&one));
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        let of_a_user = place.starts_with("/run/user/") && place.contains("/systemd/");
        let text = (of_a_user || TEXTS.iter().any(|text| place.starts_with(text)))
            && found.is_file()
            && found.len() <= TEXT_BYTES;
        let text = text.then(|| all.host.file(&path, TEXT_BYTES).ok()).flatten();
        let lines: Option<Vec<String>> =
            text.as_ref().map(|text| text.split(|byte| *byte == b'\n').map(shown).collect());
        let target = found.is_symlink().then(|| all.host.link(&path).ok()).flatten();
        all.line(&json!({
            "path": place, "mode": format!("{:o}", found.mode()), "uid": found.uid(),
            "gid": found.gid(), "size_bytes": found.size(), "inode": found.ino(),
            "links": found.nlink(), "accessed": found.atime(), "modified": found.mtime(),
            "changed": found.ctime(), "to": target.map(|target| shown(&target)), "lines": lines,
        }))?;
        if let Some(lines) = &lines {
            unit(all, &place, lines);
        }
        if found.is_file() && place.starts_with("/dev/") {
            program(all, &path, &place);
        }
        // Other file systems below have their own name in the list, or are none of ours.
        let same = device.as_ref().is_ok_and(|device| *device == found.dev());
        if found.is_dir() && same && depth > 0 {
            list(all, &path, &place, depth.saturating_sub(1), left)?;
        }
    }
    Ok(())
}

/// GBX-LIVE-0701: a unit that is gone at the next start and runs something from where everybody may write.
fn unit(all: &mut Collection<'_>, place: &str, lines: &[String]) {
    for line in lines {
        let Some((key, value)) = line.split_once('=') else { continue };
        let program = value.trim_start_matches(['-', '@', ':', '+', '!']);
        // The form of transient units: ExecStart= { path=… ; argv[]=… }
        let program = program.trim_start_matches(['{', ' ']);
        let program = program.strip_prefix("path=").unwrap_or(program);
        if key.starts_with("Exec") && maps::is_temporary(program.as_bytes()) {
            let (path, excerpt) = (place.to_owned(), line.clone());
            all.finding("GBX-LIVE-0701", Seen { path, excerpt, ..Seen::default() });
        }
    }
}

/// GBX-LIVE-0702: a program in shared memory or among devices.
fn program(all: &mut Collection<'_>, path: &Path, place: &str) {
    let head = all.host.file(path, 4).unwrap_or_default();
    let script = head.starts_with(b"#!");
    if head == b"\x7fELF" || script {
        let excerpt = if script { "begins as a script" } else { "begins as an ELF program" };
        let severity = script.then_some(Severity::Medium);
        let (path, excerpt) = (place.to_owned(), excerpt.to_owned());
        all.finding("GBX-LIVE-0702", Seen { path, excerpt, severity, ..Seen::default() });
    }
}
