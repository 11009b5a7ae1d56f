//! Where bytes go.

use std::io;

/// Whether zeros are written or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Every byte is written: the copy takes the room it needs from the start.
    #[default]
    Plain,
    /// Blocks of zeros are skipped. Only for a sink that is new and reads as zeros where nothing
    /// was written.
    Sparse,
}

/// Something a copy can be written to.
pub trait Sink {
    /// Its name for messages, safe to print.
    fn name(&self) -> String;

    /// Writes all of `bytes` at `offset_bytes`.
    ///
    /// # Errors
    /// When not all of it can be written.
    fn write_all_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;

    /// Sets the size and waits until everything is on the medium.
    ///
    /// # Errors
    /// When the medium does not take it.
    fn complete(&mut self, size_bytes: u64) -> io::Result<()>;
}

/// A sink that keeps nothing: for digests alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn name(&self) -> String {
        "nothing".to_owned()
    }

    fn write_all_at(&mut self, _offset_bytes: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn complete(&mut self, _size_bytes: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes looked at together when zeros are to be skipped; a multiple of common block sizes.
const SPARSE_BLOCK_BYTES: usize = 64 * 1024;

/// Writes `bytes` to `sink`, leaving out zeros if asked to.
pub(crate) fn write(
    sink: &mut dyn Sink,
    layout: Layout,
    offset_bytes: u64,
    bytes: &[u8],
) -> io::Result<()> {
    if layout == Layout::Plain {
        return sink.write_all_at(offset_bytes, bytes);
    }
    let mut offset = offset_bytes;
    for block in bytes.chunks(SPARSE_BLOCK_BYTES) {
        if !is_zero(block) {
            sink.write_all_at(offset, block)?;
        }
        offset = offset.saturating_add(u64::try_from(block.len()).unwrap_or(u64::MAX));
    }
    Ok(())
}

pub(crate) fn is_zero(block: &[u8]) -> bool {
    // Whole words, which the compiler turns into wide compares; stops at the first that differs.
    let (words, rest) = block.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
