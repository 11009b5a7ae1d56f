//! Links of the shell (`.lnk`, MS-SHLLINK): what they start, and with which arguments.

use super::super::bytes::{le16, le32, size};
use super::utf16;

/// What a link starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The path on a volume of the machine, or relative to the link.
    pub target: String,
    /// The arguments.
    pub arguments: String,
}

const HAS_ID_LIST: u32 = 0x01;
const HAS_LINK_INFO: u32 = 0x02;
const IS_UNICODE: u32 = 0x80;

/// Reads a link; `None` when it is none.
#[must_use]
pub fn parse(raw: &[u8]) -> Option<Link> {
    if le32(raw, 0)? != 0x4c || raw.get(4..20)? != CLASS {
        return None;
    }
    let flags = le32(raw, 20)?;
    let mut at = 76_usize;
    if flags & HAS_ID_LIST != 0 {
        at = at.checked_add(2)?.checked_add(usize::from(le16(raw, at)?))?;
    }
    let mut link = Link::default();
    if flags & HAS_LINK_INFO != 0 {
        let info = raw.get(at..)?;
        let length = size(le32(info, 0)?);
        link.target = local_path(info.get(..length)?).unwrap_or_default();
        at = at.checked_add(length)?;
    }
    // Name, relative path, working directory, arguments, icon: each if its flag is set.
    for (bit, what) in [(0x04_u32, 0), (0x08, 1), (0x10, 2), (0x20, 3)] {
        if flags & bit == 0 {
            continue;
        }
        let count = usize::from(le16(raw, at)?);
        let start = at.checked_add(2)?;
        let length = if flags & IS_UNICODE == 0 { count } else { count.checked_mul(2)? };
        let end = start.checked_add(length)?;
        let text = raw.get(start..end)?;
        let text = if flags & IS_UNICODE == 0 {
            String::from_utf8_lossy(text).into_owned()
        } else {
            utf16(text)
        };
        match what {
            1 if link.target.is_empty() => link.target = text,
            3 => link.arguments = text,
            _ => {}
        }
        at = end;
    }
    Some(link)
}

/// The class every link names.
const CLASS: [u8; 16] = [1, 0x14, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];

fn local_path(info: &[u8]) -> Option<String> {
    let offset = size(le32(info, 16)?);
    let base = info.get(offset..).filter(|_| offset >= 28)?;
    let end = base.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(base.get(..end)?).into_owned())
}
