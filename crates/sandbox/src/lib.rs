//! What a process can be kept from: device requests, and system calls no tool needs.
//!
//! Two layers of the tools' box that stand for themselves. PID 1 applies them; single tools can.

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

mod opener;
pub mod syscall_filter;

pub use opener::{Opener, TARGET};
