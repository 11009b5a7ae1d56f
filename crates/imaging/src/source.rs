//! Where bytes come from: something that can only be read.
//!
//! A disk is read past the page cache where the kernel allows it. Through the cache a bad sector
//! takes its whole page with it, and read-ahead spreads the loss further: measured on ddrescue, 744
//! readable sectors lost for 32 bad ones.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};

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
