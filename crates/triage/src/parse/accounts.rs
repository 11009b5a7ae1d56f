//! `/etc/passwd`, `/etc/shadow` and `/etc/group` (passwd(5), shadow(5), group(5)).

use super::lines;

/// A line of passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name, raw.
    pub name: Vec<u8>,
    /// The password field.
    pub password: Vec<u8>,
    /// The uid as written.
    pub uid_text: Vec<u8>,
    /// The uid as the C library reads it: blanks and a plus sign are accepted, other text counts as 0.
    pub uid: u32,
    /// The gid, read alike.
    pub gid: u32,
    /// Home directory.
    pub home: Vec<u8>,
    /// Shell, raw, with any trailing blanks.
    pub shell: Vec<u8>,
    /// Line number from 1.
    pub line: usize,
    /// Byte offset of the line.
    pub offset_bytes: usize,
}

/// The accounts of a passwd file.
#[must_use]
pub fn parse(raw: &[u8]) -> Vec<Account> {
    let accounts = lines(raw).filter_map(|(line, offset_bytes, text)| {
        if matches!(text.first(), None | Some(b'#')) {
            return None;
        }
        let mut fields = text.split(|byte| *byte == b':');
        let name = fields.next()?.to_vec();
        let mut next = || fields.next().unwrap_or(&[]).to_vec();
        let (password, uid_text, gid_text, _comment, home) =
            (next(), next(), next(), next(), next());
        let shell = next();
        let (uid, gid) = (number(&uid_text), number(&gid_text));
        Some(Account { name, password, uid, gid, uid_text, home, shell, line, offset_bytes })
    });
    accounts.collect()
}

fn number(text: &[u8]) -> u32 {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A line of shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Login name.
    pub name: Vec<u8>,
    /// Hash, lock mark or nothing.
    pub hash: Vec<u8>,
    /// Line number from 1.
    pub line: usize,
    /// Byte offset of the line.
    pub offset_bytes: usize,
}

/// The entries of a shadow file.
#[must_use]
pub fn parse_shadow(raw: &[u8]) -> Vec<Shadow> {
    let entries = lines(raw).filter_map(|(line, offset_bytes, text)| {
        let mut fields = text.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_vec();
        Some(Shadow { name, hash: fields.next()?.to_vec(), line, offset_bytes })
    });
    entries.collect()
}

/// Whether a password field lets somebody in: a hash, not locked by `!` or `*`.
#[must_use]
pub fn is_usable_hash(field: &[u8]) -> bool {
    let traditional = field.len() == 13
        && field.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    traditional || (field.first() == Some(&b'$') && field.len() > 8)
}

/// A line of group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: Vec<u8>,
    /// Number.
    pub gid: u32,
    /// Members named in the line.
    pub members: Vec<Vec<u8>>,
    /// Line number from 1.
    pub line: usize,
    /// Byte offset of the line.
    pub offset_bytes: usize,
}

/// The groups of a group file.
#[must_use]
pub fn parse_groups(raw: &[u8]) -> Vec<Group> {
    let groups = lines(raw).filter_map(|(line, offset_bytes, text)| {
        let fields: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
        let [name, _, gid, members, ..] = fields.as_slice() else { return None };
        let members = members
            .split(|byte| *byte == b',')
            .filter(|member| !member.is_empty())
            .map(<[u8]>::to_vec);
        Some(Group {
            name: name.to_vec(),
            gid: number(gid),
            members: members.collect(),
            line,
            offset_bytes,
        })
    });
    groups.collect()
}
