//! Choosing objects of a walk: by name, type, times, owner, rights, size, attributes.

use super::{Attribute, FileKind, FileSystem, Metadata, RawPath, glob};
use crate::error::EvidenceError;
use crate::time::Time;
use std::ops::RangeInclusive;

/// Which of the four times is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the usual word")]
pub enum Moment {
    Accessed,
    Modified,
    Changed,
    Born,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The last name matches a pattern; one with a slash is matched against the whole path.
    Name(Vec<u8>),
    /// It is one of these types.
    Kind(Vec<FileKind>),
    /// One of its times lies in a range; a time not recorded never does.
    Time(Moment, RangeInclusive<Time>),
    /// Its owner.
    Uid(u32),
    /// Its group.
    Gid(u32),
    /// Any of these permission bits is set (`0o4000` for set-user-id).
    AnyMode(u32),
    /// Its size in bytes lies in a range.
    Size(RangeInclusive<u64>),
    /// It carries an attribute of the file system.
    Has(Attribute),
    /// It has an extended attribute whose name matches a pattern (`security.capability`).
    Xattr(Vec<u8>),
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(pub Vec<Condition>);

impl Selection {
    /// Whether an object is chosen.
    ///
    /// # Errors
    /// When a condition on extended attributes cannot be judged because they cannot be read.
    pub fn takes(
        &self,
        fs: &dyn FileSystem,
        path: &RawPath,
        metadata: &Metadata,
    ) -> Result<bool, EvidenceError> {
        for condition in &self.0 {
            if !condition.holds(fs, path, metadata)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Condition {
    fn holds(
        &self,
        fs: &dyn FileSystem,
        path: &RawPath,
        metadata: &Metadata,
    ) -> Result<bool, EvidenceError> {
        Ok(match self {
            Self::Name(pattern) if pattern.contains(&b'/') => glob::matches(pattern, &path.0),
            Self::Name(pattern) => glob::matches(pattern, path.name()),
            Self::Kind(kinds) => kinds.contains(&metadata.kind),
            Self::Time(moment, range) => {
                moment.of(metadata).is_some_and(|time| range.contains(&time))
            }
            Self::Uid(uid) => metadata.uid == *uid,
            Self::Gid(gid) => metadata.gid == *gid,
            Self::AnyMode(bits) => metadata.mode & bits != 0,
            Self::Size(range) => range.contains(&metadata.size_bytes),
            Self::Has(attribute) => metadata.attributes.has(*attribute),
            Self::Xattr(pattern) => fs
                .xattrs(metadata.node)?
                .iter()
                .any(|attribute| glob::matches(pattern, &attribute.name.0)),
        })
    }
}

impl Moment {
    /// This time of an object.
    #[must_use]
    pub fn of(self, metadata: &Metadata) -> Option<Time> {
        match self {
            Self::Accessed => metadata.accessed,
            Self::Modified => metadata.modified,
            Self::Changed => metadata.changed,
            Self::Born => metadata.born,
        }
    }
}
