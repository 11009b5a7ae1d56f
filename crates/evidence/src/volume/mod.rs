//! Volumes made of parts of disks, assembled in memory: LVM2, md, LUKS, BitLocker.
//!
//! Assembling reads the members' own records and yields a [`Source`]; nothing is resynchronised, and a member that is
//! stale or missing is said. The kernel is never asked to assemble anything.

pub mod bitlocker;
mod crypt;
pub mod luks;
pub mod lvm;
pub mod md;
mod pieces;
mod raid;

use crate::problem::Problem;
use crate::source::Source;
use serde::Serialize;
use std::sync::Arc;

/// A part of a volume that somebody found.
#[derive(Clone)]
pub struct Member {
    /// What the finder calls it, such as `disk0:3`; used in problems.
    pub name: String,
    /// Its bytes.
    pub source: Arc<dyn Source>,
}

/// A volume assembled from members.
#[derive(Clone, Serialize)]
pub struct Assembled {
    /// Its name: `vg/lv` for LVM, the array's name or number for md, escaped.
    pub name: String,
    /// Its own UUID.
    pub uuid: Option<String>,
    /// What it is made of, for people: `raid5, 3 of 4 members, chunk 512 KiB`.
    pub description: String,
    /// Its content; `None` when too much is missing or its kind is not read.
    #[serde(skip)]
    pub source: Option<Arc<dyn Source>>,
    /// Names of the members used.
    pub members: Vec<String>,
    /// What is missing, stale or not understood.
    pub problems: Vec<Problem>,
}

impl std::fmt::Debug for Assembled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembled")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .field("description", &self.description)
            .field("size_bytes", &self.source.as_ref().map(|source| source.size_bytes()))
            .field("members", &self.members)
            .field("problems", &self.problems)
            .finish()
    }
}

/// Something that opens an encrypted volume.
#[derive(Clone)]
pub enum Key {
    /// What a person types; LUKS takes its bytes, BitLocker its UTF-16.
    Passphrase(Vec<u8>),
    /// The content of a key file.
    File(Vec<u8>),
    /// A recovery key as printed.
    Recovery(String),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(hidden)",
            Self::File(_) => "File(hidden)",
            Self::Recovery(_) => "Recovery(hidden)",
        })
    }
}
