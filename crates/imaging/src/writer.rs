//! What an image is written through: the trait every format implements, and what it is given.
//!
//! The pipeline reads once and hands every chunk to all writers in order. What a format makes of a chunk without knowing
//! the others (compression) is done by [`Encode`] on worker threads, once for all writers that want the same; a writer
//! only puts results behind one another. So a format needs no threads of its own, and two copies cost one compression.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::{Acquisition, Destination, Parts, ReadAt};

/// How a piece of a chunk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// As it is.
    Plain,
    /// Compressed.
    Compressed,
}

/// One piece of a chunk as its format stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Bytes it takes in [`Encoded::bytes`], checksums of the format included.
    pub length_bytes: usize,
    /// How.
    pub stored: Stored,
}

/// A chunk as a format stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The pieces behind one another.
    pub bytes: Vec<u8>,
    /// Where each of them ends, and how it is stored.
    pub pieces: Vec<Piece>,
}

/// Turns chunks into what a format stores; lives on one worker thread and keeps no memory of earlier chunks.
pub trait Encode {
    /// Encodes one chunk: [`crate::Plan::chunk_bytes`] long, the last one of the source shorter.
    ///
    /// # Errors
    /// When the codec fails, which ends the copies that need it.
    fn encode(&mut self, bytes: &[u8]) -> io::Result<Encoded>;
}

/// A way to encode, of which every worker thread has an instance of its own.
pub trait Encoding: Send + Sync {
    /// Names format and settings. Writers with the same key share the work.
    fn key(&self) -> String;

    /// A new instance.
    fn start(&self) -> Box<dyn Encode>;
}

/// A chunk on its way to a writer.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its place on the source, in bytes. Chunks come in order and without gaps.
    pub offset_bytes: u64,
    /// Its bytes; zeros where they could not be read.
    pub bytes: &'a [u8],
    /// What the writer's encoding made of them; `None` for a writer without one.
    pub encoded: Option<&'a Encoded>,
}

/// What has to reach the medium before a copy may be said to have come so far.
#[derive(Debug, Default)]
pub struct Flush {
    /// Files that were written to.
    pub files: Vec<File>,
    /// Folders in which files were made.
    pub folders: Vec<PathBuf>,
    /// Files that nothing needs any more once the journal says that the copy has come so far.
    pub obsolete: Vec<PathBuf>,
}

impl Flush {
    /// Waits until all of it is on the medium.
    ///
    /// # Errors
    /// When the medium does not take it. A folder that cannot be flushed (exFAT and others) is no error.
    pub fn flush(&self) -> io::Result<()> {
        for file in &self.files {
            file.sync_data()?;
        }
        for folder in &self.folders {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    /// Removes what is obsolete; only after the journal has the line this belongs to.
    pub(crate) fn let_go(&self) {
        for path in &self.obsolete {
            // One that stays is removed with the last of the copy, or listed by the case as left unfinished.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A point from which a copy can be continued.
#[derive(Debug)]
pub struct Checkpoint {
    /// What has to be flushed first.
    pub flush: Flush,
    /// What the format needs to go on from here; goes through the journal as JSON, so it has to stay small.
    pub state: Value,
}

/// Puts an image of one format on one medium.
///
/// A writer of files is an [`ImageFile`] too; one that sends its bytes elsewhere need not be.
pub trait ImageWriter: Send {
    /// Its name for messages, safe to print.
    fn name(&self) -> String;

    /// The encoding whose results it wants; `None` if it takes the bytes as they are.
    fn encoding(&self) -> Option<Arc<dyn Encoding>> {
        None
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// When the medium does not take it. The copy has then ended; others go on.
    fn write(&mut self, part: Part<'_>) -> io::Result<()>;

    /// Makes what was written so far something to continue from, and says what that needs.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn checkpoint(&mut self) -> io::Result<Checkpoint>;

    /// Writes what the format has behind the data, after the last chunk, and flushes.
    ///
    /// `acquisition` has the digests and the unreadable ranges.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn complete(&mut self, acquisition: &Acquisition) -> io::Result<()>;
}

/// A written image into which chunks of the disk can still be put.
pub trait Patch {
    /// What the image holds of the disk at this place.
    ///
    /// # Errors
    /// When the medium does not give all of it.
    fn read_all_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Puts bytes of the disk at this place.
    ///
    /// # Errors
    /// When the medium does not take all of them.
    fn write_all_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;

    /// Waits until what was put is on the medium.
    ///
    /// # Errors
    /// When the medium does not take it.
    fn flush(&self) -> io::Result<()>;
}

/// An image in files, which can be read back and then gets its name.
pub trait ImageFile: ImageWriter {
    /// The disk as a reader of the format finds it on the medium, after [`ImageWriter::complete`].
    ///
    /// # Errors
    /// When the files cannot be opened or are not what was written.
    fn read_back(&self) -> io::Result<Box<dyn ReadAt>>;

    /// A way to fill in chunks of the disk later; `None` for a format whose bytes cannot be put in any order.
    ///
    /// # Errors
    /// When the files cannot be opened.
    fn patch(&self) -> io::Result<Option<Box<dyn Patch>>> {
        Ok(None)
    }

    /// Its files.
    fn parts(&self) -> &Parts;

    /// Its files, to give them their names.
    fn parts_mut(&mut self) -> &mut Parts;
}

/// Something boxed writes as what is in the box.
macro_rules! boxed {
    ($what:ty) => {
        impl ImageWriter for Box<$what> {
            fn name(&self) -> String {
                (**self).name()
            }

            fn encoding(&self) -> Option<Arc<dyn Encoding>> {
                (**self).encoding()
            }

            fn write(&mut self, part: Part<'_>) -> io::Result<()> {
                (**self).write(part)
            }

            fn checkpoint(&mut self) -> io::Result<Checkpoint> {
                (**self).checkpoint()
            }

            fn complete(&mut self, acquisition: &Acquisition) -> io::Result<()> {
                (**self).complete(acquisition)
            }
        }
    };
}

boxed!(dyn ImageFile);
boxed!(dyn Destination);
