//! The files that make a case, and copying them so that the copy is known to be the same.
//!
//! The secret key is no member: a copy or a bag given away must not carry what signs.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use hashing::{Algorithms, Digests, escape_name};
use rustix::fs::{Advice, fadvise};

use crate::files::{flush_dir, numbered};
use crate::pair::{COPY, LIST};
use crate::recovery::{OPEN, TORN, UNFINISHED, dead_marker};
use crate::{CaseInfo, Error};

/// Bound on files and folders, far above any real case.
const MAX_MEMBERS: usize = 10_000_000;

/// The members of a case, paths relative to it, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) folders: Vec<String>,
    pub(crate) files: Vec<String>,
}

impl Members {
    pub(crate) fn of(case: &Path) -> Result<Self, Error> {
        let mut members = Self::default();
        members.files.extend([LIST, "case.pub", "case.toml"].map(str::to_owned));
        // A case from before there was a copy has none.
        members.files.extend(case.join(COPY).exists().then(|| COPY.to_owned()));
        for prefix in [TORN, UNFINISHED] {
            members.files.extend(numbered(case, prefix)?.into_iter().map(|(_, name)| name));
        }
        let mut waiting = vec!["exhibits".to_owned()];
        while let Some(folder) = waiting.pop() {
            let path = case.join(&folder);
            for entry in fs::read_dir(&path).map_err(Error::io("listing", &path))? {
                let entry = entry.map_err(Error::io("listing", &path))?;
                let kind = entry.file_type().map_err(Error::io("reading", &path))?;
                let name = entry.file_name();
                let name = name.to_str().filter(|_| kind.is_dir() || kind.is_file());
                let Some(name) = name else {
                    let name = escape_name(entry.path().as_os_str().as_encoded_bytes());
                    return Err(Error::Refused {
                        reason: format!("{name} is no plain file with a portable name"),
                    });
                };
                let name = format!("{folder}/{name}");
                if kind.is_dir() {
                    waiting.push(name);
                } else {
                    members.files.push(name);
                }
                if members.files.len().saturating_add(waiting.len()) > MAX_MEMBERS {
                    return Err(Error::Refused {
                        reason: "the case has too many files".to_owned(),
                    });
                }
            }
            members.folders.push(folder);
        }
        members.folders.sort();
        members.files.sort();
        Ok(members)
    }
}

/// Acts that some program has begun and is still at work on, by their markers.
pub(crate) fn at_work(case: &Path) -> Result<Vec<String>, Error> {
    let (_, key, _) = CaseInfo::read(case)?;
    let mut live = Vec::new();
    for (_, name) in numbered(case, OPEN)? {
        if dead_marker(&case.join(&name), &key)?.is_none() {
            live.push(name);
        }
    }
    Ok(live)
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes copied and read back so far.
    pub done_bytes: u64,
    /// Bytes there are to copy and read back.
    pub total_bytes: u64,
}

/// What was copied and found the same when read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Path relative to the case, size in bytes, digests; in order of the path.
    pub files: Vec<(String, u64, Digests)>,
}

/// Copies the case in `from` to `to`, which must not exist, and reads every byte back from the
/// medium after the cached pages were given up.
///
/// The copy holds everything recorded until now and verifies by itself; the key is not copied.
///
/// # Errors
/// When an act is in progress, something cannot be read or written, or a copy differs.
pub fn duplicate(
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, Error> {
    let members = Members::of(from)?;
    fs::create_dir(to).map_err(Error::io("creating", to))?;
    for folder in &members.folders {
        let path = to.join(folder);
        fs::create_dir(&path).map_err(Error::io("creating", &path))?;
    }
    let mut total_bytes = 0u64;
    for name in &members.files {
        let path = from.join(name);
        let size_bytes = fs::metadata(&path).map_err(Error::io("reading", &path))?.len();
        total_bytes = total_bytes.saturating_add(size_bytes.saturating_mul(2));
    }
    let mut done_bytes = 0u64;
    let mut count = |bytes: u64| {
        done_bytes = done_bytes.saturating_add(bytes);
        progress(Progress { done_bytes, total_bytes });
    };
    let mut copied = Copied { files: Vec::new() };
    for name in &members.files {
        let (size_bytes, digests) = copy_file(&from.join(name), &to.join(name), &mut count)?;
        copied.files.push((name.clone(), size_bytes, digests));
    }
    for folder in members.folders.iter().rev() {
        flush_dir(&to.join(folder))?;
    }
    flush_dir(to)?;
    for (name, _, digests) in &copied.files {
        read_back(&to.join(name), digests, &mut count)?;
    }
    Ok(copied)
}

/// Copies one file and waits until it is on the medium.
pub(crate) fn copy_file(
    from: &Path,
    to: &Path,
    count: &mut dyn FnMut(u64),
) -> Result<(u64, Digests), Error> {
    let source = File::open(from).map_err(Error::io("opening", from))?;
    let mut target = File::create_new(to).map_err(Error::io("creating", to))?;
    let mut written = Ok(());
    let (digests, size_bytes) = digest(source, from, &mut |bytes| {
        if written.is_ok() {
            written = target.write_all(bytes);
        }
        count(length(bytes));
        written.is_ok()
    })?;
    written.and_then(|()| target.sync_all()).map_err(Error::io("writing", to))?;
    Ok((size_bytes, digests))
}

/// Reads a file from the medium, not from memory, and compares.
pub(crate) fn read_back(
    path: &Path,
    expected: &Digests,
    count: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    // A hint that file systems in memory ignore; everywhere else the pages go.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let (found, _) = digest(file, path, &mut |bytes| {
        count(length(bytes));
        true
    })?;
    if found == *expected {
        return Ok(());
    }
    let name = escape_name(path.as_os_str().as_encoded_bytes());
    let (found, expected) = (found.sha256_hex(), expected.sha256_hex());
    Err(Error::Refused {
        reason: format!("{name} read back has sha256 {found}, {expected} was written"),
    })
}

/// Reads to the end, or until `take` says no.
fn digest(
    file: File,
    path: &Path,
    take: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<(Digests, u64), Error> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut hasher = hashing::MultiHasher::new(&Algorithms::sha256());
    let (mut size_bytes, mut buffer) = (0u64, vec![0; 1 << 20]);
    loop {
        let read = reader.read(&mut buffer).map_err(Error::io("reading", path))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() || !take(bytes) {
            return Ok((hasher.finish(), size_bytes));
        }
        hasher.update(bytes);
        size_bytes = size_bytes.saturating_add(length(bytes));
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Where a path relative to a bag or case lies, if it stays inside: plain names only.
pub(crate) fn inside(root: &Path, name: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\\'])
    };
    (name.len() <= 4096 && name.split('/').all(plain)).then(|| root.join(name))
}
