//! A copy on a whole disk: exactly the bytes of the source, from the first sector on.
//!
//! The beginning of the source is kept aside in a file and written last, after everything behind it was read back from the
//! disk and found equal. Until then the disk begins with zeros: no firmware boots it, no system takes it for the copy it is
//! not. What lies behind the end of the source is left as it is, or wiped and read back as zeros.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use hashing::{Algorithms, digest_bytes, escape_name};
use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::acquire::acquire;
use crate::{
    Acquisition, Checkpoint, Destination, Ending, Error, Flush, ImageWriter, Medium, NullSink,
    Part, Plan, ReadAt, Tick, Verified,
};

/// What is written last: boot code, both partition tables, and the superblocks of most file systems.
const HEAD_BYTES: u64 = 1 << 20;
/// Written and compared at once.
const PIECE_BYTES: usize = 1 << 20;
/// After so many bytes of wiping it is noted how far they reached.
const NOTE_BYTES: u64 = 1 << 30;

/// What becomes of a disk behind the end of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// It stays as it is.
    Left,
    /// Zeros, which are read back too.
    Wiped,
}

/// A disk being written.
#[derive(Debug)]
pub struct CloneDisk {
    file: File,
    name: String,
    rest: Rest,
    source_bytes: u64,
    disk_bytes: u64,
    sector_bytes: u32,
    at_bytes: u64,
    head: Vec<u8>,
    /// Where the head waits for its time.
    aside: PathBuf,
    /// What was told of the disk, for the record.
    about: Value,
}

#[derive(Serialize, Deserialize)]
struct State {
    at_bytes: u64,
    head_sha256: String,
}

/// A disk that is wanted as a copy.
#[derive(Debug)]
pub struct Target {
    /// Open for reading and writing, by permit.
    pub file: File,
    /// Its name for people.
    pub name: String,
    /// Its logical sector size in bytes.
    pub sector_bytes: u32,
    /// What becomes of the part the source does not fill.
    pub rest: Rest,
    /// A file on the examiner's medium for the beginning of the source.
    pub aside: PathBuf,
    /// Model and serial number, for the record.
    pub about: Value,
}

impl CloneDisk {
    /// Begins a copy, or goes on with one from the state of its checkpoint. Nothing is written before everything that
    /// can be refused was checked.
    ///
    /// # Errors
    /// When the disk is too small or its sectors are of another size, or what was kept aside is not whole.
    pub fn open(target: Target, medium: &Medium, state: Option<&Value>) -> Result<Self, Error> {
        let Target { file, name, sector_bytes, rest, aside, about } = target;
        let path = PathBuf::from(&name);
        // Not by a reader of ours: that asks the kernel to bypass its memory, and this descriptor would do so too.
        let end = seek(&file, SeekFrom::End(0));
        let disk_bytes = end.map_err(|error| Error::io("opening", &path)(error.into()))?;
        let cannot = |reason| Err(Error::Format { format: "this disk", reason });
        let source_bytes = medium.size_bytes;
        if disk_bytes < source_bytes {
            return cannot(format!(
                "it has {disk_bytes} bytes and the source {source_bytes}; choose a larger one"
            ));
        }
        if sector_bytes != medium.sector_bytes {
            return cannot(format!(
                "its sectors have {sector_bytes} bytes and the source's {}, so that no partition would be found; image \
                 into a file",
                medium.sector_bytes
            ));
        }
        let mut clone = Self {
            file,
            name,
            rest,
            source_bytes,
            disk_bytes,
            sector_bytes,
            at_bytes: 0,
            head: Vec::new(),
            aside,
            about,
        };
        match state {
            Some(state) => clone.go_on(state)?,
            None => clone.begin()?,
        }
        Ok(clone)
    }

    fn begin(&mut self) -> Result<(), Error> {
        let _ = fs::remove_file(self.note());
        // An interrupted session whose first checkpoint was never reached may have left it.
        let created = File::create(&self.aside).map_err(Error::io("creating", &self.aside))?;
        created.sync_all().map_err(Error::io("flushing", &self.aside))?;
        let zeros = vec![0; length(HEAD_BYTES.min(self.source_bytes))];
        let path = PathBuf::from(&self.name);
        self.file.write_all_at(&zeros, 0).map_err(Error::io("clearing the beginning of", &path))?;
        self.file.sync_data().map_err(Error::io("clearing the beginning of", &path))
    }

    fn go_on(&mut self, state: &Value) -> Result<(), Error> {
        let broken = |reason| Error::Journal { path: self.aside.clone(), reason };
        let state =
            State::deserialize(state).map_err(|_| broken("the state of a clone is not whole"))?;
        let head = read_head(&self.aside)?;
        if sha256(&head) != state.head_sha256 {
            return Err(broken("the beginning of the source, kept aside, is not what it was"));
        }
        (self.at_bytes, self.head) = (state.at_bytes, head);
        Ok(())
    }

    /// Takes what belongs to the head; gives what is left to write, and where.
    fn take_head<'a>(&mut self, part: Part<'a>) -> io::Result<(u64, &'a [u8])> {
        let head_bytes = HEAD_BYTES.min(self.source_bytes);
        if part.offset_bytes >= head_bytes {
            return Ok((part.offset_bytes, part.bytes));
        }
        let inside = length(head_bytes.saturating_sub(part.offset_bytes)).min(part.bytes.len());
        let (head, rest) = part.bytes.split_at_checked(inside).unwrap_or((part.bytes, &[]));
        self.head.extend(head);
        if length(head_bytes) == self.head.len() {
            self.keep_head()?;
        }
        Ok((head_bytes, rest))
    }

    fn keep_head(&self) -> io::Result<()> {
        let mut file = File::create(&self.aside)?;
        file.write_all(&self.head)?;
        file.sync_all()
    }

    /// Goes on where an interruption left it. What is noted need not be believed: all of it is read back afterwards.
    fn wipe(&self, progress: &mut dyn FnMut(Tick), cancel: &AtomicBool) -> Result<(), Error> {
        let path = PathBuf::from(&self.name);
        let zeros = vec![0; PIECE_BYTES];
        let noted = fs::read_to_string(self.note()).ok().and_then(|text| text.trim().parse().ok());
        let within = self.source_bytes..=self.disk_bytes;
        let mut at = noted.filter(|at| within.contains(at)).unwrap_or(self.source_bytes);
        let mut noted = at;
        while at < self.disk_bytes {
            if cancel.load(Ordering::Relaxed) {
                self.note_wiped(at)?;
                return Err(Error::Unreadable { path, offset_bytes: at });
            }
            if at.saturating_sub(noted) >= NOTE_BYTES {
                self.note_wiped(at)?;
                noted = at;
            }
            let now = length(self.disk_bytes.saturating_sub(at)).min(PIECE_BYTES);
            let piece = zeros.get(..now).unwrap_or_default();
            self.file.write_all_at(piece, at).map_err(Error::io("wiping the rest of", &path))?;
            at = at.saturating_add(u64::try_from(now).unwrap_or(u64::MAX));
            progress(Tick { done_bytes: at, total_bytes: self.disk_bytes, bad_bytes: 0 });
        }
        self.note_wiped(at)
    }

    /// Where it is noted how far wiping came, beside what is kept aside.
    fn note(&self) -> PathBuf {
        self.aside.with_extension("wiped")
    }

    fn note_wiped(&self, at_bytes: u64) -> Result<(), Error> {
        let path = PathBuf::from(&self.name);
        // Only what the disk has may be skipped.
        self.file.sync_data().map_err(Error::io("flushing", &path))?;
        fs::write(self.note(), format!("{at_bytes}\n")).map_err(Error::io("writing", &self.note()))
    }

    /// What lies behind the source is zeros.
    fn check_wiped(&self, cancel: &AtomicBool) -> Result<(), Error> {
        let path = PathBuf::from(&self.name);
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = self.source_bytes;
        while at < self.disk_bytes {
            let now = length(self.disk_bytes.saturating_sub(at)).min(PIECE_BYTES);
            let Some(room) = piece.get_mut(..now) else { break };
            let read = self.file.read_exact_at(room, at).map_err(Error::io("reading back", &path));
            if read.is_err() || cancel.load(Ordering::Relaxed) || !crate::sink::is_zero(room) {
                return Err(Error::Unreadable { path, offset_bytes: at });
            }
            at = at.saturating_add(u64::try_from(now).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Past what memory holds of it.
    fn drop_cache(&self) -> Result<(), Error> {
        let path = PathBuf::from(&self.name);
        self.file.sync_all().map_err(Error::io("flushing", &path))?;
        fadvise(&self.file, 0, None, Advice::DontNeed)
            .map_err(|error| Error::io("dropping the cache of", &path)(error.into()))
    }
}

impl ImageWriter for CloneDisk {
    fn name(&self) -> String {
        escape_name(self.name.as_bytes())
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let end_bytes =
            part.offset_bytes.saturating_add(u64::try_from(part.bytes.len()).unwrap_or(u64::MAX));
        let (offset_bytes, bytes) = self.take_head(part)?;
        self.file.write_all_at(bytes, offset_bytes)?;
        self.at_bytes = end_bytes;
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        if self.at_bytes < HEAD_BYTES {
            self.keep_head()?;
        }
        let flush = Flush { files: vec![self.file.try_clone()?], ..Flush::default() };
        let state = json!(State { at_bytes: self.at_bytes, head_sha256: sha256(&self.head) });
        Ok(Checkpoint { flush, state })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Destination for CloneDisk {
    fn paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn verify(
        &mut self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error> {
        let path = PathBuf::from(&self.name);
        let (size_bytes, copied_bytes) = (acquisition.size_bytes, acquisition.copied_bytes);
        if acquisition.ending != Ending::Complete
            || length(HEAD_BYTES.min(size_bytes)) != self.head.len()
        {
            return Err(Error::Incomplete { path, copied_bytes, size_bytes });
        }
        if self.rest == Rest::Wiped {
            self.wipe(progress, cancel)?;
        }
        self.drop_cache()?;
        let read_back = ReadBack {
            head: &self.head,
            file: &self.file,
            size_bytes,
            sector_bytes: self.sector_bytes,
        };
        let plan = Plan { algorithms: Algorithms::sha256(), retries: 0, ..Plan::default() };
        let read = acquire(&read_back, &mut NullSink, &plan, progress, cancel)?;
        if read.ending != Ending::Complete || !read.bad.is_empty() {
            let first = read.bad.iter().next().map_or(read.copied_bytes, |bad| bad.offset_bytes);
            return Err(Error::Unreadable { path, offset_bytes: first });
        }
        if !acquisition.digests.agrees_with(&read.digests) {
            let expected = acquisition.digests.clone();
            return Err(Error::Mismatch { path, expected, found: read.digests });
        }
        if self.rest == Rest::Wiped
            && let Err(error) = self.check_wiped(cancel)
        {
            if !cancel.load(Ordering::Relaxed) {
                // What was noted is not so: going on wipes all of it once more.
                let _ = fs::remove_file(self.note());
            }
            return Err(error);
        }
        Ok(Verified::new(path, read.digests, size_bytes))
    }

    fn publish(&mut self, verified: &Verified) -> Result<(), Error> {
        let path = PathBuf::from(&self.name);
        if verified.path() != path {
            return Err(Error::Exists { path: verified.path().to_path_buf() });
        }
        self.file
            .write_all_at(&self.head, 0)
            .map_err(Error::io("writing the beginning of", &path))?;
        self.drop_cache()?;
        let mut found = vec![0; self.head.len()];
        self.file.read_exact_at(&mut found, 0).map_err(Error::io("reading back", &path))?;
        if found != self.head {
            let of = |bytes: &[u8]| digest_bytes(bytes, &Algorithms::sha256());
            return Err(Error::Mismatch { path, expected: of(&self.head), found: of(&found) });
        }
        // The disk has it now.
        self.discard();
        Ok(())
    }

    fn discard(&mut self) {
        let _ = fs::remove_file(&self.aside);
        let _ = fs::remove_file(self.note());
    }

    fn facts(&self) -> Value {
        json!({
            "disk": self.name,
            "about": self.about,
            "disk_size_bytes": self.disk_bytes,
            "source_size_bytes": self.source_bytes,
            "rest": self.rest,
            "rest_bytes": self.disk_bytes.saturating_sub(self.source_bytes),
        })
    }
}

/// The disk as it will be: the head from where it waits, the rest from the disk.
struct ReadBack<'a> {
    head: &'a [u8],
    file: &'a File,
    size_bytes: u64,
    sector_bytes: u32,
}

impl ReadAt for ReadBack<'_> {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let head = usize::try_from(offset_bytes)
            .ok()
            .and_then(|at| self.head.get(at..))
            .unwrap_or_default();
        if !head.is_empty() {
            let count = head.len().min(buffer.len());
            buffer.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
            return Ok(count);
        }
        let left = length(self.size_bytes.saturating_sub(offset_bytes)).min(buffer.len());
        self.file.read_at(buffer.get_mut(..left).unwrap_or_default(), offset_bytes)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn sha256(bytes: &[u8]) -> String {
    let digests = digest_bytes(bytes, &Algorithms::sha256());
    digests.sha256_hex()
}

fn read_head(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(Error::io("reading", path))?;
    Ok(head)
}
