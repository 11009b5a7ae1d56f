//! Registry hives of Windows, read as they lie on the disk.
//!
//! A hive is a heap of cells that point to each other. Every pointer, count and length is a claim of the disk: a cell
//! outside the hive, of the wrong kind or too short for what it should hold is an error with its place, lists are bounded,
//! and a key met twice on one walk is not entered again.
//!
//! Own reader, not a crate: `winreg-core` (0.2.1) brings memory maps, a calendar and an error renderer for 1,700 lines of
//! its own, `notatin` (1.0.1) a terminal and an argument parser, `frnsc-hive` (0.13.4) reads by unaligned casts. hivex and
//! Dissect judge it in the tests. What the logs of a hive (`.LOG1`, `.LOG2`) have is laid over it where they are given; a
//! hive that needs them and has none that fit says so.

mod file;
mod hive;
mod key;
mod list;
mod log;
mod value;

pub use file::open_in;
pub use hive::Hive;
pub use key::{Key, Keys, Visit};
pub use log::{LogFile, Replay};
pub use value::{Value, ValueKind, Values};
