//! A file or directory: its base record, and the records that continue it when one is too small for its attributes.

use super::Ntfs;
use super::content::Content;
use super::name::FileName;
use super::record::{self, Attribute, Record, kind, number_of};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::Node;
use crate::wide::wtf8;
use std::collections::BTreeSet;

/// Largest attribute list Windows writes.
const MAX_LIST_BYTES: u64 = 256 * 1024;

/// Everything the MFT holds about one object.
pub(super) struct Object {
    pub(super) base: Record,
    more: Vec<Record>,
    /// What of it could not be read.
    pub(super) damage: Vec<String>,
}

impl Object {
    /// Loads the base record of `node` and the records its attribute list names.
    pub(super) fn load(ntfs: &Ntfs, node: Node) -> Result<Self, EvidenceError> {
        let number = number_of(node);
        let base = ntfs.record(number)?;
        let expected = record::sequence_of(node);
        if expected != 0 && base.sequence() != expected {
            return Err(EvidenceError::corrupt(format!(
                "MFT record {number} has sequence number {}, {expected} was expected",
                base.sequence()
            )));
        }
        Self::complete(ntfs, base)
    }

    /// An object from its base record.
    pub(super) fn complete(ntfs: &Ntfs, base: Record) -> Result<Self, EvidenceError> {
        let mut object =
            Self { damage: base.damage.iter().cloned().collect(), base, more: Vec::new() };
        let list = object.pieces(kind::ATTRIBUTE_LIST, b"");
        if list.is_empty() {
            return Ok(object);
        }
        let raw = match ntfs.join(list, "attribute list").and_then(|content| {
            let mut raw = vec![0; to_usize(content.size_bytes.min(MAX_LIST_BYTES))];
            content.read(&ntfs.metadata, 0, &mut raw).map(|_| raw)
        }) {
            Ok(raw) => raw,
            Err(error) => {
                object.damage.push(format!("its attribute list: {error}"));
                return Ok(object);
            }
        };
        for reference in references(&raw) {
            if number_of(reference) == object.base.number {
                continue;
            }
            match ntfs.record(number_of(reference)) {
                Ok(more) if number_of(more.base()) == object.base.number => {
                    object.damage.extend(more.damage.iter().cloned());
                    object.more.push(more);
                }
                Ok(more) => object.damage.push(format!(
                    "its continuation, record {}, belongs to record {}",
                    more.number,
                    number_of(more.base())
                )),
                Err(error) => object.damage.push(format!("its continuation: {error}")),
            }
        }
        Ok(object)
    }

    pub(super) fn node(&self) -> Node {
        self.base.node()
    }

    /// Every attribute, in the order of records.
    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        std::iter::once(&self.base).chain(&self.more).flat_map(Record::attributes)
    }

    /// The pieces of the attribute of this type and name (WTF-8).
    pub(super) fn pieces(&self, kind: u32, name: &[u8]) -> Vec<Attribute<'_>> {
        self.attributes()
            .filter(|attribute| attribute.kind == kind)
            .filter(|attribute| attribute.name.is_empty() == name.is_empty())
            .filter(|attribute| name.is_empty() || wtf8(attribute.name) == name)
            .collect()
    }

    /// The first piece of an attribute, which tells its sizes.
    pub(super) fn first(&self, kind: u32, name: &[u8]) -> Option<Attribute<'_>> {
        self.pieces(kind, name).into_iter().find(Attribute::is_first)
    }

    /// The value of an attribute, `None` when the object has none.
    pub(super) fn content(
        &self,
        ntfs: &Ntfs,
        kind: u32,
        name: &[u8],
    ) -> Result<Option<Content>, EvidenceError> {
        let pieces = self.pieces(kind, name);
        if pieces.is_empty() {
            return match self.damage.first() {
                Some(damage) => Err(EvidenceError::corrupt(format!(
                    "MFT record {}: {damage}",
                    self.base.number
                ))),
                None => Ok(None),
            };
        }
        let number = self.base.number;
        let what = format!("{} of MFT record {number}", record::kind_name(kind));
        ntfs.join(pieces, &what).map(Some)
    }

    /// A small value as bytes, at most `limit_bytes` of it.
    pub(super) fn value(
        &self,
        ntfs: &Ntfs,
        kind: u32,
        name: &[u8],
        limit_bytes: u64,
    ) -> Result<Option<Vec<u8>>, EvidenceError> {
        let Some(content) = self.content(ntfs, kind, name)? else { return Ok(None) };
        let mut raw = vec![0; to_usize(content.size_bytes.min(limit_bytes))];
        let got = content.read(&ntfs.metadata, 0, &mut raw)?;
        raw.truncate(got);
        Ok(Some(raw))
    }

    /// Its names, DOS names too.
    pub(super) fn names(&self) -> impl Iterator<Item = FileName> {
        self.attributes()
            .filter(|attribute| attribute.kind == kind::FILE_NAME)
            .filter_map(|attribute| FileName::parse(attribute.resident()?))
    }
}

/// The records an attribute list names, each once.
fn references(list: &[u8]) -> BTreeSet<Node> {
    let fields = Fields(list);
    let mut out = BTreeSet::new();
    let mut at = 0_usize;
    while to_u64(at) < to_u64(list.len()) {
        let length = usize::from(fields.le16(at.saturating_add(4)));
        if length < 26 {
            break;
        }
        out.insert(fields.le64(at.saturating_add(16)));
        at = at.saturating_add(length);
    }
    out
}
