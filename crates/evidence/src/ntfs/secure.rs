//! Security descriptors: owner, group and access list by the number a file carries, from `$Secure` ([MS-DTYP] 2.4.6).

use super::Ntfs;
use super::object::Object;
use super::record::kind;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use std::collections::HashMap;
use std::fmt::Write;

const RECORD_SECURE: u64 = 9;
/// The stream of all descriptors.
const DESCRIPTORS: &[u8] = b"$SDS";
/// Descriptors stand in blocks of this size, each followed by a copy of itself.
const BLOCK_BYTES: u64 = 256 * 1024;
/// Descriptors looked at: every one is at least 20 bytes long.
const MAX_DESCRIPTORS: usize = 1 << 20;
const MAX_STREAM_BYTES: u64 = 128 << 20;
/// Entries of one access list that are shown.
const MAX_ENTRIES: u16 = 256;

/// Where the descriptor of each number stands in the stream.
#[derive(Default)]
pub(super) struct Descriptors {
    places: HashMap<u32, (u64, u32)>,
}

impl Descriptors {
    /// Reads the heads of all descriptors.
    pub(super) fn load(ntfs: &Ntfs) -> Result<Self, EvidenceError> {
        let object = Object::load(ntfs, RECORD_SECURE)?;
        let mut found = Self::default();
        let Some(content) = object.content(ntfs, kind::DATA, DESCRIPTORS)? else {
            return Ok(found);
        };
        let size = content.size_bytes.min(MAX_STREAM_BYTES);
        let mut block = 0_u64;
        let mut raw = vec![0; to_usize(size.min(BLOCK_BYTES))];
        while block < size && found.places.len() < MAX_DESCRIPTORS {
            let got = content.read(&*ntfs.source, block, &mut raw)?;
            let fields = Fields(raw.get(..got).unwrap_or(&[]));
            let mut at = 0_usize;
            while at < got {
                let length = fields.le32(at.saturating_add(16));
                // The head repeats its own place, which tells it from the remains of others.
                if length < 20
                    || fields.le64(at.saturating_add(8)) != block.saturating_add(to_u64(at))
                {
                    break;
                }
                let place = (
                    block.saturating_add(to_u64(at)).saturating_add(20),
                    length.saturating_sub(20),
                );
                found.places.insert(fields.le32(at.saturating_add(4)), place);
                at = at.saturating_add(to_usize(u64::from(length))).next_multiple_of(16);
            }
            block = block.saturating_add(BLOCK_BYTES.saturating_mul(2));
        }
        Ok(found)
    }

    /// The descriptor with this number.
    pub(super) fn read(&self, ntfs: &Ntfs, number: u32) -> Result<Option<Vec<u8>>, EvidenceError> {
        let Some((at, length)) = self.places.get(&number) else { return Ok(None) };
        let object = Object::load(ntfs, RECORD_SECURE)?;
        let Some(content) = object.content(ntfs, kind::DATA, DESCRIPTORS)? else {
            return Ok(None);
        };
        let mut raw = vec![0; to_usize(u64::from(*length)).min(to_usize(BLOCK_BYTES))];
        let got = content.read(&ntfs.metadata, *at, &mut raw)?;
        raw.truncate(got);
        Ok(Some(raw))
    }
}

/// Owner, group and access list of a self-relative descriptor, as text.
pub(super) fn describe(raw: &[u8]) -> [(&'static str, Option<String>); 3] {
    let fields = Fields(raw);
    let at = |field: usize| to_usize(u64::from(fields.le32(field)));
    let sid_at = |offset: usize| (offset != 0).then(|| sid(raw.get(offset..)?)).flatten();
    let list = (at(16) != 0).then(|| access_list(raw.get(at(16)..).unwrap_or(&[])));
    [("owner", sid_at(at(4))), ("group", sid_at(at(8))), ("access list", list)]
}

/// A security identifier in its usual form.
fn sid(raw: &[u8]) -> Option<String> {
    let fields = Fields(raw);
    let count = usize::from(fields.u8(1));
    if raw.len() < count.saturating_mul(4).saturating_add(8) || count > 15 {
        return None;
    }
    let [high, low @ ..] = fields.array::<8>(0).last_chunk::<6>().copied().unwrap_or_default();
    let authority = low.iter().fold(u64::from(high), |all, byte| all << 8 | u64::from(*byte));
    let mut text = format!("S-{}-{authority}", fields.u8(0));
    for index in 0..count {
        let _ = write!(text, "-{}", fields.le32(index.saturating_mul(4).saturating_add(8)));
    }
    Some(text)
}

/// Each entry as its type, who, and the mask of rights.
fn access_list(raw: &[u8]) -> String {
    let fields = Fields(raw);
    let count = fields.le16(4);
    let mut parts = Vec::new();
    let mut at = 8_usize;
    for _ in 0..count.min(MAX_ENTRIES) {
        let entry = Fields(fields.slice(at, usize::from(fields.le16(at.saturating_add(2)))));
        if entry.0.len() < 8 {
            parts.push("malformed entry".to_owned());
            break;
        }
        let verb = match entry.u8(0) {
            0 => "allow",
            1 => "deny",
            2 => "audit",
            5 => "allow object",
            6 => "deny object",
            9 => "allow if",
            10 => "deny if",
            _ => "other",
        };
        let who = sid(entry.0.get(8..).unwrap_or(&[]));
        let (flags, mask) = (entry.u8(1), entry.le32(4));
        let who = who.filter(|_| !matches!(entry.u8(0), 5 | 6)).unwrap_or_else(|| "?".to_owned());
        parts.push(format!("{verb} {who} {mask:#010x} flags {flags:#04x}"));
        at = at.saturating_add(entry.0.len());
    }
    if count > MAX_ENTRIES {
        parts.push(format!("and {} more", count.saturating_sub(MAX_ENTRIES)));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_of_administrators() {
        // S-1-5-32-544 as [MS-DTYP] 2.4.2.4 names it.
        let raw = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        assert_eq!(sid(&raw).as_deref(), Some("S-1-5-32-544"));
        assert_eq!(sid(&raw[..15]), None);
    }
}
