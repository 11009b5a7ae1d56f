//! The footer, and the header that dynamic and differencing images add.

use super::{checksum, from_end, utf16_name};
use crate::bytes::{Fields, padded_text, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::source::Source;
use crate::time::Time;

pub(super) const COOKIE: &[u8] = b"conectix";

/// 2000-01-01 in seconds since 1970.
const EPOCH: i64 = 946_684_800;

/// A name as a parent locator holds it.
const MAX_NAME_BYTES: u32 = 64 << 10;

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed,
    Dynamic,
    Differencing,
    Other(u32),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::Dynamic => f.write_str("dynamic"),
            Self::Differencing => f.write_str("differencing"),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

/// The footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) kind: Kind,
    pub(super) size_bytes: u64,
    /// Where the dynamic header is.
    pub(super) data_at: u64,
    pub(super) unique_id: [u8; 16],
    pub(super) created: Time,
    pub(super) creator: Option<String>,
    pub(super) system: Option<String>,
    pub(super) is_saved: bool,
    /// 512, or 511 as Virtual PC before 2004 wrote it.
    pub(super) length_bytes: u64,
    recorded: u32,
    found: u32,
}

impl Footer {
    pub(super) fn read(source: &dyn Source, at: u64) -> Result<Self, EvidenceError> {
        let raw = source.bytes_at(at, 512).map_err(EvidenceError::read("the VHD footer"))?;
        let fields = Fields(&raw);
        let (seconds, nanoseconds) = (i64::from(fields.be32(24)).saturating_add(EPOCH), 0);
        let kind = match fields.be32(60) {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => Kind::Differencing,
            other => Kind::Other(other),
        };
        Ok(Self {
            kind,
            size_bytes: fields.be64(48),
            data_at: fields.be64(16),
            unique_id: fields.array(68),
            created: Time { seconds, nanoseconds },
            creator: padded_text(fields.slice(28, 4)),
            system: padded_text(fields.slice(36, 4)),
            is_saved: fields.u8(84) != 0,
            length_bytes: to_u64(raw.len()),
            recorded: fields.be32(64),
            found: checksum(&raw, 64),
        })
    }

    /// The footer at the end of the file.
    pub(super) fn at_end(source: &dyn Source) -> Option<Self> {
        [512, 511].into_iter().find_map(|length| {
            let at = from_end(source, length);
            let cookie = source.bytes_at(at, COOKIE.len()).ok()?;
            (cookie == COOKIE && at != 0).then(|| Self::read(source, at).ok()).flatten()
        })
    }

    pub(super) fn is_good(&self) -> bool {
        self.recorded == self.found
    }
}

/// The header of dynamic and differencing images.
pub(super) struct DynamicHeader {
    pub(super) table_at: u64,
    pub(super) block_count: u64,
    pub(super) block_bytes: u64,
    pub(super) parent_id: [u8; 16],
    pub(super) is_good: bool,
    parent_name: Vec<u8>,
    /// Platform code, place and length of further names.
    locators: Vec<(u32, u64, u32)>,
}

impl DynamicHeader {
    pub(super) fn read(source: &dyn Source, at: u64) -> Result<Self, EvidenceError> {
        let raw = source.bytes_at(at, 1024).map_err(EvidenceError::read("the dynamic header"))?;
        let fields = Fields(&raw);
        if raw.len() < 1024 || !fields.has(0, b"cxsparse") {
            return Err(EvidenceError::corrupt(format!("no dynamic header at {at}")));
        }
        let block_bytes = u64::from(fields.be32(32));
        if !block_bytes.is_power_of_two() || !(512..=1 << 31).contains(&block_bytes) {
            return Err(EvidenceError::corrupt(format!("VHD blocks of {block_bytes} bytes")));
        }
        let units = fields.slice(64, 512).as_chunks::<2>().0.iter();
        let locators = (0..8_usize).map(|index| {
            let at = index.saturating_mul(24).saturating_add(576);
            let field = |from: usize| at.saturating_add(from);
            (fields.be32(at), fields.be64(field(16)), fields.be32(field(8)))
        });
        Ok(Self {
            table_at: fields.be64(16),
            block_count: u64::from(fields.be32(28)),
            block_bytes,
            parent_id: fields.array(40),
            is_good: fields.be32(36) == checksum(&raw, 36),
            parent_name: utf16_name(units.map(|pair| u16::from_be_bytes(*pair))),
            locators: locators.collect(),
        })
    }

    /// Every name recorded for the parent: those relative to this file first.
    pub(super) fn parent_names(&self, source: &dyn Source) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        for code in [b"W2ru", b"W2ku"] {
            for (platform, at, length) in &self.locators {
                if platform.to_be_bytes() != *code || *length > MAX_NAME_BYTES {
                    continue;
                }
                let raw = source.bytes_at(*at, to_usize(u64::from(*length))).unwrap_or_default();
                let units = raw.as_chunks::<2>().0.iter();
                names.push(utf16_name(units.map(|pair| u16::from_le_bytes(*pair))));
            }
        }
        names.push(self.parent_name.clone());
        names.retain(|name| !name.is_empty());
        names
    }
}
