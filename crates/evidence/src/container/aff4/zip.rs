//! The directory of a ZIP64 file, as far as AFF4 needs it: which members there are, and where their bytes begin.
//!
//! Our own reader, because the published crates keep every name in memory and open members only one after the other.
//! Read from PKWARE's APPNOTE.TXT 6.3.10; encrypted members and archives in several parts are left out.

use super::super::tables::Tables;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::source::Source;
use std::sync::Arc;

pub(super) const LOCAL: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
const END64: &[u8] = b"PK\x06\x06";

const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const ENTRY_BYTES: usize = 46;

/// The longest comment, and with it how far the end record may lie before the end of the file.
const MAX_COMMENT_BYTES: usize = 0xffff;

/// Members one file may have: a bevy with its index and five digests for each 64 MiB of 32 TiB.
const MAX_MEMBERS: u64 = 4 << 20;

/// A piece of the directory; longer than the longest entry (three fields of 64 KiB).
const PIECE_BYTES: usize = 1 << 20;

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// A member of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Where its own header is.
    pub(super) header_at: u64,
    /// Its length in the file.
    pub(super) stored_bytes: u64,
    /// Its length when unpacked.
    pub(super) size_bytes: u64,
    /// 0 is stored, 8 is deflated.
    pub(super) method: u16,
}

impl Member {
    /// Where its bytes begin; only its own header says how long that is.
    pub(super) fn data_at(&self, file: &Tables) -> Result<u64, String> {
        let mut raw = [0; 30];
        let dynamic: &dyn Source = file;
        dynamic.fill(self.header_at, &mut raw).map_err(|error| error.to_string())?;
        let head = Fields(&raw);
        if !head.has(0, LOCAL) {
            return Err(format!("no member begins at {}", self.header_at));
        }
        let lengths = u64::from(head.le16(26)).saturating_add(u64::from(head.le16(28)));
        Ok(self.header_at.saturating_add(30).saturating_add(lengths))
    }
}

/// Where the directory is.
pub(super) struct Directory {
    at: u64,
    length_bytes: u64,
    count: u64,
    pub(super) comment: Vec<u8>,
}

impl Directory {
    /// Looks for it at the end of the file; `None` when there is none.
    pub(super) fn find(file: &dyn Source) -> Result<Option<Self>, String> {
        let most = END_BYTES.saturating_add(MAX_COMMENT_BYTES).saturating_add(LOCATOR_BYTES);
        let tail_at = file.size_bytes().saturating_sub(to_u64(most));
        let tail = file.bytes_at(tail_at, most).map_err(|error| error.to_string())?;
        let fields = Fields(&tail);
        let last = tail.len().saturating_sub(END_BYTES);
        let is_end = |at: &usize| {
            let comment = usize::from(fields.le16(at.saturating_add(20)));
            let end = at.saturating_add(END_BYTES).saturating_add(comment);
            fields.has(*at, END) && end <= tail.len()
        };
        let Some(end) = (0..=last).rev().find(is_end) else { return Ok(None) };
        let comment_bytes = usize::from(fields.le16(end.saturating_add(20)));
        let mut directory = Self {
            at: u64::from(fields.le32(end.saturating_add(16))),
            length_bytes: u64::from(fields.le32(end.saturating_add(12))),
            count: u64::from(fields.le16(end.saturating_add(10))),
            comment: fields.slice(end.saturating_add(END_BYTES), comment_bytes).to_vec(),
        };
        let locator = end.checked_sub(LOCATOR_BYTES).filter(|at| fields.has(*at, LOCATOR));
        if let Some(locator) = locator {
            let at = fields.le64(locator.saturating_add(8));
            let raw = file.bytes_at(at, 56).map_err(|error| error.to_string())?;
            let record = Fields(&raw);
            if record.has(0, END64) {
                directory.count = record.le64(32);
                directory.length_bytes = record.le64(40);
                directory.at = record.le64(48);
            }
        }
        if directory.count > MAX_MEMBERS {
            return Err(format!("{} members; {MAX_MEMBERS} is the limit", directory.count));
        }
        Ok(Some(directory))
    }

    /// Shows every member with its name. What was shown before an error is good.
    pub(super) fn each(
        &self,
        file: &dyn Source,
        show: &mut dyn FnMut(&[u8], Member),
    ) -> Result<(), String> {
        let (mut at, mut left, mut count) = (self.at, self.length_bytes, self.count);
        while count != 0 {
            let piece = file
                .bytes_at(at, PIECE_BYTES.min(to_usize(left)))
                .map_err(|error| error.to_string())?;
            let mut done = 0_usize;
            while count != 0 {
                let Some((length, name, member)) = entry(Fields(piece.get(done..).unwrap_or(&[])))
                else {
                    break;
                };
                show(name, member);
                done = done.saturating_add(length);
                count = count.saturating_sub(1);
            }
            if done == 0 {
                return Err(format!("the directory breaks off at {at}, {count} entries too early"));
            }
            at = at.saturating_add(to_u64(done));
            left = left.saturating_sub(to_u64(done));
        }
        Ok(())
    }
}

/// The entry at the start: its length, its name, its member; `None` when it is no whole entry.
fn entry(fields: Fields<'_>) -> Option<(usize, &[u8], Member)> {
    if !fields.has(0, ENTRY) {
        return None;
    }
    let length = |at: usize| usize::from(fields.le16(at));
    let (name, extra, comment) = (length(28), length(30), length(32));
    let behind_name = ENTRY_BYTES.saturating_add(name);
    let total = behind_name.saturating_add(extra).saturating_add(comment);
    if total > fields.0.len() {
        return None;
    }
    let mut member = Member {
        header_at: u64::from(fields.le32(42)),
        stored_bytes: u64::from(fields.le32(20)),
        size_bytes: u64::from(fields.le32(24)),
        method: fields.le16(10),
    };
    wide(Fields(fields.slice(behind_name, extra)), &mut member);
    Some((total, fields.slice(ENTRY_BYTES, name), member))
}

/// Takes from the ZIP64 field (4.5.3) what the entry itself has no room for.
fn wide(extra: Fields<'_>, member: &mut Member) {
    let mut at = 0_usize;
    while at.saturating_add(4) <= extra.0.len() {
        let length = usize::from(extra.le16(at.saturating_add(2)));
        if extra.le16(at) == 1 {
            let field = Fields(extra.slice(at.saturating_add(4), length));
            let mut next = 0_usize;
            for value in [&mut member.size_bytes, &mut member.stored_bytes, &mut member.header_at] {
                if *value == u64::from(u32::MAX) && next.saturating_add(8) <= field.0.len() {
                    *value = field.le64(next);
                    next = next.saturating_add(8);
                }
            }
            return;
        }
        at = at.saturating_add(4).saturating_add(length);
    }
}

/// A member's whole content, at most `limit_bytes` of it.
pub(super) fn content(
    file: &Arc<dyn Source>,
    tables: &Tables,
    member: &Member,
    limit_bytes: u64,
) -> Result<Vec<u8>, String> {
    let most = member.size_bytes.max(member.stored_bytes);
    if most > limit_bytes {
        return Err(format!("{most} bytes; {limit_bytes} is the limit"));
    }
    let at = member.data_at(tables)?;
    let raw =
        file.bytes_at(at, to_usize(member.stored_bytes)).map_err(|error| error.to_string())?;
    if to_u64(raw.len()) != member.stored_bytes {
        return Err(format!("{} bytes of {}: the file is cut off", raw.len(), member.stored_bytes));
    }
    match member.method {
        STORED => Ok(raw),
        DEFLATED => crate::codec::Packing::Deflate
            .unpack(&raw, to_usize(member.size_bytes))
            .map_err(|error| error.to_string()),
        other => Err(format!("packed by ZIP method {other}, which is not read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;

    /// Only we vouch here; the tests of whole images are judged by pyaff4 and by Python's zipfile.
    #[test]
    fn an_entry_gives_its_wide_fields_in_their_order() {
        let mut raw = b"PK\x01\x02".to_vec();
        raw.resize(46, 0);
        raw[20..28].fill(0xff);
        raw[28] = 3;
        raw[30] = 20;
        raw[42..46].copy_from_slice(&7_u32.to_le_bytes());
        raw.extend(b"abc\x01\x00\x10\x00");
        raw.extend((1_u64 << 40).to_le_bytes());
        raw.extend(5_u64.to_le_bytes());
        let (length, name, member) = entry(Fields(&raw)).unwrap();
        assert_eq!((length, name), (69, &b"abc"[..]));
        let expected =
            Member { header_at: 7, stored_bytes: 5, size_bytes: 1 << 40, method: STORED };
        assert_eq!(member, expected);
        assert!(entry(Fields(&raw[..68])).is_none());
    }

    #[test]
    fn a_directory_that_promises_more_than_it_has_ends() {
        let mut raw = b"PK\x05\x06".to_vec();
        raw.resize(22, 0);
        raw[10] = 9;
        let source = MemSource::new(raw);
        let directory = Directory::find(&source).unwrap().unwrap();
        assert!(directory.each(&source, &mut |_, _| panic!("no entry")).is_err());
        assert!(Directory::find(&MemSource::default()).unwrap().is_none());
    }
}
