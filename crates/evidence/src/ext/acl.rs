//! Access lists as ext keeps them: version 1, where entries that name nobody are cut to half their length.
//!
//! Programs never see this form; the kernel turns it into that of [`crate::fs::acl`], so that is what is shown.

use crate::bytes::Fields;
use crate::fs::acl::{AclEntry, NO_ID, encode};

const VERSION: u32 = 1;
const USER: u16 = 2;
const GROUP: u16 = 8;

/// The kernel's form of a stored list; `None` when it is not a list of this version, and then it is shown as stored.
pub(super) fn shown(stored: &[u8]) -> Option<Vec<u8>> {
    let fields = Fields(stored);
    if stored.len() < 4 || fields.le32(0) != VERSION {
        return None;
    }
    let mut entries = Vec::new();
    let mut at = 4_usize;
    while at < stored.len() {
        let tag = fields.le16(at);
        let names_somebody = matches!(tag, USER | GROUP);
        let length = if names_somebody { 8 } else { 4 };
        if fields.slice(at, length).is_empty() {
            return None;
        }
        let id = if names_somebody { fields.le32(at.saturating_add(4)) } else { NO_ID };
        entries.push(AclEntry { tag, permissions: fields.le16(at.saturating_add(2)), id });
        at = at.saturating_add(length);
    }
    Some(encode(&entries))
}
