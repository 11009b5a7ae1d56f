//! A source read on several threads at a time: of a compressed image, unpacking is most of the work of reading it.

use std::io;
use std::num::NonZeroUsize;

use crate::ReadAt;

/// Shorter parts are not worth a thread.
const PART_BYTES_AT_LEAST: usize = 256 << 10;

/// A source whose long reads are shared between threads.
pub struct Spread<'a> {
    source: &'a dyn ReadAt,
    threads: NonZeroUsize,
}

impl<'a> Spread<'a> {
    /// Reads `source` on up to this many threads.
    #[must_use]
    pub fn new(source: &'a dyn ReadAt, threads: NonZeroUsize) -> Self {
        Self { source, threads }
    }

    /// On as many threads as the machine has processors.
    #[must_use]
    pub fn over_processors(source: &'a dyn ReadAt) -> Self {
        Self::new(source, std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Bytes of each part: whole pages, so that no sector lies in two.
    fn part_bytes(&self, length: usize) -> usize {
        let share = length.div_ceil(self.threads.get()).max(PART_BYTES_AT_LEAST);
        share.checked_next_multiple_of(4096).unwrap_or(length)
    }
}

/// Bytes read from the start on, up to the first part that is not whole; its trouble if nothing stands before it.
fn joined(parts: impl Iterator<Item = (usize, io::Result<usize>)>) -> io::Result<usize> {
    let mut whole_bytes = 0_usize;
    for (length, read) in parts {
        match read {
            Err(error) if whole_bytes == 0 => return Err(error),
            // Asked for again from here, it is told.
            Err(_) => return Ok(whole_bytes),
            Ok(bytes) => {
                whole_bytes = whole_bytes.saturating_add(bytes);
                if bytes < length {
                    return Ok(whole_bytes);
                }
            }
        }
    }
    Ok(whole_bytes)
}

impl ReadAt for Spread<'_> {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let part_bytes = self.part_bytes(buffer.len());
        if buffer.len() <= part_bytes {
            return self.source.read_at(offset_bytes, buffer);
        }
        let source = self.source;
        std::thread::scope(|scope| {
            let mut at = offset_bytes;
            let mut parts = Vec::new();
            for part in buffer.chunks_mut(part_bytes) {
                let (from, length) = (at, part.len());
                at = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                parts.push((length, scope.spawn(move || source.read_at(from, part))));
            }
            joined(parts.into_iter().map(|(length, thread)| {
                let died = |_| Err(io::Error::other("the thread that read it has died"));
                (length, thread.join().unwrap_or_else(died))
            }))
        })
    }

    fn size_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.source.sector_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE_BYTES: usize = 3 << 20;
    const BAD_AT: usize = 1_300_000;

    /// Bytes that tell their place; one of them cannot be read.
    struct Disk;

    impl ReadAt for Disk {
        fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let from = usize::try_from(offset_bytes).unwrap().min(SIZE_BYTES);
            let length = buffer.len().min(SIZE_BYTES - from);
            if (from..from + length).contains(&BAD_AT) {
                return Err(io::Error::other("bad"));
            }
            for (at, byte) in buffer.iter_mut().take(length).enumerate() {
                *byte = u8::try_from((from + at) % 251).unwrap();
            }
            Ok(length)
        }

        fn size_bytes(&self) -> u64 {
            u64::try_from(SIZE_BYTES).unwrap()
        }

        fn sector_bytes(&self) -> u32 {
            512
        }
    }

    #[test]
    fn what_is_read_at_once_is_what_is_read_in_order() {
        let mut wanted = vec![0; 1 << 20];
        Disk.read_at(12_288, &mut wanted).unwrap();
        for threads in 1..6 {
            let spread = Spread::new(&Disk, NonZeroUsize::new(threads).unwrap());
            let mut found = vec![0; 1 << 20];
            assert_eq!(spread.read_at(12_288, &mut found).unwrap(), 1 << 20);
            assert!(found == wanted, "{threads} threads");
        }
    }

    #[test]
    fn a_bad_place_hides_nothing_before_it_and_the_end_is_short() {
        let spread = Spread::new(&Disk, NonZeroUsize::new(4).unwrap());
        let mut buffer = vec![0; 2 << 20];
        // Parts of 512 KiB: two are whole, the third holds the bad place.
        assert_eq!(spread.read_at(0, &mut buffer).unwrap(), 1 << 20);
        assert!(spread.read_at(1 << 20, &mut buffer).is_err());
        assert_eq!(spread.read_at(2 << 20, &mut buffer).unwrap(), 1 << 20);
        assert_eq!(spread.read_at(3 << 20, &mut buffer).unwrap(), 0);
    }
}
