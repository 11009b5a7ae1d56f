//! The list of acts, kept twice: which of the two files holds more, and what became of the other.
//!
//! A file that grows is in flux on file systems without a journal: on exFAT the chain of its clusters is
//! written anew, and a drive that writes out of order may keep half of that. So each line goes to
//! the list, and to the copy only when the list was flushed: at any moment at most one of the two is
//! in flux, and the other holds everything (`docs/decisions/0015…`).
//!
//! What a cut can leave of the file in flux: nothing, a shorter file, any bytes behind the last act
//! that was flushed, or from a border of sectors on bytes that are not its own. Every other
//! difference was made by somebody.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::Error;

/// The list.
pub(crate) const LIST: &str = "acts.jsonl";
/// What is written after it.
pub(crate) const COPY: &str = "acts.copy.jsonl";

/// Sectors that drives write whole; clusters begin on their borders.
const SECTOR: usize = 512;
const SECTOR_BYTES: u64 = 512;
/// So many bytes at the start of a sector are not equal by chance.
const CHANCE: usize = 16;

/// The two files side by side, from a place up to which both are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Bytes that can be read of list and copy; `None` where there is no file.
    pub(crate) sizes: [Option<u64>; 2],
    /// Bytes that are the same from the start on.
    pub(crate) common_bytes: u64,
    /// Of these, bytes up to the end of the last line.
    pub(crate) common_lines_bytes: u64,
    /// Whether one of them has, from a border of sectors on, nothing or bytes that are not its own.
    pub(crate) is_cut_at_a_sector: bool,
}

impl Pair {
    /// Compares from byte `from`, where a line begins in both.
    ///
    /// A file that cannot be read to its end counts as ending there: the other has the rest.
    ///
    /// # Errors
    /// When there is no list at all, or the files cannot be opened.
    pub(crate) fn compare(dir: &Path, from: u64) -> Result<Self, Error> {
        let paths = [LIST, COPY].map(|name| dir.join(name));
        let mut files = Vec::new();
        for path in &paths {
            files.push(match File::open(path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Error::io("opening", path)(error)),
            });
        }
        let [Some(list), Some(copy)] = files.as_slice() else {
            let whole = |file: &Option<File>| file.as_ref().map(|file| read_to_end(file, from));
            let sizes = [files.first(), files.last()].map(|file| file.and_then(whole));
            if sizes == [None, None] {
                let [path, _] = paths;
                return Err(Error::io("opening", &path)(io::ErrorKind::NotFound.into()));
            }
            let is_cut_at_a_sector = true;
            return Ok(Self {
                sizes,
                common_bytes: from,
                common_lines_bytes: from,
                is_cut_at_a_sector,
            });
        };
        let mut pair = Self {
            sizes: [None, None],
            common_bytes: from,
            common_lines_bytes: from,
            is_cut_at_a_sector: false,
        };
        pair.follow(list, copy, from);
        pair.sizes = [list, copy].map(|file| Some(read_to_end(file, pair.common_bytes)));
        pair.is_cut_at_a_sector = pair.looks_cut(list, copy);
        Ok(pair)
    }

    pub(crate) fn is_same(&self) -> bool {
        self.sizes == [Some(self.common_bytes); 2]
    }

    /// Reads both as long as they are the same.
    fn follow(&mut self, list: &File, copy: &File, from: u64) {
        let (mut list, mut copy) = (list, copy);
        if list.seek(SeekFrom::Start(from)).and_then(|_| copy.seek(SeekFrom::Start(from))).is_err()
        {
            return;
        }
        let mut list = BufReader::with_capacity(1 << 18, list);
        let mut copy = BufReader::with_capacity(1 << 18, copy);
        loop {
            let (Ok(one), Ok(two)) = (fill(&mut list), fill(&mut copy)) else { return };
            let length = one.len().min(two.len());
            let (one, two) = (one.get(..length).unwrap_or(one), two.get(..length).unwrap_or(two));
            let same = if one == two {
                length
            } else {
                one.iter().zip(two).take_while(|(a, b)| a == b).count()
            };
            let shared = one.get(..same).unwrap_or_default();
            if let Some(at) = shared.iter().rposition(|byte| *byte == b'\n') {
                let line = bytes(at.saturating_add(1));
                self.common_lines_bytes = self.common_bytes.saturating_add(line);
            }
            self.common_bytes = self.common_bytes.saturating_add(bytes(same));
            if same < length || length == 0 {
                return;
            }
            list.consume(same);
            copy.consume(same);
        }
    }

    /// Whether the sector with the first difference is another one altogether.
    fn looks_cut(&self, list: &File, copy: &File) -> bool {
        let start = self.common_bytes.checked_div(SECTOR_BYTES).unwrap_or(0);
        let start = start.saturating_mul(SECTOR_BYTES);
        let before = self.common_bytes.saturating_sub(start);
        let sector = |file: &File| {
            let mut sector = vec![0; SECTOR];
            let read = file.read_at(&mut sector, start).unwrap_or(0);
            sector.truncate(read);
            sector
        };
        let (one, two) = (sector(list), sector(copy));
        let same = one.iter().zip(&two).filter(|(a, b)| a == b).count();
        before < bytes(CHANCE) && same.saturating_mul(2) < SECTOR
    }
}

/// How far a file can be read, from byte `from` on.
fn read_to_end(mut file: &File, from: u64) -> u64 {
    if file.seek(SeekFrom::Start(from)).is_err() {
        return from;
    }
    let mut end = from;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    while let Ok(read) = fill(&mut reader) {
        let count = read.len();
        if count == 0 {
            break;
        }
        reader.consume(count);
        end = end.saturating_add(bytes(count));
    }
    end
}

fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // What was read is held: this does not read again.
    reader.fill_buf()
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
