//! Where evidence bytes come from: a disk or image somebody opened for us, a part of one, or memory.
//!
//! The trait has no way to write, and no type here opens a path: the broker (or the program, at a desk) opens read-only
//! and hands the descriptor over. Joining readers by this small trait lets every parser take a disk as well as an image.

mod cached;

pub use cached::Cached;

use crate::bytes::{to_u64, to_usize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A read that did not work.
#[derive(Debug, thiserror::Error)]
#[error("reading {length_bytes} bytes at offset {offset_bytes}: {source}")]
pub struct SourceError {
    /// Where the read began, in bytes from the start of the source.
    pub offset_bytes: u64,
    /// How many bytes were wanted.
    pub length_bytes: usize,
    /// What the system said.
    pub source: std::io::Error,
}

/// Bytes that can be read at any offset, and never written.
pub trait Source: Send + Sync {
    /// Reads at `offset_bytes` into `buf` and returns how many bytes were there; fewer than asked only at the end.
    ///
    /// # Errors
    /// When the device does not give the bytes; the error names the offset.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError>;

    /// The size in bytes.
    fn size_bytes(&self) -> u64;

    /// The size of a logical sector in bytes, 512 where nothing better is known.
    fn sector_bytes(&self) -> u32 {
        512
    }
}

impl dyn Source + '_ {
    /// Up to `length_bytes` bytes at `offset_bytes`; shorter at the end of the source.
    ///
    /// # Errors
    /// As [`Source::read_at`].
    pub fn bytes_at(&self, offset_bytes: u64, length_bytes: usize) -> Result<Vec<u8>, SourceError> {
        let available = to_usize(self.size_bytes().saturating_sub(offset_bytes)).min(length_bytes);
        let mut out = vec![0; available];
        let got = self.read_at(offset_bytes, &mut out)?;
        out.truncate(got);
        Ok(out)
    }

    /// Fills `buf` from `offset_bytes`.
    ///
    /// # Errors
    /// As [`Source::read_at`]; a source that ends inside is an error too, of kind `UnexpectedEof`.
    pub fn fill(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let length_bytes = buf.len();
        if self.read_at(offset_bytes, buf)? == length_bytes {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Err(SourceError { offset_bytes, length_bytes, source })
    }
}

/// A disk or raw image behind a descriptor opened read-only by somebody else.
pub struct FileSource {
    file: File,
    size_bytes: u64,
    sector_bytes: u32,
}

impl FileSource {
    /// Takes the descriptor; the size is found by seeking to the end, which works for block devices too.
    ///
    /// # Errors
    /// When the descriptor cannot seek.
    pub fn new(mut file: File, sector_bytes: u32) -> Result<Self, SourceError> {
        use std::io::{Seek, SeekFrom};
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(|source| SourceError {
            offset_bytes: 0,
            length_bytes: 0,
            source,
        })?;
        Ok(Self { file, size_bytes, sector_bytes })
    }
}

impl Source for FileSource {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = buf.len();
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset_bytes.saturating_add(to_u64(done))) {
                Ok(0) => break,
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset_bytes = offset_bytes.saturating_add(to_u64(done));
                    return Err(SourceError {
                        offset_bytes,
                        length_bytes: wanted.saturating_sub(done),
                        source,
                    });
                }
            }
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}

/// A part of another source, such as a partition.
#[derive(Clone)]
pub struct Window {
    inner: Arc<dyn Source>,
    start_bytes: u64,
    length_bytes: u64,
}

impl Window {
    /// `length_bytes` from `start_bytes`, cut to what the source really has.
    #[must_use]
    pub fn new(inner: Arc<dyn Source>, start_bytes: u64, length_bytes: u64) -> Self {
        let length_bytes = length_bytes.min(inner.size_bytes().saturating_sub(start_bytes));
        Self { inner, start_bytes, length_bytes }
    }
}

impl Source for Window {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let available = to_usize(self.length_bytes.saturating_sub(offset_bytes)).min(buf.len());
        match buf.get_mut(..available) {
            Some(part) if !part.is_empty() => {
                self.inner.read_at(self.start_bytes.saturating_add(offset_bytes), part)
            }
            _ => Ok(0),
        }
    }

    fn size_bytes(&self) -> u64 {
        self.length_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.inner.sector_bytes()
    }
}

/// Bytes in memory, for tests and for small images.
#[derive(Clone, Debug, Default)]
pub struct MemSource {
    /// The content.
    pub bytes: Vec<u8>,
    /// The logical sector size to report, in bytes; 0 counts as 512.
    pub sector_bytes: u32,
}

impl MemSource {
    /// Content with sectors of 512 bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sector_bytes: 512 }
    }
}

impl Source for MemSource {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let rest = self.bytes.get(to_usize(offset_bytes)..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        to_u64(self.bytes.len())
    }

    fn sector_bytes(&self) -> u32 {
        if self.sector_bytes == 0 { 512 } else { self.sector_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_never_reads_outside() {
        let disk: Arc<dyn Source> = Arc::new(MemSource::new((0..100).collect()));
        let window = Window::new(disk, 90, 50);
        assert_eq!(window.size_bytes(), 10);
        let mut buf = [0xff; 8];
        assert_eq!(window.read_at(6, &mut buf).unwrap(), 4);
        assert_eq!(buf[..4], [96, 97, 98, 99]);
        assert_eq!(window.read_at(u64::MAX, &mut buf).unwrap(), 0);
    }

    #[test]
    fn an_empty_source_is_fine() {
        let source: &dyn Source = &MemSource::default();
        assert!(source.bytes_at(0, 512).unwrap().is_empty());
    }

    #[test]
    fn an_error_names_its_offset() {
        // A directory opens read-only but does not read: a real EISDIR stands in for a bad sector.
        let source =
            FileSource { file: File::open("/").unwrap(), size_bytes: 1 << 20, sector_bytes: 512 };
        let error = source.read_at(4096, &mut [0; 512]).unwrap_err();
        assert_eq!((error.offset_bytes, error.length_bytes), (4096, 512));
    }
}
