//! Values (`vk` cells) and their data: in the cell itself, in one other, or in many.

use super::hive::{Hive, MAX_CELL_BYTES};
use super::key::name_of;
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::RawPath;
use crate::problem::Problem;
use crate::wide::wtf8;

/// Data above this is kept in parts, since hives of version 1.4.
const PART_BYTES: usize = 16_344;
/// Longest name of a value, in bytes.
const MAX_VALUE_CELL_BYTES: usize = 20 + 2 * 16_383;
/// The data stands in the field of its own offset.
const INSIDE: u32 = 0x8000_0000;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the usual name without REG_")]
pub enum ValueKind {
    None,
    Text,
    ExpandText,
    Binary,
    Number,
    NumberBigEndian,
    Link,
    MultiText,
    LongNumber,
    Other(u32),
}

/// A value of a key.
pub struct Value<'h> {
    hive: &'h Hive<'h>,
    name: RawPath,
    kind: ValueKind,
    length: u32,
    data: u32,
}

/// Values in their stored order, and what could not be read.
#[derive(Default)]
pub struct Values<'h> {
    /// The values.
    pub values: Vec<Value<'h>>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl<'h> Value<'h> {
    pub(super) fn read(hive: &'h Hive<'_>, offset: u32) -> Result<Self, EvidenceError> {
        let raw = hive.cell(offset, MAX_VALUE_CELL_BYTES)?;
        let cell = Fields(&raw);
        let name_bytes = usize::from(cell.le16(2));
        let name = cell.slice(20, name_bytes);
        if !cell.has(0, b"vk") || name.len() != name_bytes {
            return Err(EvidenceError::corrupt(format!(
                "hive cell {offset:#x} should be a value and begins with {}",
                crate::escape_bytes(cell.slice(0, 2))
            )));
        }
        Ok(Self {
            hive,
            name: RawPath(name_of(name, cell.le16(16) & 1)),
            kind: match cell.le32(12) {
                0 => ValueKind::None,
                1 => ValueKind::Text,
                2 => ValueKind::ExpandText,
                3 => ValueKind::Binary,
                4 => ValueKind::Number,
                5 => ValueKind::NumberBigEndian,
                6 => ValueKind::Link,
                7 => ValueKind::MultiText,
                11 => ValueKind::LongNumber,
                other => ValueKind::Other(other),
            },
            length: cell.le32(4),
            data: cell.le32(8),
        })
    }

    /// Its name as WTF-8; empty for the default value.
    #[must_use]
    pub fn name(&self) -> &RawPath {
        &self.name
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Length of its data in bytes.
    #[must_use]
    pub fn length_bytes(&self) -> u32 {
        self.length & !INSIDE
    }

    /// Its data, raw.
    ///
    /// # Errors
    /// When a cell cannot be read or the data is longer than 16 MiB.
    pub fn data(&self) -> Result<Vec<u8>, EvidenceError> {
        let length = to_usize(u64::from(self.length_bytes()));
        if self.length & INSIDE != 0 {
            let all = self.data.to_le_bytes();
            return Ok(all.get(..length.min(4)).unwrap_or(&[]).to_vec());
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        if length > MAX_CELL_BYTES {
            return Err(EvidenceError::refused(format!("a value of {length} bytes")));
        }
        if length > PART_BYTES && self.hive.minor > 3 {
            return self.parts(length);
        }
        let data = self.hive.cell(self.data, length)?;
        self.whole(data, length)
    }

    /// Data in many cells, which a list names.
    fn parts(&self, length: usize) -> Result<Vec<u8>, EvidenceError> {
        let head = self.hive.cell(self.data, 8)?;
        let head = Fields(&head);
        if !head.has(0, b"db") {
            return self.whole(self.hive.cell(self.data, length)?, length);
        }
        let count = usize::from(head.le16(2)).min(length.div_ceil(PART_BYTES));
        let list = self.hive.cell(head.le32(4), count.saturating_mul(4))?;
        let mut out = Vec::new();
        for part in list.as_chunks::<4>().0 {
            let left = length.saturating_sub(out.len()).min(PART_BYTES);
            out.append(&mut self.hive.cell(u32::from_le_bytes(*part), left)?);
        }
        self.whole(out, length)
    }

    fn whole(&self, data: Vec<u8>, length: usize) -> Result<Vec<u8>, EvidenceError> {
        if data.len() == length {
            return Ok(data);
        }
        Err(EvidenceError::corrupt(format!(
            "value {} has {} of its {length} bytes",
            self.name,
            data.len()
        )))
    }

    /// Its data as text up to the first NUL, as WTF-8; `None` for types that are no text.
    ///
    /// # Errors
    /// As [`Value::data`].
    pub fn text(&self) -> Result<Option<RawPath>, EvidenceError> {
        Ok(self.texts()?.map(|texts| texts.into_iter().next().unwrap_or_default()))
    }

    /// Its texts: one, or for a list all of them.
    ///
    /// # Errors
    /// As [`Value::data`].
    pub fn texts(&self) -> Result<Option<Vec<RawPath>>, EvidenceError> {
        let kind = self.kind;
        let is_text = matches!(
            kind,
            ValueKind::Text | ValueKind::ExpandText | ValueKind::Link | ValueKind::MultiText
        );
        if !is_text {
            return Ok(None);
        }
        let data = self.data()?;
        let mut out: Vec<RawPath> =
            wtf8(&data).split(|byte| *byte == 0).map(RawPath::from).collect();
        if kind == ValueKind::MultiText {
            out.retain(|text| !text.0.is_empty());
        } else {
            out.truncate(1);
        }
        Ok(Some(out))
    }

    /// Its number; `None` for types that are none.
    ///
    /// # Errors
    /// As [`Value::data`].
    pub fn number(&self) -> Result<Option<u64>, EvidenceError> {
        let data = self.data()?;
        let fields = Fields(&data);
        Ok(match self.kind {
            ValueKind::Number => Some(u64::from(fields.le32(0))),
            ValueKind::NumberBigEndian => Some(u64::from(fields.be32(0))),
            ValueKind::LongNumber => Some(fields.le64(0)),
            _ => None,
        })
    }
}
