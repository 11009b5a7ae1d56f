//! An installed system compared with what its vendor signed: every file, and every file that no package brings.
//!
//! Which packages are there is a claim of the system's own database; what they hold comes from the signed catalogue alone.
//! Invariants: nothing on the examined system vouches for anything (its digests, diversions and mode overrides are never
//! followed); what no rule explains is told; what could not be judged is counted, never passed over. The output depends on
//! the evidence and the archive only.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod baseline;
mod boot;
mod claims;
mod classes;
mod compare;
mod content;
mod database;
mod diff;
mod difference;
mod examination;
mod extra;
mod inventory;
mod manifest;
mod report;
mod rpm;
mod scripted;
mod telling;

pub use classes::Class;
pub use difference::Difference;
pub use manifest::manifest;
pub use report::{Coverage, Explained, Finding, Package, Report, Severity, Standing};

use archive::store::{Catalogue, Listing};
use evidence::FileSystem;
use evidence::fs::tree::Limits;
use evidence::system::Unreached;

/// Why a system could not be compared at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive does not hold what its signed index promises.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// There is nothing to compare.
    #[error("no package database is on it: {reason}")]
    NoDatabase {
        /// What was found instead.
        reason: String,
    },
    /// A baseline is none, or not the one that was signed.
    #[error("the baseline cannot be used: {reason}")]
    Baseline {
        /// What is wrong with it.
        reason: String,
    },
}

/// What to compare with and how far to go.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Manifest of a fresh install of such a system, made apart from it.
    pub golden: Option<&'a Listing>,
    /// Bounds of the walk.
    pub limits: Limits,
    /// Threads that read and hash.
    pub threads: usize,
    /// What the system's own files put into its tree and is not there.
    pub unreached: Vec<Unreached>,
}

/// Compares the system on `fs` with the catalogue.
///
/// # Errors
/// When the system has no package database, or a listing is not the one the signed index names.
pub fn run(
    fs: &dyn FileSystem,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Report, Error> {
    examination::examine(fs, catalogue, options)
}
