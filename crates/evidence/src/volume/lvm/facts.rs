//! Facts about groups for people and reports.

use crate::problem::Problem;
use serde::Serialize;

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupFacts {
    /// Its name, escaped.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// How often its metadata was changed.
    pub sequence: u64,
    /// Size of an extent in bytes.
    pub extent_bytes: u64,
    /// The host that wrote the metadata, escaped.
    pub host: Option<String>,
    /// When, in seconds since 1970.
    pub written: Option<i64>,
    /// The command or event that led to it, escaped.
    pub written_by: Option<String>,
    /// Its physical volumes.
    pub physical: Vec<PhysicalFacts>,
    /// Its logical volumes, hidden ones too.
    pub logical: Vec<LogicalFacts>,
    /// What is missing, stale or not understood.
    pub problems: Vec<Problem>,
}

/// A physical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhysicalFacts {
    /// Its UUID.
    pub uuid: String,
    /// The device it was last seen as, escaped; only a hint.
    pub device: Option<String>,
    /// The member it is; `None` when it is missing.
    pub member: Option<String>,
    /// Bytes of its extents.
    pub size_bytes: u64,
    /// Flags such as `ALLOCATABLE` and `MISSING`, escaped.
    pub flags: Vec<String>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogicalFacts {
    /// Its name, escaped.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Types of its segments, such as `striped` or `thin`, escaped.
    pub kinds: Vec<String>,
    /// Status and flags, escaped.
    pub flags: Vec<String>,
    /// Whether a system shows it.
    pub is_visible: bool,
    /// The host that made it, escaped.
    pub host: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: Option<i64>,
}
