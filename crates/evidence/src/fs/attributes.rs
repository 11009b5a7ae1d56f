//! Marks a file system puts on an object, as one small set.
//!
//! A set of bits and not a list, because a walk holds a million of them.

use serde::{Serialize, Serializer};

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Attribute {
    /// Nobody may change, rename or delete it.
    Immutable,
    /// It may only grow.
    AppendOnly,
    /// Its content (and names, for a directory) is encrypted.
    Encrypted,
    /// Its content is covered by a hash tree (fs-verity).
    Verity,
    /// Its content is stored compressed.
    Compressed,
    /// Its content stands inside the inode or record.
    Inline,
    /// Recorded as sparse.
    Sparse,
    /// Its blocks are shared with other files.
    Shared,
    /// Hidden, by an attribute and not by a dot.
    Hidden,
    /// Marked as belonging to the system.
    System,
    /// Read-only by an attribute.
    ReadOnly,
    /// Changed since the last backup.
    Archive,
    /// A reparse point: a link, a mount, or a place another program fills.
    Reparse,
    /// Left out of dumps.
    NoDump,
    /// Copy-on-write switched off.
    NoCopyOnWrite,
    /// A directory compared without regard to case.
    CaseFolded,
}

impl Attribute {
    const ALL: [Self; 16] = [
        Self::Immutable,
        Self::AppendOnly,
        Self::Encrypted,
        Self::Verity,
        Self::Compressed,
        Self::Inline,
        Self::Sparse,
        Self::Shared,
        Self::Hidden,
        Self::System,
        Self::ReadOnly,
        Self::Archive,
        Self::Reparse,
        Self::NoDump,
        Self::NoCopyOnWrite,
        Self::CaseFolded,
    ];

    const fn bit(self) -> u32 {
        match self {
            Self::Immutable => 1,
            Self::AppendOnly => 1 << 1,
            Self::Encrypted => 1 << 2,
            Self::Verity => 1 << 3,
            Self::Compressed => 1 << 4,
            Self::Inline => 1 << 5,
            Self::Sparse => 1 << 6,
            Self::Shared => 1 << 7,
            Self::Hidden => 1 << 8,
            Self::System => 1 << 9,
            Self::ReadOnly => 1 << 10,
            Self::Archive => 1 << 11,
            Self::Reparse => 1 << 12,
            Self::NoDump => 1 << 13,
            Self::NoCopyOnWrite => 1 << 14,
            Self::CaseFolded => 1 << 15,
        }
    }
}

/// A set of [`Attribute`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes(u32);

impl Attributes {
    /// The marks of `table` whose bit is set in `flags`.
    #[must_use]
    pub fn from_flags(flags: u32, table: &[(u32, Attribute)]) -> Self {
        let set = table.iter().filter(|(bit, _)| flags & bit != 0);
        Self(set.fold(0, |all, (_, attribute)| all | attribute.bit()))
    }

    /// This set with one more.
    #[must_use]
    pub fn with(self, attribute: Attribute) -> Self {
        Self(self.0 | attribute.bit())
    }

    /// Whether the mark is set.
    #[must_use]
    pub fn has(self, attribute: Attribute) -> bool {
        self.0 & attribute.bit() != 0
    }

    /// The marks that are set.
    pub fn iter(self) -> impl Iterator<Item = Attribute> {
        Attribute::ALL.into_iter().filter(move |attribute| self.has(*attribute))
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        attributes.into_iter().fold(Self::default(), Self::with)
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        for attribute in Attribute::ALL {
            let set = Attributes::default().with(attribute);
            assert_eq!(set.iter().collect::<Vec<_>>(), [attribute]);
        }
        let set = Attributes::from_flags(
            0x30,
            &[(0x10, Attribute::Immutable), (0x40, Attribute::NoDump)],
        );
        assert_eq!(serde_json::to_string(&set).unwrap(), "[\"immutable\"]");
    }
}
