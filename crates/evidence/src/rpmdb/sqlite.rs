//! A SQLite file as far as a package database needs it: the rows of one table (fileformat2.html), with what a write-ahead
//! log beside it has committed.
//!
//! Written here because the alternatives bring C or large trees, and a walk over one table is small. Checksums of the log's
//! frames are not checked, their salts are: a frame left over from before is passed over as SQLite does.

use super::{be16, be32, size};
use crate::initramfs::Bytes;
use std::collections::{BTreeSet, HashMap};

/// Levels of a tree; SQLite's own bound is 20.
const MAX_DEPTH: usize = 20;

/// A value of a row, as far as needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL, and the row number where it stands for a column.
    Null,
    /// A number that is whole.
    Integer(i64),
    /// Text or bytes.
    Bytes(Vec<u8>),
    /// A floating-point number, not decoded.
    Float,
}

/// An opened database.
pub struct Database<'a> {
    file: &'a dyn Bytes,
    log: Option<&'a dyn Bytes>,
    /// Page to the offset of its newest committed copy in the log.
    newer: HashMap<u32, u64>,
    page_bytes: usize,
    usable_bytes: usize,
}

impl<'a> Database<'a> {
    /// Opens a database, with its write-ahead log if there is one.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(file: &'a dyn Bytes, log: Option<&'a dyn Bytes>) -> Result<Self, &'static str> {
        let head = file.exactly(0, 100).ok_or("the file is too short")?;
        if !head.starts_with(b"SQLite format 3\0") {
            return Err("it does not begin with SQLite's name");
        }
        let page_bytes = match be16(&head, 16) {
            Some(1) => 65_536,
            Some(other) => usize::from(other),
            None => 0,
        };
        if !page_bytes.is_power_of_two() || page_bytes < 512 {
            return Err("its page size makes no sense");
        }
        let reserved = usize::from(head.get(20).copied().unwrap_or(0));
        let usable_bytes = page_bytes.saturating_sub(reserved);
        if usable_bytes < 480 {
            return Err("it reserves more of its pages than SQLite allows");
        }
        let mut database = Self { file, log, newer: HashMap::new(), page_bytes, usable_bytes };
        database.read_log();
        Ok(database)
    }

    /// Pages of the log up to its last commit.
    fn read_log(&mut self) {
        let Some(log) = self.log else { return };
        let Some(head) = log.exactly(0, 32) else { return };
        let is_log = matches!(be32(&head, 0), Some(0x377f_0682 | 0x377f_0683))
            && be32(&head, 8).map(size) == Some(self.page_bytes);
        let step = u64::try_from(self.page_bytes).unwrap_or(0).saturating_add(24);
        if !is_log {
            return;
        }
        let mut pending = Vec::new();
        let mut at = 32_u64;
        while let Some(frame) = log.exactly(at, 24) {
            if frame.get(8..16) != head.get(16..24) {
                break;
            }
            pending.push((be32(&frame, 0).unwrap_or(0), at.saturating_add(24)));
            if be32(&frame, 4) != Some(0) {
                self.newer.extend(pending.drain(..));
            }
            at = at.saturating_add(step);
        }
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        if let (Some(at), Some(log)) = (self.newer.get(&number), self.log) {
            return log.exactly(*at, self.page_bytes);
        }
        let before = u64::from(number.checked_sub(1)?);
        self.file
            .exactly(before.checked_mul(u64::try_from(self.page_bytes).ok()?)?, self.page_bytes)
    }

    /// Hands over every row of a table.
    ///
    /// # Errors
    /// When there is no such table; parts that make no sense are passed over, their number is the result.
    pub fn rows(
        &self,
        table: &str,
        visit: &mut dyn FnMut(&[Value]),
    ) -> Result<usize, &'static str> {
        let mut root = None;
        self.walk(1, &mut |row| {
            if let [Value::Bytes(kind), Value::Bytes(name), _, Value::Integer(page), ..] = row
                && kind == b"table"
                && name.eq_ignore_ascii_case(table.as_bytes())
            {
                root = u32::try_from(*page).ok();
            }
        });
        Ok(self.walk(root.ok_or("it has no table of that name")?, visit))
    }

    fn walk(&self, root: u32, visit: &mut dyn FnMut(&[Value])) -> usize {
        let mut seen = BTreeSet::new();
        let mut odd = 0_usize;
        let mut stack = vec![(root, 0_usize)];
        while let Some((number, depth)) = stack.pop() {
            let page =
                if seen.insert(number) && depth < MAX_DEPTH { self.page(number) } else { None };
            if page.and_then(|raw| self.one_page(number, &raw, depth, &mut stack, visit)).is_none()
            {
                odd = odd.saturating_add(1);
            }
        }
        odd
    }

    fn one_page(
        &self,
        number: u32,
        raw: &[u8],
        depth: usize,
        stack: &mut Vec<(u32, usize)>,
        visit: &mut dyn FnMut(&[Value]),
    ) -> Option<()> {
        // The first page begins with the header of the file.
        let start: usize = if number == 1 { 100 } else { 0 };
        let cells = usize::from(be16(raw, start.saturating_add(3))?);
        let is_inner = match raw.get(start)? {
            5 => true,
            13 => false,
            _ => return None,
        };
        let table = start.saturating_add(if is_inner { 12 } else { 8 });
        let deeper = depth.saturating_add(1);
        if is_inner {
            stack.push((be32(raw, start.saturating_add(8))?, deeper));
        }
        // Inner cells go on the stack backwards, so that rows come in order.
        let order: Vec<usize> =
            if is_inner { (0..cells).rev().collect() } else { (0..cells).collect() };
        for cell in order {
            let at = usize::from(be16(raw, table.saturating_add(cell.saturating_mul(2)))?);
            if is_inner {
                stack.push((be32(raw, at)?, deeper));
            } else if let Some(values) = self.cell(raw, at).as_deref().and_then(record) {
                visit(&values);
            }
        }
        Some(())
    }

    /// The payload of a leaf's cell, with what overflows to other pages.
    fn cell(&self, raw: &[u8], at: usize) -> Option<Vec<u8>> {
        let (length, used) = varint(raw.get(at..)?)?;
        let at = at.checked_add(used)?;
        let (_, used) = varint(raw.get(at..)?)?;
        let at = at.checked_add(used)?;
        let length = usize::try_from(length).ok().filter(|one| *one <= super::MAX_HEADER_BYTES)?;
        let usable = self.usable_bytes;
        let most = usable.saturating_sub(35);
        if length <= most {
            return raw.get(at..at.checked_add(length)?).map(<[u8]>::to_vec);
        }
        let least =
            usable.saturating_sub(12).saturating_mul(32).checked_div(255)?.saturating_sub(23);
        let wanted = length.saturating_sub(least).checked_rem(usable.saturating_sub(4))?;
        let wanted = wanted.saturating_add(least);
        let here = if wanted <= most { wanted } else { least };
        let mut out = raw.get(at..at.checked_add(here)?)?.to_vec();
        let mut next = be32(raw, at.checked_add(here)?)?;
        while out.len() < length {
            let page = self.page(next)?;
            let data = page.get(4..usable)?;
            let want = length.saturating_sub(out.len()).min(data.len());
            out.extend_from_slice(data.get(..want)?);
            next = be32(&page, 0)?;
        }
        Some(out)
    }
}

/// A row's values out of its record.
fn record(raw: &[u8]) -> Option<Vec<Value>> {
    let (head, mut at) = varint(raw)?;
    let head = usize::try_from(head).ok()?;
    let mut data = head;
    let mut out = Vec::new();
    while at < head {
        let (kind, used) = varint(raw.get(at..head)?)?;
        at = at.checked_add(used)?;
        let length = match kind {
            0 | 8 | 9 | 10 | 11 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            other => usize::try_from(other.saturating_sub(12) >> 1).ok()?,
        };
        let bytes = raw.get(data..data.checked_add(length)?)?;
        data = data.checked_add(length)?;
        out.push(match kind {
            0 | 10 | 11 => Value::Null,
            7 => Value::Float,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => {
                let first =
                    if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1_i64 } else { 0 };
                Value::Integer(bytes.iter().fold(first, |sum, byte| sum << 8 | i64::from(*byte)))
            }
            _ => Value::Bytes(bytes.to_vec()),
        });
    }
    Some(out)
}

/// A number of one to nine bytes, and how many it took.
fn varint(raw: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in raw.iter().enumerate().take(9) {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at.saturating_add(1)));
        }
    }
    None
}
