//! Files of an archive: written whole or not at all, read with a bound.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Algorithms, Digest, MultiHasher};

use super::{FileRecord, show};
use crate::{Error, Result};

/// Largest list or index of ours held in memory.
const MAX_BYTES: u64 = 1 << 30;

/// Writes a file under another name and gives it its own when it is whole and on the medium.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// As [`write`], with a function that produces the bytes.
pub(super) fn write_with(
    path: &Path,
    produce: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    let what = show(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::io(&show(folder)))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = File::create(&part).map_err(Error::io(&what))?;
    let written =
        produce(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // What is left of it is no file of the archive; that it stays is no worse than the error told.
        let _kept = fs::remove_file(&part);
    }
    written.map_err(Error::io(&what))
}

/// Reads a file of ours; `name` is its name in the archive.
pub(super) fn read(path: &Path, name: &str) -> Result<Vec<u8>> {
    let file = open(path, name, super::STATEMENT)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(name))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(Error::TooLarge { what: name.to_owned(), limit_bytes: MAX_BYTES });
    }
    Ok(bytes)
}

/// Opens a regular file; a link is refused, because what it leads to is not in the archive.
pub(super) fn open(path: &Path, name: &str, index: &str) -> Result<File> {
    let missing = || Error::Missing { name: name.to_owned(), index: index.to_owned() };
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => File::open(path).map_err(Error::io(name)),
        Ok(_) => Err(Error::malformed(name, "its place", "it is no regular file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
        Err(error) => Err(Error::io(name)(error)),
    }
}

/// Length and SHA-256 of a stream.
pub(super) fn measure(mut input: impl Read, name: &str) -> Result<(u64, Digest)> {
    let mut hasher = MultiHasher::new(&Algorithms::sha256());
    let mut buffer = vec![0; 256 << 10];
    let mut size_bytes = 0_u64;
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(name)(error)),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        size_bytes = size_bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    let digests = hasher.finish();
    let digest = digests.of(Algorithm::Sha256).cloned().ok_or_else(|| Error::WeakDigest {
        what: name.to_owned(),
        found: "no digest".to_owned(),
    })?;
    Ok((size_bytes, digest))
}

/// Makes sure that a file is the one a list names.
pub(super) fn compare(path: &Path, name: &str, index: &str, record: &FileRecord) -> Result<()> {
    let (found_bytes, found) = measure(open(path, name, index)?, name)?;
    record.compare(name, index, found_bytes, &found)
}

/// Copies a file and compares it on the way; one that is not the one a list names gets no name.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    name: &str,
    index: &str,
    record: &FileRecord,
) -> Result<()> {
    let mut input = File::open(from).map_err(Error::io(name))?;
    let mut fault = None;
    let written = write_with(to, |out| {
        let copied = super::media::copy_measured(&mut input, out, Algorithm::Sha256, name)
            .and_then(|(size_bytes, sha256)| record.compare(name, index, size_bytes, &sha256));
        copied.map_err(|error| {
            let text = error.to_string();
            fault = Some(error);
            std::io::Error::other(text)
        })
    });
    // The reason itself, where there is one, not that nothing was written.
    fault.map_or(written, Err)
}

/// Names of all regular files below a folder, relative to it, sorted; anything else in it is an error.
pub(super) fn all(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![(dir.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io(&show(&folder)))? {
            let entry = entry.map_err(Error::io(&show(&folder)))?;
            let own = entry.file_name();
            let Some(own) = own.to_str() else {
                let name = hashing::escape_name(own.as_encoded_bytes());
                return Err(Error::Unlisted { name: format!("{prefix}{name}") });
            };
            let name = format!("{prefix}{own}");
            let kind = entry.file_type().map_err(Error::io(&name))?;
            if kind.is_dir() {
                if name != "lost+found" {
                    folders.push((entry.path(), format!("{name}/")));
                }
            } else if kind.is_file() {
                found.push(name);
            } else {
                return Err(Error::malformed(&name, "its place", "it is no regular file"));
            }
        }
    }
    found.sort();
    Ok(found)
}
