//! The words between the disk broker and the tools: disks, lock state, write counters, unlock.
//!
//! On the booted stick the broker (PID 1) owns every disk; a tool asks it over a local socket and
//! receives descriptors opened for reading. On a desk or a live host there is no broker, and
//! [`Guard::connect`] falls back to opening directly, always for reading. No policy is decided on
//! the asking side: what this crate sends is a request, what it gets is the broker's answer.

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

mod asking;
pub mod channel;
mod client;
mod counters;
mod disk;
mod error;
pub mod inventory;
mod message;
pub mod question;

pub use asking::{PATIENCE_MS, Reply, ask};
pub use client::{Guard, Opened};
pub use counters::Counters;
pub use disk::{Disk, DiskName, LockState, Mount, Partition};
pub use error::{Error, Kind};
pub use message::{Answer, Interface, Layer, LayerState, NetUp, Power, Request, Status, Unlock};
pub use question::Question;

/// Where the broker listens on the booted stick.
pub const SOCKET_PATH: &str = "/run/guard.sock";
