//! Where bytes come from: something that can only be read.
//!
//! A disk is read past the page cache where the kernel allows it. Through the cache a bad sector
//! takes its whole page with it, and read-ahead spreads the loss further: measured on ddrescue, 744
//! readable sectors lost for 32 bad ones.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::sync::Arc;

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};

/// Something with a size and sectors that bytes can be read from at any offset.
pub trait ReadAt: Send + Sync {
    /// Reads at `offset_bytes` into `buffer`; may give fewer bytes than asked, 0 only at the end.
    ///
    /// # Errors
    /// When nothing at this offset can be read.
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Size in bytes.
    fn size_bytes(&self) -> u64;

    /// Size of a logical sector in bytes: the smallest piece that can fail alone.
    fn sector_bytes(&self) -> u32;

    /// Asks that the next read of this range comes from the medium and not from a cache.
    fn forget_cached(&self, _offset_bytes: u64, _length_bytes: u64) {}
}

/// A part of a source: addresses count from its beginning.
pub struct PartOf {
    whole: Arc<dyn ReadAt>,
    start_bytes: u64,
    length_bytes: u64,
}

impl PartOf {
    /// `length_bytes` from `start_bytes`, cut to what the source has.
    #[must_use]
    pub fn new(whole: Arc<dyn ReadAt>, start_bytes: u64, length_bytes: u64) -> Self {
        let length_bytes = length_bytes.min(whole.size_bytes().saturating_sub(start_bytes));
        Self { whole, start_bytes, length_bytes }
    }
}

impl ReadAt for PartOf {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length_bytes.saturating_sub(offset_bytes);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match buffer.get_mut(..length) {
            Some(part) if !part.is_empty() => {
                self.whole.read_at(self.start_bytes.saturating_add(offset_bytes), part)
            }
            _ => Ok(0),
        }
    }

    fn size_bytes(&self) -> u64 {
        self.length_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.whole.sector_bytes()
    }

    fn forget_cached(&self, offset_bytes: u64, length_bytes: u64) {
        self.whole.forget_cached(self.start_bytes.saturating_add(offset_bytes), length_bytes);
    }
}

/// A file or block device opened for reading.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size_bytes: u64,
    sector_bytes: u32,
}

impl FileSource {
    /// Takes an open file or block device with its logical sector size in bytes (512 for a file).
    ///
    /// The size of the sectors is told, not asked: a descriptor of the broker answers no requests.
    ///
    /// # Errors
    /// When its size cannot be found out.
    pub fn new(file: File, sector_bytes: u32) -> io::Result<Self> {
        let is_device = file.metadata()?.file_type().is_block_device();
        let size_bytes = (&file).seek(SeekFrom::End(0))?;
        if is_device {
            // A device that refuses this is read through the cache, which is worse for bad sectors
            // and otherwise the same.
            if size_bytes.is_multiple_of(u64::from(sector_bytes))
                && let Ok(flags) = fcntl_getfl(&file)
            {
                let _ = fcntl_setfl(&file, flags | OFlags::DIRECT);
            }
        } else {
            let _ = fadvise(&file, 0, None, Advice::Sequential);
        }
        Ok(Self { file, size_bytes, sector_bytes })
    }
}

impl ReadAt for FileSource {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset_bytes)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn forget_cached(&self, offset_bytes: u64, length_bytes: u64) {
        // Advice only: a kernel that does not take it reads from its cache.
        let length = std::num::NonZeroU64::new(length_bytes);
        let _ = fadvise(&self.file, offset_bytes, length, Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_it_ends() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[[1; 512], [2; 512], [3; 512]].concat()).unwrap();
        let whole: Arc<dyn ReadAt> = Arc::new(FileSource::new(file, 512).unwrap());
        let part = PartOf::new(Arc::clone(&whole), 512, 512);
        let mut buffer = [0; 1024];
        assert_eq!(part.read_at(0, &mut buffer).unwrap(), 512);
        assert!(buffer[..512].iter().all(|byte| *byte == 2));
        assert_eq!(part.read_at(500, &mut buffer).unwrap(), 12);
        assert_eq!(part.read_at(512, &mut buffer).unwrap(), 0);
        assert_eq!(part.read_at(u64::MAX, &mut buffer).unwrap(), 0);
        assert_eq!(PartOf::new(Arc::clone(&whole), 1024, u64::MAX).size_bytes(), 512);
        assert_eq!(PartOf::new(whole, 4096, 512).size_bytes(), 0);
    }
}
