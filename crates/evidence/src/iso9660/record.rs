//! Directory records: what stands in a directory for each file (ECMA-119, 9.1).

use super::date;
use crate::bytes::Fields;
use crate::fs::Node;
use crate::time::Time;

/// Length of the fixed part.
const FIXED_BYTES: usize = 33;
const HIDDEN: u8 = 0x01;
const DIRECTORY: u8 = 0x02;
const ASSOCIATED: u8 = 0x04;
const CONTINUES: u8 = 0x80;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its byte offset in the source.
    pub(super) node: Node,
    /// Its length in bytes.
    pub(super) length: usize,
    /// First block of the content, behind its extended attribute record.
    pub(super) block: u64,
    pub(super) size_bytes: u64,
    pub(super) recorded: Option<Time>,
    pub(super) flags: u8,
    /// Blocks written and left out in turns; 0 and 0 where the content is in one piece.
    pub(super) interleave: (u8, u8),
    /// The name as recorded.
    pub(super) name: Vec<u8>,
    /// What stands behind the name, for extensions.
    pub(super) system_use: Vec<u8>,
    /// Fields recorded in both byte orders that do not agree.
    pub(super) disagreement: Option<String>,
}

impl Record {
    /// Reads the record that begins `raw` and stands at `node`; `None` when it cannot be one.
    pub(super) fn parse(node: Node, raw: &[u8]) -> Option<Self> {
        let fields = Fields(raw);
        let length = usize::from(fields.u8(0));
        let name_bytes = usize::from(fields.u8(32));
        let end_of_name = FIXED_BYTES.checked_add(name_bytes)?;
        if length > raw.len() || name_bytes == 0 || end_of_name > length {
            return None;
        }
        // A name of even length is followed by a byte of padding.
        let system_at = end_of_name.saturating_add(usize::from(name_bytes & 1 == 0));
        let disagreement =
            [("first block", 2_usize), ("length", 10)].into_iter().find_map(|(what, at)| {
                let (little, big) = (fields.le32(at), fields.be32(at.saturating_add(4)));
                (little != big)
                    .then(|| format!("{what} is {little} in one byte order, {big} in the other"))
            });
        Some(Self {
            node,
            length,
            block: u64::from(fields.le32(2)).saturating_add(u64::from(fields.u8(1))),
            size_bytes: u64::from(fields.le32(10)),
            recorded: date::short(fields.array(18)),
            flags: fields.u8(25),
            interleave: (fields.u8(26), fields.u8(27)),
            name: fields.slice(FIXED_BYTES, name_bytes).to_vec(),
            system_use: raw.get(system_at..length).unwrap_or(&[]).to_vec(),
            disagreement,
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.flags & DIRECTORY != 0
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.flags & HIDDEN != 0
    }

    /// A second part of another file (a resource fork).
    pub(super) fn is_associated(&self) -> bool {
        self.flags & ASSOCIATED != 0
    }

    /// Whether the next record goes on with the same file.
    pub(super) fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    /// The directory itself and its parent are named by one byte.
    pub(super) fn is_dot(&self) -> bool {
        self.is_directory() && matches!(self.name.as_slice(), [0 | 1])
    }
}

/// Which letters names are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// One byte each.
    Bytes,
    /// Two bytes each, big endian.
    Joliet,
}

/// A recorded name as it is shown: without the version `;1` and the dot before an extension that is not there.
pub(super) fn shown_name(raw: &[u8], letters: Letters) -> Vec<u8> {
    let name = match letters {
        Letters::Bytes => raw.to_vec(),
        Letters::Joliet => {
            let (pairs, _) = raw.as_chunks::<2>();
            let swapped: Vec<u8> = pairs.iter().flat_map(|[high, low]| [*low, *high]).collect();
            crate::wide::wtf8(&swapped)
        }
    };
    let bare = name.strip_suffix(b";1").unwrap_or(&name);
    let bare = match letters {
        Letters::Bytes => bare.strip_suffix(b".").unwrap_or(bare),
        Letters::Joliet => bare,
    };
    if bare.is_empty() { name } else { bare.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_version() {
        assert_eq!(shown_name(b"README.;1", Letters::Bytes), b"README");
        assert_eq!(shown_name(b"A.TXT;2", Letters::Bytes), b"A.TXT;2");
        assert_eq!(shown_name(b"\0a\0.\0;\x001", Letters::Joliet), b"a.");
        assert_eq!(shown_name(b";1", Letters::Bytes), b";1");
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(Record::parse(0, &[]), None);
        assert_eq!(Record::parse(0, &[40; 34]), None);
        let mut raw = [0; 64];
        raw[0] = 36;
        raw[32] = 4;
        assert_eq!(Record::parse(0, &raw), None);
        raw[0] = 38;
        assert_eq!(Record::parse(0, &raw).unwrap().system_use, b"");
    }
}
