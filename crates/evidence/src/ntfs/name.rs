//! `$FILE_NAME`: a name, the directory it stands in, and the times that were true when the name was given.

use crate::bytes::Fields;
use crate::fs::Node;
use crate::time::Time;
use crate::wide::{filetime, wtf8};

/// Which rules a name follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Posix,
    Win32,
    /// A name of 8.3 letters that only repeats another one.
    Dos,
    Win32AndDos,
    Unknown(u8),
}

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Posix => f.write_str("POSIX"),
            Self::Win32 => f.write_str("Win32"),
            Self::Dos => f.write_str("DOS"),
            Self::Win32AndDos => f.write_str("Win32 and DOS"),
            Self::Unknown(number) => write!(f, "name space {number}"),
        }
    }
}

/// A name with what is recorded beside it.
#[derive(Clone, Debug)]
pub(super) struct FileName {
    pub(super) parent: Node,
    /// Created, modified, record changed, accessed.
    pub(super) times: [Option<Time>; 4],
    pub(super) space: Space,
    /// WTF-8.
    pub(super) name: Vec<u8>,
}

impl FileName {
    /// From the value of the attribute, or the key of an index entry.
    pub(super) fn parse(raw: &[u8]) -> Option<Self> {
        let fields = Fields(raw);
        let name_bytes = usize::from(fields.u8(0x40)).saturating_mul(2);
        let name = fields.slice(0x42, name_bytes);
        if name.is_empty() {
            return None;
        }
        Some(Self {
            parent: fields.le64(0),
            times: times(raw.get(8..40)?),
            space: match fields.u8(0x41) {
                0 => Space::Posix,
                1 => Space::Win32,
                2 => Space::Dos,
                3 => Space::Win32AndDos,
                other => Space::Unknown(other),
            },
            name: wtf8(name),
        })
    }

    /// Whether it could be a name in a path: no separator, no NUL, not the directory itself.
    pub(super) fn is_usable(&self) -> bool {
        !self.name.contains(&b'/') && !self.name.contains(&0)
    }

    pub(super) fn is_self(&self) -> bool {
        matches!(&self.name[..], b"." | b"..")
    }
}

/// Four times as `$STANDARD_INFORMATION` and `$FILE_NAME` both order them.
pub(super) fn times(raw: &[u8]) -> [Option<Time>; 4] {
    let fields = Fields(raw);
    [0, 8, 16, 24].map(|at| filetime(fields.le64(at)))
}
