//! Where a collection goes: a folder of the case, or another machine. One file after the other, each hashed on its way.

use std::io;

use hashing::{Algorithms, Digests, MultiHasher};

use crate::Error;

/// Takes files one after the other. A file is whole once its end was told.
pub trait Sink {
    /// A file begins; names are plain, without folders.
    ///
    /// # Errors
    /// If the medium or the other end does not take it.
    fn begin(&mut self, name: &str) -> io::Result<()>;

    /// The next bytes of it.
    ///
    /// # Errors
    /// As [`Sink::begin`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// It is whole, and this is what was sent.
    ///
    /// # Errors
    /// As [`Sink::begin`], and if what arrived is something else.
    fn end(&mut self, digests: &Digests) -> io::Result<()>;
}

/// Keeps nothing: for a look without a record.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn begin(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _digests: &Digests) -> io::Result<()> {
        Ok(())
    }
}

/// A file on its way.
pub(crate) struct Outgoing {
    name: String,
    hasher: MultiHasher,
    /// What was not handed on yet.
    held: Vec<u8>,
    size_bytes: u64,
}

/// Lines are short, and a write to a medium or a network is dear.
const HELD_BYTES: usize = 256 << 10;

impl Outgoing {
    pub(crate) fn begin(sink: &mut dyn Sink, name: &str) -> Result<Self, Error> {
        sink.begin(name).map_err(|source| Error::Output { name: name.to_owned(), source })?;
        let hasher = MultiHasher::new(&Algorithms::sha256());
        Ok(Self { name: name.to_owned(), hasher, held: Vec::new(), size_bytes: 0 })
    }

    pub(crate) fn write(&mut self, sink: &mut dyn Sink, bytes: &[u8]) -> Result<(), Error> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= HELD_BYTES { self.hand_on(sink) } else { Ok(()) }
    }

    fn hand_on(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        self.hasher.update(&self.held);
        let bytes = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        self.size_bytes = self.size_bytes.saturating_add(bytes);
        let result = if self.held.is_empty() { Ok(()) } else { sink.write(&self.held) };
        self.held.clear();
        result.map_err(|source| Error::Output { name: self.name.clone(), source })
    }

    pub(crate) fn end(mut self, sink: &mut dyn Sink) -> Result<(String, u64, Digests), Error> {
        self.hand_on(sink)?;
        let digests = self.hasher.finish();
        sink.end(&digests).map_err(|source| Error::Output { name: self.name.clone(), source })?;
        Ok((self.name, self.size_bytes, digests))
    }
}
