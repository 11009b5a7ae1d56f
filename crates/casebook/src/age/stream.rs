//! The payload of an age file: chunks of 64 KiB, each sealed, the last one marked.
//!
//! A chunk is given out only after it was authenticated, and the end only after the mark of the last
//! chunk was seen: a file cut short is an error, never a shorter file.

use std::io::{self, Read, Write};

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};

const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

/// Which chunk comes next.
struct Counter {
    cipher: ChaCha20Poly1305,
    chunk: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Inner,
    Last,
}

impl Counter {
    fn new(key: &[u8; 32]) -> Self {
        Self { cipher: ChaCha20Poly1305::new(key.into()), chunk: 0 }
    }

    fn nonce(&self, place: Place) -> Nonce {
        let mut nonce = [0; 12];
        if let Some(counter) = nonce.get_mut(3..11) {
            counter.copy_from_slice(&self.chunk.to_be_bytes());
        }
        if let Some(mark) = nonce.last_mut() {
            *mark = u8::from(place == Place::Last);
        }
        nonce.into()
    }
}

/// Encrypts what is written to it.
pub struct Encryptor<W: Write> {
    out: W,
    counter: Counter,
    held: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    pub(super) fn new(out: W, key: &[u8; 32]) -> Self {
        Self { out, counter: Counter::new(key), held: Vec::with_capacity(CHUNK) }
    }

    /// Writes the last chunk; without it the file cannot be opened.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(Place::Last)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, place: Place) -> io::Result<()> {
        let sealed = self
            .counter
            .cipher
            .encrypt(&self.counter.nonce(place), self.held.as_slice())
            .map_err(io::Error::other)?;
        self.held.clear();
        self.counter.chunk = self.counter.chunk.saturating_add(1);
        self.out.write_all(&sealed)
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for a further byte: only then is it known not to be the last.
        if self.held.len() == CHUNK && !bytes.is_empty() {
            self.put(Place::Inner)?;
        }
        let room = CHUNK.saturating_sub(self.held.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.held.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Gives out what was encrypted.
pub struct Decryptor<R: Read> {
    input: R,
    counter: Counter,
    /// Sealed bytes read ahead: one chunk and one byte tell whether it is the last.
    sealed: Vec<u8>,
    open: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decryptor<R> {
    pub(super) fn new(input: R, key: &[u8; 32]) -> Self {
        let sealed = Vec::with_capacity(CHUNK.saturating_add(TAG).saturating_add(1));
        let counter = Counter::new(key);
        Self { input, counter, sealed, open: Vec::new(), given: 0, ended: false }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let whole = CHUNK.saturating_add(TAG);
        let wanted = whole.saturating_add(1).saturating_sub(self.sealed.len());
        let limit = u64::try_from(wanted).unwrap_or(u64::MAX);
        self.input.by_ref().take(limit).read_to_end(&mut self.sealed)?;
        let rest = self.sealed.split_off(whole.min(self.sealed.len()));
        let place = if rest.is_empty() { Place::Last } else { Place::Inner };
        let broken = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        self.open = self
            .counter
            .cipher
            .decrypt(&self.counter.nonce(place), self.sealed.as_slice())
            .map_err(|_| broken("the encrypted data was changed or cut short"))?;
        if self.open.is_empty() && self.counter.chunk > 0 {
            return Err(broken("the encrypted data ends in an empty chunk"));
        }
        self.sealed = rest;
        self.given = 0;
        self.ended = place == Place::Last;
        self.counter.chunk = self.counter.chunk.saturating_add(1);
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.open.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let left = self.open.get(self.given..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(count);
        Ok(count)
    }
}
