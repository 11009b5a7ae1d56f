//! PID 1 of the booted stick, and its disk broker.
//!
//! It alone keeps privileges: it mounts the sealed root, loads drivers from it, locks every disk
//! as it appears, hands out descriptors opened for reading, and starts the shells in a box without
//! rights (the same program, run again as `enter`). It reads nothing that stands on a disk, brings
//! up no network unless told, and goes on whatever part fails: what went wrong is shown and kept.

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

mod boot;
mod broker;
mod console;
mod disks;
mod enter;
mod hardening;
mod knockout;
mod landlock_domain;
mod log;
mod media;
mod modules;
mod network;
mod power;
mod questions;
mod session;
mod tripwire;
mod uevent;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("enter") => enter::console(&arguments.next().unwrap_or_default()),
        Some("probe") => enter::probe(),
        _ if rustix::process::getpid().is_init() => {
            // PID 1 must never end: the kernel would panic and the session with it.
            loop {
                if std::panic::catch_unwind(session::run).is_err() {
                    log::line("a part of the session failed and is started anew");
                }
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        _ => {
            log::line("init is started by the kernel of the booted stick, as process 1");
            ExitCode::from(2)
        }
    }
}
