//! From a writer to a reader on another thread, a few pieces at a time.
//!
//! A bag is pushed out, the `pgp` crate pulls. An end without [`Writer::fill`] having ended well is
//! an error for the reader, so that half a bag never becomes a whole message.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::Error;

/// Bytes gathered before they are handed over.
const PIECE: usize = 256 << 10;
/// Pieces that may wait.
const WAITING: usize = 4;

/// What is handed over; an empty piece is the end.
type Piece = Vec<u8>;

pub(super) struct Writer {
    out: SyncSender<Piece>,
    held: Piece,
}

pub(super) struct Reader {
    input: Receiver<Piece>,
    piece: Piece,
    given: usize,
    ended: bool,
}

pub(super) fn pipe() -> (Writer, Reader) {
    let (out, input) = sync_channel(WAITING);
    let writer = Writer { out, held: Piece::with_capacity(PIECE) };
    (writer, Reader { input, piece: Piece::new(), given: 0, ended: false })
}

/// Whether this is what a writer meets whose reader is gone.
pub(super) fn is_closed(problem: &Error) -> bool {
    matches!(problem, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

impl Writer {
    /// Lets `fill` write, then tells the reader that this was all.
    pub(super) fn fill(
        mut self,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        fill(&mut self)?;
        self.pass_on()
            .and_then(|()| self.out.send(Piece::new()).map_err(|_| closed()))
            .map_err(Error::io("writing", "the encrypted file".as_ref()))
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Piece::with_capacity(PIECE));
        self.out.send(piece).map_err(|_| closed())
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the cipher stopped")
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE.saturating_sub(self.held.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.held.extend_from_slice(taken);
        if self.held.len() >= PIECE {
            self.pass_on()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            self.piece = self.input.recv().map_err(|_| {
                io::Error::new(io::ErrorKind::UnexpectedEof, "what is encrypted was cut short")
            })?;
            self.given = 0;
            self.ended = self.piece.is_empty();
        }
        let left = self.piece.get(self.given..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(count);
        Ok(count)
    }
}
