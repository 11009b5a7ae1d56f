//! Power cuts by the hundred from one run: the log of every write and flush, and disks made from it
//! as a cut at any moment would leave them.
//!
//! QEMU's driver `blklogwrites` keeps the log in the form of Linux's dm-log-writes: a sector that
//! describes it, then for each operation a sector of four little-endian numbers (first sector,
//! sectors, flags, length) and the data. What stands before the last flush is on the medium; what
//! comes after it lay in the drive's cache, and a cut may leave any of its sectors or none. That is
//! more than killing QEMU can show, where all that was written is kept.

use crate::chance::Chance;
use crate::digest;
use crate::error::{Doing, Result, machine};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// First number of the log's first sector.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;

/// One operation of the log.
#[derive(Debug, Clone, Copy)]
enum Operation {
    /// The cache went to the medium.
    Flush,
    /// Data, at which byte of the disk, from which byte of the log.
    Write { at: u64, length: u64, data: u64, lasting: bool },
    /// The sectors read as zeros from here on.
    Discard { at: u64, length: u64 },
}

/// What a cut leaves of the drive's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// All of it, as when QEMU is killed.
    Kept,
    /// Nothing.
    Lost,
    /// Some writes, some sectors of others.
    Scattered,
}

/// What one cut lost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lost {
    /// Sectors that were written and not flushed.
    pub unflushed_sectors: u64,
    /// Those of them that the cut took away.
    pub lost_sectors: u64,
}

/// The log of one disk.
#[derive(Debug)]
pub struct WriteLog {
    path: PathBuf,
    operations: Vec<Operation>,
    next: u64,
}

impl WriteLog {
    /// An empty log, to be attached with [`crate::Disk::logged`].
    ///
    /// # Errors
    /// [`crate::Error::File`] when the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        digest::sparse(path, 0)?;
        Ok(Self { path: path.to_owned(), operations: Vec::new(), next: SECTOR })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what was added; gives the number of operations so far.
    ///
    /// # Errors
    /// [`crate::Error::Machine`] when the file is no such log.
    pub fn follow(&mut self) -> Result<usize> {
        let file = File::open(&self.path).doing("opening", &self.path)?;
        let size = file.metadata().doing("examining", &self.path)?.len();
        let mut head = [0u8; 32];
        if size < SECTOR {
            return Ok(0);
        }
        file.read_exact_at(&mut head, 0).doing("reading", &self.path)?;
        // The first sector is written at the first flush; until then it is blank.
        let magic = field(&head, 0);
        if magic != MAGIC && magic != 0 {
            return machine(format!("{} is no log of writes", self.path.display()));
        }
        while self.next + SECTOR <= size {
            file.read_exact_at(&mut head, self.next).doing("reading", &self.path)?;
            let (at, length) = (field(&head, 0) * SECTOR, field(&head, 8) * SECTOR);
            let flags = field(&head, 16);
            let data = self.next + SECTOR;
            let operation = match flags {
                _ if flags & FLUSH != 0 && length == 0 => Operation::Flush,
                _ if flags & DISCARD != 0 => Operation::Discard { at, length },
                // An entry that is being written: its turn comes the next time.
                _ if length == 0 || data + length > size => break,
                _ => Operation::Write { at, length, data, lasting: flags & FUA != 0 },
            };
            self.next = match operation {
                Operation::Write { .. } => data + length,
                Operation::Flush | Operation::Discard { .. } => data,
            };
            self.operations.push(operation);
        }
        Ok(self.operations.len())
    }

    /// How many of the first `end` operations are flushes.
    #[must_use]
    pub fn flushes(&self, end: usize) -> usize {
        let flush = |operation: &&Operation| matches!(operation, Operation::Flush);
        self.operations.iter().take(end).filter(flush).count()
    }

    /// Begins to make cut disks from `base`, the disk as it was when the log was begun. `work` is
    /// a file of its own.
    ///
    /// # Errors
    /// [`crate::Error::Machine`] when the copy fails.
    pub fn replay(&self, base: &Path, work: &Path) -> Result<Replay<'_>> {
        digest::copy(base, work)?;
        Ok(Replay { log: self, work: work.to_owned(), done: 0 })
    }
}

/// A disk that is brought forward from flush to flush.
#[derive(Debug)]
pub struct Replay<'a> {
    log: &'a WriteLog,
    work: PathBuf,
    done: usize,
}

impl Replay<'_> {
    /// Makes `to` the disk as a cut after the first `end` operations leaves it. Cuts come in order.
    ///
    /// # Errors
    /// [`crate::Error::Machine`] for a cut before an earlier one.
    pub fn cut(
        &mut self,
        end: usize,
        cache: Cache,
        chance: &mut Chance,
        to: &Path,
    ) -> Result<Lost> {
        let operations = self.log.operations.get(..end).unwrap_or(&self.log.operations);
        let flushed = operations.iter().rposition(|o| matches!(o, Operation::Flush));
        let flushed = flushed.map_or(0, |at| at + 1);
        let Some(certain) = operations.get(self.done..flushed.max(self.done)) else {
            return machine(format!("cut {end} comes before an earlier one"));
        };
        let disk = Writing::open(&self.log.path, &self.work)?;
        for operation in certain {
            disk.apply(operation, |_| true)?;
        }
        self.done = self.done.max(flushed);
        digest::copy(&self.work, to)?;
        let disk = Writing::open(&self.log.path, to)?;
        let mut lost = Lost::default();
        for operation in operations.get(self.done..).unwrap_or_default() {
            let whole = chance.once_in(3);
            let none = chance.once_in(2);
            disk.apply(operation, |is_lasting| {
                let kept = is_lasting
                    || match cache {
                        Cache::Kept => true,
                        Cache::Lost => false,
                        Cache::Scattered => whole || (!none && chance.once_in(2)),
                    };
                lost.unflushed_sectors += u64::from(!is_lasting);
                lost.lost_sectors += u64::from(!kept);
                kept
            })?;
        }
        Ok(lost)
    }
}

/// A disk file written to from a log.
struct Writing {
    log: File,
    disk: File,
    path: PathBuf,
}

impl Writing {
    fn open(log: &Path, path: &Path) -> Result<Self> {
        Ok(Self {
            log: File::open(log).doing("opening", log)?,
            disk: File::options().write(true).open(path).doing("opening", path)?,
            path: path.to_owned(),
        })
    }

    /// Does those sectors of the operation that `keep` wants, when told whether they are lasting.
    fn apply(&self, operation: &Operation, mut keep: impl FnMut(bool) -> bool) -> Result<()> {
        let (at, length, data, lasting) = match *operation {
            Operation::Flush => return Ok(()),
            Operation::Write { at, length, data, lasting } => (at, length, Some(data), lasting),
            Operation::Discard { at, length } => (at, length, None, false),
        };
        let mut bytes = vec![0u8; usize::try_from(length).unwrap_or(0)];
        if let Some(data) = data {
            self.log.read_exact_at(&mut bytes, data).doing("reading the log for", &self.path)?;
        }
        for (sector, place) in bytes.chunks(512).zip((at..).step_by(512)) {
            if keep(lasting) {
                self.disk.write_all_at(sector, place).doing("writing", &self.path)?;
            }
        }
        Ok(())
    }
}

fn field(head: &[u8; 32], at: usize) -> u64 {
    let bytes = head.get(at..at + 8).and_then(|b| b.try_into().ok()).unwrap_or_default();
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64, sectors: u64, flags: u64, fill: u8) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [at, sectors, flags, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.resize(512, 0);
        let data = if flags & DISCARD == 0 { sectors as usize * 512 } else { 0 };
        bytes.resize(512 + data, fill);
        bytes
    }

    fn first_bytes(path: &Path) -> Vec<u8> {
        let bytes = std::fs::read(path).expect("disk");
        bytes.chunks(512).map(|sector| sector[0]).collect()
    }

    #[test]
    fn flushed_sectors_stay_and_others_may_go() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let at = |name: &str| dir.path().join(name);
        digest::sparse(&at("base"), 4 * 512).expect("base");
        let mut log = WriteLog::create(&at("log")).expect("log");
        assert_eq!(log.follow().expect("nothing yet"), 0);
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.resize(512, 0);
        bytes.extend(entry(0, 2, 0, 1));
        bytes.extend(entry(0, 0, FLUSH, 0));
        bytes.extend(entry(1, 2, 0, 2));
        bytes.extend(entry(3, 1, FUA, 3));
        bytes.extend(entry(0, 1, DISCARD, 0));
        let half = entry(0, 3, 0, 9);
        std::fs::write(at("log"), [&bytes[..], &half[..600]].concat()).expect("write");
        assert_eq!(log.follow().expect("operations"), 5, "half an operation is none");
        assert_eq!(log.flushes(1), 0);
        assert_eq!(log.flushes(5), 1);
        let mut replay = log.replay(&at("base"), &at("work")).expect("replay");
        let mut chance = Chance::of(1);
        let mut cut = |end, cache| {
            let lost = replay.cut(end, cache, &mut chance, &at("cut")).expect("cut");
            (first_bytes(&at("cut")), lost.unflushed_sectors, lost.lost_sectors)
        };
        assert_eq!(cut(1, Cache::Lost), (vec![0, 0, 0, 0], 2, 2));
        assert_eq!(cut(1, Cache::Kept), (vec![1, 1, 0, 0], 2, 0));
        assert_eq!(cut(2, Cache::Lost), (vec![1, 1, 0, 0], 0, 0));
        assert_eq!(cut(5, Cache::Lost), (vec![1, 1, 0, 3], 3, 3), "what was forced is there");
        assert_eq!(cut(5, Cache::Kept), (vec![0, 2, 2, 3], 3, 0));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..60 {
            seen.insert(cut(5, Cache::Scattered).0);
        }
        assert!(seen.len() > 4 && seen.iter().all(|s| s[3] == 3), "{seen:?}");
        assert!(replay.cut(1, Cache::Lost, &mut Chance::of(1), &at("cut")).is_err());
    }
}
