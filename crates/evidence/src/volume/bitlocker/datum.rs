//! Datums, the records all BitLocker metadata consists of: size, role, type, and what the type says.

use crate::bytes::Fields;

pub(super) const KEY: u16 = 1;
pub(super) const TEXT: u16 = 2;
pub(super) const STRETCH_KEY: u16 = 3;
pub(super) const ENCRYPTED_KEY: u16 = 5;
pub(super) const PROTECTOR: u16 = 8;
pub(super) const EXTERNAL_KEY: u16 = 9;

/// More than any real metadata has; its size bounds them too.
const MOST_DATUMS: usize = 1024;

/// One datum.
#[derive(Clone, Copy)]
pub(super) struct Datum<'a> {
    pub(super) role: u16,
    pub(super) kind: u16,
    raw: &'a [u8],
}

/// The datums that stand one after the other.
pub(super) fn all(raw: &[u8]) -> impl Iterator<Item = Datum<'_>> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let datum = Datum::first(rest)?;
        rest = rest.get(datum.raw.len()..)?;
        Some(datum)
    })
    .take(MOST_DATUMS)
}

impl<'a> Datum<'a> {
    /// The datum at the start.
    pub(super) fn first(raw: &'a [u8]) -> Option<Self> {
        let fields = Fields(raw);
        let raw = raw.get(..usize::from(fields.le16(0))).filter(|raw| raw.len() >= 8)?;
        Some(Self { role: fields.le16(2), kind: fields.le16(4), raw })
    }

    /// What follows the header.
    pub(super) fn body(self) -> &'a [u8] {
        self.raw.get(8..).unwrap_or(&[])
    }

    /// The datums within, behind the fields of its type.
    pub(super) fn nested(self) -> impl Iterator<Item = Datum<'a>> {
        let fields_bytes = match self.kind {
            PROTECTOR => 28,
            EXTERNAL_KEY => 24,
            STRETCH_KEY => 20,
            _ => self.body().len(),
        };
        all(self.body().get(fields_bytes..).unwrap_or(&[]))
    }

    /// Of a protector or an external key.
    pub(super) fn identifier(self) -> [u8; 16] {
        Fields(self.body()).array(0)
    }

    /// Of a protector: its kind in the upper byte.
    pub(super) fn priority(self) -> u16 {
        Fields(self.body()).le16(26)
    }

    /// Of a key.
    pub(super) fn key_type(self) -> u16 {
        Fields(self.body()).le16(0)
    }

    /// Of a key.
    pub(super) fn key(self) -> &'a [u8] {
        self.body().get(4..).unwrap_or(&[])
    }

    /// Of a stretch key.
    pub(super) fn salt(self) -> [u8; 16] {
        Fields(self.body()).array(4)
    }
}
