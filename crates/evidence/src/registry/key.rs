//! Keys (`nk` cells), and walks over them.

use super::hive::Hive;
use super::list::{self, MAX_KEYS};
use super::value::{Value, Values};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::RawPath;
use crate::problem::{Place, Problem, ProblemKind};
use crate::time::Time;
use crate::wide::{filetime, wtf8};
use std::collections::BTreeSet;

/// A key with its longest name.
const MAX_KEY_BYTES: usize = 76 + 2 * 512;
/// No offset: the list is empty.
const NONE: u32 = u32::MAX;
/// The name is kept in one byte for each letter.
const FLAG_NARROW: u16 = 0x20;
/// Problems of one list that are recorded.
const MAX_PROBLEMS: usize = 64;
/// Values of one key that are told.
const MAX_VALUES: usize = 1 << 16;

/// A key of a hive.
pub struct Key<'h> {
    hive: &'h Hive<'h>,
    offset: u32,
    name: RawPath,
    last_written: Option<Time>,
    subkeys: (u32, u32),
    values: (u32, u32),
    class: (u32, u16),
}

/// Subkeys in their stored order, and those that could not be read.
#[derive(Default)]
pub struct Keys<'h> {
    /// The keys.
    pub keys: Vec<Key<'h>>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// A key met on a walk.
pub struct Visit<'a, 'h> {
    /// Names from the root, joined by `\`; empty for the root.
    pub path: &'a RawPath,
    /// The key.
    pub key: &'a Key<'h>,
}

impl<'h> Key<'h> {
    pub(super) fn read(hive: &'h Hive<'_>, offset: u32) -> Result<Self, EvidenceError> {
        let raw = hive.cell(offset, MAX_KEY_BYTES)?;
        let cell = Fields(&raw);
        let name_bytes = usize::from(cell.le16(72));
        let name = cell.slice(76, name_bytes);
        if !cell.has(0, b"nk") || name.len() != name_bytes {
            return Err(EvidenceError::corrupt(format!(
                "hive cell {offset:#x} should be a key and begins with {}",
                crate::escape_bytes(cell.slice(0, 2))
            )));
        }
        Ok(Self {
            hive,
            offset,
            name: RawPath(name_of(name, cell.le16(2) & FLAG_NARROW)),
            last_written: filetime(cell.le64(4)),
            subkeys: (cell.le32(20), cell.le32(28)),
            values: (cell.le32(36), cell.le32(40)),
            class: (cell.le32(48), cell.le16(74)),
        })
    }

    /// Its name, as WTF-8.
    #[must_use]
    pub fn name(&self) -> &RawPath {
        &self.name
    }

    /// When the key or one of its values was last changed.
    #[must_use]
    pub fn last_written(&self) -> Option<Time> {
        self.last_written
    }

    /// The place of its cell, counted from the first bin: what tells two keys of the same name apart.
    #[must_use]
    pub fn cell(&self) -> u32 {
        self.offset
    }

    /// Its class, a text some keys hide data in, as WTF-8.
    ///
    /// # Errors
    /// When its cell cannot be read.
    pub fn class(&self) -> Result<Option<RawPath>, EvidenceError> {
        let (offset, length) = self.class;
        if offset == NONE || length == 0 {
            return Ok(None);
        }
        Ok(Some(RawPath(wtf8(&self.hive.cell(offset, usize::from(length))?))))
    }

    /// Its subkeys.
    ///
    /// # Errors
    /// When their list cannot be read; single keys that cannot are in [`Keys::problems`].
    pub fn subkeys(&self) -> Result<Keys<'h>, EvidenceError> {
        let mut out = Keys::default();
        let (count, list) = self.subkeys;
        if count == 0 || list == NONE {
            return Ok(out);
        }
        let cells = list::subkeys(self.hive, list)?;
        if u64::from(count) != crate::bytes::to_u64(cells.len()) {
            let text =
                format!("key {} counts {count} subkeys and lists {}", self.name, cells.len());
            out.problems.push(Problem::new(ProblemKind::Corrupt, self.place(), text));
        }
        for cell in cells {
            match Self::read(self.hive, cell) {
                Ok(key) => out.keys.push(key),
                Err(error) if out.problems.len() < MAX_PROBLEMS => {
                    out.problems.push(error.to_problem(self.place()));
                }
                Err(_) => {}
            }
        }
        Ok(out)
    }

    /// The subkey of this name, compared without regard to case.
    ///
    /// # Errors
    /// When the list of subkeys cannot be read.
    pub fn subkey(&self, name: &str) -> Result<Option<Self>, EvidenceError> {
        let found = self.subkeys()?.keys;
        Ok(found.into_iter().find(|key| is_same_name(&key.name.0, name)))
    }

    /// Its values.
    ///
    /// # Errors
    /// When their list cannot be read; single values that cannot are in [`Values::problems`].
    pub fn values(&self) -> Result<Values<'h>, EvidenceError> {
        let mut out = Values::default();
        let (count, list) = self.values;
        if count == 0 || list == NONE {
            return Ok(out);
        }
        let wanted = to_usize(u64::from(count)).min(MAX_VALUES);
        let raw = self.hive.cell(list, wanted.saturating_mul(4))?;
        let cells = raw.as_chunks::<4>().0;
        if cells.len() != to_usize(u64::from(count)) {
            let text = format!("key {} counts {count} values and lists {}", self.name, cells.len());
            out.problems.push(Problem::new(ProblemKind::Corrupt, self.place(), text));
        }
        for cell in cells {
            match Value::read(self.hive, u32::from_le_bytes(*cell)) {
                Ok(value) => out.values.push(value),
                Err(error) if out.problems.len() < MAX_PROBLEMS => {
                    out.problems.push(error.to_problem(self.place()));
                }
                Err(_) => {}
            }
        }
        Ok(out)
    }

    /// The value of this name, compared without regard to case; the empty name is the default value.
    ///
    /// # Errors
    /// When the list of values cannot be read.
    pub fn value(&self, name: &str) -> Result<Option<Value<'h>>, EvidenceError> {
        let found = self.values()?.values;
        Ok(found.into_iter().find(|value| is_same_name(&value.name().0, name)))
    }

    /// Visits this key and everything below it, parents before children, at most `limit` keys and 512 levels, as Windows.
    pub fn walk(self, limit: usize, visit: &mut dyn FnMut(Visit<'_, 'h>)) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut entered = BTreeSet::from([self.offset]);
        let mut pending = vec![(RawPath::default(), 0_usize, self)];
        let mut seen = 0_usize;
        while let Some((path, depth, key)) = pending.pop() {
            seen = seen.saturating_add(1);
            if seen > limit.min(MAX_KEYS.saturating_mul(4)) || depth > 512 {
                let text =
                    format!("more than {limit} keys or 512 levels; the rest was not visited");
                problems.push(Problem::new(ProblemKind::Refused, key.place(), text));
                break;
            }
            visit(Visit { path: &path, key: &key });
            let below = match key.subkeys() {
                Ok(below) => below,
                Err(error) => {
                    problems.push(error.to_problem(key.place()));
                    continue;
                }
            };
            problems.extend(below.problems);
            for key in below.keys.into_iter().rev() {
                if entered.insert(key.offset) {
                    let mut path = path.0.clone();
                    if !path.is_empty() {
                        path.push(b'\\');
                    }
                    path.extend_from_slice(&key.name.0);
                    pending.push((RawPath(path), depth.saturating_add(1), key));
                } else {
                    let text = format!("key {} stands in two lists", key.name);
                    problems.push(Problem::new(ProblemKind::Corrupt, key.place(), text));
                }
            }
        }
        problems
    }

    fn place(&self) -> Place {
        Place::OffsetBytes(u64::from(self.offset).saturating_add(4096))
    }
}

/// A name in one byte for each letter (the first 256 of Unicode) or in UTF-16.
pub(super) fn name_of(raw: &[u8], narrow: u16) -> Vec<u8> {
    if narrow == 0 {
        return wtf8(raw);
    }
    raw.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

fn is_same_name(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
        || std::str::from_utf8(name).is_ok_and(|name| name.to_uppercase() == wanted.to_uppercase())
}
