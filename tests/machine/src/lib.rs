//! Drives virtual machines for tests: starts QEMU, types on the serial line, counts what reached each disk.
//!
//! The rule this library exists for: an evidence disk is always attached *writable*, so that a
//! quiet disk proves the guest and not QEMU. Three oracles look at every run: the completion line
//! of the guest, the exit code of the command, and the host, which reads QEMU's block counters
//! and the SHA-256 of each disk file.
//!
//! Invariant: nothing here is linked into the booted image.

#![forbid(unsafe_code)]

pub mod accel;
pub mod builder;
pub mod cache;
pub mod chance;
pub mod counters;
pub mod cpio;
pub mod demo;
pub mod digest;
pub mod disk;
pub mod error;
pub mod fat;
pub mod firmware;
pub mod guest;
pub mod ledger;
pub mod nvram;
pub mod packages;
pub mod pcap;
pub mod process;
pub mod program;
pub mod qmp;
pub mod running;
pub mod sample;
pub mod serial;
pub mod shell;
pub mod volumes;
pub mod workshop;
pub mod write_log;
pub mod zoo;

pub use builder::{Boot, Builder, Medium, MediumKind};
pub use counters::Counters;
pub use disk::{Bus, Disk};
pub use error::{Error, Result};
pub use firmware::Firmware;
pub use ledger::Ledger;
pub use running::Machine;
pub use shell::{Output, Shell};
