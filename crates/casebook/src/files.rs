//! The few file operations a case needs, each of which creates, appends or renames.
//!
//! A case may lie on exFAT or FAT, where a directory cannot be flushed and owners do not exist;
//! what such a file system refuses for being what it is, is no error here.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashing::{Algorithm, Algorithms, Digest};

use crate::Error;

/// How often and how long to wait for another program's append; together five seconds.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Longest line read from a case; more is not a line of ours.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 20;

/// Creates `path`, writes `bytes` and waits until they are on the medium.
pub(crate) fn create_with(path: &Path, bytes: &[u8]) -> Result<File, Error> {
    let mut file = File::create_new(path).map_err(Error::io("creating", path))?;
    file.write_all(bytes).map_err(Error::io("writing", path))?;
    file.sync_all().map_err(Error::io("flushing", path))?;
    Ok(file)
}

/// Renames a file and waits until it is whole under its new name.
pub(crate) fn rename_whole(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::io("renaming", from))?;
    // FAT keeps size and place of a file in the directory entry, and Linux writes those of the new
    // entry later, with the file and not with the directory: until then a power cut leaves nothing.
    File::open(to).and_then(|file| file.sync_all()).map_err(Error::io("flushing", to))
}

/// Waits until the names in `dir` are on the medium, where the file system can do that.
pub(crate) fn flush_dir(dir: &Path) -> Result<(), Error> {
    let refused_by_nature = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidInput
                | io::ErrorKind::Unsupported
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::IsADirectory
        )
    };
    match File::open(dir).and_then(|handle| handle.sync_all()) {
        Err(error) if !refused_by_nature(&error) => Err(Error::io("flushing", dir)(error)),
        _ => Ok(()),
    }
}

/// Holds the case against a second writer until dropped.
pub(crate) struct CaseLock(#[expect(dead_code, reason = "held for its lock")] File);

impl CaseLock {
    pub(crate) fn acquire(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("case.lock");
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(Error::io("locking", &path)(error)),
            }
        }
        Err(Error::Busy { path })
    }
}

/// The number of a name of the form `prefix` + number.
pub(crate) fn number(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// Names in `dir` of the form `prefix` + number, in order of the number.
pub(crate) fn numbered(dir: &Path, prefix: &str) -> Result<Vec<(u64, String)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("listing", dir))? {
        let entry = entry.map_err(Error::io("listing", dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(number) = number(&name, prefix) {
            found.push((number, name));
        }
    }
    found.sort();
    Ok(found)
}

/// The first path `prefix` + number in `dir` that is above every number in use.
pub(crate) fn next_numbered(dir: &Path, prefix: &str) -> Result<PathBuf, Error> {
    let highest = numbered(dir, prefix)?.last().map_or(0, |(number, _)| *number);
    Ok(dir.join(format!("{prefix}{}", highest.saturating_add(1))))
}

/// SHA-256 of `bytes` in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hashing::digest_bytes(bytes, &Algorithms::sha256()).sha256_hex()
}

/// Whether `text` is a SHA-256 in lower-case hexadecimal.
pub(crate) fn is_sha256(text: &str) -> bool {
    Digest::from_hex(Algorithm::Sha256, text).is_ok_and(|digest| digest.to_hex() == text)
}

/// What [`next_line`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// A line that ends in a line feed.
    Whole,
    /// Bytes up to the end of the file, without a line feed.
    Torn,
    /// A line longer than any of ours; its bytes are not kept.
    TooLong,
    /// The end of the file.
    End,
}

/// Reads the next line without its line feed into `line`; gives the bytes it took in the file.
pub(crate) fn next_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> io::Result<(LineEnd, u64)> {
    line.clear();
    let (mut taken, mut too_long) = (0u64, false);
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (piece, whole) = match available.iter().position(|byte| *byte == b'\n') {
            Some(at) => (available.get(..at).unwrap_or_default(), true),
            None => (available, false),
        };
        too_long |= line.len().saturating_add(piece.len()) > MAX_LINE_BYTES;
        if !too_long {
            line.extend_from_slice(piece);
        }
        let count = piece.len().saturating_add(usize::from(whole));
        let at_end = available.is_empty();
        reader.consume(count);
        taken = taken.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if whole || at_end {
            let end = match (too_long, whole, taken) {
                (true, ..) => LineEnd::TooLong,
                (_, true, _) => LineEnd::Whole,
                (_, _, 0) => LineEnd::End,
                _ => LineEnd::Torn,
            };
            return Ok((end, taken));
        }
    }
}
