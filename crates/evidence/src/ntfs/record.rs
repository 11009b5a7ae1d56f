//! MFT records: fixups, and the attributes a record holds.
//!
//! The last two bytes of every 512 are replaced by a counter while a record is on the disk; where they differ from it, the
//! record was only half written. Such a record is corrupt, not guessed at.

use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::Node;

/// The part of a node that is the number of its record; the rest is the sequence number.
const NUMBER_MASK: u64 = (1 << 48) - 1;

/// The number of the record a node or reference means.
pub(super) fn number_of(node: Node) -> u64 {
    node & NUMBER_MASK
}

/// The sequence number a node or reference expects; 0 for any.
pub(super) fn sequence_of(node: Node) -> u16 {
    u16::try_from(node >> 48).unwrap_or(0)
}

/// Attribute types (`AttributeTypeCode`).
pub(super) mod kind {
    pub(in crate::ntfs) const STANDARD_INFORMATION: u32 = 0x10;
    pub(in crate::ntfs) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(in crate::ntfs) const FILE_NAME: u32 = 0x30;
    pub(in crate::ntfs) const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub(in crate::ntfs) const VOLUME_NAME: u32 = 0x60;
    pub(in crate::ntfs) const VOLUME_INFORMATION: u32 = 0x70;
    pub(in crate::ntfs) const DATA: u32 = 0x80;
    pub(in crate::ntfs) const INDEX_ROOT: u32 = 0x90;
    pub(in crate::ntfs) const INDEX_ALLOCATION: u32 = 0xa0;
    pub(in crate::ntfs) const BITMAP: u32 = 0xb0;
    pub(in crate::ntfs) const REPARSE_POINT: u32 = 0xc0;
    pub(in crate::ntfs) const EA: u32 = 0xe0;
}

/// The usual name of an attribute type.
pub(super) fn kind_name(kind: u32) -> &'static str {
    match kind {
        kind::STANDARD_INFORMATION => "$STANDARD_INFORMATION",
        kind::ATTRIBUTE_LIST => "$ATTRIBUTE_LIST",
        kind::FILE_NAME => "$FILE_NAME",
        0x40 => "$OBJECT_ID",
        kind::SECURITY_DESCRIPTOR => "$SECURITY_DESCRIPTOR",
        kind::VOLUME_NAME => "$VOLUME_NAME",
        kind::VOLUME_INFORMATION => "$VOLUME_INFORMATION",
        kind::DATA => "$DATA",
        kind::INDEX_ROOT => "$INDEX_ROOT",
        kind::INDEX_ALLOCATION => "$INDEX_ALLOCATION",
        kind::BITMAP => "$BITMAP",
        kind::REPARSE_POINT => "$REPARSE_POINT",
        0xd0 => "$EA_INFORMATION",
        kind::EA => "$EA",
        0x100 => "$LOGGED_UTILITY_STREAM",
        _ => "unknown",
    }
}

/// One record, fixups undone.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) number: u64,
    raw: Vec<u8>,
    /// Why the attributes end too early, if they do.
    pub(super) damage: Option<String>,
}

impl Record {
    /// Checks signature, fixups and the chain of attributes.
    pub(super) fn parse(number: u64, mut raw: Vec<u8>) -> Result<Self, EvidenceError> {
        if !raw.starts_with(b"FILE") {
            let start = Fields(&raw).array::<4>(0);
            return Err(EvidenceError::corrupt(format!(
                "MFT record {number} begins with {}, not FILE",
                crate::escape_bytes(&start)
            )));
        }
        let torn = unfix(&mut raw)
            .map_err(|what| EvidenceError::corrupt(format!("MFT record {number}: {what}")))?;
        if torn > 0 {
            return Err(EvidenceError::corrupt(format!(
                "MFT record {number} is torn: {torn} of its sectors are of another writing"
            )));
        }
        let mut record = Self { number, raw, damage: None };
        let mut walk = record.attributes();
        while walk.next().is_some() {}
        let damage = walk.damage.take();
        record.damage = damage;
        Ok(record)
    }

    fn fields(&self) -> Fields<'_> {
        Fields(&self.raw)
    }

    pub(super) fn sequence(&self) -> u16 {
        self.fields().le16(0x10)
    }

    /// Names, the DOS names counted too.
    pub(super) fn links(&self) -> u16 {
        self.fields().le16(0x12)
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.fields().le16(0x16) & 1 != 0
    }

    pub(super) fn is_directory(&self) -> bool {
        self.fields().le16(0x16) & 2 != 0
    }

    /// The record this one continues; 0 for none.
    pub(super) fn base(&self) -> Node {
        self.fields().le64(0x20)
    }

    /// The node of this record as it stands.
    pub(super) fn node(&self) -> Node {
        self.number | u64::from(self.sequence()) << 48
    }

    /// Sequence number of the last change in `$LogFile`.
    pub(super) fn log_sequence(&self) -> u64 {
        self.fields().le64(8)
    }

    pub(super) fn attributes(&self) -> AttributeWalk<'_> {
        let fields = self.fields();
        let used = to_usize(u64::from(fields.le32(0x18))).min(self.raw.len());
        let raw = self.raw.get(..used).unwrap_or(&[]);
        AttributeWalk { raw, at: usize::from(fields.le16(0x14)), damage: None }
    }
}

/// Puts the replaced bytes back and returns how many sectors did not carry the counter.
pub(super) fn unfix(raw: &mut [u8]) -> Result<usize, String> {
    let fields = Fields(raw);
    let (offset, count) = (usize::from(fields.le16(4)), usize::from(fields.le16(6)));
    let sectors = raw.len() / 512;
    let array = fields.slice(offset, count.saturating_mul(2)).to_vec();
    if count != sectors.saturating_add(1) || array.is_empty() {
        return Err(format!("{count} fixups at {offset} for {sectors} sectors"));
    }
    let (counter, values) = array.split_at_checked(2).unwrap_or((&[], &[]));
    let mut torn = 0_usize;
    for (sector, value) in raw.as_chunks_mut::<512>().0.iter_mut().zip(values.as_chunks::<2>().0) {
        if let Some(end) = sector.last_chunk_mut::<2>() {
            if end.as_slice() != counter {
                torn = torn.saturating_add(1);
            }
            *end = *value;
        }
    }
    Ok(torn)
}

/// One attribute of a record.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) kind: u32,
    pub(super) id: u16,
    pub(super) flags: u16,
    /// Its name in UTF-16LE; empty for none.
    pub(super) name: &'a [u8],
    pub(super) body: Body<'a>,
}

/// Content is compressed (the low byte tells the method; 1 is LZNT1).
pub(super) const FLAG_COMPRESSED: u16 = 0x00ff;
/// Content is encrypted.
pub(super) const FLAG_ENCRYPTED: u16 = 0x4000;
/// Content has holes.
pub(super) const FLAG_SPARSE: u16 = 0x8000;

/// Where the value of an attribute is.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// In the record.
    Resident(&'a [u8]),
    /// In clusters.
    Clusters(Piece<'a>),
}

/// One part of a value kept in clusters; the first part tells the sizes.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) first_cluster: u64,
    pub(super) allocated_bytes: u64,
    pub(super) size_bytes: u64,
    pub(super) initialized_bytes: u64,
    /// Clusters in a compression unit, as a power of two; 0 for none.
    pub(super) unit_shift: u8,
    pub(super) runs: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value when it stands in the record.
    pub(super) fn resident(&self) -> Option<&'a [u8]> {
        match self.body {
            Body::Resident(value) => Some(value),
            Body::Clusters(_) => None,
        }
    }

    /// Length of the whole value in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        match self.body {
            Body::Resident(value) => to_u64(value.len()),
            Body::Clusters(piece) => piece.size_bytes,
        }
    }

    /// Whether this is the part that tells the sizes.
    pub(super) fn is_first(&self) -> bool {
        !matches!(self.body, Body::Clusters(piece) if piece.first_cluster != 0)
    }
}

/// The attributes of a record in order; ends at the end mark or at damage.
pub(super) struct AttributeWalk<'a> {
    raw: &'a [u8],
    at: usize,
    damage: Option<String>,
}

impl<'a> Iterator for AttributeWalk<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let all = Fields(self.raw);
        let (kind, length) = (all.le32(self.at), all.le32(self.at.saturating_add(4)));
        if kind == u32::MAX || self.damage.is_some() {
            return None;
        }
        let raw = all.slice(self.at, to_usize(u64::from(length)));
        // A slice that would leave the record comes back empty; it must not be taken for an attribute.
        let attribute = (raw.len() >= 24).then(|| parse(kind, Fields(raw))).flatten();
        if attribute.is_none() {
            self.damage = Some(format!("attribute of type {kind:#x} at {} is malformed", self.at));
        }
        self.at = self.at.saturating_add(raw.len());
        attribute
    }
}

fn parse(kind: u32, fields: Fields<'_>) -> Option<Attribute<'_>> {
    let name_bytes = usize::from(fields.u8(9)).saturating_mul(2);
    let name = fields.slice(usize::from(fields.le16(10)), name_bytes);
    let body = if fields.u8(8) == 0 {
        let length = to_usize(u64::from(fields.le32(0x10)));
        let at = usize::from(fields.le16(0x14));
        if at.checked_add(length)? > fields.0.len() {
            return None;
        }
        Body::Resident(fields.slice(at, length))
    } else {
        Body::Clusters(Piece {
            first_cluster: fields.le64(0x10),
            allocated_bytes: fields.le64(0x28),
            size_bytes: fields.le64(0x30),
            initialized_bytes: fields.le64(0x38),
            unit_shift: fields.u8(0x22),
            runs: fields.0.get(usize::from(fields.le16(0x20))..)?,
        })
    };
    if name.len() != name_bytes {
        return None;
    }
    Some(Attribute { kind, id: fields.le16(14), flags: fields.le16(12), name, body })
}
