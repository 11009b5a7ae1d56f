//! Parts that wait beside the journal, one file each: until what is in them cannot change any more, until they were sent,
//! and until the journal has a line behind them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::senders::Number;

/// The files.
pub(super) struct Spool {
    aside: PathBuf,
    part_bytes: u64,
    kept: BTreeMap<Number, Kept>,
    has_new: bool,
}

struct Kept {
    file: File,
    path: PathBuf,
    /// Handed over to be sent.
    is_given: bool,
}

impl Spool {
    pub(super) fn new(aside: &Path, part_bytes: u64) -> Self {
        Self { aside: aside.to_path_buf(), part_bytes, kept: BTreeMap::new(), has_new: false }
    }

    pub(super) fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Parts of a file of so many bytes; an empty one has one too.
    pub(super) fn parts(&self, size_bytes: u64) -> u64 {
        size_bytes.div_ceil(self.part_bytes).max(1)
    }

    /// Bytes of a part of such a file.
    pub(super) fn length(&self, size_bytes: u64, part: u64) -> u64 {
        let before = part.saturating_sub(1).saturating_mul(self.part_bytes);
        size_bytes.saturating_sub(before).min(self.part_bytes)
    }

    /// The part an offset lies in, the place in it, and how many of `length` bytes lie in it.
    fn place(&self, offset_bytes: u64, length: usize) -> (u64, u64, usize) {
        let part = offset_bytes.checked_div(self.part_bytes).unwrap_or(0).saturating_add(1);
        let within = offset_bytes.checked_rem(self.part_bytes).unwrap_or(0);
        let left = usize::try_from(self.part_bytes.saturating_sub(within)).unwrap_or(usize::MAX);
        (part, within, length.min(left))
    }

    pub(super) fn write_at(
        &mut self,
        file: usize,
        mut offset_bytes: u64,
        mut bytes: &[u8],
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let (part, within, now) = self.place(offset_bytes, bytes.len());
            let (head, rest) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
            if !self.kept.contains_key(&(file, part)) {
                self.make((file, part))?;
            }
            let kept = self.kept.get(&(file, part)).filter(|kept| !kept.is_given);
            let kept = kept.ok_or_else(|| io::Error::other(format!("part {part} was sent")))?;
            kept.file.write_all_at(head, within)?;
            offset_bytes = offset_bytes.saturating_add(u64::try_from(now).unwrap_or(u64::MAX));
            bytes = rest;
        }
        Ok(())
    }

    pub(super) fn read_at(
        &self,
        file: usize,
        mut offset_bytes: u64,
        mut buffer: &mut [u8],
    ) -> io::Result<()> {
        while !buffer.is_empty() {
            let (part, within, now) = self.place(offset_bytes, buffer.len());
            let (head, rest) = buffer.split_at_mut_checked(now).unwrap_or_default();
            let kept = self.kept.get(&(file, part)).ok_or(io::ErrorKind::NotFound)?;
            kept.file.read_exact_at(head, within)?;
            offset_bytes = offset_bytes.saturating_add(u64::try_from(now).unwrap_or(u64::MAX));
            buffer = rest;
        }
        Ok(())
    }

    /// Makes the file of a part, new and empty.
    pub(super) fn make(&mut self, number: Number) -> io::Result<()> {
        let path = self.path(number);
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        self.kept.insert(number, Kept { file, path, is_given: false });
        self.has_new = true;
        Ok(())
    }

    /// Takes up the file of a part that an interrupted run left, cut to its length; false when there is none so long.
    pub(super) fn take_up(&mut self, number: Number, length_bytes: u64) -> io::Result<bool> {
        let path = self.path(number);
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < length_bytes {
            return Ok(false);
        }
        file.set_len(length_bytes)?;
        self.kept.insert(number, Kept { file, path, is_given: false });
        Ok(true)
    }

    /// The parts of a file that lie in a range and were not handed over yet: they count as handed over from here on.
    pub(super) fn within(&mut self, file: usize, range: &Range<u64>) -> Vec<(Number, PathBuf)> {
        let part_bytes = self.part_bytes;
        self.hand_over(file, |part| {
            let end = part.saturating_mul(part_bytes);
            range.start <= end.saturating_sub(part_bytes) && end <= range.end
        })
    }

    /// The same of all parts of a file.
    pub(super) fn all(&mut self, file: usize) -> Vec<(Number, PathBuf)> {
        self.hand_over(file, |_| true)
    }

    fn hand_over(&mut self, file: usize, is_it: impl Fn(u64) -> bool) -> Vec<(Number, PathBuf)> {
        let mut given = Vec::new();
        for (number, kept) in self.kept.range_mut((file, 0)..=(file, u64::MAX)) {
            if !kept.is_given && is_it(number.1) {
                kept.is_given = true;
                given.push((*number, kept.path.clone()));
            }
        }
        given
    }

    /// Files that are to be flushed, and those that are not needed behind the next line of the journal: they were sent.
    pub(super) fn sort(
        &mut self,
        is_sent: impl Fn(Number) -> bool,
    ) -> io::Result<(Vec<File>, Vec<PathBuf>)> {
        let (mut files, mut obsolete) = (Vec::new(), Vec::new());
        let mut sent = Vec::new();
        for (number, kept) in &self.kept {
            if kept.is_given && is_sent(*number) {
                sent.push(*number);
                obsolete.push(kept.path.clone());
            } else {
                files.push(kept.file.try_clone()?);
            }
        }
        sent.iter().for_each(|number| drop(self.kept.remove(number)));
        Ok((files, obsolete))
    }

    /// The folder, if there are files in it that it may not know yet.
    pub(super) fn new_in(&mut self) -> Option<PathBuf> {
        let is_new = std::mem::take(&mut self.has_new);
        self.aside.parent().filter(|_| is_new).map(PathBuf::from)
    }

    /// Files of parts that lie there and were not taken up.
    pub(super) fn strays(&self) -> Vec<PathBuf> {
        let known = |path: &PathBuf| self.kept.values().any(|kept| kept.path == *path);
        files_of(&self.aside, "part-").into_iter().filter(|path| !known(path)).collect()
    }

    fn path(&self, (file, part): Number) -> PathBuf {
        let mut name = self.aside.as_os_str().to_owned();
        name.push(format!(".part-{file}-{part}"));
        PathBuf::from(name)
    }
}

/// Everything kept under this beginning of names, if what follows the dot begins with `kind`.
pub(super) fn files_of(aside: &Path, kind: &str) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (aside.parent(), aside.file_name()) else { return Vec::new() };
    let beginning = [name.as_encoded_bytes(), b".", kind.as_bytes()].concat();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(&beginning)
    });
    ours.map(|entry| entry.path()).collect()
}
