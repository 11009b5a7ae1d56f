//! The volatile state of a running Linux host, in the order in which it vanishes, and what in it contradicts itself.
//!
//! Everything is asked of the kernel directly: by `/proc` and `/sys`, netlink and bpf(2). Several views of the same thing are
//! compared, because a rootkit has to lie in all of them alike. Invariants: nothing of the host is executed, not even by the
//! kernel on our behalf (a request that would have it load a module is not made unless that is allowed by name); nothing is
//! written to the host, not even a time of access; what could not be seen is said. A kernel that lies well can still deceive
//! this: the examination from the booted stick is the authority.
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

mod catalogue;
mod collection;
mod finding;
mod host;
mod kernel;
mod maps;
mod medium;
pub mod memory;
mod mounts;
mod netlink;
mod network;
mod open_files;
mod places;
mod process;
mod processes;
mod record;
mod sink;
mod sockets;
mod system;
mod tables;
mod uac;
mod views;

pub use catalogue::{Catalogue, Rule};
pub use collection::{Outcome, Written, collect};
pub use finding::{Confidence, Coverage, Finding, Report, Severity};
pub use host::Host;
pub use medium::{Lies, lies};
pub use sink::{Nowhere, Sink};

use std::time::Duration;

/// What to collect and how hard to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time now by the host's clock, as the caller read it (RFC 3339).
    pub now: String,
    /// Whether files are copied.
    pub copies: Copies,
    /// Whether requests may be made for which the kernel would start the host's `modprobe`.
    pub modules: ModuleLoading,
    /// How long to rest after each process; none to go on at once.
    pub pause: Option<Duration>,
    /// Whether a tar in UAC's layout is added.
    pub layout: Layout,
    /// Largest program that is hashed, in bytes.
    pub largest_hashed_bytes: u64,
}

/// Which files are copied: programs and open files that no name leads to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// None.
    None,
    /// Up to so many bytes of each, and of all together.
    UpTo {
        /// Of one file.
        each_bytes: u64,
        /// Of all.
        all_bytes: u64,
    },
}

/// In which forms it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// JSON lines.
    Lines,
    /// JSON lines, and a tar that readers of UAC's collections open.
    LinesAndUac,
}

/// Whether the kernel may be made to load a module of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleLoading {
    /// No: what needs one is left out, and said.
    Avoided,
    /// Yes: the host's own `modprobe` may run.
    Allowed,
}

/// Why nothing could be collected at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The medium or the other end did not take what was collected.
    #[error("writing {name}")]
    Output {
        /// The file of the collection.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}
