//! An image somebody stored, opened by path: what `verify`, `info`, `convert` and `cat` share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evidence::container::Opened;
use evidence::source::Source;
use imaging::ReadAt;

use super::store::{self, Keys};
use crate::failure::Failure;
use crate::target;

/// The image in a file of any format, or in an object store.
///
/// # Errors
/// If it is not there or cannot be opened.
pub(super) fn open(path: &str, keys: &Keys) -> Result<Opened, Failure> {
    if path.starts_with(store::STORE) {
        return store::image(path, keys);
    }
    target::image(path)
}

/// The name of its format, as `--format` and the JSON lines spell it.
pub(super) fn format_name(opened: &Opened) -> String {
    let value = serde_json::to_value(opened.format).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

/// A source of evidence for the acquisition, which narrows down what cannot be read.
pub(super) struct Reading(pub(super) Arc<dyn Source>);

impl ReadAt for Reading {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset_bytes, buffer).map_err(|error| io::Error::other(error.to_string()))
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.0.sector_bytes()
    }
}

/// Why a sector cannot be read.
pub(super) fn why(source: &dyn Source, offset_bytes: u64) -> String {
    match source.read_at(offset_bytes, &mut [0; 1]) {
        Ok(_) => "it can be read by now".to_owned(),
        Err(error) => error.source.to_string(),
    }
}

/// Becomes true with Ctrl-C.
///
/// # Errors
/// If the signal is taken already.
pub(super) fn cancelled() -> Result<Arc<AtomicBool>, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&cancel);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    Ok(cancel)
}
