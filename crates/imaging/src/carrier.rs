//! Where the files of a copy go when that is no folder of this machine.
//!
//! A format writes one file after the other from its beginning on, and now and then puts in behind it what it could not
//! know before. Who sends files away has to know what may still change: the format says what is settled. What it has to
//! find again after an interruption it notes, for what was sent cannot be read.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use evidence::source::Source;
use serde_json::Value;

use crate::Flush;

/// Takes the files of one copy.
#[cfg_attr(
    not(feature = "bucket"),
    allow(dead_code, reason = "only the desk's program carries files elsewhere")
)]
pub(crate) trait Carrier: Send {
    /// Begins the next file; the one before is whole, and settled.
    fn next(&mut self, name: &str) -> io::Result<()>;

    /// Adds bytes to the current file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Overwrites bytes of the current file that were not settled.
    fn overwrite(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;

    /// These bytes of the current file will not change any more.
    fn settle(&mut self, range: Range<u64>) -> io::Result<()>;

    /// Reads bytes of the current file that were not settled.
    fn read_held_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Keeps a note of the format.
    fn note(&mut self, note: Value) -> io::Result<()>;

    /// Takes the notes that were kept up to the last checkpoint, in order.
    fn notes(&mut self) -> Vec<Value>;

    /// What has to reach the medium here before a checkpoint counts.
    fn to_flush(&mut self) -> io::Result<Flush>;

    /// Everything is written: waits until it is where it goes, and makes it visible there.
    fn finish(&mut self) -> io::Result<()>;

    /// One of the files, read from where it is; only of a finished copy.
    fn source(&self, name: &str) -> io::Result<Arc<dyn Source>>;

    /// Where the file of this name is, for people.
    fn place(&self, name: &str) -> PathBuf;

    /// What is needed to go on from a checkpoint; small.
    fn state(&self) -> Value;

    /// What the record should know.
    fn facts(&self) -> Value;

    /// Takes everything back.
    fn discard(&mut self);
}
