//! Extended headers (POSIX.1-2001): records of a length, a name and a value, for one member or for all that follow.

use crate::fs::{RawPath, Xattr};
use crate::time::Time;

/// What extended headers say about the next member.
#[derive(Clone, Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size_bytes: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<Vec<u8>>,
    pub(super) group: Option<Vec<u8>>,
    pub(super) modified: Option<Time>,
    pub(super) accessed: Option<Time>,
    pub(super) changed: Option<Time>,
    pub(super) born: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: Sparse,
}

/// The forms of GNU's sparse files in extended headers.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    /// 1 where the map stands in front of the data.
    pub(super) major: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_bytes: Option<u64>,
    /// Offsets and lengths in turns, from the forms that have the map in the header.
    pub(super) numbers: Vec<u64>,
    pub(super) is_sparse: bool,
}

/// Numbers of a sparse map kept.
pub(super) const MAX_SPARSE_NUMBERS: usize = 1 << 20;

impl Extended {
    /// Adds the records of a header; says how many bytes at the end make no sense.
    pub(super) fn add(&mut self, mut raw: &[u8]) -> usize {
        while !raw.is_empty() && raw.first() != Some(&0) {
            let Some((record, rest)) = record(raw) else { return raw.len() };
            let Some(at) = record.iter().position(|byte| *byte == b'=') else { return raw.len() };
            let (key, value) = record.split_at_checked(at).unwrap_or_default();
            self.set(key, value.get(1..).unwrap_or(&[]));
            raw = rest;
        }
        0
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        let bytes = || Some(value.to_vec());
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.link = bytes(),
            b"size" => self.size_bytes = decimal(value),
            b"uid" => self.uid = decimal(value).and_then(|id| u32::try_from(id).ok()),
            b"gid" => self.gid = decimal(value).and_then(|id| u32::try_from(id).ok()),
            b"uname" => self.user = bytes(),
            b"gname" => self.group = bytes(),
            b"mtime" => self.modified = time(value),
            b"atime" => self.accessed = time(value),
            b"ctime" => self.changed = time(value),
            b"LIBARCHIVE.creationtime" => self.born = time(value),
            b"RHT.security.selinux" => self.attribute(b"security.selinux", value),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attribute(name, value);
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(name, value);
                }
            }
        }
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) {
        self.xattrs.retain(|known| known.name.0 != name);
        self.xattrs.push(Xattr { name: RawPath(name.to_vec()), value: value.to_vec() });
    }

    /// What a header for all members says where one's own header says nothing.
    pub(super) fn or(mut self, global: &Self) -> Self {
        let g = global.clone();
        self.path = self.path.or(g.path);
        self.link = self.link.or(g.link);
        self.uid = self.uid.or(g.uid);
        self.gid = self.gid.or(g.gid);
        self.user = self.user.or(g.user);
        self.group = self.group.or(g.group);
        self.modified = self.modified.or(g.modified);
        self.accessed = self.accessed.or(g.accessed);
        self.changed = self.changed.or(g.changed);
        self.born = self.born.or(g.born);
        for attribute in g.xattrs {
            if self.xattrs.iter().all(|own| own.name != attribute.name) {
                self.xattrs.push(attribute);
            }
        }
        self
    }
}

impl Sparse {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        self.is_sparse = true;
        match name {
            b"major" => self.major = decimal(value),
            b"name" => self.name = Some(value.to_vec()),
            b"realsize" | b"size" => self.real_bytes = decimal(value),
            b"offset" | b"numbytes" => self.numbers.extend(decimal(value)),
            b"map" => {
                self.numbers = value.split(|byte| *byte == b',').filter_map(decimal).collect();
            }
            _ => {}
        }
        self.numbers.truncate(MAX_SPARSE_NUMBERS);
    }
}

/// The first record without its length and line end, and the rest.
fn record(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = raw.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(raw.get(..blank)?)?).ok()?;
    let (record, rest) = raw.split_at_checked(length)?;
    let text = record.get(blank.checked_add(1)?..)?;
    Some((text.strip_suffix(b"\n")?, rest))
}

pub(super) fn decimal(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// Seconds with a fraction, either sign.
fn time(raw: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(raw).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits = fraction.get(..fraction.len().min(9)).unwrap_or("");
    let places = u32::try_from(digits.len()).unwrap_or(9);
    let part: u32 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let nanoseconds = part.saturating_mul(10_u32.saturating_pow(9_u32.saturating_sub(places)));
    // Time counts nanoseconds forwards from the second before.
    if whole.starts_with('-') && nanoseconds > 0 {
        let nanoseconds = 1_000_000_000_u32.saturating_sub(nanoseconds);
        return Some(Time { seconds: seconds.saturating_sub(1), nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_times() {
        let mut extended = Extended::default();
        let left = extended.add(b"30 mtime=1350244992.023960108\n21 mtime=-1.25\nxxxxxx");
        assert_eq!((left, extended.modified.unwrap().nanoseconds), (21, 23_960_108));
        assert_eq!(time(b"-1.25"), Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time(b"-0.5"), Some(Time { seconds: -1, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"x"), None);
        assert_eq!(Extended::default().add(b"99999999999999999999 a=b\n"), 25);
    }
}
