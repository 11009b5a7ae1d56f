//! Which systems are installed: told from a few well-known files, which are claims of the disk and no more.

mod windows;

pub use windows::WindowsIdentity;

use crate::escape_bytes;
use crate::fs::tree::{self, LastLink};
use crate::fs::{FileKind, FileSystem};
use serde::Serialize;

/// An installed system as its own files describe it; every text is escaped and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstalledSystem {
    /// `PRETTY_NAME` of os-release, or the best name found.
    pub name: String,
    /// `ID` of os-release.
    pub id: Option<String>,
    /// `VERSION_ID` of os-release.
    pub version: Option<String>,
    /// `VERSION_CODENAME` of os-release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codename: Option<String>,
    /// `/etc/debian_version`, which names the point release.
    pub debian_version: Option<String>,
    /// `/etc/hostname`.
    pub hostname: Option<String>,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The zone `/etc/timezone` or the link `/etc/localtime` names.
    pub timezone: Option<String>,
    /// Releases of the kernels that have files in `/boot` or modules.
    pub kernels: Vec<String>,
    /// `/etc/fstab` without comments: one line each.
    pub fstab: Vec<String>,
    /// What only Windows keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsIdentity>,
}

/// No file read here needs more.
const MAX_FILE_BYTES: usize = 64 * 1024;
const MAX_LINES: usize = 256;

/// The system installed on `fs`, if its files say there is one.
#[must_use]
pub fn find(fs: &dyn FileSystem) -> Option<InstalledSystem> {
    let release = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| text(fs, path));
    let debian_version = first_line(fs, "/etc/debian_version");
    if release.is_none() && debian_version.is_none() && text(fs, "/etc/passwd").is_none() {
        return windows::find(fs);
    }
    let release = release.unwrap_or_default();
    let field = |key: &str| {
        release
            .lines()
            .find_map(|line| Some(unquoted(line.trim().strip_prefix(key)?.strip_prefix('=')?)))
    };
    let name = field("PRETTY_NAME").or_else(|| field("NAME"));
    let name = name.or_else(|| debian_version.as_ref().map(|version| format!("Debian {version}")));
    let fstab = text(fs, "/etc/fstab").unwrap_or_default();
    Some(InstalledSystem {
        name: name.unwrap_or_else(|| "unnamed Unix system".to_owned()),
        id: field("ID"),
        version: field("VERSION_ID"),
        codename: field("VERSION_CODENAME"),
        debian_version,
        hostname: first_line(fs, "/etc/hostname"),
        machine_id: first_line(fs, "/etc/machine-id"),
        timezone: first_line(fs, "/etc/timezone").or_else(|| zone_of_link(fs)),
        kernels: kernels(fs),
        fstab: fstab
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .take(MAX_LINES)
            .map(str::to_owned)
            .collect(),
        windows: None,
    })
}

/// A text file, each line escaped.
fn text(fs: &dyn FileSystem, path: &str) -> Option<String> {
    let (raw, _) = tree::read_file(fs, path.as_bytes(), MAX_FILE_BYTES).ok()?;
    let lines: Vec<String> = raw.split(|byte| *byte == b'\n').map(shown).collect();
    Some(lines.join("\n"))
}

/// Escaped, but with tabs as the blanks they stand for.
fn shown(line: &[u8]) -> String {
    let spaced: Vec<u8> =
        line.iter().map(|byte| if *byte == b'\t' { b' ' } else { *byte }).collect();
    escape_bytes(&spaced)
}

fn first_line(fs: &dyn FileSystem, path: &str) -> Option<String> {
    let line = text(fs, path)?.lines().next()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}

fn unquoted(value: &str) -> String {
    value.trim().trim_matches(|letter| letter == '"' || letter == '\'').to_owned()
}

fn zone_of_link(fs: &dyn FileSystem) -> Option<String> {
    let node = tree::resolve(fs, b"/etc/localtime", LastLink::Keep).ok()?;
    let target = fs.read_link(node).ok()?.to_string();
    target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
}

fn kernels(fs: &dyn FileSystem) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for entry in tree::list(fs, b"/boot").unwrap_or_default() {
        if let Some(release) = entry.name.0.strip_prefix(b"vmlinuz-") {
            out.push(escape_bytes(release));
        }
    }
    for directory in [&b"/lib/modules"[..], b"/usr/lib/modules"] {
        for entry in tree::list(fs, directory).unwrap_or_default() {
            if fs.metadata(entry.node).is_ok_and(|found| found.kind == FileKind::Directory) {
                out.push(entry.name.to_string());
            }
        }
    }
    out.sort();
    out.dedup();
    out.truncate(MAX_LINES);
    out
}
