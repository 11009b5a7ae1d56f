//! Accounts and groups of the Security Accounts Manager: the values `F` and `V` of an account, `C` of a group.
//!
//! The layout is undocumented; it is that of the `chntpw` project's notes, and Dissect judges it in the tests.

use super::super::bytes::{le16, le32, le64, size};
use super::{filetime, sid, utf16};
use evidence::Time;

/// The account is switched off.
pub const DISABLED: u16 = 0x0001;
/// It may have no password.
pub const NO_PASSWORD_NEEDED: u16 = 0x0004;
/// Where offsets of `V` are counted from.
const V_DATA: usize = 0xcc;
/// Where offsets of `C` are counted from.
const C_DATA: usize = 0x34;
/// Members of one group that are told.
const MAX_MEMBERS: usize = 4096;

/// What `F` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// The relative identifier that logging on gives; it should be that of the key.
    pub rid: u32,
    /// Flags such as [`DISABLED`].
    pub flags: u16,
    /// Last log-on.
    pub last_logon: Option<Time>,
    /// Last change of the password.
    pub password_set: Option<Time>,
    /// Last log-on with a wrong password.
    pub last_failed: Option<Time>,
    /// Log-ons counted.
    pub logons: u16,
}

/// Reads `F`.
#[must_use]
pub fn fixed(raw: &[u8]) -> Option<Fixed> {
    Some(Fixed {
        rid: le32(raw, 48)?,
        flags: le16(raw, 56)?,
        last_logon: filetime(le64(raw, 8)?),
        password_set: filetime(le64(raw, 24)?),
        last_failed: filetime(le64(raw, 40)?),
        logons: le16(raw, 66)?,
    })
}

/// The name of an account in `V`.
#[must_use]
pub fn name(raw: &[u8]) -> Option<String> {
    part(raw, 12, V_DATA).map(utf16)
}

/// The comment of an account in `V`.
#[must_use]
pub fn comment(raw: &[u8]) -> Option<String> {
    part(raw, 36, V_DATA).map(utf16).filter(|text| !text.is_empty())
}

fn part(raw: &[u8], at: usize, base: usize) -> Option<&[u8]> {
    let start = base.checked_add(size(le32(raw, at)?))?;
    let end = start.checked_add(size(le32(raw, at.checked_add(4)?)?))?;
    raw.get(start..end)
}

/// A group: its name and the identifiers of its members.
#[must_use]
pub fn group(raw: &[u8]) -> Option<(String, Vec<String>)> {
    let name = part(raw, 0x10, C_DATA).map(utf16)?;
    let count = size(le32(raw, 0x30)?).min(MAX_MEMBERS);
    let mut rest = part(raw, 0x28, C_DATA)?;
    let mut members = Vec::new();
    for _ in 0..count {
        let length = usize::from(*rest.get(1)?).checked_mul(4)?.checked_add(8)?;
        members.push(sid(rest.get(..length)?)?);
        rest = rest.get(length..)?;
    }
    Some((name, members))
}
