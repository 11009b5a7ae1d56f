//! The files of a copy as uploads: begun one after the other, each sent in parts, all of them made objects at the very end.
//!
//! That end is written down before the first object is made: from then on everything is at the store, so what a run that goes
//! on writes once more is not sent, only counted, and reading back says whether it is the same.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bucket::{PARTS_AT_MOST, StoredPart, Upload};
use evidence::source::Source;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ledger::{self, Closed, Ledger, Line};
use super::senders::{Number, Senders, Task};
use super::spool::{Spool, files_of};
use super::stored::StoredObjects;
use crate::Flush;
use crate::carrier::Carrier;

/// What a line of the journal has of it.
#[derive(Serialize, Deserialize)]
struct State {
    /// Lines of the ledger that count.
    lines: u64,
    /// The objects are there: nothing is needed but their names.
    is_finished: bool,
}

/// A file that was begun.
struct Begun {
    name: String,
    upload: Upload,
    /// Once it is whole.
    size_bytes: Option<u64>,
}

/// The files of one copy.
pub(super) struct Objects {
    store: StoredObjects,
    aside: PathBuf,
    spool: Spool,
    senders: Senders,
    /// `None` when nothing more is to be written down.
    ledger: Option<Ledger>,
    begun: Vec<Begun>,
    /// Number of the file being written.
    current: usize,
    at_bytes: u64,
    notes: Vec<Value>,
    /// Set when everything is at the store: nothing is sent any more.
    closing: Option<Vec<Closed>>,
    is_finished: bool,
}

fn corrupt(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl Objects {
    /// Begins a copy with the upload of its first file.
    pub(super) fn begin(
        store: StoredObjects,
        aside: &Path,
        part_bytes: u64,
        name: &str,
    ) -> io::Result<Self> {
        // What an interrupted run left that no line of the journal ever spoke of.
        for line in Ledger::read(aside).unwrap_or_default() {
            if let Line::Begun { name, upload } = line
                && let Ok(object) = store.object(&name)
            {
                // Parts that stay are not seen, but paid for until the bucket's rule takes them away.
                let _ = Upload::known(Arc::clone(store.client()), object, &upload).abort();
            }
        }
        sweep(aside);
        let first = Upload::begin(Arc::clone(store.client()), store.object(name)?)?;
        let mut objects = Self::new(store, aside, part_bytes);
        objects.ledger = Some(Ledger::create(aside)?);
        objects.add(name, first)?;
        Ok(objects)
    }

    fn new(store: StoredObjects, aside: &Path, part_bytes: u64) -> Self {
        Self {
            store,
            aside: aside.to_path_buf(),
            spool: Spool::new(aside, part_bytes),
            senders: Senders::start(),
            ledger: None,
            begun: Vec::new(),
            current: 0,
            at_bytes: 0,
            notes: Vec::new(),
            closing: None,
            is_finished: false,
        }
    }

    /// Goes on with a copy of which files of these names were begun, and so many bytes of the last one written.
    pub(super) fn resume(
        store: StoredObjects,
        aside: &Path,
        part_bytes: u64,
        state: &Value,
        (names, at_bytes): (&[String], u64),
    ) -> io::Result<Self> {
        let State { lines, is_finished } = State::deserialize(state)?;
        let mut objects = Self::new(store, aside, part_bytes);
        (objects.at_bytes, objects.is_finished) = (at_bytes, is_finished);
        objects.current = names.len().saturating_sub(1);
        if is_finished {
            sweep(aside);
            objects.closing = Some(objects.found(names)?);
            return Ok(objects);
        }
        let all = Ledger::read(aside)?;
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        let (counts, later) = all.split_at_checked(lines).ok_or_else(|| {
            corrupt(format!("of {lines} lines kept beside it {} are there", all.len()))
        })?;
        objects.take_up(counts)?;
        let closing = all.iter().rev().find_map(|line| match line {
            Line::Closing(closed) => Some(closed.clone()),
            _ => None,
        });
        if let Some(closing) = closing {
            objects.close_again(counts, closing)?;
        } else {
            objects.send_again(counts, later)?;
        }
        let known: Vec<&String> = match &objects.closing {
            Some(closing) => closing.iter().map(|one| &one.name).take(names.len()).collect(),
            None => objects.begun.iter().map(|one| &one.name).collect(),
        };
        if known != names.iter().collect::<Vec<_>>() {
            return Err(corrupt(format!("{known:?} were begun, and the journal has {names:?}")));
        }
        Ok(objects)
    }

    /// The objects of a finished copy, by what the store says of them.
    fn found(&self, names: &[String]) -> io::Result<Vec<Closed>> {
        let found = names.iter().map(|name| {
            let object = self.store.object(name)?;
            let size_bytes = self.store.client().size_bytes(&object)?;
            let gone = || corrupt(format!("{} is gone", object.name()));
            let size_bytes = size_bytes.ok_or_else(gone)?;
            Ok(Closed { name: name.clone(), upload: String::new(), size_bytes })
        });
        found.collect()
    }

    /// Reads the lines that count.
    fn take_up(&mut self, lines: &[Line]) -> io::Result<()> {
        for line in lines {
            match line {
                Line::Begun { name, upload } => {
                    let upload = self.upload(name, upload)?;
                    self.begun.push(Begun { name: name.clone(), upload, size_bytes: None });
                }
                Line::Sealed { size_bytes } => {
                    if let Some(last) = self.begun.last_mut() {
                        last.size_bytes = Some(*size_bytes);
                    }
                }
                Line::Note(note) => self.notes.push(note.clone()),
                Line::Closing(_) => {}
            }
        }
        Ok(())
    }

    fn upload(&self, name: &str, id: &str) -> io::Result<Upload> {
        let client = Arc::clone(self.store.client());
        Ok(Upload::known(client, self.store.object(name)?, id))
    }

    /// Everything had been sent: what is written once more is only counted.
    fn close_again(&mut self, counts: &[Line], closing: Vec<Closed>) -> io::Result<()> {
        let mut lines = counts.to_vec();
        if !lines.iter().any(|line| matches!(line, Line::Closing(_))) {
            lines.push(Line::Closing(closing.clone()));
        }
        self.ledger = Some(Ledger::replace(&self.aside, &lines)?);
        // What the format may want to read of the file it was writing.
        for part in 1..=self.spool.parts(self.at_bytes) {
            self.spool.take_up((self.current, part), self.spool.length(self.at_bytes, part))?;
        }
        self.closing = Some(closing);
        Ok(())
    }

    /// Finds every part that counts, at the store or here, and lets go of what does not count.
    fn send_again(&mut self, counts: &[Line], later: &[Line]) -> io::Result<()> {
        for line in later {
            if let Line::Begun { name, upload } = line {
                let _ = self.upload(name, upload)?.abort();
            }
        }
        self.ledger = Some(Ledger::replace(&self.aside, counts)?);
        for file in 0..self.begun.len() {
            let Some(begun) = self.begun.get(file) else { continue };
            let stored = begun.upload.parts()?;
            let end_bytes = begun.size_bytes.unwrap_or(self.at_bytes);
            let is_sealed = begun.size_bytes.is_some();
            // A file of which nothing was written has no part yet.
            let parts = if end_bytes == 0 && !is_sealed { 0 } else { self.spool.parts(end_bytes) };
            for part in 1..=parts {
                self.find((file, part), end_bytes, &stored)?;
            }
            if is_sealed {
                self.give_all(file)?;
            }
        }
        for stray in self.spool.strays() {
            let _ = fs::remove_file(stray);
        }
        Ok(())
    }

    /// One part: what lies here was not sent, or may have to be sent again.
    fn find(&mut self, number: Number, end_bytes: u64, stored: &[StoredPart]) -> io::Result<()> {
        let length_bytes = self.spool.length(end_bytes, number.1);
        if self.spool.take_up(number, length_bytes)? {
            return Ok(());
        }
        let found = stored.iter().find(|one| one.number == number.1);
        let Some(found) = found.filter(|one| one.size_bytes == length_bytes) else {
            let part = number.1;
            return Err(corrupt(match found {
                Some(found) => {
                    format!("part {part} has {} bytes, expected {length_bytes}", found.size_bytes)
                }
                None => format!("part {part} is neither at the store nor here"),
            }));
        };
        self.senders.had(number, found.etag.clone());
        Ok(())
    }

    fn add(&mut self, name: &str, upload: Upload) -> io::Result<()> {
        let line = Line::Begun { name: name.to_owned(), upload: upload.id().to_owned() };
        self.write_down(&line)?;
        self.begun.push(Begun { name: name.to_owned(), upload, size_bytes: None });
        self.current = self.begun.len().saturating_sub(1);
        self.at_bytes = 0;
        Ok(())
    }

    fn write_down(&mut self, line: &Line) -> io::Result<()> {
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.add(line))
    }

    fn give(&mut self, parts: Vec<(Number, PathBuf)>) -> io::Result<()> {
        for (number, path) in parts {
            let Some(begun) = self.begun.get(number.0) else { continue };
            self.senders.give(Task { number, upload: begun.upload.clone(), path })?;
        }
        Ok(())
    }

    fn give_all(&mut self, file: usize) -> io::Result<()> {
        let parts = self.spool.all(file);
        self.give(parts)
    }

    /// The current file is whole.
    fn seal(&mut self) -> io::Result<()> {
        if self.at_bytes == 0 {
            self.spool.make((self.current, 1))?;
        }
        self.give_all(self.current)?;
        let size_bytes = self.at_bytes;
        if let Some(begun) = self.begun.get_mut(self.current) {
            begun.size_bytes = Some(size_bytes);
        }
        self.write_down(&Line::Sealed { size_bytes })
    }

    /// Waits for all parts, and writes down that nothing is to be sent any more.
    fn close(&mut self) -> io::Result<Vec<Closed>> {
        self.seal()?;
        self.senders.wait()?;
        let closed = self.begun.iter().map(|begun| Closed {
            name: begun.name.clone(),
            upload: begun.upload.id().to_owned(),
            size_bytes: begun.size_bytes.unwrap_or(0),
        });
        let closed: Vec<Closed> = closed.collect();
        self.write_down(&Line::Closing(closed.clone()))?;
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.file().sync_all())?;
        self.closing = Some(closed.clone());
        Ok(closed)
    }

    /// Makes one object of its parts.
    fn make(&self, file: usize, closed: &Closed) -> io::Result<()> {
        let upload = self.upload(&closed.name, &closed.upload)?;
        let parts = self.spool.parts(closed.size_bytes);
        if let Some(etags) = self.senders.etags(file, parts) {
            return Ok(upload.complete(&etags)?);
        }
        // An earlier run sent them, and may have made the object.
        let object = upload.object();
        match self.store.client().size_bytes(object)? {
            Some(found) if found == closed.size_bytes => return Ok(()),
            Some(_) => return Err(corrupt(format!("{} is another object", object.name()))),
            None => {}
        }
        let stored = upload.parts()?;
        let mut etags = Vec::new();
        for (part, number) in stored.iter().zip(1..=parts) {
            let length_bytes = self.spool.length(closed.size_bytes, number);
            if (part.number, part.size_bytes) == (number, length_bytes) {
                etags.push(part.etag.clone());
            }
        }
        if u64::try_from(etags.len()).ok() != Some(parts) {
            let text =
                format!("of {} the store has {} parts of {parts}", object.name(), etags.len());
            return Err(corrupt(text));
        }
        Ok(upload.complete(&etags)?)
    }
}

/// Removes everything kept under this beginning of names.
fn sweep(aside: &Path) {
    for path in files_of(aside, "part") {
        // One that stays is listed by the case as left unfinished.
        let _ = fs::remove_file(path);
    }
}

impl Carrier for Objects {
    fn next(&mut self, name: &str) -> io::Result<()> {
        if let Some(closing) = &self.closing {
            self.current = self.current.saturating_add(1);
            self.at_bytes = 0;
            let known = closing.get(self.current).map(|one| one.name.as_str());
            let other = || corrupt(format!("{name} follows, and {known:?} was sent"));
            return if known == Some(name) { Ok(()) } else { Err(other()) };
        }
        self.seal()?;
        let upload = Upload::begin(Arc::clone(self.store.client()), self.store.object(name)?)?;
        self.add(name, upload)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end_bytes = self.at_bytes.saturating_add(length);
        if self.closing.is_none() {
            if self.spool.parts(end_bytes) > PARTS_AT_MOST {
                let text = format!("{end_bytes} bytes are more parts than an object can have");
                return Err(io::Error::other(text));
            }
            self.spool.write_at(self.current, self.at_bytes, bytes)?;
        }
        self.at_bytes = end_bytes;
        Ok(())
    }

    fn overwrite(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        if self.closing.is_some() {
            return Ok(());
        }
        self.spool.write_at(self.current, offset_bytes, bytes)
    }

    fn settle(&mut self, range: Range<u64>) -> io::Result<()> {
        if self.closing.is_some() {
            return Ok(());
        }
        let parts = self.spool.within(self.current, &range);
        self.give(parts)
    }

    fn read_held_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.spool.read_at(self.current, offset_bytes, buffer)
    }

    fn note(&mut self, note: Value) -> io::Result<()> {
        self.write_down(&Line::Note(note))
    }

    fn notes(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.notes)
    }

    fn to_flush(&mut self) -> io::Result<Flush> {
        let mut flush = Flush::default();
        if self.is_finished {
            // The names are enough from the next line on.
            flush.obsolete = files_of(&self.aside, "part");
            return Ok(flush);
        }
        if self.closing.is_none() {
            let senders = &self.senders;
            (flush.files, flush.obsolete) = self.spool.sort(|number| senders.has(number))?;
        }
        if let Some(ledger) = &self.ledger {
            flush.files.push(ledger.file().try_clone()?);
        }
        flush.folders.extend(self.spool.new_in());
        Ok(flush)
    }

    fn finish(&mut self) -> io::Result<()> {
        let closed = match self.closing.clone() {
            Some(closed) => closed,
            None => self.close()?,
        };
        // The first name, which people and programs open, appears when everything behind it is there.
        for (file, one) in closed.iter().enumerate().rev() {
            self.make(file, one)?;
        }
        self.is_finished = true;
        Ok(())
    }

    fn source(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let shown = || self.store.path(name).display().to_string();
        let found = self.store.open(name)?;
        let found = found.ok_or_else(|| corrupt(format!("{} is gone", shown())))?;
        let known = self.closing.iter().flatten().find(|one| one.name == name);
        let (size_bytes, expected) = (found.size_bytes(), known.map(|one| one.size_bytes));
        if expected != Some(size_bytes) {
            let text = format!("{} has {size_bytes} bytes, expected {expected:?}", shown());
            return Err(corrupt(text));
        }
        Ok(found)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.store.path(name)
    }

    fn state(&self) -> Value {
        let lines = self.ledger.as_ref().map_or(0, Ledger::lines);
        json!(State { lines, is_finished: self.is_finished })
    }

    fn facts(&self) -> Value {
        let key = |name: &str| self.store.object(name).map(|object| object.key).unwrap_or_default();
        let object = |name: &str, upload: &str, size_bytes: Option<u64>| json!({ "key": key(name), "upload": upload, "size_bytes": size_bytes });
        let objects: Vec<Value> = match &self.closing {
            Some(closed) => closed
                .iter()
                .map(|one| object(&one.name, &one.upload, Some(one.size_bytes)))
                .collect(),
            None => self
                .begun
                .iter()
                .map(|one| object(&one.name, one.upload.id(), one.size_bytes))
                .collect(),
        };
        json!({
            "object_store": self.store.client().endpoint(),
            "bucket": self.store.bucket(),
            "key": objects.first().map(|first| first["key"].clone()),
            "objects": objects,
            "part_bytes": self.spool.part_bytes(),
        })
    }

    fn discard(&mut self) {
        if self.closing.is_none() {
            for begun in &self.begun {
                // Parts that stay are not seen, but paid for: the store's own rules for unfinished uploads take them away.
                let _ = begun.upload.abort();
            }
        }
        self.ledger = None;
        sweep(&self.aside);
        let _ = fs::remove_file(ledger::path(&self.aside));
    }
}
