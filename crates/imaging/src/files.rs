//! Copies of files out of an examined file system.
//!
//! Nothing copied can be run by accident or escape its folder: names become such as every file system holds, files are
//! made without the right to execute, links and special files are listed and not made. What a file was stands in the
//! record the caller gets for each, so that the copy loses nothing.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use evidence::fs::content::{self, Hole, Piece, Which};
use evidence::fs::tree::{self, Limits, Visit};
use evidence::fs::{FileKind, FileSystem, Metadata, Node, RawPath};
use evidence::{EvidenceError, Place, Problem};
use hashing::{Algorithms, Digests, MultiHasher};
use rustix::fs::{Advice, fadvise};

use crate::Error;

/// Longest name made, in bytes: room for an ending below the 255 of every file system.
const MAX_NAME_BYTES: usize = 200;
/// A run of zeros this long becomes a hole in the copy.
const HOLE_BYTES: usize = 64 * 1024;

/// One object that was copied or listed.
#[derive(Debug, Clone)]
pub struct CopiedFile {
    /// Its path on the evidence.
    pub path: RawPath,
    /// The stream copied, if it is not the main content.
    pub stream: Option<RawPath>,
    /// What is recorded about it there.
    pub metadata: Metadata,
    /// Its copy, relative to the folder; `None` for what is only listed.
    pub copy: Option<PathBuf>,
    /// Bytes of the copy.
    pub size_bytes: u64,
    /// Digests of the bytes written, with zeros for what could not be read; the copy was read back and has them.
    pub digests: Option<Digests>,
    /// What could not be read.
    pub holes: Vec<Hole>,
    /// Why it was not copied.
    pub problem: Option<Problem>,
}

/// Copies what stands at `start` (and below it) into the existing folder `into`, and tells `each` of every object.
///
/// Returns the problems of the walk.
///
/// # Errors
/// When a copy cannot be written or reads back differently: a medium that fails is no place for evidence.
pub fn copy_out(
    fs: &dyn FileSystem,
    (node, path): (Node, &RawPath),
    into: &Path,
    algorithms: &Algorithms,
    each: &mut dyn FnMut(CopiedFile),
) -> Result<Vec<Problem>, Error> {
    let mut copier =
        Copier { fs, into, algorithms, taken: BTreeSet::new(), folders: HashMap::new() };
    let metadata = match fs.metadata(node) {
        Ok(metadata) => metadata,
        Err(error) => return Ok(vec![error.to_problem(Place::Path(path.clone()))]),
    };
    let is_directory = metadata.kind == FileKind::Directory;
    if !is_directory {
        copier.object(Visit { path: path.clone(), metadata }, Path::new(""), each)?;
        return Ok(Vec::new());
    }
    copier.folders.insert(path.clone(), PathBuf::new());
    let mut failure = None;
    let problems = tree::walk(fs, node, path, Limits::default(), &mut |visit| {
        if failure.is_none() {
            let below = copier.folders.get(&visit.path.parent()).cloned().unwrap_or_default();
            failure = copier.object(visit, &below, each).err();
        }
    });
    match failure {
        Some(failure) => Err(failure),
        None => Ok(problems),
    }
}

struct Copier<'a> {
    fs: &'a dyn FileSystem,
    into: &'a Path,
    algorithms: &'a Algorithms,
    /// Names made, in lower case: some media do not tell cases apart.
    taken: BTreeSet<String>,
    /// Directories and their copies.
    folders: HashMap<RawPath, PathBuf>,
}

impl Copier<'_> {
    fn object(
        &mut self,
        visit: Visit,
        below: &Path,
        each: &mut dyn FnMut(CopiedFile),
    ) -> Result<(), Error> {
        let Visit { path, metadata } = visit;
        let mut copied = CopiedFile {
            path: path.clone(),
            stream: None,
            metadata: metadata.clone(),
            copy: None,
            size_bytes: 0,
            digests: None,
            holes: Vec::new(),
            problem: None,
        };
        match metadata.kind {
            FileKind::Directory => {
                let copy = self.name(below, path.name());
                let full = self.into.join(&copy);
                fs::create_dir(&full).map_err(Error::io("creating", &full))?;
                self.folders.insert(path, copy.clone());
                copied.copy = Some(copy);
            }
            FileKind::File => {
                let copy = self.name(below, path.name());
                self.content(&mut copied, Which::Main, metadata.size_bytes, copy)?;
                let streams = self.fs.streams(metadata.node).unwrap_or_default();
                for stream in streams {
                    let mut more =
                        CopiedFile { stream: Some(stream.name.clone()), ..copied.clone() };
                    let name = [path.name(), b"~", &stream.name.0].concat();
                    let copy = self.name(below, &name);
                    self.content(&mut more, Which::Named(&stream.name.0), stream.size_bytes, copy)?;
                    each(more);
                }
            }
            _ => {}
        }
        each(copied);
        Ok(())
    }

    fn content(
        &self,
        copied: &mut CopiedFile,
        which: Which<'_>,
        length: u64,
        copy: PathBuf,
    ) -> Result<(), Error> {
        let full = self.into.join(&copy);
        let mut out = Writer::create(&full, self.algorithms)?;
        let node = copied.metadata.node;
        match content::stream(self.fs, node, which, length, &mut |piece| out.take(piece)) {
            Ok(holes) => {
                copied.holes = holes;
                let (size_bytes, digests) = out.finish(length)?;
                read_back(&full, size_bytes, &digests, self.algorithms)?;
                copied.size_bytes = size_bytes;
                copied.digests = Some(digests);
                copied.copy = Some(copy);
                Ok(())
            }
            Err(Broken::Reading(error)) => {
                copied.problem = Some(error.to_problem(Place::Path(copied.path.clone())));
                drop(out);
                fs::remove_file(&full).map_err(Error::io("removing", &full))
            }
            Err(Broken::Writing(error)) => Err(error),
        }
    }

    /// A name nobody has yet, below a folder of the copy.
    fn name(&mut self, below: &Path, raw: &[u8]) -> PathBuf {
        let safe = safe_name(raw);
        for number in 1_u64.. {
            let name = if number == 1 { safe.clone() } else { format!("{safe}~{number}") };
            let path = below.join(name);
            if self.taken.insert(path.to_string_lossy().to_lowercase()) {
                return path;
            }
        }
        below.join(safe)
    }
}

/// Either side of a copy can fail.
enum Broken {
    Reading(EvidenceError),
    Writing(Error),
}

impl From<EvidenceError> for Broken {
    fn from(error: EvidenceError) -> Self {
        Self::Reading(error)
    }
}

struct Writer<'a> {
    file: File,
    path: &'a Path,
    hasher: MultiHasher,
    written_bytes: u64,
}

impl<'a> Writer<'a> {
    fn create(path: &'a Path, algorithms: &Algorithms) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::io("creating", path))?;
        Ok(Self { file, path, hasher: MultiHasher::new(algorithms), written_bytes: 0 })
    }

    fn take(&mut self, piece: Piece<'_>) -> Result<(), Broken> {
        match piece {
            Piece::Data(bytes) => self.write(bytes),
            Piece::Unreadable(length) => {
                let mut left = length;
                while left > 0 {
                    let part = usize::try_from(left).unwrap_or(HOLE_BYTES).min(HOLE_BYTES);
                    self.write(&vec![0; part])?;
                    left = left.saturating_sub(u64::try_from(part).unwrap_or(left));
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.hasher.update(bytes);
        for part in bytes.chunks(HOLE_BYTES) {
            let is_hole = part.len() == HOLE_BYTES && part.iter().all(|byte| *byte == 0);
            let length = i64::try_from(part.len()).unwrap_or(0);
            let done = if is_hole {
                self.file.seek(SeekFrom::Current(length)).map(drop)
            } else {
                self.file.write_all(part)
            };
            done.map_err(Error::io("writing", self.path)).map_err(Broken::Writing)?;
            self.written_bytes = self.written_bytes.saturating_add(length.unsigned_abs());
        }
        Ok(())
    }

    fn finish(self, length: u64) -> Result<(u64, Digests), Error> {
        let written = self.written_bytes;
        self.file.set_len(written).map_err(Error::io("writing", self.path))?;
        self.file.sync_all().map_err(Error::io("writing", self.path))?;
        debug_assert_eq!(written, length, "unreadable parts count too");
        Ok((written, self.hasher.finish()))
    }
}

/// Reads the copy again from the medium and compares.
fn read_back(
    path: &Path,
    size_bytes: u64,
    expected: &Digests,
    algorithms: &Algorithms,
) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    // Only a hint: where it is not taken, what is read back may come from memory.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let (found, found_bytes) = hashing::digest_reader(file, algorithms)?;
    if found_bytes != size_bytes || found != *expected {
        return Err(Error::Mismatch {
            path: path.to_path_buf(),
            expected: expected.clone(),
            found,
        });
    }
    Ok(())
}

/// A name every file system can hold: what could trouble one of them is written as `%NN`.
#[must_use]
pub fn safe_name(raw: &[u8]) -> String {
    let mut name = String::new();
    for (index, byte) in raw.iter().enumerate() {
        let last = index.saturating_add(1) == raw.len();
        let plain = byte.is_ascii_alphanumeric()
            || b"_-+@,()=~#".contains(byte)
            || (b". ".contains(byte) && index > 0 && !last);
        let next = if plain { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
        if name.len().saturating_add(next.len()) > MAX_NAME_BYTES {
            name.push('~');
            break;
        }
        name.push_str(&next);
    }
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = stem.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if name.is_empty() || matches!(device, "con" | "prn" | "aux" | "nul" | "com" | "lpt") {
        name.insert(0, '~');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_troubles_a_file_system_or_leaves_its_folder() {
        for (raw, safe) in [
            (&b"passwd"[..], "passwd"),
            (b"..", "%2E%2E"),
            (b".bashrc", "%2Ebashrc"),
            (b"a b.txt", "a b.txt"),
            (b"end. ", "end.%20"),
            (b"a/b:c*", "a%2Fb%3Ac%2A"),
            (b"\x1b\xff", "%1B%FF"),
            (b"CON.txt", "~CON.txt"),
            (b"com7", "~com7"),
            (b"", "~"),
        ] {
            assert_eq!(safe_name(raw), safe);
        }
        assert!(safe_name(&[0xff; 255]).len() <= MAX_NAME_BYTES + 2);
    }
}
