//! A fixed set of buffers that go round between reader, digests and writer.
//!
//! A buffer goes home when the last of its users lets go of it, so the slowest stage holds the
//! others back and memory stays what it was at the start.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Direct reads want memory aligned to the logical sector; no disk has larger ones than this.
const ALIGNMENT_BYTES: usize = 4096;

/// Memory of a fixed length that begins on a page boundary.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length.saturating_add(ALIGNMENT_BYTES)];
        // Over-allocating and starting inside needs no unsafe code; the Vec never grows, so the
        // address stays.
        let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Self { memory, start, length }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn bytes(&self, length: usize) -> &[u8] {
        let end = self.start.saturating_add(length.min(self.length));
        self.memory.get(self.start..end).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self, length: usize) -> &mut [u8] {
        let end = self.start.saturating_add(length.min(self.length));
        self.memory.get_mut(self.start..end).unwrap_or_default()
    }
}

/// A filled buffer on its way through the stages.
#[derive(Debug, Clone)]
pub(crate) struct Chunk(Arc<Lease>);

#[derive(Debug)]
struct Lease {
    buffer: Option<Buffer>,
    home: Sender<Buffer>,
    offset_bytes: u64,
    length: usize,
    bad_bytes: u64,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.buffer.as_ref().map_or(&[], |buffer| buffer.bytes(self.0.length))
    }

    pub(crate) fn offset_bytes(&self) -> u64 {
        self.0.offset_bytes
    }

    /// Bytes in it that could not be read and are zeros.
    pub(crate) fn bad_bytes(&self) -> u64 {
        self.0.bad_bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            // Nobody waits for it once the reader is done.
            let _ = self.home.send(buffer);
        }
    }
}

/// The buffers at home.
#[derive(Debug)]
pub(crate) struct Pool {
    home: Sender<Buffer>,
    free: Receiver<Buffer>,
}

impl Pool {
    pub(crate) fn new(count: usize, length: usize) -> Self {
        let (home, free) = channel();
        for _ in 0..count {
            let _ = home.send(Buffer::new(length));
        }
        Self { home, free }
    }

    /// Waits for a free buffer.
    pub(crate) fn take(&self) -> Option<Buffer> {
        self.free.recv().ok()
    }

    pub(crate) fn chunk(
        &self,
        buffer: Buffer,
        offset_bytes: u64,
        length: usize,
        bad_bytes: u64,
    ) -> Chunk {
        let home = self.home.clone();
        Chunk(Arc::new(Lease { buffer: Some(buffer), home, offset_bytes, length, bad_bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_come_home() {
        let pool = Pool::new(1, 512);
        let mut buffer = pool.take().unwrap();
        assert_eq!(buffer.bytes_mut(512).as_ptr().align_offset(4096), 0);
        assert_eq!(buffer.bytes(9999).len(), 512);
        let chunk = pool.chunk(buffer, 0, 512, 0);
        let second = chunk.clone();
        drop(chunk);
        assert!(pool.free.try_recv().is_err());
        drop(second);
        assert!(pool.free.try_recv().is_ok());
    }
}
