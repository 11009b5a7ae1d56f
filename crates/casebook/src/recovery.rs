//! Putting aside what an interrupted session left, without losing a byte of it.
//!
//! A torn line is copied out and cut off; the marker of an act whose writer died is renamed. Both
//! keep their bytes, and the next act to be recorded names them with their digests and with what
//! lies in the exhibits they claim, so the interruption itself becomes part of the signed record.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::path::Path;

use hashing::Algorithms;

use crate::files::{flush_dir, next_numbered, numbered, rename_whole};
use crate::journal::Journal;
use crate::marker::{self, Marker};
use crate::{Error, PublicKey, SetAside, left};

pub(crate) const OPEN: &str = "acts.open-";
pub(crate) const UNFINISHED: &str = "acts.unfinished-";
pub(crate) const TORN: &str = "acts.torn-";

/// Puts aside a torn end of the list. The caller holds the case lock.
pub(crate) fn cut_torn_end(dir: &Path, journal: &mut Journal) -> Result<(), Error> {
    if journal.size_bytes == journal.sound_bytes {
        return Ok(());
    }
    let path = &journal.path;
    let mut list =
        File::options().read(true).append(true).open(path).map_err(Error::io("opening", path))?;
    list.seek(SeekFrom::Start(journal.sound_bytes)).map_err(Error::io("reading", path))?;
    let aside = next_numbered(dir, TORN)?;
    let mut copy = File::create_new(&aside).map_err(Error::io("creating", &aside))?;
    io::copy(&mut list, &mut copy).map_err(Error::io("copying a torn line to", &aside))?;
    copy.sync_all().map_err(Error::io("flushing", &aside))?;
    flush_dir(dir)?;
    list.set_len(journal.sound_bytes).map_err(Error::io("cutting a torn line off", path))?;
    list.sync_all().map_err(Error::io("flushing", path))?;
    journal.size_bytes = journal.sound_bytes;
    Ok(())
}

/// Puts aside the markers of acts whose writers died. The caller holds the case lock.
pub(crate) fn close_dead_markers(
    dir: &Path,
    journal: &Journal,
    key: &PublicKey,
) -> Result<(), Error> {
    for (_, name) in numbered(dir, OPEN)? {
        let path = dir.join(&name);
        let Some(marker) = dead_marker(&path, key)? else { continue };
        if journal.begun.contains(&marker.begun) {
            // The act was recorded, and the power went before its marker could be taken away.
            fs::remove_file(&path).map_err(Error::io("removing", &path))?;
        } else {
            let aside = next_numbered(dir, UNFINISHED)?;
            put_aside(dir, &path, &aside)?;
        }
        flush_dir(dir)?;
    }
    Ok(())
}

/// Copied, then removed: on FAT a power cut in the midst of renaming leaves an empty file, and what
/// the marker claims would belong to nobody. A cut in the midst of this leaves two markers, which say
/// the same. A medium too full for that takes the renaming.
fn put_aside(dir: &Path, path: &Path, aside: &Path) -> Result<(), Error> {
    let copied = File::open(path).and_then(|mut from| {
        let mut to = File::create_new(aside)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()
    });
    match copied.map_err(Error::io("copying a marker to", aside)) {
        Ok(()) => {
            flush_dir(dir)?;
            fs::remove_file(path).map_err(Error::io("removing", path))
        }
        Err(error) if error.is_medium_full() => rename_whole(path, aside),
        Err(error) => Err(error),
    }
}

/// A marker that no live writer holds; `None` while one does.
pub(crate) fn dead_marker(path: &Path, key: &PublicKey) -> Result<Option<Marker>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Its writer finished between the listing and now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("opening", path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(Error::io("locking", path)(error)),
    }
    marker::read(file, path, key).map(Some)
}

/// Exhibits that acts which have not ended claim, whether their directories exist or not.
pub(crate) fn claimed(dir: &Path, key: &PublicKey) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for prefix in [OPEN, UNFINISHED] {
        for (_, file) in numbered(dir, prefix)? {
            names.extend(marker::read_at(&dir.join(file), key)?.unwrap_or_default().exhibits);
        }
    }
    Ok(names)
}

/// Files set aside that no act has named yet; what lies in their exhibits and is among `known` is
/// left to the act that lists it.
pub(crate) fn unnamed(
    dir: &Path,
    journal: &Journal,
    key: &PublicKey,
    known: &BTreeSet<&str>,
) -> Result<Vec<SetAside>, Error> {
    let mut found = Vec::new();
    for prefix in [TORN, UNFINISHED] {
        for (_, file) in numbered(dir, prefix)? {
            if journal.set_aside.contains(&file) {
                continue;
            }
            let path = dir.join(&file);
            let (digests, size_bytes) = hashing::digest_file(&path, &Algorithms::sha256())
                .map_err(|error| Error::Io {
                    action: "reading",
                    path: path.clone(),
                    source: io::Error::other(error),
                })?;
            let exhibits = match prefix {
                UNFINISHED => marker::read_at(&path, key)?.unwrap_or_default().exhibits,
                _ => Vec::new(),
            };
            let files = left::files(dir, &exhibits, known)?;
            let sha256 = digests.sha256_hex();
            found.push(SetAside { file, size_bytes, sha256, exhibits, files });
        }
    }
    Ok(found)
}
