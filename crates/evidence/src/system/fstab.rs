//! `/etc/fstab` and `/etc/crypttab`: what the host's own files say stands where.
//!
//! Forms: fstab(5) and crypttab(5). Octal escapes (`\040`) are undone; a line that is no entry becomes a problem.

use crate::fs::RawPath;
use crate::problem::{Place, Problem, ProblemKind};
use serde::Serialize;

/// Lines read at most.
const MAX_LINES: usize = 1000;

/// One line of fstab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What is mounted: a device, `UUID=…`, a folder for a bind mount.
    pub what: RawPath,
    /// Where.
    pub mount_point: RawPath,
    /// The type it is mounted as.
    pub kind: String,
    /// Its options.
    pub options: Vec<String>,
}

impl Entry {
    /// The value of an option written `name=value`.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether the option is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }
}

/// The entries of an fstab, and lines that are none.
#[must_use]
pub fn parse(raw: &[u8]) -> (Vec<Entry>, Vec<Problem>) {
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    let place = || Place::Path(RawPath::from("/etc/fstab"));
    for (number, line) in (1_usize..).zip(raw.split(|byte| *byte == b'\n')) {
        if number > MAX_LINES {
            let text = format!("more than {MAX_LINES} lines; the rest was not read");
            problems.push(Problem::new(ProblemKind::Refused, place(), text));
            break;
        }
        let fields = fields(line);
        match fields.as_slice() {
            [] => {}
            [what, mount_point, kind, rest @ ..] => entries.push(Entry {
                what: RawPath(what.clone()),
                mount_point: RawPath(mount_point.clone()),
                kind: crate::escape_bytes(kind),
                options: rest
                    .first()
                    .map(|options| options.split(|byte| *byte == b','))
                    .into_iter()
                    .flatten()
                    .map(crate::escape_bytes)
                    .collect(),
            }),
            _ => {
                let text = format!("line {number} is no entry: {}", crate::escape_bytes(line));
                problems.push(Problem::new(ProblemKind::Corrupt, place(), text));
            }
        }
    }
    (entries, problems)
}

/// One line of crypttab: the name below `/dev/mapper`, and the encrypted device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Encrypted {
    /// Name of the opened volume.
    pub name: RawPath,
    /// The encrypted volume, as fstab names devices.
    pub device: RawPath,
}

/// The entries of a crypttab.
#[must_use]
pub fn parse_crypttab(raw: &[u8]) -> Vec<Encrypted> {
    raw.split(|byte| *byte == b'\n')
        .take(MAX_LINES)
        .filter_map(|line| match fields(line).as_slice() {
            [name, device, ..] => {
                Some(Encrypted { name: RawPath(name.clone()), device: RawPath(device.clone()) })
            }
            _ => None,
        })
        .collect()
}

/// The fields of a line; none for a comment.
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let line = line.trim_ascii();
    if line.first() == Some(&b'#') {
        return Vec::new();
    }
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).map(unescaped).collect()
}

/// Undoes `\040` and the like, and quotes around the value of a tag.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|digits| digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match (first, octal) {
            (b'\\', Some(digits)) => {
                let value = digits
                    .iter()
                    .fold(0_u32, |value, digit| value << 3 | u32::from(digit.wrapping_sub(b'0')));
                out.push(u8::try_from(value).unwrap_or(b'?'));
                rest = after.get(3..).unwrap_or(&[]);
            }
            (b'"', _) => rest = after,
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_fstab() {
        let text = b"# comment\nUUID=\"ab-cd\" / ext4 defaults,errors=remount-ro 0 1\n\n/dev/vg/home\t/home\txfs\n\
            LABEL=x /with\\040blank btrfs subvol=@home,noauto 0 0\n/srv/a /srv/b none bind\nodd\n";
        let (entries, problems) = parse(text);
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[0].what, RawPath::from("UUID=ab-cd"));
        assert_eq!(entries[0].options, ["defaults", "errors=remount-ro"]);
        assert!(entries[1].options.is_empty());
        assert_eq!(entries[2].mount_point, RawPath::from("/with blank"));
        assert_eq!(entries[2].option("subvol"), Some("@home"));
        assert!(entries[2].has("noauto") && !entries[2].has("auto"));
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_crypttab() {
        let found = parse_crypttab(b"# x\nroot_crypt UUID=1-2 none luks,discard\nshort\n");
        assert_eq!(
            found,
            [Encrypted { name: RawPath::from("root_crypt"), device: RawPath::from("UUID=1-2") }]
        );
    }
}
