//! Putting aside what an interrupted session left, without losing a byte of it.
//!
//! What is torn in the list of acts or its copy is copied out, and the file made anew from the other;
//! the marker of an act whose writer died is renamed. All keep their bytes, and the next act to be recorded names them with their digests and with what
//! lies in the exhibits they claim, so the interruption itself becomes part of the signed record.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use hashing::Algorithms;

use crate::files::{flush_dir, next_numbered, numbered, rename_whole};
use crate::journal::{Journal, Other};
use crate::marker::{self, Marker};
use crate::pair::LIST;
use crate::{Error, PublicKey, SetAside, left};

pub(crate) const OPEN: &str = "acts.open-";
pub(crate) const UNFINISHED: &str = "acts.unfinished-";
pub(crate) const TORN: &str = "acts.torn-";

/// Makes list and copy whole and the same again. The caller holds the case lock.
///
/// A damaged file is never written to: its chain of clusters may be broken. It is made anew from the
/// other, which nothing is done to meanwhile. What it holds beyond that is put aside first.
pub(crate) fn mend(dir: &Path, journal: &mut Journal) -> Result<(), Error> {
    let is_torn = journal.size_bytes > journal.sound_bytes;
    let other = journal.other_name();
    match journal.other {
        Other::Same if !is_torn => return Ok(()),
        Other::Same => {}
        Other::Damaged { common_bytes, .. } => put_rest_aside(dir, other, common_bytes)?,
        Other::Contradicts { .. } => {
            let reason = format!("{} and {other} contradict each other", journal.name);
            return Err(Error::Refused { reason });
        }
    }
    make_anew(dir, other, journal.name, journal.sound_bytes)?;
    if is_torn {
        put_rest_aside(dir, journal.name, journal.sound_bytes)?;
        make_anew(dir, journal.name, other, journal.sound_bytes)?;
    }
    (journal.name, journal.other) = (LIST, Other::Same);
    journal.size_bytes = journal.sound_bytes;
    Ok(())
}

/// Copies what can be read of a file behind this byte, if there is anything.
fn put_rest_aside(dir: &Path, name: &str, from_bytes: u64) -> Result<(), Error> {
    let path = dir.join(name);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("opening", &path)(error)),
    };
    file.seek(SeekFrom::Start(from_bytes)).map_err(Error::io("reading", &path))?;
    let (mut aside, mut buffer) = (None, vec![0; 1 << 16]);
    // What the medium does not give ends there: it is what a power cut left of a chain of clusters.
    while let Ok(read) = file.read(&mut buffer) {
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if aside.is_none() {
            let path = next_numbered(dir, TORN)?;
            let copy = File::create_new(&path).map_err(Error::io("creating", &path))?;
            aside = Some((path, copy));
        }
        if let Some((path, copy)) = &mut aside {
            copy.write_all(bytes).map_err(Error::io("copying a torn line to", path))?;
        }
    }
    if let Some((path, copy)) = aside {
        copy.sync_all().map_err(Error::io("flushing", &path))?;
        flush_dir(dir)?;
    }
    Ok(())
}

/// Writes one of the two files anew, as the first bytes of the other.
fn make_anew(dir: &Path, name: &str, from: &str, size_bytes: u64) -> Result<(), Error> {
    let (path, from) = (dir.join(name), dir.join(from));
    let source = File::open(&from).map_err(Error::io("opening", &from))?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("removing", &path)(error));
        }
        _ => flush_dir(dir)?,
    }
    let mut file = File::create_new(&path).map_err(Error::io("creating", &path))?;
    let copied = io::copy(&mut source.take(size_bytes), &mut file);
    let copied = copied.and_then(|bytes| file.sync_all().map(|()| bytes));
    if copied.map_err(Error::io("writing", &path))? != size_bytes {
        return Err(Error::io("reading", &from)(io::ErrorKind::UnexpectedEof.into()));
    }
    flush_dir(dir)
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
