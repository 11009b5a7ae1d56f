//! What arrives, in a folder of the receiver: `….partial` until it was read back and the sender agreed.
//!
//! A small state file beside it says how far each file was flushed. Lengths alone would not do: after a power cut a file
//! system may show a length whose bytes never reached the medium.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Algorithms, MultiHasher, escape_name};
use rustix::fs::{Advice, CWD, RenameFlags, fadvise, fstatvfs, renameat_with};
use serde::{Deserialize, Serialize};

use crate::{Error, Hello, TransferId};

/// What the name of an unfinished file ends in.
pub(crate) const PARTIAL: &str = ".partial";
/// The state file.
pub(crate) const STATE: &str = "receive.state";
/// Read back in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;
/// Longest state file read.
const STATE_BYTES: u64 = 16 << 20;

/// A file that was received, or is being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Its name; unfinished it lies under this and `.partial`.
    pub name: String,
    /// Its size in bytes, as announced.
    pub size_bytes: Option<u64>,
    /// Everything before this offset is on the medium.
    pub kept_bytes: u64,
    /// SHA-256 read back from the medium, in hexadecimal; only for a file that has its name.
    pub sha256: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    transfer: String,
    what: String,
    files: Vec<Received>,
}

/// One transfer, as the receiver has it.
#[derive(Debug)]
pub struct Reception {
    folder: PathBuf,
    state: State,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    index: usize,
    file: File,
    at_bytes: u64,
    /// Set by reading back.
    read_back: Option<[u8; 32]>,
}

impl Reception {
    /// Begins a transfer in a folder, or goes on with the one that stands there.
    ///
    /// # Errors
    /// When another transfer stands there, or the medium does not take the state.
    pub fn open(folder: &Path, hello: &Hello) -> Result<Self, Error> {
        let transfer = hello.transfer.to_hex();
        let state = match read_state(folder)? {
            Some(state) if state.transfer == transfer => state,
            Some(_) => return refused("another transfer is unfinished in this folder"),
            None => State { transfer, what: hello.what.clone(), files: Vec::new() },
        };
        let mut reception = Self { folder: folder.to_path_buf(), state, current: None };
        reception.save()?;
        Ok(reception)
    }

    /// The transfer that is unfinished in a folder, if there is one.
    ///
    /// # Errors
    /// When there is a state that cannot be read.
    pub fn unfinished(folder: &Path) -> Result<Option<TransferId>, Error> {
        Ok(read_state(folder)?.and_then(|state| TransferId::from_hex(&state.transfer)))
    }

    /// Begins a file or goes on with it; says from which offset on the sender is to send.
    ///
    /// # Errors
    /// When there are too many files, the medium has too little room or does not take it.
    pub fn begin(
        &mut self,
        name: &str,
        size_bytes: Option<u64>,
        from_bytes: u64,
        files_at_most: usize,
    ) -> Result<u64, Error> {
        let known = self.state.files.iter().position(|file| file.name == name);
        // The connection broke, not this program: everything written is there, flushed or not.
        if let (Some(current), Some(index)) = (&mut self.current, known)
            && current.index == index
            && current.at_bytes <= from_bytes
        {
            current.read_back = None;
            return Ok(current.at_bytes);
        }
        let index = match known {
            Some(index) => index,
            None if self.state.files.len() >= files_at_most => {
                return refused("too many files in one transfer");
            }
            None => {
                if self.path(name).exists() || self.partial(name).exists() {
                    return refused("a file of this name stands there already");
                }
                let file =
                    Received { name: name.to_owned(), size_bytes, kept_bytes: 0, sha256: None };
                self.state.files.push(file);
                self.state.files.len().saturating_sub(1)
            }
        };
        let Some(known) = self.state.files.get_mut(index) else { return refused("no such file") };
        if known.size_bytes != size_bytes {
            return refused("the file is announced with another size than before");
        }
        if known.sha256.is_some() {
            // It has its name; the sender did not hear so. It may only ask to have it read back.
            let path = self.folder.join(name);
            let file = File::open(&path).map_err(io_at("opening", &path))?;
            let at_bytes = file.metadata().map_err(io_at("opening", &path))?.len();
            self.current = Some(Current { index, file, at_bytes, read_back: None });
            return Ok(at_bytes);
        }
        let at_bytes = known.kept_bytes.min(from_bytes);
        known.kept_bytes = at_bytes;
        let path = self.partial(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_at("creating", &path))?;
        let there = file.metadata().map_err(io_at("opening", &path))?.len();
        if there < at_bytes {
            return Err(Error::Lost { found: there, expected: at_bytes });
        }
        file.set_len(at_bytes).map_err(io_at("cutting back", &path))?;
        if let (Some(size), Ok(medium)) = (size_bytes, fstatvfs(&file)) {
            let free = medium.f_bavail.saturating_mul(medium.f_frsize);
            let needed = size.saturating_sub(at_bytes);
            if free < needed {
                if at_bytes == 0 {
                    // Empty, and made just now.
                    let _ = fs::remove_file(&path);
                    self.state.files.retain(|file| file.name != name);
                }
                return refused(format!("{needed} bytes are needed and {free} are free"));
            }
        }
        self.current = Some(Current { index, file, at_bytes, read_back: None });
        self.save()?;
        Ok(at_bytes)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When no file was begun, the bytes are not the next ones or more than announced, or the medium does not take them.
    pub fn append(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<(), Error> {
        let current =
            self.current.as_mut().ok_or(Error::Protocol { what: "data without a file" })?;
        let file = self.state.files.get(current.index);
        if offset_bytes != current.at_bytes || file.is_none_or(|file| file.sha256.is_some()) {
            return Err(Error::Protocol { what: "data that is not the next" });
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end_bytes = offset_bytes.saturating_add(length);
        if file.and_then(|file| file.size_bytes).is_some_and(|size| end_bytes > size) {
            return Err(Error::Protocol { what: "more data than was announced" });
        }
        current.read_back = None;
        current.file.write_all_at(bytes, offset_bytes).map_err(|error| full(&error, "writing"))?;
        current.at_bytes = end_bytes;
        Ok(())
    }

    /// Flushes; gives the offset before which everything is on the medium.
    ///
    /// # Errors
    /// When no file was begun, or the medium does not take it.
    pub fn keep(&mut self) -> Result<u64, Error> {
        let current =
            self.current.as_ref().ok_or(Error::Protocol { what: "flushing without a file" })?;
        current.file.sync_data().map_err(|error| full(&error, "flushing"))?;
        let at_bytes = current.at_bytes;
        if let Some(file) = self.state.files.get_mut(current.index) {
            file.kept_bytes = at_bytes;
        }
        self.save()?;
        Ok(at_bytes)
    }

    /// Reads the current file back from the medium; gives its size and SHA-256. `alive` is called on the way.
    ///
    /// # Errors
    /// When it is not of the size the sender means, or cannot be read; and those of `alive`.
    pub fn read_back(
        &mut self,
        size_bytes: u64,
        alive: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(u64, [u8; 32]), Error> {
        let current =
            self.current.as_mut().ok_or(Error::Protocol { what: "an end without a file" })?;
        if current.at_bytes != size_bytes {
            return Err(Error::Protocol { what: "an end at another place" });
        }
        let doing = "reading back what was received";
        // Only clean pages can be dropped, so whatever is still in memory goes to the medium first.
        current.file.sync_all().map_err(|error| full(&error, "flushing"))?;
        fadvise(&current.file, 0, None, Advice::DontNeed)
            .map_err(|error| Error::io(doing)(error.into()))?;
        let mut hasher = MultiHasher::new(&Algorithms::sha256());
        let mut piece = vec![0; PIECE_BYTES];
        let mut done = 0u64;
        loop {
            let length = match current.file.read_at(&mut piece, done) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(doing)(error)),
            };
            hasher.update(piece.get(..length).unwrap_or_default());
            done = done.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            alive(done)?;
        }
        let digests = hasher.finish();
        let sha256 =
            digests.of(Algorithm::Sha256).and_then(|digest| digest.as_bytes().try_into().ok());
        let sha256 = sha256.ok_or(Error::Crypto)?;
        current.read_back = Some(sha256);
        Ok((done, sha256))
    }

    /// Gives the current file its name, if what was read back is what the sender sent.
    ///
    /// # Errors
    /// When it is not, or the name cannot be given.
    pub fn publish(&mut self, sent: [u8; 32]) -> Result<(), Error> {
        let current =
            self.current.as_mut().ok_or(Error::Protocol { what: "a name without a file" })?;
        let found =
            current.read_back.ok_or(Error::Protocol { what: "a name before reading back" })?;
        if found != sent {
            return Err(Error::Mismatch { found: hex(&found), expected: hex(&sent) });
        }
        let (index, at_bytes) = (current.index, current.at_bytes);
        let Some(known) = self.state.files.get(index) else { return refused("no such file") };
        if known.sha256.is_none() {
            let (from, to) = (self.partial(&known.name), self.path(&known.name));
            rename_new(&from, &to)?;
            // A name that is not flushed can go back to .partial in a power cut, which is safe.
            let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        }
        if let Some(known) = self.state.files.get_mut(index) {
            known.kept_bytes = at_bytes;
            known.sha256 = Some(hex(&found));
        }
        self.current = None;
        self.save()
    }

    /// The files, as they stand.
    #[must_use]
    pub fn files(&self) -> &[Received] {
        &self.state.files
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is being sent, in the sender's words.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.state.what
    }

    /// Removes the state: everything has its name.
    ///
    /// # Errors
    /// When the medium does not take it.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        let path = self.folder.join(STATE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_at("removing", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{PARTIAL}"))
    }

    /// The state is replaced as a whole, so that there is always one that is whole.
    fn save(&mut self) -> Result<(), Error> {
        let (new, path) = (self.folder.join("receive.state.partial"), self.folder.join(STATE));
        let text = serde_json::to_vec(&self.state).map_err(|_| Error::Crypto)?;
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_data()?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| full(&error, "keeping the state"))
    }
}

fn read_state(folder: &Path) -> Result<Option<State>, Error> {
    let path = folder.join(STATE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_at("opening", &path)(error)),
    };
    let mut text = Vec::new();
    file.take(STATE_BYTES).read_to_end(&mut text).map_err(io_at("reading", &path))?;
    let state: State = serde_json::from_slice(&text)
        .map_err(|error| io_at("understanding", &path)(io::Error::from(error)))?;
    // The state lies on the receiver's medium, but a name in it becomes a path.
    match state.files.iter().all(|file| crate::message::is_plain_name(&file.name)) {
        true => Ok(Some(state)),
        false => Err(Error::Protocol { what: "a state with a name no file may have" }),
    }
}

fn rename_new(from: &Path, to: &Path) -> Result<(), Error> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => refused("a file of this name stands there already"),
        // exFAT and some others do not know the flag; there the check comes first.
        Err(rustix::io::Errno::INVAL) if fs::symlink_metadata(to).is_err() => {
            fs::rename(from, to).map_err(io_at("renaming", from))
        }
        Err(error) => Err(io_at("renaming", from)(error.into())),
    }
}

fn refused<T>(reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Refused { reason: reason.into() })
}

/// Trouble with the medium is told to the sender, for whom it is final.
fn full(error: &io::Error, doing: &str) -> Error {
    Error::Refused { reason: format!("{doing} at the receiver: {error}") }
}

fn io_at(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::io(format!("{doing} {}", escape_name(path.as_os_str().as_encoded_bytes())))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
