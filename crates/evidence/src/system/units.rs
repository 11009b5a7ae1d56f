//! Mount units of systemd (`*.mount`): what a system mounts beside its fstab.
//!
//! Forms: systemd.mount(5), systemd.unit(5). A unit counts when something asks for it: its name, or that of its
//! automount, stands in a folder `*.wants` or `*.requires` of `/etc` or `/usr/lib`. A unit in `/etc` comes before the
//! fstab, one in `/usr/lib` behind it, as for systemd itself. Not followed, and told where they are met: drop-ins and
//! specifiers. Not looked for: units made at boot (generators), and those that only another unit's text asks for.

use super::fstab::Entry;
use crate::fs::tree;
use crate::fs::{FileSystem, RawPath};
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::BTreeSet;

/// Where units stand, the first one found counts.
const FOLDERS: [&str; 3] =
    ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// Folders of links, and units, read at most.
const MAX_FOLDERS: usize = 256;
const MAX_UNITS: usize = 1000;
const MAX_FILE_BYTES: usize = 64 << 10;

/// Adds what mount units say to the entries of the fstab.
pub(super) fn add(fs: &dyn FileSystem, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    for name in wanted(fs) {
        let Some((path, raw)) = file(fs, &name, problems) else { continue };
        let mut tell = |kind, text: String| {
            problems.push(Problem::new(kind, Place::Path(path.clone()), text));
        };
        // Empty, or a link to /dev/null: masked.
        if raw.is_empty() {
            continue;
        }
        let entry = match parse(&raw) {
            Ok(entry) => entry,
            Err(why) => {
                tell(ProblemKind::Corrupt, format!("this mount unit is left out: {why}"));
                continue;
            }
        };
        if unit_name(&entry.mount_point.0) != name {
            let point = &entry.mount_point;
            let text = format!(
                "this mount unit is left out, as systemd does: it mounts {point}, its name says otherwise"
            );
            tell(ProblemKind::Corrupt, text);
            continue;
        }
        if tree::list(fs, &[path.0.as_slice(), b".d"].concat()).is_ok_and(|found| !found.is_empty())
        {
            let text = "this mount unit has drop-ins, which are not read; they may change it";
            tell(ProblemKind::Unsupported, text.to_owned());
        }
        let is_same = |other: &Entry| plain(&other.mount_point.0) == plain(&entry.mount_point.0);
        if path.0.starts_with(b"/etc/") {
            entries.retain(|other| !is_same(other));
        }
        if !entries.iter().any(is_same) {
            entries.push(entry);
        }
    }
}

/// Names of mount units that something asks for.
fn wanted(fs: &dyn FileSystem) -> BTreeSet<Vec<u8>> {
    let mut out = BTreeSet::new();
    let mut read = 0_usize;
    for folder in FOLDERS {
        let folders: BTreeSet<Vec<u8>> = names(fs, folder.as_bytes())
            .into_iter()
            .filter(|name| name.ends_with(b".wants") || name.ends_with(b".requires"))
            .collect();
        for name in folders {
            read = read.saturating_add(1);
            if read > MAX_FOLDERS {
                return out;
            }
            for unit in names(fs, &RawPath::from(folder).join(&name).0) {
                let base = unit.strip_suffix(b".mount").or(unit.strip_suffix(b".automount"));
                if let Some(base) = base.filter(|_| out.len() < MAX_UNITS) {
                    out.insert([base, b".mount"].concat());
                }
            }
        }
    }
    out
}

fn names(fs: &dyn FileSystem, path: &[u8]) -> Vec<Vec<u8>> {
    let found = tree::list(fs, path).unwrap_or_default();
    found.into_iter().map(|entry| entry.name.0).collect()
}

/// The unit's own file: its path, and its content.
fn file(
    fs: &dyn FileSystem,
    name: &[u8],
    problems: &mut Vec<Problem>,
) -> Option<(RawPath, Vec<u8>)> {
    for folder in FOLDERS {
        let path = RawPath::from(folder).join(name);
        let is_masked = tree::resolve(fs, &path.0, tree::LastLink::Keep)
            .and_then(|node| fs.read_link(node))
            .is_ok_and(|target| target.0 == b"/dev/null");
        if is_masked {
            return None;
        }
        match tree::read_file(fs, &path.0, MAX_FILE_BYTES) {
            Ok((raw, _)) => return Some((path, raw)),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                problems.push(error.to_problem(Place::Path(path)));
                return None;
            }
        }
    }
    None
}

/// What a unit mounts, where, and how.
fn parse(raw: &[u8]) -> Result<Entry, String> {
    let (mut what, mut point, mut kind, mut options) = (None, None, None, Vec::new());
    let mut is_mount = false;
    // A backslash at the end of a line goes on in the next.
    let text = String::from_utf8_lossy(raw).replace("\\\n", " ");
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            is_mount = line == "[Mount]";
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_mount) else { continue };
        let value = value.trim();
        match key.trim() {
            "What" => what = Some(specifiers(value)?),
            "Where" => point = Some(specifiers(value)?),
            "Type" => kind = Some(value.to_owned()),
            // An empty one takes back those before it.
            "Options" if value.is_empty() => options.clear(),
            "Options" => {
                let all = specifiers(value)?;
                options.extend(all.split(',').map(|one| crate::escape_bytes(one.as_bytes())));
            }
            _ => {}
        }
    }
    let what = what.filter(|text| !text.is_empty()).ok_or("it has no What=")?;
    let point = point.filter(|text| text.starts_with('/')).ok_or("it has no absolute Where=")?;
    Ok(Entry {
        what: RawPath::from(what.as_bytes()),
        mount_point: RawPath::from(point.as_bytes()),
        kind: crate::escape_bytes(kind.unwrap_or_else(|| "auto".to_owned()).as_bytes()),
        options,
    })
}

/// A value whose percent signs are all written twice; anything else depends on the running system.
fn specifiers(value: &str) -> Result<String, String> {
    let plain = value.replace("%%", "\0");
    if plain.contains('%') {
        let shown = crate::escape_bytes(value.as_bytes());
        return Err(format!("{shown} has specifiers, which only a running system fills in"));
    }
    Ok(plain.replace('\0', "%"))
}

/// A path without slashes at its end or doubled ones.
fn plain(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    parts.join(&b'/')
}

/// The name of the unit that mounts `path` (systemd-escape(1), `--path`).
fn unit_name(path: &[u8]) -> Vec<u8> {
    let path = plain(path);
    let mut out = Vec::new();
    for (index, byte) in path.iter().enumerate() {
        match byte {
            b'/' => out.push(b'-'),
            b'.' if index > 0 => out.push(b'.'),
            b':' | b'_' => out.push(*byte),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => out.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    if out.is_empty() {
        out.push(b'-');
    }
    out.extend(b".mount");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_does() {
        // By systemd-escape --path --suffix=mount.
        for (path, name) in [
            ("/", "-.mount"),
            ("/srv/data", "srv-data.mount"),
            ("/srv//a-b/", "srv-a\\x2db.mount"),
            ("/.hidden/x y", "\\x2ehidden-x\\x20y.mount"),
            ("/mnt/ä", "mnt-\\xc3\\xa4.mount"),
        ] {
            assert_eq!(unit_name(path.as_bytes()), name.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_unit_says_what_and_where() {
        let text = b"[Unit]\nWhat=no\n[Mount]\n# a note\nWhat = /dev/disk/by-uuid/1 \nWhere=/srv\n\
            Options=ro,\\\nnoatime\nType=ext4\n[Install]\nWantedBy=x\n";
        let entry = parse(text).unwrap();
        assert_eq!(entry.what, RawPath::from("/dev/disk/by-uuid/1"));
        assert_eq!(entry.kind, "ext4");
        assert!(entry.has("ro"), "{entry:?}");
        assert!(parse(b"[Mount]\nWhat=%i\nWhere=/a\n").unwrap_err().contains("specifiers"));
        assert!(parse(b"[Mount]\nWhat=x\nWhere=a\n").unwrap_err().contains("Where"));
        assert!(parse(b"").is_err());
    }
}
