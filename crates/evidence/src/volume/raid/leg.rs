//! One leg of a set: where its data begins, how far it is in step, and which of its blocks are known to be bad.

use crate::bytes::to_u64;
use crate::source::{Source, SourceError};
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

/// A leg; one without a source is missing.
#[derive(Clone)]
pub(in crate::volume) struct Leg {
    pub(in crate::volume) source: Option<Arc<dyn Source>>,
    /// Where its data begins.
    pub(in crate::volume) start_bytes: u64,
    /// How much of the data is in step with the others; less than all while it is being rebuilt.
    pub(in crate::volume) valid_bytes: u64,
    /// Ranges of the data that must not be believed, as the set itself recorded.
    pub(in crate::volume) bad: Vec<Range<u64>>,
}

impl Leg {
    pub(in crate::volume) fn missing() -> Self {
        Self { source: None, start_bytes: 0, valid_bytes: 0, bad: Vec::new() }
    }

    pub(in crate::volume) fn whole(source: Arc<dyn Source>) -> Self {
        let valid_bytes = source.size_bytes();
        Self { source: Some(source), start_bytes: 0, valid_bytes, bad: Vec::new() }
    }

    /// Whether nothing of it can be read.
    pub(in crate::volume) fn is_missing(&self) -> bool {
        self.source.is_none() || self.valid_bytes == 0
    }

    pub(super) fn sector_bytes(&self) -> u32 {
        self.source.as_ref().map_or(512, |source| source.sector_bytes())
    }

    /// Fills `buf` from `at` of the data.
    pub(super) fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let refuse = |kind: ErrorKind, why: &'static str| SourceError {
            offset_bytes: at,
            length_bytes: buf.len(),
            source: Error::new(kind, why),
        };
        let end = at.saturating_add(to_u64(buf.len()));
        let Some(source) = &self.source else {
            return Err(refuse(ErrorKind::NotFound, "the member is missing"));
        };
        if end > self.valid_bytes {
            return Err(refuse(ErrorKind::InvalidData, "the member is not in step here"));
        }
        if self.bad.iter().any(|bad| bad.start < end && at < bad.end) {
            return Err(refuse(ErrorKind::InvalidData, "the set recorded a bad block here"));
        }
        source.fill(self.start_bytes.saturating_add(at), buf)
    }
}
