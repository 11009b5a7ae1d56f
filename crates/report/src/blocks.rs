//! Text made on one thread and written on another.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::Error;

/// How much is handed on at once, and how many such blocks wait.
const BLOCK_BYTES: usize = 64 << 10;
const WAITING_AT_MOST: usize = 8;

/// Takes text for another thread.
pub(crate) struct Blocks {
    block: Vec<u8>,
    send: SyncSender<Vec<u8>>,
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
            self.block.reserve(BLOCK_BYTES);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        self.send.send(block).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Runs `make` on another thread and writes to `out` what it makes, once it was flushed.
///
/// # Errors
/// Those of `make`, and when `out` fails.
pub(crate) fn write_beside(
    out: &mut impl Write,
    make: impl FnOnce(Blocks) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(WAITING_AT_MOST);
        let making = scope.spawn(|| make(Blocks { block: Vec::new(), send }));
        receive.iter().try_for_each(|block| out.write_all(&block))?;
        // Only now: a maker waits for room until this is gone.
        drop(receive);
        making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    out.flush()?;
    Ok(())
}
